"""The stored list days of the window, which keyword feeds cover."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from feedsrv.feeds.listing_search import ListingSearcher
from feedsrv.models import Page, StoredDays, list_day
from feedsrv.search.index import Index
from feedsrv.storage.clock_skew import is_future
from feedsrv.storage.repository import Repository
from feedsrv.upstream.policy import list_days

#: How long a list day fails before nobody waits for it.
_UNREADABLE_AFTER = timedelta(days=2)


@dataclass(kw_only=True, eq=False)
class StoredListDays:
    """The list days of the window and the index of their papers. Safe for threads."""

    repository: Repository
    searcher: ListingSearcher
    history_days: int
    #: The clock (UTC).
    now: Callable[[], datetime]

    def __post_init__(self) -> None:
        #: The window, the version of the store that it was made from, and when.
        self._cached: tuple[object, datetime, StoredDays] = (None, self.now(), ())

    def get(self) -> StoredDays:
        """Return the list days, newest first; the same object until something is stored."""
        now = self.now()
        key = self.repository.version(), now.date()
        cached_key, made_at, days = self._cached
        if key != cached_key or is_future(made_at, now):
            get_listing = self.repository.get_listing
            days = tuple(list_days(now.date(), self.history_days, get_listing))
            self._cached = key, now, days
        return days

    def search_index(self) -> Index:
        """Return the papers of the list days, indexed for searching."""
        listings = (listing for _, listing in self.get() if listing is not None)
        return self.searcher.index_for(listings)

    def is_complete(self) -> bool:
        """Return whether every list day was fetched, but for those that have failed for days."""
        unfetched = {page for page, listing in self.get() if listing is None}
        return not unfetched or unfetched <= self.unavailable_pages()

    def window_start(self) -> datetime:
        """Return the midnight of the oldest list day."""
        return datetime.combine(list_day(*self.get()[-1]), time(), UTC)

    def unavailable_pages(self) -> frozenset[Page]:
        """Return the list days that fail while upstream works, and have for days."""
        days = self.get()
        fetched_at = max((listing.fetched_at for _, listing in days if listing), default=None)
        failures = ((page, self.repository.get_failure(page)) for page, _ in days)
        return frozenset(
            page
            for page, failure in failures
            if failure is not None
            and fetched_at is not None
            and failure.at > fetched_at
            and failure.at - failure.since > _UNREADABLE_AFTER
        )
