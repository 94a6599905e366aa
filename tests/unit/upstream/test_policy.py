"""When to ask upstream again: tables, with every moment given as a value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import FetchError, ParseError
from feedsrv.models import Failure, Kind, Listing, Page, RequestLog
from feedsrv.upstream.policy import (
    list_days,
    newest_day_page,
    next_backoff,
    next_slot,
    record_request,
    remaining_ttl,
    ttl,
)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
WEDNESDAY = NOON.date()


def day(name: str) -> Page:
    return Page(Kind.DAY, name)


def listing(
    page: Page, read_at: datetime = NOON, *, previous: str = "", later: str = ""
) -> Listing:
    return Listing(page=page, papers=(), fetched_at=read_at, previous_day=previous, next_day=later)


# --- how long ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (day("2026-11-26"), timedelta(minutes=20)),
        (day("2026-11-25"), timedelta(minutes=20)),
        (day("2026-11-24"), timedelta(hours=3)),
        (day("2026-11-23"), timedelta(hours=3)),
        (day("2026-11-22"), timedelta(hours=12)),
        (day("2026-11-18"), timedelta(hours=12)),
        (day("2026-11-17"), timedelta(days=7)),
        (day("2024-02-29"), timedelta(days=7)),
        (Page(Kind.WEEK, "2026-W48"), timedelta(hours=1)),
        (Page(Kind.MONTH, "2026-11"), timedelta(hours=1)),
        (Page(Kind.TRENDING), timedelta(hours=1)),
        (Page(Kind.SEARCH, "causal"), timedelta(hours=24)),
    ],
    ids=str,
)
def test_each_list_is_fresh_for_its_time(page: Page, expected: timedelta) -> None:
    assert ttl(page, WEDNESDAY) == expected


def test_on_a_weekend_fridays_list_is_the_newest() -> None:
    assert ttl(day("2026-11-27"), date(2026, 11, 29)) == timedelta(minutes=20)
    assert ttl(day("2026-11-27"), date(2026, 11, 30)) == timedelta(hours=12)


@pytest.mark.parametrize(
    ("today", "expected"),
    [
        (date(2026, 11, 25), "2026-11-25"),
        (date(2026, 11, 27), "2026-11-27"),
        (date(2026, 11, 28), "2026-11-27"),
        (date(2026, 11, 29), "2026-11-27"),
        (date(2026, 11, 30), "2026-11-30"),
        (date(2027, 1, 2), "2027-01-01"),
        (date(2028, 1, 1), "2027-12-31"),
    ],
)
def test_the_newest_list_is_of_the_last_weekday(today: date, expected: str) -> None:
    assert newest_day_page(today) == day(expected)


def test_what_is_left_is_counted_from_when_the_list_was_read() -> None:
    page = day("2026-11-25")
    assert remaining_ttl(page, listing(page, NOON - timedelta(minutes=5)), NOON) == timedelta(
        minutes=15
    )
    assert remaining_ttl(page, listing(page, NOON - timedelta(minutes=30)), NOON) == -timedelta(
        minutes=10
    )
    assert remaining_ttl(page, None, NOON) == timedelta(0)


def test_a_list_read_by_a_clock_that_was_ahead_is_not_fresh_for_ever() -> None:
    page = day("2026-11-25")
    assert remaining_ttl(page, listing(page, NOON + timedelta(days=99)), NOON) == timedelta(
        minutes=20
    )


# --- the window --------------------------------------------------------------------------------


def walk_window(
    kept: dict[str, Listing], days: int, today: date = WEDNESDAY
) -> list[tuple[str, str]]:
    found = list_days(today, days, lambda page: kept.get(page.key))
    return [(page.key, each.page.key if each else "") for page, each in found]


def test_without_anything_kept_the_window_is_the_last_weekdays() -> None:
    assert walk_window({}, 6) == [
        ("2026-11-25", ""),
        ("2026-11-24", ""),
        ("2026-11-23", ""),
        ("2026-11-20", ""),
        ("2026-11-19", ""),
        ("2026-11-18", ""),
    ]


def test_the_pages_own_word_of_the_list_before_skips_holidays() -> None:
    kept = {"2026-11-25": listing(day("2026-11-25"), previous="2026-11-20")}
    assert [name for name, _ in walk_window(kept, 3)] == ["2026-11-25", "2026-11-20", "2026-11-19"]


def test_a_day_given_in_place_of_another_counts_once() -> None:
    friday = listing(day("2026-11-20"), previous="2026-11-19")
    kept = {"2026-11-25": friday, "2026-11-20": friday}
    assert walk_window(kept, 3) == [
        ("2026-11-25", "2026-11-20"),
        ("2026-11-19", ""),
        ("2026-11-18", ""),
    ]


def test_days_kept_behind_a_gap_belong_to_the_window() -> None:
    kept = {"2026-11-20": listing(day("2026-11-20"))}
    assert ("2026-11-20", "2026-11-20") in walk_window(kept, 5)


def test_a_list_that_names_a_later_one_puts_it_in_front() -> None:
    """Should there ever be a list at a weekend, Friday's page says so."""
    kept = {"2026-11-27": listing(day("2026-11-27"), later="2026-11-28", previous="2026-11-26")}
    assert walk_window(kept, 3, date(2026, 11, 29)) == [
        ("2026-11-28", ""),
        ("2026-11-27", "2026-11-27"),
        ("2026-11-26", ""),
    ]


def test_where_upstream_has_nothing_older_the_window_ends() -> None:
    oldest = listing(day("2026-11-24"))
    kept = {"2026-11-25": listing(day("2026-11-25")), "2026-11-24": oldest, "2026-11-23": oldest}
    assert [name for name, _ in walk_window(kept, 30)] == ["2026-11-25", "2026-11-24"]


def test_the_window_ends_with_the_first_list_of_all() -> None:
    assert walk_window({}, 5, date(2023, 5, 8))[-1][0] == "2023-05-05"


@given(
    st.dictionaries(
        st.dates(date(2026, 10, 1), date(2026, 11, 30)).map(str),
        st.tuples(
            st.dates(date(2026, 9, 1), date(2026, 12, 30)).map(str),
            st.just("") | st.dates(date(2026, 9, 1), date(2026, 12, 30)).map(str),
            st.just("") | st.dates(date(2026, 9, 1), date(2026, 12, 30)).map(str),
        ),
        max_size=30,
    ),
    st.integers(1, 40),
)
def test_whatever_upstream_says_the_window_ends_and_holds_no_list_twice(
    named: dict[str, tuple[str, str, str]], days: int
) -> None:
    kept = {
        asked: listing(day(own), previous=before, later=after)
        for asked, (own, before, after) in named.items()
    }
    found = walk_window(kept, days)
    assert 1 <= len(found) <= days
    own = [name for _, name in found[1:] if name]
    assert len(own) == len(set(own))


# --- after a failure ---------------------------------------------------------------------------

DOWN = FetchError("http://a.b/papers", "status 503")


def test_each_failure_in_a_row_waits_twice_as_long_up_to_half_an_hour() -> None:
    failure, waits = None, []
    for _ in range(8):
        failure = next_backoff(failure, DOWN, NOON, 0.5)
        waits.append((failure.retry_at - NOON).total_seconds())
    assert waits == [60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_chance_spreads_the_next_try_by_a_tenth() -> None:
    waits = [
        (next_backoff(None, DOWN, NOON, chance).retry_at - NOON).total_seconds()
        for chance in (0, 1)
    ]
    assert waits == [54, 66]


@pytest.mark.parametrize(("asked", "expected"), [(None, 60), (5, 60), (200, 200), (86400, 86400)])
def test_a_wait_that_upstream_asks_for_is_kept(asked: float | None, expected: int) -> None:
    error = FetchError("http://a.b/papers", "too many requests", wait=asked)
    assert next_backoff(None, error, NOON, 0.5).retry_at == NOON + timedelta(seconds=expected)


def test_a_failure_says_why_and_when() -> None:
    error = ParseError("http://a.b/papers", "the list is empty")
    assert next_backoff(None, error, NOON, 0.5) == Failure(
        reason="the list is empty (http://a.b/papers)",
        count=1,
        at=NOON,
        retry_at=NOON + timedelta(minutes=1),
        since=NOON,
    )


def test_failures_in_a_row_tell_when_the_first_was() -> None:
    error = ParseError("http://a.b/papers", "the list is empty")
    first = next_backoff(None, error, NOON, 0.5)
    second = next_backoff(first, error, NOON + timedelta(hours=1), 0.5)
    assert (second.since, second.at) == (NOON, NOON + timedelta(hours=1))
    assert next_backoff(second, error, NOON + timedelta(hours=2), 0.5).since == NOON
    # What was kept by a version that did not tell.
    old = msgspec.structs.replace(first, since=None)
    assert next_backoff(old, error, NOON + timedelta(hours=1), 0.5).since == NOON


def test_spare_failures_do_not_lengthen_the_wait() -> None:
    failure, waits = None, []
    for _ in range(4):
        failure = next_backoff(failure, DOWN, NOON, 0.5, spare=1)
        waits.append((failure.retry_at - NOON).total_seconds())
    assert waits == [60, 60, 120, 240]


# --- the next request --------------------------------------------------------------------------

SECOND = timedelta(seconds=1)


def count_requests(count: int, *, adhoc: bool = False, spacing: timedelta = SECOND) -> list[float]:
    """Return when so many requests would be made, one after another, in seconds."""
    turns, now, moments = RequestLog(), NOON, []
    for _ in range(count):
        now = next_slot(turns, now, adhoc=adhoc, spacing=spacing)
        turns = record_request(turns, now, adhoc=adhoc)
        moments.append((now - NOON).total_seconds())
    return moments


def test_four_requests_follow_each_other_and_then_a_second_lies_between() -> None:
    assert count_requests(8) == [0, 0, 0, 0, 1, 2, 3, 4]


def test_the_spacing_is_a_setting() -> None:
    assert count_requests(6, spacing=timedelta(seconds=2.5)) == [0, 0, 0, 0, 2.5, 5]
    assert count_requests(6, spacing=timedelta(0)) == [0] * 6


def test_after_a_rest_there_is_a_burst_again() -> None:
    turns = RequestLog(tuple(NOON - SECOND * ago for ago in (63, 62, 61, 60)))
    moments, now = [], NOON
    for _ in range(5):
        now = next_slot(turns, now, adhoc=False, spacing=SECOND)
        turns = record_request(turns, now, adhoc=False)
        moments.append((now - NOON).total_seconds())
    assert moments == [0, 0, 0, 0, 1]


def test_sixty_pages_are_all_in_five_minutes() -> None:
    moments = count_requests(130)
    for start in moments:
        assert sum(start <= moment < start + 300 for moment in moments) <= 60
    assert moments[60] == 300


def test_searches_for_adhoc_keywords_take_half_of_it_at_most() -> None:
    moments = count_requests(40, adhoc=True)
    assert moments[29] < 30
    assert moments[30] == 300


def test_with_the_adhoc_half_spent_other_pages_go_on() -> None:
    turns, now = RequestLog(), NOON
    for _ in range(30):
        now = next_slot(turns, now, adhoc=True, spacing=SECOND)
        turns = record_request(turns, now, adhoc=True)
    assert next_slot(turns, now, adhoc=True, spacing=SECOND) > now + timedelta(minutes=4)
    assert next_slot(turns, now, adhoc=False, spacing=SECOND) <= now + SECOND


def test_old_turns_are_forgotten() -> None:
    turns = RequestLog(tuple(NOON - timedelta(minutes=6 + ago) for ago in range(90)))
    assert record_request(turns, NOON, adhoc=False) == RequestLog((NOON,))


def test_a_turn_taken_by_a_clock_that_was_ahead_blocks_nobody() -> None:
    turns = RequestLog((NOON + timedelta(days=3),) * 60)
    assert next_slot(turns, NOON, adhoc=False, spacing=SECOND) == NOON
