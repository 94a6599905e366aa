"""Limit how many new keywords each client requests."""

from datetime import datetime, timedelta
from threading import Lock

from cachetools import LRUCache

from feedsrv.errors import QuotaExceededError

_HOUR = timedelta(hours=1)
#: One divided by this is the fraction of an hour's quota that may be used at once: a reader that
#: imports a list of subscriptions requests them all at once.
_BURST_DIVISOR = 4
#: The most clients that are tracked.
_MAX_CLIENTS = 10_000


class ClientQuota:
    """A token bucket for each client, which limits requests for new keywords. Safe for threads.

    Its capacity is a part of what is allowed in an hour; 0 is no limit.
    """

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._lock = Lock()
        #: When each client's bucket is full again.
        self._full_at: LRUCache[str, datetime] = LRUCache(_MAX_CLIENTS)

    def consume(self, client: str, now: datetime) -> None:
        """Take one token of the client; raise QuotaExceededError if its bucket is empty."""
        if not self._per_hour:
            return
        interval = _HOUR / self._per_hour  # in which the bucket gains one token
        capacity = interval * max(1, self._per_hour // _BURST_DIVISOR)
        with self._lock:
            full_at = max(now, self._full_at.get(client, now))
            if full_at > now + capacity:  # the clock was ahead
                full_at = now
            full_at += interval
            if full_at > now + capacity:
                raise QuotaExceededError(client, (full_at - now - capacity).total_seconds())
            self._full_at[client] = full_at
