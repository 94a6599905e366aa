"""The data: papers, the listings they stand in, the feeds made of them. All of it frozen.

Dates are days of the UTC calendar; datetimes are aware and in UTC. Text has been cleaned when it
was read (`feedsrv.text`): one line where one line is meant, and no character that XML forbids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from threading import Lock
from typing import NamedTuple

import msgspec

from feedsrv.models import Feed, Kind, ListDays, Listing, Match, Page, Paper, Source, pages_covering
from feedsrv.search.index import Index, InvertedIndex
from feedsrv.search.parser import parse_query
from feedsrv.search.query import matches, positive_terms
from feedsrv.upstream.policy import newest_day_page, remaining_ttl


def unite_listings(listings: tuple[Listing, ...]) -> tuple[Paper, ...]:
    """Return every paper of the listings once, newest first by (published, id).

    Where a paper stands on several, the copy of the first listing that knows its list day wins,
    and among day lists its earliest day.
    """
    best: dict[str, Paper] = {}
    for listing in listings:
        for paper in listing.papers:
            best[paper.id] = prefer(best.get(paper.id, paper), paper)
    return tuple(sorted(best.values(), key=_sort_key, reverse=True))


def prefer(paper: Paper, other: Paper | None) -> Paper:
    """Return which of two copies of a paper to show: the first, unless the other knows more."""
    if other is None or other is paper:  # nearly always
        return paper
    return other if _detail_rank(other) < _detail_rank(paper) else paper


def merge_feeds(found: Iterable[tuple[Feed, Sequence[Paper]]]) -> tuple[Match, ...]:
    """Return every paper of several feeds once, with all the feeds that have it, newest first."""
    best: dict[str, Paper] = {}
    feeds: dict[str, tuple[Feed, ...]] = {}
    for feed, papers in found:
        for paper in papers:
            best[paper.id] = prefer(best.get(paper.id, paper), paper)
            feeds[paper.id] = (*feeds.get(paper.id, ()), feed)
    papers = sorted(best.values(), key=_sort_key, reverse=True)
    return tuple(Match(paper, feeds[paper.id]) for paper in papers)


def _sort_key(paper: Paper) -> tuple[date, str]:
    return paper.listed or paper.submitted, paper.id


def _detail_rank(paper: Paper) -> tuple[bool, bool, date]:
    return (paper.listed is None, not paper.abstract, paper.published.date())


_NONE = timedelta(0)
_MAX_CACHED_QUERIES = 256


class SourceState(msgspec.Struct, frozen=True):
    """What is kept of one source of a feed."""

    #: The page to ask first.
    page: Page
    listings: tuple[Listing, ...]
    #: Pages to read, the one that matters most first.
    due: tuple[Page, ...]
    #: How long the first page is still fresh.
    remaining_ttl: timedelta
    #: How long each of them is.
    expires_in: timedelta


class ListDay(msgspec.Struct, frozen=True):
    """A list day of the window."""

    date: date
    is_fetched: bool


class Window:
    """What is kept of the list days, and which of its papers a query asks for.

    A page asks for the same few queries again and again, while somebody types and for each of the
    configured feeds, so the answers are remembered.
    """

    def __init__(self, days: Iterable[tuple[Page, Listing | None]], index: Index) -> None:
        self._list_days = tuple(days)
        self.index = index
        #: Oldest first.
        self.days = tuple(_list_day(*each) for each in reversed(self._list_days))
        self.papers = index.papers
        read = (listing.fetched_at for _, listing in self._list_days if listing is not None)
        #: When the newest list that was read was; None for none.
        self.fetched_at = next(read, None)
        #: Return the papers that match a query as it is written, newest first.
        self.search = lru_cache(maxsize=_MAX_CACHED_QUERIES)(self._search)

    def is_current(self, days: Sequence[tuple[Page, Listing | None]]) -> bool:
        """Tell whether it was made of the very same listings."""
        pairs = zip(days, self._list_days, strict=False)
        return days is self._list_days or (
            len(days) == len(self._list_days)
            and all(ours[0] == theirs[0] and ours[1] is theirs[1] for ours, theirs in pairs)
        )

    def _search(self, query: str) -> tuple[Paper, ...]:
        if not query:
            return self.papers
        return self.index.matching(parse_query(query))


def _list_day(page: Page, listing: Listing | None) -> ListDay:
    own = listing.page if listing is not None else page
    return ListDay(date.fromisoformat(own.key), listing is not None)


def search_terms(feed: Feed) -> str:
    """Return what to search for at upstream; empty where there is nothing."""
    return positive_terms(parse_query(feed.query)) if feed.query else ""


def search_pages(feeds: Iterable[Feed]) -> frozenset[Page]:
    """Return the pages on which upstream's search finds what the feeds look for."""
    return frozenset(Page(Kind.SEARCH, search_terms(feed)) for feed in feeds if search_terms(feed))


def effective_sources(feed: Feed) -> tuple[Source, ...]:
    """Return the feed's sources, without the search where there is nothing to search for."""
    return tuple(source for source in feed.sources if source != "search" or search_terms(feed))


def source_state(
    source: Source,
    feed: Feed,
    *,
    now: datetime,
    days: Callable[[date], ListDays],
    kept: Callable[[Page], Listing | None],
    may_be_asked: Callable[[Page], bool],
) -> SourceState:
    """Return what is kept for one source of the feed, and what of it has to be read.

    Args:
        source: The source.
        feed: The feed; its query says what to search for.
        now: The moment.
        days: Returns the window of list days up to a day.
        kept: Returns what is kept of a page.
        may_be_asked: Tells whether a page may be asked for, which it may not after a failure.

    """
    today = now.date()
    if source == "daily":
        found = days(today)
        # One at a time: a page that was read names the one before it, and what lies behind a page
        # that was not is a guess.
        lefts = {page: remaining_ttl(page, listing, now) for page, listing in found}
        stale = (page for page, age in lefts.items() if age <= _NONE)
        due = tuple(islice(filter(may_be_asked, stale), 1))
        listings = tuple(listing for _, listing in found if listing is not None)
        return SourceState(
            newest_day_page(today), listings, due, lefts[found[0][0]], min(lefts.values())
        )
    pages: tuple[Page, ...]
    match source:
        case "search":
            pages = (Page(Kind.SEARCH, search_terms(feed)),)
        case "trending":
            pages = (Page(Kind.TRENDING),)
        case "week":
            # Until this week has a list, last week's is what upstream gives for it.
            pages = pages_covering(Kind.WEEK, today, 8)
        case "month":
            pages = pages_covering(Kind.MONTH, today, 32)
    first = next((listing for page in pages if (listing := kept(page))), None)
    age = remaining_ttl(pages[0], first, now)
    is_due = age <= _NONE and may_be_asked(pages[0])
    return SourceState(pages[0], (first,) if first else (), pages[:1] if is_due else (), age, age)


#: The window, trending, the week and the month.
_MAX_INDEXES = 4
#: How often a row of words is read through before they are arranged, which takes as long as ten to
#: twenty of that: a server that has just been started answers first.
_READ = 10
#: How many times the papers of the largest index are arranged before those that went are forgotten.
_MOST_ARRANGED = 2


class Selection(NamedTuple):
    """The papers that a feed selects, and the ids of all that were looked at."""

    papers: tuple[Paper, ...]
    seen_ids: frozenset[str]


class Selector:
    """Selects papers, with indexes that outlive a request. Safe for threads.

    What they are made of does not change between two readings of upstream, so the last ones are
    kept. What a search found needs none: it is few papers, and other ones for each keyword.
    """

    def __init__(self) -> None:
        # By the identity of listings: the store hands out the same until another one is kept.
        self._indexes: dict[tuple[int, ...], tuple[tuple[Listing, ...], Index]] = {}
        self._rows = InvertedIndex(read=_READ)
        self._lock = Lock()

    def select(self, feed: Feed, listings: Iterable[Listing]) -> Selection:
        """Return the papers of the listings that the feed asks for, each once."""
        every = tuple(listings)
        lists = tuple(each for each in every if each.page.kind is not Kind.SEARCH)
        searches = tuple(each for each in every if each.page.kind is Kind.SEARCH)
        index, hits = self.index(lists), unite_listings(searches)
        seen = index.ids.union(hit.id for hit in hits) if hits else index.ids
        return Selection(_matching_papers(feed, index, hits), seen)

    def index(self, listings: Iterable[Listing]) -> Index:
        """Return the papers of lists, arranged for matching."""
        lists = tuple(listings)
        key = tuple(map(id, lists))
        with self._lock:
            held = self._indexes.pop(key, None) or (lists, self._arranged(unite_listings(lists)))
            self._indexes[key] = held
            while len(self._indexes) > _MAX_INDEXES:
                del self._indexes[next(iter(self._indexes))]
        return held[1]

    def _arranged(self, papers: tuple[Paper, ...]) -> Index:
        largest = max((len(index.papers) for _, index in self._indexes.values()), default=0)
        if self._rows.size > _MOST_ARRANGED * max(largest, len(papers)):
            self._rows = InvertedIndex(read=_READ)
        return Index(papers, self._rows)


def _matching_papers(feed: Feed, index: Index, hits: tuple[Paper, ...]) -> tuple[Paper, ...]:
    """Return the papers that the feed asks for: of the lists, and of what upstream's search hit."""
    if not feed.query:
        return index.papers
    query = parse_query(feed.query)
    found = {paper.id: paper for paper in index.matching(query)}
    for hit in hits:
        listed = index.get(hit.id)
        paper = prefer(listed or hit, hit)
        if paper is listed and feed.match == "strict":
            continue  # the index has told
        if feed.match == "upstream" or matches(query, paper):
            found[paper.id] = paper
        else:
            found.pop(paper.id, None)
    return tuple(found.values())
