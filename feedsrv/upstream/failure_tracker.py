"""Failures of pages, and of upstream as a whole: what may be fetched again, and when."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from feedsrv.errors import FetchError, UpstreamError
from feedsrv.models import Failure, Kind, Page
from feedsrv.storage.repository import Repository
from feedsrv.upstream.events import EventEmitter, FetchFailed
from feedsrv.upstream.policy import is_backing_off, next_failure

log = logging.getLogger(__name__)

#: After this time, whether upstream still hangs is unknown. The longest back-off is half of it.
_MAX_HANG_AGE = timedelta(hours=1)
#: Consecutive failures of different pages that count as an outage of upstream as a whole.
_OUTAGE_THRESHOLD = 2
#: The reason of a failure that is none: upstream works, and allows no more requests for a while.
RATE_LIMIT_REASON = "upstream's rate limit is used up"


@dataclass(kw_only=True, eq=False)
class FailureTracker:
    """Records failures to fetch pages. Safe for threads and processes."""

    repository: Repository
    events: EventEmitter
    #: The clock (UTC).
    now: Callable[[], datetime]
    #: Returns a random number from 0 to 1.
    chance: Callable[[], float]

    def blocking_failure(self, page: Page) -> Failure | None:
        """Return the failure that forbids fetching the page now; None where it may be fetched."""
        now = self.now()
        failure, outage = self.repository.get_failure(page), self.repository.get_failure(None)
        if is_backing_off(failure, now):
            return failure
        if outage is not None and outage.count >= _OUTAGE_THRESHOLD and is_backing_off(outage, now):
            return outage
        return None

    def seconds_until_retry(self, page: Page) -> float:
        """Return for how long the page may not be fetched."""
        failure = self.blocking_failure(page)
        return (failure.retry_at - self.now()).total_seconds() if failure is not None else 0.0

    def is_hanging(self) -> bool:
        """Return whether upstream as a whole does not respond: then nobody waits for it."""
        outage = self.repository.get_failure(None)
        if outage is None or not outage.timed_out:
            return False
        return self.now() - outage.at < _MAX_HANG_AGE

    def record_hang(self) -> None:
        """Record that upstream has taken as long as a reader waits."""
        known, now = self.repository.get_failure(None), self.now()
        if known is None:
            reason = "timed out"
            known = Failure(reason=reason, count=1, at=now, retry_at=now, since=now)
        if not known.timed_out:
            hang = msgspec.structs.replace(known, at=now, timed_out=True)
            self.repository.save_failure(None, hang)

    def record_failure(self, page: Page, error: UpstreamError, previous: Failure | None) -> None:
        """Record that the page failed; ``previous`` is upstream's failure before the request."""
        now, chance = self.now(), self.chance()
        failure = next_failure(self.repository.get_failure(page), error, now, chance)
        if page.kind is Kind.PAPER and error.is_not_found:
            failure = msgspec.structs.replace(failure, is_not_found=True)
        self.repository.save_failure(page, failure)
        # Logged once: retries go on for hours, and the recovery is logged too.
        is_new = failure.count == 1 and (previous is None or previous.count < _OUTAGE_THRESHOLD)
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "%s: fetch failed, retrying at %s UTC: %s",
            page,
            f"{failure.retry_at:%H:%M:%S}",
            error,
        )
        outage = None
        if isinstance(error, FetchError) and not failure.is_not_found:
            outage = self._record_outage(previous, error, now, chance)
        elif (hang := self.repository.get_failure(None)) is not None:  # there was a response
            self.repository.save_failure(None, msgspec.structs.replace(hang, timed_out=False))
        self.events.emit(FetchFailed(page, error, failure, outage))

    def _record_outage(
        self, previous: Failure | None, error: FetchError, now: datetime, chance: float
    ) -> Failure | None:
        """Count the failure against upstream as a whole; return it once it is an outage.

        A second page that fails in a row concerns all pages, and so does a Retry-After.
        """
        outage = next_failure(previous, error, now, chance, grace=_OUTAGE_THRESHOLD - 1)
        if error.retry_after:
            count = max(_OUTAGE_THRESHOLD, outage.count)
            outage = msgspec.structs.replace(outage, count=count)
        self.repository.save_failure(None, outage)
        return outage if outage.count >= _OUTAGE_THRESHOLD else None

    def log_recovery(self, page: Page) -> None:
        """Log that a page that failed, or upstream as a whole, works again."""
        failure = self.repository.get_failure(page) or self.repository.get_failure(None)
        # A single failure, or a spent rate limit, was not logged as an outage.
        if failure is not None and failure.since < failure.at:
            log.warning("%s: recovered, had failed since %s UTC", page, f"{failure.since:%F %T}")

    def pause_requests(self, retry_after: float) -> None:
        """Send nothing until upstream allows the next request."""
        now = self.now()
        failure = Failure(
            reason=RATE_LIMIT_REASON,
            count=_OUTAGE_THRESHOLD,
            at=now,
            retry_at=now + timedelta(seconds=retry_after),
            since=now,
        )
        self.repository.save_failure(None, failure)
