"""When to ask upstream again: values in, values out.

How long a list is fresh, which list days a window is made of and which of them are due, how long to
leave upstream alone after a failure, and when the next request may be made at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice

import msgspec

from feedsrv.errors import UpstreamError
from feedsrv.paper import FIRST_DAY, Kind, Listing, Page

#: Days back, at most, to how long a day's list is fresh. The newest gains papers all day long, and
#: votes and comments for some days more.
_DAYS = (
    (0, timedelta(minutes=20)),
    (2, timedelta(hours=3)),
    (7, timedelta(hours=12)),
)
_OLD_DAY = timedelta(days=7)
_OTHERS = {
    Kind.WEEK: timedelta(hours=1),
    Kind.MONTH: timedelta(hours=1),
    Kind.TRENDING: timedelta(hours=1),
    Kind.SEARCH: timedelta(hours=24),
}
_SATURDAY = 6

# --- how long a list is fresh ----------------------------------------------------------------


@lru_cache(maxsize=512)
def lasts(page: Page, today: date) -> timedelta:
    """Return for how long a list is fresh after it was read."""
    if page.kind is not Kind.DAY:
        return _OTHERS[page.kind]
    back = (today - date.fromisoformat(page.key)).days
    # On a weekend the newest list is Friday's.
    back = 0 if page == newest(today) else back
    return next((lasting for most, lasting in _DAYS if back <= most), _OLD_DAY)


def left(page: Page, listing: Listing | None, now: datetime) -> timedelta:
    """Return for how long what is kept of the page is still fresh; zero or less for "read it"."""
    if listing is None:
        return timedelta(0)
    # A clock that was wrong when the list was read must not keep it fresh for ever.
    read_at = min(listing.read_at, now)
    return read_at + lasts(page, now.date()) - now


# --- the window of list days -----------------------------------------------------------------

#: List days, newest first, each with what is kept of it.
Days = tuple[tuple[Page, Listing | None], ...]


def newest(today: date) -> Page:
    """Return the page to ask for the newest list: there is none on Saturdays and Sundays."""
    weekend = max(0, today.isoweekday() - _SATURDAY + 1)
    return Page(Kind.DAY, (today - timedelta(days=weekend)).isoformat())


def window(
    today: date, days: int, kept: Callable[[Page], Listing | None]
) -> Iterator[tuple[Page, Listing | None]]:
    """Yield the pages of so many list days, newest first, with what is kept of each.

    The pages name the list day before their own, so weekends and holidays are skipped as upstream
    skips them. Where a page was not read yet, the weekday before it is taken; asked for, it will
    say which day it really is.
    """
    return islice(_walk(newest(today), kept), days)


def _walk(
    start: Page, kept: Callable[[Page], Listing | None]
) -> Iterator[tuple[Page, Listing | None]]:
    page, listing = start, kept(start)
    if listing is not None and listing.next and listing.next > page.key:
        # There is a later list than there should be: upstream knows better.
        yield Page(Kind.DAY, listing.next), kept(Page(Kind.DAY, listing.next))
    seen: set[Page] = set()
    while page.key > FIRST_DAY.isoformat():
        own = listing.page if listing is not None else page
        if own not in seen:
            seen.add(own)
            yield page, listing
        elif own.key > page.key:
            return  # asked for an older list, upstream gave its oldest
        before = listing.previous if listing is not None else ""
        first = min(own.key, page.key)
        page = Page(Kind.DAY, before if "" < before < first else _weekday_before(first))
        listing = kept(page)


def _weekday_before(day: str) -> str:
    return newest(date.fromisoformat(day) - timedelta(days=1)).key


# --- after a failure -------------------------------------------------------------------------


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """How asking upstream failed, so that nobody asks again before it makes sense."""

    reason: str
    #: How many times in a row.
    count: int
    at: datetime
    retry_at: datetime
    #: When the first in the row was; what was kept before this was told has none.
    since: datetime | None = None


_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(minutes=30)


def failed(
    before: Failure | None, error: UpstreamError, now: datetime, chance: float, *, spare: int = 0
) -> Failure:
    """Return the failure to remember: each in a row waits longer, or as long as upstream asks.

    Args:
        before: The failure before this one, where nothing was read in between.
        error: What went wrong; its ``wait``, where it has one, is what upstream asks for.
        now: The moment.
        chance: From 0 to 1; spreads the next try by a tenth to both sides, so that many servers
            do not come back at the same moment.
        spare: How many failures in a row do not make the wait longer yet.

    """
    count = before.count + 1 if before else 1
    pause = min(_FIRST_PAUSE * 2 ** min(max(count - 1 - spare, 0), 10), _LONGEST_PAUSE) * (
        0.9 + 0.2 * chance
    )
    asked = timedelta(seconds=getattr(error, "wait", None) or 0)
    return Failure(
        reason=str(error),
        count=count,
        at=now,
        retry_at=now + max(pause, asked),
        since=(before.since or before.at) if before else now,
    )


# --- the next request ------------------------------------------------------------------------


class Turns(msgspec.Struct, frozen=True):
    """The requests of the last five minutes, by all processes of this server."""

    all: tuple[datetime, ...] = ()
    #: Those among them that searched for a keyword that no configured feed has.
    adhoc: tuple[datetime, ...] = ()


#: Upstream allows 100 pages in five minutes to an address that shows no token.
_WINDOW = timedelta(minutes=5)
MOST_TURNS = 60
_MOST_ADHOC = 30
_BURST = 4


def next_turn(turns: Turns, now: datetime, *, adhoc: bool, spacing: timedelta) -> datetime:
    """Return when the next request may be made: now, or later.

    Four may follow each other at once, then they are ``spacing`` apart; 60 in five minutes, of
    which searches for keywords that anybody may think of take half at most.
    """
    since = now - _WINDOW
    every = [moment for moment in turns.all if since < moment <= now]
    searches = [moment for moment in turns.adhoc if since < moment <= now]
    moments = [now]
    if len(every) >= MOST_TURNS:
        moments.append(every[-MOST_TURNS] + _WINDOW)
    if adhoc and len(searches) >= _MOST_ADHOC:
        moments.append(searches[-_MOST_ADHOC] + _WINDOW)
    if every:
        # A bucket of four that fills by one each `spacing`: when would it be full again?
        full = every[0]
        for moment in every:
            full = max(full, moment) + spacing
        moments.append(full - (_BURST - 1) * spacing)
    return max(moments)


def turns_left(turns: Turns, now: datetime) -> int:
    """Return how many requests may still be made within the five minutes that end now."""
    since = now - _WINDOW
    return max(0, MOST_TURNS - sum(since < moment <= now for moment in turns.all))


def taken(turns: Turns, now: datetime, *, adhoc: bool) -> Turns:
    """Return the turns after a request was made now; older ones than count are forgotten."""
    since = now - _WINDOW
    every = tuple(moment for moment in turns.all if moment > since)
    searches = tuple(moment for moment in turns.adhoc if moment > since)
    return Turns((*every, now), (*searches, now) if adhoc else searches)
