"""Many papers, so that a query finds those it asks for without reading each.

AND, OR and NOT of queries are those of numbers (`feedsrv.rows`). Only words that must stand side by
side are looked for in the papers themselves, and only in those that hold them all.
`feedsrv.query.matches` says what a match is.
"""

from __future__ import annotations

from collections.abc import Sequence

from feedsrv.paper import Paper
from feedsrv.query import And, Count, Has, Not, Or, Query, Term, fact, row_names
from feedsrv.rows import Rows, each, united


class Index:
    """Papers that can be asked for all that match a query. Safe for threads.

    Args:
        papers: The papers; what is found keeps their order.
        rows: Where their words are arranged, with those of others.

    """

    def __init__(self, papers: Sequence[Paper], rows: Rows | None = None) -> None:
        self.papers = tuple(papers)
        self._by_id = {paper.id: paper for paper in self.papers}
        self.ids = frozenset(self._by_id)
        self._rows = Rows() if rows is None else rows
        places = self._rows.places(self.papers)
        self._number = {place: number for number, place in enumerate(places)}
        self._every = united(places, self._rows.many)

    def get(self, name: str) -> Paper | None:
        """Return the paper of that id."""
        return self._by_id.get(name)

    def matching(self, query: Query) -> tuple[Paper, ...]:
        """Return the papers that the query asks for."""
        with self._rows.lock:
            found = self._of(query, self._every)
        return tuple(self.papers[n] for n in sorted(map(self._number.__getitem__, each(found))))

    def missing(self, parts: Sequence[Query]) -> list[int]:
        """Return for each part how many papers match all of the others and not it."""
        with self._rows.lock:
            matching = [self._of(part, self._every) for part in parts]
        all_of_them, but_one = self._every, 0
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
                facts = (n for n in each(among) if fact(query, self.papers[self._number[n]]))
                return united(facts, among.bit_length())
            case Term():
                rest = among
                for name in row_names(query):
                    rest &= ~self._rows.holding(query, name, rest)
                return among & ~rest
