"""Refresh one upstream page: take the lease, respect the rate limit, fetch, parse, merge, store."""

import logging
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass
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


@dataclass(kw_only=True, eq=False)
class Refresher:
    """Fetches pages and stores their listings. Safe for threads."""

    config: Config
    client: UpstreamClient
    repository: Repository
    rate_limiter: RateLimiter
    failures: FailureTracker
    events: EventEmitter
    #: The clock (UTC).
    now: Callable[[], datetime]

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
        if adhoc and (refusal := self.rate_limiter.adhoc_fetch_error(page)) is not None:
            raise refusal
        give_up_at = self.now() + timedelta(seconds=self.config.deadline + extra_wait)
        self.rate_limiter.acquire_lease(page, give_up_at, lambda: bool(awaited_pages()))
        with ExitStack() as cleanup:
            cleanup.callback(self.rate_limiter.release_lease)
            now = self.now()
            stored = self.repository.get_listing(page)
            if stored is not None and not force and remaining_ttl(page, stored, now) > timedelta(0):
                return stored
            failure = self.failures.blocking_failure(page)
            if failure is not None and not force:
                retry_after = (failure.retry_at - now).total_seconds()
                raise FetchError(page_path(page), failure.reason, retry_after)
            outage = self.repository.get_failure(None)
            try:
                fetched = self._fetch(
                    page,
                    stored,
                    adhoc=adhoc,
                    give_up_at=give_up_at,
                    max_seconds=self.config.deadline * (1 if force else _BACKGROUND_FACTOR),
                    awaited_pages=awaited_pages,
                )
            except RequestNotSentError:
                raise  # no request was sent, so nothing failed
            except UpstreamError as error:
                self.failures.record_failure(page, error, outage)
                raise
            except Exception:
                # Without a back-off, a page that crashes the parser is fetched at every request.
                unexpected = ParseError(page_path(page), "an unexpected error; see the log")
                self.failures.record_failure(page, unexpected, outage)
                raise
            listing = self._save(page, fetched.listing)
            if fetched.retry_after:
                self.failures.pause_requests(fetched.retry_after)
            return listing

    def _save(self, requested: Page, fresh: Listing) -> Listing:
        stored = self.repository.get_listing(fresh.page)
        for skipped in fresh.skipped:
            is_known = stored is not None and skipped in stored.skipped
            level = logging.DEBUG if is_known else logging.WARNING
            log.log(level, "%s: could not parse %s", fresh.page, skipped)
        self.failures.log_recovery(requested)
        days = list_days(self.now().date(), self.config.history_days, self.repository.get_listing)
        others = [listing for _, listing in days if listing is not None]
        if stored is None or stored.page != fresh.page:
            fresh = msgspec.structs.replace(fresh, first_fetched_at=fresh.fetched_at)
        listing = merge_refresh(stored, keep_list_days(fresh, others, self._may_be_served))
        self.repository.save_listing(listing, requested)
        for other in others:
            dated = keep_list_days(other, [listing], lambda _: True)
            if dated is not other:
                self.repository.save_listing(dated, dated.page)
        self.events.emit(ListingFetched(requested, fresh))
        log.info("%s: fetched, %d papers", listing.page, len(listing.papers))
        return listing

    def _may_be_served(self, day: Listing) -> bool:
        """Return whether a response may have had a paper of the day with its date."""
        since = day.first_fetched_at
        return since is None or self.repository.was_response_changed_since(since)

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
        deadline, renewed_at = self.config.deadline, 0.0

        def acquire_slot() -> None:
            self.rate_limiter.wait_for_slot(page, adhoc, give_up_at)

        def on_wait(elapsed: float) -> None:
            nonlocal renewed_at
            self.rate_limiter.wait(0, page)  # not while the server is shutting down
            if elapsed >= deadline * _HANG_SHARE:
                self.failures.record_hang()
            if elapsed >= deadline and set(awaited_pages()) - {page}:  # others have their turn
                raise FetchError(page_path(page), "timed out", timed_out=True)
            if elapsed >= renewed_at + deadline / _LEASE_RENEWALS:
                renewed_at = elapsed
                self.rate_limiter.acquire_lease(page, give_up_at)

        acquire_slot()  # before the deadline starts: waiting for a slot is not upstream's fault
        fetcher = ListingFetcher(
            client=self.client,
            unparsed_pages=self.repository.unparsed_pages,
            page=page,
            stored=stored,
            now=self.now(),
            max_seconds=max_seconds,
            awaited_seconds=lambda: deadline if awaited_pages() else max_seconds,
            acquire_slot=acquire_slot,
            on_wait=on_wait,
            on_layout_change=lambda reason: self.events.emit(LayoutChanged(page, reason)),
        )
        return fetcher.fetch()
