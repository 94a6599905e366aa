"""Page bytes to listing: everything that is known of how huggingface.co/papers writes its lists.

A page holds its papers as JSON in an attribute, for its own script to use ("hydration"):
``<div data-target="DailyPapers" data-props="{…}">``. That is the full source. Where it is missing,
the rendered cards give what they can; the JSON API, whose entries have the same shape as the data,
knows more than they do. A page without a list that can be read is an error, never "no papers".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import Annotated, Literal
from urllib.parse import parse_qs, quote_plus, urlsplit

import msgspec

from feedsrv.errors import ParseError
from feedsrv.models import Kind, Listing, Page, Paper
from feedsrv.search.analysis import analyze
from feedsrv.upstream.cards import extract_first, is_within_limits, parse_cards
from feedsrv.upstream.normalize import normalize_line, normalize_paragraphs, normalize_url

# --- where things are ------------------------------------------------------------------------


def page_path(page: Page) -> str:
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
_MAX_TAGS = 100_000
_DATE_PREFIX = re.compile(r"\d{4}-\d\d-\d\d")
_PERIOD = re.compile(r"\d{4}-W?\d\d", re.ASCII)
#: Papers of a list that is one. The longest have 120; megabytes of empty ones would take minutes.
_MAX_PAPERS = 1000

# --- reading ---------------------------------------------------------------------------------


def parse_page(body: bytes, url: str, *, requested: Page, fetched_at: datetime) -> Listing:
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
    if not 0 < body.count(b"<") < _MAX_TAGS or text.startswith("<?xml"):
        # BeautifulSoup would warn, into the log, where this is no HTML.
        raise ParseError(url, "not a page that can be read")
    try:
        props = _find_props(text, url)
    except ParseError as error:
        return _listing_from_cards(text, url, requested, fetched_at, instead=error)
    _check_kind(requested, props, url)  # of another list the cards are no use either
    try:
        return _listing_from_data(props, text, url, requested, fetched_at)
    except ParseError as error:
        return _listing_from_cards(text, url, requested, fetched_at, instead=error)


def parse_api_response(body: bytes, url: str, *, requested: Page, fetched_at: datetime) -> Listing:
    """Return what the JSON API lists in place of the page that was asked for.

    Raises:
        PageError: The answer is no list of papers, or an empty one.

    """
    try:
        entries = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ParseError(url, f"no list of papers in the API's answer: {error}") from error
    listing = _build_listing(requested, entries, url, fetched_at, source="api")
    if requested.kind is not Kind.DAY:
        return listing
    # Without a date it lists the newest papers, of several days; the newest day is what was meant.
    days = {str(paper.listed) for paper in listing.papers}
    day = requested.key if requested.key in days else max(days)
    papers = tuple(paper for paper in listing.papers if str(paper.listed) == day)
    return msgspec.structs.replace(listing, page=Page(Kind.DAY, day), papers=papers)


def _find_props(text: str, url: str) -> PageProps:
    data = extract_first(text, extract_props)
    if data is None:
        raise ParseError(url, "no data of a list of papers on the page")
    try:
        return msgspec.json.decode(data, type=PageProps)
    except (ValueError, RecursionError) as error:
        raise ParseError(url, f"unreadable data of a list of papers: {error}") from error


def extract_props(_tag: str, attributes: Mapping[str, str]) -> str | None:
    """Return the data that a tag holds; none of another tag than the one with the papers."""
    return attributes.get("data-props") if attributes.get("data-target") == "DailyPapers" else None


def extract_day(tag: str, attributes: Mapping[str, str]) -> str | None:
    """Return the day that a tag shows; none of another tag than ``time``."""
    return attributes.get("datetime") if tag == "time" else None


def _listing_from_data(
    props: PageProps, text: str, url: str, requested: Page, fetched_at: datetime
) -> Listing:
    # Search pages carry the newest day's list too, and the results beside it.
    entries = props.search_results if requested.kind is Kind.SEARCH else props.daily_papers
    if entries is None:
        raise ParseError(url, "the data holds no list of papers")
    key = _page_key(requested, chain([props.date_string, props.date], _shown_labels(text, url)))
    if key is None:
        raise ParseError(url, f"nothing on the page says which {requested.kind} it lists")
    listing = _build_listing(Page(requested.kind, key), entries, url, fetched_at, source="data")
    previous, following = (_parse_day(name) for name in (props.prev_date, props.next_date))
    return msgspec.structs.replace(listing, previous_day=previous, next_day=following)


def _check_kind(requested: Page, props: PageProps, url: str) -> None:
    """Refuse a list of another kind: for browsers, /papers remembers the last period viewed."""
    given: str = props.period_type or requested.kind
    if props.is_trending:
        given = Kind.TRENDING
    if props.query is not None and props.query.q:
        given = Kind.SEARCH
    if requested.kind is Kind.SEARCH and props.search_results is not None:
        return  # a search stands in the frame of some day
    if given != requested.kind:
        shown = "search results" if given == Kind.SEARCH else f"a list of a {given}"
        raise ParseError(url, f"{shown} in place of {requested}")


def _build_listing(
    page: Page,
    entries: Sequence[msgspec.Raw],
    url: str,
    fetched_at: datetime,
    *,
    source: Literal["data", "api"],
) -> Listing:
    if len(entries) > _MAX_PAPERS:
        raise ParseError(url, f"a list of {len(entries)} papers")
    papers: dict[str, Paper] = {}
    skipped: list[str] = []
    day = _list_day(page)
    for place, raw in enumerate(entries, 1):
        try:
            paper = parse_paper(raw, day)
            papers.setdefault(paper.id, paper)
        except (ValueError, RecursionError) as error:
            skipped.append(f"{_entry_id(raw) or f'paper {place}'}: {error}")
    if len(skipped) * 10 > len(entries):
        raise ParseError(
            url, f"{len(skipped)} of {len(entries)} papers cannot be read; first {skipped[0]}"
        )
    if not papers and page.kind is not Kind.SEARCH:
        raise ParseError(url, "the list is empty")
    return Listing(
        page=page,
        papers=tuple(papers.values()),
        fetched_at=fetched_at,
        skipped=tuple(skipped),
        parsed_from=source,
    )


def _entry_id(raw: msgspec.Raw) -> str:
    """Return the id of an entry that cannot be read, as far as it can."""
    found = re.search(rb'"id":\s*"([\w.-]{1,64})"', bytes(raw))
    return found[1].decode() if found else ""


def _page_key(requested: Page, names: Iterable[str | None]) -> str | None:
    """Return the listing's own day, week or month: the first name that is one, of its kind."""
    if requested.kind in {Kind.TRENDING, Kind.SEARCH}:
        return requested.key
    for name in names:
        key = _key_from_label(requested.kind, name or "")
        if key:
            return key
    # Whether week and month pages always name themselves is not known; their address does.
    return requested.key if requested.kind is not Kind.DAY else None


def _key_from_label(kind: Kind, name: str) -> str:
    """Return the key of that kind in a name such as ``2026-11-24T00:00:00.000Z``."""
    day = _parse_day(name)
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


def _parse_day(name: str | None) -> str:
    found = _DATE_PREFIX.match(name or "")
    try:
        return date.fromisoformat(found[0]).isoformat() if found else ""
    except ValueError:
        return ""


def _shown_labels(text: str, url: str) -> Iterator[str | None]:
    """Yield what the page shows above its cards, then what its address names, new and old."""
    yield extract_first(text, extract_day)
    parts = urlsplit(url)
    yield from parse_qs(parts.query).get("date", [])
    yield parts.path.rpartition("/")[2]


def _list_day(page: Page) -> date | None:
    return date.fromisoformat(page.key) if page.kind is Kind.DAY else None


def _listing_from_cards(
    text: str, url: str, requested: Page, fetched_at: datetime, *, instead: ParseError
) -> Listing:
    """Return what the rendered cards give, in place of the data whose error is given."""
    key = _page_key(requested, _shown_labels(text, url))
    if key is None or "<article" not in text or not is_within_limits(text):
        raise instead
    dated = requested.kind in {Kind.DAY, Kind.WEEK, Kind.MONTH}
    page = Page(requested.kind, key)
    papers = parse_cards(text, day=_list_day(page), year=int(key[:4]) if dated else fetched_at.year)
    if not papers:
        raise instead
    reason = f"its data: {instead.reason}"
    return Listing(
        page=page, papers=papers, fetched_at=fetched_at, skipped=(reason,), parsed_from="cards"
    )


_PAPER_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_VERSION = re.compile(r"(?<=\d)v\d+$")


# Characters of a name or an address, and of an abstract, of which arXiv takes 1,920. Some texts
# take minutes to fold where they are megabytes; a paper with one is unreadable.
_ShortText = Annotated[str, msgspec.Meta(max_length=5_000)]
_LongText = Annotated[str, msgspec.Meta(max_length=20_000)]


class _Author(msgspec.Struct):
    name: _ShortText
    hidden: bool | None = None


class _Organization(msgspec.Struct):
    name: _ShortText
    fullname: _ShortText | None = None


class _PaperData(msgspec.Struct, rename="camel"):
    id: str
    title: _ShortText
    summary: _LongText
    authors: list[_Author]
    published_at: datetime
    upvotes: int
    submitted_on_daily_at: datetime | None = None
    media_urls: list[_ShortText] | None = None
    project_page: _ShortText | None = None
    github_repo: _ShortText | None = None
    github_stars: int | None = None
    ai_summary: _LongText | None = msgspec.field(default=None, name="ai_summary")
    ai_keywords: list[_ShortText] | None = msgspec.field(default=None, name="ai_keywords")
    organization: _Organization | None = None


class _EntryData(msgspec.Struct, rename="camel"):
    paper: _PaperData
    num_comments: int | None = None
    media_urls: list[_ShortText] | None = None
    media_url: _ShortText | None = None  # May and June 2024
    organization: _Organization | None = None
    submitter_organization: _Organization | None = None  # four days of September 2025


class _QueryData(msgspec.Struct):
    q: str | None = None


class PageProps(msgspec.Struct, rename="camel"):
    """The data of a page. Its lists are left as they came: one bad paper spoils no other."""

    daily_papers: list[msgspec.Raw] | None = None
    search_results: list[msgspec.Raw] | None = None
    query: _QueryData | None = None
    period_type: str | None = None
    is_trending: bool | None = None
    date_string: str | None = None
    date: str | None = None  # 2024
    prev_date: str | None = None
    next_date: str | None = None


def parse_paper(raw: msgspec.Raw, day: date | None) -> Paper:
    """Return the paper of one entry, of a page or of the API.

    The outer ``publishedAt`` is not read: it was the moment of submission until March 2025, and is
    the arXiv date shifted into the day before since.
    """
    entry = msgspec.json.decode(raw, type=_EntryData)
    paper = entry.paper
    listed = paper.submitted_on_daily_at
    org = entry.organization or paper.organization or entry.submitter_organization
    media = entry.media_urls or paper.media_urls or ([entry.media_url] if entry.media_url else [])
    authors = tuple(
        filter(None, (normalize_line(who.name) for who in paper.authors if not who.hidden))
    )
    name = _VERSION.sub("", paper.id)
    if not _PAPER_ID.fullmatch(name):
        raise ValueError(f"{name!r} is no paper's id")
    made = Paper(
        id=name,
        title=normalize_line(paper.title) or name,
        abstract=normalize_paragraphs(paper.summary),
        authors=authors,
        author_count=len(authors),
        submitted=_to_utc(paper.published_at).date(),
        listed=_to_utc(listed).date() if listed else day,
        organization=normalize_line(org.fullname or org.name) if org else "",
        keywords=tuple(dict.fromkeys(filter(None, map(normalize_line, paper.ai_keywords or ())))),
        ai_summary=normalize_line(paper.ai_summary or ""),
        code=normalize_url(paper.github_repo or ""),
        project=normalize_url(paper.project_page or ""),
        media=tuple(filter(None, map(normalize_url, media))),
        upvotes=paper.upvotes,
        comments=entry.num_comments or 0,
        stars=paper.github_stars or 0,
    )
    return analyze(made)


def _to_utc(stamp: datetime) -> datetime:
    try:
        return stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(f"{stamp} is no date of the UTC calendar") from error
