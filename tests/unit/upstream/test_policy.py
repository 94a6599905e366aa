"""TTLs, the window, backoff and rate limits, with the time as a value."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import FetchError, ParseError
from feedsrv.models import Failure, Kind, Listing, Page, RequestLog
from feedsrv.upstream.policy import (
    list_days,
    newest_day_page,
    next_failure,
    next_request_at,
    page_to_fetch,
    pages_covering,
    record_request,
    remaining_ttl,
    ttl,
)

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
WEDNESDAY = NOON.date()


def day(name: str) -> Page:
    return Page(Kind.DAY, name)


def make_listing(
    page: Page, fetched_at: datetime = NOON, *, previous: str = "", later: str = ""
) -> Listing:
    return Listing(
        page=page, papers=(), fetched_at=fetched_at, previous_day=previous, next_day=later
    )


# --- TTL ---------------------------------------------------------------------------------------


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
        (Page(Kind.WEEK, "2026-W47"), timedelta(hours=1)),  # its last day may still change
        (Page(Kind.WEEK, "2026-W46"), timedelta(days=7)),
        (Page(Kind.MONTH, "2026-11"), timedelta(hours=1)),
        (Page(Kind.MONTH, "2026-10"), timedelta(days=7)),
        (Page(Kind.TRENDING), timedelta(hours=1)),
        (Page(Kind.SEARCH, "causal"), timedelta(hours=24)),
    ],
    ids=str,
)
def test_each_kind_of_page_has_its_ttl(page: Page, expected: timedelta) -> None:
    assert ttl(page, WEDNESDAY) == expected


@pytest.mark.parametrize(
    ("kind", "key", "expected"),
    [
        (Kind.DAY, "2026-11-24", "2026-11-24"),
        (Kind.DAY, "2026-11-22", "2026-11-22"),  # a Sunday, for which upstream may have a list
        (Kind.DAY, "2026-11-26", "2026-11-25"),
        (Kind.DAY, "9999-12-31", "2026-11-25"),
        (Kind.DAY, "2023-05-03", "2023-05-04"),
        (Kind.DAY, "0001-01-01", "2023-05-04"),
        (Kind.WEEK, "2026-W48", "2026-W48"),
        (Kind.WEEK, "2026-W49", "2026-W48"),
        (Kind.WEEK, "2026-W53", "2026-W48"),
        (Kind.WEEK, "9999-W53", "2026-W48"),
        (Kind.WEEK, "2025-W53", "2026-W01"),  # 2025 has 52 weeks
        (Kind.WEEK, "2023-W17", "2023-W18"),
        (Kind.WEEK, "2020-W53", "2023-W18"),
        (Kind.MONTH, "2026-11", "2026-11"),
        (Kind.MONTH, "2026-12", "2026-11"),
        (Kind.MONTH, "2023-04", "2023-05"),
    ],
)
def test_there_are_no_lists_before_the_first_or_in_the_future(
    kind: Kind, key: str, expected: str
) -> None:
    assert page_to_fetch(Page(kind, key), WEDNESDAY) == Page(kind, expected)


def test_an_existing_week_53_is_unchanged() -> None:
    page = Page(Kind.WEEK, "2026-W53")
    assert page_to_fetch(page, date(2027, 1, 20)) == page


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


def test_the_remaining_ttl_counts_from_the_fetch() -> None:
    page = day("2026-11-25")
    assert remaining_ttl(page, make_listing(page, NOON - timedelta(minutes=5)), NOON) == timedelta(
        minutes=15
    )
    assert remaining_ttl(
        page, make_listing(page, NOON - timedelta(minutes=30)), NOON
    ) == -timedelta(minutes=10)
    assert remaining_ttl(page, None, NOON) == timedelta(0)


def test_a_listing_fetched_while_the_clock_was_ahead_is_not_fresh_forever() -> None:
    page = day("2026-11-25")
    assert remaining_ttl(page, make_listing(page, NOON + timedelta(days=99)), NOON) == timedelta(
        minutes=20
    )


# --- window ------------------------------------------------------------------------------------


def window(
    listings: dict[str, Listing], days: int, today: date = WEDNESDAY
) -> list[tuple[str, str]]:
    found = list_days(today, days, lambda page: listings.get(page.key))
    return [(page.key, each.page.key if each else "") for page, each in found]


def test_without_stored_listings_the_window_is_the_last_weekdays() -> None:
    assert window({}, 6) == [
        ("2026-11-25", ""),
        ("2026-11-24", ""),
        ("2026-11-23", ""),
        ("2026-11-20", ""),
        ("2026-11-19", ""),
        ("2026-11-18", ""),
    ]


def test_the_previous_day_that_a_listing_names_skips_holidays() -> None:
    listings = {"2026-11-25": make_listing(day("2026-11-25"), previous="2026-11-20")}
    assert [name for name, _ in window(listings, 3)] == ["2026-11-25", "2026-11-20", "2026-11-19"]


def test_a_day_that_upstream_returned_for_another_counts_once() -> None:
    friday = make_listing(day("2026-11-20"), previous="2026-11-19")
    listings = {"2026-11-25": friday, "2026-11-20": friday}
    assert window(listings, 3) == [
        ("2026-11-25", "2026-11-20"),
        ("2026-11-19", ""),
        ("2026-11-18", ""),
    ]


def test_stored_days_before_a_gap_belong_to_the_window() -> None:
    listings = {"2026-11-20": make_listing(day("2026-11-20"))}
    assert ("2026-11-20", "2026-11-20") in window(listings, 5)


def test_a_later_day_that_a_listing_names_comes_first() -> None:
    """Friday's page names a list on a weekend, if there is one."""
    listings = {
        "2026-11-27": make_listing(day("2026-11-27"), later="2026-11-28", previous="2026-11-26")
    }
    assert window(listings, 3, date(2026, 11, 29)) == [
        ("2026-11-28", ""),
        ("2026-11-27", "2026-11-27"),
        ("2026-11-26", ""),
    ]


def test_the_window_ends_at_upstreams_oldest_list() -> None:
    oldest = make_listing(day("2026-11-24"))
    listings = {
        "2026-11-25": make_listing(day("2026-11-25")),
        "2026-11-24": oldest,
        "2026-11-23": oldest,
    }
    assert [name for name, _ in window(listings, 30)] == ["2026-11-25", "2026-11-24"]


def test_the_window_ends_at_the_first_list_day() -> None:
    assert window({}, 5, date(2023, 5, 8))[-1][0] == "2023-05-05"


@pytest.mark.parametrize(
    "today", [date(1970, 1, 1), date(2023, 5, 3), date(2023, 5, 4), date(2023, 5, 6)], ids=str
)
def test_before_the_first_list_the_window_is_the_first_list(today: date) -> None:
    newest = max(date(2023, 5, 4), min(today, date(2023, 5, 5)))
    assert window({}, 5, today) == [(str(newest), "")]


@pytest.mark.parametrize("name", ["0001-01-01", "2023-05-03", "2026-11-27", "9999-12-31"])
def test_an_impossible_neighbour_does_not_belong_to_the_window(name: str) -> None:
    newest = make_listing(day("2026-11-25"), previous=name, later=name)
    assert window({"2026-11-25": newest}, 2) == [("2026-11-25", "2026-11-25"), ("2026-11-24", "")]


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
def test_the_window_is_finite_and_has_no_duplicate_days_for_any_listings(
    days_by_request: dict[str, tuple[str, str, str]], days: int
) -> None:
    listings = {
        requested: make_listing(day(returned), previous=previous, later=later)
        for requested, (returned, previous, later) in days_by_request.items()
    }
    found = window(listings, days)
    assert 1 <= len(found) <= days
    stored = [name for _, name in found[1:] if name]
    assert len(stored) == len(set(stored))


# --- pages of a period -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "today", "days", "keys"),
    [
        (Kind.DAY, date(2026, 3, 1), 3, ["2026-03-01", "2026-02-28", "2026-02-27"]),
        (Kind.DAY, date(2024, 3, 1), 2, ["2024-03-01", "2024-02-29"]),
        (Kind.WEEK, date(2026, 8, 10), 2, ["2026-W33", "2026-W32"]),
        (Kind.WEEK, date(2026, 8, 9), 7, ["2026-W32"]),
        (Kind.WEEK, date(2026, 8, 9), 8, ["2026-W32", "2026-W31"]),
        (Kind.WEEK, date(2021, 1, 3), 7, ["2020-W53"]),
        (Kind.WEEK, date(2021, 1, 4), 9, ["2021-W01", "2020-W53", "2020-W52"]),
        (Kind.WEEK, date(2024, 12, 31), 3, ["2025-W01", "2024-W52"]),
        (Kind.MONTH, date(2026, 8, 31), 31, ["2026-08"]),
        (Kind.MONTH, date(2026, 8, 31), 32, ["2026-08", "2026-07"]),
        (Kind.MONTH, date(2026, 1, 1), 2, ["2026-01", "2025-12"]),
        (Kind.MONTH, date(2026, 3, 30), 31, ["2026-03", "2026-02"]),
        (Kind.TRENDING, date(2026, 8, 7), 30, [""]),
        (Kind.DAY, date(2026, 8, 7), 0, []),
    ],
    ids=[
        "february", "leap-day", "monday", "one-week", "week-and-a-day", "week-53-in-january",
        "over-week-53", "week-1-in-december", "one-month", "month-and-a-day", "new-year",
        "short-february", "trending", "no-days",
    ],
)  # fmt: skip
def test_each_page_of_a_period_is_returned_once_newest_first(
    kind: Kind, today: date, days: int, keys: list[str]
) -> None:
    assert pages_covering(kind, today, days) == tuple(Page(kind, key) for key in keys)


@given(st.dates(date(2023, 5, 4), date(2100, 1, 1)), st.integers(1, 100))
def test_the_pages_cover_every_day_of_the_period(today: date, days: int) -> None:
    first = today - timedelta(days=days - 1)
    assert len(pages_covering(Kind.DAY, today, days)) == days
    weeks = [page.key for page in pages_covering(Kind.WEEK, today, days)]
    months = [page.key for page in pages_covering(Kind.MONTH, today, days)]
    mondays = [datetime.strptime(f"{week}-1", "%G-W%V-%u").date() for week in weeks]  # noqa: DTZ007
    assert mondays[-1] <= first <= today <= mondays[0] + timedelta(days=6)
    assert {newer - older for newer, older in pairwise(mondays)} <= {timedelta(days=7)}
    assert months == sorted(set(months), reverse=True)
    assert (months[0], months[-1]) == (f"{today:%Y-%m}", f"{first:%Y-%m}")


# --- backoff -----------------------------------------------------------------------------------

DOWN = FetchError("http://a.b/papers", "HTTP 503")


def test_the_backoff_doubles_up_to_half_an_hour() -> None:
    failure, waits = None, []
    for _ in range(8):
        failure = next_failure(failure, DOWN, NOON, 0.5)
        waits.append((failure.retry_at - NOON).total_seconds())
    assert waits == [60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_the_jitter_is_a_tenth_to_both_sides() -> None:
    waits = [
        (next_failure(None, DOWN, NOON, chance).retry_at - NOON).total_seconds()
        for chance in (0, 1)
    ]
    assert waits == [54, 66]


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(None, 60), (5, 60), (200, 200), (86400, 86400)]
)
def test_the_backoff_is_at_least_retry_after(retry_after: float | None, expected: int) -> None:
    error = FetchError("http://a.b/papers", "HTTP 429, too many requests", retry_after=retry_after)
    assert next_failure(None, error, NOON, 0.5).retry_at == NOON + timedelta(seconds=expected)


def test_a_failure_records_the_reason_and_the_times() -> None:
    error = ParseError("http://a.b/papers", "the list is empty")
    assert next_failure(None, error, NOON, 0.5) == Failure(
        reason="the list is empty (http://a.b/papers)",
        count=1,
        at=NOON,
        retry_at=NOON + timedelta(minutes=1),
        since=NOON,
    )


def test_consecutive_failures_keep_the_time_of_the_first() -> None:
    error = ParseError("http://a.b/papers", "the list is empty")
    first = next_failure(None, error, NOON, 0.5)
    second = next_failure(first, error, NOON + timedelta(hours=1), 0.5)
    assert (second.since, second.at) == (NOON, NOON + timedelta(hours=1))
    assert next_failure(second, error, NOON + timedelta(hours=2), 0.5).since == NOON


def test_failures_within_the_grace_do_not_double_the_backoff() -> None:
    failure, waits = None, []
    for _ in range(4):
        failure = next_failure(failure, DOWN, NOON, 0.5, grace=1)
        waits.append((failure.retry_at - NOON).total_seconds())
    assert waits == [60, 60, 120, 240]


# --- rate limit --------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)


def send_slots(count: int, *, adhoc: bool = False, spacing: timedelta = SECOND) -> list[float]:
    """Return when that many requests are sent, in seconds from now."""
    request_log, now, times = RequestLog(), NOON, []
    for _ in range(count):
        now = next_request_at(request_log, now, adhoc=adhoc, spacing=spacing)
        request_log = record_request(request_log, now, adhoc=adhoc)
        times.append((now - NOON).total_seconds())
    return times


def test_a_burst_of_four_requests_then_one_each_second() -> None:
    assert send_slots(8) == [0, 0, 0, 0, 1, 2, 3, 4]


def test_the_spacing_is_configurable() -> None:
    assert send_slots(6, spacing=timedelta(seconds=2.5)) == [0, 0, 0, 0, 2.5, 5]
    assert send_slots(6, spacing=timedelta(0)) == [0] * 6


def test_after_a_pause_another_burst_is_allowed() -> None:
    request_log = RequestLog(tuple(NOON - SECOND * ago for ago in (63, 62, 61, 60)))
    times, now = [], NOON
    for _ in range(5):
        now = next_request_at(request_log, now, adhoc=False, spacing=SECOND)
        request_log = record_request(request_log, now, adhoc=False)
        times.append((now - NOON).total_seconds())
    assert times == [0, 0, 0, 0, 1]


def test_at_most_sixty_requests_are_sent_in_five_minutes() -> None:
    times = send_slots(130)
    for start in times:
        assert sum(start <= moment < start + 300 for moment in times) <= 60
    assert times[60] == 300


def test_at_most_thirty_of_them_are_adhoc_searches() -> None:
    times = send_slots(40, adhoc=True)
    assert times[29] < 30
    assert times[30] == 300


def test_other_pages_are_fetched_while_adhoc_searches_are_limited() -> None:
    request_log, now = RequestLog(), NOON
    for _ in range(30):
        now = next_request_at(request_log, now, adhoc=True, spacing=SECOND)
        request_log = record_request(request_log, now, adhoc=True)
    assert next_request_at(request_log, now, adhoc=True, spacing=SECOND) > now + timedelta(
        minutes=4
    )
    assert next_request_at(request_log, now, adhoc=False, spacing=SECOND) <= now + SECOND


def test_old_requests_are_removed_from_the_log() -> None:
    request_log = RequestLog(tuple(NOON - timedelta(minutes=6 + ago) for ago in range(90)))
    assert record_request(request_log, NOON, adhoc=False) == RequestLog((NOON,))


def test_requests_logged_while_the_clock_was_ahead_do_not_count() -> None:
    request_log = RequestLog((NOON + timedelta(days=3),) * 60)
    assert next_request_at(request_log, NOON, adhoc=False, spacing=SECOND) == NOON
