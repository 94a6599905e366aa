"""Many papers, arranged so that a query finds those it asks for without reading each.

A set of papers is a number with one bit for each, so that AND, OR and NOT of queries are those of
numbers. For each row of words: which papers hold a word. Only words that must stand side by side
are looked for in the papers themselves, and only in those that hold them all.
`feedsrv.query.matches` says what a match is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, takewhile
from operator import attrgetter

from feedsrv.paper import Paper
from feedsrv.query import And, Count, Has, Not, Or, Query, Term, fact, fields, needle, row_name
from feedsrv.words import stem

_ONE = ord("1")


class Index:
    """Papers that can be asked for all that match a query. Safe for threads.

    Args:
        papers: The papers; what is found keeps their order.
        read: How often a row is read through before its words are arranged.

    """

    def __init__(self, papers: Sequence[Paper], *, read: int = 0) -> None:
        self.papers = tuple(papers)
        self._by_id = {paper.id: paper for paper in self.papers}
        self.ids = frozenset(self._by_id)
        self._rows: dict[str, _Row] = {}
        self._read = read

    def get(self, name: str) -> Paper | None:
        """Return the paper of that id."""
        return self._by_id.get(name)

    def matching(self, query: Query) -> tuple[Paper, ...]:
        """Return the papers that the query asks for."""
        found = self._of(query, (1 << len(self.papers)) - 1)
        return tuple(self.papers[place] for place in _places(found))

    def missing(self, parts: Sequence[Query]) -> list[int]:
        """Return for each part how many papers match all of the others and not it."""
        every = (1 << len(self.papers)) - 1
        matching = [self._of(part, every) for part in parts]
        all_of_them, but_one = every, 0
        for found in matching:
            but_one = but_one & found | all_of_them & ~found
            all_of_them &= found
        return [(but_one & ~found).bit_count() for found in matching]

    def _of(self, query: Query, among: int) -> int:
        """Return those of the papers that match; the fewer are left, the less is looked at."""
        match query:
            case And(parts):
                for part in parts:
                    among = self._of(part, among) if among else 0
                return among
            case Or(parts):
                rest = among
                for part in parts:
                    rest &= ~self._of(part, rest)
                return among & ~rest
            case Not(part):
                return among & ~self._of(part, among)
            case Has() | Count():
                facts = (n for n in _places(among) if fact(query, self.papers[n]))
                return _set(facts, len(self.papers))
            case Term():
                rest = among
                for field in fields(query):
                    rest &= ~self._row(row_name(query, field)).holding(query, rest)
                return among & ~rest

    def _row(self, name: str) -> _Row:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = _Row(self.papers, name, self._read)
        return row


class _Row:
    """One row of prepared words of many papers: which of them hold a word."""

    def __init__(self, papers: Sequence[Paper], name: str, read: int) -> None:
        self._texts = tuple(map(attrgetter(f"words.{name}"), papers))
        self._read = read
        self._places: dict[str, list[int]] = {}
        self._sorted: list[str] = []

    def holding(self, term: Term, among: int) -> int:
        """Return those of the papers that hold the term's words side by side."""
        if self._read > 0:
            self._read -= 1  # threads that count at the same time read once more, no harm
        else:
            among &= self._with_each(term)
            if len(term.words) == 1:
                return among
        text, texts = needle(term), self._texts
        return self._set(n for n in _places(among) if text in texts[n])

    def _with_each(self, term: Term) -> int:
        """Return the papers that hold all of the words, wherever they stand."""
        if not self._sorted:
            self._arrange()
        if term.mode == "stems":
            *others, last = map(stem, term.words)
        else:
            *others, last = term.words
        found = self._begun(last) if term.mode == "prefix" else [last]
        papers = self._set(chain.from_iterable(self._places.get(word, ()) for word in found))
        for word in others:
            papers &= self._set(self._places.get(word, ()))
        return papers

    def _arrange(self) -> None:
        places: dict[str, list[int]] = {}
        for place, text in enumerate(self._texts):
            for word in set(text.split()):
                places.setdefault(word, []).append(place)
        self._places = places
        self._sorted = sorted(places)

    def _set(self, places: Iterable[int]) -> int:
        return _set(places, len(self._texts))

    def _begun(self, beginning: str) -> Iterator[str]:
        start = bisect_left(self._sorted, beginning)
        later = (self._sorted[n] for n in range(start, len(self._sorted)))
        return takewhile(lambda word: word.startswith(beginning), later)


def _places(papers: int) -> Iterator[int]:
    """Yield the place of each paper of a set, in order."""
    bits = bin(papers)[:1:-1]
    place = bits.find("1")
    while place >= 0:
        yield place
        place = bits.find("1", place + 1)


def _set(places: Iterable[int], many: int) -> int:
    """Return the set of those places, of so many: written down in binary, and read at once."""
    marks = bytearray(b"0" * (many or 1))
    for place in places:
        marks[~place] = _ONE
    return int(marks, 2)
