"""Atom, RSS and JSON Feed say the same of any papers."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.feeds.rss import render_rss
from feedsrv.feeds.selection import unite_listings
from feedsrv.models import Kind, Listing, Page, Paper
from tests.support.documents import (
    AWKWARD_PAPERS,
    HEAD,
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
def test_any_papers_are_the_same_in_each_format(found: list[Paper]) -> None:
    listing = Listing(
        page=Page(Kind.TRENDING), papers=tuple(found), fetched_at=datetime(2026, 11, 24, tzinfo=UTC)
    )
    held = make_entries(*unite_listings((listing,)))
    in_atom = parse_atom(render_atom(HEAD, held))
    assert [one.authors for one in in_atom] == [entry.authors for entry in held]
    assert [one.title for one in in_atom] == [entry.title for entry in held]
    assert parse_rss(render_rss(HEAD, held)) == in_atom
    assert parse_json_feed(render_json_feed(HEAD, held)) == in_atom
    for write in (render_rss, render_json_feed):
        assert write(HEAD, held) == write(HEAD, held), "the same papers are the same bytes"


@pytest.mark.parametrize("paper", AWKWARD_PAPERS.values(), ids=AWKWARD_PAPERS.keys())
def test_an_awkward_paper_is_the_same_in_each_format(paper: Paper) -> None:
    held = make_entries(paper)
    (in_atom,) = parse_atom(render_atom(HEAD, held))
    assert in_atom.authors == paper.authors
    assert in_atom.title == paper.title
    assert (
        parse_rss(render_rss(HEAD, held))
        == parse_json_feed(render_json_feed(HEAD, held))
        == [in_atom]
    )


@pytest.mark.parametrize("write", [render_rss, render_json_feed])
def test_no_counter_is_anywhere_in_the_other_formats_either(
    write: Callable[..., bytes],
) -> None:
    document = write(HEAD, make_entries(PAPER))
    assert not re.search(rb"\b(77|88|99)\b", document)
    assert document == write(HEAD, make_entries(paper_with(upvotes=1, comments=2, stars=3)))
