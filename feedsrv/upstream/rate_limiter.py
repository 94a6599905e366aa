"""When this process may send a request to upstream: the lease, and slots of the rate limit.

All processes that share a store take turns. A lease makes sure that only one of them talks to
upstream at a time; it expires by itself when its holder dies. The request log, also shared, keeps
their requests together within the rate limit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from feedsrv.config import Config
from feedsrv.errors import RequestNotSentError
from feedsrv.models import Page, RequestLog
from feedsrv.storage.repository import Repository
from feedsrv.upstream.events import EventEmitter, RequestSent
from feedsrv.upstream.paths import page_path
from feedsrv.upstream.policy import RATE_WINDOW, next_request_at, record_request

#: Seconds between two attempts to take a lease that another process holds.
_LEASE_POLL_SECONDS = 0.05
#: The longest time that anybody waits for the lease.
_MAX_WAIT = timedelta(minutes=15)


@dataclass(kw_only=True, eq=False)
class RateLimiter:
    """Gives the right to send requests. Safe for threads and processes."""

    config: Config
    repository: Repository
    #: Identifies this process as holder of the lease.
    owner: str
    events: EventEmitter
    #: The clock (UTC).
    now: Callable[[], datetime]
    #: Waits for a number of seconds; returns true when the server is shutting down.
    sleep: Callable[[float], object]

    def __post_init__(self) -> None:
        #: Earliest moment at which an ad-hoc search may be sent, as far as this process knows.
        self._adhoc_allowed_at = datetime.min.replace(tzinfo=UTC)
        # As long as one page can take: a dead holder blocks others no longer than that.
        self._lease_length = timedelta(seconds=self.config.deadline + 2)

    def adhoc_fetch_error(self, page: Page) -> RequestNotSentError | None:
        """Return the error of an ad-hoc page that nobody waits long enough for; None if unknown.

        The request log would say the same, at the price of three storage reads.
        """
        now, allowed_at = self.now(), self._adhoc_allowed_at
        give_up_at = now + timedelta(seconds=self.config.deadline)
        is_refused = give_up_at < allowed_at <= now + RATE_WINDOW
        return self._rate_limit_error(page, allowed_at) if is_refused else None

    @contextmanager
    def try_hold_lease(self) -> Iterator[bool]:
        """Hold the lease if no other process has it; yield whether that worked."""
        has_lease = self.repository.acquire_lease(self.owner, self.now(), self._lease_length)
        try:
            yield has_lease
        finally:
            if has_lease:
                self.release_lease()

    def try_reserve_spare_slot(self) -> bool:
        """Record a request now, if no other one has to wait for it; return whether it has not."""
        return self._reserve_slot(adhoc=False, is_spare=True) is None

    def wait_for_slot(self, page: Page, adhoc: bool, give_up_at: datetime) -> None:
        """Wait until the next request may be sent, but not for longer than the caller waits."""
        while slot := self._reserve_slot(adhoc=adhoc):
            if slot > give_up_at:
                if adhoc:
                    self._adhoc_allowed_at = slot
                raise self._rate_limit_error(page, slot)
            seconds = (slot - self.now()).total_seconds()
            self.wait(max(seconds, _LEASE_POLL_SECONDS), page)
            self.acquire_lease(page, give_up_at)  # it may have expired meanwhile

    def _reserve_slot(self, *, adhoc: bool, is_spare: bool = False) -> datetime | None:
        """Record a request now and return None, or return when one will be allowed."""
        now, spacing = self.now(), timedelta(seconds=self.config.spacing)
        slot = now

        def reserve(request_log: RequestLog) -> RequestLog | None:
            nonlocal slot
            slot = next_request_at(
                request_log, now, adhoc=adhoc, spacing=spacing, is_spare=is_spare
            )
            return record_request(request_log, now, adhoc=adhoc) if slot <= now else None

        self.repository.update_request_log(reserve)
        if slot > now:
            return slot
        self.events.emit(RequestSent())
        return None

    def _rate_limit_error(self, page: Page, until: datetime) -> RequestNotSentError:
        retry_after = (until - self.now()).total_seconds()
        return RequestNotSentError(page_path(page), "the request budget is used up", retry_after)

    def wait(self, seconds: float, page: Page) -> None:
        """Wait; raise RequestNotSentError where the server is shutting down."""
        if self.sleep(seconds):
            raise RequestNotSentError(page_path(page), "the server is shutting down", 2)

    def acquire_lease(
        self, page: Page, give_up_at: datetime, is_awaited: Callable[[], bool] = lambda: False
    ) -> None:
        """Take or extend the lease: one request at a time among all processes on one store."""
        while not self.repository.acquire_lease(
            self.owner, self.now(), self._lease_length, is_awaited=is_awaited()
        ):
            if not self.now() < give_up_at < self.now() + _MAX_WAIT:  # or the clock was set back
                reason = "another process is fetching and takes too long"
                raise RequestNotSentError(page_path(page), reason, 2)
            self.wait(_LEASE_POLL_SECONDS, page)

    def release_lease(self) -> None:
        """End the lease, if this process still has it."""
        self.repository.release_lease(self.owner)
