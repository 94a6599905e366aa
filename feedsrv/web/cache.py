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

from feedsrv.feeds.service import Service
from feedsrv.monitoring.metrics import Metrics
from feedsrv.web.responses import (
    ROUTE,
    STANDING,
    CachedResponse,
    HttpResponse,
    respond_conditionally,
)
from feedsrv.web.urls import is_trusted_proxy

_CACHEABLE_METHODS = {"GET", "HEAD"}
_OK = "200 OK"
_STATUSES = (_OK, "304 Not Modified", "412 Precondition Failed")
_FORWARDED_HEADERS = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PREFIX")
#: What an answer takes beside its bodies, about.
_OVERHEAD = 3_000

_CacheKey = tuple[str, ...]


class _CacheEntry(NamedTuple):
    standing: CachedResponse
    generation: object
    #: What counts it, by its status.
    counts: Mapping[str, Callable[[], None]]
    #: Bytes that it takes, with its name: whoever asks may make an address as long as a feed.
    size: int


def _size(ready: _CacheEntry) -> int:
    return ready.size


class ResponseCache:
    """A WSGI application that answers what is ready by itself and asks another for the rest.

    Args:
        app: The routes. They leave what may be said again in the request's environment.
        service: Tells the time, and when something was kept.

    """

    def __init__(
        self, app: WSGIApplication, service: Service, metrics: Metrics | None = None
    ) -> None:
        self._metrics = metrics or Metrics()
        self._app = app
        self._service = service
        self._responses: LRUCache[_CacheKey, _CacheEntry] = LRUCache(
            service.config.response_cache_bytes, _size
        )
        self._lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        said = self.lookup(environ)
        if said is None:
            return self._on_miss(environ, start)
        start(said.status, list(said.headers))
        return [said.body]

    def lookup(self, environ: WSGIEnvironment) -> HttpResponse | None:
        """Return the answer if it is ready, without waiting for anything; None if it is not."""
        if environ["REQUEST_METHOD"] not in _CACHEABLE_METHODS:
            return None
        try:
            with self._lock:
                ready = self._responses[self._cache_key(environ)]
        except KeyError:
            return None
        if ready.generation != self._service.version():
            return None
        now = self._service.now()
        if ready.standing.expires_at <= now:
            return None
        said = respond_conditionally(ready.standing, environ, now)
        if said.status == _OK and not ready.standing.body:  # it was made for who holds it
            return None
        ready.counts[said.status]()
        return said

    def _cache_key(self, environ: WSGIEnvironment) -> _CacheKey:
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
        if trusted and is_trusted_proxy(trusted, get("REMOTE_ADDR", "")):
            name += tuple(get(header, "") for header in _FORWARDED_HEADERS)
        return name

    def _on_miss(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer with what the routes say, and keep it where they say that it may be."""
        name = self._cache_key(environ)
        # Before anything is read: what is kept meanwhile makes the answer an old one.
        generation = self._service.version()
        metrics = self._metrics

        def counted(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            metrics.count_response(environ.get(ROUTE, "none"), status)
            return start(status, headers, *error)

        answer = self._app(environ, counted)
        standing = environ.get(STANDING)
        if standing is not None:
            size = len(standing.body) + len(standing.gzip_body) + sum(map(len, name)) + _OVERHEAD
            ready = _CacheEntry(
                standing,
                generation,
                metrics.cached_response_counters(environ[ROUTE], _STATUSES),
                size,
            )
            with self._lock:
                if size <= self._responses.maxsize:
                    self._responses[name] = ready
        return answer
