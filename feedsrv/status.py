"""How this server is: what was read when, what is stale, what fails. Values in, values out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from feedsrv.freshness import MOST_TURNS, Days, Failure, Turns, lasts, left, turns_left
from feedsrv.paper import Kind, Listing, Page, recent

State = Literal["fresh", "stale", "unread"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
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


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The store."""

    bytes: int
    #: On what it is, or in what.
    where: str = "on disk"
    #: Why nothing can be kept, and since when; empty while it can.
    trouble: str = ""
    since: datetime | None = None


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """The requests to upstream that are left of those allowed in five minutes."""

    left: int
    most: int = MOST_TURNS


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How this server is at one moment."""

    version: str
    at: datetime
    #: How upstream as a whole fails; None where it does not.
    failure: Failure | None
    #: The window of list days, newest first.
    days: tuple[Row, ...]
    #: The week's list, the month's and the trending one.
    lists: tuple[Row, ...]
    #: The searches of the configured feeds.
    searches: tuple[Row, ...]
    allowance: Allowance
    store: Disk
    #: The files of answers that could not be read, and when they came.
    unreadable: tuple[tuple[str, datetime], ...] = ()

    def failing(self) -> tuple[Row, ...]:
        """Return the pages that could not be read when they were last asked for."""
        return tuple(row for row in (*self.days, *self.lists, *self.searches) if row.failure)


def status(
    *,
    version: str,
    now: datetime,
    days: Days,
    searches: Iterable[Page],
    kept: Callable[[Page], Listing | None],
    failure: Callable[[Page | None], Failure | None],
    turns: Turns,
    store: Disk,
    unreadable: Iterable[tuple[str, datetime]] = (),
) -> Status:
    """Return how the server is.

    Args:
        version: The program's.
        now: The moment.
        days: The window of list days.
        searches: The pages that the configured feeds search.
        kept: Returns what is kept of a page.
        failure: Returns how a page failed, or upstream as a whole.
        turns: The requests of late.
        store: How large the store is, and whether it works.
        unreadable: The files of answers that could not be read, and when they came.

    """

    def row(page: Page, listing: Listing | None) -> Row:
        return _row(page, listing, failure(page), now)

    today = now.date()
    weeks, months = recent(Kind.WEEK, today, 8), recent(Kind.MONTH, today, 32)
    # Until this week has a list, last week's is what upstream gives for it.
    lists = [_first(pages, kept) for pages in (weeks, months, (Page(Kind.TRENDING),))]
    return Status(
        version=version,
        at=now,
        failure=failure(None),
        days=tuple(row(*each) for each in days),
        lists=tuple(row(*each) for each in lists),
        searches=tuple(row(page, kept(page)) for page in dict.fromkeys(searches) if page.key),
        allowance=Allowance(left=turns_left(turns, now)),
        store=store,
        unreadable=tuple(unreadable),
    )


def _first(
    pages: Iterable[Page], kept: Callable[[Page], Listing | None]
) -> tuple[Page, Listing | None]:
    """Return the first page that is kept, else the first."""
    pages = tuple(pages)
    return next(((page, found) for page in pages if (found := kept(page))), (pages[0], None))


def _row(page: Page, listing: Listing | None, failure: Failure | None, now: datetime) -> Row:
    if listing is None:
        return Row(page=page, state="unread", failure=failure)
    age = left(page, listing, now)
    is_fresh = age > timedelta(0)
    return Row(
        page=listing.page if page.kind is Kind.DAY else page,
        state="fresh" if is_fresh else "stale",
        papers=len(listing.papers),
        read_at=listing.read_at,
        stale_since=None if is_fresh else listing.read_at + lasts(page, now.date()),
        source=listing.source,
        skipped=len(listing.skipped),
        failure=failure,
    )
