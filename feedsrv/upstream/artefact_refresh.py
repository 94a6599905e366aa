"""Fetch which models, datasets and Spaces cite a paper: one request for each paper, last of all.

::

    papers ── never checked: the newest first ──────┐
       └───── due: the oldest check first ──────────┴── may a request be sent? ── stored

A request is sent only when nothing else is to be fetched, no other request has to wait, and there
were few of these lately. Readers do not notice a failure, so nothing but the back-off records it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import msgspec

from feedsrv.errors import FetchError, UpstreamError
from feedsrv.models import ArtefactRecord, Kind, Page, Paper
from feedsrv.storage.clock_skew import is_future
from feedsrv.storage.repository import Repository
from feedsrv.upstream.artefact_json import parse_artefacts
from feedsrv.upstream.client import FetchResult, UpstreamClient
from feedsrv.upstream.failure_tracker import RATE_LIMIT_REASON, FailureTracker
from feedsrv.upstream.fetch import start_request
from feedsrv.upstream.paths import api_path
from feedsrv.upstream.policy import RATE_WINDOW, next_failure, requests_left
from feedsrv.upstream.rate_limiter import RateLimiter

#: The key of the failures of all these requests: one that fails makes the others wait.
ARTEFACT_FAILURE_KEY = Page(Kind.PAPER)
#: Time between two checks of a paper: of the last seven days, which gets most artefacts, or older.
_NEW_PAPER_AGE = timedelta(days=7)
_NEW_PAPER_TTL, _OLD_PAPER_TTL = timedelta(days=1), timedelta(days=7)
#: How many papers all processes together may check in a time.
_REQUEST_LIMITS = ((RATE_WINDOW, 20), (timedelta(days=1), 1500))
#: Seconds for one request.
_MAX_SECONDS = 4.0
#: Seconds between two looks at whether something else is to be fetched.
_POLL_SECONDS = 0.1
#: Requests in five minutes that are left to lists and readers.
_MIN_REQUESTS_LEFT = 10
#: Seconds to wait for requests that go first, for the budget or an upstream that hangs, and at most
#: after a failure.
_SHORT_PAUSE, _LONG_PAUSE, _MAX_PAUSE = 2.0, 30.0, 300.0

# --- which paper, and when -----------------------------------------------------------------------


def next_paper(
    papers: Sequence[Paper], records: Mapping[str, ArtefactRecord], now: datetime
) -> str | None:
    """Return the id of the paper to check, of papers newest first; None if no check is due."""
    due: list[tuple[datetime, str]] = []
    last_old_day = (now - _NEW_PAPER_AGE).date()
    for paper in papers:
        record = records.get(paper.id)
        if record is None or is_future(record.checked_at, now):
            return paper.id
        is_new = (paper.listed or paper.submitted) > last_old_day
        if record.checked_at + (_NEW_PAPER_TTL if is_new else _OLD_PAPER_TTL) <= now:
            due.append((record.checked_at, paper.id))
    return min(due)[1] if due else None


def next_check_at(checks: Iterable[datetime], now: datetime) -> datetime:
    """Return when the next paper may be checked, after the last check of each: now, or later."""
    recent = sorted(each for each in checks if each <= now)
    slots = [now]
    for window, limit in _REQUEST_LIMITS:
        if len(recent) >= limit:
            slots.append(recent[-limit] + window)
    return max(slots)


# --- fetching ------------------------------------------------------------------------------------


@dataclass(kw_only=True, eq=False)
class ArtefactRefresher:
    """Checks papers and stores the results. Safe for processes."""

    client: UpstreamClient
    repository: Repository
    #: Returns the papers to check, newest first.
    papers: Callable[[], Sequence[Paper]]
    rate_limiter: RateLimiter
    failures: FailureTracker
    #: The clock (UTC).
    now: Callable[[], datetime]
    #: Returns a random number from 0 to 1.
    chance: Callable[[], float]

    def refresh_next(self, is_interrupted: Callable[[], bool] = lambda: False) -> float | None:
        """Check the paper that is due next, if a request may be sent now.

        Args:
            is_interrupted: Returns whether the request must be given up for another one.

        Returns:
            The seconds after which to call again; None if nothing is due.
        """
        if pause := self._pause_seconds():
            return pause
        if self._due_paper() is None:
            return None
        with self.rate_limiter.try_hold_lease() as has_lease:
            # Another process may have checked it meanwhile.
            paper_id = self._due_paper() if has_lease and not self._pause_seconds() else None
            if paper_id is None or not self.rate_limiter.try_reserve_spare_slot():
                return _SHORT_PAUSE
            self._fetch(paper_id, is_interrupted)
        return self.rate_limiter.config.spacing

    def _due_paper(self) -> str | None:
        return next_paper(self.papers(), self.repository.get_artefacts().records, self.now())

    def _pause_seconds(self) -> float:
        """Return for how many seconds no request may be sent."""
        now, records = self.now(), self.repository.get_artefacts().records
        allowed_at = next_check_at((each.checked_at for each in records.values()), now)
        seconds = max(
            (allowed_at - now).total_seconds(),
            self.failures.seconds_until_retry(ARTEFACT_FAILURE_KEY),
        )
        left = requests_left(self.repository.get_request_log(), now)
        if self.failures.is_hanging() or left <= _MIN_REQUESTS_LEFT:
            seconds = max(seconds, _LONG_PAUSE)
        return min(seconds, _MAX_PAUSE)

    def _fetch(self, paper_id: str, is_interrupted: Callable[[], bool]) -> None:
        now = self.now()
        path = api_path(Page(Kind.PAPER, paper_id), now.date())
        deadline = self.client.deadline_after(_MAX_SECONDS)
        request = start_request(
            partial(self.client.get, path, deadline, acquire_slot=self._follow_redirect)
        )
        while not wait([request], _POLL_SECONDS).done:
            if is_interrupted():
                self.client.abort()
                # The back-off keeps a slow upstream from getting the same request again and again.
                self._save_failure(FetchError(path, "another request goes first"), now)
                return
        try:
            result: FetchResult = request.result()
            record = parse_artefacts(result.body, result.url, paper_id=paper_id, checked_at=now)
        except UpstreamError as error:
            record = self._failed_record(paper_id, error, now)
        else:
            self._save_success(result, now)
        self.repository.save_artefacts(paper_id, record)

    def _follow_redirect(self) -> None:
        if not self.rate_limiter.try_reserve_spare_slot():
            raise FetchError(
                api_path(ARTEFACT_FAILURE_KEY, self.now().date()), "a redirect too many"
            )

    def _save_success(self, result: FetchResult, now: datetime) -> None:
        if result.retry_after:
            self._save_failure(FetchError(result.url, RATE_LIMIT_REASON, result.retry_after), now)
        elif self.repository.get_failure(ARTEFACT_FAILURE_KEY) is not None:
            self.repository.clear_failure(ARTEFACT_FAILURE_KEY, now)

    def _failed_record(self, paper_id: str, error: UpstreamError, now: datetime) -> ArtefactRecord:
        """Return the record of a paper that has none at upstream, or that could not be fetched.

        Its next check is due as late as after a success: a paper that always fails delays no other.
        """
        if error.is_not_found:
            return ArtefactRecord(now)
        self._save_failure(error, now)
        known = self.repository.get_artefacts().records.get(paper_id)
        return msgspec.structs.replace(known or ArtefactRecord(now), checked_at=now)

    def _save_failure(self, error: UpstreamError, now: datetime) -> None:
        previous = self.repository.get_failure(ARTEFACT_FAILURE_KEY)
        failure = next_failure(previous, error, now, self.chance())
        self.repository.save_failure(ARTEFACT_FAILURE_KEY, failure)
