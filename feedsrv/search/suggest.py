"""Suggest other queries for one that finds nothing, or too much for a feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

import msgspec

from feedsrv.models import Paper
from feedsrv.search.analysis import tokenize
from feedsrv.search.index import Index
from feedsrv.search.parser import parse_query
from feedsrv.search.query import MAX_QUERY_LENGTH, And, Not, Or, Query, Term, positive_terms

#: A query that matches more than one paper in four is too broad for a feed, provided that there are
#: enough papers to judge.
_BROAD_SHARE = 4
_MIN_PAPERS = 20
_MAX_SUGGESTIONS = 3
#: With more parts, nobody can tell which one is to blame.
_MAX_PARTS = 8


class Suggestions(msgspec.Struct, frozen=True):
    """Other queries to try."""

    #: What is wrong with the query: it matches no paper, or too many.
    problem: Literal["no match", "too broad"]
    #: Other queries, and how many papers each matches.
    queries: tuple[tuple[str, int], ...] = ()


def suggest(query: str, tree: Query, found: Sequence[Paper], index: Index) -> Suggestions | None:
    """Return other queries for one that finds nothing or too much; None for any other.

    Args:
        query: The query text.
        tree: The same, parsed.
        found: The papers of the index that match it.
        index: The papers of the window.

    """
    if not found:
        return Suggestions("no match", _first_matching(_relaxed_queries(tree, index)))
    total = len(index.papers)
    if len(found) * _BROAD_SHARE < total or total < _MIN_PAPERS:
        return None
    narrowed = _narrowed_queries(query, tree, found, index)
    return Suggestions("too broad", _first_matching(narrowed))


def _first_matching(queries: Iterator[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    matching = ((query, count) for query, count in queries if count)
    return tuple(islice(matching, _MAX_SUGGESTIONS))


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


def _narrowed_queries(
    query: str, tree: Query, found: Sequence[Paper], index: Index
) -> Iterator[tuple[str, int]]:
    """Yield queries that ask for more: for the words in titles, for a keyword too."""
    if isinstance(tree, Term) and not tree.field:
        in_title = msgspec.structs.replace(tree, field="title")
        yield str(in_title), len(index.matching(in_title))
    ids = {paper.id for paper in found}
    has = set(positive_terms(tree).split())
    keywords = Counter(keyword.lower() for paper in found for keyword in paper.keywords)
    for keyword, _ in keywords.most_common(2 * _MAX_SUGGESTIONS):
        more = keyword_query(keyword)
        text = f"{f'({query})' if isinstance(tree, Or) else query} {more}"
        if more and has.isdisjoint(tokenize(keyword)) and len(text) <= MAX_QUERY_LENGTH:
            yield text, sum(paper.id in ids for paper in index.matching(parse_query(more)))


def keyword_query(keyword: str) -> str:
    """Return the query for papers with that keyword; empty where there is none."""
    asked = tuple(tokenize(keyword))
    query = str(Term("keyword", asked, "exact")) if asked else ""
    return query if len(query) <= MAX_QUERY_LENGTH else ""
