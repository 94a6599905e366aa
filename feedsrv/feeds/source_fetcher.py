"""What is stored of the sources of feeds, and fetching the rest: what readers wait for first."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from threading import BoundedSemaphore

import msgspec

from feedsrv.errors import NoDataYetError, QuotaExceededError, RequestNotSentError, UpstreamError
from feedsrv.feeds.client_quota import ClientQuota
from feedsrv.feeds.sources import SourceState, candidate_pages, effective_sources
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.models import Feed, Listing, Page, Source
from feedsrv.storage.repository import Repository
from feedsrv.upstream.failure_tracker import FailureTracker
from feedsrv.upstream.policy import newest_day_page, remaining_ttl, requests_left
from feedsrv.upstream.scheduler import Scheduler

_ZERO = timedelta(0)
#: Seconds after which to try again where nothing better is known.
_DEFAULT_RETRY_AFTER = 60
_MAX_RETRY_AFTER = 3600
#: Requests that may wait for the whole deadline at the same time: half of the server's threads, so
#: that a page that hangs leaves the other half to stored feeds. Further requests wait for
#: `_SHORT_WAIT` seconds, enough for a page that does not hang.
_MAX_FULL_WAITS = 16
_SHORT_WAIT = 1.0
#: Seconds that a batch refresh waits for its slot: longer than a rate limit can be used up.
_BATCH_WAIT = 600.0

#: The fetches of pages that a request waits for.
Fetches = Mapping[Page, Future[Listing]]


@dataclass(kw_only=True, eq=False)
class SourceFetcher:
    """Fetches the pages of feeds. Safe for threads."""

    repository: Repository
    failures: FailureTracker
    scheduler: Scheduler
    list_days: StoredListDays
    quota: ClientQuota
    #: Seconds that a request waits at most.
    deadline: float
    #: The clock (UTC).
    now: Callable[[], datetime]

    def __post_init__(self) -> None:
        self._full_waits = BoundedSemaphore(_MAX_FULL_WAITS)

    def state(self, source: Source, feed: Feed) -> SourceState:
        """Return what is stored of one source of the feed, and what has to be fetched."""
        now = self.now()
        if source == "daily" and feed.page is None:
            return self._daily_state(now)
        pages = candidate_pages(source, feed, now.date())
        first = next(filter(None, map(self.repository.get_listing, pages)), None)
        ttl = remaining_ttl(pages[0], first, now)
        is_due = ttl <= _ZERO and self._may_fetch(pages[0])
        return SourceState(
            pages[0], (first,) if first else (), pages[:1] if is_due else (), ttl, ttl
        )

    def _daily_state(self, now: datetime) -> SourceState:
        days = self.list_days.get()
        ttls = {page: remaining_ttl(page, listing, now) for page, listing in days}
        stale = (page for page, ttl in ttls.items() if ttl <= _ZERO)
        # Fetch one day at a time: each page names the previous list day, which could otherwise only
        # be guessed.
        due = tuple(islice(filter(self._may_fetch, stale), 1))
        listings = tuple(listing for _, listing in days if listing is not None)
        newest = newest_day_page(now.date())
        return SourceState(newest, listings, due, ttls[days[0][0]], min(ttls.values()))

    def _may_fetch(self, page: Page) -> bool:
        return self.failures.blocking_failure(page) is None

    def states(self, feed: Feed) -> list[SourceState]:
        """Return the states of all sources of the feed."""
        return [self.state(source, feed) for source in effective_sources(feed)]

    def states_within_quota(self, feed: Feed, client: str) -> list[SourceState]:
        """Return the states of the feed's sources; charge what is new to the client's quota."""
        return [self._charge_quota(state, client) for state in self.states(feed)]

    def _charge_quota(self, state: SourceState, client: str) -> SourceState:
        """Charge a new keyword or an old list to the client's quota.

        Where that is used up, return the state without pages to fetch: they come with a later
        request.
        """
        is_new = bool(state.due_pages) and not state.listings
        if not client or not is_new or not self.scheduler.is_new_adhoc(state.main_page):
            return state
        try:
            self.quota.consume(client, self.now())
        except QuotaExceededError as error:
            return msgspec.structs.replace(state, due_pages=(), quota_error=error)
        return state

    def start_fetches(self, states: Sequence[SourceState]) -> Fetches:
        """Start to fetch what was never fetched, to be awaited; queue what is stale.

        While upstream hangs, everything is queued: the first response shows that it hangs no more.
        """
        awaited = () if self.failures.is_hanging() else states
        fetches = {
            state.main_page: self.scheduler.fetch_for_request(state.main_page)
            for state in awaited
            if not state.listings and state.main_page in state.due_pages
        }
        self.scheduler.refresh_in_background(
            page for state in states for page in state.due_pages if page not in fetches
        )
        return fetches

    def wait_for(self, fetches: Fetches) -> float:
        """Wait until all fetches are done; return for how many seconds at most that was."""
        if not fetches:
            return 0.0
        may_wait = self._full_waits.acquire(blocking=False)
        seconds = self.deadline if may_wait else min(_SHORT_WAIT, self.deadline)
        try:
            wait(fetches.values(), timeout=seconds)
        finally:
            if may_wait:
                self._full_waits.release()
        return seconds

    def refresh_stale(
        self, feeds: Collection[Feed]
    ) -> Iterator[tuple[Page, Listing | UpstreamError, int]]:
        """Fetch the stale pages of the feeds, one after another.

        Yields each page with its listing or error, and how many pages are left, as far as that is
        known. Waits for the rate limit as long as it takes.
        """
        tried: set[Page] = set()
        while due := [page for page in self.due_pages(feeds) if page not in tried]:
            tried.add(due[0])
            result: Listing | UpstreamError
            try:
                result = self.scheduler.refresh_and_wait(
                    due[0], force=False, extra_wait=_BATCH_WAIT
                )
            except UpstreamError as error:
                result = error
            unfetched = sum(listing is None for _, listing in self.list_days.get())
            # Without the next day, which is due already.
            days_left = max(0, unfetched - 1)
            yield due[0], result, days_left + len(due) - 1

    def due_pages(self, feeds: Iterable[Feed]) -> tuple[Page, ...]:
        """Return every page of the feeds that is due."""
        states = (state for feed in feeds for state in self.states(feed))
        return tuple(dict.fromkeys(page for state in states for page in state.due_pages))

    def due_day_pages(self) -> tuple[Page, ...]:
        """Return the list days of the window that are due."""
        return self.state("daily", Feed(name="", title="")).due_pages

    def no_data_error(
        self, states: Sequence[SourceState], fetches: Fetches, waited: float
    ) -> NoDataYetError | QuotaExceededError:
        """Return why there is nothing to serve, and when to try again.

        The states are from before the request waited for the fetches, ``waited`` seconds at most.
        """
        quota_errors = [state.quota_error for state in states if state.quota_error is not None]
        if quota_errors and len(quota_errors) == len(states):
            return quota_errors[0]
        pages = dict.fromkeys([*(state.main_page for state in states), *fetches])
        done = (fetch for fetch in fetches.values() if fetch.done() and not fetch.cancelled())
        cause = next((fetch.exception() for fetch in done), None)
        failures = [failure for page in pages if (failure := self.failures.blocking_failure(page))]
        reason, retry_after = f"no response within {waited:g} seconds", float(_DEFAULT_RETRY_AFTER)
        outage = self.repository.get_failure(None)
        if outage is not None and not waited:
            reason = outage.reason
        if failures:
            first = min(failures, key=lambda failure: failure.retry_at)
            reason, retry_after = first.reason, (first.retry_at - self.now()).total_seconds()
        elif isinstance(cause, RequestNotSentError):
            reason, retry_after = str(cause), cause.retry_after
        elif cause is not None:
            reason = "an unexpected error; see the server's log"
        elif not requests_left(self.repository.get_request_log(), self.now()):
            reason = "the request budget is used up"
        has_days = any(listing is not None for _, listing in self.list_days.get())
        subject = " and ".join(map(str, pages)) if has_days else "nothing"
        seconds = min(max(1, round(retry_after)), _MAX_RETRY_AFTER)
        error = NoDataYetError(reason, seconds, subject)
        error.__cause__ = cause
        return error


def with_fetched_listings(
    states: Iterable[SourceState], fetches: Fetches, now: datetime
) -> list[SourceState]:
    """Return the states with the listings that were awaited, where they arrived."""
    return [_with_fetched_listing(state, fetches.get(state.main_page), now) for state in states]


def _with_fetched_listing(
    state: SourceState, fetch: Future[Listing] | None, now: datetime
) -> SourceState:
    if fetch is None or not fetch.done() or fetch.cancelled() or fetch.exception():
        return state
    listing = fetch.result()
    ttl = remaining_ttl(state.main_page, listing, now)
    return msgspec.structs.replace(state, listings=(listing,), main_page_ttl=ttl, min_ttl=ttl)
