"""Rows of the words of many papers, arranged so that a word is found without reading each.

A set of papers is a number with one bit for each. A paper keeps its place, so that what comes anew
is arranged with what was there: of a window, one list in thirty changes at a time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile
from operator import attrgetter
from threading import RLock

from feedsrv.models import Paper, PaperTokens
from feedsrv.search.analysis import stem
from feedsrv.search.query import (
    And,
    Count,
    Has,
    Not,
    Or,
    Query,
    Term,
    matched_value,
    search_string,
    token_fields,
)

_ONE = ord("1")


class InvertedIndex:
    """Places for papers, and which of the places hold a term's words.

    Args:
        read: How often a row is read through before its words are arranged.

    """

    def __init__(self, *, read: int = 0) -> None:
        #: Held while places are asked for: what is arranged grows.
        self.lock = RLock()
        self._read = read
        self._words: list[PaperTokens] = []
        self._places: dict[str, int] = {}
        self._rows: dict[str, _FieldIndex] = {}

    @property
    def size(self) -> int:
        """How many places there are."""
        return len(self._words)

    def document_ids(self, papers: Iterable[Paper]) -> list[int]:
        """Return a place for each paper: the one that it had, if its words are the same still."""
        found: dict[int, None] = {}
        with self.lock:
            for paper in papers:
                place = self._places.get(paper.id)
                if place is None or place in found or self._words[place] != paper.tokens:
                    place = self._places[paper.id] = len(self._words)
                    self._words.append(paper.tokens)
                found[place] = None
        return list(found)

    def matching(self, term: Term, name: str, among: int) -> int:
        """Return those of the places whose row of that name holds the term's words side by side."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = _FieldIndex(self._words, name, self._read)
        return row.matching(term, among)


class _FieldIndex:
    """One row of each paper, and where each word stands in it."""

    def __init__(self, words: Sequence[PaperTokens], name: str, read: int) -> None:
        self._words = words
        self._texts: list[str] = []
        self._of = attrgetter(name)
        self._read = read
        self._places: dict[str, list[int]] = {}
        self._arranged = 0
        self._sorted: list[str] = []

    def matching(self, term: Term, among: int) -> int:
        """Return those of the places that hold the term's words side by side."""
        texts, text = self._texts, search_string(term)
        texts.extend(map(self._of, self._words[len(texts) :]))
        if self._read > 0:
            self._read -= 1
        else:
            self._build()
            among &= self._containing_all(term)
            if len(term.words) == 1:
                return among
        return bitset((n for n in iter_bits(among) if text in texts[n]), len(texts))

    def _build(self) -> None:
        new = self._texts[self._arranged :]
        for place, text in enumerate(new, self._arranged):
            for word in set(text.split()):
                self._places.setdefault(word, []).append(place)
        self._arranged += len(new)

    def _containing_all(self, term: Term) -> int:
        """Return the places that hold all of the words, wherever they stand."""
        *others, last = map(stem, term.words) if term.mode == "stems" else term.words
        found = self._with_prefix(last) if term.mode == "prefix" else [last]
        places = self._containing_any(found)
        for word in others:
            places &= self._containing_any([word])
        return places

    def _containing_any(self, words: Iterable[str]) -> int:
        held = chain.from_iterable(self._places.get(word, ()) for word in words)
        return bitset(held, self._arranged)

    def _with_prefix(self, beginning: str) -> Iterator[str]:
        if len(self._sorted) < len(self._places):
            self._sorted = sorted(self._places)
        start = bisect_left(self._sorted, beginning)
        later = (self._sorted[n] for n in range(start, len(self._sorted)))
        return takewhile(lambda word: word.startswith(beginning), later)


def bitset(places: Iterable[int], many: int) -> int:
    """Return the set of those places, of so many: written down in binary, and read at once."""
    marks = bytearray(b"0" * (many or 1))
    for place in places:
        marks[~place] = _ONE
    return int(marks, 2)


def iter_bits(places: int) -> Iterator[int]:
    """Yield each place of a set, in order."""
    bits = bin(places)[:1:-1]
    place = bits.find("1")
    while place >= 0:
        yield place
        place = bits.find("1", place + 1)


class Index:
    """Papers that can be asked for all that match a query. Safe for threads.

    Args:
        papers: The papers; what is found keeps their order.
        rows: Where their words are arranged, with those of others.

    """

    def __init__(self, papers: Sequence[Paper], rows: InvertedIndex | None = None) -> None:
        self.papers = tuple(papers)
        self._by_id = {paper.id: paper for paper in self.papers}
        self.ids = frozenset(self._by_id)
        self._rows = InvertedIndex() if rows is None else rows
        places = self._rows.document_ids(self.papers)
        self._number = {place: number for number, place in enumerate(places)}
        self._every = bitset(places, self._rows.size)

    def get(self, name: str) -> Paper | None:
        """Return the paper of that id."""
        return self._by_id.get(name)

    def matching(self, query: Query) -> tuple[Paper, ...]:
        """Return the papers that the query asks for."""
        with self._rows.lock:
            found = self._evaluate(query, self._every)
        return tuple(
            self.papers[n] for n in sorted(map(self._number.__getitem__, iter_bits(found)))
        )

    def count_without_each(self, parts: Sequence[Query]) -> list[int]:
        """Return for each part how many papers match all of the others and not it."""
        with self._rows.lock:
            matching = [self._evaluate(part, self._every) for part in parts]
        all_of_them, but_one = self._every, 0
        for found in matching:
            but_one = but_one & found | all_of_them & ~found
            all_of_them &= found
        return [(but_one & ~found).bit_count() for found in matching]

    def _evaluate(self, query: Query, among: int) -> int:
        """Return those of the papers that match; the fewer are left, the less is looked at."""
        match query:
            case And(parts):
                for part in parts:
                    among = self._evaluate(part, among) if among else 0
                return among
            case Or(parts):
                rest = among
                for part in parts:
                    rest &= ~self._evaluate(part, rest)
                return among & ~rest
            case Not(part):
                return among & ~self._evaluate(part, among)
            case Has() | Count():
                facts = (
                    n
                    for n in iter_bits(among)
                    if matched_value(query, self.papers[self._number[n]])
                )
                return bitset(facts, among.bit_length())
            case Term():
                rest = among
                for name in token_fields(query):
                    rest &= ~self._rows.matching(query, name, rest)
                return among & ~rest
