"""The union of listings: each paper once."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.feeds.deduplication import unite_listings
from feedsrv.models import Kind, Page, Paper
from tests.support.builders import make_card_paper, make_listing, make_paper

SEARCH = Page(Kind.SEARCH, "kites")


def paper_ids(papers: tuple[Paper, ...]) -> list[str]:
    return [paper.id for paper in papers]


def test_papers_of_several_listings_are_merged_newest_first() -> None:
    day = make_listing(
        make_paper("2608.99002"),
        make_paper("2608.99003"),
        make_paper("2608.99001", listed=date(2026, 8, 6)),
    )
    search = make_listing(
        make_paper("2608.99003"),
        make_paper("2512.99004", submitted=date(2025, 12, 1), listed=None),
        make_paper("2608.99005", submitted=date(2026, 8, 7), listed=None),
        page=SEARCH,
    )
    assert paper_ids(unite_listings((day, search))) == [
        "2608.99005",
        "2608.99003",
        "2608.99002",
        "2608.99001",
        "2512.99004",
    ]


@pytest.mark.parametrize("daily_first", [True, False])
def test_the_copy_with_a_list_day_wins(daily_first: bool) -> None:
    daily = make_listing(make_paper(upvotes=1, submitted=date(2026, 8, 6)))
    found = make_listing(make_paper(upvotes=2, listed=None), page=SEARCH)
    lists = (daily, found) if daily_first else (found, daily)
    assert unite_listings(lists) == daily.papers


def test_the_copy_of_the_first_listing_wins_over_an_equal_one() -> None:
    daily, found = (
        make_listing(make_paper(upvotes=1)),
        make_listing(make_paper(upvotes=2), page=SEARCH),
    )
    assert unite_listings((daily, found)) == daily.papers
    assert unite_listings((found, daily)) == found.papers


@pytest.mark.parametrize("earlier_first", [True, False])
def test_the_earliest_list_day_wins_so_that_published_never_moves(earlier_first: bool) -> None:
    earlier = make_listing(make_paper(listed=date(2026, 8, 6)), page=Page(Kind.DAY, "2026-08-06"))
    later = make_listing(make_paper())
    lists = (earlier, later) if earlier_first else (later, earlier)
    assert unite_listings(lists) == earlier.papers


@pytest.mark.parametrize("card_first", [True, False])
def test_a_copy_with_an_abstract_wins_over_a_card(card_first: bool) -> None:
    cards = make_listing(make_card_paper(), parsed_from="cards")
    full = make_listing(make_paper(), page=SEARCH)
    assert unite_listings((cards, full) if card_first else (full, cards)) == full.papers


def test_the_union_of_no_papers_is_empty() -> None:
    assert unite_listings(()) == ()
    assert unite_listings((make_listing(page=SEARCH),)) == ()


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=5), max_size=4))
def test_the_union_has_each_paper_once_newest_first(found: list[list[Any]]) -> None:
    lists = tuple(
        make_listing(
            *(make_paper(f"2608.9900{n}", listed=date(2026, 8, 4 + day)) for n, day in numbers)
        )
        for numbers in found
    )
    united = unite_listings(lists)
    keys = [(paper.published, paper.id) for paper in united]
    assert keys == sorted(keys, reverse=True)
    assert sorted(paper_ids(united)) == sorted(
        {f"2608.9900{n}" for numbers in found for n, _ in numbers}
    )
    for paper in united:
        days = [p.listed for each in lists for p in each.papers if p.id == paper.id and p.listed]
        assert paper.listed == min(days)
