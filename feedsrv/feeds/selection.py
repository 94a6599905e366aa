"""Select the papers of a feed: from listings to matching papers, each paper once."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from threading import Lock
from typing import NamedTuple

import msgspec
from cachetools import LRUCache

from feedsrv.models import Feed, Kind, Listing, Match, Paper
from feedsrv.search.index import Index
from feedsrv.search.parser import parse_feed_queries, parse_feed_query
from feedsrv.search.query import (
    ExternalCondition,
    Query,
    iter_leaves,
    matches,
    replace_external_conditions,
)

#: The window, trending, the week and the month.
_MAX_INDEXES = 4
#: Searches of which the matching hits are remembered, about 300 bytes each.
_MAX_CACHED_HITS = 10_000
#: What a feed has at least if it sets no limit, as far as there are so many papers.
DEFAULT_LIMIT = 50
_COMPLETE_DAYS = 3


class Selection(NamedTuple):
    """The papers that a feed selects, and the ids of all that were looked at."""

    papers: tuple[Paper, ...]
    searched_ids: frozenset[str]
    #: The queries that they match, with what was decided about papers.
    queries: tuple[Query, ...]


#: Returns a part of a query with what is decided about the papers.
ConditionResolver = Callable[[ExternalCondition, Sequence[Paper]], ExternalCondition]


class Selector:
    """Selects the papers of feeds, with indexes that outlive a request. Safe for threads.

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

    def select(
        self,
        feed: Feed,
        listings: Iterable[Listing],
        decide: ConditionResolver,
        change: Callable[[Query], Query] = lambda query: query,
    ) -> Selection:
        """Return the papers of the listings that match the feed, each once, newest first.

        Args:
            feed: The feed.
            listings: The listings of its sources.
            decide: Decides about parts of its queries.
            change: Returns the query to use in place of one of the feed's.
        """
        parsed = tuple(map(change, parse_feed_queries(feed)))
        every = tuple(listings)
        if feed.page is not None:  # no index: those of the window and the lists stay
            papers = unite_listings(every)
            queries = _resolve(parsed, papers, decide)
            return Selection(_narrow(papers, queries), _ids(papers), queries)
        lists = tuple(each for each in every if each.page.kind is not Kind.SEARCH)
        searches = tuple(each for each in every if each.page.kind is Kind.SEARCH)
        index, hits = self.index_for(lists), unite_listings(searches)
        others = tuple(hit for hit in hits if hit.id not in index.ids)
        queries = _resolve(parsed, (*index.papers, *others), decide)
        has_own = parse_feed_query(feed) is not None
        papers = self._search(feed, queries[0], index, hits) if has_own else index.papers
        seen_ids = index.ids | _ids(others)
        return Selection(_narrow(papers, queries[has_own:]), seen_ids, queries)

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

    def _search(
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
    queries: tuple[Query, ...], papers: Sequence[Paper], decide: ConditionResolver
) -> tuple[Query, ...]:
    return tuple(
        replace_external_conditions(each, lambda part: decide(part, papers)) for each in queries
    )


def _ids(papers: Iterable[Paper]) -> frozenset[str]:
    return frozenset(paper.id for paper in papers)


def _narrow(papers: tuple[Paper, ...], queries: Sequence[Query]) -> tuple[Paper, ...]:
    """Return the papers that match all queries."""
    if not queries:
        return papers
    return tuple(paper for paper in papers if all(matches(each, paper) for each in queries))


# --- one copy of each paper ------------------------------------------------------------------


def unite_listings(listings: tuple[Listing, ...]) -> tuple[Paper, ...]:
    """Return every paper of the listings once, newest first by (published, id).

    Of several copies, the first wins unless another has more details; it gets the earliest day.
    """
    best: dict[str, Paper] = {}
    for listing in listings:
        for paper in listing.papers:
            best[paper.id] = better_copy(best.get(paper.id, paper), paper)
    return newest_first(best.values())


def better_copy(paper: Paper, other: Paper | None) -> Paper:
    """Return the better of two copies of a paper, with the earlier of their list days.

    The better one is the first, unless the other has more details. Listings come the newest day
    first, so that a paper on two days has the facts of the later one.
    """
    if other is None or other is paper:  # nearly always
        return paper
    better = other if _detail_rank(other) < _detail_rank(paper) else paper
    days = [each.listed for each in (paper, other) if each.listed is not None]
    if not days or better.listed == min(days):
        return better
    return msgspec.structs.replace(better, listed=min(days))


def merge_feeds(selections: Sequence[tuple[Feed, Sequence[Paper]]]) -> tuple[Match, ...]:
    """Return every paper of several feeds once, with all feeds that have it, newest first.

    Args:
        selections: Each feed with its papers, newest first.

    """
    if len(selections) == 1:
        feed, papers = selections[0]
        return tuple(Match(paper, (feed,)) for paper in papers)
    best: dict[str, Paper] = {}
    feeds: dict[str, tuple[Feed, ...]] = {}
    for feed, papers in selections:
        for paper in papers:
            other = best.get(paper.id)
            best[paper.id] = paper if other is None else _earlier_match(other, paper)
            feeds[paper.id] = (*feeds.get(paper.id, ()), feed)
    return tuple(Match(paper, feeds[paper.id]) for paper in newest_first(best.values()))


def _earlier_match(paper: Paper, other: Paper) -> Paper:
    """Return the better of two copies from different feeds, with the earlier of their dates."""
    better = better_copy(paper, other)
    earlier = min(paper, other, key=lambda each: each.published)
    if better.matched_at == earlier.matched_at:
        return better
    return msgspec.structs.replace(better, matched_at=earlier.matched_at)


def default_limit(matches: Iterable[Match]) -> int:
    """Return how many of the matches a feed has that sets no limit: fifty, or more.

    Its three newest list days are complete, so that a laptop that was closed over the weekend
    misses nothing, even if a day has sixty papers.

    Args:
        matches: The papers, newest first.

    """
    days: set[date] = set()
    complete = 0
    for number, match in enumerate(matches, 1):
        if match.paper.listed is not None:
            days.add(match.paper.published.date())
            if len(days) > _COMPLETE_DAYS:
                break
            complete = number
    return max(DEFAULT_LIMIT, complete)


def newest_first(papers: Iterable[Paper]) -> tuple[Paper, ...]:
    """Return the papers sorted by (published, id), the newest first."""
    return tuple(sorted(papers, key=lambda paper: (paper.published, paper.id), reverse=True))


def _detail_rank(paper: Paper) -> tuple[bool, bool]:
    return (not paper.abstract, paper.listed is None)
