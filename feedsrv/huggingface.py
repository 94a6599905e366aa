"""Page bytes to listing: everything that is known of how huggingface.co/papers writes its lists.

A page holds its papers as JSON in an attribute, for its own script to use ("hydration"):
``<div data-target="DailyPapers" data-props="{…}">``. That is the full source. Where it is missing,
the rendered cards give what they can; the JSON API, whose entries have the same shape as the data,
knows more than they do. A page without a list that can be read is an error, never "no papers".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import chain
from typing import Literal
from urllib.parse import parse_qs, quote_plus, urlsplit

import msgspec

from feedsrv.cards import cards
from feedsrv.errors import PageError
from feedsrv.paper import Kind, Listing, Page, Paper
from feedsrv.tags import first, is_modest
from feedsrv.wire import Props, paper_of

# --- where things are ------------------------------------------------------------------------


def path(page: Page) -> str:
    """Return the page's path and query at huggingface.co."""
    match page.kind:
        case Kind.DAY:
            return f"/papers/date/{page.key}"
        case Kind.WEEK:
            return f"/papers/week/{page.key}"
        case Kind.MONTH:
            return f"/papers/month/{page.key}"
        case Kind.TRENDING:
            return "/papers/trending"
        case Kind.SEARCH:
            return f"/papers?q={quote_plus(page.key)}"


def api_path(page: Page, today: date) -> str:
    """Return the path and query at which the JSON API knows the same papers.

    A page settles on an earlier day where the one asked for has no list. The API answers nothing
    or an error, so today's list is asked for as the newest papers of whatever day.
    """
    match page.kind:
        case Kind.DAY if page.key >= today.isoformat():
            return "/api/daily_papers?limit=100"
        case Kind.DAY:
            return f"/api/daily_papers?date={page.key}&limit=100"
        case Kind.WEEK:
            return f"/api/daily_papers?week={page.key}&limit=100"
        case Kind.MONTH:
            return f"/api/daily_papers?month={page.key}&limit=100"
        case Kind.TRENDING:
            return "/api/daily_papers?sort=trending&limit=50"
        case Kind.SEARCH:
            return f"/api/papers/search?q={quote_plus(page.key)}&limit=120"


#: Tags on a page; the fullest seen had nine thousand. Each takes half a kilobyte of memory to read,
#: so that a page of nothing but tags could take a gigabyte.
_MOST_TAGS = 100_000
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_PERIOD = re.compile(r"\d{4}-W?\d\d", re.ASCII)
#: Papers of a list that is one. The longest have 120; megabytes of empty ones would take minutes.
_MOST = 1000

# --- reading ---------------------------------------------------------------------------------


def read(body: bytes, url: str, *, asked: Page, read_at: datetime) -> Listing:
    """Return what the page lists: from its data, else from its cards.

    Args:
        body: The page, as it came.
        url: Where it came from in the end; it may name another day than was asked for.
        asked: The page that was asked for. The listing is of the page that was given.
        read_at: When it came.

    Raises:
        PageError: The page holds no list that can be read.

    """
    text = body.decode("utf-8", "replace")
    if not 0 < body.count(b"<") < _MOST_TAGS or text.startswith("<?xml"):
        # BeautifulSoup would warn, into the log, where this is no HTML.
        raise PageError(url, "not a page that can be read")
    try:
        props = _props(text, url)
    except PageError as error:
        return _from_cards(text, url, asked, read_at, instead=error)
    _expect(asked, props, url)  # of another list the cards are no use either
    try:
        return _from_data(props, text, url, asked, read_at)
    except PageError as error:
        return _from_cards(text, url, asked, read_at, instead=error)


def read_api(body: bytes, url: str, *, asked: Page, read_at: datetime) -> Listing:
    """Return what the JSON API lists in place of the page that was asked for.

    Raises:
        PageError: The answer is no list of papers, or an empty one.

    """
    try:
        entries = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise PageError(url, f"no list of papers in the API's answer: {error}") from error
    listing = _listing(asked, entries, url, read_at, source="api")
    if asked.kind is not Kind.DAY:
        return listing
    # Without a date it lists the newest papers, of several days; the newest day is what was meant.
    days = {str(paper.listed) for paper in listing.papers}
    day = asked.key if asked.key in days else max(days)
    papers = tuple(paper for paper in listing.papers if str(paper.listed) == day)
    return msgspec.structs.replace(listing, page=Page(Kind.DAY, day), papers=papers)


def _props(text: str, url: str) -> Props:
    data = first(text, data_of)
    if data is None:
        raise PageError(url, "no data of a list of papers on the page")
    try:
        return msgspec.json.decode(data, type=Props)
    except (ValueError, RecursionError) as error:
        raise PageError(url, f"unreadable data of a list of papers: {error}") from error


def data_of(_tag: str, attributes: Mapping[str, str]) -> str | None:
    """Return the data that a tag holds; none of another tag than the one with the papers."""
    return attributes.get("data-props") if attributes.get("data-target") == "DailyPapers" else None


def label_of(tag: str, attributes: Mapping[str, str]) -> str | None:
    """Return the day that a tag shows; none of another tag than ``time``."""
    return attributes.get("datetime") if tag == "time" else None


def _from_data(props: Props, text: str, url: str, asked: Page, read_at: datetime) -> Listing:
    # Search pages carry the newest day's list too, and the results beside it.
    entries = props.search_results if asked.kind is Kind.SEARCH else props.daily_papers
    if entries is None:
        raise PageError(url, "the data holds no list of papers")
    key = _own_key(asked, chain([props.date_string, props.date], _shown(text, url)))
    if key is None:
        raise PageError(url, f"nothing on the page says which {asked.kind} it lists")
    listing = _listing(Page(asked.kind, key), entries, url, read_at, source="data")
    previous, following = (_day(name) for name in (props.prev_date, props.next_date))
    return msgspec.structs.replace(listing, previous=previous, next=following)


def _expect(asked: Page, props: Props, url: str) -> None:
    """Refuse a list of another kind: for browsers, /papers remembers the last period viewed."""
    given: str = props.period_type or asked.kind
    if props.is_trending:
        given = Kind.TRENDING
    if props.query is not None and props.query.q:
        given = Kind.SEARCH
    if asked.kind is Kind.SEARCH and props.search_results is not None:
        return  # a search stands in the frame of some day
    if given != asked.kind:
        shown = "search results" if given == Kind.SEARCH else f"a list of a {given}"
        raise PageError(url, f"{shown} in place of {asked}")


def _listing(
    page: Page,
    entries: Sequence[msgspec.Raw],
    url: str,
    read_at: datetime,
    *,
    source: Literal["data", "api"],
) -> Listing:
    if len(entries) > _MOST:
        raise PageError(url, f"a list of {len(entries)} papers")
    papers: dict[str, Paper] = {}
    skipped: list[str] = []
    day = _as_date(page)
    for place, raw in enumerate(entries, 1):
        try:
            paper = paper_of(raw, day)
            papers.setdefault(paper.id, paper)
        except (ValueError, RecursionError) as error:
            skipped.append(f"{_name(raw) or f'paper {place}'}: {error}")
    if len(skipped) * 10 > len(entries):
        raise PageError(
            url, f"{len(skipped)} of {len(entries)} papers cannot be read; first {skipped[0]}"
        )
    if not papers and page.kind is not Kind.SEARCH:
        raise PageError(url, "the list is empty")
    return Listing(
        page=page,
        papers=tuple(papers.values()),
        read_at=read_at,
        skipped=tuple(skipped),
        source=source,
    )


def _name(raw: msgspec.Raw) -> str:
    """Return the id of an entry that cannot be read, as far as it can."""
    found = re.search(rb'"id":\s*"([\w.-]{1,64})"', bytes(raw))
    return found[1].decode() if found else ""


def _own_key(asked: Page, names: Iterable[str | None]) -> str | None:
    """Return the listing's own day, week or month: the first name that is one, of its kind."""
    if asked.kind in {Kind.TRENDING, Kind.SEARCH}:
        return asked.key
    for name in names:
        key = _key(asked.kind, name or "")
        if key:
            return key
    # Whether week and month pages always name themselves is not known; their address does.
    return asked.key if asked.kind is not Kind.DAY else None


def _key(kind: Kind, name: str) -> str:
    """Return the key of that kind in a name such as ``2026-11-24T00:00:00.000Z``."""
    day = _day(name)
    match kind:
        case Kind.DAY:
            return day
        case Kind.WEEK if day:
            year, week, _ = date.fromisoformat(day).isocalendar()
            return f"{year}-W{week:02d}"
        case Kind.MONTH if day:
            return day[:7]
        case _:
            found = _PERIOD.fullmatch(name)
            is_kind = found is not None and ("W" in name) == (kind is Kind.WEEK)
            most = 53 if kind is Kind.WEEK else 12
            return name if is_kind and 1 <= int(name[-2:]) <= most else ""


def _day(name: str | None) -> str:
    found = _DAY.match(name or "")
    try:
        return date.fromisoformat(found[0]).isoformat() if found else ""
    except ValueError:
        return ""


def _shown(text: str, url: str) -> Iterator[str | None]:
    """Yield what the page shows above its cards, then what its address names, new and old."""
    yield first(text, label_of)
    parts = urlsplit(url)
    yield from parse_qs(parts.query).get("date", [])
    yield parts.path.rpartition("/")[2]


def _as_date(page: Page) -> date | None:
    return date.fromisoformat(page.key) if page.kind is Kind.DAY else None


def _from_cards(
    text: str, url: str, asked: Page, read_at: datetime, *, instead: PageError
) -> Listing:
    """Return what the rendered cards give, in place of the data whose error is given."""
    key = _own_key(asked, _shown(text, url))
    if key is None or "<article" not in text or not is_modest(text):
        raise instead
    dated = asked.kind in {Kind.DAY, Kind.WEEK, Kind.MONTH}
    page = Page(asked.kind, key)
    papers = cards(text, day=_as_date(page), year=int(key[:4]) if dated else read_at.year)
    if not papers:
        raise instead
    reason = f"its data: {instead.reason}"
    return Listing(page=page, papers=papers, read_at=read_at, skipped=(reason,), source="cards")
