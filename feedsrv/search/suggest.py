"""Suggest alternatives to a query that matches nothing, matches too much, or could be improved."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal

import msgspec

from feedsrv.models import Paper
from feedsrv.search.analysis import tokenize
from feedsrv.search.index import Index
from feedsrv.search.parser import URL_LIMITS, normalize_punctuation, parse_query
from feedsrv.search.query import And, Not, Or, Query, Term, iter_positive_terms
from feedsrv.search.search_terms import upstream_search_text

#: A query that matches more than one paper in four is too broad for a feed, provided that there are
#: enough papers to judge.
_BROAD_DIVISOR = 4
_MIN_PAPERS = 20
_MAX_SUGGESTIONS = 3
#: With more parts, nobody can tell which one is to blame.
_MAX_PARTS = 8
#: A long form that fewer papers define is chance or a misreading.
_MIN_DEFINITIONS = 2


class Suggestion(msgspec.Struct, frozen=True):
    """Other queries to try, and why."""

    #: ``no match`` and ``too broad`` say what is wrong with the query. ``phrase``: its words rarely
    #: stand side by side. ``long form``: papers spell out its abbreviation.
    reason: Literal["no match", "too broad", "phrase", "long form"]
    #: Each with how many papers it matches.
    queries: tuple[tuple[str, int], ...] = ()


def suggest(
    query: str, tree: Query, found: Sequence[Paper], index: Index
) -> tuple[Suggestion, ...]:
    """Return what to try instead of a query that finds these papers, the most important first."""
    if not found:
        return (Suggestion("no match", _first_matching(_relaxed_queries(tree, index))),)
    suggestions = []
    total = len(index.papers)
    if len(found) * _BROAD_DIVISOR >= total >= _MIN_PAPERS:
        narrowed = _narrowed_queries(query, tree, found, index)
        suggestions.append(Suggestion("too broad", _first_matching(narrowed)))
    if phrases := _first_matching(_phrase_queries(tree, found, index)):
        suggestions.append(Suggestion("phrase", phrases))
    if long_forms := _first_matching(_long_form_queries(query, tree, found, index)):
        suggestions.append(Suggestion("long form", long_forms))
    return tuple(suggestions)


def _first_matching(queries: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    matching = ((query, count) for query, count in queries if count)
    return tuple(islice(matching, _MAX_SUGGESTIONS))


def _relaxed_queries(tree: Query, index: Index) -> Iterator[tuple[str, int]]:
    """Yield queries that ask for less, each with how many papers match."""
    relaxed: Query | None = None
    match tree:
        case Term("", text, "phrase" | "verbatim") if len(tree.words) > 1:
            relaxed = parse_query(" ".join(tokenize(text)))
        case Term("title" | "abstract" | "keyword"):
            relaxed = msgspec.structs.replace(tree, field="")
        case Term("", _, "forms"):
            relaxed = _as_prefix(tree)
        case And((*others, Term("", _, "forms") as last)):
            # Somebody who is typing has not finished the last word.
            relaxed = And((*others, _as_prefix(last)))
    if relaxed is not None:
        yield str(relaxed), len(index.search(relaxed))
    if isinstance(tree, And) and len(tree.parts) <= _MAX_PARTS:
        yield from _without_one_part(tree.parts, index)


def _as_prefix(term: Term) -> Term:
    return msgspec.structs.replace(term, mode="prefix", previous_word="", next_word="")


def _without_one_part(parts: Sequence[Query], index: Index) -> Iterator[tuple[str, int]]:
    """Yield the parts without each one in turn, with how many papers match."""
    for number, count in enumerate(index.count_near_misses(parts)):
        rest = (*parts[:number], *parts[number + 1 :])
        if not all(isinstance(part, Not) for part in rest):
            yield str(rest[0] if len(rest) == 1 else And(rest)), count


def _narrowed_queries(
    query: str, tree: Query, found: Sequence[Paper], index: Index
) -> Iterator[tuple[str, int]]:
    """Yield queries that ask for more: the word in the title, or a keyword beside it."""
    if isinstance(tree, Term) and not tree.field:
        in_title = msgspec.structs.replace(tree, field="title")
        yield str(in_title), len(index.search(in_title))
    ids = {paper.id for paper in found}
    present = {word for term in iter_positive_terms(tree) for word in term.words}
    keywords = Counter(keyword.lower() for paper in found for keyword in paper.keywords)
    for keyword, _ in keywords.most_common(2 * _MAX_SUGGESTIONS):
        extra = keyword_query(keyword)
        text = f"{f'({query})' if isinstance(tree, Or) else query} {extra}"
        if extra and present.isdisjoint(tokenize(keyword)) and len(text) <= URL_LIMITS.length:
            yield text, sum(paper.id in ids for paper in index.search(parse_query(extra)))


def keyword_query(keyword: str) -> str:
    """Return the query for papers with that keyword; empty where there is none."""
    text = " ".join(normalize_punctuation(keyword).replace('"', " ").split())
    query = str(Term("keyword", text, "phrase")) if tokenize(text) else ""
    return query if len(query) <= URL_LIMITS.length else ""


def _phrase_queries(tree: Query, found: Sequence[Paper], index: Index) -> Iterator[tuple[str, int]]:
    """Yield the plain words of a query as a phrase, where few papers have them side by side."""
    if not isinstance(tree, And) or not all(
        isinstance(part, Term) and part.mode == "forms" and not part.field for part in tree.parts
    ):
        return
    phrase = Term("", upstream_search_text(tree), "phrase")
    count = len(index.search(phrase))
    if count * 2 < len(found):
        yield str(phrase), count


def _long_form_queries(
    query: str, tree: Query, found: Sequence[Paper], index: Index
) -> Iterator[tuple[str, int]]:
    """Yield the query or the long form of its abbreviation, with how many papers match either."""
    if not isinstance(tree, Term) or tree.field or tree.mode != "forms" or len(tree.words) != 1:
        return
    for long_form, definitions in index.long_forms(tree.words[0]).most_common(1):
        if definitions < _MIN_DEFINITIONS:
            continue
        either = f'{query} OR "{long_form}"'
        count = len(index.search(parse_query(either)))
        if count > len(found):
            yield either, count
