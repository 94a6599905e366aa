"""Page bytes to listing: everything that is known of how huggingface.co/papers writes its lists.

A page holds its papers as JSON in an attribute, for its own script to use ("hydration"):
``<div data-target="DailyPapers" data-props="{…}">``. That is the full source. Where it is missing,
the rendered cards give what they can, and where they give nothing the JSON API is asked, whose
entries have the same shape. A page without a list that can be read is an error, never "no papers".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, quote_plus, urlsplit

import msgspec
from bs4 import BeautifulSoup
from bs4.exceptions import ParserRejectedMarkup

from feedsrv.cards import Card, cards, label
from feedsrv.errors import PageError
from feedsrv.paper import ARXIV_ID, Kind, Listing, Page, Paper
from feedsrv.text import line, link, paragraphs
from feedsrv.words import prepare

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


# --- the wire --------------------------------------------------------------------------------
# Keys that upstream leaves out are absent; null is taken for the same. A key of another type than
# declared makes its paper unreadable, which is how a change of layout is noticed.


class _Author(msgspec.Struct):
    name: str
    hidden: bool | None = None


class _Organization(msgspec.Struct):
    name: str
    fullname: str | None = None


class _Details(msgspec.Struct, rename="camel"):
    id: str
    title: str
    summary: str
    authors: list[_Author]
    published_at: datetime
    upvotes: int
    submitted_on_daily_at: datetime | None = None
    media_urls: list[str] | None = None
    project_page: str | None = None
    github_repo: str | None = None
    github_stars: int | None = None
    ai_summary: str | None = msgspec.field(default=None, name="ai_summary")
    ai_keywords: list[str] | None = msgspec.field(default=None, name="ai_keywords")
    organization: _Organization | None = None


class _Entry(msgspec.Struct, rename="camel"):
    paper: _Details
    num_comments: int | None = None
    media_urls: list[str] | None = None
    media_url: str | None = None  # May and June 2024
    organization: _Organization | None = None
    submitter_organization: _Organization | None = None  # four days of September 2025


class _Asked(msgspec.Struct):
    q: str | None = None


class _Props(msgspec.Struct, rename="camel"):
    daily_papers: list[msgspec.Raw] | None = None
    search_results: list[msgspec.Raw] | None = None
    query: _Asked | None = None
    period_type: str | None = None
    date_string: str | None = None
    date: str | None = None  # 2024
    prev_date: str | None = None
    next_date: str | None = None


_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_VERSION = re.compile(r"(?<=\d)v\d+$")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_KEY = re.compile(r"\d{4}-(?:\d\d-\d\d|W\d\d|\d\d)")

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
    try:
        soup = BeautifulSoup(body.decode("utf-8", "replace"), "lxml")
    except (ParserRejectedMarkup, AssertionError, RecursionError) as error:
        raise PageError(url, "not a page that can be read") from error
    try:
        return _from_data(soup, url, asked, read_at)
    except PageError as error:
        listing = _from_cards(soup, url, asked, read_at)
        if listing is None:
            raise
        return msgspec.structs.replace(listing, skipped=(f"its data: {error.reason}",))


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
    day = max(paper.listed or date.min for paper in listing.papers).isoformat()
    papers = tuple(paper for paper in listing.papers if str(paper.listed) == day)
    return msgspec.structs.replace(listing, page=Page(Kind.DAY, day), papers=papers)


def _from_data(soup: BeautifulSoup, url: str, asked: Page, read_at: datetime) -> Listing:
    element = soup.select_one('[data-target="DailyPapers"][data-props]')
    if element is None:
        raise PageError(url, "no data of a list of papers on the page")
    try:
        props = msgspec.json.decode(str(element["data-props"]).encode(), type=_Props)
    except (ValueError, RecursionError) as error:
        raise PageError(url, f"unreadable data of a list of papers: {error}") from error
    _expect(asked, props, url)
    # Search pages carry the newest day's list too, and the results beside it.
    entries = props.search_results if asked.kind is Kind.SEARCH else props.daily_papers
    if entries is None:
        raise PageError(url, "the data holds no list of papers")
    names = [props.date_string, props.date, label(soup), *_named(url)]
    key = _own_key(asked, names)
    if key is None:
        raise PageError(url, f"nothing on the page says which {asked.kind} it lists")
    listing = _listing(Page(asked.kind, key), entries, url, read_at, source="data")
    previous, following = (_day(name) for name in (props.prev_date, props.next_date))
    return msgspec.structs.replace(listing, previous=previous, next=following)


def _expect(asked: Page, props: _Props, url: str) -> None:
    """Refuse a list of another kind: for browsers, /papers remembers the last period viewed."""
    searched = props.query is not None and bool(props.query.q)
    if searched and asked.kind is not Kind.SEARCH:
        raise PageError(url, f"search results in place of {asked}")
    given = props.period_type
    periods = (Kind.DAY, Kind.WEEK, Kind.MONTH)
    if given and asked.kind in periods and given != asked.kind:
        raise PageError(url, f"a list of a {given} in place of {asked}")


def _listing(
    page: Page, entries: Sequence[msgspec.Raw], url: str, read_at: datetime, *, source: str
) -> Listing:
    papers: dict[str, Paper] = {}
    skipped: list[str] = []
    day = _as_date(page)
    for place, raw in enumerate(entries, 1):
        try:
            paper = _paper(msgspec.json.decode(raw, type=_Entry), day)
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
        source="api" if source == "api" else "data",
    )


def _name(raw: msgspec.Raw) -> str:
    """Return the id of an entry that cannot be read, as far as it can."""
    found = re.search(rb'"id":\s*"([\w.-]{1,64})"', bytes(raw))
    return found[1].decode() if found else ""


def _own_key(asked: Page, names: Sequence[str | None]) -> str | None:
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
            found = _KEY.fullmatch(name)
            return name if found and ("W" in name) == (kind is Kind.WEEK) else ""


def _day(name: str | None) -> str:
    found = _DAY.match(name or "")
    try:
        return date.fromisoformat(found[0]).isoformat() if found else ""
    except ValueError:
        return ""


def _named(url: str) -> list[str]:
    """Return what an address names: ``/papers/date/DAY`` or, of old, ``/papers?date=DAY``."""
    parts = urlsplit(url)
    return [*parse_qs(parts.query).get("date", []), parts.path.rpartition("/")[2]]


# --- papers ----------------------------------------------------------------------------------


def _paper(entry: _Entry, day: date | None) -> Paper:
    """Return the paper of one entry, of a page or of the API.

    The outer ``publishedAt`` is not read: it was the moment of submission until March 2025, and is
    the arXiv date shifted into the day before since.
    """
    paper = entry.paper
    listed = paper.submitted_on_daily_at
    org = entry.organization or paper.organization or entry.submitter_organization
    media = entry.media_urls or paper.media_urls or ([entry.media_url] if entry.media_url else [])
    authors = tuple(filter(None, (line(who.name) for who in paper.authors if not who.hidden)))
    made = Paper(
        id=_VERSION.sub("", paper.id),
        title=line(paper.title),
        abstract=paragraphs(paper.summary),
        authors=authors,
        author_count=len(authors),
        submitted=_utc(paper.published_at).date(),
        listed=_utc(listed).date() if listed else day,
        organization=line(org.fullname or org.name) if org else "",
        keywords=tuple(dict.fromkeys(filter(None, map(line, paper.ai_keywords or ())))),
        summary=line(paper.ai_summary or ""),
        code=link(paper.github_repo or ""),
        project=link(paper.project_page or ""),
        media=tuple(filter(None, map(link, media))),
        upvotes=paper.upvotes,
        comments=entry.num_comments or 0,
        stars=paper.github_stars or 0,
    )
    return _prepared(made)


def _prepared(paper: Paper) -> Paper:
    """Return the paper with its words prepared, once and for all matching to come."""
    if not _ID.fullmatch(paper.id):
        raise ValueError(f"{paper.id!r} is no paper's id")
    return msgspec.structs.replace(paper, title=paper.title or paper.id, words=prepare(paper))


def _as_date(page: Page) -> date | None:
    return date.fromisoformat(page.key) if page.kind is Kind.DAY else None


def _utc(stamp: datetime) -> datetime:
    return stamp.astimezone(UTC) if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _from_cards(soup: BeautifulSoup, url: str, asked: Page, read_at: datetime) -> Listing | None:
    """Return what the rendered cards give; nothing where there are none."""
    key = _own_key(asked, [label(soup), *_named(url)])
    if key is None:
        return None
    day = _as_date(Page(asked.kind, key))
    year = int(key[:4]) if _KEY.fullmatch(key) and asked.kind is not Kind.SEARCH else read_at.year
    papers = tuple(_from_card(card, day) for card in cards(soup, year))
    if not papers:
        return None
    return Listing(page=Page(asked.kind, key), papers=papers, read_at=read_at, source="cards")


def _from_card(card: Card, day: date | None) -> Paper:
    made = Paper(
        id=card.id,
        title=line(card.title),
        abstract=paragraphs(card.abstract),
        author_count=card.author_count,
        submitted=card.shown or _month_of(card.id),
        listed=day,
        organization=line(card.organization),
        code=link(card.code),
        upvotes=card.upvotes,
        comments=card.comments,
        stars=card.stars,
    )
    return _prepared(made)


def _month_of(arxiv_id: str) -> date:
    """Return the first day of the month in which arXiv gave out the id (YYMM.number)."""
    match = ARXIV_ID.fullmatch(arxiv_id)
    month = int(arxiv_id[2:4]) if match else 0
    return date(2000 + int(arxiv_id[:2]), min(max(month, 1), 12), 1)
