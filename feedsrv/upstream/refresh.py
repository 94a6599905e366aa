"""Refresh one upstream page: take the lease, respect the rate limit, fetch, parse, merge, store.

All processes that share a store take turns. A lease makes sure that only one of them talks to
upstream at a time; it expires by itself when its holder dies. The request log, also shared, keeps
their requests together within the rate limit.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from feedsrv.config import Config
from feedsrv.errors import FetchError, ParseError, RequestNotSentError, UpstreamError
from feedsrv.models import Failure, Kind, Listing, Page, RequestLog
from feedsrv.storage.repository import Repository
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.events import (
    Event,
    FetchFailed,
    LayoutChanged,
    Listener,
    ListingFetched,
    RequestSent,
)
from feedsrv.upstream.fetch import FetchedListing, ListingFetcher
from feedsrv.upstream.merge import keep_list_days, merge_refresh
from feedsrv.upstream.paths import page_path
from feedsrv.upstream.policy import (
    RATE_WINDOW,
    has_spare_request,
    is_backing_off,
    list_days,
    next_failure,
    next_request_at,
    record_request,
    remaining_ttl,
)

log = logging.getLogger(__name__)

#: Upstream may take so many times as long as a reader waits: slow is not dead.
_BACKGROUND_FACTOR = 3
#: Share of the time that a reader waits after which upstream counts as hanging: a bit less than
#: one, so that nobody else begins to wait when that reader gives up.
_HANG_SHARE = 0.9
#: How often the lease is renewed in the time that a reader waits.
_LEASE_RENEWALS = 4
#: After this time, whether upstream still hangs is unknown. The longest back-off is half of it.
_MAX_HANG_AGE = timedelta(hours=1)
#: Seconds between two attempts to take a lease that another process holds.
_LEASE_POLL_SECONDS = 0.05
#: The longest time that anybody waits for the lease.
_MAX_WAIT = timedelta(minutes=15)
#: Consecutive failures of different pages that count as an outage of upstream as a whole.
_OUTAGE_THRESHOLD = 2
#: The reason of a failure that is none: upstream works, and allows no more requests for a while.
RATE_LIMIT_REASON = "upstream's rate limit is used up"


class Refresher:
    """Fetches pages and stores their listings. Safe for threads.

    The owner identifies this refresher as holder of the lease, among all processes. ``sleep``
    returns true when the server is shutting down. ``chance`` returns a random number from 0 to 1.
    """

    def __init__(
        self,
        config: Config,
        client: UpstreamClient,
        repository: Repository,
        *,
        owner: str,
        now: Callable[[], datetime],
        sleep: Callable[[float], object],
        chance: Callable[[], float],
    ) -> None:
        self._config = config
        self._fetcher = ListingFetcher(client, repository.unparsed_pages)
        self._repository = repository
        self._owner = owner
        self._now = now
        self._sleep = sleep
        self._chance = chance
        self._listeners: list[Listener] = []
        #: Earliest moment at which an ad-hoc search may be sent, as far as this process knows.
        self._adhoc_allowed_at = datetime.min.replace(tzinfo=UTC)

    def subscribe(self, listener: Listener) -> None:
        """Call the listener for each event, in the thread that refreshes."""
        self._listeners.append(listener)

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def blocking_failure(self, page: Page) -> Failure | None:
        """Return the failure that forbids fetching the page now; None where it may be fetched."""
        now = self._now()
        failure, outage = self._repository.get_failure(page), self._repository.get_failure(None)
        if is_backing_off(failure, now):
            return failure
        if outage is not None and outage.count >= _OUTAGE_THRESHOLD and is_backing_off(outage, now):
            return outage
        return None

    def seconds_until_retry(self, page: Page) -> float:
        """Return for how long the page may not be fetched."""
        failure = self.blocking_failure(page)
        return (failure.retry_at - self._now()).total_seconds() if failure is not None else 0.0

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
        if adhoc and (refusal := self.adhoc_refusal(page, extra_wait)) is not None:
            raise refusal
        self._acquire_lease(page, give_up_at, lambda: bool(awaited_pages()))
        with ExitStack() as cleanup:
            cleanup.callback(self._repository.release_lease, self._owner)
            now = self._now()
            stored = self._repository.get_listing(page)
            if stored is not None and not force and remaining_ttl(page, stored, now) > timedelta(0):
                return stored
            failure = self.blocking_failure(page)
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
                self._record_failure(page, error, outage)
                raise
            except Exception:
                # Without a back-off, a page that crashes the parser is fetched at every request.
                unexpected = ParseError(page_path(page), "an unexpected error; see the log")
                self._record_failure(page, unexpected, outage)
                raise
            listing = self._save(page, fetched.listing)
            if fetched.retry_after:
                self._pause_requests(fetched.retry_after)
            return listing

    def adhoc_refusal(self, page: Page, extra_wait: float = 0) -> RequestNotSentError | None:
        """Return the error of an ad-hoc page that nobody waits long enough for; None if unknown.

        The request log would say the same, at the price of three storage reads.
        """
        now, allowed_at = self._now(), self._adhoc_allowed_at
        give_up_at = now + timedelta(seconds=self._config.deadline + extra_wait)
        is_refused = give_up_at < allowed_at <= now + RATE_WINDOW
        return self._budget_error(page, allowed_at) if is_refused else None

    def _save(self, requested: Page, fresh: Listing) -> Listing:
        stored = self._repository.get_listing(fresh.page)
        for skipped in fresh.skipped:
            is_known = stored is not None and skipped in stored.skipped
            level = logging.DEBUG if is_known else logging.WARNING
            log.log(level, "%s: could not parse %s", fresh.page, skipped)
        self._log_recovery(requested)
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
        self._emit(ListingFetched(requested, fresh))
        log.info("%s: fetched, %d papers", listing.page, len(listing.papers))
        return listing

    def _may_be_served(self, day: Listing) -> bool:
        """Return whether a response may have had a paper of the day with its date."""
        since = day.first_fetched_at
        return since is None or self._repository.was_response_changed_since(since)

    def _log_recovery(self, page: Page) -> None:
        failure = self._repository.get_failure(page) or self._repository.get_failure(None)
        since = failure.since if failure is not None else None
        # A single failure, or a spent rate limit, was not logged as an outage.
        if failure is not None and since is not None and since < failure.at:
            log.warning("%s: recovered, had failed since %s UTC", page, f"{since:%F %T}")

    def _pause_requests(self, retry_after: float) -> None:
        """Send nothing until upstream allows the next request."""
        now = self._now()
        failure = Failure(
            reason=RATE_LIMIT_REASON,
            count=_OUTAGE_THRESHOLD,
            at=now,
            retry_at=now + timedelta(seconds=retry_after),
            since=now,
        )
        self._repository.save_failure(None, failure)

    def _record_failure(self, page: Page, error: UpstreamError, previous: Failure | None) -> None:
        """Record that the page failed; ``previous`` is upstream's failure before the request."""
        now, chance = self._now(), self._chance()
        failure = next_failure(self._repository.get_failure(page), error, now, chance)
        if page.kind is Kind.PAPER and error.is_not_found:
            failure = msgspec.structs.replace(failure, is_not_found=True)
        self._repository.save_failure(page, failure)
        # Logged once: retries go on for hours, and the recovery is logged too.
        is_new = failure.count == 1 and (previous is None or previous.count < _OUTAGE_THRESHOLD)
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "%s: fetch failed, retrying at %s UTC: %s",
            page,
            f"{failure.retry_at:%H:%M:%S}",
            error,
        )
        outage = None
        if isinstance(error, FetchError) and not failure.is_not_found:
            outage = self._record_outage(previous, error, now, chance)
        elif (hang := self._repository.get_failure(None)) is not None:  # there was a response
            self._repository.save_failure(None, msgspec.structs.replace(hang, timed_out=False))
        self._emit(FetchFailed(page, error, failure, outage))

    def _record_outage(
        self, previous: Failure | None, error: FetchError, now: datetime, chance: float
    ) -> Failure | None:
        """Count the failure against upstream as a whole; return it once it is an outage.

        A second page that fails in a row concerns all pages, and so does a Retry-After.
        """
        outage = next_failure(previous, error, now, chance, grace=_OUTAGE_THRESHOLD - 1)
        if error.retry_after:
            count = max(_OUTAGE_THRESHOLD, outage.count)
            outage = msgspec.structs.replace(outage, count=count)
        self._repository.save_failure(None, outage)
        return outage if outage.count >= _OUTAGE_THRESHOLD else None

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
            self._await_request_slot(page, adhoc, give_up_at)

        def on_wait(elapsed: float) -> None:
            nonlocal renewed_at
            self._wait(0, page)
            if elapsed >= deadline * _HANG_SHARE:
                self._record_hang()
            if elapsed >= deadline and set(awaited_pages()) - {page}:  # others have their turn
                raise FetchError(page_path(page), "timed out", timed_out=True)
            if elapsed >= renewed_at + deadline / _LEASE_RENEWALS:
                renewed_at = elapsed
                self._acquire_lease(page, give_up_at)

        acquire_slot()  # before the deadline starts: waiting for a slot is not upstream's fault
        return self._fetcher.fetch(
            page,
            stored,
            self._now(),
            max_seconds=max_seconds,
            awaited_seconds=lambda: deadline if awaited_pages() else max_seconds,
            acquire_slot=acquire_slot,
            on_wait=on_wait,
            on_layout_change=lambda reason: self._emit(LayoutChanged(page, reason)),
        )

    def is_hanging(self) -> bool:
        """Return whether upstream as a whole does not respond: then nobody waits for it."""
        outage = self._repository.get_failure(None)
        if outage is None or not outage.timed_out:
            return False
        return self._now() - outage.at < _MAX_HANG_AGE

    def _record_hang(self) -> None:
        """Record that upstream has taken as long as a reader waits."""
        known, now = self._repository.get_failure(None), self._now()
        if known is None:
            reason = "timed out"
            known = Failure(reason=reason, count=1, at=now, retry_at=now, since=now)
        if not known.timed_out:
            hang = msgspec.structs.replace(known, at=now, timed_out=True)
            self._repository.save_failure(None, hang)

    @property
    def spacing_seconds(self) -> float:
        """The seconds between two requests."""
        return self._config.spacing

    @contextmanager
    def try_hold_lease(self) -> Iterator[bool]:
        """Hold the lease if no other process has it; yield whether that worked."""
        length = timedelta(seconds=self._config.deadline + 2)
        has_lease = self._repository.acquire_lease(self._owner, self._now(), length)
        try:
            yield has_lease
        finally:
            if has_lease:
                self._repository.release_lease(self._owner)

    def try_take_spare_slot(self) -> bool:
        """Record a request now, if no other one has to wait for it; return whether it has not."""
        now, spacing = self._now(), timedelta(seconds=self._config.spacing)
        is_spare = False

        def reserve(request_log: RequestLog) -> RequestLog | None:
            nonlocal is_spare
            is_spare = has_spare_request(request_log, now, spacing=spacing)
            return record_request(request_log, now, adhoc=False) if is_spare else None

        self._repository.update_request_log(reserve)
        if is_spare:
            self._emit(RequestSent())
        return is_spare

    def _await_request_slot(self, page: Page, adhoc: bool, give_up_at: datetime) -> None:
        """Wait until the next request may be sent, but not for longer than the caller waits."""
        while slot := self._reserve_slot(adhoc=adhoc):
            if slot > give_up_at:
                if adhoc:
                    self._adhoc_allowed_at = slot
                raise self._budget_error(page, slot)
            seconds = (slot - self._now()).total_seconds()
            self._wait(max(seconds, _LEASE_POLL_SECONDS), page)
            self._acquire_lease(page, give_up_at)  # it may have expired meanwhile
        self._emit(RequestSent())

    def _reserve_slot(self, *, adhoc: bool) -> datetime | None:
        """Record a request now and return None, or return when one will be allowed."""
        now, spacing = self._now(), timedelta(seconds=self._config.spacing)
        slot = now

        def reserve(request_log: RequestLog) -> RequestLog | None:
            nonlocal slot
            slot = next_request_at(request_log, now, adhoc=adhoc, spacing=spacing)
            return record_request(request_log, now, adhoc=adhoc) if slot <= now else None

        self._repository.update_request_log(reserve)
        return slot if slot > now else None

    def _budget_error(self, page: Page, until: datetime) -> RequestNotSentError:
        retry_after = (until - self._now()).total_seconds()
        return RequestNotSentError(page_path(page), "the request budget is used up", retry_after)

    def _wait(self, seconds: float, page: Page) -> None:
        if self._sleep(seconds):
            raise RequestNotSentError(page_path(page), "the server is shutting down", 2)

    def _acquire_lease(
        self, page: Page, give_up_at: datetime, is_awaited: Callable[[], bool] = lambda: False
    ) -> None:
        """Take or extend the lease: one request at a time among all processes on one store."""
        # As long as one page can take: a dead holder blocks others no longer than that.
        length = timedelta(seconds=self._config.deadline + 2)
        while not self._repository.acquire_lease(
            self._owner, self._now(), length, is_awaited=is_awaited()
        ):
            if not self._now() < give_up_at < self._now() + _MAX_WAIT:  # or the clock was set back
                reason = "another process is fetching and takes too long"
                raise RequestNotSentError(page_path(page), reason, 2)
            self._wait(_LEASE_POLL_SECONDS, page)
