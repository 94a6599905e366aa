"""Refresh one upstream page: take the lease, respect the rate limit, fetch, parse, merge, store."""

import logging
from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import datetime, timedelta

import msgspec

from feedsrv.config import Config
from feedsrv.errors import FetchError, ParseError, RequestNotSentError, UpstreamError
from feedsrv.models import Listing, Page
from feedsrv.storage.repository import Repository
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.events import EventEmitter, LayoutChanged, ListingFetched
from feedsrv.upstream.failure_tracker import FailureTracker
from feedsrv.upstream.fetch import FetchedListing, ListingFetcher
from feedsrv.upstream.merge import keep_list_days, merge_refresh
from feedsrv.upstream.paths import page_path
from feedsrv.upstream.policy import list_days, remaining_ttl
from feedsrv.upstream.rate_limiter import RateLimiter

log = logging.getLogger(__name__)

#: Upstream may take so many times as long as a reader waits: slow is not dead.
_BACKGROUND_FACTOR = 3
#: Share of the time that a reader waits after which upstream counts as hanging: a bit less than
#: one, so that nobody else begins to wait when that reader gives up.
_HANG_SHARE = 0.9
#: How often the lease is renewed in the time that a reader waits.
_LEASE_RENEWALS = 4


class Refresher:
    """Fetches pages and stores their listings. Safe for threads.

    Args:
        config: The settings.
        client: Talks to upstream.
        repository: Stores the listings.
        rate_limiter: Says when a request may be sent.
        failures: Records failures, and says what may be fetched.
        events: Told what happened, in the thread that refreshes.
        now: The clock (UTC).

    """

    def __init__(
        self,
        config: Config,
        client: UpstreamClient,
        repository: Repository,
        *,
        rate_limiter: RateLimiter,
        failures: FailureTracker,
        events: EventEmitter,
        now: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._fetcher = ListingFetcher(client, repository.unparsed_pages)
        self._repository = repository
        self._rate_limiter = rate_limiter
        self._failures = failures
        self._events = events
        self._now = now

    def refresh(
        self,
        page: Page,
        *,
        adhoc: bool = False,
        force: bool = False,
        extra_wait: float = 0,
        awaited_pages: Callable[[], Collection[Page]] = tuple,
    ) -> Listing:
        """Return the page's listing, fetched unless another process has just done so.

        Args:
            page: The page.
            adhoc: Whether it is a search for a keyword that no configured feed has.
            force: Fetch even where the stored listing is fresh or a back-off is in effect, and
                give upstream no more time than a reader waits.
            extra_wait: Seconds to wait for the lease and the rate limit, beyond the deadline.
            awaited_pages: Returns the pages that readers of this process wait for. Where there are
                any, this one goes before what other processes fetch in the background.

        Raises:
            UpstreamError: The page could not be fetched or parsed.
        """
        now = self._now()
        give_up_at = now + timedelta(seconds=self._config.deadline + extra_wait)
        if adhoc:
            self._rate_limiter.check_adhoc_budget(page, give_up_at)
        self._rate_limiter.acquire_lease(page, give_up_at, lambda: bool(awaited_pages()))
        with ExitStack() as cleanup:
            cleanup.callback(self._rate_limiter.release_lease)
            now = self._now()
            stored = self._repository.get_listing(page)
            if stored is not None and not force and remaining_ttl(page, stored, now) > timedelta(0):
                return stored
            failure = self._failures.blocking_failure(page)
            if failure is not None and not force:
                retry_after = (failure.retry_at - now).total_seconds()
                raise FetchError(page_path(page), failure.reason, retry_after)
            outage = self._repository.get_failure(None)
            try:
                fetched = self._fetch(
                    page,
                    stored,
                    adhoc=adhoc,
                    give_up_at=give_up_at,
                    max_seconds=self._config.deadline * (1 if force else _BACKGROUND_FACTOR),
                    awaited_pages=awaited_pages,
                )
            except RequestNotSentError:
                raise  # no request was sent, so nothing failed
            except UpstreamError as error:
                self._failures.record_failure(page, error, outage)
                raise
            except Exception:
                # Without a back-off, a page that crashes the parser is fetched at every request.
                unexpected = ParseError(page_path(page), "an unexpected error; see the log")
                self._failures.record_failure(page, unexpected, outage)
                raise
            listing = self._save(page, fetched.listing)
            if fetched.retry_after:
                self._failures.pause_requests(fetched.retry_after)
            return listing

    def _save(self, requested: Page, fresh: Listing) -> Listing:
        stored = self._repository.get_listing(fresh.page)
        for skipped in fresh.skipped:
            is_known = stored is not None and skipped in stored.skipped
            level = logging.DEBUG if is_known else logging.WARNING
            log.log(level, "%s: could not parse %s", fresh.page, skipped)
        self._failures.log_recovery(requested)
        days = list_days(
            self._now().date(), self._config.history_days, self._repository.get_listing
        )
        others = [listing for _, listing in days if listing is not None]
        if stored is None or stored.page != fresh.page:
            fresh = msgspec.structs.replace(fresh, first_fetched_at=fresh.fetched_at)
        listing = merge_refresh(stored, keep_list_days(fresh, others, self._may_be_served))
        self._repository.save_listing(listing, requested)
        for other in others:
            dated = keep_list_days(other, [listing], lambda _: True)
            if dated is not other:
                self._repository.save_listing(dated, dated.page)
        self._events.emit(ListingFetched(requested, fresh))
        log.info("%s: fetched, %d papers", listing.page, len(listing.papers))
        return listing

    def _may_be_served(self, day: Listing) -> bool:
        """Return whether a response may have had a paper of the day with its date."""
        since = day.first_fetched_at
        return since is None or self._repository.was_response_changed_since(since)

    def _fetch(
        self,
        page: Page,
        stored: Listing | None,
        *,
        adhoc: bool,
        give_up_at: datetime,
        max_seconds: float,
        awaited_pages: Callable[[], Collection[Page]],
    ) -> FetchedListing:
        deadline, renewed_at = self._config.deadline, 0.0

        def acquire_slot() -> None:
            self._rate_limiter.await_slot(page, adhoc, give_up_at)

        def on_wait(elapsed: float) -> None:
            nonlocal renewed_at
            self._rate_limiter.wait(0, page)  # not while the server is shutting down
            if elapsed >= deadline * _HANG_SHARE:
                self._failures.record_hang()
            if elapsed >= deadline and set(awaited_pages()) - {page}:  # others have their turn
                raise FetchError(page_path(page), "timed out", timed_out=True)
            if elapsed >= renewed_at + deadline / _LEASE_RENEWALS:
                renewed_at = elapsed
                self._rate_limiter.acquire_lease(page, give_up_at)

        acquire_slot()  # before the deadline starts: waiting for a slot is not upstream's fault
        return self._fetcher.fetch(
            page,
            stored,
            self._now(),
            max_seconds=max_seconds,
            awaited_seconds=lambda: deadline if awaited_pages() else max_seconds,
            acquire_slot=acquire_slot,
            on_wait=on_wait,
            on_layout_change=lambda reason: self._events.emit(LayoutChanged(page, reason)),
        )
