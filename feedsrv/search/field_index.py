"""Inverted index of one field: for each word, the papers that have it.

The texts themselves are read only if words must be adjacent, and only those that have all the
words.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from heapq import nlargest
from itertools import islice
from threading import Lock
from typing import NamedTuple

from cachetools import LRUCache, cachedmethod

from feedsrv.models import Paper
from feedsrv.search.analysis import FIELD_BOUNDARY
from feedsrv.search.bitsets import bitset, iter_bits
from feedsrv.search.matching import field_tokens
from feedsrv.search.patterns import Edge, Pattern
from feedsrv.search.word_families import base_forms, form_prefixes, related_base_forms

_MAX_CACHED_EDGES = 500
#: Words of which a prefix lists the papers: the most frequent ones. `a*` has thousands.
_MAX_FORMS = 50
#: Strings to look for in a text, at most.
_MAX_MATCH_PREFIXES = 16


def _edge_key(_: object, edge: Edge) -> tuple[str, str]:
    return edge.word, edge.mode


class _Candidates(NamedTuple):
    """Papers that may match a pattern, and how."""

    #: Those that match, as one word.
    certain: int
    #: Those that have all the words, adjacent or not, and the certain ones.
    possible: int
    #: The edges of the pattern by which papers may match.
    edges: list[Edge]


class _MatchingWords(NamedTuple):
    """The words of one field that agree with an edge of a pattern."""

    words: list[str]
    #: The papers that have one of them.
    papers: int


class FieldIndex:
    """The words of one field, each with the papers that have it. Safe for threads."""

    def __init__(self, papers: Sequence[Paper], name: str) -> None:
        self._size = len(papers)
        self._texts = [field_tokens(paper.tokens, name) for paper in papers]
        self._papers: dict[str, list[int]] = {}
        for number, text in enumerate(self._texts):
            for word in set(text.split()):
                self._papers.setdefault(word, []).append(number)
        self._papers.pop(FIELD_BOUNDARY, None)
        self._cached_words: LRUCache[tuple[str, str], _MatchingWords] = LRUCache(_MAX_CACHED_EDGES)
        self._lock = Lock()

    def candidates(self, pattern: Pattern) -> _Candidates:
        """Return the papers that may match the pattern, by their words alone."""
        reached = {0: (1 << self._size) - 1}
        certain, edges = 0, []
        for edge in pattern.edges:  # sorted: all edges into a node come before those out of it
            if edge.start not in reached:
                continue
            papers = reached[edge.start] & self._papers_with_edge(edge)
            if papers:
                edges.append(edge)
                reached[edge.end] = reached.get(edge.end, 0) | papers
                if edge.spans(pattern):
                    certain |= papers
        return _Candidates(certain, reached.get(pattern.last, 0) if edges else 0, edges)

    def filter_adjacent(
        self, pattern: Pattern, edges: Iterable[Edge], numbers: Iterable[int]
    ) -> Iterator[int]:
        """Yield the numbers of those papers in which the words are adjacent."""
        as_written = f" {' '.join(pattern.words)} "
        rare_spellings: _Matcher | None = None
        for number in numbers:
            text = f" {self._texts[number]} "
            # Most papers have the words as they are in the query, and this takes no time.
            if as_written in text:
                yield number
                continue
            rare_spellings = rare_spellings or _Matcher(pattern, edges, self.words)
            if next(rare_spellings.find(text), None) is not None:
                yield number

    def matched_forms(self, pattern: Pattern) -> Iterator[tuple[str, int]]:
        """Yield the words, or adjacent words, that match the pattern, with their papers."""
        _, possible, edges = self.candidates(pattern)
        for edge in edges:
            if edge.spans(pattern):
                words = self.words(edge)
                for word in nlargest(_MAX_FORMS, words, key=lambda word: len(self._papers[word])):
                    yield word, bitset(self._papers[word], self._size)
        matcher = _Matcher(pattern, [edge for edge in edges if not edge.spans(pattern)], self.words)
        for number in iter_bits(possible):
            for form in matcher.find(f" {self._texts[number]} "):
                yield form, 1 << number

    def _papers_with_edge(self, edge: Edge) -> int:
        # Most edges are parts of a word that no paper has: a lookup is faster than a cache.
        if edge.mode == "exact" and edge.word not in self._papers:
            return 0
        return self._matching_words(edge).papers

    def words(self, edge: Edge) -> list[str]:
        """Return the words of the field that agree with an edge of a pattern."""
        return self._matching_words(edge).words

    @cachedmethod(lambda self: self._cached_words, _edge_key, lock=lambda self: self._lock)
    def _matching_words(self, edge: Edge) -> _MatchingWords:
        words = list(self._find_words(edge))
        numbers = (number for word in words for number in self._papers[word])
        return _MatchingWords(words, bitset(numbers, self._size) if words else 0)

    def _find_words(self, edge: Edge) -> Iterator[str]:
        match edge.mode:
            case "exact":
                if edge.word in self._papers:
                    yield edge.word
            case "prefix":
                yield from self._words_with_prefix(edge.word)
            case "forms":
                bases = related_base_forms(edge.word)
                for prefix in form_prefixes(edge.word):
                    for word in self._words_with_prefix(prefix):
                        if not bases.isdisjoint(base_forms(word)):
                            yield word

    def _words_with_prefix(self, prefix: str) -> Iterator[str]:
        words = self._sorted_words
        for number in range(bisect_left(words, prefix), len(words)):
            if not words[number].startswith(prefix):
                return
            yield words[number]

    @cached_property
    def _sorted_words(self) -> list[str]:
        return sorted(self._papers)


class _Matcher:
    """Finds adjacent words that match a pattern in texts, by edges and words that any text has."""

    def __init__(
        self, pattern: Pattern, edges: Iterable[Edge], words: Callable[[Edge], list[str]]
    ) -> None:
        self._last = pattern.last
        self._edges: dict[str, list[Edge]] = {}
        for edge in edges:
            for word in words(edge):
                self._edges.setdefault(word, []).append(edge)
        #: Strings of which one begins each match: two words, because *of* is everywhere.
        pairs = islice(self._leading_word_pairs(), _MAX_MATCH_PREFIXES + 1)
        self._match_prefixes = [f" {first} {second} " for first, second in pairs]
        if len(self._match_prefixes) > _MAX_MATCH_PREFIXES or any(
            map(self._is_complete_match, self._edges)
        ):
            self._match_prefixes = [
                f" {word} "
                for word, found in self._edges.items()
                if any(edge.start == 0 for edge in found)
            ]

    def _leading_word_pairs(self) -> Iterator[tuple[str, str]]:
        for first, edges in self._edges.items():
            ends = {edge.end for edge in edges if edge.start == 0}
            for second, following in self._edges.items() if ends else ():
                if any(edge.start in ends for edge in following):
                    yield first, second

    def _is_complete_match(self, word: str) -> bool:
        """Return whether the word alone matches the pattern."""
        return any(edge.start == 0 and edge.end == self._last for edge in self._edges[word])

    def find(self, text: str) -> Iterator[str]:
        """Yield the adjacent words of each match; the text begins and ends with a space."""
        for prefix in self._match_prefixes:
            position = text.find(prefix)
            while position >= 0:
                end = self._end_of_match(position, text)
                if end >= 0:
                    yield text[position + 1 : end]
                position = text.find(prefix, position + 1)

    def _end_of_match(self, position: int, text: str) -> int:
        """Return the end of the match after the space at this position; -1 for none."""
        nodes = {0}
        while nodes:
            end = text.find(" ", position + 1)
            edges = self._edges.get(text[position + 1 : end], ())
            nodes = {edge.end for edge in edges if edge.start in nodes}
            if self._last in nodes:
                return end
            position = end
        return -1
