"""Values for the pages that people see: previews, charts, cards. Values in, values out.

Titles, names and abstracts are strangers' words. What is marked in them is put together from parts
that were escaped one by one, so no template needs to trust a text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import compress
from operator import not_
from urllib.parse import quote

import msgspec
from markupsafe import Markup, escape

from feedsrv import prose
from feedsrv.chart import Chart, chart
from feedsrv.errors import QueryError
from feedsrv.freshness import Failure
from feedsrv.grammar import parse
from feedsrv.hint import Hint, hint, keyword_query
from feedsrv.mark import Span, excerpt, is_sought, pieces, spans
from feedsrv.paper import Feed, Found, Kind, Page, Paper
from feedsrv.query import Or, Query, places
from feedsrv.shelf import Window
from feedsrv.words import words

#: Where people can subscribe with one click; a reader of one's own is named in the settings.
READERS = {
    "Feedly": "https://feedly.com/i/subscription/feed/{url}",
    "Inoreader": "https://www.inoreader.com/?add_feed={url}",
    "NewsBlur": "https://www.newsblur.com/?url={url}",
    "The Old Reader": "https://theoldreader.com/feeds/subscribe?url={url}",
}
#: Matches that a preview shows, characters of an abstract among them, and authors of one paper.
_MOST_SHOWN = 8
_MOST_EXCERPT = 260
_MOST_AUTHORS = 6
_MOST_LOOKED = 60
#: Papers of a page in which words are marked. It takes longer than all the rest, and nobody looks
#: through two hundred.
_MOST_MARKED = 50
_WEEK = 7
_MARKED = ("title", "abstract", "author", "org", "keyword")


class Keyword(msgspec.Struct, frozen=True):
    """One of a paper's keywords."""

    text: Markup
    #: What finds more of the kind.
    query: str
    is_marked: bool


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One paper, with the words marked that a query asks for."""

    paper: Paper
    title: Markup
    #: In paragraphs; of a brief card, the part that shows why it matched.
    abstract: tuple[Markup, ...]
    authors: tuple[Markup, ...]
    more_authors: tuple[Markup, ...]
    organization: Markup
    keywords: tuple[Keyword, ...]
    where: tuple[str, ...]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed would hold, for somebody who types."""

    query: str
    problem: tuple[str, str, str, str] | None = None
    #: How many papers of how many match, and list days that were and are to be read.
    found: int = 0
    seen: int = 0
    read: int = 0
    days: int = 0
    pace: str = ""
    chart: Chart | None = None
    hint: Hint | None = None
    cards: tuple[Card, ...] = ()
    snippet: str = ""


class FeedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A configured feed."""

    feed: Feed
    week: int
    chart: Chart
    #: When the newest list that was read was.
    read_at: datetime | None
    failure: Failure | None


# --- a preview -------------------------------------------------------------------------------


def shown(query: str, window: Window, older: Callable[[str], int | None]) -> Shown:
    """Return what to show somebody who has typed the query.

    Args:
        query: As it was typed; may be one that cannot be read, and may be empty.
        window: What is kept of the list days.
        older: Returns how many older papers a search is known to find, where one is kept.

    """
    try:
        tree = parse(query) if query else None
    except QueryError as error:
        return Shown(query=error.query, problem=problem(error))
    days, seen = window.days, len(window.papers)
    read = sum(day.is_read for day in days)
    if tree is None or not seen:
        return Shown(query=query, seen=seen, read=read, days=len(days))
    found = window.found(query)
    return Shown(
        query=query,
        found=len(found),
        seen=seen,
        read=read,
        days=len(days),
        pace=_pace(len(found), read),
        chart=chart(found, days),
        hint=hint(query, tree, window, older),
        cards=tuple(card(paper, tree, is_brief=True) for paper in found[:_MOST_SHOWN]),
        snippet=snippet(query),
    )


def problem(error: QueryError) -> tuple[str, str, str, str]:
    """Return what is wrong as a sentence, and the query in three parts, the second the place."""
    before, at = error.query[: error.position], error.query[error.position :]
    return prose.sentence(error.reason), before, at[:1] or " ", at[1:]


def _pace(found: int, days: int) -> str:
    """Return how many papers that makes, in words."""
    if not found or not days:
        return ""
    weekly = found / days * 5  # a week has five list days
    if weekly < 1:
        return "less than one a week"
    if weekly < 10:  # noqa: PLR2004  # from here on, days are the better measure
        return f"about {round(weekly)} a week"
    return f"about {prose.number(round(weekly / 5))} each working day"


# --- papers ----------------------------------------------------------------------------------


def cards(found: Iterable[Found]) -> tuple[Card, ...]:
    """Return the papers of a feed, each marked by what its feeds ask for."""
    return tuple(
        card(each.paper, _asked(each.feeds) if place < _MOST_MARKED else None)
        for place, each in enumerate(found)
    )


def _asked(feeds: Iterable[Feed]) -> Query | None:
    trees = tuple(parse(feed.query) for feed in feeds if feed.query)
    return trees[0] if len(trees) == 1 else Or(trees) if trees else None


def card(paper: Paper, query: Query | None, *, is_brief: bool = False) -> Card:
    """Return the paper with what the query asks for marked.

    Brief, it has the part of its abstract that shows why it matched, and else all of it.
    """
    sought = {field for field in _MARKED if query is not None and is_sought(query, field)}

    def found(field: str, text: str) -> tuple[Span, ...]:
        return spans(query, field, text) if query is not None and field in sought else ()

    def marked(field: str, text: str) -> Markup:
        return _marked(text, found(field, text))

    # Those that are asked for are shown, however long the list.
    # Of a crowd not every name is looked at, while somebody types.
    looked = _MOST_LOOKED if is_brief else len(paper.authors)
    at = [
        found("author", name) if place < looked else () for place, name in enumerate(paper.authors)
    ]
    first = [place < _MOST_AUTHORS or bool(its) for place, its in enumerate(at)]
    authors = [_marked(name, its) for name, its in zip(paper.authors, at, strict=True)]
    paragraphs = [(each, found("abstract", each)) for each in paper.abstract.split("\n\n") if each]
    told = [excerpt(*_first(paragraphs), _MOST_EXCERPT)] if is_brief and paragraphs else paragraphs
    return Card(
        paper=paper,
        title=marked("title", paper.title),
        abstract=tuple(_marked(text, at) for text, at in told),
        authors=tuple(compress(authors, first)),
        more_authors=tuple(compress(authors, map(not_, first))),
        organization=marked("org", paper.organization),
        keywords=tuple(
            Keyword(marked("keyword", each), keyword_query(each), bool(found("keyword", each)))
            for each in paper.keywords
            if keyword_query(each)
        ),
        where=tuple(_where(query, paper)) if query is not None else (),
    )


def _first(paragraphs: Sequence[tuple[str, tuple[Span, ...]]]) -> tuple[str, tuple[Span, ...]]:
    """Return the first paragraph that has a mark, else the first."""
    return next((each for each in paragraphs if each[1]), paragraphs[0])


def _marked(text: str, found: Sequence[Span]) -> Markup:
    if not found:
        return escape(text)
    parts = (
        Markup("<mark>{}</mark>").format(piece) if is_marked else escape(piece)
        for piece, is_marked in pieces(text, found)
    )
    return Markup().join(parts)


def _where(query: Query, paper: Paper) -> Iterable[str]:
    """Return the names of the fields that matched, each once."""
    return dict.fromkeys(place.partition(":")[0] for place in places(query, paper))


# --- feeds -----------------------------------------------------------------------------------


def feed_card(feed: Feed, window: Window, failure: Failure | None, today: date) -> FeedCard:
    """Return a configured feed with how many papers it had of late."""
    since = today - timedelta(days=_WEEK)
    found = window.found(feed.query)
    week = sum(paper.published.date() > since for paper in found)
    return FeedCard(
        feed=feed,
        week=week,
        chart=chart(found, window.days),
        read_at=window.read_at,
        failure=failure,
    )


def snippet(query: str) -> str:
    """Return the lines of a settings file that make the query a feed with a name."""
    title = query[:1].upper() + query[1:]
    return f"[feeds.{_name(query)}]\ntitle = {_toml(title)}\nquery = {_toml(query)}"


def _name(query: str) -> str:
    """Return a feed's name made of the query's words: of letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(words(query))).strip("-")
    return name[:40].strip("-") or "my-feed"


def _toml(text: str) -> str:
    """Return the text as TOML writes it: as it is, where it can be."""
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    # TOML's basic strings are JSON's, but for a DEL, which has to be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def list_name(listed: Page) -> str:
    """Return what an upstream page is called."""
    match listed.kind:
        case Kind.DAY:
            return prose.day(date.fromisoformat(listed.key))
        case Kind.WEEK:
            year, _, week = listed.key.partition("-W")
            return f"Week {int(week)} of {year}"
        case Kind.MONTH:
            return f"{date.fromisoformat(f'{listed.key}-01'):%B %Y}"
        case Kind.TRENDING:
            return "Trending"
        case Kind.SEARCH:
            return listed.key


def subscribe(readers: Mapping[str, str], address: str) -> tuple[tuple[str, str], ...]:
    """Return the readers that can be led to a feed, each with where that is done."""
    every = {**readers, **READERS}
    return tuple(
        (name, url.replace("{url}", quote(address, safe=""))) for name, url in every.items()
    )
