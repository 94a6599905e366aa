"""HTTP responses: cacheable ones with their validators, and errors as problem+json (RFC 9457).

A view builds a `CachedResponse`. `respond_conditionally` makes from it what is sent for one
request, in the view and in the response cache alike.
"""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

from flask import Response as FlaskResponse
from flask import jsonify
from werkzeug.datastructures import Accept, Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import http_date, is_resource_modified, parse_accept_header
from werkzeug.wrappers import Request, Response

from feedsrv.errors import (
    ERROR_MAP,
    FeedsrvError,
    NoDataYetError,
    QueryError,
    QuotaExceededError,
    UnauthorizedError,
)

OK = "200 OK"
NOT_MODIFIED = "304 Not Modified"
PRECONDITION_FAILED = "412 Precondition Failed"

_MIN_MAX_AGE, _MAX_MAX_AGE = timedelta(minutes=5), timedelta(hours=1)
#: Seconds, RFC 5861.
_STALE_DIRECTIVES = "stale-while-revalidate=3600, stale-if-error=86400"
#: Level 9 takes three times as long for one percent.
_GZIP_LEVEL = 5
#: Longer values of Accept-Encoding are neither parsed nor remembered; no client sends them.
_MAX_ACCEPT_ENCODING = 250

Header = tuple[str, str]


class EncodedBody(NamedTuple):
    """A body, plain and compressed, and its ETag: a hash of the plain one."""

    plain: bytes
    gzip: bytes
    etag: str


def encode_body(body: bytes) -> EncodedBody:
    """Return the body with its compressed form and its ETag."""
    return EncodedBody(
        body,
        # Without a time, so that the same body gives the same bytes (RFC 1952 2.3.1).
        gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0),
        hashlib.sha256(body).hexdigest()[:32],
    )


class Representation(NamedTuple):
    """The body of a response in one encoding, with all header fields but Cache-Control."""

    headers: tuple[Header, ...]
    body: bytes


class CacheableResponse(NamedTuple):
    """A response that can be sent again until the store changes or it expires."""

    etag: str
    #: Empty where there is none.
    last_modified: str
    media_type: str
    #: Header fields of every status (RFC 9110 15.4.5).
    headers: tuple[Header, ...]
    #: Plain and gzip; none until a client needs a body.
    representations: tuple[Representation, ...]
    #: The directive of Cache-Control that says whose caches may store it: public or private.
    cache_scope: str
    #: When a new request may bring something new: readers are told to wait until then.
    poll_after: datetime
    #: Until when this server may send it again.
    cacheable_until: datetime

    def size(self) -> int:
        """Return the bytes that the bodies take."""
        return sum(len(representation.body) for representation in self.representations)


class HttpResponse(NamedTuple):
    """What is sent for one request."""

    status: str
    headers: list[Header]
    body: bytes


def build_cacheable_response(
    etag: str,
    *,
    media_type: str,
    modified: datetime | None,
    poll_after: datetime,
    cacheable_until: datetime,
    private: bool,
    headers: Iterable[Header] = (),
) -> CacheableResponse:
    """Return a response without a body; `with_body` adds it where a client needs one.

    Args:
        etag: The hash of the body.
        media_type: The media type of the body, which is UTF-8.
        modified: The value of Last-Modified; None for a response without it.
        poll_after: When the next request may find a change.
        cacheable_until: Until when this server may send the response again.
        private: Whether shared caches must not store it.
        headers: Further header fields.

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
        representations=(),
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
    compressed = (
        *headers,
        ("Content-Encoding", "gzip"),
        ("Content-Length", str(len(body.gzip))),
    )
    return cached._replace(
        representations=(Representation(plain, body.plain), Representation(compressed, body.gzip))
    )


def preconditions_allow_body(cached: CacheableResponse, environ: WSGIEnvironment) -> bool:
    """Return whether the conditions of the request ask for the body (RFC 9110 13)."""
    if_none_match = environ.get("HTTP_IF_NONE_MATCH")
    if "HTTP_IF_MATCH" not in environ:
        # The two most frequent cases, without parsing.
        if if_none_match is None and "HTTP_IF_MODIFIED_SINCE" not in environ:
            return True
        if if_none_match == cached.etag:
            return False
    return is_resource_modified(environ, cached.etag, last_modified=cached.last_modified)


def respond_conditionally(
    cached: CacheableResponse, environ: WSGIEnvironment, now: datetime
) -> HttpResponse:
    """Return what is sent for this request: 200, 304 or 412, plain or compressed.

    Args:
        cached: The response; with a body where the request needs one.
        environ: The WSGI environment of the request.
        now: The current time.

    """
    max_age = min(max(cached.poll_after - now, _MIN_MAX_AGE), _MAX_MAX_AGE)
    cache_control = _cache_control(cached.cache_scope, max_age.seconds)
    if preconditions_allow_body(cached, environ):
        wants_gzip = _accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))
        headers, body = cached.representations[wants_gzip]
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        return HttpResponse(OK, [*headers, cache_control], b"" if is_head else body)
    if "HTTP_IF_MATCH" in environ:
        headers = (*cached.headers, cache_control, ("Content-Length", "0"))
        return HttpResponse(PRECONDITION_FAILED, [*headers], b"")
    return HttpResponse(NOT_MODIFIED, [*cached.headers, cache_control], b"")


@lru_cache(maxsize=2 * 3600)
def _cache_control(scope: str, max_age: int) -> Header:
    return "Cache-Control", f"{scope}, max-age={max_age}, {_STALE_DIRECTIVES}"


def _accepts_gzip(accept_encoding: str) -> bool:
    return len(accept_encoding) <= _MAX_ACCEPT_ENCODING and _parse_accepts_gzip(accept_encoding)


@lru_cache(maxsize=256)
def _parse_accepts_gzip(accept_encoding: str) -> bool:
    return parse_accept_header(accept_encoding, Accept).quality("gzip") > 0


class CacheableFlaskResponse(FlaskResponse):
    """A Flask response that carries the `CachedResponse` from which it was made."""

    def __init__(self, cached: CacheableResponse, environ: WSGIEnvironment, now: datetime) -> None:
        response = respond_conditionally(cached, environ, now)
        # A list: for bytes, Response would set Content-Length, which would be 0 for HEAD.
        super().__init__([response.body], response.status)
        self.headers = Headers(response.headers)  # and no default Content-Type
        self.cached = cached


def set_no_store(response: Response) -> Response:
    """Return the response with a header that forbids every cache to store it."""
    response.headers["Cache-Control"] = "no-store"
    return response


def security_headers(media_type: str, *, private: bool) -> dict[str, str]:
    """Return the header fields that restrict what a browser does with a response.

    Feeds of a public server may be read by pages of other origins: some readers run in a browser.
    """
    headers = {"X-Content-Type-Options": "nosniff"}
    if media_type == "text/html":
        headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
            " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        headers["Referrer-Policy"] = "no-referrer"
    elif not private:
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Expose-Headers"] = "ETag, Link, Retry-After"
    return headers


class Problem(NamedTuple):
    """An error as RFC 9457 describes it."""

    status: int
    title: str
    headers: Mapping[str, str]
    #: ``detail`` and further members.
    members: Mapping[str, object]


def problem_from_error(error: FeedsrvError, **facts: object) -> Problem:
    """Return the problem for one of our errors: its row of the table, and the facts it carries."""
    mapping = ERROR_MAP[type(error)]
    headers: dict[str, str] = {}
    match error:
        case QueryError():
            facts |= {
                "query": error.query,
                "position": error.position,
                "pointer": error.with_caret(),
            }
        case NoDataYetError() | QuotaExceededError():
            # In seconds: NetNewsWire parses numbers only.
            retry_after = math.ceil(error.retry_after)
            headers["Retry-After"] = str(retry_after)
            facts |= {"retry_after": retry_after}
        case UnauthorizedError():
            headers["WWW-Authenticate"] = 'Basic realm="feedsrv", charset="UTF-8"'  # RFC 7617 2
    return Problem(mapping.status, mapping.title, headers, {"detail": str(error), **facts})


def problem_from_http_error(error: HTTPException) -> Problem:
    """Return the problem for an error of the web framework: an unknown path, a wrong method."""
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return Problem(error.code or 500, error.name, headers, {"detail": error.description})


def prefers_html(request: Request) -> bool:
    """Return whether the client is a browser: it prefers HTML to every kind of feed.

    Miniflux accepts HTML as much as feeds, to find feeds in it; it is a feed reader all the same.
    """
    accepted = request.accept_mimetypes
    others = ["application/problem+json", "application/atom+xml", "application/rss+xml"]
    return accepted["text/html"] > max(accepted[other] for other in others)


def problem_response(problem: Problem, page: str | None = None) -> Response:
    """Return the response for a problem: problem+json, or the page where one is given."""
    if page is None:
        response: Response = jsonify(
            type="about:blank", title=problem.title, status=problem.status, **problem.members
        )
        response.mimetype = "application/problem+json"
    else:
        response = Response(page, mimetype="text/html")
        response.vary.add("Accept")
    response.status_code = problem.status
    response.headers.extend(problem.headers)
    return set_no_store(response)
