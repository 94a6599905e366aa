"""The one thread that reads pages: what somebody waits for first, all the rest behind it.

One thread, because upstream is asked one thing at a time; and each page is read once, however many
requests want it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, RLock

from feedsrv.errors import UpstreamError
from feedsrv.paper import Kind, Listing, Page
from feedsrv.upstream import Upstream

log = logging.getLogger(__name__)


class Worker:
    """Reads pages in the background. Safe for threads.

    Args:
        upstream: Reads one page.
        own_searches: The pages of the configured feeds; any other search is an ad-hoc one.
        due_days: Tells which list days have to be read, the newest first; asked again after each
            that was read, because a page names the list day before its own.
        closing: Set when the worker is closed, for whoever waits meanwhile.

    """

    def __init__(
        self,
        upstream: Upstream,
        own_searches: frozenset[Page],
        due_days: Callable[[], Iterable[Page]],
        closing: Event,
    ) -> None:
        self._upstream = upstream
        self._own_searches = own_searches
        self._due_days = due_days
        self._closing = closing
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upstream")
        # Reentrant: the callback of a reading that ended at once runs inside `awaited`.
        self._lock = RLock()
        self._awaited: dict[Page, Future[Listing]] = {}
        self._waiting: dict[Page, None] = {}
        self._is_queued = False

    def close(self) -> None:
        """Finish the page that is being read, and drop those that wait."""
        self._closing.set()
        self._thread.shutdown(cancel_futures=True)

    def awaited(self, page: Page) -> Future[Listing]:
        """Return the reading of a page that somebody waits for, begun if it was not yet."""
        with self._lock:
            future = self._awaited.get(page)
            if future is None:
                future = self._thread.submit(self._update, page)
                self._awaited[page] = future
                future.add_done_callback(lambda done: self._ended(page, done))
            return future

    def behind(self, pages: Iterable[Page]) -> None:
        """Have the pages read when nobody waits for another, one by one."""
        allowed = [page for page in pages if self._upstream.trouble(page) is None]
        with self._lock:
            self._waiting |= dict.fromkeys(allowed)
            if self._waiting and not self._is_queued and not self._closing.is_set():
                self._is_queued = True
                self._thread.submit(self._next)

    def now(self, page: Page, *, always: bool, patience: float) -> Listing:
        """Return the page's listing, read after what is being read; see `Upstream.update`.

        Raises:
            UpstreamError: It could not be read.

        """
        update = self._upstream.update
        return self._thread.submit(update, page, always=always, patience=patience).result()

    def _ended(self, page: Page, future: Future[Listing]) -> None:
        with self._lock:
            self._awaited.pop(page, None)
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, UpstreamError):
            log.error("reading %s broke", page, exc_info=error)
        if error is None and page.kind is Kind.DAY and not future.cancelled():
            self.behind(self._due_days())

    def _next(self) -> None:
        """Read one page of those that wait; then queue up again, behind what is waited for."""
        with self._lock:
            page = next(iter(self._waiting))
            del self._waiting[page]
        more: Iterable[Page] = ()
        try:
            self._update(page)
            more = self._due_days() if page.kind is Kind.DAY else ()
        except UpstreamError as error:
            log.debug("%s stays as it is: %s", page, error)
        except Exception:
            log.exception("reading %s broke", page)
        with self._lock:
            self._is_queued = False
        self.behind(more)

    def _update(self, page: Page) -> Listing:
        adhoc = page.kind is Kind.SEARCH and page not in self._own_searches
        return self._upstream.update(page, adhoc=adhoc)
