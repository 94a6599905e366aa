"""What a paper's dates mean, which pages cover a window, and how readings follow each other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.feeds.selection import unite_listings
from feedsrv.models import Kind, Listing, Page, Paper, pages_covering
from feedsrv.upstream.refresh import merge_refresh
from tests.support.builders import DAY, READ_AT, Source, listing, paper

LATER = READ_AT + timedelta(hours=3)
LATEST = READ_AT + timedelta(hours=6)
TRENDING = Page(Kind.TRENDING)
SEARCH = Page(Kind.SEARCH, "kites")
SHRINKING = [Page(Kind.WEEK, "2026-W32"), Page(Kind.MONTH, "2026-08"), TRENDING, SEARCH]


def on_card(name: str = "2608.99001", **details: Any) -> Paper:
    """A paper as far as a card tells."""
    return paper(name, **({"authors": (), "abstract": ""} | details))


def ids(papers: tuple[Paper, ...]) -> list[str]:
    return [one.id for one in papers]


# --- dates -----------------------------------------------------------------------------------


def test_a_paper_is_published_at_the_midnight_of_its_list_day() -> None:
    assert paper().published == datetime(2026, 8, 7, tzinfo=UTC)


def test_a_paper_never_listed_is_published_on_its_arxiv_day() -> None:
    assert paper(listed=None).published == datetime(2026, 8, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("revised", "updated"),
    [
        (None, datetime(2026, 8, 7, tzinfo=UTC)),
        (LATER, LATER),
        # Known from a search and revised before it came to Daily.
        (datetime(2026, 8, 6, tzinfo=UTC), datetime(2026, 8, 7, tzinfo=UTC)),
    ],
    ids=["never-revised", "revised", "revised-before"],
)
def test_a_paper_is_never_updated_before_it_was_published(
    revised: datetime | None, updated: datetime
) -> None:
    assert paper(revised=revised).updated == updated


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("2608.99001", True),
        ("1802.0897", True),
        ("sample-001", False),
        ("2608.99001v2", False),
        ("2608.990011", False),
        ("x2608.99001", False),
        ("2608.99001\n", False),
    ],
)
def test_an_id_of_arxiv_is_four_digits_a_point_and_four_or_five(name: str, known: bool) -> None:
    assert paper(name).is_arxiv is known


# --- which pages -----------------------------------------------------------------------------


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
def test_the_pages_of_a_window_stand_once_each_and_newest_first(
    kind: Kind, today: date, days: int, keys: list[str]
) -> None:
    assert pages_covering(kind, today, days) == tuple(Page(kind, key) for key in keys)


@given(st.dates(date(2023, 5, 4), date(2100, 1, 1)), st.integers(1, 100))
def test_every_day_of_a_window_lies_on_one_of_its_pages(today: date, days: int) -> None:
    first = today - timedelta(days=days - 1)
    assert len(pages_covering(Kind.DAY, today, days)) == days
    weeks = [page.key for page in pages_covering(Kind.WEEK, today, days)]
    months = [page.key for page in pages_covering(Kind.MONTH, today, days)]
    mondays = [datetime.strptime(f"{week}-1", "%G-W%V-%u").date() for week in weeks]  # noqa: DTZ007
    assert mondays[-1] <= first <= today <= mondays[0] + timedelta(days=6)
    assert {newer - older for newer, older in pairwise(mondays)} <= {timedelta(days=7)}
    assert months == sorted(set(months), reverse=True)
    assert (months[0], months[-1]) == (f"{today:%Y-%m}", f"{first:%Y-%m}")


# --- one reading after another ---------------------------------------------------------------


def test_the_first_reading_is_kept_as_it_is() -> None:
    fresh = listing(paper())
    assert merge_refresh(None, fresh) is fresh


def test_a_days_list_only_grows() -> None:
    kept = listing(paper("2608.99001"), paper("2608.99002"), paper("2608.99003"))
    fresh = listing(paper("2608.99004"), paper("2608.99002"), read_at=LATER)
    # The order is the fresh one's: by votes, which moved on.
    assert ids(merge_refresh(kept, fresh).papers) == [
        "2608.99004",
        "2608.99002",
        "2608.99001",
        "2608.99003",
    ]


@pytest.mark.parametrize("page", SHRINKING, ids=lambda page: str(page.kind))
def test_a_list_that_moves_on_lets_go_of_its_papers(page: Page) -> None:
    kept = listing(paper("2608.99001"), paper("2608.99002"), page=page)
    fresh = listing(paper("2608.99003"), paper("2608.99002"), page=page, read_at=LATER)
    assert ids(merge_refresh(kept, fresh).papers) == ["2608.99003", "2608.99002"]


def test_counters_and_all_else_are_as_last_read() -> None:
    kept = listing(paper(upvotes=9, comments=4, stars=7, keywords=("old",), code="https://a.b"))
    newer = paper(upvotes=2, comments=5, stars=0, keywords=("new",), organization="Lab")
    found = merge_refresh(kept, listing(newer, read_at=LATER))
    assert found.papers == (newer,)
    assert found.fetched_at == LATER


@pytest.mark.parametrize(
    ("change", "revised"),
    [
        ({"title": "Kite, again"}, LATER),
        ({"abstract": "A kite listens, and answers."}, LATER),
        ({"upvotes": 100, "comments": 100, "stars": 100}, None),
        ({"keywords": ("kites",), "summary": "Short.", "organization": "Lab"}, None),
        ({"authors": ("Somebody Else",), "organization": "Elsewhere"}, None),
        ({}, None),
    ],
    ids=["title", "abstract", "counters", "extras", "people", "nothing"],
)
def test_only_another_title_or_abstract_is_a_revision(
    change: dict[str, Any], revised: datetime | None
) -> None:
    found = merge_refresh(listing(paper()), listing(paper(**change), read_at=LATER))
    assert found.papers == (paper(**change, revised=revised),)


def test_a_paper_keeps_the_list_day_that_it_was_first_seen_with() -> None:
    found = merge_refresh(
        listing(paper(listed=date(2026, 8, 7))),
        listing(paper(listed=date(2026, 8, 6), title="Other"), read_at=LATER),
    )
    assert [each.listed for each in found.papers] == [date(2026, 8, 7)]


def test_a_revision_is_remembered_by_later_readings_until_the_next() -> None:
    first = merge_refresh(listing(paper()), listing(paper(title="Second"), read_at=LATER))
    same = merge_refresh(first, listing(paper(title="Second", upvotes=99), read_at=LATEST))
    assert same.papers == (paper(title="Second", upvotes=99, revised=LATER),)
    again = merge_refresh(same, listing(paper(title="Third"), read_at=LATEST))
    assert again.papers[0].revised == LATEST


def test_a_revised_paper_that_leaves_a_days_list_stays_as_it_was() -> None:
    kept = listing(paper("2608.99001", revised=READ_AT), paper("2608.99002"))
    found = merge_refresh(kept, listing(paper("2608.99002"), read_at=LATER))
    assert found.papers[1] == kept.papers[0]


def test_an_empty_search_answer_replaces_what_was_found_before() -> None:
    assert merge_refresh(listing(paper(), page=SEARCH), listing(page=SEARCH)).papers == ()


# --- cards and data --------------------------------------------------------------------------


@pytest.mark.parametrize("page", [DAY, TRENDING], ids=lambda page: str(page.kind))
def test_a_card_brings_its_counters_to_a_full_reading_and_nothing_else(page: Page) -> None:
    full = paper(upvotes=9, comments=4, stars=843, keywords=("kites",), revised=READ_AT)
    seen = on_card(title="Kit…", abstract="A k…", upvotes=12, comments=5, stars=1280)
    fresh = listing(seen, page=page, read_at=LATER, source="cards")
    assert merge_refresh(listing(full, page=page), fresh).papers == (
        paper(upvotes=12, comments=5, stars=1280, keywords=("kites",), revised=READ_AT),
    )


def test_a_counter_that_a_card_does_not_show_is_not_lost() -> None:
    kept = listing(paper(upvotes=9, comments=4, stars=843))
    found = merge_refresh(kept, listing(on_card(upvotes=0), source="cards"))
    assert found.papers == (paper(upvotes=0, comments=4, stars=843),)


def test_a_paper_first_seen_on_a_card_joins_the_list() -> None:
    fresh = listing(on_card("2608.99002"), on_card("2608.99001"), source="cards")
    found = merge_refresh(listing(paper("2608.99001")), fresh)
    assert found.papers == (on_card("2608.99002"), paper("2608.99001"))


@pytest.mark.parametrize(
    "known",
    [on_card(), on_card(abstract="A kite l…"), on_card(title="Kite:")],
    ids=["no-abstract", "cut-abstract", "other-title"],
)
def test_the_full_reading_of_a_paper_known_from_a_card_is_no_revision(known: Paper) -> None:
    kept = listing(known, source="cards")
    assert merge_refresh(kept, listing(paper(), read_at=LATER)).papers == (paper(),)


# --- neighbours ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "fresh", "wanted"),
    [
        (("2026-08-06", ""), ("2026-08-06", "2026-08-10"), ("2026-08-06", "2026-08-10")),
        (("2026-08-06", "2026-08-10"), ("", ""), ("2026-08-06", "2026-08-10")),
        (("2026-08-06", ""), ("2026-08-05", ""), ("2026-08-05", "")),
    ],
    ids=["the-next-day-came", "cards-name-none", "corrected"],
)
def test_the_neighbours_of_a_day_are_kept_where_a_reading_names_none(
    kept: tuple[str, str], fresh: tuple[str, str], wanted: tuple[str, str]
) -> None:
    def named(days: tuple[str, str]) -> Listing:
        return listing(paper(), previous_day=days[0], next_day=days[1])

    found = merge_refresh(named(kept), named(fresh))
    assert (found.previous_day, found.next_day) == wanted


def test_what_was_skipped_and_where_it_was_read_is_the_fresh_readings() -> None:
    kept = listing(paper(), skipped=("2608.99009: odd",), source="cards")
    found = merge_refresh(kept, listing(paper(), source="api"))
    assert (found.skipped, found.source) == ((), "api")


# --- properties of succession ----------------------------------------------------------------

names = st.lists(st.sampled_from([f"2608.9900{n}" for n in range(6)]), max_size=6, unique=True)
versions = st.sampled_from(["Kite", "Kite, again"])
sources: st.SearchStrategy[Source] = st.sampled_from(["data", "cards", "api"])


@st.composite
def readings(draw: st.DrawFn, page: Page = DAY) -> Listing:
    source = draw(sources)
    make = on_card if source == "cards" else paper
    papers = [make(name, title=draw(versions), upvotes=draw(st.integers(0, 9)))
              for name in draw(names)]  # fmt: skip
    return Listing(page=page, papers=tuple(papers), fetched_at=READ_AT, source=source)


@given(st.lists(readings(), min_size=1, max_size=4))
def test_a_days_list_holds_every_paper_ever_read_once_and_never_less_of_one(
    seen: list[Listing],
) -> None:
    kept: Listing | None = None
    full: set[str] = set()
    for fresh in seen:
        kept = merge_refresh(kept, fresh)
        full |= set() if fresh.source == "cards" else set(ids(fresh.papers))
        assert {one.id for one in kept.papers if one.abstract} == full
    assert kept is not None
    assert sorted(ids(kept.papers)) == sorted({name for one in seen for name in ids(one.papers)})


@given(readings())
def test_reading_the_same_again_changes_nothing(once: Listing) -> None:
    assert merge_refresh(once, once) == once


# --- every listing together ------------------------------------------------------------------


def test_a_paper_on_many_lists_stands_once_and_the_newest_first() -> None:
    day = listing(
        paper("2608.99002"), paper("2608.99003"), paper("2608.99001", listed=date(2026, 8, 6))
    )
    search = listing(
        paper("2608.99003"),
        paper("2512.99004", submitted=date(2025, 12, 1), listed=None),
        paper("2608.99005", submitted=date(2026, 8, 7), listed=None),
        page=SEARCH,
    )
    assert ids(unite_listings((day, search))) == [
        "2608.99005",
        "2608.99003",
        "2608.99002",
        "2608.99001",
        "2512.99004",
    ]


@pytest.mark.parametrize("daily_first", [True, False])
def test_the_copy_that_knows_its_list_day_wins(daily_first: bool) -> None:
    daily = listing(paper(upvotes=1, submitted=date(2026, 8, 6)))
    found = listing(paper(upvotes=2, listed=None), page=SEARCH)
    lists = (daily, found) if daily_first else (found, daily)
    assert unite_listings(lists) == daily.papers


def test_of_two_copies_that_know_as_much_the_first_listings_wins() -> None:
    daily, found = listing(paper(upvotes=1)), listing(paper(upvotes=2), page=SEARCH)
    assert unite_listings((daily, found)) == daily.papers
    assert unite_listings((found, daily)) == found.papers


@pytest.mark.parametrize("earlier_first", [True, False])
def test_the_earliest_list_day_wins_so_that_published_never_moves(earlier_first: bool) -> None:
    earlier = listing(paper(listed=date(2026, 8, 6)), page=Page(Kind.DAY, "2026-08-06"))
    later = listing(paper())
    lists = (earlier, later) if earlier_first else (later, earlier)
    assert unite_listings(lists) == earlier.papers


@pytest.mark.parametrize("card_first", [True, False])
def test_a_copy_with_an_abstract_wins_over_a_card(card_first: bool) -> None:
    seen = listing(on_card(), source="cards")
    full = listing(paper(), page=SEARCH)
    assert unite_listings((seen, full) if card_first else (full, seen)) == full.papers


def test_nothing_united_is_nothing() -> None:
    assert unite_listings(()) == ()
    assert unite_listings((listing(page=SEARCH),)) == ()


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=5), max_size=4))
def test_united_papers_are_the_set_of_all_in_falling_order(found: list[list[Any]]) -> None:
    lists = tuple(
        listing(*(paper(f"2608.9900{n}", listed=date(2026, 8, 4 + day)) for n, day in one))
        for one in found
    )
    united = unite_listings(lists)
    keys = [(one.published, one.id) for one in united]
    assert keys == sorted(keys, reverse=True)
    assert sorted(ids(united)) == sorted({f"2608.9900{n}" for one in found for n, _ in one})
    for one in united:
        days = [p.listed for each in lists for p in each.papers if p.id == one.id and p.listed]
        assert one.listed == min(days)
