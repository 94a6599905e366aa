"""HTTP answers: bodies that caches and readers keep, and errors as problems.

Errors become answers in one place, by the table in `feedsrv.errors`, as problem+json (RFC 9457).
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

from flask import jsonify
from werkzeug.datastructures import Accept
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

#: Where a request's environment holds the `Standing` that it was answered with.
STANDING = "feedsrv.standing"
#: Where it holds the rule of the route that was asked for.
ROUTE = "feedsrv.route"
#: For how long readers may keep an answer, at least and at most.
_MIN_AGE, _MAX_AGE = timedelta(minutes=5), timedelta(hours=1)
#: Small and quick enough: level 9 takes three times as long for one percent.
_GZIP_LEVEL = 5
#: Characters of an Accept-Encoding that is looked at.
_MAX_ACCEPT_ENCODING = 250
#: For how many seconds a cache may show what it holds while it asks again, and while we are down.
_STALE_DIRECTIVES = "stale-while-revalidate=3600, stale-if-error=86400"


class EncodedBody(NamedTuple):
    """An answer's body, plain and packed, with its etag: a hash of the plain one."""

    body: bytes
    gzip_body: bytes
    etag: str


def encode_body(body: bytes) -> EncodedBody:
    """Return the body with all that can be made of it once, and not for each request."""
    return EncodedBody(
        body,
        # Without a time, so that the same body gives the same bytes (RFC 1952 2.3.1).
        gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0),
        hashlib.sha256(body).hexdigest()[:32],
    )


class CachedResponse(NamedTuple):
    """An answer that may be said again until something changes: `reply` says it."""

    body: bytes
    gzip_body: bytes
    etag: str
    last_modified: str
    #: Header fields with the plain body, with the packed one, and with none.
    plain_headers: tuple[tuple[str, str], ...]
    gzip_headers: tuple[tuple[str, str], ...]
    not_modified_headers: tuple[tuple[str, str], ...]
    #: Whose caches may keep it, in the words of Cache-Control.
    cache_scope: str
    #: When asking again may bring something new.
    fresh_until: datetime
    #: When the answer has to be made again, if nothing changes before.
    expires_at: datetime


class HttpResponse(NamedTuple):
    """What goes out: status line, header fields, body."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def build_cached_response(
    ready: EncodedBody,
    *,
    media_type: str,
    modified: datetime,
    fresh_until: datetime,
    until: datetime,
    private: bool,
    links: Iterable[tuple[str, str]] = (),
) -> CachedResponse:
    """Return the answer with all that can be said of it beforehand."""
    # RFC 9110 8.8.1: weak, because it is the same for the plain and the packed body.
    etag, since = f'W/"{ready.etag}"', http_date(modified)
    always = (
        ("ETag", etag),
        ("Vary", "Accept-Encoding"),
        *links,
        *security_headers(media_type, private=private).items(),
    )
    # Thunderbird sends If-Modified-Since alone, and never If-None-Match: readers get both.
    content = (
        ("Content-Type", f"{media_type}; charset=utf-8"),
        ("Last-Modified", since),
        *always,
    )
    return CachedResponse(
        body=ready.body,
        gzip_body=ready.gzip_body,
        etag=etag,
        last_modified=since,
        plain_headers=(*content, ("Content-Length", str(len(ready.body)))),
        gzip_headers=(
            *content,
            ("Content-Encoding", "gzip"),
            ("Content-Length", str(len(ready.gzip_body))),
        ),
        not_modified_headers=always,  # RFC 9110 15.4.5: what a cache needs to go on with what it holds
        cache_scope="private" if private else "public",
        fresh_until=fresh_until,
        expires_at=until,
    )


def respond_conditionally(
    standing: CachedResponse, environ: WSGIEnvironment, now: datetime
) -> HttpResponse:
    """Return the answer as this request wants it: packed or plain, or 304 to who holds it."""
    left = min(max(standing.fresh_until - now, _MIN_AGE), _MAX_AGE)
    control = _cache_control(standing.cache_scope, left.seconds)
    if _client_copy_is_current(standing, environ):
        if "HTTP_IF_MATCH" in environ:
            nothing = ("Content-Length", "0")
            return HttpResponse(
                "412 Precondition Failed", (*standing.not_modified_headers, control, nothing), b""
            )
        return HttpResponse("304 Not Modified", (*standing.not_modified_headers, control), b"")
    packs = _accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))
    headers, body = (
        (standing.gzip_headers, standing.gzip_body)
        if packs
        else (standing.plain_headers, standing.body)
    )
    is_asked_for = environ["REQUEST_METHOD"] != "HEAD"
    return HttpResponse("200 OK", (*headers, control), body if is_asked_for else b"")


@lru_cache(maxsize=2 * 3600)
def _cache_control(whose: str, max_age: int) -> tuple[str, str]:
    return "Cache-Control", f"{whose}, max-age={max_age}, {_STALE_DIRECTIVES}"


def _client_copy_is_current(standing: CachedResponse, environ: WSGIEnvironment) -> bool:
    """Tell whether the asker holds what stands here, by its conditions (RFC 9110 13)."""
    etag, since = environ.get("HTTP_IF_NONE_MATCH"), environ.get("HTTP_IF_MODIFIED_SINCE")
    if "HTTP_IF_MATCH" not in environ:
        # What nearly all send, and quickly told.
        if etag is None and since is None:
            return False
        if etag == standing.etag:
            return True
    return not is_resource_modified(environ, standing.etag, last_modified=standing.last_modified)


def _accepts_gzip(accepted: str) -> bool:
    # What no client sends is neither read nor remembered.
    return len(accepted) <= _MAX_ACCEPT_ENCODING and _parse_accepts_gzip(accepted)


@lru_cache(maxsize=256)
def _parse_accepts_gzip(accepted: str) -> bool:
    return parse_accept_header(accepted, Accept).quality("gzip") > 0


def no_store(answer: Response) -> Response:
    """Return the answer with word that nobody may keep it."""
    answer.headers["Cache-Control"] = "no-store"
    return answer


def security_headers(media_type: str, *, private: bool) -> dict[str, str]:
    """Return the header fields that keep browsers from doing more with an answer than showing it.

    What an open server tells everybody, pages of others may read too: there are readers that run
    in a browser.
    """
    fields = {"X-Content-Type-Options": "nosniff"}
    if media_type == "text/html":
        fields["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
            " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        fields["Referrer-Policy"] = "no-referrer"
    elif not private:
        fields["Access-Control-Allow-Origin"] = "*"
        fields["Access-Control-Expose-Headers"] = "ETag, Link, Retry-After"
    return fields


class Problem(NamedTuple):
    """What went wrong, as RFC 9457 has it."""

    status: int
    title: str
    headers: Mapping[str, str]
    #: The sentence under ``detail``, and whatever else helps.
    facts: Mapping[str, object]


def problem_from_error(error: FeedsrvError, **facts: object) -> Problem:
    """Return what the error's row in the table says, and the facts it carries."""
    row = ERROR_MAP[type(error)]
    headers: dict[str, str] = {}
    match error:
        case QueryError():
            facts |= {
                "query": error.query,
                "position": error.position,
                "pointer": error.with_caret(),
            }
        case NoDataYetError() | QuotaExceededError():
            # In seconds: NetNewsWire reads numbers alone.
            wait = math.ceil(error.retry_after)
            headers["Retry-After"] = str(wait)
            facts |= {"retry_after": wait}
        case UnauthorizedError():
            headers["WWW-Authenticate"] = 'Basic realm="feedsrv", charset="UTF-8"'  # RFC 7617 2
    return Problem(row.status, row.title, headers, {"detail": str(error), **facts})


def problem_from_http_error(error: HTTPException) -> Problem:
    """Return an error that the web framework found: an unknown path, a wrong method."""
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return Problem(error.code or 500, error.name, headers, {"detail": error.description})


def prefers_html(request: Request) -> bool:
    """Tell whether a browser asks: one that would rather have HTML than any feed, and says so.

    Miniflux takes HTML as gladly as feeds, to find feeds in it; it is a reader all the same.
    """
    accepted = request.accept_mimetypes
    others = ["application/problem+json", "application/atom+xml", "application/rss+xml"]
    return accepted["text/html"] > max(accepted[other] for other in others)


def problem_response(problem: Problem, page: str | None = None) -> Response:
    """Answer with a problem: as problem+json (RFC 9457), or as a page that says the same."""
    if page is None:
        answer: Response = jsonify(
            type="about:blank", title=problem.title, status=problem.status, **problem.facts
        )
        answer.mimetype = "application/problem+json"
    else:
        answer = Response(page, mimetype="text/html")
        answer.vary.add("Accept")
    answer.status_code = problem.status
    answer.headers.extend(problem.headers)
    return no_store(answer)
