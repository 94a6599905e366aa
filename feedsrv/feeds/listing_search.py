"""Search listings for the papers that match the queries of a feed."""

from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import NamedTuple

from cachetools import LRUCache

from feedsrv.feeds.deduplication import better_copy, newest_first, unite_listings
from feedsrv.models import Feed, Kind, Listing, Paper
from feedsrv.search.index import Index
from feedsrv.search.matching import matches
from feedsrv.search.parser import parse_feed_queries, parse_feed_query
from feedsrv.search.query import ExternalCondition, Query, iter_leaves, replace_external_conditions

#: The window, trending, the week and the month.
_MAX_INDEXES = 4
#: Searches of which the matching hits are remembered, about 300 bytes each.
_MAX_CACHED_HITS = 10_000


class SearchResult(NamedTuple):
    """The papers that match a feed, and what was searched."""

    papers: tuple[Paper, ...]
    #: The ids of the papers that were searched: of lists and of other search hits.
    searched_ids: tuple[frozenset[str], ...]
    #: The queries that they match, with what was decided about papers.
    queries: tuple[Query, ...]


#: Returns a part of a query with what is decided about the papers.
ConditionResolver = Callable[[ExternalCondition, Sequence[Paper]], ExternalCondition]


class ListingSearcher:
    """Searches listings, with indexes that outlive a request. Safe for threads.

    Listings change only when a page is refreshed, so the index of the same listings is kept. Search
    listings need none: they have few papers, and others for each keyword.
    """

    def __init__(self) -> None:
        # By the identity of the listings: the repository returns the same ones until they change.
        self._indexes: LRUCache[tuple[int, ...], tuple[tuple[Listing, ...], Index]] = LRUCache(
            _MAX_INDEXES
        )
        #: By the hash of a query and of search hits, which are much larger.
        self._hit_matches: LRUCache[int, bytes] = LRUCache(_MAX_CACHED_HITS)
        self._lock = Lock()

    def search(
        self,
        feed: Feed,
        listings: Iterable[Listing],
        decide: ConditionResolver,
        change: Callable[[Query], Query] = lambda query: query,
    ) -> SearchResult:
        """Return the papers of the listings that match the feed, each once, newest first.

        ``change`` returns the query to use in place of one of the feed's.
        """
        parsed = tuple(map(change, parse_feed_queries(feed)))
        every = tuple(listings)
        if feed.page is not None:  # no index: those of the window and the lists stay
            papers = unite_listings(every)
            queries = _resolve(parsed, lambda part: decide(part, papers))
            return SearchResult(_narrow(papers, queries), (_ids(papers),), queries)
        lists = tuple(each for each in every if each.page.kind is not Kind.SEARCH)
        searches = tuple(each for each in every if each.page.kind is Kind.SEARCH)
        index, hits = self.index_for(lists), unite_listings(searches)
        others = tuple(hit for hit in hits if hit.id not in index.ids)
        queries = _resolve(parsed, lambda part: decide(part, (*index.papers, *others)))
        has_own = parse_feed_query(feed) is not None
        papers = self._search_lists(feed, queries[0], index, hits) if has_own else index.papers
        searched_ids = (index.ids, _ids(others))
        return SearchResult(_narrow(papers, queries[has_own:]), searched_ids, queries)

    def index_for(self, listings: Iterable[Listing]) -> Index:
        """Return the papers of listings, indexed for searching."""
        lists = tuple(listings)
        key = tuple(map(id, lists))
        with self._lock:
            entry = self._indexes.get(key)
            if entry is None:
                # With the listings, so that no other object gets their identity.
                entry = self._indexes[key] = lists, Index(unite_listings(lists))
        return entry[1]

    def _search_lists(
        self, feed: Feed, query: Query, index: Index, hits: tuple[Paper, ...]
    ) -> tuple[Paper, ...]:
        """Return the papers that match the feed, of the lists and of upstream's search hits."""
        found = index.search(query)
        if not hits:
            return found
        papers = {paper.id: paper for paper in found}
        for hit, is_match in zip(hits, self._match_search_hits(query, hits), strict=True):
            listed = index.get(hit.id)
            paper = better_copy(listed or hit, hit)
            if paper is listed and feed.match == "strict":
                continue  # the index has decided
            if feed.match == "upstream" or is_match:
                papers[paper.id] = paper
            else:
                papers.pop(paper.id, None)
        return newest_first(papers.values())

    def _match_search_hits(self, query: Query, hits: tuple[Paper, ...]) -> Iterable[int]:
        """Return for each search hit whether it matches the query.

        The hits of a keyword change once a day, and readers ask for them every hour.
        """
        if any(
            isinstance(leaf, ExternalCondition) for leaf in iter_leaves(query)
        ):  # members change
            return [matches(query, hit) for hit in hits]
        key = hash((query, hits))
        with self._lock:
            result = self._hit_matches.get(key)
        if result is None:
            result = bytes(matches(query, hit) for hit in hits)
            with self._lock:
                self._hit_matches[key] = result
        return result


def _resolve(
    queries: tuple[Query, ...], decide: Callable[[ExternalCondition], ExternalCondition]
) -> tuple[Query, ...]:
    return tuple(replace_external_conditions(each, decide) for each in queries)


def _ids(papers: Iterable[Paper]) -> frozenset[str]:
    return frozenset(paper.id for paper in papers)


def _narrow(papers: tuple[Paper, ...], queries: Sequence[Query]) -> tuple[Paper, ...]:
    if not queries:
        return papers
    return tuple(paper for paper in papers if all(matches(each, paper) for each in queries))
