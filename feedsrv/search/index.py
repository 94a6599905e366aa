"""Inverted index: finds the papers that match a query without scanning every paper.

For each field, the index lists the papers that have each word. A set of papers is an integer with
one bit for each, so AND, OR and NOT of queries are operations on integers. The papers themselves
are read only if words must be adjacent, and only the papers that have all the words.
`feedsrv.search.query.matches` defines what a match is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from threading import Lock

from cachetools import LRUCache, cachedmethod

from feedsrv.models import Paper
from feedsrv.search.abbreviations import collect_long_forms
from feedsrv.search.analysis import FIELD_BOUNDARY, tokenize
from feedsrv.search.patterns import Edge, Pattern
from feedsrv.search.query import (
    KEYWORD_FALLBACK_FIELDS,
    And,
    CountCondition,
    HasLink,
    Not,
    Or,
    Query,
    Term,
    field_tokens,
    matched_value,
    term_matches,
)
from feedsrv.search.word_families import base_forms, irregular_forms, related_base_forms

_ASCII_ONE = ord("1")
_MAX_CACHED_EDGES = 2_000


class Index:
    """Papers that can be searched. Safe for threads.

    Args:
        papers: The papers; results keep their order.

    """

    def __init__(self, papers: Sequence[Paper]) -> None:
        self.papers = tuple(papers)
        self._by_id = {paper.id: paper for paper in self.papers}
        self.ids = frozenset(self._by_id)
        self._all = (1 << len(self.papers)) - 1
        self._fields: dict[str, _FieldIndex] = {}
        self._lock = Lock()

    def get(self, paper_id: str) -> Paper | None:
        """Return the paper of that id."""
        return self._by_id.get(paper_id)

    def search(self, query: Query) -> tuple[Paper, ...]:
        """Return the papers that match the query."""
        return tuple(self.papers[number] for number in iter_bits(self._evaluate(query, self._all)))

    def count_near_misses(self, parts: Sequence[Query]) -> list[int]:
        """Return for each part how many papers match all other parts but not this one."""
        results = [self._evaluate(part, self._all) for part in parts]
        matching_all, failing_one = self._all, 0
        for result in results:
            failing_one = failing_one & result | matching_all & ~result
            matching_all &= result
        return [(failing_one & ~result).bit_count() for result in results]

    def matched_words(self, term: Term) -> dict[str, int]:
        """Return the words that a one-word term finds, and how many papers have each.

        The most frequent word comes first.
        """
        counts: Counter[str] = Counter()
        edges = [edge for edge in term.pattern.edges if edge.spans(term.pattern)]
        papers: dict[str, int] = {}
        for name in term.fields:
            field = self._field(name)
            for edge in edges:
                for word in field.words(edge):
                    papers[word] = papers.get(word, 0) | field.papers_with(word)
        counts.update({word: bits.bit_count() for word, bits in papers.items()})
        return dict(counts.most_common())

    def long_forms(self, word: str) -> Counter[str]:
        """Return the long forms of an abbreviation, with how many papers define each."""
        return self._long_forms.get(word, Counter())

    @cached_property
    def _long_forms(self) -> dict[str, Counter[str]]:
        found = collect_long_forms(paper.abstract for paper in self.papers)
        by_word: dict[str, Counter[str]] = {}
        for abbreviation, counts in found.items():
            by_word.setdefault(" ".join(tokenize(abbreviation)), Counter()).update(counts)
        return by_word

    def _evaluate(self, query: Query, candidates: int) -> int:
        """Return the subset of the candidates that matches. Fewer candidates mean less work."""
        match query:
            case And(parts):
                for part in parts:
                    candidates = self._evaluate(part, candidates) if candidates else 0
                return candidates
            case Or(parts):
                rest = candidates
                for part in parts:
                    rest &= ~self._evaluate(part, rest)
                return candidates & ~rest
            case Not(part):
                return candidates & ~self._evaluate(part, candidates)
            case HasLink() | CountCondition():
                numbers = (n for n in iter_bits(candidates) if matched_value(query, self.papers[n]))
                return bitset(numbers, len(self.papers))
            case Term():
                return self._evaluate_term(query, candidates)

    def _evaluate_term(self, term: Term, candidates: int) -> int:
        rest = candidates
        for name in term.fields:
            rest &= ~self._papers_with_term(term, name, rest)
        if term.field == "keyword":
            for name in KEYWORD_FALLBACK_FIELDS:
                rest &= ~self._papers_with_term(term, name, rest & self._without_keywords)
        return candidates & ~rest

    @cached_property
    def _without_keywords(self) -> int:
        numbers = (number for number, paper in enumerate(self.papers) if not paper.keywords)
        return bitset(numbers, len(self.papers))

    def _papers_with_term(self, term: Term, name: str, among: int) -> int:
        certain, candidates = self._field(name).search(term.pattern)
        if term.mode == "verbatim":
            certain, candidates = 0, certain | candidates
        unsure = iter_bits(candidates & ~certain & among)
        if term.mode == "verbatim":
            found: Iterable[int] = (n for n in unsure if term_matches(term, name, self.papers[n]))
        else:
            found = self._field(name).filter_adjacent(term.pattern, unsure)
        return certain & among | bitset(found, len(self.papers))

    def _field(self, name: str) -> _FieldIndex:
        field = self._fields.get(name)
        if field is None:
            with self._lock:
                field = self._fields.setdefault(name, _FieldIndex(self.papers, name))
        return field


def _edge_key(_: object, edge: Edge) -> tuple[str, str]:
    return edge.word, edge.mode


class _FieldIndex:
    """The words of one field, each with the papers that have it."""

    def __init__(self, papers: Sequence[Paper], name: str) -> None:
        self._size = len(papers)
        self._texts = [field_tokens(paper.tokens, name) for paper in papers]
        self._papers: dict[str, list[int]] = {}
        for number, text in enumerate(self._texts):
            for word in set(text.split()):
                self._papers.setdefault(word, []).append(number)
        self._papers.pop(FIELD_BOUNDARY, None)
        self._cached_papers: LRUCache[tuple[str, str], int] = LRUCache(_MAX_CACHED_EDGES)
        self._cached_words: LRUCache[tuple[str, str], list[str]] = LRUCache(_MAX_CACHED_EDGES)
        self._lock = Lock()

    def search(self, pattern: Pattern) -> tuple[int, int]:
        """Return the papers that certainly match, and those that have all the words.

        The latter have to be read, because the words may not be adjacent.
        """
        reached = {0: (1 << self._size) - 1}
        certain = 0
        for edge in pattern.edges:  # sorted: all edges into a node come before those out of it
            if edge.start not in reached:
                continue
            papers = self._papers_with_edge(edge)
            if not papers:
                continue
            reached[edge.end] = reached.get(edge.end, 0) | reached[edge.start] & papers
            if edge.spans(pattern):
                certain |= papers
        return certain, reached.get(pattern.last, 0) if pattern.edges else 0

    def filter_adjacent(self, pattern: Pattern, numbers: Iterable[int]) -> Iterator[int]:
        """Yield the numbers of those papers in which the words are adjacent."""
        edges: dict[str, list[Edge]] = {}
        for edge in pattern.edges:
            for word in self.words(edge):
                edges.setdefault(word, []).append(edge)
        first_words = [
            f" {word} " for word, found in edges.items() if any(edge.start == 0 for edge in found)
        ]
        for number in numbers:
            text = f" {self._texts[number]} "
            if any(
                _matches_at(position, text, edges, pattern.last)
                for word in first_words
                for position in _positions(word, text)
            ):
                yield number

    def papers_with(self, word: str) -> int:
        """Return the papers that have the word."""
        return bitset(self._papers.get(word, ()), self._size)

    @cachedmethod(lambda self: self._cached_papers, _edge_key, lock=lambda self: self._lock)
    def _papers_with_edge(self, edge: Edge) -> int:
        numbers = (number for word in self.words(edge) for number in self._papers[word])
        return bitset(numbers, self._size)

    @cachedmethod(lambda self: self._cached_words, _edge_key, lock=lambda self: self._lock)
    def words(self, edge: Edge) -> list[str]:
        """Return the words of the field that agree with an edge of a pattern."""
        match edge.mode:
            case "exact":
                return [edge.word] if edge.word in self._papers else []
            case "prefix":
                return list(self._words_with_prefix(edge.word))
            case "forms":
                bases = related_base_forms(edge.word)
                # A cheap test first: forms share the beginning of a base form or irregular form.
                known = bases.union(*map(irregular_forms, bases))
                return [
                    word
                    for prefix in _shortest_prefixes({_stable_prefix(form) for form in known})
                    for word in self._words_with_prefix(prefix)
                    if not bases.isdisjoint(base_forms(word))
                ]

    def _words_with_prefix(self, prefix: str) -> Iterator[str]:
        words = self._sorted_words
        for number in range(bisect_left(words, prefix), len(words)):
            if not words[number].startswith(prefix):
                return
            yield words[number]

    @cached_property
    def _sorted_words(self) -> list[str]:
        return sorted(self._papers)


def _positions(word: str, text: str) -> Iterator[int]:
    position = text.find(word)
    while position >= 0:
        yield position
        position = text.find(word, position + 1)


def _matches_at(position: int, text: str, edges: dict[str, list[Edge]], last: int) -> bool:
    """Return whether the words after the space at this position match, from node 0 to the last."""
    nodes = {0}
    while nodes:
        end = text.find(" ", position + 1)
        word_edges = edges.get(text[position + 1 : end], ())
        nodes = {edge.end for edge in word_edges if edge.start in nodes}
        if last in nodes:
            return True
        position = end
    return False


def _stable_prefix(form: str) -> str:
    """Return the letters that all regular forms of a word share: *ag* of *age* and *aging*.

    Only the last letter of a stem can differ from the word's (`feedsrv.search.stemmer.stem`).
    """
    return form[:-1] if len(form) > 2 else form  # noqa: PLR2004


def _shortest_prefixes(prefixes: set[str]) -> list[str]:
    """Return the prefixes without those that begin with another one."""
    return [
        prefix
        for prefix in prefixes
        if not any(prefix != other and prefix.startswith(other) for other in prefixes)
    ]


def bitset(numbers: Iterable[int], size: int) -> int:
    """Return the set of the numbers, all below ``size``, as an integer with one bit for each."""
    bits = bytearray(b"0" * (size or 1))
    for number in numbers:
        bits[~number] = _ASCII_ONE
    return int(bits, 2)


def iter_bits(bits: int) -> Iterator[int]:
    """Yield the numbers of a set, in ascending order."""
    text = bin(bits)[:1:-1]
    number = text.find("1")
    while number >= 0:
        yield number
        number = text.find("1", number + 1)
