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

from feedsrv.paper import Paper, Words
from feedsrv.query import Term, needle
from feedsrv.words import stem

_ONE = ord("1")


class Rows:
    """Places for papers, and which of the places hold a term's words.

    Args:
        read: How often a row is read through before its words are arranged.

    """

    def __init__(self, *, read: int = 0) -> None:
        #: Held while places are asked for: what is arranged grows.
        self.lock = RLock()
        self._read = read
        self._words: list[Words] = []
        self._places: dict[str, int] = {}
        self._rows: dict[str, _Row] = {}

    @property
    def many(self) -> int:
        """How many places there are."""
        return len(self._words)

    def places(self, papers: Iterable[Paper]) -> list[int]:
        """Return a place for each paper: the one that it had, if its words are the same still."""
        found: dict[int, None] = {}
        with self.lock:
            for paper in papers:
                place = self._places.get(paper.id)
                if place is None or place in found or self._words[place] != paper.words:
                    place = self._places[paper.id] = len(self._words)
                    self._words.append(paper.words)
                found[place] = None
        return list(found)

    def holding(self, term: Term, name: str, among: int) -> int:
        """Return those of the places whose row of that name holds the term's words side by side."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = _Row(self._words, name, self._read)
        return row.holding(term, among)


class _Row:
    """One row of each paper, and where each word stands in it."""

    def __init__(self, words: Sequence[Words], name: str, read: int) -> None:
        self._words = words
        self._texts: list[str] = []
        self._of = attrgetter(name)
        self._read = read
        self._places: dict[str, list[int]] = {}
        self._arranged = 0
        self._sorted: list[str] = []

    def holding(self, term: Term, among: int) -> int:
        """Return those of the places that hold the term's words side by side."""
        texts, text = self._texts, needle(term)
        texts.extend(map(self._of, self._words[len(texts) :]))
        if self._read > 0:
            self._read -= 1
        else:
            self._arrange()
            among &= self._with_each(term)
            if len(term.words) == 1:
                return among
        return united((n for n in each(among) if text in texts[n]), len(texts))

    def _arrange(self) -> None:
        new = self._texts[self._arranged :]
        for place, text in enumerate(new, self._arranged):
            for word in set(text.split()):
                self._places.setdefault(word, []).append(place)
        self._arranged += len(new)

    def _with_each(self, term: Term) -> int:
        """Return the places that hold all of the words, wherever they stand."""
        *others, last = map(stem, term.words) if term.mode == "stems" else term.words
        found = self._begun(last) if term.mode == "prefix" else [last]
        places = self._union(found)
        for word in others:
            places &= self._union([word])
        return places

    def _union(self, words: Iterable[str]) -> int:
        held = chain.from_iterable(self._places.get(word, ()) for word in words)
        return united(held, self._arranged)

    def _begun(self, beginning: str) -> Iterator[str]:
        if len(self._sorted) < len(self._places):
            self._sorted = sorted(self._places)
        start = bisect_left(self._sorted, beginning)
        later = (self._sorted[n] for n in range(start, len(self._sorted)))
        return takewhile(lambda word: word.startswith(beginning), later)


def united(places: Iterable[int], many: int) -> int:
    """Return the set of those places, of so many: written down in binary, and read at once."""
    marks = bytearray(b"0" * (many or 1))
    for place in places:
        marks[~place] = _ONE
    return int(marks, 2)


def each(places: int) -> Iterator[int]:
    """Yield each place of a set, in order."""
    bits = bin(places)[:1:-1]
    place = bits.find("1")
    while place >= 0:
        yield place
        place = bits.find("1", place + 1)
