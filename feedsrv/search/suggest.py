"""What to do about a query that finds too much or nothing, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import msgspec

from feedsrv.feeds.selection import Window
from feedsrv.search.analysis import tokenize
from feedsrv.search.index import Index
from feedsrv.search.parser import parse_query
from feedsrv.search.query import MAX_QUERY_LENGTH, And, Not, Or, Query, Term, positive_terms
from feedsrv.web.filters import format_count, format_share

#: A query that matches more than one paper in four is too wide for a feed, where there are enough
#: papers to tell.
_BROAD_SHARE = 4
_MIN_PAPERS = 20
_MAX_SUGGESTIONS = 3
#: Parts of a query of which one may be too much; of more, nobody can tell.
_MAX_PARTS = 8


class Suggestions(msgspec.Struct, frozen=True):
    """What to do about a query that finds too much or nothing."""

    message: str
    #: Other queries, and how many papers each matches.
    queries: tuple[tuple[str, int], ...] = ()


def suggest(
    query: str, tree: Query, window: Window, older: Callable[[str], int | None]
) -> Suggestions | None:
    """Return what to tell somebody whose query finds too much or nothing; None for any other.

    Args:
        query: As it is written.
        tree: As it is read.
        window: What is kept of the list days.
        older: Returns how many older papers a search is known to find, where one is kept.

    """
    found, seen = window.search(query), len(window.papers)
    if not found:
        tries = ((text, many) for text, many in _relaxed_queries(tree, window.index) if many)
        return Suggestions(
            _no_match_message(query, tree, window, older), tuple(islice(tries, _MAX_SUGGESTIONS))
        )
    if len(found) * _BROAD_SHARE < seen or seen < _MIN_PAPERS:
        return None
    tries = ((text, many) for text, many in _narrowed_queries(query, tree, window) if many)
    said = f"That is {format_share(len(found), seen)} of all papers, much for one feed."
    return Suggestions(said, tuple(islice(tries, _MAX_SUGGESTIONS)))


def _no_match_message(
    query: str, tree: Query, window: Window, older: Callable[[str], int | None]
) -> str:
    """Return how it comes that nothing is shown, and what a feed would have all the same."""
    said = f"No paper of the last {format_count(len(window.days), 'list day')} matches"
    known = older(query)
    if known:
        said += f"; Hugging Face's search knows {format_count(known, 'older one')}"
    elif known is None and positive_terms(tree):
        said += "; a feed asks Hugging Face's search for older ones too"
    return f"{said}."


def _relaxed_queries(tree: Query, index: Index) -> Iterator[tuple[str, int]]:
    """Yield queries that ask for less, each with how many papers match."""
    looser: Query | None = None
    match tree:
        case Term("", asked, "exact") if len(asked) > 1:
            looser = And(tuple(Term("", (word,), "stems") for word in asked))
        case Term("title" | "abstract" | "keyword", _, _):
            looser = msgspec.structs.replace(tree, field="")
        case Term("", _, "stems"):
            looser = msgspec.structs.replace(tree, mode="prefix")
        case And((*others, Term("", _, "stems") as last)):
            # Somebody who types has not come to the end of the last word.
            looser = And((*others, msgspec.structs.replace(last, mode="prefix")))
    if looser is not None:
        yield str(looser), len(index.matching(looser))
    if isinstance(tree, And) and len(tree.parts) <= _MAX_PARTS:
        yield from _without_one_part(tree.parts, index)


def _without_one_part(parts: Sequence[Query], index: Index) -> Iterator[tuple[str, int]]:
    """Yield the parts of a query but for one, for each, with how many papers match."""
    for place, many in enumerate(index.count_without_each(parts)):
        rest = (*parts[:place], *parts[place + 1 :])
        if not all(isinstance(part, Not) for part in rest):
            yield str(rest[0] if len(rest) == 1 else And(rest)), many


def _narrowed_queries(query: str, tree: Query, window: Window) -> Iterator[tuple[str, int]]:
    """Yield queries that ask for more: for the words in titles, for a keyword too."""
    found = window.search(query)
    if isinstance(tree, Term) and not tree.field:
        in_title = msgspec.structs.replace(tree, field="title")
        yield str(in_title), len(window.index.matching(in_title))
    ids = {paper.id for paper in found}
    has = set(positive_terms(tree).split())
    keywords = Counter(keyword.lower() for paper in found for keyword in paper.keywords)
    for keyword, _ in keywords.most_common(2 * _MAX_SUGGESTIONS):
        more = keyword_query(keyword)
        text = f"{f'({query})' if isinstance(tree, Or) else query} {more}"
        if more and has.isdisjoint(tokenize(keyword)) and len(text) <= MAX_QUERY_LENGTH:
            yield text, sum(paper.id in ids for paper in window.index.matching(parse_query(more)))


def keyword_query(keyword: str) -> str:
    """Return the query for papers with that keyword; empty where there is none."""
    asked = tuple(tokenize(keyword))
    query = str(Term("keyword", asked, "exact")) if asked else ""
    return query if len(query) <= MAX_QUERY_LENGTH else ""
