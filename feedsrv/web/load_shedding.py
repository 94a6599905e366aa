"""Load shedding: refuse some requests at once so that others can be served (WSGI middleware).

A server whose threads are all busy serves no client, and its container's health check fails. A
short queue is harmless: a hundred readers that poll on the hour are served within a second. If
the threads have been busy for longer, some of them are reserved: for cached responses, even
outdated ones, for ``/healthz``, and for 503 with Retry-After, which all other requests get.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from threading import Lock
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

#: Seconds for which all threads may be busy. If too many requests wait for upstream, each further
#: one waits for one second (`feedsrv.feeds.service`). This is less, so that it has passed when the
#: first of them ends.
MAX_BUSY_SECONDS = 0.9
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
    """WSGI middleware that refuses requests while too many threads are busy.

    Args:
        app: The application.
        threads: The number of threads of the server.
        clock: Returns monotonic seconds.

    """

    def __init__(self, app: WSGIApplication, threads: int, clock: Callable[[], float]) -> None:
        self._app = app
        self._clock = clock
        #: The most requests in progress during overload: an eighth of the threads is reserved.
        self._limit = threads - max(1, threads // 8)
        self._lock = Lock()
        self._in_progress = 0
        self._full_since = 0.0
        self._is_overloaded = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == _HEALTH_PATH:
            return self._app(environ, start_response)
        if not self._enter():
            start_response("503 Service Unavailable", list(_HEADERS))
            return [_BODY]
        try:
            return self._app(environ, start_response)  # it does all its work before it returns
        finally:
            self._leave()

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
        if not self._is_overloaded and self._clock() - self._full_since >= MAX_BUSY_SECONDS:
            self._is_overloaded = True
            log.warning("All threads busy for %g seconds, refusing requests", MAX_BUSY_SECONDS)
        return self._is_overloaded

    def _leave(self) -> None:
        with self._lock:
            self._in_progress -= 1
            if self._is_overloaded and self._in_progress <= self._limit // 2:
                self._is_overloaded = False
                log.info("Threads free again, accepting requests")
