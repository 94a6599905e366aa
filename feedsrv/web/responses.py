"""HTTP responses that can be sent again, with their validators, plain and compressed.

A view builds a `CacheableResponse`. `respond_conditionally` makes from it what is sent for one
request, in the view and in the response cache alike.
"""

import gzip
import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

from flask import Response as FlaskResponse
from werkzeug.datastructures import Headers
from werkzeug.http import http_date
from werkzeug.wrappers import Response

from feedsrv.web.conditional_requests import NOT_MODIFIED, OK, evaluate_preconditions
from feedsrv.web.content_encoding import EncodedBody, accepts_gzip, encode_body
from feedsrv.web.security_headers import security_headers

_SECOND = timedelta(seconds=1)
#: Seconds.
_MIN_MAX_AGE, _MAX_MAX_AGE = 300, 3600
#: Seconds, RFC 5861.
_STALE_DIRECTIVES = "stale-while-revalidate=3600, stale-if-error=86400"
#: Bytes from which a body is compressed.
_MIN_COMPRESSED_SIZE = 500

Header = tuple[str, str]


class Representation(NamedTuple):
    """The body of a response in one encoding, with all header fields but Cache-Control."""

    headers: tuple[Header, ...]
    #: None where it is not in memory.
    body: bytes | None


class CacheableResponse(NamedTuple):
    """A response that can be sent again until the store changes or it expires."""

    etag: str
    #: Empty where there is none.
    last_modified: str
    media_type: str
    #: Header fields of every status (RFC 9110 15.4.5).
    headers: tuple[Header, ...]
    #: Plain and gzip; without bodies until a client needs one.
    plain: Representation
    compressed: Representation
    #: The directive of Cache-Control that says whose caches may store it: public or private.
    cache_scope: str
    #: When a new request may bring something new: readers are told to wait until then.
    poll_after: datetime
    #: Until when this server may send it again.
    cacheable_until: datetime

    def size(self) -> int:
        """Return the bytes that the bodies take."""
        return len(self.plain.body or b"") + len(self.compressed.body or b"")


class HttpResponse(NamedTuple):
    """What is sent for one request."""

    status: str
    headers: list[Header]
    #: None for a body that is not in memory.
    body: bytes | None


_NO_REPRESENTATION = Representation((), None)


def build_cacheable_response(
    etag: str,
    *,
    media_type: str,
    modified: datetime | None,
    poll_after: datetime,
    cacheable_until: datetime,
    private: bool,
    headers: Iterable[Header],
) -> CacheableResponse:
    """Return a response without a body; `with_body` adds it where a client needs one.

    See `CacheableResponse`. The ETag is the hash of the body, which is UTF-8. ``modified`` is the
    value of Last-Modified.
    """
    # RFC 9110 8.8.1: weak, because it is the same for the plain and the compressed body.
    weak_etag = f'W/"{etag}"'
    return CacheableResponse(
        etag=weak_etag,
        last_modified="" if modified is None else http_date(modified),
        media_type=media_type,
        headers=(
            ("ETag", weak_etag),
            ("Vary", "Accept-Encoding"),
            *headers,
            *security_headers(media_type, private=private).items(),
        ),
        plain=_NO_REPRESENTATION,
        compressed=_NO_REPRESENTATION,
        cache_scope="private" if private else "public",
        poll_after=poll_after,
        cacheable_until=cacheable_until,
    )


def with_body(cached: CacheableResponse, body: EncodedBody) -> CacheableResponse:
    """Return the response with a body."""
    headers = (
        ("Content-Type", f"{cached.media_type}; charset=utf-8"),
        # Thunderbird sends If-Modified-Since alone, and never If-None-Match.
        *((("Last-Modified", cached.last_modified),) if cached.last_modified else ()),
        *cached.headers,
    )
    plain = (*headers, ("Content-Length", str(len(body.plain))))
    compressed = (*headers, ("Content-Encoding", "gzip"), ("Content-Length", str(len(body.gzip))))
    return cached._replace(
        plain=Representation(plain, body.plain), compressed=Representation(compressed, body.gzip)
    )


def without_uncompressed_body(cached: CacheableResponse) -> CacheableResponse:
    """Return the response with its compressed body alone, a seventh of both."""
    return cached._replace(plain=cached.plain._replace(body=None))


def with_uncompressed_body(cached: CacheableResponse) -> CacheableResponse:
    """Return the response with both bodies in memory, if it has the compressed one."""
    if cached.compressed.body is None:
        return cached
    body = gzip.decompress(cached.compressed.body)
    return cached._replace(plain=cached.plain._replace(body=body))


def preconditions_allow_body(cached: CacheableResponse, environ: WSGIEnvironment) -> bool:
    """Return whether the conditions of the request ask for the body."""
    return evaluate_preconditions(cached.etag, cached.last_modified, environ) == OK


def respond_conditionally(
    cached: CacheableResponse, environ: WSGIEnvironment, now: datetime
) -> HttpResponse:
    """Return what is sent for this request: 200, 304 or 412, plain or compressed."""
    cache_control = _cache_control(cached.cache_scope, (cached.poll_after - now) // _SECOND)
    status = evaluate_preconditions(cached.etag, cached.last_modified, environ)
    if status == OK:
        headers, body = cached.compressed if accepts_gzip(environ) else cached.plain
        if headers and environ["REQUEST_METHOD"] == "HEAD":
            body = b""
        return HttpResponse(status, [*headers, cache_control], body)
    if status == NOT_MODIFIED:
        return HttpResponse(status, [*cached.headers, cache_control], b"")
    return HttpResponse(status, [*cached.headers, cache_control, ("Content-Length", "0")], b"")


@lru_cache(maxsize=2 * _MAX_MAX_AGE)
def _cache_control(scope: str, seconds: int) -> Header:
    """Return the header for a response that changes in so many seconds."""
    max_age = min(max(seconds, _MIN_MAX_AGE), _MAX_MAX_AGE)
    return "Cache-Control", f"{scope}, max-age={max_age}, {_STALE_DIRECTIVES}"


class CacheableFlaskResponse(FlaskResponse):
    """A Flask response that carries the `CacheableResponse` from which it was made."""

    def __init__(self, cached: CacheableResponse, environ: WSGIEnvironment, now: datetime) -> None:
        response = respond_conditionally(cached, environ, now)
        # A list: for bytes, Response would set Content-Length, which would be 0 for HEAD.
        super().__init__([response.body or b""], response.status)
        self.headers = Headers(response.headers)  # and no default Content-Type
        self.cached = cached


def add_validators(response: Response, environ: WSGIEnvironment) -> None:
    """Add validators to a response with status 200 and a body of its own, and compress it.

    It becomes 304 or 412 where the conditions of the request ask for that. A response that must not
    be stored gets no validators.
    """
    body = response.get_data()
    headers = response.headers
    headers["Vary"] = "Accept-Encoding"
    if headers.get("Cache-Control") != "no-store":
        etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers["ETag"] = etag
        status = evaluate_preconditions(etag, headers.get("Last-Modified", ""), environ)
        if status != OK:
            response.status, body = status, b""
            headers.remove("Content-Type")
            response.set_data(body)
            if status == NOT_MODIFIED:
                headers.remove("Content-Length")  # RFC 9110 8.6: it would be that of a 200
            return
    if len(body) >= _MIN_COMPRESSED_SIZE and accepts_gzip(environ):
        compressed = encode_body(body).gzip
        if len(compressed) < len(body):
            headers["Content-Encoding"] = "gzip"
            response.set_data(compressed)


def set_no_store(response: Response) -> Response:
    """Return the response with a header that forbids every cache to store it."""
    response.headers["Cache-Control"] = "no-store"
    return response
