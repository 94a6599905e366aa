"""The state of the server: what was fetched when, what is stale, what fails."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from feedsrv import __version__
from feedsrv.feeds.service import Service
from feedsrv.models import Failure, Kind, Listing, Page
from feedsrv.storage.repository import Repository
from feedsrv.upstream.policy import (
    MAX_REQUESTS,
    pages_covering,
    remaining_ttl,
    requests_left,
    ttl,
)

State = Literal["fresh", "stale", "unread"]


class PageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One page of upstream, as it is kept."""

    page: Page
    state: State
    papers: int = 0
    read_at: datetime | None = None
    #: Since when it should have been read again.
    stale_since: datetime | None = None
    #: Which part of upstream's answer it was read from; empty where it was not.
    source: str = ""
    #: Papers that could not be read.
    skipped: int = 0
    failure: Failure | None = None


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The store."""

    bytes: int
    #: On what it is, or in what.
    where: str = "on disk"
    #: Why nothing can be kept, and since when; empty while it can.
    trouble: str = ""
    since: datetime | None = None


class RequestBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The requests to upstream that are left of those allowed in five minutes."""

    left: int
    most: int = MAX_REQUESTS


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How this server is at one moment."""

    version: str
    at: datetime
    #: How upstream as a whole fails; None where it does not.
    failure: Failure | None
    #: The window of list days, newest first.
    days: tuple[PageStatus, ...]
    #: The week's list, the month's and the trending one.
    lists: tuple[PageStatus, ...]
    #: The searches of the configured feeds.
    searches: tuple[PageStatus, ...]
    allowance: RequestBudget
    store: StoreStatus
    #: The files of answers that could not be read, and when they came.
    unreadable: tuple[tuple[str, datetime], ...] = ()

    def failing(self) -> tuple[PageStatus, ...]:
        """Return the pages that could not be read when they were last asked for."""
        return tuple(row for row in (*self.days, *self.lists, *self.searches) if row.failure)


def build_status(service: Service) -> Status:
    """Return the state of the server. Sends nothing to upstream."""
    repository, now = service.repository, service.now()

    def page_status(page: Page, listing: Listing | None) -> PageStatus:
        return _page_status(page, listing, repository.get_failure(page), now)

    return Status(
        version=__version__,
        at=now,
        failure=repository.get_failure(None),
        days=tuple(page_status(*each) for each in service.list_days()),
        lists=tuple(page_status(*each) for each in _stored_lists(repository, now.date())),
        searches=tuple(
            page_status(page, repository.get_listing(page))
            for page in sorted(service.configured_searches, key=str)
        ),
        allowance=RequestBudget(left=requests_left(repository.get_request_log(), now)),
        store=_store_status(repository, now),
        unreadable=tuple(
            (page.path.name, page.received_at) for page in repository.unparsed_pages.list_all()
        ),
    )


def _stored_lists(repository: Repository, today: date) -> Iterator[tuple[Page, Listing | None]]:
    """Yield the week's, the month's and the trending page, each with its stored listing."""
    # Until this week has a list, upstream answers with last week's.
    weeks, months = pages_covering(Kind.WEEK, today, 8), pages_covering(Kind.MONTH, today, 32)
    for pages in (weeks, months, (Page(Kind.TRENDING),)):
        stored = ((page, repository.get_listing(page)) for page in pages)
        yield next((each for each in stored if each[1] is not None), (pages[0], None))


def _store_status(repository: Repository, now: datetime) -> StoreStatus:
    failure = repository.failure_state(now)
    return StoreStatus(
        bytes=repository.size(),
        where=repository.location,
        trouble=failure.reason if failure else "",
        since=failure.since if failure else None,
    )


def _page_status(
    page: Page, listing: Listing | None, failure: Failure | None, now: datetime
) -> PageStatus:
    if listing is None:
        return PageStatus(page=page, state="unread", failure=failure)
    age = remaining_ttl(page, listing, now)
    is_fresh = age > timedelta(0)
    return PageStatus(
        page=listing.page if page.kind is Kind.DAY else page,
        state="fresh" if is_fresh else "stale",
        papers=len(listing.papers),
        read_at=listing.fetched_at,
        stale_since=None if is_fresh else listing.fetched_at + ttl(page, now.date()),
        source=listing.parsed_from,
        skipped=len(listing.skipped),
        failure=failure,
    )
