"""Circuit breaker: do not call a backend that has just failed."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Literal

from feedsrv.errors import StoreError

log = logging.getLogger(__name__)

#: Seconds between two attempts to use a backend that failed.
_RETRY_SECONDS = 10.0


class CircuitBreaker:
    """Guards all calls of one backend. Safe for threads.

    A failed read opens it for reads and writes. A failed write opens it for writes alone: a full
    disk and a read-only replica are still read. While it is open, calls fail at once, so that no
    request waits; `probe` tries again.
    """

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._reason = ""
        self._since = 0.0
        self._retry_at = 0.0
        self._allows_reads = True
        self._allows_writes = True
        self._lock = Lock()

    def guard(self, what: Literal["reads", "writes"]) -> AbstractContextManager[None]:
        """Guard calls of the backend; raise StoreError if one fails, or did a moment ago."""
        return self._guard(what, self._allows_reads if what == "reads" else self._allows_writes)

    def probe(self, read: Callable[[], object], write: Callable[[], object]) -> None:
        """Try again what failed, if it is time to; raise StoreError if it fails."""
        with self._lock:
            if self._allows_writes or self._clock() < self._retry_at:
                return
        with self._guard("reads"):
            read()
        self._allows_reads = True
        with self._guard("writes"):
            write()
        self._allows_writes = True
        log.info("Storage backend %s is available again", self._name)

    def failure(self) -> tuple[str, float] | None:
        """Return why the backend fails and for how many seconds; None while it works."""
        with self._lock:
            return None if self._allows_writes else (self._reason, self._clock() - self._since)

    @contextmanager
    def _guard(self, what: str, allowed: bool = True) -> Iterator[None]:
        if not allowed:
            raise StoreError(self._name, self._reason)
        try:
            yield
        except StoreError as error:
            with self._lock:
                if self._allows_writes:
                    log.warning("Storage backend unavailable, serving from memory: %s", error)
                    self._since = self._clock()
                self._reason = error.reason
                self._retry_at = self._clock() + _RETRY_SECONDS
                self._allows_writes = False
                self._allows_reads = self._allows_reads and what == "writes"
            raise
