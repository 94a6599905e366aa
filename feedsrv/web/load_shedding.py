"""Load shedding: refuse some requests at once so that others can be served (WSGI middleware).

A server whose threads are all busy serves no client, and its container's health check fails. A
queue that gets shorter is harmless: a reader that imports sixty subscriptions is served within
seconds. If no request was served for a while, or if the queue lasts, some threads are reserved:
for cached responses, even outdated ones, for ``/healthz``, and for 503 with Retry-After, which all
other requests get.
"""

import json
import logging
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

#: Seconds for which all threads may be busy while no request is served; an error of the server does
#: not count. If too many requests wait for upstream, each further one waits for one second (see
#: `feedsrv.feeds.source_fetcher`). This is less, so that it has passed when the first of them ends.
MAX_STALL_SECONDS = 0.9
#: Seconds for which all threads may be busy in any case: a container's health check waits for four.
MAX_BUSY_SECONDS = 2.5
#: Seconds after which a refused client may try again.
_RETRY_AFTER = 10
_HEALTH_PATH = "/healthz"
_BODY = json.dumps(
    {
        "type": "/problems#the-server-is-busy",
        "title": "The server is busy",
        "status": 503,
        "detail": "too many requests at the same time; please try again later",
        "retry_after": _RETRY_AFTER,
    }
).encode()
_HEADERS = (
    ("Content-Type", "application/problem+json"),
    ("Content-Length", str(len(_BODY))),
    ("Cache-Control", "no-store"),
    ("Retry-After", str(_RETRY_AFTER)),
    ("X-Content-Type-Options", "nosniff"),
)


class LoadShedder:
    """WSGI middleware that refuses requests while too many threads are busy."""

    def __init__(self, app: WSGIApplication, threads: int, clock: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock
        #: The most requests in progress during overload: an eighth of the threads is reserved.
        self._limit = threads - max(1, threads // 8)
        self._lock = Lock()
        self._in_progress = 0
        self._full_since = 0.0
        self._last_served = 0.0
        self._is_overloaded = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == _HEALTH_PATH:
            return self._app(environ, start_response)
        if not self._enter():
            start_response("503 Service Unavailable", list(_HEADERS))
            return [_BODY]
        statuses: list[str] = []

        def start_and_note(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            statuses.append(status)
            return start_response(status, headers, *error)

        try:
            return self._app(environ, start_and_note)  # it does all its work before it returns
        finally:
            self._leave(is_served=bool(statuses) and not statuses[-1].startswith("5"))

    def is_overloaded(self) -> bool:
        """Return whether a request would be refused now."""
        with self._lock:
            return self._in_progress >= self._limit and self._update_overload()

    def _enter(self) -> bool:
        with self._lock:
            if self._in_progress >= self._limit and self._update_overload():
                return False
            self._in_progress += 1
            if self._in_progress == self._limit:
                self._full_since = self._clock()
            return True

    def _update_overload(self) -> bool:
        if not self._is_overloaded:
            now = self._clock()
            busy, stalled = now - self._full_since, now - max(self._full_since, self._last_served)
            if busy >= MAX_BUSY_SECONDS or stalled >= MAX_STALL_SECONDS:
                self._is_overloaded = True
                log.warning("All threads busy for %.1f seconds, refusing requests", busy)
        return self._is_overloaded

    def _leave(self, *, is_served: bool) -> None:
        with self._lock:
            if is_served:
                self._last_served = self._clock()
            self._in_progress -= 1
            if self._is_overloaded and self._in_progress <= self._limit // 2:
                self._is_overloaded = False
                log.info("Threads free again, accepting requests")
