"""Invariants of the listings parsed from damaged pages."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from bs4 import BeautifulSoup

from feedsrv.errors import ParseError
from feedsrv.models import XML_FORBIDDEN, Kind, Listing, Page, Paper
from feedsrv.search.analysis import tokenize
from feedsrv.upstream.parser import extract_day, extract_props, parse_api_response, parse_page
from feedsrv.upstream.paths import page_path
from feedsrv.upstream.tag_scanner import extract_first, is_within_limits
from tests.fuzz.pages import Case

FETCHED_AT = datetime(2026, 8, 7, 12, tzinfo=UTC)


def outcome(case: Case) -> str:
    """Return the outcome of a case in a few words.

    Raises:
        AssertionError: The listing violates an invariant.

    """
    if case.with_tree:
        _check_against_tree(case.body.decode("utf-8", "replace"))
    parse, requested_page = parse_api_response if case.api else parse_page, case.requested
    try:
        listing = parse(
            case.body,
            f"https://huggingface.co{page_path(requested_page)}",
            requested=requested_page,
            fetched_at=FETCHED_AT,
        )
    except ParseError as error:
        return f"PageError: {_class(error.reason)}"
    _check_listing(listing, requested_page)
    return f"listing from {listing.parsed_from}"


# --- invariants ------------------------------------------------------------------------------


def _check_against_tree(text: str) -> None:
    """The tag scanner must find the same as BeautifulSoup."""
    if "<" not in text or text.startswith("<?xml") or not is_within_limits(text):
        return  # no page, or none that BeautifulSoup can parse
    tags = BeautifulSoup(text, "lxml").find_all(True)
    every = [(tag.name, {name: str(value) for name, value in tag.attrs.items()}) for tag in tags]
    for extract in (extract_props, extract_day):
        results = (extract(name, attributes) for name, attributes in every)
        assert extract_first(text, extract) == next(
            (each for each in results if each is not None), None
        )


def _check_listing(listing: Listing, page: Page) -> None:
    assert listing.page.kind is page.kind
    assert listing.papers or page.kind is Kind.SEARCH
    ids = [paper.id for paper in listing.papers]
    assert len(set(ids)) == len(ids)
    for text in _strings(msgspec.to_builtins(listing)):
        assert not XML_FORBIDDEN.search(text), text
    for paper in listing.papers:
        _check_paper(paper)
    assert msgspec.json.decode(msgspec.json.encode(listing), type=Listing) == listing


def _check_paper(paper: Paper) -> None:
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
