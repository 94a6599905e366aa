"""How long a result is valid, for clients and for the response cache."""

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from itertools import takewhile

from feedsrv.feeds.sources import SourceState
from feedsrv.models import Match

#: Minimum lifetime of a result while a refresh is pending.
MIN_LIFETIME = timedelta(seconds=1)
_MAX_LIFETIME = timedelta(days=1)
_ZERO = timedelta(0)


def poll_after(states: Iterable[SourceState], now: datetime, *, is_complete: bool) -> datetime:
    """Return when clients should poll again: when one of the most important pages is stale.

    ``is_complete`` says whether every feed has what it needs; if not, they should poll at once.
    """
    ttl = min((state.main_page_ttl for state in states), default=_MAX_LIFETIME)
    return now + min(ttl if is_complete else _ZERO, _MAX_LIFETIME)


def cacheable_until(
    states: Iterable[SourceState], now: datetime, *changes_in: timedelta, is_complete: bool
) -> datetime:
    """Return until when the result can be cached, unless the store changes first.

    ``changes_in`` has the times after which it may change for other reasons.
    """
    ttl = min((state.min_ttl for state in states), default=_MAX_LIFETIME)
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    # At midnight, the window moves on.
    lifetime = min(ttl if is_complete else _ZERO, midnight - now, *changes_in)
    return now + max(MIN_LIFETIME, lifetime)


def split_future_matches(
    matches: tuple[Match, ...], now: datetime
) -> tuple[tuple[Match, ...], datetime]:
    """Return the matches that are published already, and when the next one will be.

    A paper is listed from midnight on, and published within the first hour of its list day. No feed
    has a date in the future.
    """
    future = sum(1 for _ in takewhile(lambda match: match.paper.published > now, matches))
    next_at = matches[future - 1].paper.published if future else now + _MAX_LIFETIME
    return matches[future:], next_at
