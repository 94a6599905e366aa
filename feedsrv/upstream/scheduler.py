"""The one thread that reads pages: what somebody waits for first, all the rest behind it.

One thread, because upstream is asked one thing at a time; and each page is read once, however many
requests want it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, RLock

from feedsrv.errors import UpstreamBudgetError, UpstreamError
from feedsrv.models import Kind, Listing, Page
from feedsrv.upstream.refresh import Refresher

log = logging.getLogger(__name__)

#: Pages that can be waited for at the same time: about what can be read within a deadline. Who asks
#: for one more gets it later, and holds no thread of the server in the meantime.
_MAX_AWAITED = 8
_MAX_QUEUED = 300


class Scheduler:
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
        upstream: Refresher,
        own_searches: frozenset[Page],
        due_days: Callable[[], Iterable[Page]],
        closing: Event,
    ) -> None:
        self._upstream = upstream
        self._own_searches = own_searches
        self._due_days = due_days
        self._closing = closing
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upstream")
        # Reentrant: what a future tells when it is done may ask for more.
        self._lock = RLock()
        self._awaited: dict[Page, Future[Listing]] = {}
        self._waiting: dict[Page, None] = {}

    def close(self) -> None:
        """Finish the page that is being read, and drop those that wait."""
        self._closing.set()
        self._thread.shutdown(cancel_futures=True)
        for future in self._awaited.values():
            future.cancel()

    def submit(self, page: Page) -> Future[Listing]:
        """Return the reading of a page that somebody waits for, begun if it was not yet."""
        with self._lock:
            future = self._awaited.get(page)
            if future is None:
                future = Future()
                if len(self._awaited) >= _MAX_AWAITED:
                    self.refresh_in_background([page])
                    future.set_exception(
                        UpstreamBudgetError(str(page), "too many wait already", wait=30)
                    )
                    return future
                self._awaited[page] = future
                self._waiting.pop(page, None)
                self._schedule()
            return future

    def refresh_in_background(self, pages: Iterable[Page]) -> None:
        """Have the pages read when nobody waits for another, one by one."""
        # What waits already is looked up nowhere: many readers ask for the same few pages.
        for page in pages:
            if not self._is_scheduled(page) and self._upstream.current_failure(page) is None:
                with self._lock:
                    if not self._is_scheduled(page) and len(self._waiting) < _MAX_QUEUED:
                        self._waiting[page] = None
                        self._schedule()

    def is_new_search(self, page: Page) -> bool:
        """Tell whether the page searches for an ad-hoc keyword, and is not being read already."""
        return self._is_adhoc(page) and not self._is_scheduled(page)

    def _is_scheduled(self, page: Page) -> bool:
        with self._lock:
            return page in self._awaited or page in self._waiting

    def is_idle(self) -> bool:
        """Tell whether nothing is being read, and nothing waits."""
        with self._lock:
            return not self._awaited and not self._waiting

    def _schedule(self) -> None:
        """Have the thread take one more page."""
        if not self._closing.is_set():
            self._thread.submit(self._run_next)

    def _run_next(self) -> None:
        """Read the page that matters most: awaited before others, days before searches."""
        with self._lock:
            pages = list(self._awaited) or list(self._waiting)
            if not pages or self._closing.is_set():
                return
            page = min(pages, key=lambda page: page.kind is Kind.SEARCH)
        listing: Listing | None = None
        error: Exception | None = None
        try:
            listing = self._refresh(page)
            if page.kind is Kind.DAY:
                self.refresh_in_background(due for due in self._due_days() if due != page)
        except UpstreamError as failure:
            error = failure
            log.debug("%s stays as it is: %s", page, failure)
        except Exception as failure:
            error = failure
            log.exception("reading %s broke", page)
        with self._lock:
            future = self._awaited.pop(page, None)
            self._waiting.pop(page, None)
        if future is not None and error is not None:
            future.set_exception(error)
        elif future is not None and listing is not None:
            future.set_result(listing)

    def run(self, page: Page, *, always: bool, patience: float) -> Listing:
        """Return the page's listing, read after what is being read; see `Upstream.update`.

        Raises:
            UpstreamError: It could not be read.

        """
        update = self._upstream.refresh
        return self._thread.submit(update, page, always=always, patience=patience).result()

    def _refresh(self, page: Page) -> Listing:
        return self._upstream.refresh(page, adhoc=self._is_adhoc(page))

    def _is_adhoc(self, page: Page) -> bool:
        return page.kind is Kind.SEARCH and page not in self._own_searches
