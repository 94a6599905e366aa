"""The window: the stored list days that keyword feeds cover, searchable."""

from datetime import date
from functools import lru_cache

import msgspec

from feedsrv.feeds.listing_search import ConditionResolver
from feedsrv.models import Feed, Paper, StoredDays, list_day
from feedsrv.search.index import Index
from feedsrv.search.near_misses import NearMiss, find_near_misses
from feedsrv.search.parser import parse_feed_query
from feedsrv.search.query import Query, has_artefact_condition, replace_external_conditions

_MAX_CACHED_QUERIES = 256


class WindowDay(msgspec.Struct, frozen=True):
    """A list day of the window."""

    date: date
    is_fetched: bool


class Window:
    """The papers of the stored list days.

    Pages ask for the same few queries again and again: while somebody types, and for each
    configured feed. So `search` caches its results. By default, no paper matches the parts of
    queries that papers alone do not decide.
    """

    def __init__(
        self, list_days: StoredDays, index: Index, decide: ConditionResolver = lambda part, _: part
    ) -> None:
        self.list_days = list_days
        self.index = index
        #: Oldest first.
        self.days = tuple(
            WindowDay(list_day(page, listing), listing is not None)
            for page, listing in reversed(list_days)
        )
        self.papers = index.papers
        fetched = (listing.fetched_at for _, listing in list_days if listing is not None)
        #: When the newest stored list was fetched; None where none is stored.
        self.fetched_at = next(fetched, None)
        self._decide = decide
        self._cached_search = lru_cache(maxsize=_MAX_CACHED_QUERIES)(self._search)

    def is_current(self, list_days: StoredDays) -> bool:
        """Return whether the window was made of these very listings."""
        if list_days is self.list_days:
            return True
        pairs = zip(list_days, self.list_days, strict=False)
        return len(list_days) == len(self.list_days) and all(
            ours[0] == theirs[0] and ours[1] is theirs[1] for ours, theirs in pairs
        )

    def resolve(self, query: Query) -> Query:
        """Return the query with what is decided about its papers."""
        return replace_external_conditions(query, lambda part: self._decide(part, self.papers))

    def search(self, query: Query | None) -> tuple[Paper, ...]:
        """Return the papers that match a query, newest first; all for None."""
        if query is not None and has_artefact_condition(query):  # they change beside the window
            return self._search(query)
        return self._cached_search(query)

    def near_misses(self, feed: Feed) -> tuple[NearMiss, ...]:
        """Return papers that the feed just misses, and what would bring them in."""
        query = parse_feed_query(feed)
        if query is None:
            return ()
        return find_near_misses(feed.query, self.resolve(query), self.search(query), self.index)

    def _search(self, query: Query | None) -> tuple[Paper, ...]:
        return self.papers if query is None else self.index.search(self.resolve(query))
