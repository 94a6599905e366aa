"""The preview of a query: which papers its feed has, and advice on the query."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from feedsrv.errors import QueryError
from feedsrv.feeds.window import Window
from feedsrv.models import Paper
from feedsrv.search.analysis import tokenize
from feedsrv.search.index import Index
from feedsrv.search.parser import URL_LIMITS, parse_query
from feedsrv.search.query import Query, Term, iter_positive_terms
from feedsrv.search.search_terms import upstream_search_text
from feedsrv.search.suggest import suggest
from feedsrv.web.chart import Chart, build_chart
from feedsrv.web.filters import format_count, format_number, format_share, sentence
from feedsrv.web.paper_cards import PaperCard, paper_card

#: Forms of a word that the preview lists.
_MAX_WORD_FORMS = 12
#: Terms whose words are listed: each takes up to 20 ms, and anybody can request a preview.
_MAX_LISTED_TERMS = 6
_MAX_PREVIEW_PAPERS = 5
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
    if not papers or not days:
        return ""
    per_day = papers / days
    per_week = per_day * _LIST_DAYS_PER_WEEK
    if per_week < 1:
        return "less than one per week"
    if per_week < _MANY_PER_WEEK:
        return f"about {round(per_week)} per week"
    return f"about {format_number(round(per_day))} per weekday"


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
