"""Fetch the papers that queries compare others with (``like:``)."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from feedsrv.errors import QueryError
from feedsrv.feeds.client_quota import ClientQuota
from feedsrv.feeds.likes import Likes
from feedsrv.feeds.source_fetcher import Fetches
from feedsrv.feeds.sources import seed_pages
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.models import Feed
from feedsrv.search.query import Query, iter_likes
from feedsrv.storage.repository import Repository
from feedsrv.upstream.refresh import Refresher
from feedsrv.upstream.scheduler import Scheduler

#: Papers to compare with that a request waits for: as many as fit into the deadline. Those of a
#: long list are fetched later.
_MAX_AWAITED_SEEDS = 4


class SeedFetcher:
    """Fetches papers to compare others with, once. Safe for threads.

    Args:
        repository: Stores failures.
        likes: Stores the papers.
        refresher: Knows what may be fetched now.
        scheduler: Fetches in the background.
        list_days: The window, which may have the papers.
        quota: Of new keywords, for each client.
        now: The clock (UTC).

    """

    def __init__(
        self,
        repository: Repository,
        likes: Likes,
        *,
        refresher: Refresher,
        scheduler: Scheduler,
        list_days: StoredListDays,
        quota: ClientQuota,
        now: Callable[[], datetime],
    ) -> None:
        self._repository = repository
        self._likes = likes
        self._refresher = refresher
        self._scheduler = scheduler
        self._list_days = list_days
        self._quota = quota
        self._now = now

    def start_fetches(self, feeds: Iterable[Feed], client: str) -> Fetches:
        """Start to fetch the papers that are unknown; return the fetches to wait for.

        Raises:
            QuotaExceededError: The client's quota of new keywords is used up for now.

        """
        pages = dict.fromkeys(page for feed in feeds for page in seed_pages(feed))
        unknown = self._unknown_ids([page.key for page in pages])
        missing = [
            page
            for page in pages
            if page.key in unknown and self._refresher.blocking_failure(page) is None
        ]
        for page in missing if client else ():
            if self._scheduler.is_new_adhoc(page):
                self._quota.consume(client, self._now())
        awaited, others = missing[:_MAX_AWAITED_SEEDS], missing[_MAX_AWAITED_SEEDS:]
        fetches = {page: self._scheduler.fetch_for_request(page) for page in awaited}
        self._scheduler.refresh_in_background(others)
        return fetches

    def raise_if_not_found(self, feed: Feed) -> None:
        """Check that upstream has the papers that the feed's query names.

        A library may have papers that upstream does not have.

        Raises:
            QueryError: Upstream says that it does not have one.

        """
        for page in seed_pages(feed) if not feed.library else ():
            failure = self._repository.get_failure(page)
            if failure is not None and failure.is_not_found:
                reason = f"Hugging Face has no paper {page.key}"
                text = feed.query if page.key in feed.query else feed.narrowed_by
                raise QueryError(text, max(0, text.find(page.key)), reason)

    def lacks_seeds(self, queries: Iterable[Query]) -> bool:
        """Return whether a part of the queries has no paper to compare others with."""
        likes = [like for query in queries for like in iter_likes(query)]
        unknown = self._unknown_ids([paper_id for like in likes for paper_id in like.ids])
        return any(unknown.issuperset(like.ids) for like in likes)

    def _unknown_ids(self, paper_ids: Sequence[str]) -> frozenset[str]:
        if not paper_ids:
            return frozenset()
        window = self._list_days.search_index()
        return frozenset(each for each in paper_ids if self._likes.get_seed(each, window) is None)
