"""A listing merged with the one kept before it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.models import Kind, Listing, Page, Paper
from feedsrv.upstream.refresh import merge_refresh
from tests.support.builders import (
    DAY,
    FETCHED_AT,
    Source,
    make_card_paper,
    make_listing,
    make_paper,
)

LATER = FETCHED_AT + timedelta(hours=3)


LATEST = FETCHED_AT + timedelta(hours=6)


TRENDING = Page(Kind.TRENDING)


SEARCH = Page(Kind.SEARCH, "kites")


SHRINKING = [Page(Kind.WEEK, "2026-W32"), Page(Kind.MONTH, "2026-08"), TRENDING, SEARCH]


def paper_ids(papers: tuple[Paper, ...]) -> list[str]:
    return [one.id for one in papers]


def test_the_first_reading_is_kept_as_it_is() -> None:
    fresh = make_listing(make_paper())
    assert merge_refresh(None, fresh) is fresh


def test_a_days_list_only_grows() -> None:
    kept = make_listing(
        make_paper("2608.99001"), make_paper("2608.99002"), make_paper("2608.99003")
    )
    fresh = make_listing(make_paper("2608.99004"), make_paper("2608.99002"), fetched_at=LATER)
    # The order is the fresh one's: by votes, which moved on.
    assert paper_ids(merge_refresh(kept, fresh).papers) == [
        "2608.99004",
        "2608.99002",
        "2608.99001",
        "2608.99003",
    ]


@pytest.mark.parametrize("page", SHRINKING, ids=lambda page: str(page.kind))
def test_a_list_that_moves_on_lets_go_of_its_papers(page: Page) -> None:
    kept = make_listing(make_paper("2608.99001"), make_paper("2608.99002"), page=page)
    fresh = make_listing(
        make_paper("2608.99003"), make_paper("2608.99002"), page=page, fetched_at=LATER
    )
    assert paper_ids(merge_refresh(kept, fresh).papers) == ["2608.99003", "2608.99002"]


def test_counters_and_all_else_are_as_last_read() -> None:
    kept = make_listing(
        make_paper(upvotes=9, comments=4, stars=7, keywords=("old",), code="https://a.b")
    )
    newer = make_paper(upvotes=2, comments=5, stars=0, keywords=("new",), organization="Lab")
    found = merge_refresh(kept, make_listing(newer, fetched_at=LATER))
    assert found.papers == (newer,)
    assert found.fetched_at == LATER


@pytest.mark.parametrize(
    ("change", "revised"),
    [
        ({"title": "Kite, again"}, LATER),
        ({"abstract": "A kite listens, and answers."}, LATER),
        ({"upvotes": 100, "comments": 100, "stars": 100}, None),
        ({"keywords": ("kites",), "ai_summary": "Short.", "organization": "Lab"}, None),
        ({"authors": ("Somebody Else",), "organization": "Elsewhere"}, None),
        ({}, None),
    ],
    ids=["title", "abstract", "counters", "extras", "people", "nothing"],
)
def test_only_another_title_or_abstract_is_a_revision(
    change: dict[str, Any], revised: datetime | None
) -> None:
    found = merge_refresh(
        make_listing(make_paper()), make_listing(make_paper(**change), fetched_at=LATER)
    )
    assert found.papers == (make_paper(**change, revised=revised),)


def test_a_paper_keeps_the_list_day_that_it_was_first_seen_with() -> None:
    found = merge_refresh(
        make_listing(make_paper(listed=date(2026, 8, 7))),
        make_listing(make_paper(listed=date(2026, 8, 6), title="Other"), fetched_at=LATER),
    )
    assert [each.listed for each in found.papers] == [date(2026, 8, 7)]


def test_a_revision_is_remembered_by_later_readings_until_the_next() -> None:
    first = merge_refresh(
        make_listing(make_paper()), make_listing(make_paper(title="Second"), fetched_at=LATER)
    )
    same = merge_refresh(
        first, make_listing(make_paper(title="Second", upvotes=99), fetched_at=LATEST)
    )
    assert same.papers == (make_paper(title="Second", upvotes=99, revised=LATER),)
    again = merge_refresh(same, make_listing(make_paper(title="Third"), fetched_at=LATEST))
    assert again.papers[0].revised == LATEST


def test_a_revised_paper_that_leaves_a_days_list_stays_as_it_was() -> None:
    kept = make_listing(make_paper("2608.99001", revised=FETCHED_AT), make_paper("2608.99002"))
    found = merge_refresh(kept, make_listing(make_paper("2608.99002"), fetched_at=LATER))
    assert found.papers[1] == kept.papers[0]


def test_an_empty_search_answer_replaces_what_was_found_before() -> None:
    assert (
        merge_refresh(make_listing(make_paper(), page=SEARCH), make_listing(page=SEARCH)).papers
        == ()
    )


@pytest.mark.parametrize("page", [DAY, TRENDING], ids=lambda page: str(page.kind))
def test_a_card_brings_its_counters_to_a_full_reading_and_nothing_else(page: Page) -> None:
    full = make_paper(upvotes=9, comments=4, stars=843, keywords=("kites",), revised=FETCHED_AT)
    seen = make_card_paper(title="Kit…", abstract="A k…", upvotes=12, comments=5, stars=1280)
    fresh = make_listing(seen, page=page, fetched_at=LATER, parsed_from="cards")
    assert merge_refresh(make_listing(full, page=page), fresh).papers == (
        make_paper(upvotes=12, comments=5, stars=1280, keywords=("kites",), revised=FETCHED_AT),
    )


def test_a_counter_that_a_card_does_not_show_is_not_lost() -> None:
    kept = make_listing(make_paper(upvotes=9, comments=4, stars=843))
    found = merge_refresh(kept, make_listing(make_card_paper(upvotes=0), parsed_from="cards"))
    assert found.papers == (make_paper(upvotes=0, comments=4, stars=843),)


def test_a_paper_first_seen_on_a_card_joins_the_list() -> None:
    fresh = make_listing(
        make_card_paper("2608.99002"), make_card_paper("2608.99001"), parsed_from="cards"
    )
    found = merge_refresh(make_listing(make_paper("2608.99001")), fresh)
    assert found.papers == (make_card_paper("2608.99002"), make_paper("2608.99001"))


@pytest.mark.parametrize(
    "known",
    [make_card_paper(), make_card_paper(abstract="A kite l…"), make_card_paper(title="Kite:")],
    ids=["no-abstract", "cut-abstract", "other-title"],
)
def test_the_full_reading_of_a_paper_known_from_a_card_is_no_revision(known: Paper) -> None:
    kept = make_listing(known, parsed_from="cards")
    assert merge_refresh(kept, make_listing(make_paper(), fetched_at=LATER)).papers == (
        make_paper(),
    )


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
        return make_listing(make_paper(), previous_day=days[0], next_day=days[1])

    found = merge_refresh(named(kept), named(fresh))
    assert (found.previous_day, found.next_day) == wanted


def test_what_was_skipped_and_where_it_was_read_is_the_fresh_readings() -> None:
    kept = make_listing(make_paper(), skipped=("2608.99009: odd",), parsed_from="cards")
    found = merge_refresh(kept, make_listing(make_paper(), parsed_from="api"))
    assert (found.skipped, found.parsed_from) == ((), "api")


names = st.lists(st.sampled_from([f"2608.9900{n}" for n in range(6)]), max_size=6, unique=True)


versions = st.sampled_from(["Kite", "Kite, again"])


sources: st.SearchStrategy[Source] = st.sampled_from(["data", "cards", "api"])


@st.composite
def readings(draw: st.DrawFn, page: Page = DAY) -> Listing:
    source = draw(sources)
    make = make_card_paper if source == "cards" else make_paper
    papers = [make(name, title=draw(versions), upvotes=draw(st.integers(0, 9)))
              for name in draw(names)]  # fmt: skip
    return Listing(page=page, papers=tuple(papers), fetched_at=FETCHED_AT, parsed_from=source)


@given(st.lists(readings(), min_size=1, max_size=4))
def test_a_days_list_holds_every_paper_ever_read_once_and_never_less_of_one(
    seen: list[Listing],
) -> None:
    kept: Listing | None = None
    full: set[str] = set()
    for fresh in seen:
        kept = merge_refresh(kept, fresh)
        full |= set() if fresh.parsed_from == "cards" else set(paper_ids(fresh.papers))
        assert {one.id for one in kept.papers if one.abstract} == full
    assert kept is not None
    assert sorted(paper_ids(kept.papers)) == sorted(
        {name for one in seen for name in paper_ids(one.papers)}
    )


@given(readings())
def test_reading_the_same_again_changes_nothing(once: Listing) -> None:
    assert merge_refresh(once, once) == once
