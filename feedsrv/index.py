"""Many papers, arranged so that a query finds those it asks for without reading each.

For each field: which papers hold a word, as one bit for each paper in a number. AND, OR and NOT of
queries are those of numbers. Only words that must stand side by side are looked for in the papers
themselves, and only in those that hold them all. `feedsrv.query.matches` says what a match is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import takewhile
from operator import or_

from feedsrv.paper import Paper
from feedsrv.query import (
    And,
    Count,
    Has,
    Not,
    Or,
    Query,
    Term,
    fact,
    fields,
    matches,
    needle,
    row_of,
)
from feedsrv.words import stem


class Index:
    """Papers that can be asked for all that match a query. Safe for threads.

    Args:
        papers: The papers; what is found keeps their order.
        read: How many terms are looked for by reading each paper, before any word is arranged.

    """

    def __init__(self, papers: Sequence[Paper], *, read: int = 0) -> None:
        self.papers = tuple(papers)
        self._by_id = {paper.id: paper for paper in self.papers}
        self.ids = frozenset(self._by_id)
        self._fields: dict[str, _Field] = {}
        self._read = read

    def get(self, name: str) -> Paper | None:
        """Return the paper of that id."""
        return self._by_id.get(name)

    def matching(self, query: Query) -> tuple[Paper, ...]:
        """Return the papers that the query asks for."""
        if (terms := _terms(query)) <= self._read:
            self._read -= terms  # threads that count at the same time read once more, no harm
            return tuple(paper for paper in self.papers if matches(query, paper))
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
                return _set(n for n in _places(among) if fact(query, self.papers[n]))
            case Term():
                rest = among
                for field in fields(query):
                    rest &= ~self._holding(query, field, rest)
                return among & ~rest

    def _holding(self, term: Term, field: str, among: int) -> int:
        """Return those of the papers whose field holds the term's words side by side."""
        held = self._fields.get(field)
        if held is None:
            held = self._fields[field] = _Field(self.papers, field)
        for word in term.words[:-1]:
            among &= held.papers(word, "stems" if term.mode == "stems" else "exact")
        among &= held.papers(term.words[-1], term.mode)
        if len(term.words) == 1:
            return among
        text = needle(term)
        return _set(n for n in _places(among) if text in row_of(term, field, self.papers[n]))


class _Field:
    """One field of many papers: which of them hold a word."""

    def __init__(self, papers: Sequence[Paper], field: str) -> None:
        words: dict[str, int] = {}
        stems: dict[str, list[str]] = {}
        for place, paper in enumerate(papers):
            row = getattr(paper.words, field).split()
            # A row of stems has as many words, in the same order. Names have none.
            cut = getattr(paper.words, f"{field}_stems", "").split() or row
            for word, base in dict(zip(row, cut, strict=False)).items():
                if word not in words:
                    words[word] = 0
                    stems.setdefault(base, []).append(word)
                words[word] |= 1 << place
        self._words = words
        self._stems = stems
        self._sorted = sorted(words)

    def papers(self, word: str, mode: str) -> int:
        """Return the papers that hold the word as written, in any form, or one that begins so."""
        match mode:
            case "stems":
                found = self._stems.get(stem(word), [])
            case "prefix":
                start = bisect_left(self._sorted, word)
                later = (self._sorted[n] for n in range(start, len(self._sorted)))
                found = list(takewhile(lambda other: other.startswith(word), later))
            case _:
                found = [word]
        return reduce(or_, (self._words.get(each, 0) for each in found), 0)


def _terms(query: Query) -> int:
    match query:
        case And(parts) | Or(parts):
            return sum(map(_terms, parts))
        case Not(part):
            return _terms(part)
        case _:
            return 1


def _places(papers: int) -> Iterator[int]:
    """Yield the place of each paper of a set, in order."""
    bits = bin(papers)[:1:-1]
    place = bits.find("1")
    while place >= 0:
        yield place
        place = bits.find("1", place + 1)


def _set(places: Iterator[int]) -> int:
    return reduce(or_, (1 << place for place in places), 0)
