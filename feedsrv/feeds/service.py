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

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import UTC, date, datetime, time, timedelta
from random import random as _random  # noqa: TID251  # the default chance
from threading import BoundedSemaphore, Event
from typing import Self
from uuid import uuid4

import msgspec

from feedsrv import __version__
from feedsrv.config import Config
from feedsrv.errors import NoDataYetError, UnknownFeedError, UpstreamBudgetError, UpstreamError
from feedsrv.feeds.selection import (
    Selector,
    SourceState,
    effective_sources,
    merge_feeds,
    search_pages,
    source_state,
)
from feedsrv.models import Feed, ListDays, Listing, Match, Page, Paper, Source
from feedsrv.monitoring.metrics import Metrics
from feedsrv.monitoring.status import Overview
from feedsrv.storage.backend import open_repository
from feedsrv.storage.repository import Repository
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.demo import create_demo_upstream, load_sample
from feedsrv.upstream.policy import ClientQuota, newest_day_page, remaining_ttl
from feedsrv.upstream.refresh import Refresher
from feedsrv.upstream.scheduler import Scheduler

#: What is due is asked for by whoever comes next, but not by everybody.
_MIN_LIFETIME = timedelta(seconds=1)
_MAX_LIFETIME = timedelta(days=1)
_DEFAULT_RETRY_AFTER = 60
#: Requests that may wait for the whole deadline at the same time: half of the server's threads, so
#: that a page that hangs leaves the other half to feeds that are kept. Any more wait for a second,
#: which is enough for a page that does not hang.
_MAX_FULL_WAITS = 16
_SHORT_WAIT = 1.0
#: Seconds that a bringing up to date waits for its turn: longer than an allowance can be spent.
_BATCH_WAIT = 600.0


def _utc_now() -> datetime:
    """Read the clock; the one place that does."""
    return datetime.now(UTC)  # noqa: TID251  # the default clock


class FeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one feed, or several together, hold at this moment."""

    #: The papers that match, newest first, as many as were asked for.
    matches: tuple[Match, ...]
    #: How many papers before these match, and how many in all.
    offset: int
    total: int
    #: How many papers were looked at.
    papers_searched: int
    #: When asking again may bring something new.
    fresh_until: datetime
    #: Until when all this stays as it is, unless something is kept; and nothing is due to be read.
    expires_at: datetime


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
        fetcher: UpstreamClient,
        store: Repository,
        *,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = _random,
    ) -> None:
        self.config = config
        self._client = fetcher
        self.repository = store
        self._now = now
        self._full_waits = BoundedSemaphore(_MAX_FULL_WAITS)
        closing = Event()
        owner = f"{os.getpid()}-{uuid4().hex}"
        wait = sleep or closing.wait
        self.metrics = Metrics()
        self._refresher = Refresher(
            config, fetcher, store, self.metrics, owner=owner, now=now, sleep=wait, chance=chance
        )
        own = search_pages(config.feeds.values())
        self._scheduler = Scheduler(self._refresher, own, self._due_day_pages, closing)
        self._quota = ClientQuota(0 if config.access_key else config.new_keywords)
        self._selector = Selector()
        self.overview = Overview(
            config,
            store,
            self._selector,
            own=own,
            bring_up_to_date=lambda: self._scheduler.refresh_in_background(self._due_day_pages()),
            now=now,
        )

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = _random,
    ) -> Self:
        """Return a service with the fetcher and the store that the settings ask for."""
        app = create_demo_upstream(load_sample(), lambda: now().date()) if config.demo else None
        contact = config.contact or config.public_url or "no contact given"
        agent = f"feedsrv/{__version__} (feed server; {contact})"
        fetcher = UpstreamClient(config.upstream_url, agent=agent, token=config.hf_token, app=app)
        own = search_pages(config.feeds.values())
        return cls(
            config, fetcher, open_repository(config, own), now=now, sleep=sleep, chance=chance
        )

    def close(self) -> None:
        """Finish the page that is being read, drop those that wait, let go of network and store."""
        self._scheduler.close()
        self._client.close()
        self.repository.close()

    def get_configured_feed(self, name: str) -> Feed:
        """Return the configured feed of that name.

        Raises:
            UnknownFeedError: There is none.

        """
        feed = self.config.feeds.get(name)
        if feed is None:
            raise UnknownFeedError(name, sorted(self.config.feeds))
        return feed

    # --- one request -----------------------------------------------------------------------

    def get_feed(
        self, *feeds: Feed, limit: int | None = None, page: int = 1, client: str = ""
    ) -> FeedResult:
        """Return what the feeds hold, each paper once.

        Args:
            feeds: One feed, or several to unite.
            limit: How many papers to take; without it, what the feeds say.
            page: Which of the parts of that size to take, the newest papers being 1.
            client: Who asks; has a share of keywords that nobody asked for before. Nobody but
                ourselves where it is empty.

        Raises:
            TooManyError: The client's share of new keywords is used up for now.
            NothingReadError: Upstream fails, and nothing was ever read for any of them.

        """
        asked = [
            (feed, [self._source_state(each, feed) for each in effective_sources(feed)])
            for feed in feeds
        ]
        every = [shelf for _, shelves in asked for shelf in shelves]
        self._enforce_quota(client, every)
        cold = self._start_fetches(every)
        waited = self._wait_for(cold.values()) if cold else 0.0
        now = self._now()
        seen: frozenset[str] = frozenset()
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        ages, quiet = [_MAX_LIFETIME], [midnight - now]  # the window moves on
        found: list[tuple[Feed, tuple[Paper, ...]]] = []
        for feed, shelves in asked:
            filled = [_with_result(each, cold.get(each.page), now) for each in shelves]
            listings = tuple(listing for each in filled for listing in each.listings)
            if filled and not listings:
                ages.append(timedelta(0))
                quiet.append(timedelta(0))
                continue
            selection = self._selector.select(feed, listings)
            seen |= selection.seen_ids
            ages += [each.remaining_ttl for each in filled]
            quiet += [each.expires_in for each in filled]
            found.append((feed, selection.papers))
        if not found:
            raise self._no_data_error([each.page for each in every], cold, waited)
        most = limit or max(feed.limit for feed in feeds)
        every_found, before = merge_feeds(found), (page - 1) * most
        return FeedResult(
            matches=every_found[before : before + most],
            offset=before,
            total=len(every_found),
            papers_searched=len(seen),
            fresh_until=now + min(ages),
            expires_at=now + max(_MIN_LIFETIME, min(quiet)),
        )

    def _enforce_quota(self, client: str, shelves: Iterable[SourceState]) -> None:
        """Count the searches for new keywords that this takes against the client's share.

        Raises:
            TooManyError: It has had its share.

        """
        for each in shelves if client else ():
            if each.due and not each.listings and self._scheduler.is_new_search(each.page):
                self._quota.consume(client, self._now())

    def _source_state(self, source: Source, feed: Feed) -> SourceState:
        return source_state(
            source,
            feed,
            now=self._now(),
            days=self._list_days,
            kept=self.repository.get_listing,
            may_be_asked=self._may_fetch,
        )

    def _start_fetches(self, shelves: Sequence[SourceState]) -> dict[Page, Future[Listing]]:
        """Begin to read what was never read, to be waited for, and behind it what is stale."""
        cold = {
            each.page: self._scheduler.submit(each.page)
            for each in shelves
            if not each.listings and each.page in each.due
        }
        self._scheduler.refresh_in_background(
            page for each in shelves for page in each.due if page not in cold
        )
        return cold

    def _wait_for(self, futures: Iterable[Future[Listing]]) -> float:
        """Wait until all are there, and return for how many seconds at most that was."""
        is_patient = self._full_waits.acquire(blocking=False)
        seconds = self.config.deadline if is_patient else min(_SHORT_WAIT, self.config.deadline)
        try:
            wait(futures, timeout=seconds)
        finally:
            if is_patient:
                self._full_waits.release()
        return seconds

    def _no_data_error(
        self, asked: Iterable[Page], cold: Mapping[Page, Future[Listing]], waited: float
    ) -> NoDataYetError:
        """Return why there is nothing, and when asking again makes sense."""
        ended = (future for future in cold.values() if future.done() and not future.cancelled())
        cause = next((future.exception() for future in ended), None)
        troubles = [trouble for page in asked if (trouble := self._refresher.current_failure(page))]
        reason, wait = f"no answer within {waited:g} seconds", float(_DEFAULT_RETRY_AFTER)
        if troubles:
            soonest = min(troubles, key=lambda trouble: trouble.retry_at)
            reason, wait = soonest.reason, (soonest.retry_at - self._now()).total_seconds()
        elif isinstance(cause, UpstreamBudgetError):
            reason, wait = str(cause), cause.retry_after
        elif cause is not None:
            reason = "an unexpected error, told in the server's log"
        error = NoDataYetError(reason, max(1, round(wait)))
        error.__cause__ = cause
        return error

    def now(self) -> datetime:
        """Return the time."""
        return self._now()

    def version(self) -> object:
        """Return what is another one when anything was kept, by whichever process."""
        return self.repository.version()

    def was_served(self, address: str) -> bool:
        """Tell whether the address was ever answered: then it is somebody's subscription."""
        return self.repository.was_served(_hash_url(address))

    def last_modified(self, address: str, etag: str) -> datetime:
        """Return when what stands at the address last changed, for Last-Modified.

        It rises by a second at least with each change and never falls, whichever process asks:
        newsboat throws a body away whose Last-Modified did not rise.
        """
        return self.repository.last_modified(_hash_url(address), etag, self._now())

    # --- one page --------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Have all ready that the first reader would otherwise wait for, as far as it is kept."""
        self.repository.open()
        self.is_ready()

    def is_ready(self) -> bool:
        """Tell whether there is anything to serve; if not, have the first lists read behind it."""
        is_ready = self.overview.has_data()
        if not is_ready:
            self._scheduler.refresh_in_background(self._due_day_pages())
        return is_ready

    def newest_day(self) -> Page:
        """Return the page to ask for the newest day's list."""
        return newest_day_page(self._now().date())

    def refresh_page(self, page: Page) -> Listing:
        """Return the page's listing, newly read, whatever is kept.

        Raises:
            UpstreamError: It could not be read.

        """
        return self._scheduler.run(page, always=True, patience=0)

    def refresh_stale(self) -> Iterator[tuple[Page, Listing | UpstreamError, int]]:
        """Read what is not fresh: each list, the window, the searches of the configured feeds.

        Yields each page with its listing or what went wrong, and how many are left, as far as that
        is known. It waits for turns as long as it takes.
        """
        tried: set[Page] = set()
        while due := [page for page in self._due() if page not in tried]:
            tried.add(due[0])
            result: Listing | UpstreamError
            try:
                result = self._scheduler.run(due[0], always=False, patience=_BATCH_WAIT)
            except UpstreamError as error:
                result = error
            yield due[0], result, self._count_unfetched() + len(due) - 1

    def _due(self) -> tuple[Page, ...]:
        """Return every page that is due, of all that this server serves."""
        lists = (Feed(name="", title="", sources=("daily", "trending", "week", "month")),)
        shelves = (
            self._source_state(source, feed)
            for feed in (*lists, *self.config.feeds.values())
            for source in effective_sources(feed)
        )
        return tuple(dict.fromkeys(page for each in shelves for page in each.due))

    def _count_unfetched(self) -> int:
        """Return how many days of the window were never read, the next one aside."""
        days = self._list_days(self._now().date())
        return max(0, sum(listing is None for _, listing in days) - 1)

    def _list_days(self, today: date) -> ListDays:
        return self.repository.window(today, self.config.history_days)

    def _may_fetch(self, page: Page) -> bool:
        return self._refresher.current_failure(page) is None

    def _due_day_pages(self) -> tuple[Page, ...]:
        return self._source_state("daily", Feed(name="", title="")).due


# --- decisions: values in, values out --------------------------------------------------------


def _hash_url(address: str) -> str:
    """Return a name for the address that does not tell the key of a private server."""
    return hashlib.sha256(address.encode()).hexdigest()[:32]


def _with_result(shelf: SourceState, future: Future[Listing] | None, now: datetime) -> SourceState:
    """Return the shelf with the listing that was waited for, if it came."""
    if future is None or not future.done() or future.cancelled() or future.exception():
        return shelf
    listing = future.result()
    age = remaining_ttl(shelf.page, listing, now)
    return msgspec.structs.replace(shelf, listings=(listing,), left=age, quiet=age)
