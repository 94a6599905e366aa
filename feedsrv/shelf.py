"""What is kept of one source of a feed, and what of it has to be read.

Values in, values out: what is kept, and what may be asked for, come as functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice

import msgspec

from feedsrv.freshness import Days, left, newest
from feedsrv.grammar import parse
from feedsrv.index import Index
from feedsrv.paper import Feed, Kind, Listing, Page, Paper, Source, recent
from feedsrv.query import positive_words

_NONE = timedelta(0)
_MOST_REMEMBERED = 256


class Shelf(msgspec.Struct, frozen=True):
    """What is kept of one source of a feed."""

    #: The page to ask first.
    asked: Page
    listings: tuple[Listing, ...]
    #: Pages to read, the one that matters most first.
    due: tuple[Page, ...]
    #: How long the first page is still fresh.
    left: timedelta
    #: How long each of them is.
    quiet: timedelta


class Day(msgspec.Struct, frozen=True):
    """A list day of the window."""

    date: date
    is_read: bool


class Window:
    """What is kept of the list days, and which of its papers a query asks for.

    A page asks for the same few queries again and again, while somebody types and for each of the
    configured feeds, so the answers are remembered.
    """

    def __init__(self, days: Iterable[tuple[Page, Listing | None]], index: Index) -> None:
        self._made_of = tuple(days)
        self.index = index
        #: Oldest first.
        self.days = tuple(_day(*each) for each in reversed(self._made_of))
        self.papers = index.papers
        read = (listing.read_at for _, listing in self._made_of if listing is not None)
        #: When the newest list that was read was; None for none.
        self.read_at = next(read, None)
        #: Return the papers that match a query as it is written, newest first.
        self.found = lru_cache(maxsize=_MOST_REMEMBERED)(self._found)

    def is_of(self, days: Sequence[tuple[Page, Listing | None]]) -> bool:
        """Tell whether it was made of the very same listings."""
        pairs = zip(days, self._made_of, strict=False)
        return days is self._made_of or (
            len(days) == len(self._made_of)
            and all(ours[0] == theirs[0] and ours[1] is theirs[1] for ours, theirs in pairs)
        )

    def _found(self, query: str) -> tuple[Paper, ...]:
        if not query:
            return self.papers
        return self.index.matching(parse(query))


def _day(page: Page, listing: Listing | None) -> Day:
    own = listing.page if listing is not None else page
    return Day(date.fromisoformat(own.key), listing is not None)


def words(feed: Feed) -> str:
    """Return what to search for at upstream; empty where there is nothing."""
    return positive_words(parse(feed.query)) if feed.query else ""


def searches(feeds: Iterable[Feed]) -> frozenset[Page]:
    """Return the pages on which upstream's search finds what the feeds look for."""
    return frozenset(Page(Kind.SEARCH, words(feed)) for feed in feeds if words(feed))


def sources(feed: Feed) -> tuple[Source, ...]:
    """Return the feed's sources, without the search where there is nothing to search for."""
    return tuple(source for source in feed.sources if source != "search" or words(feed))


def shelf(
    source: Source,
    feed: Feed,
    *,
    now: datetime,
    days: Callable[[date], Days],
    kept: Callable[[Page], Listing | None],
    may_be_asked: Callable[[Page], bool],
) -> Shelf:
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
        lefts = {page: left(page, listing, now) for page, listing in found}
        stale = (page for page, age in lefts.items() if age <= _NONE)
        due = tuple(islice(filter(may_be_asked, stale), 1))
        listings = tuple(listing for _, listing in found if listing is not None)
        return Shelf(newest(today), listings, due, lefts[found[0][0]], min(lefts.values()))
    pages: tuple[Page, ...]
    match source:
        case "search":
            pages = (Page(Kind.SEARCH, words(feed)),)
        case "trending":
            pages = (Page(Kind.TRENDING),)
        case "week":
            # Until this week has a list, last week's is what upstream gives for it.
            pages = recent(Kind.WEEK, today, 8)
        case "month":
            pages = recent(Kind.MONTH, today, 32)
    first = next((listing for page in pages if (listing := kept(page))), None)
    age = left(pages[0], first, now)
    is_due = age <= _NONE and may_be_asked(pages[0])
    return Shelf(pages[0], (first,) if first else (), pages[:1] if is_due else (), age, age)
