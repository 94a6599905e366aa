"""``has:model``, ``has:dataset`` and ``has:space``: papers that artefacts cite."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedsrv.models import ArtefactRecord, LinkedArtefacts, Paper
from feedsrv.search.artefact_table import ARTEFACT_KINDS, NO_ARTEFACTS, ArtefactTable
from feedsrv.search.index import Index
from feedsrv.search.matching import match_locations, matches
from feedsrv.search.parser import parse_query
from feedsrv.search.query import (
    ExternalCondition,
    HasArtefact,
    Query,
    canonical_text,
    has_artefact_condition,
    has_changing_condition,
    ignore_artefacts,
    replace_external_conditions,
)
from tests.support.strategies import make_paper, papers, queries

CHECKED_AT = datetime(2026, 11, 24, 9, tzinfo=UTC)
TABLE = ArtefactTable(
    {
        "2611.00001": ArtefactRecord(CHECKED_AT, model=LinkedArtefacts(3, "ada/tides-7b")),
        "2611.00002": ArtefactRecord(
            CHECKED_AT, dataset=LinkedArtefacts(1, "bo/fog"), space=LinkedArtefacts(2)
        ),
        "2611.00003": ArtefactRecord(CHECKED_AT),
    }
)
PAPERS = [make_paper(id=f"2611.0000{number}") for number in (1, 2, 3, 4)]


def resolve(query: Query, table: ArtefactTable) -> Query:
    def look_up(part: ExternalCondition) -> Query:
        is_artefact = isinstance(part, HasArtefact)
        return msgspec.structs.replace(part, table=table) if is_artefact else part

    return replace_external_conditions(query, look_up)


def tables(stored: list[Paper]) -> st.SearchStrategy[ArtefactTable]:
    linked = st.sampled_from((LinkedArtefacts(), LinkedArtefacts(2, "ada/tides")))
    record = st.builds(ArtefactRecord, st.just(CHECKED_AT), linked, linked, linked)
    ids = [paper.id for paper in stored]
    known = st.dictionaries(st.sampled_from(ids), record) if ids else st.just({})
    return known.map(ArtefactTable)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("has:model", [1]),
        ("has:dataset", [2]),
        ("HAS:Space", [2]),
        ("has:model OR has:space", [1, 2]),
        ("has:dataset has:space", [2]),
        ("-has:model", [2, 3, 4]),
        ("-(has:model OR has:dataset)", [3, 4]),
    ],
)
def test_papers_that_artefacts_cite_are_found(query: str, numbers: list[int]) -> None:
    tree = resolve(parse_query(query), TABLE)
    expected = [paper for paper in PAPERS if int(paper.id[-1]) in numbers]
    assert [paper for paper in PAPERS if matches(tree, paper)] == expected
    assert list(Index(PAPERS).search(tree)) == expected


def test_without_a_table_no_paper_is_found() -> None:
    tree = parse_query("has:model")
    assert tree == HasArtefact("model", NO_ARTEFACTS)
    assert not any(matches(tree, paper) for paper in PAPERS)
    assert Index(PAPERS).search(tree) == ()


@pytest.mark.parametrize(
    ("query", "number", "location"),
    [
        ("has:model", 1, "model: ada/tides-7b and 2 more"),
        ("has:dataset", 2, "dataset: bo/fog"),
        ("has:space", 2, "space: 2"),
    ],
)
def test_a_location_names_an_artefact(query: str, number: int, location: str) -> None:
    tree = resolve(parse_query(query), TABLE)
    assert match_locations(tree, PAPERS[number - 1]) == (location,)
    assert match_locations(tree, PAPERS[3]) == ()


def test_the_table_is_no_part_of_the_text_of_a_query() -> None:
    tree = parse_query("fog has:model -has:space")
    assert str(resolve(tree, TABLE)) == str(tree) == "fog has:model -has:space"
    assert canonical_text(resolve(tree, TABLE)) == canonical_text(tree)


@pytest.mark.parametrize(
    ("query", "is_changing", "has_artefact"),
    [
        ("fog -(rain has:space)", True, True),
        ("fog OR upvotes:>3", True, False),
        ("has:code", False, False),
    ],
)
def test_conditions_on_artefacts_and_counters_can_begin_to_match_later(
    query: str, is_changing: bool, has_artefact: bool
) -> None:
    assert has_changing_condition(parse_query(query)) is is_changing
    assert has_artefact_condition(parse_query(query)) is has_artefact


@settings(max_examples=30)
@given(st.data(), queries())
def test_an_index_and_the_matching_of_each_paper_agree(data: st.DataObject, query: Query) -> None:
    stored = data.draw(st.lists(papers(), max_size=8, unique_by=lambda paper: paper.id))
    tree = resolve(query, data.draw(tables(stored)))
    assert Index(stored).search(tree) == tuple(paper for paper in stored if matches(tree, paper))


@settings(max_examples=30)
@given(st.data(), queries())
def test_a_query_with_any_artefacts_finds_whatever_some_artefacts_would(
    data: st.DataObject, query: Query
) -> None:
    stored = data.draw(st.lists(papers(), max_size=4, unique_by=lambda paper: paper.id))
    tree, widest = resolve(query, data.draw(tables(stored))), ignore_artefacts(query)
    assert all(matches(widest, paper) for paper in stored if matches(tree, paper))


@pytest.mark.parametrize(
    ("query", "finds_all"),
    [("has:model", True), ("-has:model", True), ("has:model -has:model", True), ("fog", False)],
)
def test_conditions_on_artefacts_alone_exclude_no_paper_that_may_match(
    query: str, finds_all: bool
) -> None:
    widest = ignore_artefacts(parse_query(query))
    assert all(matches(widest, paper) for paper in PAPERS) is finds_all


def test_each_kind_of_artefact_has_a_condition() -> None:
    for kind in ARTEFACT_KINDS:
        assert parse_query(f"has:{kind}") == HasArtefact(kind)
