"""Many papers are matched as each of them would be."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.feeds.selection import Selector
from feedsrv.models import Kind, Listing, Page, Paper
from feedsrv.search.index import Index, InvertedIndex
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Query, matches
from tests.support.strategies import few_examples, make_paper, papers, queries, terms


@few_examples
@given(st.lists(papers(), max_size=5), queries())
def test_a_query_finds_the_papers_that_match_it_in_their_order(
    held: list[Paper], query: Query
) -> None:
    assert Index(held).matching(query) == tuple(one for one in held if matches(query, one))


@few_examples
@given(st.lists(papers(), min_size=1, max_size=5), terms())
def test_a_term_finds_the_papers_that_match_it(held: list[Paper], term: Query) -> None:
    assert Index(held).matching(term) == tuple(one for one in held if matches(term, one))


@few_examples
@given(st.lists(papers(), max_size=5), st.lists(queries(), min_size=2, max_size=4))
def test_it_counts_the_papers_that_fail_one_part_alone(
    held: list[Paper], parts: list[Query]
) -> None:
    failing = [[n for n, part in enumerate(parts) if not matches(part, one)] for one in held]
    assert Index(held).count_without_each(parts) == [failing.count([n]) for n in range(len(parts))]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fog", "both title"),
        ('"fog on"', "both"),
        ("fo*", "both title"),
        ("ferries fog", "both"),
        ("-fog", "none"),
        ("fog OR harbour", "both title none"),
        ("fog -(ferry OR harbour)", "title"),
        ('title:"on ferries"', "both"),
        ('author:"quill ada"', ""),
        ("author:quill -has:code", "both"),
        ("upvotes:>=0", "both title none"),
        ("zebra", ""),
        ("zebra*", ""),
    ],
)
def test_what_an_index_finds(query: str, found: str) -> None:
    held = {
        "both": make_paper("Fog on ferries", authors=("Ada Quill",)),
        "title": make_paper("Fog"),
        "none": make_paper("A harbour"),
    }
    index = Index(list(held.values()))
    assert index.matching(parse_query(query)) == tuple(held[name] for name in found.split())


def test_a_paper_is_had_by_its_id() -> None:
    one = make_paper("Fog")
    assert Index([one]).get(one.id) is one
    assert Index([one]).get("2611.99999") is None
    assert Index([]).matching(parse_query("-fog")) == ()


@few_examples
@given(st.lists(papers(), max_size=5), queries())
def test_the_first_queries_find_the_same_before_words_are_arranged(
    held: list[Paper], query: Query
) -> None:
    index = Index(held, InvertedIndex(read=9))
    found = [index.matching(query) for _ in range(10)]
    assert found == [tuple(one for one in held if matches(query, one))] * 10


@few_examples
@given(st.lists(st.lists(papers(), max_size=5), max_size=3), queries(), st.integers(0, 3))
def test_papers_arranged_with_those_of_others_are_found_as_by_themselves(
    lists: list[list[Paper]], query: Query, read: int
) -> None:
    rows, held = InvertedIndex(read=read), list[Paper]()
    for new in lists:
        held = [*new, *held[:2]]
        expected = tuple(one for one in held if matches(query, one))
        assert Index(held, rows).matching(query) == expected


def test_an_index_finds_the_same_after_others_were_arranged_with_it() -> None:
    rows = InvertedIndex()
    index = Index([make_paper("Fog"), make_paper("A harbour")], rows)
    before = index.matching(parse_query("fo*"))
    later = Index([make_paper("Fog on ferries"), *index.papers], rows)
    assert index.matching(parse_query("fo*")) == before
    assert index.matching(parse_query("-fog")) == index.papers[1:]
    assert later.matching(parse_query("fo*")) == (later.papers[0], *before)


def test_what_stays_is_not_arranged_again() -> None:
    rows = InvertedIndex()
    fog, harbour = make_paper("Fog", id="2611.00001"), make_paper("A harbour", id="2611.00002")
    Index([fog, harbour], rows)
    voted = msgspec.structs.replace(fog, upvotes=7)
    Index([make_paper("Ferries", id="2611.00003"), harbour, voted], rows)
    assert rows.size == 3
    revised = make_paper("Fog again", id=fog.id)
    assert Index([revised, harbour], rows).matching(parse_query("again")) == (revised,)
    assert rows.size == 4


def test_papers_that_went_are_forgotten_in_the_end() -> None:
    selector = Selector()
    for number in range(1, 90):
        held = tuple(make_paper("Fog", id=f"2611.{number + each:05d}") for each in range(20))
        day = Page(Kind.DAY, "2026-11-24")
        listing = Listing(page=day, papers=held, fetched_at=datetime(2026, 11, 24, tzinfo=UTC))
        index = selector.index([listing])
        assert len(index.matching(parse_query("fog"))) == 20
        assert selector._rows.size <= 41
