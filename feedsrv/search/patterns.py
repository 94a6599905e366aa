"""What a term matches in a row of tokens, however it is spelled.

A pattern is a small automaton over tokens. Its nodes are places in the term with everything but
letters and digits left out; each edge is one token of a text. *fine-tuning* has the edges *fine* and
*tuning*, and *finetuning* around both; *llama3* has *llama* and *3* beside *llama3*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from feedsrv.search.word_families import base_forms, family

Mode = Literal["forms", "exact", "prefix"]

#: Words that are no first or last part of a compound: *over all* is not *overall*, *for getting* is
#: not *forgetting*.
_NOT_FIRST = frozenset(
    "a an and are as at be but by can do for from has he her his how i if in is it its my no not of or our "
    "she so than that the their then there they this to was we when where who with you".split()
)
_NOT_LAST = frozenset(
    "a able all an and are as at be but can do for from has he i if is it its no not of or s that the they this to was "
    "we with you".split()
)
#: Last parts of *plugin*, *speedup*; after a short word they are more likely words of their own.
_PARTICLES = frozenset("in on up out off over down".split())


class Edge(NamedTuple):
    """One token of a text, from one node to another."""

    start: int
    end: int
    word: str
    mode: Mode

    def spans(self, pattern: Pattern) -> bool:
        """Return whether the edge alone is a match."""
        return self.start == 0 and self.end == pattern.last


class Pattern:
    """What a term matches.

    Args:
        edges: The edges. Matching begins at node 0.
        last: The node at which it ends.

    """

    def __init__(self, edges: Sequence[Edge], last: int) -> None:
        self.edges = tuple(edges)
        self.last = last
        self._exact: dict[str, list[Edge]] = {}
        self._forms: dict[str, list[Edge]] = {}
        self._prefix = [edge for edge in edges if edge.mode == "prefix"]
        for edge in edges:
            if edge.mode == "exact":
                self._exact.setdefault(edge.word, []).append(edge)
            elif edge.mode == "forms":
                for base in family(edge.word):
                    self._forms.setdefault(base, []).append(edge)

    def find(
        self, words: Iterable[str], edges_of: Callable[[str], Sequence[Edge] | None] | None = None
    ) -> Iterator[tuple[int, int]]:
        """Yield from which to before which word the pattern matches.

        Args:
            words: The words of a text.
            edges_of: Returns the edges that a word agrees with, where they are known already.

        """
        edges_of = edges_of or self._edges
        #: To each node, the words at which matches that reached it began.
        reached: dict[int, list[int]] = {}
        for at, word in enumerate(words):
            edges = edges_of(word)
            if not edges:
                if reached:
                    reached = {}
                continue
            now: dict[int, list[int]] = {}
            for edge in edges:
                begins = [at] if edge.start == 0 else reached.get(edge.start)
                if begins:
                    now.setdefault(edge.end, []).extend(begins)
            for begin in now.get(self.last, ()):
                yield begin, at + 1
            reached = now

    def matches(self, words: Sequence[str]) -> bool:
        """Tell whether the pattern matches anywhere."""
        return next(self.find(words), None) is not None

    def _edges(self, word: str) -> list[Edge]:
        edges = list(self._exact.get(word, ()))
        for base in base_forms(word):
            edges += self._forms.get(base, ())
        edges += (edge for edge in self._prefix if word.startswith(edge.word))
        return edges


@lru_cache(maxsize=4096)
def phrase(words: tuple[str, ...], mode: Mode = "forms") -> Pattern:
    """Return the pattern for words that must stand side by side.

    Args:
        words: The words of the term, as `tokenize` gives them.
        mode: How each word of a text must agree: in any form, exactly, or (the last word) in how it
            begins. Spellings differ only in any form.

    """
    if mode != "forms":
        exact: Mode = "exact"
        modes = [exact] * (len(words) - 1) + [mode]
        edges = [
            Edge(n, n + 1, word, m) for n, (word, m) in enumerate(zip(words, modes, strict=True))
        ]
        return Pattern(edges, len(words))
    edges = []
    start = 0
    for n, word in enumerate(words):
        end = start + len(word)
        edges.append(Edge(start, end, word, "forms"))
        edges += _split(word, start)
        if n + 1 < len(words) and may_join(word, words[n + 1]):
            edges.append(Edge(start, end + len(words[n + 1]), word + words[n + 1], "forms"))
        start = end
    return Pattern(edges, start)


@lru_cache(maxsize=4096)
def plain(word: str, before: str = "", after: str = "") -> Pattern:
    """Return the pattern for a word that may stand anywhere.

    Args:
        word: The word.
        before: The word before it in the query, which may be written as one with it.
        after: The word after it, likewise.

    """
    last = len(word)
    edges = [Edge(0, last, word, "forms"), *_split(word, 0)]
    if before and may_join(before, word):
        edges.append(Edge(0, last, before + word, "forms"))
    if after and may_join(word, after):
        edges.append(Edge(0, last, word + after, "forms"))
    return Pattern(edges, last)


def may_join(first: str, last: str) -> bool:
    """Tell whether two words may be written as one."""
    if not (first.isascii() and last.isascii() and first[-1].isalnum() and last[0].isalnum()):
        return False
    if first[-1].isdigit() or last[0].isdigit():
        return first[-1].isdigit() != last[0].isdigit()
    if len(first) + len(last) < 3 or first in _NOT_FIRST or last in _NOT_LAST:
        return False
    return last not in _PARTICLES or len(first) > 2


def _split(word: str, start: int) -> Iterator[Edge]:
    """Yield the edges for a word that a text may have in parts."""
    end = start + len(word)
    borders = []
    for cut in range(1, len(word)):
        first, last = word[:cut], word[cut:]
        if not may_join(first, last):
            continue
        yield Edge(start, start + cut, first, "exact")
        yield Edge(start + cut, end, last, "forms")
        if first[-1].isdigit() or last[0].isdigit():
            borders.append(cut)
    for cut, after in zip(borders, borders[1:], strict=False):
        yield Edge(start + cut, start + after, word[cut:after], "exact")
