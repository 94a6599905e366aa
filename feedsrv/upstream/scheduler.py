"""Schedule refreshes on one thread: what a reader waits for, the background queue, then the rest.

One thread, because requests to upstream are sent one at a time. Each page is fetched once, however
many requests want it.
"""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Event, RLock, Timer
from typing import TypeVar

from feedsrv.errors import RequestNotSentError, UpstreamError
from feedsrv.models import Kind, Listing, Page
from feedsrv.upstream.failure_tracker import FailureTracker
from feedsrv.upstream.refresh import Refresher

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Pages that can be awaited at the same time: about as many as fit into one deadline. A request for
#: one more fails at once, so that it holds no thread of the server; the page is fetched later.
_MAX_AWAITED = 8
#: Pages in the background queue.
_MAX_QUEUED = 300
#: Seconds from one probe of an upstream that hangs to the next, at least.
_MIN_PROBE_INTERVAL = 1.0

#: Does a piece of work, unless its argument returns true: then it must end. Returns the seconds
#: after which to do the next one; None for not before something else was fetched.
IdleTask = Callable[[Callable[[], bool]], float | None]


@dataclass(kw_only=True, eq=False)
class Scheduler:
    """Runs refreshes in one background thread. Safe for threads."""

    refresher: Refresher
    failures: FailureTracker
    #: Returns whether only requests for this very page or keyword need a page.
    is_adhoc: Callable[[Page], bool]
    #: Returns the list days to fetch, the newest first. Called again after each day that was
    #: fetched, because a page names the list day before its own.
    due_days: Callable[[], Iterable[Page]]
    #: Set when the scheduler is closed; interrupts waits of the refresher.
    shutdown: Event

    def __post_init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="upstream")
        # Reentrant: a callback of a future that completes may submit more.
        self._lock = RLock()
        self._awaited: dict[Page, Future[Listing]] = {}
        self._queued: dict[Page, None] = {}
        self._probe: Timer | None = None
        self._idle_task: IdleTask | None = None
        self._idle_timer: Timer | None = None

    def close(self) -> None:
        """End the fetch in progress and drop those that are queued."""
        self.shutdown.set()
        for timer in filter(None, (self._probe, self._idle_timer)):
            timer.cancel()
        self._executor.shutdown(cancel_futures=True)
        for future in self._awaited.values():
            future.cancel()

    def fetch_for_request(self, page: Page) -> Future[Listing]:
        """Return a future of the page's listing, with priority over background refreshes.

        The future fails with RequestNotSentError where too many pages are awaited already, and
        where the budget for ad-hoc pages is used up for longer than anybody waits.
        """
        with self._lock:
            future = self._awaited.get(page)
            if future is not None:
                return future
            future = Future()
            refusal = (
                self.refresher.rate_limiter.adhoc_fetch_error(page) if self.is_adhoc(page) else None
            )
            if refusal is not None:  # as for most polls of a server with thousands of keywords
                future.set_exception(refusal)
                return future
            if len(self._awaited) >= _MAX_AWAITED:
                self.refresh_in_background([page])
                reason = "too many pages are awaited already"
                future.set_exception(RequestNotSentError(str(page), reason, 30))
                return future
            self._awaited[page] = future
            self._queued.pop(page, None)
            self._submit(self._run_next)
            return future

    def refresh_in_background(self, pages: Iterable[Page]) -> None:
        """Queue the pages after those that requests wait for."""
        for page in pages:
            # First without a storage lookup: many readers ask for the same few pages.
            if self._is_scheduled(page) or self.failures.blocking_failure(page) is not None:
                continue
            with self._lock:
                if not self._is_scheduled(page) and len(self._queued) < _MAX_QUEUED:
                    self._queued[page] = None
                    self._submit(self._run_next)

    def is_new_adhoc(self, page: Page) -> bool:
        """Return whether the page is an ad-hoc one that is not scheduled yet."""
        return self.is_adhoc(page) and not self._is_scheduled(page)

    def is_idle(self) -> bool:
        """Return whether no fetch is in progress or queued."""
        with self._lock:
            return not self._awaited and not self._queued

    def run_when_idle(self, task: IdleTask) -> None:
        """Run the task, again and again, when no fetch is in progress or queued."""
        self._idle_task = task

    def run_and_wait(self, function: Callable[[], T]) -> T:
        """Return what the function returns, called after the fetch in progress."""
        return self._executor.submit(function).result()

    def refresh_and_wait(self, page: Page, *, force: bool, extra_wait: float) -> Listing:
        """Return the page's listing, fetched after the fetch in progress.

        Raises:
            UpstreamError: The page could not be fetched or parsed.
        """
        refresh = partial(self.refresher.refresh, awaited_pages=lambda: {page} if force else ())
        return self.run_and_wait(partial(refresh, page, force=force, extra_wait=extra_wait))

    def _is_scheduled(self, page: Page) -> bool:
        with self._lock:
            return page in self._awaited or page in self._queued

    def _awaited_pages(self) -> tuple[Page, ...]:
        with self._lock:
            return tuple(self._awaited)

    def _schedule_probe(self, page: Page) -> None:
        """While upstream hangs, try again by ourselves: no reader waits to find out."""
        is_scheduled = self._probe is not None and self._probe.is_alive()
        if self.failures.is_hanging() and not is_scheduled and not self.shutdown.is_set():
            seconds = max(self.failures.seconds_until_retry(page), _MIN_PROBE_INTERVAL)
            self._probe = Timer(seconds, self._send_probe, [page])
            self._probe.daemon = True
            self._probe.start()

    def _send_probe(self, page: Page) -> None:
        self._probe = None
        self.refresh_in_background([page])
        if not self._is_scheduled(page):  # the clock was set back meanwhile
            self._schedule_probe(page)

    def _run_next(self) -> None:
        """Refresh the most important page: awaited ones first, ad-hoc ones and searches last."""
        with self._lock:
            pages = list(self._awaited) or list(self._queued)
            if not pages or self.shutdown.is_set():
                return
            page = min(pages, key=lambda page: (page.kind is Kind.SEARCH) or self.is_adhoc(page))
        listing: Listing | None = None
        error: Exception | None = None
        try:
            listing = self.refresher.refresh(
                page, adhoc=self.is_adhoc(page), awaited_pages=self._awaited_pages
            )
            if page.kind is Kind.DAY and not self.is_adhoc(page):
                self.refresh_in_background(due for due in self.due_days() if due != page)
        except UpstreamError as failure:
            error = failure
            log.debug("%s: not refreshed: %s", page, failure)
            self._schedule_probe(page)
        except Exception as failure:
            error = failure
            log.exception("%s: unexpected error during refresh", page)
        with self._lock:
            future = self._awaited.pop(page, None)
            self._queued.pop(page, None)
        if future is not None and error is not None:
            future.set_exception(error)
        elif future is not None and listing is not None:
            future.set_result(listing)
        self._schedule_idle_task(0)

    def _schedule_idle_task(self, seconds: float) -> None:
        with self._lock:
            is_scheduled = self._idle_timer is not None
            if self._idle_task is None or is_scheduled or self._must_yield():
                return
            self._idle_timer = Timer(seconds, self._submit, [self._run_idle_task])
            self._idle_timer.daemon = True
            self._idle_timer.start()

    def _run_idle_task(self) -> None:
        with self._lock:
            self._idle_timer = None
        if self._idle_task is None or self._must_yield():
            return  # the end of the next fetch schedules it again
        try:
            seconds = self._idle_task(self._must_yield)
        except Exception:
            log.exception("Idle task failed: unexpected error")
            return
        if seconds is not None:
            self._schedule_idle_task(seconds)

    def _must_yield(self) -> bool:
        return self.shutdown.is_set() or not self.is_idle()

    def _submit(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the executor was shut down meanwhile
            self._executor.submit(function)
