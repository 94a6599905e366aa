"""HTTP responses: validators, conditional requests, compression, and the headers of all responses.

A view builds a `CachedResponse`. `respond_conditionally` makes from it what is sent for one
request, in the view and in the response cache alike.
"""

import gzip
import hashlib
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Literal, NamedTuple
from wsgiref.types import WSGIEnvironment

from flask import Response as FlaskResponse
from werkzeug.datastructures import Accept, Headers
from werkzeug.http import http_date, parse_accept_header, parse_date, parse_etags
from werkzeug.wrappers import Response

OK: Final = "200 OK"
NOT_MODIFIED: Final = "304 Not Modified"
PRECONDITION_FAILED: Final = "412 Precondition Failed"

_MIN_MAX_AGE, _MAX_MAX_AGE = timedelta(minutes=5), timedelta(hours=1)
#: Seconds, RFC 5861.
_STALE_DIRECTIVES = "stale-while-revalidate=3600, stale-if-error=86400"
#: Level 6 takes twice as long for a tenth fewer bytes.
_GZIP_LEVEL = 3
#: Longer values of Accept-Encoding are neither parsed nor remembered; no client sends them.
_MAX_ACCEPT_ENCODING = 250

#: What servers that compress responses add to an ETag: Apache ``-gzip``, others ``;gzip``.
_CODING = r"(?:[-;:.+_]+(?:x-)?(?:gzip|br|zstd|deflate|df))+"
_CODING_SUFFIX = re.compile(rf"{_CODING}$", re.IGNORECASE)
_OUTER_CODING_SUFFIX = re.compile(rf'(?<="){_CODING}(?=\s*(?:,|$))', re.IGNORECASE)
#: Bytes from which a body is compressed.
_MIN_COMPRESSED_SIZE = 500

ALLOWED_METHODS = "GET, HEAD, OPTIONS"
_PREFLIGHT_MAX_AGE = 86_400  # seconds

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
    #: None for a plain body that was dropped: see `without_plain_body`.
    body: bytes | None


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
        return sum(len(each.body) for each in self.representations if each.body is not None)


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
    compressed = (*headers, ("Content-Encoding", "gzip"), ("Content-Length", str(len(body.gzip))))
    return cached._replace(
        representations=(Representation(plain, body.plain), Representation(compressed, body.gzip))
    )


def without_plain_body(cached: CacheableResponse) -> CacheableResponse:
    """Return the response with its compressed body alone, a seventh of both."""
    if not cached.representations:
        return cached
    plain, compressed = cached.representations
    return cached._replace(representations=(plain._replace(body=None), compressed))


def with_plain_body(cached: CacheableResponse) -> CacheableResponse:
    """Return the response with both bodies in memory."""
    plain, compressed = cached.representations
    return cached._replace(
        representations=(plain._replace(body=_plain_body(cached.representations)), compressed)
    )


def needs_plain_body(cached: CacheableResponse, environ: WSGIEnvironment) -> bool:
    """Return whether the response to the request would have to be decompressed."""
    return (
        bool(cached.representations)
        and cached.representations[0].body is None
        and environ["REQUEST_METHOD"] != "HEAD"
        and not accepts_gzip(environ)
        and preconditions_allow_body(cached, environ)
    )


def _plain_body(representations: tuple[Representation, ...]) -> bytes:
    plain, compressed = (each.body for each in representations)
    return plain if plain is not None else gzip.decompress(compressed or b"")


def evaluate_preconditions(
    etag: str, last_modified: str, environ: WSGIEnvironment
) -> Literal["200 OK", "304 Not Modified", "412 Precondition Failed"]:
    """Return the status that the conditions of the request ask for (RFC 9110 13.2.2).

    The ETag is weak. Last-Modified may be empty.
    """
    get = environ.get
    if_match, if_none_match = get("HTTP_IF_MATCH"), get("HTTP_IF_NONE_MATCH")
    since, unmodified_since = get("HTTP_IF_MODIFIED_SINCE"), get("HTTP_IF_UNMODIFIED_SINCE")
    if if_match is not None:
        if not _has_etag(if_match, etag, weak=False):
            return PRECONDITION_FAILED
    elif unmodified_since is not None and _is_later(last_modified, unmodified_since):
        return PRECONDITION_FAILED
    if if_none_match is not None:
        # The most frequent case, without parsing.
        is_current = if_none_match == etag or _has_etag(if_none_match, etag, weak=True)
        return NOT_MODIFIED if is_current else OK
    is_dated = bool(last_modified) and since is not None and parse_date(since) is not None
    return NOT_MODIFIED if is_dated and not _is_later(last_modified, since or "") else OK


def _has_etag(header: str, etag: str, *, weak: bool) -> bool:
    """Return whether the header has the ETag, or what a server that compresses made of it.

    Weak ETags count for If-None-Match only (RFC 9110 13.1.1 and 13.1.2).
    """
    tags = parse_etags(_OUTER_CODING_SUFFIX.sub("", header))
    if tags.star_tag:
        return True
    own = etag.removeprefix("W/").strip('"')
    return any(_CODING_SUFFIX.sub("", tag) == own for tag in tags.as_set(include_weak=weak))


def _is_later(last_modified: str, header: str) -> bool:
    """Return whether Last-Modified is later than the date; false where either is missing."""
    modified, moment = parse_date(last_modified), parse_date(header)
    return modified is not None and moment is not None and modified > moment


def preconditions_allow_body(cached: CacheableResponse, environ: WSGIEnvironment) -> bool:
    """Return whether the conditions of the request ask for the body."""
    return evaluate_preconditions(cached.etag, cached.last_modified, environ) == OK


def respond_conditionally(
    cached: CacheableResponse, environ: WSGIEnvironment, now: datetime
) -> HttpResponse:
    """Return what is sent for this request: 200, 304 or 412, plain or compressed."""
    max_age = min(max(cached.poll_after - now, _MIN_MAX_AGE), _MAX_MAX_AGE)
    cache_control = _cache_control(cached.cache_scope, max_age.seconds)
    status = evaluate_preconditions(cached.etag, cached.last_modified, environ)
    match status:
        case "200 OK":
            headers, body = cached.representations[accepts_gzip(environ)]
            if environ["REQUEST_METHOD"] == "HEAD":
                body = b""
            elif body is None:
                body = _plain_body(cached.representations)
            return HttpResponse(OK, [*headers, cache_control], body)
        case "412 Precondition Failed":
            headers = (*cached.headers, cache_control, ("Content-Length", "0"))
            return HttpResponse(status, [*headers], b"")
        case "304 Not Modified":
            return HttpResponse(status, [*cached.headers, cache_control], b"")


@lru_cache(maxsize=2 * 3600)
def _cache_control(scope: str, max_age: int) -> Header:
    return "Cache-Control", f"{scope}, max-age={max_age}, {_STALE_DIRECTIVES}"


def accepts_gzip(environ: WSGIEnvironment) -> bool:
    """Return whether the client wants a compressed body."""
    accept_encoding = environ.get("HTTP_ACCEPT_ENCODING", "")
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


def options_response(path: str, *, private: bool) -> Response:
    """Return the response to OPTIONS, which a browser sends before a conditional request of a page.

    That is a preflight (Fetch standard, 4.8), which `security_headers` permits for the same URLs.
    """
    response = Response(status=HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]
    response.headers["Allow"] = ALLOWED_METHODS
    is_page = "." not in path
    if not private and not is_page:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
        response.headers["Access-Control-Allow-Headers"] = "If-None-Match, If-Modified-Since, *"
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_MAX_AGE)
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
