"""View models of the HTML pages: previews of queries, cards of papers and feeds.

Titles, names and abstracts come from strangers. Text with highlights is a `markupsafe.Markup` whose
parts were escaped one by one, so that no template needs the ``safe`` filter.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import compress, islice
from operator import not_
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from markupsafe import Markup, escape

from feedsrv.errors import QueryError
from feedsrv.feeds.window import Window
from feedsrv.models import Failure, Feed, Kind, Match, Page, Paper
from feedsrv.search.analysis import tokenize
from feedsrv.search.artefact_table import NO_ARTEFACTS, ArtefactKind, ArtefactTable
from feedsrv.search.highlight import Span, excerpt, highlight_spans, searches_field, segments
from feedsrv.search.index import Index
from feedsrv.search.matching import match_locations
from feedsrv.search.parser import URL_LIMITS, parse_feed_query, parse_query
from feedsrv.search.query import Or, Query, Term, iter_positive_terms
from feedsrv.search.search_terms import upstream_search_text
from feedsrv.search.suggest import keyword_query, suggest
from feedsrv.web.chart import Chart, build_chart
from feedsrv.web.filters import format_count, format_number, format_share, long_date, sentence
from feedsrv.web.urls import is_public_url

#: Web-based readers and where each subscribes to a feed. The settings can add others.
WEB_READERS = {
    "Feedly": "https://feedly.com/i/subscription/feed/{url}",
    "Inoreader": "https://www.inoreader.com/?add_feed={url}",
    "NewsBlur": "https://www.newsblur.com/?url={url}",
    "The Old Reader": "https://theoldreader.com/feeds/subscribe?url={url}",
}
#: Forms of a word that the preview lists.
_MAX_WORD_FORMS = 12
#: Terms whose words are listed: each takes up to 20 ms, and anybody can request a preview.
_MAX_LISTED_TERMS = 6
_MAX_PREVIEW_PAPERS = 5
_EXCERPT_LENGTH = 260
#: Authors that are shown without a click, and those that a brief card highlights at most.
_MAX_VISIBLE_AUTHORS = 6
_MAX_SEARCHED_AUTHORS = 60
#: Papers of a page with highlights. They take longer than the rest of the page, and few people
#: scroll through two hundred papers.
_MAX_HIGHLIGHTED_PAPERS = 50
_ARTEFACT_NOUNS: dict[ArtefactKind, str] = {
    "model": "model",
    "dataset": "dataset",
    "space": "Space",
}
_ARTEFACT_PATHS = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_HIGHLIGHTED_FIELDS = ("title", "abstract", "author", "org", "keyword")
_LIST_DAYS_PER_WEEK = 5
#: From this many papers per week on, the frequency is given per day.
_MANY_PER_WEEK = 10


class QueryProblem(NamedTuple):
    """What is wrong with a query: a sentence, and the query split around the wrong character."""

    message: str
    before: str
    #: A space if the error is at the end of the query.
    character: str
    after: str


class Keyword(msgspec.Struct, frozen=True):
    """A keyword of a paper, and the query for all papers that have it."""

    text: Markup
    query: str
    is_highlighted: bool


class ArtefactLink(NamedTuple):
    """How many artefacts of one kind cite a paper, in words, and where they are."""

    text: str
    url: str


class PaperCard(msgspec.Struct, frozen=True, kw_only=True):
    """A paper with the words of a query highlighted."""

    paper: Paper
    title: Markup
    #: Paragraphs; an excerpt on a brief card.
    abstract: tuple[Markup, ...]
    authors: tuple[Markup, ...]
    #: Authors that are shown on click.
    more_authors: tuple[Markup, ...]
    organization: Markup
    keywords: tuple[Keyword, ...]
    matched_fields: tuple[str, ...]
    #: How similar it is to the papers of ``like:``, with the words that weigh most.
    similarities: tuple[str, ...]
    #: Models, datasets and Spaces that cite it.
    artefacts: tuple[ArtefactLink, ...] = ()


class Hint(msgspec.Struct, frozen=True):
    """Advice for a query that matches nothing or too much."""

    message: str
    #: Other queries, each with how many papers it matches.
    suggestions: tuple[tuple[str, int], ...] = ()


class WordForms(msgspec.Struct, frozen=True):
    """A word of a query, and the words that it finds."""

    word: str
    #: The most frequent first, each with how many papers have it.
    forms: tuple[tuple[str, int], ...]


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """Which papers of the window a query matches."""

    query: str
    #: Set if the query is invalid; the other fields are empty then.
    problem: QueryProblem | None = None
    #: All papers if the query is empty.
    total: int = 0
    #: Papers that the feed has beyond the window, as far as they are stored.
    older_match_count: int = 0
    papers_searched: int = 0
    days_fetched: int = 0
    days: int = 0
    #: How often a paper matches, in words.
    frequency: str = ""
    chart: Chart | None = None
    hints: tuple[Hint, ...] = ()
    word_forms: tuple[WordForms, ...] = ()
    #: The newest matches.
    cards: tuple[PaperCard, ...] = ()
    config_snippet: str = ""
    #: The query for papers similar to the one that the query names; empty if it names none.
    similar_papers_query: str = ""


class FeedCard(msgspec.Struct, frozen=True, kw_only=True):
    """A configured feed."""

    feed: Feed
    papers_this_week: int
    chart: Chart
    #: When the newest stored list was fetched; None without one.
    fetched_at: datetime | None
    failure: Failure | None


def build_preview(query: str, window: Window, older_match_count: int | None) -> Preview:
    """Return the preview of a query's feed.

    ``older_match_count`` says how many older papers a stored search has; None without one.

    Raises:
        QueryError: The query is invalid.
    """
    days_fetched = sum(day.is_fetched for day in window.days)
    preview = Preview(
        query=query,
        total=len(window.papers),
        frequency=_frequency(len(window.papers), days_fetched),
        papers_searched=len(window.papers),
        days_fetched=days_fetched,
        days=len(window.days),
    )
    if not query:
        return preview
    tree = parse_query(query, URL_LIMITS)
    if not window.papers:
        return preview
    papers, tree = window.search(tree), window.resolve(tree)
    return msgspec.structs.replace(
        preview,
        total=len(papers),
        older_match_count=older_match_count or 0,
        frequency=_frequency(len(papers), days_fetched),
        chart=build_chart(papers, window.days),
        hints=tuple(_build_hints(query, tree, papers, window, older_match_count)),
        word_forms=tuple(_word_forms(tree, window.index)),
        cards=tuple(
            paper_card(paper, tree, is_brief=True) for paper in papers[:_MAX_PREVIEW_PAPERS]
        ),
        config_snippet=config_snippet(query),
        similar_papers_query=_similar_papers_query(tree),
    )


def _similar_papers_query(tree: Query) -> str:
    """Return the query for papers similar to the one that the query names; empty if none."""
    match tree:
        case Term("id", paper_id, mode) if mode != "prefix":
            return f"like:{paper_id}"
    return ""


def query_problem(error: QueryError) -> QueryProblem:
    """Return what is wrong with a query, for the pages."""
    before, rest = error.query[: error.position], error.query[error.position :]
    return QueryProblem(sentence(error.reason), before, rest[:1] or " ", rest[1:])


def _build_hints(
    query: str, tree: Query, papers: Sequence[Paper], window: Window, older_match_count: int | None
) -> Iterator[Hint]:
    """Yield advice on the query: what to try instead, and why."""
    for suggestion in suggest(query, tree, papers, window.index):
        match suggestion.reason:
            case "no match":
                message = _no_match_message(tree, len(window.days), older_match_count)
            case "too broad":
                share = format_share(len(papers), len(window.papers))
                message = f"This matches {share} of all papers, which is a lot for one feed."
            case "phrase":
                message = "Most of these papers do not have the words side by side."
            case "long form":
                message = "Papers also spell this out."
        yield Hint(message, suggestion.queries)


def _word_forms(tree: Query, index: Index) -> Iterator[WordForms]:
    """Yield the words of the query that find other words too."""
    terms = (term for term in iter_positive_terms(tree) if term.has_forms)
    for term in islice(terms, _MAX_LISTED_TERMS):
        forms = tuple(index.matched_forms(term).items())
        if len(forms) > 1:
            yield WordForms(str(term), forms[:_MAX_WORD_FORMS])


def _no_match_message(tree: Query, days: int, older_match_count: int | None) -> str:
    """Return that the window has no match, and what the feed has beyond it."""
    message = f"No papers from the last {format_count(days, 'day')} of lists match."
    if older_match_count:
        papers = format_count(older_match_count, "older paper")
        return f"{message} The feed also includes {papers} from Hugging Face's search."
    if older_match_count is None and upstream_search_text(tree):
        return f"{message} The feed also includes older ones that Hugging Face's search finds."
    return message


def _frequency(papers: int, days: int) -> str:
    """Return how often a paper matches, in words."""
    if not papers or not days:
        return ""
    per_day = papers / days
    per_week = per_day * _LIST_DAYS_PER_WEEK
    if per_week < 1:
        return "less than one per week"
    if per_week < _MANY_PER_WEEK:
        return f"about {round(per_week)} per week"
    return f"about {format_number(round(per_day))} per weekday"


def paper_cards(
    matches: Iterable[Match],
    queries: Mapping[Feed, tuple[Query, ...]],
    artefacts: ArtefactTable = NO_ARTEFACTS,
) -> tuple[PaperCard, ...]:
    """Return the cards of a feed's papers, with what the feeds' queries match highlighted."""
    return tuple(
        msgspec.structs.replace(
            paper_card(
                match.paper,
                _combined_query(match.feeds, queries) if index < _MAX_HIGHLIGHTED_PAPERS else None,
            ),
            artefacts=tuple(_artefact_links(match.paper, artefacts)),
        )
        for index, match in enumerate(matches)
    )


def _artefact_links(paper: Paper, artefacts: ArtefactTable) -> Iterator[ArtefactLink]:
    """Yield a link for each kind of artefacts that cite the paper: to the only one, or to all."""
    for kind, noun in _ARTEFACT_NOUNS.items():
        linked = artefacts.get(kind, paper.id)
        path = f"{_ARTEFACT_PATHS[kind]}{linked.example}"
        if linked.count > 1 or not linked.example:
            # Spaces have no page of their own for it; the paper's page shows them.
            is_space = kind == "space"
            path = f"papers/{paper.id}" if is_space else f"{kind}s?other=arxiv:{paper.id}"
        if linked.count:
            url = f"https://huggingface.co/{path}"
            yield ArtefactLink(format_count(linked.count, noun), url)


def _combined_query(
    feeds: Iterable[Feed], queries: Mapping[Feed, tuple[Query, ...]]
) -> Query | None:
    trees = tuple(query for feed in feeds for query in queries[feed])
    return trees[0] if len(trees) == 1 else Or(trees) if trees else None


def paper_card(paper: Paper, query: Query | None, *, is_brief: bool = False) -> PaperCard:
    """Return the card of a paper, with what the query matches highlighted.

    A brief card has an excerpt of the abstract around the first highlight, others have all of it.
    """
    has_keywords = bool(paper.keywords)
    searched_fields = {
        field
        for field in _HIGHLIGHTED_FIELDS
        if query is not None and searches_field(query, field, has_keywords=has_keywords)
    }

    def spans(field: str, text: str) -> tuple[Span, ...]:
        if query is None or field not in searched_fields:
            return ()
        return highlight_spans(query, field, text, has_keywords=has_keywords)

    def highlight(field: str, text: str) -> Markup:
        return _highlight(text, spans(field, text))

    # The preview is rendered at each keystroke, and some papers have a thousand authors.
    searched = len(paper.authors) if not is_brief else _MAX_SEARCHED_AUTHORS
    author_spans = [
        spans("author", name) if index < searched else ()
        for index, name in enumerate(paper.authors)
    ]
    authors = [
        _highlight(name, found) for name, found in zip(paper.authors, author_spans, strict=True)
    ]
    # Authors that match are visible, however long the list is.
    is_visible = [
        index < _MAX_VISIBLE_AUTHORS or bool(found) for index, found in enumerate(author_spans)
    ]
    paragraphs = [(text, spans("abstract", text)) for text in paper.abstract.split("\n\n") if text]
    if is_brief and paragraphs:
        first = next((paragraph for paragraph in paragraphs if paragraph[1]), paragraphs[0])
        paragraphs = [excerpt(*first, _EXCERPT_LENGTH)]
    matched = _matched_fields(query, paper) if query is not None else {}
    return PaperCard(
        paper=paper,
        title=highlight("title", paper.title),
        abstract=tuple(_highlight(text, found) for text, found in paragraphs),
        authors=tuple(compress(authors, is_visible)),
        more_authors=tuple(compress(authors, map(not_, is_visible))),
        organization=highlight("org", paper.organization),
        keywords=tuple(
            Keyword(
                highlight("keyword", keyword),
                keyword_query(keyword),
                bool(spans("keyword", keyword)),
            )
            for keyword in paper.keywords
            if keyword_query(keyword)
        ),
        matched_fields=tuple(field for field in matched if field != "like"),
        similarities=matched.get("like", ()),
    )


def _highlight(text: str, spans: Sequence[Span]) -> Markup:
    if not spans:
        return escape(text)
    parts = (
        Markup("<mark>{}</mark>").format(segment) if is_highlighted else escape(segment)
        for segment, is_highlighted in segments(text, spans)
    )
    return Markup().join(parts)


def _matched_fields(query: Query, paper: Paper) -> dict[str, tuple[str, ...]]:
    """Return the fields that the query matches, each with what it matches there."""
    matched: dict[str, tuple[str, ...]] = {}
    for location in match_locations(query, paper):
        field, _, value = location.partition(": ")
        matched[field] = (*matched.get(field, ()), value)
    return matched


def feed_card(feed: Feed, window: Window, failure: Failure | None, today: date) -> FeedCard:
    """Return the card of a configured feed."""
    papers = window.search(parse_feed_query(feed))
    week_ago = today - timedelta(weeks=1)
    return FeedCard(
        feed=feed,
        papers_this_week=sum(paper.published.date() > week_ago for paper in papers),
        chart=build_chart(papers, window.days),
        fetched_at=window.fetched_at,
        failure=failure,
    )


def config_snippet(query: str) -> str:
    """Return the lines of the settings file that configure a feed for the query."""
    title = query[:1].upper() + query[1:]
    return (
        f"[feeds.{_feed_name(query)}]\ntitle = {_toml_string(title)}\nquery = {_toml_string(query)}"
    )


def _feed_name(query: str) -> str:
    """Return a name for the query's feed: ASCII letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", " ".join(tokenize(query))).strip("-")
    return name[:40].strip("-") or "my-feed"


def _toml_string(text: str) -> str:
    """Return the text as a TOML literal string, or as a basic string if it cannot be one."""
    if "'" not in text and text.isprintable():
        return f"'{text}'"
    # A JSON string is a TOML basic string, except that TOML also wants DEL escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def page_title(page: Page) -> str:
    """Return the title of an upstream page."""
    match page.kind:
        case Kind.DAY:
            return long_date(date.fromisoformat(page.key))
        case Kind.WEEK:
            year, _, week = page.key.partition("-W")
            return f"Week {int(week)} of {year}"
        case Kind.MONTH:
            return f"{date.fromisoformat(f'{page.key}-01'):%B %Y}"
        case Kind.TRENDING:
            return "Trending"
        case Kind.SEARCH | Kind.PAPER:
            return page.key


def subscribe_links(readers: Mapping[str, str], feed_url: str) -> tuple[tuple[str, str], ...]:
    """Return the name of each reader, configured ones first, and the URL that subscribes it.

    Web-based readers are left out where they cannot reach the feed.
    """
    quoted, web_readers = quote(feed_url, safe=""), WEB_READERS if is_public_url(feed_url) else {}
    return tuple(
        (name, template.replace("{url}", quoted))
        for name, template in {**readers, **web_readers}.items()
    )
