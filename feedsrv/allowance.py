"""How many keywords that nobody asked for before one client may ask for.

Each costs a page of upstream, whose allowance all clients share. Values in, values out, but for the
memory of who took how many; it is this process's own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Lock

from feedsrv.errors import TooManyError

_HOUR = timedelta(hours=1)
#: The share of an hour's keywords that may be asked for at once: a list of subscriptions that is
#: imported into a reader comes all at once.
_AT_ONCE = 4
#: Clients remembered; more at a time are no readers.
_MOST_CLIENTS = 10_000


class Allowance:
    """A bucket of keywords for each client, which fills by itself. Safe for threads.

    Args:
        an_hour: How many a client may ask for in an hour; 0 for as many as it likes.

    """

    def __init__(self, an_hour: int) -> None:
        self._an_hour = an_hour
        self._lock = Lock()
        #: When each client's bucket is full again; the one that took last stands last.
        self._full_at: dict[str, datetime] = {}

    def take(self, client: str, now: datetime) -> None:
        """Take one keyword.

        Raises:
            TooManyError: There is none left for now.

        """
        if not self._an_hour:
            return
        each = _HOUR / self._an_hour
        most = each * max(1, self._an_hour // _AT_ONCE)
        with self._lock:
            full_at = max(now, self._full_at.pop(client, now)) + each
            if full_at > now + most:
                self._full_at[client] = full_at - each
                raise TooManyError(client, (full_at - now - most).total_seconds())
            self._full_at[client] = full_at
            while len(self._full_at) > _MOST_CLIENTS:
                self._full_at.pop(next(iter(self._full_at)))
