"""What people want to know of a server at a glance: its window, its failures, its state.

Nothing here waits, and nothing here asks upstream for anything but the window's list days.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from feedsrv import __version__
from feedsrv.config import Config
from feedsrv.freshness import Days, Failure
from feedsrv.index import Index
from feedsrv.outage import Outages
from feedsrv.paper import Feed, Kind, Page
from feedsrv.reports import Unreadable
from feedsrv.selection import Selector
from feedsrv.shelf import Window, sources, words
from feedsrv.status import Disk, Status, status
from feedsrv.store import Store


class Overview:
    """Looks at what is kept.

    Args:
        config: The settings.
        store: What is kept.
        selector: Finds papers in it.
        own: The searches of the configured feeds.
        bring_up_to_date: Has the window's list days read that are due, behind this.
        now: The clock.

    """

    def __init__(
        self,
        config: Config,
        store: Store,
        selector: Selector,
        *,
        own: Collection[Page],
        bring_up_to_date: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._store = store
        self._selector = selector
        self._own = sorted(own, key=str)
        self._bring_up_to_date = bring_up_to_date
        self._now = now
        self._window = Window((), Index(()))

    def window(self) -> Window:
        """Return what is kept of the window. It waits for nothing, and nothing is searched for.

        The window is brought up to date behind it, as for any feed.
        """
        days = self._days()
        if not self._window.is_of(days):
            lists = (listing for _, listing in days if listing is not None)
            self._window = Window(days, self._selector.index(lists))
        self._bring_up_to_date()
        return self._window

    def _days(self) -> Days:
        return self._store.window(self._now().date(), self._config.history_days)

    def older(self, query: str) -> int | None:
        """Return how many papers beyond the window a kept search knows; None where none is kept."""
        feed = Feed(name="", title="", query=query, sources=("search",))
        kept = [self._store.listing(Page(Kind.SEARCH, words(feed))) for _ in sources(feed)]
        if not kept or kept[0] is None:
            return None
        found = self._selector.selected(feed, [kept[0]]).papers
        return sum(self._window.index.get(paper.id) is None for paper in found)

    def holds_any(self) -> bool:
        """Tell whether any list is kept. What is, is then in memory, and arranged for queries."""
        index = self._selector.index(listing for _, listing in self._days() if listing is not None)
        return bool(index.papers) or self._store.listing(Page(Kind.TRENDING)) is not None

    def outages(self) -> Outages:
        """Return what failed for long, the latest first."""
        return self._store.outages()

    def unreadable(self) -> tuple[Unreadable, ...]:
        """Return the pages that could not be read, as files to attach to a bug report."""
        return self._store.reports.all()

    def failure(self, feed: Feed) -> Failure | None:
        """Return how the feed's own search failed, or all of upstream, where it still does."""
        page = Page(Kind.SEARCH, words(feed))
        of_search = self._store.failure(page) if "search" in sources(feed) else None
        return of_search or self._store.failure(None)

    def status(self) -> Status:
        """Return how this server is. Upstream is not asked."""
        now = self._now()
        trouble = self._store.trouble(now)
        return status(
            version=__version__,
            now=now,
            days=self._days(),
            searches=self._own,
            kept=self._store.listing,
            failure=self._store.failure,
            turns=self._store.turns(),
            store=Disk(
                bytes=self._store.size(),
                where=self._store.where,
                trouble=trouble.reason if trouble else "",
                since=trouble.since if trouble else None,
            ),
            unreadable=[(each.path.name, each.at) for each in self.unreadable()],
        )
