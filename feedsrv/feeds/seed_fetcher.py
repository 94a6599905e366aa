"""Fetch the papers that queries compare others with (``like:``)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from feedsrv.errors import QueryError
from feedsrv.feeds.client_quota import ClientQuota
from feedsrv.feeds.likes import Likes
from feedsrv.feeds.source_fetcher import Fetches
from feedsrv.feeds.sources import seed_pages
from feedsrv.models import Feed
from feedsrv.search.query import Query, iter_likes
from feedsrv.storage.repository import Repository
from feedsrv.upstream.failure_tracker import FailureTracker
from feedsrv.upstream.scheduler import Scheduler

#: Papers to compare with that a request waits for: as many as fit into the deadline. Those of a
#: long list are fetched later.
_MAX_AWAITED_SEEDS = 4


@dataclass(kw_only=True, eq=False)
class SeedFetcher:
    """Fetches papers to compare others with, once. Safe for threads."""

    repository: Repository
    likes: Likes
    failures: FailureTracker
    scheduler: Scheduler
    quota: ClientQuota
    #: The clock (UTC).
    now: Callable[[], datetime]

    def start_fetches(self, feeds: Iterable[Feed], client: str) -> Fetches:
        """Start to fetch the papers that are unknown; return the fetches to wait for.

        Raises:
            QuotaExceededError: The client's quota of new keywords is used up for now.
        """
        pages = dict.fromkeys(page for feed in feeds for page in seed_pages(feed))
        missing = [
            page
            for page in pages
            if self.likes.get_seed(page.key) is None and not self.failures.blocking_failure(page)
        ]
        for page in missing if client else ():
            if self.scheduler.is_new_adhoc(page):
                self.quota.consume(client, self.now())
        awaited, others = missing[:_MAX_AWAITED_SEEDS], missing[_MAX_AWAITED_SEEDS:]
        fetches = {page: self.scheduler.fetch_for_request(page) for page in awaited}
        self.scheduler.refresh_in_background(others)
        return fetches

    def raise_if_not_found(self, feed: Feed) -> None:
        """Check that upstream has the papers that the feed's query names.

        A library may have papers that upstream does not have.

        Raises:
            QueryError: Upstream says that it does not have one.
        """
        for page in seed_pages(feed) if not feed.library else ():
            failure = self.repository.get_failure(page)
            if failure is not None and failure.is_not_found:
                reason = f"Hugging Face has no paper {page.key}"
                text = feed.query if page.key in feed.query else feed.narrowed_by
                raise QueryError(text, max(0, text.find(page.key)), reason)

    def lacks_seeds(self, queries: Iterable[Query]) -> bool:
        """Return whether a part of the queries has no paper to compare others with."""
        likes = (like for query in queries for like in iter_likes(query))
        return any(all(self.likes.get_seed(each) is None for each in like.ids) for like in likes)
