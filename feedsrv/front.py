"""What stands in front of the routes: answers that are ready, found by what was asked for.

Routing, reading what is kept and writing a feed take a hundred times as long as handing out bytes
that are there. An answer made by the routes stays ready until anything is kept anew, by whichever
process, or anything of it is due to be read again; then the routes make the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cachetools import LRUCache

from feedsrv.address import is_trusted
from feedsrv.answer import ROUTE, STANDING, Reply, Standing, reply
from feedsrv.service import Service

_METHODS = {"GET", "HEAD"}
_WHOLE = "200 OK"
_STATUSES = (_WHOLE, "304 Not Modified", "412 Precondition Failed")
_FORWARDED = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX")
#: What an answer takes beside its bodies, about.
_OVERHEAD = 3_000

_Name = tuple[str, ...]


class _Ready(NamedTuple):
    standing: Standing
    generation: object
    #: What counts it, by its status.
    counts: Mapping[str, Callable[[], None]]
    #: Bytes that it takes, with its name: whoever asks may make an address as long as a feed.
    size: int


def _size(ready: _Ready) -> int:
    return ready.size


class Front:
    """A WSGI application that answers what is ready by itself and asks another for the rest.

    Args:
        app: The routes. They leave what may be said again in the request's environment.
        service: Tells the time, and when something was kept.

    """

    def __init__(self, app: WSGIApplication, service: Service) -> None:
        self._app = app
        self._service = service
        self._ready: LRUCache[_Name, _Ready] = LRUCache(service.config.ready_bytes, _size)
        self._lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        said = self.ready(environ)
        if said is None:
            return self._made(environ, start)
        start(said.status, list(said.headers))
        return [said.body]

    def ready(self, environ: WSGIEnvironment) -> Reply | None:
        """Return the answer if it is ready, without waiting for anything; None if it is not."""
        if environ["REQUEST_METHOD"] not in _METHODS:
            return None
        try:
            with self._lock:
                ready = self._ready[self._name(environ)]
        except KeyError:
            return None
        if ready.generation != self._service.generation():
            return None
        now = self._service.now()
        if ready.standing.until <= now:
            return None
        said = reply(ready.standing, environ, now)
        if said.status == _WHOLE and not ready.standing.body:  # it was made for who holds it
            return None
        ready.counts[said.status]()
        return said

    def _name(self, environ: WSGIEnvironment) -> _Name:
        """Return all of a request that an answer depends on, but what `reply` looks at."""
        get = environ.get
        name = (
            environ["PATH_INFO"],
            get("QUERY_STRING", ""),
            get("HTTP_HOST", ""),
            environ["wsgi.url_scheme"],
            get("HTTP_AUTHORIZATION", ""),
        )
        trusted = self._service.config.trusted_proxies
        if trusted and is_trusted(trusted, get("REMOTE_ADDR", "")):
            name += tuple(get(header, "") for header in _FORWARDED)
        return name

    def _made(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer with what the routes say, and keep it where they say that it may be."""
        name = self._name(environ)
        # Before anything is read: what is kept meanwhile makes the answer an old one.
        generation = self._service.generation()
        metrics = self._service.metrics

        def counted(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            metrics.answered(environ.get(ROUTE, "none"), status)
            return start(status, headers, *error)

        answer = self._app(environ, counted)
        standing = environ.get(STANDING)
        if standing is not None:
            size = len(standing.body) + len(standing.packed) + sum(map(len, name)) + _OVERHEAD
            ready = _Ready(standing, generation, metrics.ready(environ[ROUTE], _STATUSES), size)
            with self._lock:
                if size <= self._ready.maxsize:
                    self._ready[name] = ready
        return answer
