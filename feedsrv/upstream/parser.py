"""Parse upstream's pages and JSON API responses into listings.

A page of huggingface.co/papers has its papers as JSON in an attribute, the props that its own
script hydrates the page from: ``<div data-target="DailyPapers" data-props="{…}">``. The JSON API's
entries have the same shape. Without the props, the rendered cards (`feedsrv.upstream.cards`) give
less. A page without a list of papers is an error, never an empty listing.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import chain, islice
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

from feedsrv.errors import ParseError
from feedsrv.models import (
    FIRST_LIST_DAY,
    FIRST_SUBMISSION_DAY,
    Kind,
    Listing,
    Page,
    Paper,
    last_list_day,
)
from feedsrv.search.analysis import analyze
from feedsrv.upstream.cards import DayNavigation, parse_cards, parse_day_navigation, parse_iso_date
from feedsrv.upstream.damaged_json import recover_objects
from feedsrv.upstream.paper_json import clamp_dates, parse_paper
from feedsrv.upstream.tag_scanner import Extractor, extract_first, is_within_limits

#: The most tags of a page; the fullest seen had nine thousand. Parsing takes half a kilobyte of
#: memory for each, so a page of nothing but tags could take a gigabyte.
_MAX_ANGLE_BRACKETS = 100_000
#: The most papers of a list; the longest seen had 120. Megabytes of tiny entries take minutes.
_MAX_PAPERS = 1000
#: Percentage of the papers that may be invalid; one always may. More mean that the layout has
#: changed. Damaged JSON means nothing of the kind, so that up to half of the papers may have it.
_MAX_INVALID_PERCENT = 10
_MAX_SKIPPED_PERCENT = 50

_DATE_PREFIX = re.compile(r"\d{4}-\d\d-\d\d")
_PERIOD = re.compile(r"\d{4}-W?\d\d", re.ASCII)
_MAX_WEEK, _MAX_MONTH = 53, 12
#: The parts of damaged props. None of them can be inside a string, where quotes are escaped.
_PAPERS_KEY = re.compile(r'"(dailyPapers|searchResults)"\s*:\s*(?=\[)')
_PROPS_FIELD = re.compile(
    r'"(periodType|dateString|date|prevDate|nextDate|isTrending)"\s*:\s*("[^"\\]*"|true)'
)
_PROPS_QUERY = re.compile(r'"query"\s*:\s*\{[^{}]*"q"\s*:\s*"[^"]')


class _Query(msgspec.Struct):
    q: str | None = None


class _PageProps(msgspec.Struct, rename="camel"):
    """The props of a page. Entries are decoded one by one, so that one can fail alone."""

    daily_papers: list[msgspec.Raw] | None = None
    search_results: list[msgspec.Raw] | None = None
    query: _Query | None = None
    period_type: str | None = None
    is_trending: bool | None = None
    date_string: str | None = None
    date: str | None = None  # in 2024
    prev_date: str | None = None
    next_date: str | None = None


def parse_page(
    body: bytes, url: str, *, requested: Page, fetched_at: datetime, stored: Listing | None = None
) -> Listing:
    """Return the listing of a page: from its props, else from its cards.

    Args:
        body: The response body.
        url: The final URL, after redirects. It may be that of another day than the requested one.
        requested: The requested page. The listing is of the page that upstream returned instead.
        fetched_at: When the response was received (UTC).
        stored: An earlier listing: papers that it has are not analyzed again.

    Raises:
        ParseError: The page has no list of papers of the requested kind.
    """
    return _analyze(_parse_page(body, url, requested, fetched_at), stored)


def _parse_page(body: bytes, url: str, requested: Page, fetched_at: datetime) -> Listing:
    text = body.decode("utf-8", "replace")
    if requested.kind is Kind.PAPER:
        data = extract_first(text, _paper_extractor(requested.key)) or ""
        return _listing_of_paper(data.encode(), url, requested, fetched_at)
    if not 0 < body.count(b"<") < _MAX_ANGLE_BRACKETS or text.startswith("<?xml"):
        # Where this is no HTML, BeautifulSoup would emit a warning.
        raise ParseError(url, "not an HTML page")
    try:
        props = _decode_props(text, url)
        kind_error = _kind_error(requested, props, url)
        if kind_error is None:
            return _listing_from_props(props, text, url, requested, fetched_at)
    except ParseError as error:
        return _listing_from_cards(text, url, requested, fetched_at, props_error=error)
    raise kind_error  # the cards would be of the other kind, too


def parse_api_response(
    body: bytes, url: str, *, requested: Page, fetched_at: datetime, stored: Listing | None = None
) -> Listing:
    """Return the listing of a JSON API response (`api_path`); arguments as in `parse_page`.

    Raises:
        ParseError: The response is not a list of papers, or is empty.
    """
    return _analyze(_parse_api_response(body, url, requested, fetched_at), stored)


def _parse_api_response(body: bytes, url: str, requested: Page, fetched_at: datetime) -> Listing:
    body = body.removeprefix(BOM_UTF8)
    if requested.kind is Kind.PAPER:
        return _listing_of_paper(body, url, requested, fetched_at, parsed_from="api")
    text = body.decode("utf-8", "replace")
    try:
        entries = msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        entries = [] if isinstance(error, msgspec.ValidationError) else _recover_list(text)
        if not entries:
            reason = f"the API response is not a list of papers: {error}"
            raise ParseError(url, reason) from error
    listing = _build_listing(requested, entries, url, fetched_at, parsed_from="api")
    if requested.kind is not Kind.DAY:
        return listing
    # Without a date, the API lists the newest papers of several days; only one day is wanted.
    days = {str(paper.listed) for paper in listing.papers}
    day = requested.key if requested.key in days else max(days)
    papers = tuple(paper for paper in listing.papers if str(paper.listed) == day)
    return msgspec.structs.replace(listing, page=Page(Kind.DAY, day), papers=papers)


def _analyze(listing: Listing, stored: Listing | None) -> Listing:
    known = {paper.id: paper for paper in stored.papers} if stored is not None else {}
    papers = tuple(analyze(paper, known.get(paper.id)) for paper in listing.papers)
    return msgspec.structs.replace(listing, papers=papers)


def _listing_of_paper(
    body: bytes,
    url: str,
    requested: Page,
    fetched_at: datetime,
    *,
    parsed_from: Literal["data", "api"] = "data",
) -> Listing:
    """Return the listing of one paper: the API has it bare, the page's data as an entry."""
    try:
        bare = "paper" not in msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        paper = parse_paper(msgspec.Raw(b'{"paper":%b}' % body if bare else body), None)
    except (ValueError, RecursionError) as error:
        raise ParseError(url, f"the response has no paper: {error}") from error
    if paper.id != requested.key:
        raise ParseError(url, f"paper {paper.id} instead of {requested.key}")
    return Listing(page=requested, papers=(paper,), fetched_at=fetched_at, parsed_from=parsed_from)


def _paper_extractor(paper_id: str) -> Extractor:
    """Return the extractor of the first data of a page that describes the paper."""

    def extract(_tag: str, attributes: Mapping[str, str]) -> str | None:
        data = attributes.get("data-props", "")
        return data if '"paper":' in data and f'"{paper_id}"' in data else None

    return extract


def count_api_entries(body: bytes) -> int:
    """Return how many entries an API response has; 0 where they are damaged."""
    try:
        return len(msgspec.json.decode(body.removeprefix(BOM_UTF8), type=list[msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError):
        return 0


def _build_listing(
    page: Page,
    entries: Sequence[msgspec.Raw],
    url: str,
    fetched_at: datetime,
    *,
    parsed_from: Literal["data", "api"],
) -> Listing:
    """Return the listing of the entries, each paper once; entries that are invalid are skipped."""
    if len(entries) > _MAX_PAPERS:
        raise ParseError(url, f"the list has {len(entries)} papers, more than {_MAX_PAPERS}")
    papers: dict[str, Paper] = {}
    skipped: list[str] = []
    invalid, day = 0, _list_day(page)
    for number, raw in enumerate(entries, 1):
        try:
            paper = clamp_dates(parse_paper(raw, day), day, fetched_at.date())
            papers.setdefault(paper.id, paper)
        except (ValueError, RecursionError) as error:
            skipped.append(f"{_find_id(raw) or f'paper {number}'}: {error}")
            invalid += not _is_damaged(error)
    max_invalid = max(1, len(entries) * _MAX_INVALID_PERCENT // 100)
    if invalid > max_invalid or 100 * len(skipped) > _MAX_SKIPPED_PERCENT * len(entries):
        reason = f"{len(skipped)} of {len(entries)} papers are invalid, the first: {skipped[0]}"
        raise ParseError(url, reason)
    if not papers and page.kind is not Kind.SEARCH:
        raise ParseError(url, "the list is empty")
    return Listing(
        page=page,
        papers=tuple(papers.values()),
        fetched_at=fetched_at,
        skipped=tuple(skipped),
        parsed_from=parsed_from,
    )


def _is_damaged(error: Exception) -> bool:
    """Return whether the error is about JSON itself, not about what the JSON says."""
    is_json_error = isinstance(error, msgspec.DecodeError | RecursionError)
    return is_json_error and not isinstance(error, msgspec.ValidationError)


def _find_id(raw: msgspec.Raw) -> str:
    """Return the id of an invalid entry, or an empty string if none can be found."""
    match = re.search(rb'"id":\s*"([\w.-]{1,64})"', bytes(raw))
    return match[1].decode() if match else ""


def extract_props(_tag: str, attributes: Mapping[str, str]) -> str | None:
    """Return the props if the tag is the one that has the papers (an `Extractor`)."""
    return attributes.get("data-props") if attributes.get("data-target") == "DailyPapers" else None


def extract_day(tag: str, attributes: Mapping[str, str]) -> str | None:
    """Return the day that a ``time`` tag shows (an `Extractor`)."""
    return attributes.get("datetime") if tag == "time" else None


def _decode_props(text: str, url: str) -> _PageProps:
    props = extract_first(text, extract_props)
    if props is None:
        raise ParseError(url, "the page has no data of a list of papers")
    try:
        return msgspec.json.decode(props, type=_PageProps)
    except (ValueError, RecursionError) as error:
        damaged = _recover_props(props) if _is_damaged(error) else None
        if damaged is None:
            raise ParseError(url, f"the page's data is invalid: {error}") from error
        return damaged


def _recover_props(text: str) -> _PageProps | None:
    """Return what is left of damaged props; None if they end early, or without papers."""
    if not text.rstrip().endswith("}"):
        return None
    starts = [*_PAPERS_KEY.finditer(text)]
    if not starts:
        return None
    ends = [*(start.start() for start in starts[1:]), len(text)]
    fields: dict[str, Any] = {
        start[1]: _recover_entries(text[start.end() : end])
        for start, end in zip(starts, ends, strict=True)
    }
    if not any(fields.values()):
        return None
    for key, value in _PROPS_FIELD.findall(text):
        fields.setdefault(key, value == "true" if key == "isTrending" else value.strip('"'))
    if _PROPS_QUERY.search(text):
        fields["query"] = {"q": "damaged"}
    return msgspec.convert(fields, _PageProps)


def _recover_list(text: str) -> list[msgspec.Raw]:
    """Return the entries of a damaged API response; none if it ends early."""
    text = text.strip()
    is_list = text.startswith("[") and text.endswith("]")
    return _recover_entries(text) if is_list else []


def _recover_entries(text: str) -> list[msgspec.Raw]:
    return list(islice(recover_objects(text, "paper"), _MAX_PAPERS + 1))


def _listing_from_props(
    props: _PageProps, text: str, url: str, requested: Page, fetched_at: datetime
) -> Listing:
    # A search page has the newest day's list, too, beside the results.
    entries = props.search_results if requested.kind is Kind.SEARCH else props.daily_papers
    if entries is None:
        raise ParseError(url, "the page's data has no list of papers")
    labels = chain([props.date_string, props.date], _period_labels(text, url))
    today = fetched_at.date()
    key = _page_key(requested, labels, today)
    if key is None:
        raise ParseError(url, f"the page does not say which {requested.kind} it lists")
    page = Page(requested.kind, key)
    listing = _build_listing(page, entries, url, fetched_at, parsed_from="data")
    return msgspec.structs.replace(
        listing,
        previous_day=_key_from_label(Kind.DAY, props.prev_date or "", today),
        next_day=_key_from_label(Kind.DAY, props.next_date or "", today),
    )


def _kind_error(requested: Page, props: _PageProps, url: str) -> ParseError | None:
    """Return the error of a page of another kind than the requested one.

    It happens to browsers: /papers shows the kind of period that was last viewed.
    """
    kind: str = props.period_type or requested.kind
    if props.is_trending:
        kind = Kind.TRENDING
    if props.query is not None and props.query.q:
        kind = Kind.SEARCH
    if requested.kind is Kind.SEARCH and props.search_results is not None:
        return None  # a search page also has the properties of a day's page
    if kind == requested.kind:
        return None
    actual = "search results" if kind == Kind.SEARCH else f"a list of a {kind}"
    return ParseError(url, f"{actual} instead of {requested}")


def _listing_from_cards(
    text: str, url: str, requested: Page, fetched_at: datetime, *, props_error: ParseError
) -> Listing:
    """Return the listing of the rendered cards; without any, raise the error of the props."""
    today, requested_day = fetched_at.date(), _list_day(requested)
    label = parse_day_navigation(text, requested_day) if requested_day else DayNavigation()
    key = _page_key(requested, chain([label.day], _period_labels(text, url)), today)
    if key is None or "<article" not in text or not is_within_limits(text):
        raise props_error
    has_date = requested.kind in {Kind.DAY, Kind.WEEK, Kind.MONTH}
    year = int(key[:4]) if has_date else fetched_at.year
    page = Page(requested.kind, key)
    day = _list_day(page)
    papers = parse_cards(text, day=day, year=year)
    if not papers:
        raise props_error
    return Listing(
        page=page,
        papers=tuple(clamp_dates(paper, day, today) for paper in papers),
        fetched_at=fetched_at,
        skipped=(f"page data: {props_error.reason}",),
        parsed_from="cards",
        previous_day=_key_from_label(Kind.DAY, label.previous_day, today),
        next_day=_key_from_label(Kind.DAY, label.next_day, today),
    )


def _list_day(page: Page) -> date | None:
    return date.fromisoformat(page.key) if page.kind is Kind.DAY else None


def _period_labels(text: str, url: str) -> Iterator[str | None]:
    """Yield the label above the cards, then the period in the URL, in its old and its new form."""
    yield extract_first(text, extract_day)
    parts = urlsplit(url)
    yield from parse_qs(parts.query).get("date", [])
    yield parts.path.rpartition("/")[2]


def _page_key(requested: Page, labels: Iterable[str | None], today: date) -> str | None:
    """Return the key of the returned page: from the first label that names a period of its kind."""
    if requested.kind in {Kind.TRENDING, Kind.SEARCH}:
        return requested.key
    for label in labels:
        key = _key_from_label(requested.kind, label or "", today)
        if key:
            return key
    # Week and month pages may lack a label; the requested period is the best guess then.
    return requested.key if requested.kind is not Kind.DAY else None


def _key_from_label(kind: Kind, label: str, today: date) -> str:
    """Return the key in a label such as ``2026-11-24T00:00:00.000Z``, or an empty string.

    There are no lists of days before the first or after tomorrow, whatever the label says.
    """
    first = FIRST_LIST_DAY if kind is Kind.DAY else FIRST_SUBMISSION_DAY
    found = _DATE_PREFIX.match(label)
    day = parse_iso_date(found[0]) if found else None
    key = Page.of_date(kind, day).key if day is not None else _period_key(kind, label)
    last = last_list_day(today)
    return key if Page.of_date(kind, first).key <= key <= Page.of_date(kind, last).key else ""


def _period_key(kind: Kind, label: str) -> str:
    """Return the label if it is the key of a week or month, else an empty string."""
    if kind is Kind.DAY or not _PERIOD.fullmatch(label) or ("W" in label) != (kind is Kind.WEEK):
        return ""
    last = _MAX_WEEK if kind is Kind.WEEK else _MAX_MONTH
    return label if 1 <= int(label[-2:]) <= last else ""
