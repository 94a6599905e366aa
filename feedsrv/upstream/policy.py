"""Rules for when to send requests to upstream: values in, values out, no clock.

How long a listing is fresh (TTL), which list days the window has, how long to wait after a failure
(backoff), and when the next request may be sent (rate limit).
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice

from feedsrv.errors import UpstreamError
from feedsrv.models import FIRST_LIST_DAY, Failure, Kind, Listing, Page, RequestLog, last_list_day
from feedsrv.storage.clock_skew import MAX_CLOCK_SKEW

# --- TTL -----------------------------------------------------------------------------------------

#: The greatest age of a list day in days, and its TTL. The newest list grows all day, and votes and
#: comments change for some days more.
_DAY_TTLS = ((0, timedelta(minutes=20)), (2, timedelta(hours=3)), (7, timedelta(hours=12)))
_OLD_DAY_TTL = timedelta(days=7)
_LIST_TTLS = {
    Kind.WEEK: timedelta(hours=1),
    Kind.MONTH: timedelta(hours=1),
    Kind.TRENDING: timedelta(hours=1),
    Kind.SEARCH: timedelta(hours=24),
    Kind.PAPER: timedelta(days=30),
}


@lru_cache(maxsize=512)
def ttl(page: Page, today: date) -> timedelta:
    """Return how long a listing of the page is fresh after it was fetched."""
    if page.kind in {Kind.WEEK, Kind.MONTH} and page.key < _oldest_changing_key(page.kind, today):
        return _OLD_DAY_TTL
    if page.kind is not Kind.DAY:
        return _LIST_TTLS[page.kind]
    age = (today - date.fromisoformat(page.key)).days
    if page == newest_day_page(today):
        age = 0  # on a weekend, the newest list is Friday's
    return next((day_ttl for max_age, day_ttl in _DAY_TTLS if age <= max_age), _OLD_DAY_TTL)


def _oldest_changing_key(kind: Kind, today: date) -> str:
    """Return the key of the oldest week or month with a day whose votes still change."""
    return Page.of_date(kind, today - timedelta(days=_DAY_TTLS[-1][0])).key


def remaining_ttl(page: Page, listing: Listing | None, now: datetime) -> timedelta:
    """Return how long the stored listing of the page stays fresh; zero or less if it is stale."""
    if listing is None:
        return timedelta(0)
    # If the clock was ahead when the listing was fetched, it must not be fresh forever.
    fetched_at = min(listing.fetched_at, now)
    return fetched_at + ttl(page, now.date()) - now


# --- window --------------------------------------------------------------------------------------

_SATURDAY = 6


def pages_covering(kind: Kind, today: date, days: int) -> tuple[Page, ...]:
    """Return the pages of one kind that cover the last ``days`` days, newest first."""
    pages = (Page.of_date(kind, today - timedelta(days=ago)) for ago in range(days))
    return tuple(dict.fromkeys(pages))


def page_to_fetch(page: Page, today: date) -> Page:
    """Return the page that upstream has for a day, week or month that somebody asks for.

    There are no lists before the first one or in the future, and upstream would answer each such
    address with the first or the latest list.
    """
    first, latest = Page.of_date(page.kind, FIRST_LIST_DAY), Page.of_date(page.kind, today)
    key = min(max(page.key, first.key), latest.key)
    if page.kind is Kind.WEEK and key.endswith("-W53"):
        # The week after the year's 52nd; it may be the first one of the next year.
        week_52 = date.fromisocalendar(int(key[:4]), 52, 1)
        return Page.of_date(page.kind, week_52 + timedelta(weeks=1))
    return Page(page.kind, key)


def newest_day_page(today: date) -> Page:
    """Return the page of the newest list day: upstream has none on Saturdays and Sundays."""
    today = max(today, FIRST_LIST_DAY)  # whatever the clock says
    days_since_friday = max(0, today.isoweekday() - _SATURDAY + 1)
    return Page(Kind.DAY, (today - timedelta(days=days_since_friday)).isoformat())


def list_days(
    today: date, count: int, get_listing: Callable[[Page], Listing | None]
) -> Iterator[tuple[Page, Listing | None]]:
    """Yield the pages of the last list days, newest first, each with its stored listing.

    A listing names the previous list day, so weekends and holidays are skipped as upstream skips
    them. Before a page that was never fetched, the previous weekday is assumed; once fetched, the
    page tells the real day.
    """
    last = last_list_day(today).isoformat()
    return islice(_walk_back(newest_day_page(today), last, get_listing), count)


def _walk_back(
    newest: Page, last: str, get_listing: Callable[[Page], Listing | None]
) -> Iterator[tuple[Page, Listing | None]]:
    page, listing, first = newest, get_listing(newest), FIRST_LIST_DAY.isoformat()
    if listing is not None and page.key < listing.next_day <= last:
        # A list on a day without one by the rule above, such as a Saturday: upstream is right.
        later = Page(Kind.DAY, listing.next_day)
        yield later, get_listing(later)
    seen: set[Page] = set()
    while page.key > first or not seen:
        actual = listing.page if listing is not None else page
        if actual not in seen:
            seen.add(actual)
            yield page, listing
        elif actual.key > page.key:
            return  # upstream redirected to its oldest list; there are no older ones
        previous = listing.previous_day if listing is not None else ""
        oldest = min(actual.key, page.key)
        # A previous day that is not earlier would make this loop endless.
        key = previous if first < previous < oldest else _previous_weekday(oldest)
        page = Page(Kind.DAY, key)
        listing = get_listing(page)


def _previous_weekday(day: str) -> str:
    return newest_day_page(date.fromisoformat(day) - timedelta(days=1)).key


# --- backoff -------------------------------------------------------------------------------------

_INITIAL_BACKOFF = timedelta(minutes=1)
_MAX_BACKOFF = timedelta(minutes=30)
_MAX_DOUBLINGS = 10
#: After this time without an attempt, nobody knows whether it failed all the while.
_MAX_FAILURE_GAP = timedelta(days=7)
#: The longest wait that upstream may ask for: a mistake there must not stop a server for a year.
MAX_RETRY_AFTER = timedelta(hours=1)
#: The longest wait after upstream said that it has no such paper.
_MAX_NOT_FOUND_WAIT = timedelta(days=1)
#: Jitter, as a fraction of the backoff to both sides.
_JITTER = 0.1


def next_failure(
    previous: Failure | None, error: UpstreamError, now: datetime, chance: float, *, grace: int = 0
) -> Failure:
    """Return the failure to record after an error: the backoff doubles with each in a row.

    Args:
        previous: The previous failure, unless there was a success since.
        error: The error. If it has a ``retry_after``, the backoff is at least that long.
        now: The current time (UTC).
        chance: A random number from 0 to 1, for a jitter of 10 %, so that many servers do not
            retry at the same moment.
        grace: The number of consecutive failures before the backoff begins to double.
    """
    if previous is not None and now - previous.at > _MAX_FAILURE_GAP:  # or a clock was wrong
        previous = None
    count = previous.count + 1 if previous else 1
    doublings = min(max(count - 1 - grace, 0), _MAX_DOUBLINGS)
    backoff = min(_INITIAL_BACKOFF * 2**doublings, _MAX_BACKOFF)
    backoff *= 1 - _JITTER + 2 * _JITTER * chance
    retry_after = timedelta(seconds=error.retry_after or 0)
    return Failure(
        reason=str(error),
        count=count,
        at=now,
        retry_at=now + max(backoff, retry_after),
        since=previous.since if previous else now,
        timed_out=error.timed_out,
    )


def is_backing_off(failure: Failure | None, now: datetime) -> bool:
    """Return whether the failure forbids a request now; a wrong clock does so for an hour at most.

    That upstream does not have a paper holds for a day: a library can have hundreds of those.
    """
    if failure is None:
        return False
    max_wait = _MAX_NOT_FOUND_WAIT if failure.is_not_found else MAX_RETRY_AFTER
    return now < failure.retry_at <= now + max_wait + MAX_CLOCK_SKEW


# --- rate limit ----------------------------------------------------------------------------------

#: Upstream allows 100 pages in five minutes for each client address without a token.
RATE_WINDOW = timedelta(minutes=5)
MAX_REQUESTS = 60
_MAX_ADHOC_REQUESTS = 30
_BURST_SIZE = 4


def next_request_at(
    request_log: RequestLog,
    now: datetime,
    *,
    adhoc: bool,
    spacing: timedelta,
    is_spare: bool = False,
) -> datetime:
    """Return when the next request may be sent: now, or later.

    A token bucket allows bursts of four and one request each ``spacing`` otherwise. On top of that,
    there are at most 60 requests in five minutes, of them at most 30 ad-hoc searches.

    Args:
        request_log: The recent requests.
        now: The current time (UTC).
        adhoc: Whether the request is a search for a keyword that no configured feed has.
        spacing: The time in which the bucket gains one token.
        is_spare: Whether it may be sent only if another request could follow at once.
    """
    if is_spare:
        request_log = record_request(request_log, now, adhoc=adhoc)
    times = _recent(request_log.times, now)
    adhoc_times = _recent(request_log.adhoc_times, now)
    slots = [now]
    if len(times) >= MAX_REQUESTS:
        slots.append(times[-MAX_REQUESTS] + RATE_WINDOW)
    if adhoc and len(adhoc_times) >= _MAX_ADHOC_REQUESTS:
        slots.append(adhoc_times[-_MAX_ADHOC_REQUESTS] + RATE_WINDOW)
    if times:
        full_at = times[0]  # when the bucket is full again
        for time in times:
            full_at = max(full_at, time) + spacing
        slots.append(full_at - (_BURST_SIZE - 1) * spacing)
    return max(slots)


def requests_left(request_log: RequestLog, now: datetime) -> int:
    """Return how many more requests are allowed in the five minutes that end now."""
    return max(0, MAX_REQUESTS - len(_recent(request_log.times, now)))


def record_request(request_log: RequestLog, now: datetime, *, adhoc: bool) -> RequestLog:
    """Return the log with a request that is sent now, and without those that no longer count."""
    start = now - RATE_WINDOW
    times = tuple(time for time in request_log.times if time > start)
    adhoc_times = tuple(time for time in request_log.adhoc_times if time > start)
    return RequestLog((*times, now), (*adhoc_times, now) if adhoc else adhoc_times)


def _recent(times: tuple[datetime, ...], now: datetime) -> list[datetime]:
    """Return the times that count now; later ones were recorded while the clock was ahead."""
    return [time for time in times if now - RATE_WINDOW < time <= now]
