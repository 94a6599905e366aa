"""One request, top to bottom.

::

    feeds ── the pages they are made of ── their listings ── papers that match ── each paper once
                                               │
                                               ├── kept and fresh: served
                                               ├── kept and stale: served, and read again behind it
                                               └── never read: waited for, up to the deadline

What a reader waits for is read first; what is only stale, and the rest of the window of list days,
is read behind it, the newest day first (`feedsrv.worker`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from datetime import UTC, datetime, timedelta
from random import random as _random  # noqa: TID251  # the default chance
from threading import Event
from typing import Self
from uuid import uuid4

import msgspec

from feedsrv import __version__, demo
from feedsrv.config import Config
from feedsrv.errors import NothingReadError, SpentError, UnknownFeedError, UpstreamError
from feedsrv.fetch import Fetcher
from feedsrv.freshness import Failure, left, newest, window
from feedsrv.grammar import parse
from feedsrv.paper import Feed, Found, Kind, Listing, Page, Paper, Source, merge, unite
from feedsrv.query import matches
from feedsrv.shelf import Shelf, Window, shelf, sources, words
from feedsrv.status import Disk, Status, status
from feedsrv.store import Store
from feedsrv.upstream import Upstream
from feedsrv.worker import Worker

#: Seconds that readers may keep an answer, at least and at most.
_MAX_AGE = (300, 3600)
_FIRST_RETRY = 60
#: Seconds that a bringing up to date waits for its turn: longer than an allowance can be spent.
_PATIENCE = 600.0


def _now() -> datetime:
    """Read the clock; the one place that does."""
    return datetime.now(UTC)  # noqa: TID251  # the default clock


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one feed, or several together, hold at this moment."""

    #: The papers that match, newest first, as many as were asked for.
    found: tuple[Found, ...]
    #: How many papers before these match, and how many in all.
    before: int
    matching: int
    #: How many papers were looked at.
    seen: int
    #: Seconds until asking again may bring something new.
    max_age: int


class Service:
    """Feeds from upstream and the store. Safe for threads.

    Args:
        config: The settings.
        fetcher: Asks upstream; closed with the service.
        store: Keeps listings; closed with the service.
        now: The clock.
        sleep: Waits so many seconds; by default until then or until the service is closed.
        chance: Gives a number from 0 to 1.

    """

    def __init__(
        self,
        config: Config,
        fetcher: Fetcher,
        store: Store,
        *,
        now: Callable[[], datetime] = _now,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = _random,
    ) -> None:
        self.config = config
        self._fetcher = fetcher
        self._store = store
        self._now = now
        self._window = Window(())
        closing = Event()
        owner = f"{os.getpid()}-{uuid4().hex}"
        wait = sleep or closing.wait
        self._upstream = Upstream(
            config, fetcher, store, owner=owner, now=now, sleep=wait, chance=chance
        )
        feeds = (feed for feed in config.feeds.values() if "search" in sources(feed))
        self._searches = tuple(dict.fromkeys(Page(Kind.SEARCH, words(feed)) for feed in feeds))
        self._worker = Worker(self._upstream, frozenset(self._searches), self._due_days, closing)

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        now: Callable[[], datetime] = _now,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = _random,
    ) -> Self:
        """Return a service with the fetcher and the store that the settings ask for."""
        app = demo.upstream(demo.sample(), lambda: now().date()) if config.demo else None
        contact = config.contact or config.public_url or "no contact given"
        agent = f"feedsrv/{__version__} (feed server; {contact})"
        fetcher = Fetcher(config.upstream_url, agent=agent, token=config.hf_token, app=app)
        store = Store(config.cache_dir, config.upstream_url)
        return cls(config, fetcher, store, now=now, sleep=sleep, chance=chance)

    def close(self) -> None:
        """Finish the page that is being read, drop those that wait, let go of network and disk."""
        self._worker.close()
        self._fetcher.close()
        self._store.close()

    def named(self, name: str) -> Feed:
        """Return the configured feed of that name.

        Raises:
            UnknownFeedError: There is none.

        """
        feed = self.config.feeds.get(name)
        if feed is None:
            raise UnknownFeedError(name, sorted(self.config.feeds))
        return feed

    # --- one request -----------------------------------------------------------------------

    def read(self, *feeds: Feed, limit: int | None = None, page: int = 1) -> Reading:
        """Return what the feeds hold, each paper once.

        Args:
            feeds: One feed, or several to unite.
            limit: How many papers to take; without it, what the feeds say.
            page: Which of the parts of that size to take, the newest papers being 1.

        Raises:
            NothingReadError: Upstream fails, and nothing was ever read for any of them.

        """
        nothing: list[NothingReadError] = []
        seen: set[str] = set()
        ages = [timedelta(seconds=_MAX_AGE[1])]
        found: list[tuple[Feed, tuple[Paper, ...]]] = []
        for feed in feeds:
            try:
                shelves = self._filled([self._shelf(source, feed) for source in sources(feed)])
            except NothingReadError as error:
                if len(feeds) == len(nothing) + 1:
                    raise
                nothing.append(error)
                ages.append(timedelta(0))
                continue
            listings = tuple(listing for each in shelves for listing in each.listings)
            papers = unite(listings)
            seen.update(paper.id for paper in papers)
            ages += [each.left for each in shelves]
            found.append((feed, _matching(feed, papers, _hits(feed, listings))))
        most = limit or max(feed.limit for feed in feeds)
        max_age = max(_MAX_AGE[0], int(min(ages).total_seconds()))
        every, before = merge(found), (page - 1) * most
        return Reading(
            found=every[before : before + most],
            before=before,
            matching=len(every),
            seen=len(seen),
            max_age=max_age,
        )

    def window(self) -> Window:
        """Return what is kept of the window. It waits for nothing, and nothing is searched for.

        The window is brought up to date behind it, as for any feed.
        """
        days = tuple(window(self._now().date(), self.config.history_days, self._store.listing))
        if not self._window.is_of(days):
            self._window = Window(days)
        self._worker.behind(self._due_days())
        return self._window

    def older(self, query: str) -> int | None:
        """Return how many papers beyond the window a kept search knows; None where none is kept."""
        feed = Feed(name="", title="", query=query)
        search = self._store.listing(Page(Kind.SEARCH, words(feed))) if words(feed) else None
        if search is None:
            return None
        known = {paper.id for paper in self._window.papers}
        return sum(paper.id not in known for paper in _matching(feed, search.papers, frozenset()))

    def _shelf(self, source: Source, feed: Feed) -> Shelf:
        return shelf(
            source,
            feed,
            now=self._now(),
            days=self.config.history_days,
            kept=self._store.listing,
            may_be_asked=self._may_be_asked,
        )

    def _filled(self, shelves: list[Shelf]) -> list[Shelf]:
        """Return the shelves with what was never read, as far as that can be had in time.

        Raises:
            NothingReadError: That is nothing at all, for all of them.

        """
        cold = {
            each.asked: self._worker.awaited(each.asked)
            for each in shelves
            if not each.listings and self._may_be_asked(each.asked)
        }
        self._worker.behind(page for each in shelves for page in each.due if page not in cold)
        if cold:
            wait(cold.values(), timeout=self.config.deadline)
        now = self._now()
        filled = [_with(each, cold.get(each.asked), now) for each in shelves]
        if filled and not any(each.listings for each in filled):
            raise self._nothing([each.asked for each in shelves], cold)
        return filled

    def _nothing(
        self, asked: Iterable[Page], cold: Mapping[Page, Future[Listing]]
    ) -> NothingReadError:
        """Return why there is nothing, and when asking again makes sense."""
        ended = (future for future in cold.values() if future.done() and not future.cancelled())
        cause = next((future.exception() for future in ended), None)
        troubles = [trouble for page in asked if (trouble := self._upstream.trouble(page))]
        reason, wait = f"no answer within {self.config.deadline:g} seconds", float(_FIRST_RETRY)
        if troubles:
            soonest = min(troubles, key=lambda trouble: trouble.retry_at)
            reason, wait = soonest.reason, (soonest.retry_at - self._now()).total_seconds()
        elif isinstance(cause, SpentError):
            reason, wait = str(cause), cause.wait
        elif cause is not None:
            reason = "an unexpected error, told in the server's log"
        error = NothingReadError(reason, max(1, round(wait)))
        error.__cause__ = cause
        return error

    def stamp(self, address: str, etag: str) -> datetime:
        """Return when what stands at the address last changed, for Last-Modified.

        It rises by a second at least with each change and never falls, whichever process asks:
        newsboat throws a body away whose Last-Modified did not rise.
        """
        return self._store.stamp(address, etag, self._now())

    def now(self) -> datetime:
        """Return the moment, by the service's clock."""
        return self._now()

    def failure(self, feed: Feed) -> Failure | None:
        """Return how the feed's own search failed, or all of upstream, where it still does."""
        page = Page(Kind.SEARCH, words(feed))
        of_search = self._store.failure(page) if "search" in sources(feed) else None
        return of_search or self._store.failure(None)

    def status(self) -> Status:
        """Return how this server is. Upstream is not asked."""
        folder, size = self._store.size_on_disk()
        return status(
            version=__version__,
            now=self._now(),
            days=self.config.history_days,
            searches=self._searches,
            kept=self._store.listing,
            failure=self._store.failure,
            turns=self._store.turns(),
            store=Disk(path=str(folder), bytes=size),
        )

    # --- one page --------------------------------------------------------------------------

    def newest_day(self) -> Page:
        """Return the page to ask for the newest day's list."""
        return newest(self._now().date())

    def refresh(self, page: Page) -> Listing:
        """Return the page's listing, newly read, whatever is kept.

        Raises:
            UpstreamError: It could not be read.

        """
        return self._worker.now(page, always=True, patience=0)

    def bring_up_to_date(self) -> Iterator[tuple[Page, Listing | UpstreamError, int]]:
        """Read what is not fresh: each list, the window, the searches of the configured feeds.

        Yields each page with its listing or what went wrong, and how many are left, as far as that
        is known. It waits for turns as long as it takes.
        """
        tried: set[Page] = set()
        while due := [page for page in self._due() if page not in tried]:
            tried.add(due[0])
            result: Listing | UpstreamError
            try:
                result = self._worker.now(due[0], always=False, patience=_PATIENCE)
            except UpstreamError as error:
                result = error
            yield due[0], result, self._unread() + len(due) - 1

    def _due(self) -> tuple[Page, ...]:
        """Return every page that is due, of all that this server serves."""
        lists = (Feed(name="", title="", sources=("daily", "trending", "week", "month")),)
        shelves = (
            self._shelf(source, feed)
            for feed in (*lists, *self.config.feeds.values())
            for source in sources(feed)
        )
        return tuple(dict.fromkeys(page for each in shelves for page in each.due))

    def _unread(self) -> int:
        """Return how many days of the window were never read, the next one aside."""
        days = window(self._now().date(), self.config.history_days, self._store.listing)
        return max(0, sum(listing is None for _, listing in days) - 1)

    def _may_be_asked(self, page: Page) -> bool:
        return self._upstream.trouble(page) is None

    def _due_days(self) -> tuple[Page, ...]:
        return self._shelf("daily", Feed(name="", title="")).due


# --- decisions: values in, values out --------------------------------------------------------


def _matching(feed: Feed, papers: Iterable[Paper], trusted: frozenset[str]) -> tuple[Paper, ...]:
    """Return the papers that the feed asks for."""
    if not feed.query:
        return tuple(papers)
    query = parse(feed.query)
    return tuple(paper for paper in papers if paper.id in trusted or matches(query, paper))


def _hits(feed: Feed, listings: tuple[Listing, ...]) -> frozenset[str]:
    """Return the ids that upstream's search found, where the feed trusts it."""
    if feed.match == "strict":
        return frozenset()
    searches = (listing for listing in listings if listing.page.kind is Kind.SEARCH)
    return frozenset(paper.id for listing in searches for paper in listing.papers)


def _with(shelf: Shelf, future: Future[Listing] | None, now: datetime) -> Shelf:
    """Return the shelf with the listing that was waited for, if it came."""
    if future is None or not future.done() or future.cancelled() or future.exception():
        return shelf
    listing = future.result()
    age = left(shelf.asked, listing, now)
    return msgspec.structs.replace(shelf, listings=(listing,), left=age)
