"""Close the digests of feeds, once for all processes, and return them."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from feedsrv.config import Config
from feedsrv.errors import QuotaExceededError
from feedsrv.feeds.client_quota import ClientQuota
from feedsrv.feeds.digest import close_periods, listed_periods
from feedsrv.feeds.metadata import feeds_id, feeds_title
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.models import DigestLog, Feed, Match, Period, StoredDays
from feedsrv.storage.repository import Repository


@dataclass(kw_only=True, eq=False)
class ClosedDigests:
    """The closed digests of each feed. Safe for threads and processes."""

    config: Config
    repository: Repository
    list_days: StoredListDays
    quota: ClientQuota
    #: The clock (UTC).
    now: Callable[[], datetime]

    def __post_init__(self) -> None:
        self._logs = self.repository.permanent_values("digests", DigestLog)

    def get(self, feeds: Iterable[Feed]) -> DigestLog | None:
        """Return the digests of the feeds together; None if none was ever closed.

        Raises:
            StoreError: The store fails, so that nobody knows.
        """
        return self._logs.get(feeds_id(feeds))

    def close_due_periods(
        self, feeds: Sequence[Feed], matches: Iterable[Match], days: StoredDays, client: str
    ) -> DigestLog:
        """Close the periods that are over, unless another process has; return all digests.

        Once served, a digest never changes: the first process that stores it decides. The feeds
        have the same ``digest``, and ``days`` is the window from before their papers were selected.
        The client's quota is charged for new digests; the server itself, an empty text, has none.

        Raises:
            StoreError: The store fails, so that nobody knows which digests there are.
        """
        period: Period = "day" if feeds[0].digest == "day" else "week"
        periods = listed_periods(days, period, self.list_days.unavailable_pages())
        title = feeds_title(feeds, demo=self.config.demo)

        def close(stored: DigestLog | None) -> DigestLog | None:
            return close_periods(stored or DigestLog(), matches, periods, title) or stored

        name = feeds_id(feeds)
        log = self._logs.get(name)
        if close(log) != log and self.repository.failure_state(self.now()) is None:
            with suppress(QuotaExceededError):  # then they come with a later request
                is_configured = all(feed.name in self.config.feeds for feed in feeds)
                if log is None and client and not is_configured:
                    self.quota.consume(client, self.now())  # they are stored for good
                log = self._logs.update(name, close)
        return log or DigestLog()
