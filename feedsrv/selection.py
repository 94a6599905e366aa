"""Which of the papers that are kept a feed selects."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import NamedTuple

from feedsrv.grammar import parse
from feedsrv.index import Index
from feedsrv.paper import Feed, Kind, Listing, Paper, better, unite
from feedsrv.query import matches
from feedsrv.rows import Rows

#: The window, trending, the week and the month.
_MOST = 4
#: How often a row of words is read through before they are arranged, which takes as long as ten to
#: twenty of that: a server that has just been started answers first.
_READ = 10
#: How many times the papers of the largest index are arranged before those that went are forgotten.
_MOST_ARRANGED = 2


class Selection(NamedTuple):
    """The papers that a feed selects, and the ids of all that were looked at."""

    papers: tuple[Paper, ...]
    seen: frozenset[str]


class Selector:
    """Selects papers, with indexes that outlive a request. Safe for threads.

    What they are made of does not change between two readings of upstream, so the last ones are
    kept. What a search found needs none: it is few papers, and other ones for each keyword.
    """

    def __init__(self) -> None:
        # By the identity of listings: the store hands out the same until another one is kept.
        self._indexes: dict[tuple[int, ...], tuple[tuple[Listing, ...], Index]] = {}
        self._rows = Rows(read=_READ)
        self._lock = Lock()

    def selected(self, feed: Feed, listings: Iterable[Listing]) -> Selection:
        """Return the papers of the listings that the feed asks for, each once."""
        every = tuple(listings)
        lists = tuple(each for each in every if each.page.kind is not Kind.SEARCH)
        searches = tuple(each for each in every if each.page.kind is Kind.SEARCH)
        index, hits = self.index(lists), unite(searches)
        seen = index.ids.union(hit.id for hit in hits) if hits else index.ids
        return Selection(_matching(feed, index, hits), seen)

    def index(self, listings: Iterable[Listing]) -> Index:
        """Return the papers of lists, arranged for matching."""
        lists = tuple(listings)
        key = tuple(map(id, lists))
        with self._lock:
            held = self._indexes.pop(key, None) or (lists, self._arranged(unite(lists)))
            self._indexes[key] = held
            while len(self._indexes) > _MOST:
                del self._indexes[next(iter(self._indexes))]
        return held[1]

    def _arranged(self, papers: tuple[Paper, ...]) -> Index:
        largest = max((len(index.papers) for _, index in self._indexes.values()), default=0)
        if self._rows.many > _MOST_ARRANGED * max(largest, len(papers)):
            self._rows = Rows(read=_READ)
        return Index(papers, self._rows)


def _matching(feed: Feed, index: Index, hits: tuple[Paper, ...]) -> tuple[Paper, ...]:
    """Return the papers that the feed asks for: of the lists, and of what upstream's search hit."""
    if not feed.query:
        return index.papers
    query = parse(feed.query)
    found = {paper.id: paper for paper in index.matching(query)}
    for hit in hits:
        listed = index.get(hit.id)
        paper = better(listed or hit, hit)
        if paper is listed and feed.match == "strict":
            continue  # the index has told
        if feed.match == "upstream" or matches(query, paper):
            found[paper.id] = paper
        else:
            found.pop(paper.id, None)
    return tuple(found.values())
