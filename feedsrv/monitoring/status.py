"""The state of the server: what was fetched when, what is stale, what fails."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from feedsrv import __version__
from feedsrv.feeds.service import Service
from feedsrv.feeds.sources import candidate_pages, search_pages
from feedsrv.models import Failure, Feed, Listing, Page
from feedsrv.search.artefact_table import ArtefactTable
from feedsrv.storage.repository import Repository
from feedsrv.upstream.failure_tracker import RATE_LIMIT_REASON
from feedsrv.upstream.policy import MAX_REQUESTS, remaining_ttl, requests_left, ttl

# /status.json is these structs as JSON. Its keys are public, so a renamed field keeps its old key.

State = Literal["fresh", "stale", "unread"]

#: Pages for readers do not mention shorter outages: feeds are served from the store meanwhile.
MIN_OUTAGE = timedelta(hours=1)


class PageStatus(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"fetched_at": "read_at", "parsed_from": "source"},
):
    """The stored listing of one upstream page."""

    page: Page
    state: State
    papers: int = 0
    fetched_at: datetime | None = None
    #: When the listing expired; None while it is fresh.
    stale_since: datetime | None = None
    #: Which part of upstream's response the listing was parsed from; empty without a listing.
    parsed_from: str = ""
    #: How many papers could not be parsed.
    skipped: int = 0
    failure: Failure | None = None


class StoreStatus(
    msgspec.Struct, frozen=True, kw_only=True, rename={"location": "where", "error": "trouble"}
):
    """The size of the store and whether it can be written."""

    bytes: int
    #: The kind of backend, as in "stored on disk".
    location: str = "on disk"
    #: Why nothing can be stored, and since when; empty while the store works.
    error: str = ""
    since: datetime | None = None


class RequestBudget(
    msgspec.Struct, frozen=True, kw_only=True, rename={"remaining": "left", "limit": "most"}
):
    """How many requests to upstream are allowed in five minutes, and how many remain."""

    remaining: int
    limit: int = MAX_REQUESTS


class ArtefactStatus(msgspec.Struct, frozen=True):
    """How many papers were checked for artefacts that cite them, and when the last one was."""

    papers: int
    last_checked_at: datetime | None


class Status(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename={"request_budget": "allowance", "unparsed_pages": "unreadable"},
):
    """The state of the server at one moment."""

    version: str
    at: datetime
    #: How upstream as a whole fails; None while it works.
    failure: Failure | None
    #: The window of list days, newest first.
    days: tuple[PageStatus, ...]
    #: The lists of the week and the month, and the trending list.
    lists: tuple[PageStatus, ...]
    #: The searches of the configured feeds.
    searches: tuple[PageStatus, ...]
    request_budget: RequestBudget
    store: StoreStatus
    artefacts: ArtefactStatus
    #: Saved pages that could not be parsed: file name and time of the response.
    unparsed_pages: tuple[tuple[str, datetime], ...] = ()

    @property
    def outage(self) -> Failure | None:
        """How upstream as a whole fails; None while it works, or limits the rate of requests."""
        return None if _is_rate_limit(self.failure) else self.failure

    @property
    def is_rate_limited(self) -> bool:
        """Whether no request may be sent now, by upstream's limit or by ours."""
        is_paused = self.failure is not None and self.failure.retry_at > self.at
        return (is_paused and self.outage is None) or not self.request_budget.remaining

    @property
    def last_fetched_at(self) -> datetime | None:
        """When the last of all stored listings was fetched."""
        times = (page.fetched_at for page in (*self.days, *self.lists, *self.searches))
        return max(filter(None, times), default=None)

    def failing_pages(self) -> tuple[PageStatus, ...]:
        """Return the pages whose last fetch failed."""
        pages = (*self.days, *self.lists, *self.searches)
        return tuple(page for page in pages if page.failure)


def long_outage(service: Service) -> Failure | None:
    """Return how upstream or its newest list has failed for an hour or more; None if it has not."""
    pages = (None, service.newest_day())
    failures = filter(None, map(service.repository.get_failure, pages))
    return next(
        (
            failure
            for failure in failures
            if service.now() - failure.since >= MIN_OUTAGE and not _is_rate_limit(failure)
        ),
        None,
    )


def _is_rate_limit(failure: Failure | None) -> bool:
    return failure is not None and failure.reason == RATE_LIMIT_REASON


def build_status(service: Service) -> Status:
    """Return the state of the server. Sends nothing to upstream."""
    repository, now = service.repository, service.now()

    def page_status(page: Page, listing: Listing | None) -> PageStatus:
        return _page_status(page, listing, repository.get_failure(page), now)

    return Status(
        version=__version__,
        at=now,
        failure=repository.get_failure(None),
        days=tuple(page_status(page, listing) for page, listing in service.list_days.get()),
        lists=tuple(
            page_status(page, listing) for page, listing in _stored_lists(repository, now.date())
        ),
        searches=tuple(
            page_status(page, repository.get_listing(page))
            for page in sorted(search_pages(service.config.feeds.values()), key=str)
        ),
        request_budget=RequestBudget(remaining=requests_left(repository.get_request_log(), now)),
        store=_store_status(repository, now),
        artefacts=_artefact_status(service.artefacts.table()),
        unparsed_pages=tuple(
            (dump.path.name, dump.received_at) for dump in repository.unparsed_pages.list_all()
        ),
    )


def _stored_lists(repository: Repository, today: date) -> Iterator[tuple[Page, Listing | None]]:
    """Yield the pages of the week, the month and trending, each with its stored listing."""
    lists = Feed(name="", title="", sources=("week", "month", "trending"))
    for source in lists.sources:
        pages = candidate_pages(source, lists, today)
        listings = ((page, repository.get_listing(page)) for page in pages)
        stored = ((page, listing) for page, listing in listings if listing is not None)
        yield next(stored, (pages[0], None))


def _store_status(repository: Repository, now: datetime) -> StoreStatus:
    failure = repository.failure_state(now)
    return StoreStatus(
        bytes=repository.size(),
        location=repository.location,
        error=failure.reason if failure else "",
        since=failure.since if failure else None,
    )


def _artefact_status(table: ArtefactTable) -> ArtefactStatus:
    checks = [record.checked_at for record in table.records.values()]
    return ArtefactStatus(len(checks), max(checks, default=None))


def _page_status(
    page: Page, listing: Listing | None, failure: Failure | None, now: datetime
) -> PageStatus:
    if listing is None:
        return PageStatus(page=page, state="unread", failure=failure)
    is_fresh = remaining_ttl(page, listing, now) > timedelta(0)
    return PageStatus(
        page=listing.page,
        state="fresh" if is_fresh else "stale",
        papers=len(listing.papers),
        fetched_at=listing.fetched_at,
        stale_since=None if is_fresh else listing.fetched_at + ttl(page, now.date()),
        parsed_from=listing.parsed_from,
        skipped=len(listing.skipped),
        failure=failure,
    )
