"""How this server is: what was read when, what is stale, what fails. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from feedsrv import __version__
from feedsrv.config import Config
from feedsrv.feeds.selection import Selector, Window, effective_sources, search_terms
from feedsrv.models import (
    Failure,
    Feed,
    Incidents,
    Kind,
    ListDays,
    Listing,
    Page,
    RequestLog,
    pages_covering,
)
from feedsrv.search.index import Index
from feedsrv.storage.disk import UnparsedPage
from feedsrv.storage.repository import Repository
from feedsrv.upstream.policy import MAX_REQUESTS, remaining_ttl, requests_left, ttl

State = Literal["fresh", "stale", "unread"]


class PageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One page of upstream, as it is kept."""

    page: Page
    state: State
    papers: int = 0
    read_at: datetime | None = None
    #: Since when it should have been read again.
    stale_since: datetime | None = None
    #: Which part of upstream's answer it was read from; empty where it was not.
    source: str = ""
    #: Papers that could not be read.
    skipped: int = 0
    failure: Failure | None = None


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The store."""

    bytes: int
    #: On what it is, or in what.
    where: str = "on disk"
    #: Why nothing can be kept, and since when; empty while it can.
    trouble: str = ""
    since: datetime | None = None


class RequestBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The requests to upstream that are left of those allowed in five minutes."""

    left: int
    most: int = MAX_REQUESTS


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How this server is at one moment."""

    version: str
    at: datetime
    #: How upstream as a whole fails; None where it does not.
    failure: Failure | None
    #: The window of list days, newest first.
    days: tuple[PageStatus, ...]
    #: The week's list, the month's and the trending one.
    lists: tuple[PageStatus, ...]
    #: The searches of the configured feeds.
    searches: tuple[PageStatus, ...]
    allowance: RequestBudget
    store: StoreStatus
    #: The files of answers that could not be read, and when they came.
    unreadable: tuple[tuple[str, datetime], ...] = ()

    def failing(self) -> tuple[PageStatus, ...]:
        """Return the pages that could not be read when they were last asked for."""
        return tuple(row for row in (*self.days, *self.lists, *self.searches) if row.failure)


def build_status(
    *,
    version: str,
    now: datetime,
    days: ListDays,
    searches: Iterable[Page],
    kept: Callable[[Page], Listing | None],
    failure: Callable[[Page | None], Failure | None],
    turns: RequestLog,
    store: StoreStatus,
    unreadable: Iterable[tuple[str, datetime]] = (),
) -> Status:
    """Return how the server is.

    Args:
        version: The program's.
        now: The moment.
        days: The window of list days.
        searches: The pages that the configured feeds search.
        kept: Returns what is kept of a page.
        failure: Returns how a page failed, or upstream as a whole.
        turns: The requests of late.
        store: How large the store is, and whether it works.
        unreadable: The files of answers that could not be read, and when they came.

    """

    def row(page: Page, listing: Listing | None) -> PageStatus:
        return _page_status(page, listing, failure(page), now)

    today = now.date()
    weeks, months = pages_covering(Kind.WEEK, today, 8), pages_covering(Kind.MONTH, today, 32)
    # Until this week has a list, last week's is what upstream gives for it.
    lists = [_first_kept(pages, kept) for pages in (weeks, months, (Page(Kind.TRENDING),))]
    return Status(
        version=version,
        at=now,
        failure=failure(None),
        days=tuple(row(*each) for each in days),
        lists=tuple(row(*each) for each in lists),
        searches=tuple(row(page, kept(page)) for page in dict.fromkeys(searches) if page.key),
        allowance=RequestBudget(left=requests_left(turns, now)),
        store=store,
        unreadable=tuple(unreadable),
    )


def _first_kept(
    pages: Iterable[Page], kept: Callable[[Page], Listing | None]
) -> tuple[Page, Listing | None]:
    """Return the first page that is kept, else the first."""
    pages = tuple(pages)
    return next(((page, found) for page in pages if (found := kept(page))), (pages[0], None))


def _page_status(
    page: Page, listing: Listing | None, failure: Failure | None, now: datetime
) -> PageStatus:
    if listing is None:
        return PageStatus(page=page, state="unread", failure=failure)
    age = remaining_ttl(page, listing, now)
    is_fresh = age > timedelta(0)
    return PageStatus(
        page=listing.page if page.kind is Kind.DAY else page,
        state="fresh" if is_fresh else "stale",
        papers=len(listing.papers),
        read_at=listing.fetched_at,
        stale_since=None if is_fresh else listing.fetched_at + ttl(page, now.date()),
        source=listing.source,
        skipped=len(listing.skipped),
        failure=failure,
    )


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
        store: Repository,
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
        if not self._window.is_current(days):
            lists = (listing for _, listing in days if listing is not None)
            self._window = Window(days, self._selector.index(lists))
        self._bring_up_to_date()
        return self._window

    def _days(self) -> ListDays:
        return self._store.window(self._now().date(), self._config.history_days)

    def count_older(self, query: str) -> int | None:
        """Return how many papers beyond the window a kept search knows; None where none is kept."""
        feed = Feed(name="", title="", query=query, sources=("search",))
        kept = [
            self._store.get_listing(Page(Kind.SEARCH, search_terms(feed)))
            for _ in effective_sources(feed)
        ]
        if not kept or kept[0] is None:
            return None
        found = self._selector.select(feed, [kept[0]]).papers
        return sum(self._window.index.get(paper.id) is None for paper in found)

    def has_data(self) -> bool:
        """Tell whether any list is kept. What is, is then in memory, and arranged for queries."""
        index = self._selector.index(listing for _, listing in self._days() if listing is not None)
        return bool(index.papers) or self._store.get_listing(Page(Kind.TRENDING)) is not None

    def incidents(self) -> Incidents:
        """Return what failed for long, the latest first."""
        return self._store.get_incidents()

    def unparsed_pages(self) -> tuple[UnparsedPage, ...]:
        """Return the pages that could not be read, as files to attach to a bug report."""
        return self._store.unparsed_pages.list_all()

    def failure(self, feed: Feed) -> Failure | None:
        """Return how the feed's own search failed, or all of upstream, where it still does."""
        page = Page(Kind.SEARCH, search_terms(feed))
        of_search = self._store.get_failure(page) if "search" in effective_sources(feed) else None
        return of_search or self._store.get_failure(None)

    def status(self) -> Status:
        """Return how this server is. Upstream is not asked."""
        now = self._now()
        trouble = self._store.failure_state(now)
        return build_status(
            version=__version__,
            now=now,
            days=self._days(),
            searches=self._own,
            kept=self._store.get_listing,
            failure=self._store.get_failure,
            turns=self._store.get_request_log(),
            store=StoreStatus(
                bytes=self._store.size(),
                where=self._store.location,
                trouble=trouble.reason if trouble else "",
                since=trouble.since if trouble else None,
            ),
            unreadable=[(each.path.name, each.received_at) for each in self.unparsed_pages()],
        )
