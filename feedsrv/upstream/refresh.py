"""The data: papers, the listings they stand in, the feeds made of them. All of it frozen.

Dates are days of the UTC calendar; datetimes are aware and in UTC. Text has been cleaned when it
was read (`feedsrv.text`): one line where one line is meant, and no character that XML forbids.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from feedsrv.config import Config
from feedsrv.errors import FetchError, ParseError, UpstreamBudgetError, UpstreamError
from feedsrv.models import Failure, Kind, Listing, Page, Paper
from feedsrv.monitoring.incidents import IncidentRecorder
from feedsrv.monitoring.metrics import Metrics
from feedsrv.storage.repository import Repository
from feedsrv.upstream.client import FetchResult, UpstreamClient, Validators
from feedsrv.upstream.parser import api_path, page_path, parse_api_response, parse_page
from feedsrv.upstream.policy import next_backoff, remaining_ttl


def merge_refresh(kept: Listing | None, fresh: Listing) -> Listing:
    """Return the listing to keep after ``fresh`` was read where ``kept`` lay.

    A paper whose title or abstract changed is marked as revised at the moment it was read. A day's
    list only grows: early in the day it is partial, and a list shorter than the one kept is a
    fault, so both are united. Fuller readings win: cards know less than data.
    """
    if kept is None:
        return fresh
    before = {paper.id: paper for paper in kept.papers}
    papers = [_merge_paper(before.get(paper.id), paper, fresh) for paper in fresh.papers]
    if fresh.page.kind is Kind.DAY:
        seen = {paper.id for paper in papers}
        papers += [paper for paper in kept.papers if paper.id not in seen]
    return msgspec.structs.replace(
        fresh,
        papers=tuple(papers),
        previous=fresh.previous_day or kept.previous_day,
        next=fresh.next_day or kept.next_day,
    )


def _merge_paper(kept: Paper | None, fresh: Paper, listing: Listing) -> Paper:
    if kept is None:
        return fresh
    if listing.source == "cards":
        # Cards shorten abstracts and leave authors out; only their counters are news.
        return msgspec.structs.replace(
            kept,
            upvotes=fresh.upvotes,
            comments=fresh.comments or kept.comments,
            stars=fresh.stars or kept.stars,
        )
    if kept.listed:
        # The day on which it was first listed is its date for ever.
        fresh = msgspec.structs.replace(fresh, listed=kept.listed)
    if (kept.title, kept.abstract) == (fresh.title, fresh.abstract):
        return msgspec.structs.replace(fresh, revised=kept.revised)
    if not kept.abstract or not kept.authors:
        # The kept copy came from cards: a fuller reading is no revision.
        return fresh
    return msgspec.structs.replace(fresh, revised=listing.fetched_at)


log = logging.getLogger(__name__)

#: The page has so much of the deadline, so that the API has a chance when the page hangs.
_PAGE_DEADLINE_SHARE = 0.7
#: Seconds between two looks at a lease that another process holds.
_LEASE_POLL_SECONDS = 0.05
#: Failures of different pages in a row after which upstream as a whole is left alone.
_OUTAGE_THRESHOLD = 2


class Refresher:
    """Reads pages and keeps their listings.

    Args:
        config: The settings.
        fetcher: Asks.
        store: Keeps.
        metrics: Counts.
        owner: A name that no other process and no other upstream of this process has.
        now: The clock.
        sleep: Waits so many seconds; returns True where it is no use to wait for more.
        chance: Gives a number from 0 to 1.

    """

    def __init__(
        self,
        config: Config,
        fetcher: UpstreamClient,
        store: Repository,
        metrics: Metrics,
        *,
        owner: str,
        now: Callable[[], datetime],
        sleep: Callable[[float], object],
        chance: Callable[[], float],
    ) -> None:
        self._config = config
        self._fetcher = fetcher
        self._store = store
        self._metrics = metrics
        self._watch = IncidentRecorder(store, now)
        self._owner = owner
        self._now = now
        self._sleep = sleep
        self._chance = chance
        #: When an ad-hoc search may next be made, as far as is known: not before.
        self._adhoc_from = datetime.min.replace(tzinfo=UTC)

    def current_failure(self, page: Page) -> Failure | None:
        """Return why the page is not asked for now; None where it may be."""
        now = self._now()
        of_page, of_all = self._store.get_failure(page), self._store.get_failure(None)
        if of_page is not None and of_page.retry_at > now:
            return of_page
        if of_all is not None and of_all.retry_at > now and of_all.count >= _OUTAGE_THRESHOLD:
            return of_all
        return None

    def refresh(
        self, page: Page, *, adhoc: bool = False, always: bool = False, patience: float = 0
    ) -> Listing:
        """Return the page's listing, read now unless that was done since it was asked for.

        Args:
            page: The page.
            adhoc: Whether it searches for a keyword that no configured feed has.
            always: Read it even where what is kept is fresh, or a failure says not yet.
            patience: Seconds to wait for a turn, beyond those of a deadline.

        Raises:
            UpstreamError: It could not be read.

        """
        patient = self._now() + timedelta(seconds=self._config.deadline + patience)
        if adhoc and self._adhoc_from > patient:
            raise self._budget_error(page, self._adhoc_from)  # as the store would say, asked thrice
        with self._hold_lease(page, patient):
            now = self._now()
            kept = self._store.get_listing(page)
            if kept is not None and not always and remaining_ttl(page, kept, now) > timedelta(0):
                return kept
            trouble = self.current_failure(page)
            if trouble is not None and not always:
                wait = (trouble.retry_at - now).total_seconds()
                raise FetchError(page_path(page), trouble.reason, wait)
            try:
                fresh, wait = self._fetch_listing(page, kept, adhoc=adhoc, patient=patient)
            except UpstreamBudgetError:
                raise  # nothing was asked, so nothing failed
            except UpstreamError as error:
                self._record_failure(page, error)
                raise
            except Exception:
                # A page that breaks the reading of it is not asked for again at each request.
                self._record_failure(
                    page, ParseError(page_path(page), "an unexpected error, told in the log")
                )
                raise
            listing = self._save(page, fresh)
            if wait:
                self._honour_rate_limit(wait)
            return listing

    def _save(self, asked: Page, fresh: Listing) -> Listing:
        for skipped in fresh.skipped:
            log.warning("%s: left out %s", fresh.page, skipped)
        self._log_recovery(asked)
        listing = merge_refresh(self._store.get_listing(fresh.page), fresh)
        self._store.save_listing(listing, asked)
        self._metrics.count_refresh(asked.kind, fresh.source)
        self._watch.read(asked, whole=fresh.source == "data")
        log.info("%s: %d papers", listing.page, len(listing.papers))
        return listing

    def _log_recovery(self, page: Page) -> None:
        """Tell that what failed, and was told once, is over."""
        before = self._store.get_failure(page) or self._store.get_failure(None)
        since = before.since if before is not None else None
        # One failure is no story, nor is an allowance that was used up.
        if before is not None and since is not None and since < before.at:
            log.warning("%s is read again, after failures since %s UTC", page, f"{since:%F %T}")

    def _honour_rate_limit(self, wait: float) -> None:
        """Leave upstream alone: this was the last request that it allows for now."""
        now = self._now()
        reason, retry_at = "upstream's allowance is used up for now", now + timedelta(seconds=wait)
        failure = Failure(
            reason=reason, count=_OUTAGE_THRESHOLD, at=now, retry_at=retry_at, since=now
        )
        self._store.save_failure(None, failure)

    def _record_failure(self, page: Page, error: UpstreamError) -> None:
        now, chance = self._now(), self._chance()
        failure = next_backoff(self._store.get_failure(page), error, now, chance)
        self._store.save_failure(page, failure)
        result = "unreadable" if isinstance(error, ParseError) else "failed"
        self._metrics.count_refresh(page.kind, result)
        before = self._store.get_failure(None)
        # Told once: what fails on is tried again for hours, and the end of it is told, too.
        is_new = failure.count == 1 and (before is None or before.count < _OUTAGE_THRESHOLD)
        level = logging.WARNING if is_new else logging.DEBUG
        again = f"{failure.retry_at:%H:%M:%S}"
        log.log(level, "%s was not read: %s; next try at %s UTC", page, error, again)
        if isinstance(error, FetchError):
            # A second page that fails in a row, or word to come back later, is about them all.
            spare = _OUTAGE_THRESHOLD - 1
            of_all = next_backoff(before, error, now, chance, spare=spare)
            if error.retry_after:
                of_all = msgspec.structs.replace(of_all, count=max(_OUTAGE_THRESHOLD, of_all.count))
            self._store.save_failure(None, of_all)
            self._watch.failing(
                page, failure, of_all if of_all.count >= _OUTAGE_THRESHOLD else None
            )

    # --- asking ----------------------------------------------------------------------------

    def _fetch_listing(
        self, page: Page, kept: Listing | None, *, adhoc: bool, patient: datetime
    ) -> tuple[Listing, float]:
        """Return what upstream says, by its page, else its JSON API; and seconds to wait now."""

        def turn() -> None:
            self._acquire_slot(page, adhoc=adhoc, patient=patient)

        turn()  # before the deadline begins: waiting for it is no fault of upstream's
        now, seconds = self._now(), self._config.deadline
        by, page_by = (
            self._fetcher.deadline_after(seconds),
            self._fetcher.deadline_after(seconds * _PAGE_DEADLINE_SHARE),
        )
        cards: Listing | None = None
        wait = 0.0
        error: UpstreamError
        try:
            answer = self._fetcher.get(
                page_path(page), page_by, acquire_slot=turn, validators=_validators(kept)
            )
            wait = answer.retry_after
            with self._keep_unparsed(f"{page.kind}.html", answer, now):
                listing = _parse(answer, page, kept, now)
            if listing.source == "data":
                return listing, wait
            # Cards know no authors and often no abstract; the API knows all that the data does.
            cards, error = listing, ParseError(answer.url, "only its cards can be read")
            self._store.unparsed_pages.save(f"{page.kind}.html", answer.body, now)
            self._watch.drifted(page, error.reason)
        except FetchError as failure:
            error, wait = failure, failure.retry_after or 0
        except ParseError as failure:
            self._watch.drifted(page, failure.reason)
            error = failure
        try:
            turn()
            answer = self._fetcher.get(api_path(page, now.date()), by, acquire_slot=turn)
            with self._keep_unparsed(f"{page.kind}.json", answer, now):
                listing = parse_api_response(answer.body, answer.url, asked=page, read_at=now)
        except UpstreamError as second:
            if isinstance(second, FetchError):
                wait = max(wait, second.retry_after or 0)
            if cards is not None:
                return cards, wait
            # The page's own failure says more; the API's stands behind it.
            raise FetchError(error.url, error.reason, wait) if wait else error from second
        log.warning("%s was read from the API: %s", page, error)
        return listing, max(wait, answer.retry_after)

    @contextmanager
    def _keep_unparsed(self, name: str, answer: FetchResult, now: datetime) -> Iterator[None]:
        """Keep an answer that cannot be read in a file of that name, for a bug report."""
        try:
            yield
        except Exception:
            self._store.unparsed_pages.save(name, answer.body, now)
            raise

    def _acquire_slot(self, page: Page, *, adhoc: bool, patient: datetime) -> None:
        """Wait until the next request may be made.

        Raises:
            SpentError: That is later than anybody has patience for.

        """
        spacing = timedelta(seconds=self._config.spacing)
        while moment := self._store.acquire_slot(self._now(), adhoc=adhoc, spacing=spacing):
            if moment > patient:
                if adhoc:
                    self._adhoc_from = moment
                raise self._budget_error(page, moment)
            wait = (moment - self._now()).total_seconds()
            self._wait(max(wait, _LEASE_POLL_SECONDS), page)
            self._acquire_lease(page, patient)  # it may have ended meanwhile
        self._metrics.count_upstream_request()

    def _budget_error(self, page: Page, until: datetime) -> UpstreamBudgetError:
        wait = (until - self._now()).total_seconds()
        return UpstreamBudgetError(
            page_path(page), "the allowance of requests is spent for now", wait
        )

    def _wait(self, seconds: float, page: Page) -> None:
        if self._sleep(seconds):
            raise UpstreamBudgetError(page_path(page), "the server is closing", wait=2)

    @contextmanager
    def _hold_lease(self, page: Page, patient: datetime) -> Iterator[None]:
        """Hold the right to ask: one request at a time, by all processes on one store."""
        self._acquire_lease(page, patient)
        try:
            yield
        finally:
            self._store.release_lease(self._owner)

    def _acquire_lease(self, page: Page, patient: datetime) -> None:
        """Take the right to ask, or hold it for longer.

        Raises:
            SpentError: Others held it for longer than anybody has patience for.

        """
        # As long as one page can take; a holder that dies blocks nobody for longer.
        length = timedelta(seconds=self._config.deadline + 2)
        while not self._store.acquire_lease(self._owner, self._now(), length):
            if self._now() >= patient:
                raise UpstreamBudgetError(
                    page_path(page), "others are asking, and it takes too long", wait=2
                )
            self._wait(_LEASE_POLL_SECONDS, page)


def _validators(kept: Listing | None) -> Validators | None:
    """Return the validators of a listing that was read in full from its own page."""
    if kept is None or kept.source != "data" or not (kept.etag or kept.last_modified):
        return None
    return Validators(page_path(kept.page), kept.etag, kept.last_modified)


def _parse(answer: FetchResult, asked: Page, kept: Listing | None, now: datetime) -> Listing:
    if answer.not_modified and kept is not None:
        return msgspec.structs.replace(kept, read_at=now, skipped=())
    listing = parse_page(answer.body, answer.url, asked=asked, read_at=now)
    return msgspec.structs.replace(listing, etag=answer.etag, modified=answer.last_modified)
