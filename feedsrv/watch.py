"""What fails for long is kept, so that an operator's reader hears of it whenever it comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from feedsrv import outage
from feedsrv.freshness import Failure
from feedsrv.outage import Outages
from feedsrv.paper import Page
from feedsrv.store import Store


class Watch:
    """Is told of what is read and what fails. Safe for threads and processes.

    Args:
        store: Keeps what is known of outages.
        now: The clock.

    """

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def failing(self, page: Page, failure: Failure, of_all: Failure | None) -> None:
        """Take note that the page failed again, and how upstream as a whole fails, if it does."""
        now = self._now()
        self._note(partial(outage.failing, page=page, failure=failure, of_all=of_all, now=now))

    def drifted(self, page: Page, reason: str) -> None:
        """Take note that the page came without what should be in it."""
        self._note(partial(outage.drifted, page=page, reason=reason, now=self._now()))

    def read(self, page: Page, *, whole: bool) -> None:
        """Take note that the page was read; ``whole`` if from where it should be."""
        self._note(partial(outage.read, page=page, whole=whole, now=self._now()))

    def _note(self, change: Callable[[Outages], Outages]) -> None:
        # Nearly always there is nothing to write.
        known = self._store.outages()
        if change(known) is not known:
            self._store.change_outages(change)
