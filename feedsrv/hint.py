"""What to do about a query that finds too much or nothing, in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from feedsrv import prose
from feedsrv.paper import Paper
from feedsrv.query import LONGEST, And, Not, Or, Query, Term, positive_words
from feedsrv.shelf import Window
from feedsrv.words import words

#: A query that matches more than one paper in four is too wide for a feed, where there are enough
#: papers to tell.
_TOO_WIDE = 4
_ENOUGH = 20
_MOST_TRIES = 3


class Hint(msgspec.Struct, frozen=True):
    """What to do about a query that finds too much or nothing."""

    said: str
    #: Other queries, and how many papers each matches.
    tries: tuple[tuple[str, int], ...] = ()


def hint(
    query: str, tree: Query, window: Window, older: Callable[[str], int | None]
) -> Hint | None:
    """Return what to tell somebody whose query finds too much or nothing; None for any other.

    Args:
        query: As it is written.
        tree: As it is read.
        window: What is kept of the list days.
        older: Returns how many older papers a search is known to find, where one is kept.

    """
    found, seen = window.found(query), len(window.papers)
    if not found:
        return Hint(_nothing(query, tree, window, older), _tries(_eased(tree), window, seen))
    if len(found) * _TOO_WIDE < seen or seen < _ENOUGH:
        return None
    tries = _tries(_narrowed(query, tree, found), window, len(found) // 2)
    return Hint(f"That is {prose.share(len(found), seen)} of all papers, much for one feed.", tries)


def _nothing(query: str, tree: Query, window: Window, older: Callable[[str], int | None]) -> str:
    """Return how it comes that nothing is shown, and what a feed would have all the same."""
    said = f"No paper of the last {prose.count(len(window.days), 'list day')} matches"
    known = older(query)
    if known:
        said += f"; Hugging Face's search knows {prose.count(known, 'older one')}"
    elif known is None and positive_words(tree):
        said += "; a feed asks Hugging Face's search for older ones too"
    return f"{said}."


def _tries(queries: Iterable[str], window: Window, most: int) -> tuple[tuple[str, int], ...]:
    """Return the first few queries that match something, and no more than so many papers."""
    counted = ((query, len(window.found(query))) for query in queries)
    return tuple(
        islice(((query, many) for query, many in counted if 0 < many <= most), _MOST_TRIES)
    )


def _eased(tree: Query) -> Iterator[str]:
    """Yield queries that ask for less."""
    match tree:
        case Term("", words, "exact") if len(words) > 1:
            yield str(And(tuple(Term("", (word,), "stems") for word in words)))
        case Term("title" | "abstract" | "keyword", _, _):
            yield str(msgspec.structs.replace(tree, field=""))
        case And(parts):
            for place in range(len(parts)):
                rest = parts[:place] + parts[place + 1 :]
                if not all(isinstance(part, Not) for part in rest):
                    yield str(rest[0] if len(rest) == 1 else And(rest))


def _narrowed(query: str, tree: Query, found: Sequence[Paper]) -> Iterator[str]:
    """Yield queries that ask for more: for the words in titles, for a keyword too."""
    if isinstance(tree, Term) and not tree.field:
        yield str(msgspec.structs.replace(tree, field="title"))
    has = set(positive_words(tree).split())
    keywords = Counter(keyword.lower() for paper in found for keyword in paper.keywords)
    for keyword, _ in keywords.most_common(3 * _MOST_TRIES):
        if has.isdisjoint(words(keyword)):
            text = f"({query})" if isinstance(tree, Or) else query
            narrowed = f"{text} {keyword_query(keyword)}"
            if len(narrowed) <= LONGEST and words(keyword):
                yield narrowed


def keyword_query(keyword: str) -> str:
    """Return the query for other papers with that keyword."""
    return f'keyword:"{keyword.replace(chr(34), " ").strip()}"'
