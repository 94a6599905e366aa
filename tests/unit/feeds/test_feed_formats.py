"""Atom, RSS and JSON Feed have the same entries for any papers."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.deduplication import unite_listings
from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.feeds.rss import render_rss
from feedsrv.models import Kind, Listing, Page, Paper
from tests.support.documents import (
    EDGE_CASE_PAPERS,
    METADATA,
    PAPER,
    make_entries,
    paper_with,
    parse_atom,
    parse_json_feed,
    parse_rss,
)
from tests.support.strategies import few_examples, papers


@few_examples
@given(st.lists(papers(), max_size=6, unique_by=lambda paper: paper.id))
def test_any_papers_have_the_same_entries_in_each_format(found: list[Paper]) -> None:
    listing = Listing(
        page=Page(Kind.TRENDING), papers=tuple(found), fetched_at=datetime(2026, 11, 24, tzinfo=UTC)
    )
    entries = make_entries(*unite_listings((listing,)))
    atom_entries = parse_atom(render_atom(METADATA, entries))
    assert [entry.authors for entry in atom_entries] == [entry.authors for entry in entries]
    assert [entry.title for entry in atom_entries] == [entry.title for entry in entries]
    assert parse_rss(render_rss(METADATA, entries)) == atom_entries
    assert parse_json_feed(render_json_feed(METADATA, entries)) == atom_entries
    for render in (render_rss, render_json_feed):
        assert render(METADATA, entries) == render(METADATA, entries), (
            "the same papers are the same bytes"
        )


@pytest.mark.parametrize("paper", EDGE_CASE_PAPERS.values(), ids=EDGE_CASE_PAPERS.keys())
def test_an_edge_case_has_the_same_entry_in_each_format(paper: Paper) -> None:
    entries = make_entries(paper)
    (atom_entry,) = parse_atom(render_atom(METADATA, entries))
    assert atom_entry.authors == paper.authors
    assert atom_entry.title == paper.title
    assert (
        parse_rss(render_rss(METADATA, entries))
        == parse_json_feed(render_json_feed(METADATA, entries))
        == [atom_entry]
    )


@pytest.mark.parametrize("render", [render_rss, render_json_feed])
def test_rss_and_json_feed_have_no_counters(
    render: Callable[..., bytes],
) -> None:
    document = render(METADATA, make_entries(PAPER))
    assert not re.search(rb"\b(77|88|99)\b", document)
    assert document == render(METADATA, make_entries(paper_with(upvotes=1, comments=2, stars=3)))
