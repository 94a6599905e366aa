"""One request, top to bottom.

::

    a feed ── pages it is made of ── their listings ── papers, each once ── those that match
                                        │
                                        ├── kept and fresh: served
                                        ├── kept and stale: served, and one refresh runs behind it
                                        └── never read: waited for, up to the deadline

    a refresh ── page, else JSON API ── read ── joined to what was kept ── kept
                                          └── unreadable: the failure is kept, nothing is lost

One thread asks upstream, so that it is asked one thing at a time, and each page once however many
requests want it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, date, datetime, timedelta
from threading import Lock
from typing import Self

import msgspec

from feedsrv import __version__, demo
from feedsrv.config import Config
from feedsrv.errors import NothingReadError, UnknownFeedError, UpstreamError
from feedsrv.fetch import Fetcher
from feedsrv.grammar import parse
from feedsrv.huggingface import api_path, path, read, read_api
from feedsrv.paper import (
    Feed,
    Found,
    Kind,
    Listing,
    Page,
    Paper,
    Source,
    merge,
    recent,
    succeed,
    unite,
)
from feedsrv.query import matches, positive_words
from feedsrv.store import Failure, Store

log = logging.getLogger(__name__)

#: How long the newest day is kept fresh, and lists of other kinds.
_FRESH = {
    Kind.DAY: timedelta(minutes=20),
    Kind.WEEK: timedelta(hours=1),
    Kind.MONTH: timedelta(hours=1),
    Kind.TRENDING: timedelta(hours=1),
    Kind.SEARCH: timedelta(hours=24),
}
#: The page has so much of the deadline, so that the API has a chance when the page hangs.
_PAGE_SHARE = 0.7
_FIRST_RETRY = timedelta(minutes=1)
_LAST_RETRY = timedelta(minutes=30)
#: Seconds that readers may keep an answer, at least and at most.
_MAX_AGE = (300, 3600)


def _now() -> datetime:
    """Read the clock; the one place that does."""
    return datetime.now(UTC)  # noqa: TID251  # the default clock


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one feed, or several together, hold at this moment."""

    #: The papers that match, newest first, as many as were asked for.
    found: tuple[Found, ...]
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

    """

    def __init__(
        self,
        config: Config,
        fetcher: Fetcher,
        store: Store,
        *,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self.config = config
        self._fetcher = fetcher
        self._store = store
        self._now = now
        self._upstream = ThreadPoolExecutor(1, thread_name_prefix="upstream")
        self._running: dict[Page, Future[Listing]] = {}
        self._lock = Lock()

    @classmethod
    def open(cls, config: Config, *, now: Callable[[], datetime] = _now) -> Self:
        """Return a service with the fetcher and the store that the settings ask for."""
        app = demo.upstream(demo.sample(), lambda: now().date()) if config.demo else None
        contact = config.contact or config.public_url or "no contact given"
        agent = f"feedsrv/{__version__} (feed server; {contact})"
        fetcher = Fetcher(config.upstream_url, agent=agent, token=config.hf_token, app=app)
        return cls(config, fetcher, Store(config.cache_dir, config.upstream_url), now=now)

    def close(self) -> None:
        """Finish the refresh that runs, drop those that wait, let go of network and disk."""
        self._upstream.shutdown(cancel_futures=True)
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

    def read(self, *feeds: Feed, limit: int | None = None) -> Reading:
        """Return what the feeds hold, each paper once.

        Args:
            feeds: One feed, or several to unite.
            limit: How many papers to take; without it, what the feeds say.

        Raises:
            NothingReadError: Upstream fails, and nothing was ever read for one of them.

        """
        now = self._now()
        seen: set[str] = set()
        max_age = _MAX_AGE[1]
        found: list[tuple[Feed, tuple[Paper, ...]]] = []
        for feed in feeds:
            groups = _groups(feed, now.date(), self.config.history_days)
            listings, age = self._listings(groups, now)
            papers = unite(listings)
            seen.update(paper.id for paper in papers)
            max_age = min(max_age, age)
            found.append((feed, _matching(feed, papers, _hits(feed, listings))))
        most = limit or max(feed.limit for feed in feeds)
        return Reading(found=merge(found)[:most], seen=len(seen), max_age=max_age)

    def stamp(self, address: str, etag: str) -> datetime:
        """Return when what stands at the address last changed, for Last-Modified.

        It rises by a second at least with each change and never falls, whichever process asks:
        newsboat throws a body away whose Last-Modified did not rise.
        """
        return self._store.stamp(address, etag, self._now())

    def _listings(
        self, groups: tuple[tuple[Page, ...], ...], now: datetime
    ) -> tuple[tuple[Listing, ...], int]:
        """Return the listings of each group that can be had within the deadline, and a max-age.

        Of a group, the first page is asked for; what is kept of the others is used as it is.
        """
        kept = {group[0]: tuple(self._kept(group)) for group in groups}
        cold: dict[Page, Future[Listing]] = {}
        for asked, listings in kept.items():
            stale = not listings or _left(listings[0], now) <= 0
            if stale and self._may_ask(asked, now):
                future = self._refresh(asked)
                if not listings:
                    cold[asked] = future
        if cold:
            wait(cold.values(), timeout=self.config.deadline)
            kept |= {asked: (future.result(),) for asked, future in cold.items() if _came(future)}
        if groups and not any(kept.values()):
            raise self._nothing(kept, cold)
        left = (_left(listings[0], now) if listings else 0 for listings in kept.values())
        max_age = max(_MAX_AGE[0], min([_MAX_AGE[1], *left]))
        return tuple(listing for listings in kept.values() for listing in listings), max_age

    def _kept(self, group: tuple[Page, ...]) -> Iterator[Listing]:
        """Yield what is kept of the group's pages, each listing once: several may lead to one."""
        seen = set()
        for page in group:
            listing = self._store.listing(page)
            if listing is not None and listing.page not in seen:
                seen.add(listing.page)
                yield listing
                if page.kind is not Kind.DAY:
                    return  # last week's list is no part of this week's

    def _may_ask(self, page: Page, now: datetime) -> bool:
        failure = self._store.failure(page)
        return failure is None or failure.retry_at <= now

    def _nothing(
        self, asked: Iterable[Page], cold: Mapping[Page, Future[Listing]]
    ) -> NothingReadError:
        """Return why there is nothing, and when asking again makes sense."""
        ended = (future for future in cold.values() if future.done() and not future.cancelled())
        cause = next((future.exception() for future in ended), None)
        failures = [failure for page in asked if (failure := self._store.failure(page))]
        reason, left = f"no answer within {self.config.deadline:g} seconds", _FIRST_RETRY
        if failures:
            soonest = min(failures, key=lambda failure: failure.retry_at)
            reason, left = soonest.reason, soonest.retry_at - self._now()
        elif cause is not None:
            reason = "an unexpected error, told in the server's log"
        error = NothingReadError(reason, max(1, round(left.total_seconds())))
        error.__cause__ = cause
        return error

    # --- one refresh -----------------------------------------------------------------------

    def refresh(self, page: Page) -> Listing:
        """Return the page's listing, newly read, whatever is kept.

        Raises:
            UpstreamError: It could not be read.

        """
        return self._upstream.submit(self._update, page).result()

    def newest_day(self) -> Page:
        """Return the page to ask for the newest day's list."""
        return Page(Kind.DAY, self._now().date().isoformat())

    def _refresh(self, page: Page) -> Future[Listing]:
        """Return the running refresh of the page, started if there was none."""
        with self._lock:
            future = self._running.get(page)
            if future is None:
                future = self._upstream.submit(self._freshened, page)
                self._running[page] = future
                future.add_done_callback(lambda done: self._ended(page, done))
            return future

    def _ended(self, page: Page, future: Future[Listing]) -> None:
        self._running.pop(page, None)
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, UpstreamError):
            log.error("refreshing %s broke", page, exc_info=error)

    def _freshened(self, page: Page) -> Listing:
        """Return the page's listing, read now unless that was done while this request waited."""
        kept = self._store.listing(page)
        if kept is not None and _left(kept, self._now()) > 0:
            return kept
        return self._update(page)

    def _update(self, asked: Page) -> Listing:
        """Read the page and keep its listing, or how that failed."""
        now = self._now()
        try:
            fresh = self._ask(asked, now)
        except UpstreamError as error:
            failure = _failure(self._store.failure(asked), error, self._now())
            self._store.fail(asked, failure)
            log.warning(
                "%s was not read: %s; next try at %s", asked, error, f"{failure.retry_at:%H:%M:%S}"
            )
            raise
        for skipped in fresh.skipped:
            log.warning("%s: left out %s", fresh.page, skipped)
        listing = succeed(self._store.listing(fresh.page), fresh)
        self._store.keep(listing, asked)
        log.info("%s: %d papers", listing.page, len(listing.papers))
        return listing

    def _ask(self, asked: Page, now: datetime) -> Listing:
        """Return what upstream says: its page, else its JSON API."""
        seconds = self.config.deadline
        by = self._fetcher.by(seconds)
        try:
            page = self._fetcher.get(path(asked), self._fetcher.by(seconds * _PAGE_SHARE))
            return read(page.body, page.url, asked=asked, read_at=now)
        except UpstreamError as error:
            try:
                answer = self._fetcher.get(api_path(asked, now.date()), by)
                listing = read_api(answer.body, answer.url, asked=asked, read_at=now)
            except UpstreamError as second:
                # The page's own failure says more; the API's stands behind it.
                raise error from second
            log.warning("%s was read from the API: %s", asked, error)
            return listing


# --- decisions: values in, values out --------------------------------------------------------


def _groups(feed: Feed, today: date, days: int) -> tuple[tuple[Page, ...], ...]:
    """Return the pages that the feed is made of, a group for each source, the one to ask first."""
    words = positive_words(parse(feed.query)) if feed.query else ""
    groups: dict[Source, tuple[Page, ...]] = {
        "daily": recent(Kind.DAY, today, days),
        "week": recent(Kind.WEEK, today, 8),
        "month": recent(Kind.MONTH, today, 32),
        "trending": (Page(Kind.TRENDING),),
        "search": (Page(Kind.SEARCH, words),) if words else (),
    }
    return tuple(groups[source] for source in feed.sources if groups[source])


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


def _came(future: Future[Listing]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _left(listing: Listing, now: datetime) -> int:
    """Return the seconds for which the listing is still fresh."""
    return int((listing.read_at + _FRESH[listing.page.kind] - now).total_seconds())


def _failure(before: Failure | None, error: UpstreamError, now: datetime) -> Failure:
    """Return the failure to keep: the next try is later each time, or when upstream says."""
    count = before.count + 1 if before else 1
    pause = min(_FIRST_RETRY * 2 ** min(count - 1, 10), _LAST_RETRY)
    asked = timedelta(seconds=getattr(error, "wait", None) or 0)
    return Failure(reason=str(error), count=count, at=now, retry_at=now + max(pause, asked))
