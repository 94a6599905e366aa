"""Values for the pages that people see: previews, charts, cards. Values in, values out.

Titles, names and abstracts are strangers' words. What is marked in them is put together from parts
that were escaped one by one, so no template needs to trust a text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import compress
from operator import not_
from urllib.parse import quote

import msgspec
from markupsafe import Markup, escape

from feedsrv.errors import QueryError
from feedsrv.feeds.window import ListDay, Window
from feedsrv.models import Failure, Feed, Kind, Match, Page, Paper
from feedsrv.search.analysis import tokenize
from feedsrv.search.highlight import Span, excerpt, highlight_spans, searches_field, segments
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Or, Query, match_locations, positive_terms
from feedsrv.search.suggest import keyword_query, suggest
from feedsrv.web.filters import (
    format_count,
    format_number,
    format_share,
    long_date,
    sentence,
    short_date,
)

#: Where people can subscribe with one click; a reader of one's own is named in the settings.
READERS = {
    "Feedly": "https://feedly.com/i/subscription/feed/{url}",
    "Inoreader": "https://www.inoreader.com/?add_feed={url}",
    "NewsBlur": "https://www.newsblur.com/?url={url}",
    "The Old Reader": "https://theoldreader.com/feeds/subscribe?url={url}",
}
#: Matches that a preview shows, characters of an abstract among them, and authors of one paper.
_MAX_PREVIEW_PAPERS = 8
_EXCERPT_LENGTH = 260
_MAX_AUTHORS = 6
_MAX_SEARCHED_AUTHORS = 60
#: Papers of a page in which words are marked. It takes longer than all the rest, and nobody looks
#: through two hundred.
_MAX_HIGHLIGHTED_PAPERS = 50
_DAYS_PER_WEEK = 7
_HIGHLIGHTED_FIELDS = ("title", "abstract", "author", "org", "keyword")


class Keyword(msgspec.Struct, frozen=True):
    """One of a paper's keywords."""

    text: Markup
    #: What finds more of the kind.
    query: str
    is_highlighted: bool


class PaperCard(msgspec.Struct, frozen=True, kw_only=True):
    """One paper, with the words marked that a query asks for."""

    paper: Paper
    title: Markup
    #: In paragraphs; of a brief card, the part that shows why it matched.
    abstract: tuple[Markup, ...]
    authors: tuple[Markup, ...]
    more_authors: tuple[Markup, ...]
    organization: Markup
    keywords: tuple[Keyword, ...]
    matched_fields: tuple[str, ...]


class Hint(msgspec.Struct, frozen=True):
    """What to do about a query that finds nothing or too much."""

    message: str
    #: Other queries, and how many papers each matches.
    queries: tuple[tuple[str, int], ...] = ()


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed would hold, for somebody who types."""

    query: str
    problem: tuple[str, str, str, str] | None = None
    #: How many papers of how many match, and list days that were and are to be read.
    total: int = 0
    papers_searched: int = 0
    days_fetched: int = 0
    days: int = 0
    frequency: str = ""
    chart: Chart | None = None
    hint: Hint | None = None
    cards: tuple[PaperCard, ...] = ()
    snippet: str = ""


class FeedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A configured feed."""

    feed: Feed
    papers_this_week: int
    chart: Chart
    #: When the newest list that was read was.
    fetched_at: datetime | None
    failure: Failure | None


# --- a preview -------------------------------------------------------------------------------


def build_preview(query: str, window: Window, older: Callable[[str], int | None]) -> Preview:
    """Return what to show somebody who has typed the query.

    Args:
        query: As it was typed; may be one that cannot be read, and may be empty.
        window: What is kept of the list days.
        older: Returns how many older papers a search is known to find, where one is kept.

    """
    try:
        tree = parse_query(query) if query else None
    except QueryError as error:
        return Preview(query=error.query, problem=query_problem(error))
    days, seen = window.days, len(window.papers)
    read = sum(day.is_fetched for day in days)
    if tree is None or not seen:
        return Preview(query=query, papers_searched=seen, days_fetched=read, days=len(days))
    found = window.search(query)
    return Preview(
        query=query,
        total=len(found),
        papers_searched=seen,
        days_fetched=read,
        days=len(days),
        frequency=_frequency(len(found), read),
        chart=build_chart(found, days),
        hint=_hint(query, tree, window, older),
        cards=tuple(
            paper_card(paper, tree, is_brief=True) for paper in found[:_MAX_PREVIEW_PAPERS]
        ),
        snippet=config_snippet(query),
    )


def _hint(
    query: str, tree: Query, window: Window, older: Callable[[str], int | None]
) -> Hint | None:
    """Return what to do about a query that finds nothing or too much; None for any other."""
    found = window.search(query)
    suggestions = suggest(query, tree, found, window.index)
    if suggestions is None:
        return None
    if suggestions.problem == "too broad":
        share = format_share(len(found), len(window.papers))
        message = f"That is {share} of all papers, much for one feed."
    else:
        message = _no_match_message(query, tree, window, older)
    return Hint(message, suggestions.queries)


def _no_match_message(
    query: str, tree: Query, window: Window, older: Callable[[str], int | None]
) -> str:
    """Return why nothing is shown, and what a feed would hold all the same."""
    message = f"No paper of the last {format_count(len(window.days), 'list day')} matches"
    known = older(query)
    if known:
        message += f"; Hugging Face's search knows {format_count(known, 'older one')}"
    elif known is None and positive_terms(tree):
        message += "; a feed asks Hugging Face's search for older ones too"
    return f"{message}."


def query_problem(error: QueryError) -> tuple[str, str, str, str]:
    """Return what is wrong as a sentence, and the query in three parts, the second the place."""
    before, at = error.query[: error.position], error.query[error.position :]
    return sentence(error.reason), before, at[:1] or " ", at[1:]


def _frequency(found: int, days: int) -> str:
    """Return how many papers that makes, in words."""
    if not found or not days:
        return ""
    weekly = found / days * 5  # a week has five list days
    if weekly < 1:
        return "less than one a week"
    if weekly < 10:  # noqa: PLR2004  # from here on, days are the better measure
        return f"about {round(weekly)} a week"
    return f"about {format_number(round(weekly / 5))} each working day"


# --- papers ----------------------------------------------------------------------------------


def paper_cards(found: Iterable[Match]) -> tuple[PaperCard, ...]:
    """Return the papers of a feed, each marked by what its feeds ask for."""
    return tuple(
        paper_card(
            each.paper, _combined_query(each.feeds) if place < _MAX_HIGHLIGHTED_PAPERS else None
        )
        for place, each in enumerate(found)
    )


def _combined_query(feeds: Iterable[Feed]) -> Query | None:
    trees = tuple(parse_query(feed.query) for feed in feeds if feed.query)
    return trees[0] if len(trees) == 1 else Or(trees) if trees else None


def paper_card(paper: Paper, query: Query | None, *, is_brief: bool = False) -> PaperCard:
    """Return the paper with what the query asks for marked.

    Brief, it has the part of its abstract that shows why it matched, and else all of it.
    """
    sought = {
        field for field in _HIGHLIGHTED_FIELDS if query is not None and searches_field(query, field)
    }

    def found(field: str, text: str) -> tuple[Span, ...]:
        return highlight_spans(query, field, text) if query is not None and field in sought else ()

    def marked(field: str, text: str) -> Markup:
        return _highlight(text, found(field, text))

    # Those that are asked for are shown, however long the list.
    # Of a crowd not every name is looked at, while somebody types.
    looked = _MAX_SEARCHED_AUTHORS if is_brief else len(paper.authors)
    at = [
        found("author", name) if place < looked else () for place, name in enumerate(paper.authors)
    ]
    first = [place < _MAX_AUTHORS or bool(its) for place, its in enumerate(at)]
    authors = [_highlight(name, its) for name, its in zip(paper.authors, at, strict=True)]
    paragraphs = [(each, found("abstract", each)) for each in paper.abstract.split("\n\n") if each]
    told = (
        [excerpt(*_first_highlighted(paragraphs), _EXCERPT_LENGTH)]
        if is_brief and paragraphs
        else paragraphs
    )
    return PaperCard(
        paper=paper,
        title=marked("title", paper.title),
        abstract=tuple(_highlight(text, at) for text, at in told),
        authors=tuple(compress(authors, first)),
        more_authors=tuple(compress(authors, map(not_, first))),
        organization=marked("org", paper.organization),
        keywords=tuple(
            Keyword(marked("keyword", each), keyword_query(each), bool(found("keyword", each)))
            for each in paper.keywords
            if keyword_query(each)
        ),
        matched_fields=tuple(_matched_fields(query, paper)) if query is not None else (),
    )


def _first_highlighted(
    paragraphs: Sequence[tuple[str, tuple[Span, ...]]],
) -> tuple[str, tuple[Span, ...]]:
    """Return the first paragraph that has a mark, else the first."""
    return next((each for each in paragraphs if each[1]), paragraphs[0])


def _highlight(text: str, found: Sequence[Span]) -> Markup:
    if not found:
        return escape(text)
    parts = (
        Markup("<mark>{}</mark>").format(piece) if is_marked else escape(piece)
        for piece, is_marked in segments(text, found)
    )
    return Markup().join(parts)


def _matched_fields(query: Query, paper: Paper) -> Iterable[str]:
    """Return the names of the fields that matched, each once."""
    return dict.fromkeys(place.partition(":")[0] for place in match_locations(query, paper))


# --- feeds -----------------------------------------------------------------------------------


def feed_card(feed: Feed, window: Window, failure: Failure | None, today: date) -> FeedCard:
    """Return a configured feed with how many papers it had of late."""
    since = today - timedelta(days=_DAYS_PER_WEEK)
    found = window.search(feed.query)
    week = sum(paper.published.date() > since for paper in found)
    return FeedCard(
        feed=feed,
        papers_this_week=week,
        chart=build_chart(found, window.days),
        fetched_at=window.fetched_at,
        failure=failure,
    )


def config_snippet(query: str) -> str:
    """Return the lines of a settings file that make the query a feed with a name."""
    title = query[:1].upper() + query[1:]
    return (
        f"[feeds.{_feed_name(query)}]\ntitle = {_toml_string(title)}\nquery = {_toml_string(query)}"
    )


def _feed_name(query: str) -> str:
    """Return a feed's name made of the query's words: of letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(tokenize(query))).strip("-")
    return name[:40].strip("-") or "my-feed"


def _toml_string(text: str) -> str:
    """Return the text as TOML writes it: as it is, where it can be."""
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    # TOML's basic strings are JSON's, but for a DEL, which has to be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def page_title(listed: Page) -> str:
    """Return what an upstream page is called."""
    match listed.kind:
        case Kind.DAY:
            return long_date(date.fromisoformat(listed.key))
        case Kind.WEEK:
            year, _, week = listed.key.partition("-W")
            return f"Week {int(week)} of {year}"
        case Kind.MONTH:
            return f"{date.fromisoformat(f'{listed.key}-01'):%B %Y}"
        case Kind.TRENDING:
            return "Trending"
        case Kind.SEARCH:
            return listed.key


def subscribe_links(readers: Mapping[str, str], address: str) -> tuple[tuple[str, str], ...]:
    """Return the readers that can be led to a feed, each with where that is done."""
    every = {**readers, **READERS}
    return tuple(
        (name, url.replace("{url}", quote(address, safe=""))) for name, url in every.items()
    )


#: Of one day, and of the highest bar.
_WIDTH, _HEIGHT = 10, 40
#: Papers of a day that make the highest bar at least, so that a single one does not fill a chart.
_MIN_SCALE = 3


class Bar(msgspec.Struct, frozen=True):
    """One list day of a chart."""

    x: int
    y: float
    height: float
    label: str
    is_fetched: bool


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """How many papers each list day has."""

    bars: tuple[Bar, ...]
    width: int
    first: str
    last: str
    max_count: int
    #: The same in words.
    description: str


def build_chart(papers: Iterable[Paper], days: Sequence[ListDay]) -> Chart:
    """Return how many of the papers each list day has, oldest first."""
    counts = Counter(paper.published.date() for paper in papers)
    most = max((counts[day.date] for day in days), default=0)
    scale = max(most, _MIN_SCALE)
    bars = tuple(_build_bar(place, day, counts[day.date], scale) for place, day in enumerate(days))
    first, last = (short_date(days[0].date), short_date(days[-1].date)) if days else ("", "")
    return Chart(
        bars=bars,
        width=max(1, len(days) * _WIDTH),
        first=first,
        last=last,
        max_count=most,
        description=_describe(counts, days, most),
    )


def _build_bar(place: int, day: ListDay, count: int, scale: int) -> Bar:
    height = round(_HEIGHT * count / scale, 1)
    papers = format_count(count, "paper") if day.is_fetched else "not read yet"
    said = f"{long_date(day.date)}: {papers}"
    return Bar(place * _WIDTH, round(_HEIGHT - height, 1), height, said, day.is_fetched)


def _describe(counts: Mapping[date, int], days: Sequence[ListDay], most: int) -> str:
    """Return the chart in words, for those who do not see it."""
    if not days:
        return "No list day has been read."
    between = f"from {short_date(days[0].date)} to {long_date(days[-1].date)}"
    said = f"Papers on each of {format_count(len(days), 'list day')} {between}"
    if not most:
        return f"{said}: none."
    top = [day.date for day in days if counts[day.date] == most]
    on = f"on {short_date(top[-1])}" if len(top) == 1 else f"on {len(top)} days"
    none = sum(day.is_fetched and not counts[day.date] for day in days)
    rest = f", none on {format_count(none, 'day')}" if none else ""
    return f"{said}: at most {format_number(most)} a day, {on}{rest}."
