"""What must hold of whatever is read of a page, however damaged it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from bs4 import BeautifulSoup

from feedsrv.errors import ParseError
from feedsrv.models import XML_FORBIDDEN, Kind, Listing, Page, Paper
from feedsrv.search.analysis import tokenize
from feedsrv.upstream.parser import (
    extract_day,
    extract_props,
    page_path,
    parse_api_response,
    parse_page,
)
from feedsrv.upstream.tag_scanner import extract_first, is_within_limits
from tests.fuzz.pages import Case

READ_AT = datetime(2026, 8, 7, 12, tzinfo=UTC)


def outcome(case: Case) -> str:
    """Return what came of it, in a word or two.

    Raises:
        AssertionError: What must hold of a reading does not.

    """
    if case.with_tree:
        _hold_against_tree(case.body.decode("utf-8", "replace"))
    reader, asked = parse_api_response if case.api else parse_page, case.asked
    try:
        listing = reader(
            case.body,
            f"https://huggingface.co{page_path(asked)}",
            requested=asked,
            fetched_at=READ_AT,
        )
    except ParseError as error:
        return f"PageError: {_class(error.reason)}"
    _hold(listing, asked)
    return f"listing from {listing.parsed_from}"


# --- what must hold --------------------------------------------------------------------------


def _hold_against_tree(text: str) -> None:
    """What is found without a tree must be what BeautifulSoup's has."""
    if "<" not in text or text.startswith("<?xml") or not is_within_limits(text):
        return  # no page, or none to make a tree of
    tags = BeautifulSoup(text, "lxml").find_all(True)
    every = [(tag.name, {name: str(value) for name, value in tag.attrs.items()}) for tag in tags]
    for asked in (extract_props, extract_day):
        answers = (asked(name, attributes) for name, attributes in every)
        assert extract_first(text, asked) == next(
            (each for each in answers if each is not None), None
        )


def _hold(listing: Listing, asked: Page) -> None:
    assert listing.page.kind is asked.kind
    assert listing.papers or asked.kind is Kind.SEARCH
    ids = [paper.id for paper in listing.papers]
    assert len(set(ids)) == len(ids)
    for text in _strings(msgspec.to_builtins(listing)):
        assert not XML_FORBIDDEN.search(text), text
    for paper in listing.papers:
        _hold_paper(paper)
    assert msgspec.json.decode(msgspec.json.encode(listing), type=Listing) == listing


def _hold_paper(paper: Paper) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", paper.id, re.ASCII)
    assert paper.title
    assert "\n" not in paper.title
    assert type(paper.submitted) is date
    assert paper.published.tzinfo is UTC
    for link in filter(None, (paper.code, paper.project, *paper.media)):
        assert re.match(r"https?://[^\s]+$", link, re.IGNORECASE), link
    assert all(" ".join(author.split()) == author != "" for author in paper.authors)
    assert paper.tokens.title.split() == [*tokenize(paper.title)]


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from _strings(inner)
        case list() | tuple():
            for inner in value:
                yield from _strings(inner)


_CLASSES = {
    "no data of": "no data on the page",
    "data is invalid": "invalid data",
    "papers are invalid": "too many invalid papers",
    "instead of": "another list than the requested one",
    "does not say which": "no day on the page",
    "the API response is not": "no list in the API response",
}


def _class(reason: str) -> str:
    assert reason
    return next((name for part, name in _CLASSES.items() if part in reason), reason[:60])
