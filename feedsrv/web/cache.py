"""In-process response cache (WSGI middleware).

::

    request ── cached, current and not expired? ── response
                        │ no
                        └── address repaired ── cached, current and not expired? ── response
                                                            │ no
                                                            └── Flask ── view ── response
                                                                          └ `ResponseCache.store`

A cached response is valid until anything is stored, by any process, or until one of its listings is
due to be fetched again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from cachetools import FIFOCache

from feedsrv.web.content_encoding import accepts_gzip
from feedsrv.web.responses import (
    CacheableResponse,
    respond_conditionally,
    with_uncompressed_body,
    without_uncompressed_body,
)
from feedsrv.web.rewriting import rewrite_environ
from feedsrv.web.urls import forwarded_url_parts, is_trusted_proxy

_METHODS = {"GET", "HEAD"}
#: Bytes of memory that an entry takes beside its bodies and its key, about.
_ENTRY_OVERHEAD = 3_000

_CacheKey = tuple[str, ...]


class _CacheEntry(NamedTuple):
    cached: CacheableResponse
    #: The version of the store that the response was made from.
    version: object
    #: When it was stored. Later than now, it expires when nobody knows.
    stored_at: datetime
    #: Count a response from the cache, by status line.
    counters: Mapping[str, Callable[[], None]]
    #: Bytes.
    size: int


@dataclass(kw_only=True, eq=False)
class ResponseCache:
    """A WSGI application that sends cached responses, and leaves other requests to another one.

    Safe for threads. Reading takes no lock: it is one lookup in a dictionary. Entries are evicted
    in the order in which they were stored. This approximates LRU, because after each store change
    the entries still in use are stored again.
    """

    #: Called where there is no response in the cache. It stores responses by `store`.
    app: WSGIApplication
    #: Returns a value that changes whenever any process stores something.
    version: Callable[[], object]
    #: The clock (UTC).
    now: Callable[[], datetime]
    #: The memory that all entries may take.
    max_bytes: int
    #: Returns whether the application would refuse a request.
    is_overloaded: Callable[[], bool]
    #: Proxies whose X-Forwarded-* headers select the response.
    trusted_proxies: tuple[str, ...]

    def __post_init__(self) -> None:
        self._entries: FIFOCache[_CacheKey, _CacheEntry] = FIFOCache(
            self.max_bytes, lambda entry: entry.size
        )
        self._write_lock = Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        entry = self._find_entry(environ)
        if entry is None:
            # Only now: few addresses are rewritten, and checking one takes as long as finding it.
            environ = rewrite_environ(environ)
            entry = self._find_entry(environ)
            if entry is None:
                return self.app(environ, start_response)
        cached, now = entry.cached, self.now()
        is_current = (
            entry.version == self.version() and entry.stored_at <= now < cached.cacheable_until
        )
        # An outdated feed is better than 503: some readers drop feeds that fail.
        if not (is_current or self.is_overloaded()) or environ["REQUEST_METHOD"] not in _METHODS:
            return self.app(environ, start_response)
        status, headers, body = respond_conditionally(cached, environ, now)
        if body is None:
            cached = with_uncompressed_body(cached)
            body = cached.plain.body
            if body is None:
                return self.app(environ, start_response)
            self.store(environ, cached, entry.version, entry.counters)
        entry.counters[status]()
        start_response(status, headers)
        return [body]

    def store(
        self,
        environ: WSGIEnvironment,
        cached: CacheableResponse,
        version: object,
        counters: Mapping[str, Callable[[], None]],
    ) -> None:
        """Store a response.

        The version is that of the store before the response was made: what is stored meanwhile
        makes it stale. Most readers accept gzip, so plain bodies are kept for the others alone.
        """
        if rewrite_environ(environ) is not environ:
            return  # whoever requests this address means another one
        if accepts_gzip(environ):
            cached = without_uncompressed_body(cached)
        key = self._cache_key(environ)
        size = cached.size() + sum(map(len, key)) + _ENTRY_OVERHEAD
        with self._write_lock:
            if size <= self._entries.maxsize:
                self._entries[key] = _CacheEntry(cached, version, self.now(), counters, size)

    def _find_entry(self, environ: WSGIEnvironment) -> _CacheEntry | None:
        try:
            return self._entries[self._cache_key(environ)]
        except KeyError:
            return None

    def _cache_key(self, environ: WSGIEnvironment) -> _CacheKey:
        """Return everything in a request that selects a response, conditions and encoding aside."""
        get = environ.get
        key: _CacheKey = (
            environ["PATH_INFO"],
            get("QUERY_STRING", ""),
            get("HTTP_HOST", ""),
            environ["wsgi.url_scheme"],
            get("SCRIPT_NAME", ""),
            get("HTTP_AUTHORIZATION", ""),
        )
        proxies = self.trusted_proxies
        if proxies and is_trusted_proxy(proxies, get("REMOTE_ADDR", "")):
            key += forwarded_url_parts(environ)
        return key
