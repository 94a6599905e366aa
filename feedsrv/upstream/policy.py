"""When to ask upstream again: values in, values out.

How long a list is fresh, which list days a window is made of and which of them are due, how long to
leave upstream alone after a failure, and when the next request may be made at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice
from threading import Lock

from feedsrv.errors import QuotaExceededError, UpstreamError
from feedsrv.models import FIRST_LIST_DAY, Failure, Kind, Listing, Page, RequestLog

#: Days back, at most, to how long a day's list is fresh. The newest gains papers all day long, and
#: votes and comments for some days more.
_DAY_TTLS = (
    (0, timedelta(minutes=20)),
    (2, timedelta(hours=3)),
    (7, timedelta(hours=12)),
)
_OLD_DAY_TTL = timedelta(days=7)
_LIST_TTLS = {
    Kind.WEEK: timedelta(hours=1),
    Kind.MONTH: timedelta(hours=1),
    Kind.TRENDING: timedelta(hours=1),
    Kind.SEARCH: timedelta(hours=24),
}
_SATURDAY = 6

# --- how long a list is fresh ----------------------------------------------------------------


@lru_cache(maxsize=512)
def ttl(page: Page, today: date) -> timedelta:
    """Return for how long a list is fresh after it was read."""
    if page.kind is not Kind.DAY:
        return _LIST_TTLS[page.kind]
    back = (today - date.fromisoformat(page.key)).days
    # On a weekend the newest list is Friday's.
    back = 0 if page == newest_day_page(today) else back
    return next((lasting for most, lasting in _DAY_TTLS if back <= most), _OLD_DAY_TTL)


def remaining_ttl(page: Page, listing: Listing | None, now: datetime) -> timedelta:
    """Return for how long what is kept of the page is still fresh; zero or less for "read it"."""
    if listing is None:
        return timedelta(0)
    # A clock that was wrong when the list was read must not keep it fresh for ever.
    read_at = min(listing.fetched_at, now)
    return read_at + ttl(page, now.date()) - now


def newest_day_page(today: date) -> Page:
    """Return the page to ask for the newest list: there is none on Saturdays and Sundays."""
    weekend = max(0, today.isoweekday() - _SATURDAY + 1)
    return Page(Kind.DAY, (today - timedelta(days=weekend)).isoformat())


def list_days(
    today: date, count: int, get_listing: Callable[[Page], Listing | None]
) -> Iterator[tuple[Page, Listing | None]]:
    """Yield the pages of so many list days, newest first, with what is kept of each.

    The pages name the list day before their own, so weekends and holidays are skipped as upstream
    skips them. Where a page was not read yet, the weekday before it is taken; asked for, it will
    say which day it really is.
    """
    return islice(_walk_back(newest_day_page(today), get_listing), count)


def _walk_back(
    start: Page, kept: Callable[[Page], Listing | None]
) -> Iterator[tuple[Page, Listing | None]]:
    page, listing = start, kept(start)
    if listing is not None and listing.next_day and listing.next_day > page.key:
        # There is a later list than there should be: upstream knows better.
        yield Page(Kind.DAY, listing.next_day), kept(Page(Kind.DAY, listing.next_day))
    seen: set[Page] = set()
    while page.key > FIRST_LIST_DAY.isoformat():
        own = listing.page if listing is not None else page
        if own not in seen:
            seen.add(own)
            yield page, listing
        elif own.key > page.key:
            return  # asked for an older list, upstream gave its oldest
        before = listing.previous_day if listing is not None else ""
        first = min(own.key, page.key)
        page = Page(Kind.DAY, before if "" < before < first else _weekday_before(first))
        listing = kept(page)


def _weekday_before(day: str) -> str:
    return newest_day_page(date.fromisoformat(day) - timedelta(days=1)).key


_INITIAL_BACKOFF = timedelta(minutes=1)
_MAX_BACKOFF = timedelta(minutes=30)


def next_backoff(
    previous: Failure | None, error: UpstreamError, now: datetime, chance: float, *, grace: int = 0
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
    count = previous.count + 1 if previous else 1
    pause = min(_INITIAL_BACKOFF * 2 ** min(max(count - 1 - grace, 0), 10), _MAX_BACKOFF) * (
        0.9 + 0.2 * chance
    )
    asked = timedelta(seconds=getattr(error, "retry_after", None) or 0)
    return Failure(
        reason=str(error),
        count=count,
        at=now,
        retry_at=now + max(pause, asked),
        since=(previous.since or previous.at) if previous else now,
    )


#: Upstream allows 100 pages in five minutes to an address that shows no token.
_RATE_WINDOW = timedelta(minutes=5)
MAX_REQUESTS = 60
_MAX_ADHOC_REQUESTS = 30
_BURST_SIZE = 4


def next_slot(turns: RequestLog, now: datetime, *, adhoc: bool, spacing: timedelta) -> datetime:
    """Return when the next request may be made: now, or later.

    Four may follow each other at once, then they are ``spacing`` apart; 60 in five minutes, of
    which searches for keywords that anybody may think of take half at most.
    """
    since = now - _RATE_WINDOW
    every = [moment for moment in turns.times if since < moment <= now]
    searches = [moment for moment in turns.adhoc_times if since < moment <= now]
    moments = [now]
    if len(every) >= MAX_REQUESTS:
        moments.append(every[-MAX_REQUESTS] + _RATE_WINDOW)
    if adhoc and len(searches) >= _MAX_ADHOC_REQUESTS:
        moments.append(searches[-_MAX_ADHOC_REQUESTS] + _RATE_WINDOW)
    if every:
        # A bucket of four that fills by one each `spacing`: when would it be full again?
        full = every[0]
        for moment in every:
            full = max(full, moment) + spacing
        moments.append(full - (_BURST_SIZE - 1) * spacing)
    return max(moments)


def requests_left(turns: RequestLog, now: datetime) -> int:
    """Return how many requests may still be made within the five minutes that end now."""
    since = now - _RATE_WINDOW
    return max(0, MAX_REQUESTS - sum(since < moment <= now for moment in turns.times))


def record_request(turns: RequestLog, now: datetime, *, adhoc: bool) -> RequestLog:
    """Return the turns after a request was made now; older ones than count are forgotten."""
    since = now - _RATE_WINDOW
    every = tuple(moment for moment in turns.times if moment > since)
    searches = tuple(moment for moment in turns.adhoc_times if moment > since)
    return RequestLog((*every, now), (*searches, now) if adhoc else searches)


_HOUR = timedelta(hours=1)
#: The share of an hour's keywords that may be asked for at once: a list of subscriptions that is
#: imported into a reader comes all at once.
_BURST_FRACTION = 4
#: Clients remembered; more at a time are no readers.
_MAX_CLIENTS = 10_000


class ClientQuota:
    """A bucket of keywords for each client, which fills by itself. Safe for threads.

    Args:
        an_hour: How many a client may ask for in an hour; 0 for as many as it likes.

    """

    def __init__(self, per_hour: int) -> None:
        self._an_hour = per_hour
        self._lock = Lock()
        #: When each client's bucket is full again; the one that took last stands last.
        self._full_at: dict[str, datetime] = {}

    def consume(self, client: str, now: datetime) -> None:
        """Take one keyword.

        Raises:
            TooManyError: There is none left for now.

        """
        if not self._an_hour:
            return
        each = _HOUR / self._an_hour
        most = each * max(1, self._an_hour // _BURST_FRACTION)
        with self._lock:
            full_at = max(now, self._full_at.pop(client, now)) + each
            if full_at > now + most:
                self._full_at[client] = full_at - each
                raise QuotaExceededError(client, (full_at - now - most).total_seconds())
            self._full_at[client] = full_at
            while len(self._full_at) > _MAX_CLIENTS:
                self._full_at.pop(next(iter(self._full_at)))
