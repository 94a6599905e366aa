"""One page of upstream, read and kept: with good manners, and once however many want it.

::

    a page ── whose turn is it? ── was it read meanwhile? ── may upstream be asked?
                                                                     │
        kept, joined to what was kept before ── read ── its page, else its API
                                                                     │
        the failure is kept, nothing else is lost ── no answer, or none that can be read

All processes that share a store take turns: a lease, which ends by itself when its holder dies, and
a record of the last requests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from feedsrv.config import Config
from feedsrv.errors import FetchError, PageError, SpentError, UpstreamError
from feedsrv.fetch import Fetched, Fetcher, Held
from feedsrv.freshness import Failure, failed, left
from feedsrv.huggingface import api_path, path, read, read_api
from feedsrv.metrics import Metrics
from feedsrv.paper import Listing, Page, succeed
from feedsrv.store import Store
from feedsrv.watch import Watch

log = logging.getLogger(__name__)

#: The page has so much of the deadline, so that the API has a chance when the page hangs.
_PAGE_SHARE = 0.7
#: Seconds between two looks at a lease that another process holds.
_GLANCE = 0.05
#: Failures of different pages in a row after which upstream as a whole is left alone.
_ENOUGH = 2


class Upstream:
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
        fetcher: Fetcher,
        store: Store,
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
        self._watch = Watch(store, now)
        self._owner = owner
        self._now = now
        self._sleep = sleep
        self._chance = chance
        #: When an ad-hoc search may next be made, as far as is known: not before.
        self._adhoc_from = datetime.min.replace(tzinfo=UTC)

    def trouble(self, page: Page) -> Failure | None:
        """Return why the page is not asked for now; None where it may be."""
        now = self._now()
        of_page, of_all = self._store.failure(page), self._store.failure(None)
        if of_page is not None and of_page.retry_at > now:
            return of_page
        if of_all is not None and of_all.retry_at > now and of_all.count >= _ENOUGH:
            return of_all
        return None

    def update(
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
            raise self._spent(page, self._adhoc_from)  # as the store would say, asked thrice
        with self._lease(page, patient):
            now = self._now()
            kept = self._store.listing(page)
            if kept is not None and not always and left(page, kept, now) > timedelta(0):
                return kept
            trouble = self.trouble(page)
            if trouble is not None and not always:
                wait = (trouble.retry_at - now).total_seconds()
                raise FetchError(path(page), trouble.reason, wait)
            try:
                fresh, wait = self._ask(page, kept, adhoc=adhoc, patient=patient)
            except SpentError:
                raise  # nothing was asked, so nothing failed
            except UpstreamError as error:
                self._failed(page, error)
                raise
            except Exception:
                # A page that breaks the reading of it is not asked for again at each request.
                self._failed(page, PageError(path(page), "an unexpected error, told in the log"))
                raise
            listing = self._kept(page, fresh)
            if wait:
                self._used_up(wait)
            return listing

    def _kept(self, asked: Page, fresh: Listing) -> Listing:
        for skipped in fresh.skipped:
            log.warning("%s: left out %s", fresh.page, skipped)
        self._recovered(asked)
        listing = succeed(self._store.listing(fresh.page), fresh)
        self._store.keep(listing, asked)
        self._metrics.refreshed(asked.kind, fresh.source)
        self._watch.read(asked, whole=fresh.source == "data")
        log.info("%s: %d papers", listing.page, len(listing.papers))
        return listing

    def _recovered(self, page: Page) -> None:
        """Tell that what failed, and was told once, is over."""
        before = self._store.failure(page) or self._store.failure(None)
        since = before.since if before is not None else None
        # One failure is no story, nor is an allowance that was used up.
        if before is not None and since is not None and since < before.at:
            log.warning("%s is read again, after failures since %s UTC", page, f"{since:%F %T}")

    def _used_up(self, wait: float) -> None:
        """Leave upstream alone: this was the last request that it allows for now."""
        now = self._now()
        reason, retry_at = "upstream's allowance is used up for now", now + timedelta(seconds=wait)
        failure = Failure(reason=reason, count=_ENOUGH, at=now, retry_at=retry_at, since=now)
        self._store.fail(None, failure)

    def _failed(self, page: Page, error: UpstreamError) -> None:
        now, chance = self._now(), self._chance()
        failure = failed(self._store.failure(page), error, now, chance)
        self._store.fail(page, failure)
        result = "unreadable" if isinstance(error, PageError) else "failed"
        self._metrics.refreshed(page.kind, result)
        before = self._store.failure(None)
        # Told once: what fails on is tried again for hours, and the end of it is told, too.
        is_new = failure.count == 1 and (before is None or before.count < _ENOUGH)
        level = logging.WARNING if is_new else logging.DEBUG
        again = f"{failure.retry_at:%H:%M:%S}"
        log.log(level, "%s was not read: %s; next try at %s UTC", page, error, again)
        if isinstance(error, FetchError):
            # A second page that fails in a row, or word to come back later, is about them all.
            spare = _ENOUGH - 1
            of_all = failed(before, error, now, chance, spare=spare)
            if error.wait:
                of_all = msgspec.structs.replace(of_all, count=max(_ENOUGH, of_all.count))
            self._store.fail(None, of_all)
            self._watch.failing(page, failure, of_all if of_all.count >= _ENOUGH else None)

    # --- asking ----------------------------------------------------------------------------

    def _ask(
        self, page: Page, kept: Listing | None, *, adhoc: bool, patient: datetime
    ) -> tuple[Listing, float]:
        """Return what upstream says, by its page, else its JSON API; and seconds to wait now."""

        def turn() -> None:
            self._turn(page, adhoc=adhoc, patient=patient)

        turn()  # before the deadline begins: waiting for it is no fault of upstream's
        now, seconds = self._now(), self._config.deadline
        by, page_by = self._fetcher.by(seconds), self._fetcher.by(seconds * _PAGE_SHARE)
        cards: Listing | None = None
        wait = 0.0
        error: UpstreamError
        try:
            answer = self._fetcher.get(path(page), page_by, turn=turn, held=_held(kept))
            wait = answer.wait
            with self._reported(f"{page.kind}.html", answer, now):
                listing = _read(answer, page, kept, now)
            if listing.source == "data":
                return listing, wait
            # Cards know no authors and often no abstract; the API knows all that the data does.
            cards, error = listing, PageError(answer.url, "only its cards can be read")
            self._store.reports.keep(f"{page.kind}.html", answer.body, now)
            self._watch.drifted(page, error.reason)
        except FetchError as failure:
            error, wait = failure, failure.wait or 0
        except PageError as failure:
            self._watch.drifted(page, failure.reason)
            error = failure
        try:
            turn()
            answer = self._fetcher.get(api_path(page, now.date()), by, turn=turn)
            with self._reported(f"{page.kind}.json", answer, now):
                listing = read_api(answer.body, answer.url, asked=page, read_at=now)
        except UpstreamError as second:
            if isinstance(second, FetchError):
                wait = max(wait, second.wait or 0)
            if cards is not None:
                return cards, wait
            # The page's own failure says more; the API's stands behind it.
            raise FetchError(error.url, error.reason, wait) if wait else error from second
        log.warning("%s was read from the API: %s", page, error)
        return listing, max(wait, answer.wait)

    @contextmanager
    def _reported(self, name: str, answer: Fetched, now: datetime) -> Iterator[None]:
        """Keep an answer that cannot be read in a file of that name, for a bug report."""
        try:
            yield
        except Exception:
            self._store.reports.keep(name, answer.body, now)
            raise

    def _turn(self, page: Page, *, adhoc: bool, patient: datetime) -> None:
        """Wait until the next request may be made.

        Raises:
            SpentError: That is later than anybody has patience for.

        """
        spacing = timedelta(seconds=self._config.spacing)
        while moment := self._store.turn(self._now(), adhoc=adhoc, spacing=spacing):
            if moment > patient:
                if adhoc:
                    self._adhoc_from = moment
                raise self._spent(page, moment)
            wait = (moment - self._now()).total_seconds()
            self._pause(max(wait, _GLANCE), page)
            self._hold(page, patient)  # it may have ended meanwhile
        self._metrics.asked()

    def _spent(self, page: Page, until: datetime) -> SpentError:
        wait = (until - self._now()).total_seconds()
        return SpentError(path(page), "the allowance of requests is spent for now", wait)

    def _pause(self, seconds: float, page: Page) -> None:
        if self._sleep(seconds):
            raise SpentError(path(page), "the server is closing", wait=2)

    @contextmanager
    def _lease(self, page: Page, patient: datetime) -> Iterator[None]:
        """Hold the right to ask: one request at a time, by all processes on one store."""
        self._hold(page, patient)
        try:
            yield
        finally:
            self._store.release(self._owner)

    def _hold(self, page: Page, patient: datetime) -> None:
        """Take the right to ask, or hold it for longer.

        Raises:
            SpentError: Others held it for longer than anybody has patience for.

        """
        # As long as one page can take; a holder that dies blocks nobody for longer.
        length = timedelta(seconds=self._config.deadline + 2)
        while not self._store.lease(self._owner, self._now(), length):
            if self._now() >= patient:
                raise SpentError(path(page), "others are asking, and it takes too long", wait=2)
            self._pause(_GLANCE, page)


def _held(kept: Listing | None) -> Held | None:
    """Return the validators of a listing that was read in full from its own page."""
    if kept is None or kept.source != "data" or not (kept.etag or kept.modified):
        return None
    return Held(path(kept.page), kept.etag, kept.modified)


def _read(answer: Fetched, asked: Page, kept: Listing | None, now: datetime) -> Listing:
    if answer.unchanged and kept is not None:
        return msgspec.structs.replace(kept, read_at=now, skipped=())
    listing = read(answer.body, answer.url, asked=asked, read_at=now)
    return msgspec.structs.replace(listing, etag=answer.etag, modified=answer.modified)
