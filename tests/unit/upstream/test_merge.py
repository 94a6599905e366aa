"""A fetched listing merged with the stored one."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.models import Kind, Listing, Page, Paper
from feedsrv.upstream.merge import merge_refresh
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
    return [paper.id for paper in papers]


def test_the_first_listing_is_unchanged() -> None:
    fetched = make_listing(make_paper())
    assert merge_refresh(None, fetched) is fetched


def test_a_days_list_only_grows() -> None:
    stored = make_listing(
        make_paper("2608.99001"), make_paper("2608.99002"), make_paper("2608.99003")
    )
    fetched = make_listing(make_paper("2608.99004"), make_paper("2608.99002"), fetched_at=LATER)
    # The order is that of the fetched list: by current votes.
    assert paper_ids(merge_refresh(stored, fetched).papers) == [
        "2608.99004",
        "2608.99002",
        "2608.99001",
        "2608.99003",
    ]


@pytest.mark.parametrize("page", SHRINKING, ids=lambda page: str(page.kind))
def test_lists_of_other_kinds_drop_removed_papers(page: Page) -> None:
    stored = make_listing(make_paper("2608.99001"), make_paper("2608.99002"), page=page)
    fetched = make_listing(
        make_paper("2608.99003"), make_paper("2608.99002"), page=page, fetched_at=LATER
    )
    assert paper_ids(merge_refresh(stored, fetched).papers) == ["2608.99003", "2608.99002"]


def test_counters_and_other_fields_are_those_of_the_last_fetch() -> None:
    stored = make_listing(
        make_paper(upvotes=9, comments=4, stars=7, keywords=("old",), code="https://a.b")
    )
    newer = make_paper(upvotes=2, comments=5, stars=0, keywords=("new",), organization="Lab")
    found = merge_refresh(stored, make_listing(newer, fetched_at=LATER))
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


def test_a_paper_keeps_its_first_list_day() -> None:
    found = merge_refresh(
        make_listing(make_paper(listed=date(2026, 8, 7))),
        make_listing(make_paper(listed=date(2026, 8, 6), title="Other"), fetched_at=LATER),
    )
    assert [each.listed for each in found.papers] == [date(2026, 8, 7)]


def test_the_time_of_a_revision_is_preserved_until_the_next_revision() -> None:
    first = merge_refresh(
        make_listing(make_paper()), make_listing(make_paper(title="Second"), fetched_at=LATER)
    )
    same = merge_refresh(
        first, make_listing(make_paper(title="Second", upvotes=99), fetched_at=LATEST)
    )
    assert same.papers == (make_paper(title="Second", upvotes=99, revised=LATER),)
    again = merge_refresh(same, make_listing(make_paper(title="Third"), fetched_at=LATEST))
    assert again.papers[0].revised == LATEST


def test_a_revised_paper_that_leaves_a_days_list_is_unchanged() -> None:
    stored = make_listing(make_paper("2608.99001", revised=FETCHED_AT), make_paper("2608.99002"))
    found = merge_refresh(stored, make_listing(make_paper("2608.99002"), fetched_at=LATER))
    assert found.papers[1] == stored.papers[0]


def test_an_empty_search_response_replaces_earlier_results() -> None:
    assert (
        merge_refresh(make_listing(make_paper(), page=SEARCH), make_listing(page=SEARCH)).papers
        == ()
    )


@pytest.mark.parametrize("page", [DAY, TRENDING], ids=lambda page: str(page.kind))
def test_a_card_updates_only_the_counters_of_a_full_paper(page: Page) -> None:
    full = make_paper(upvotes=9, comments=4, stars=843, keywords=("kites",), revised=FETCHED_AT)
    card = make_card_paper(title="Kit…", abstract="A k…", upvotes=12, comments=5, stars=1280)
    fetched = make_listing(card, page=page, fetched_at=LATER, parsed_from="cards")
    assert merge_refresh(make_listing(full, page=page), fetched).papers == (
        make_paper(upvotes=12, comments=5, stars=1280, keywords=("kites",), revised=FETCHED_AT),
    )


def test_a_counter_that_a_card_does_not_show_is_not_lost() -> None:
    stored = make_listing(make_paper(upvotes=9, comments=4, stars=843))
    found = merge_refresh(stored, make_listing(make_card_paper(upvotes=0), parsed_from="cards"))
    assert found.papers == (make_paper(upvotes=0, comments=4, stars=843),)


def test_a_paper_first_seen_on_a_card_is_added_to_the_list() -> None:
    fetched = make_listing(
        make_card_paper("2608.99002"), make_card_paper("2608.99001"), parsed_from="cards"
    )
    found = merge_refresh(make_listing(make_paper("2608.99001")), fetched)
    assert found.papers == (make_card_paper("2608.99002"), make_paper("2608.99001"))


@pytest.mark.parametrize(
    "known",
    [make_card_paper(), make_card_paper(abstract="A kite l…"), make_card_paper(title="Kite:")],
    ids=["no-abstract", "cut-abstract", "other-title"],
)
def test_full_data_for_a_paper_known_from_a_card_is_no_revision(known: Paper) -> None:
    stored = make_listing(known, parsed_from="cards")
    assert merge_refresh(stored, make_listing(make_paper(), fetched_at=LATER)).papers == (
        make_paper(),
    )


@pytest.mark.parametrize(
    ("stored", "fetched", "expected"),
    [
        (("2026-08-06", ""), ("2026-08-06", "2026-08-10"), ("2026-08-06", "2026-08-10")),
        (("2026-08-06", "2026-08-10"), ("", ""), ("2026-08-06", "2026-08-10")),
        (("2026-08-06", ""), ("2026-08-05", ""), ("2026-08-05", "")),
    ],
    ids=["the-next-day-came", "cards-name-none", "corrected"],
)
def test_neighbouring_days_are_preserved_if_a_fetch_names_none(
    stored: tuple[str, str], fetched: tuple[str, str], expected: tuple[str, str]
) -> None:
    def listing_with(days: tuple[str, str]) -> Listing:
        return make_listing(make_paper(), previous_day=days[0], next_day=days[1])

    found = merge_refresh(listing_with(stored), listing_with(fetched))
    assert (found.previous_day, found.next_day) == expected


def test_skipped_papers_and_source_are_those_of_the_last_fetch() -> None:
    stored = make_listing(make_paper(), skipped=("2608.99009: odd",), parsed_from="cards")
    found = merge_refresh(stored, make_listing(make_paper(), parsed_from="api"))
    assert (found.skipped, found.parsed_from) == ((), "api")


names = st.lists(st.sampled_from([f"2608.9900{n}" for n in range(6)]), max_size=6, unique=True)


versions = st.sampled_from(["Kite", "Kite, again"])


sources: st.SearchStrategy[Source] = st.sampled_from(["data", "cards", "api"])


@st.composite
def listings(draw: st.DrawFn, page: Page = DAY) -> Listing:
    source = draw(sources)
    make = make_card_paper if source == "cards" else make_paper
    papers = [make(name, title=draw(versions), upvotes=draw(st.integers(0, 9)))
              for name in draw(names)]  # fmt: skip
    return Listing(page=page, papers=tuple(papers), fetched_at=FETCHED_AT, parsed_from=source)


@given(st.lists(listings(), min_size=1, max_size=4))
def test_a_days_list_has_every_fetched_paper_once_and_loses_no_data(seen: list[Listing]) -> None:
    stored: Listing | None = None
    full: set[str] = set()
    for fetched in seen:
        stored = merge_refresh(stored, fetched)
        full |= set() if fetched.parsed_from == "cards" else set(paper_ids(fetched.papers))
        assert {paper.id for paper in stored.papers if paper.abstract} == full
    assert stored is not None
    assert sorted(paper_ids(stored.papers)) == sorted(
        {name for listing in seen for name in paper_ids(listing.papers)}
    )


@given(listings())
def test_merging_a_listing_with_itself_changes_nothing(once: Listing) -> None:
    assert merge_refresh(once, once) == once
