"""HTTP answers: bodies that caches and readers keep, and errors as problems.

Errors become answers in one place, by the table in `feedsrv.errors`, as problem+json (RFC 9457).
"""

from __future__ import annotations

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

from feedsrv.deflate import gzipped
from feedsrv.errors import (
    ANSWERS,
    AccessError,
    FeedsrvError,
    NothingReadError,
    QueryError,
    TooManyError,
)

#: Where a request's environment holds the `Standing` that it was answered with.
STANDING = "feedsrv.standing"
#: Where it holds the rule of the route that was asked for.
ROUTE = "feedsrv.route"
#: For how long readers may keep an answer, at least and at most.
_LEAST_AGE, _MOST_AGE = timedelta(minutes=5), timedelta(hours=1)
#: Characters of an Accept-Encoding that is looked at.
_LONGEST_ACCEPTED = 250
#: For how many seconds a cache may show what it holds while it asks again, and while we are down.
_WHEN_STALE = "stale-while-revalidate=3600, stale-if-error=86400"


class Ready(NamedTuple):
    """An answer's body, plain and packed, with its etag: a hash of the plain one."""

    body: bytes
    packed: bytes
    etag: str


def ready(body: bytes) -> Ready:
    """Return the body with all that can be made of it once, and not for each request."""
    return Ready(body, gzipped(body), hashlib.sha256(body).hexdigest()[:32])


class Standing(NamedTuple):
    """An answer that may be said again until something changes: `reply` says it."""

    body: bytes
    packed: bytes
    etag: str
    modified: str
    #: Header fields with the plain body, with the packed one, and with none.
    plain: tuple[tuple[str, str], ...]
    gzip: tuple[tuple[str, str], ...]
    unchanged: tuple[tuple[str, str], ...]
    #: Whose caches may keep it, in the words of Cache-Control.
    whose: str
    #: When asking again may bring something new.
    fresh_until: datetime
    #: When the answer has to be made again, if nothing changes before.
    until: datetime


class Reply(NamedTuple):
    """What goes out: status line, header fields, body."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def standing(
    ready: Ready,
    *,
    media_type: str,
    modified: datetime,
    fresh_until: datetime,
    until: datetime,
    private: bool,
    links: Iterable[tuple[str, str]] = (),
) -> Standing:
    """Return the answer with all that can be said of it beforehand."""
    # RFC 9110 8.8.1: weak, because it is the same for the plain and the packed body.
    etag, since = f'W/"{ready.etag}"', http_date(modified)
    always = (
        ("ETag", etag),
        ("Vary", "Accept-Encoding"),
        *links,
        *hardening(media_type, private=private).items(),
    )
    # Thunderbird sends If-Modified-Since alone, and never If-None-Match: readers get both.
    content = (
        ("Content-Type", f"{media_type}; charset=utf-8"),
        ("Last-Modified", since),
        *always,
    )
    return Standing(
        body=ready.body,
        packed=ready.packed,
        etag=etag,
        modified=since,
        plain=(*content, ("Content-Length", str(len(ready.body)))),
        gzip=(
            *content,
            ("Content-Encoding", "gzip"),
            ("Content-Length", str(len(ready.packed))),
        ),
        unchanged=always,  # RFC 9110 15.4.5: what a cache needs to go on with what it holds
        whose="private" if private else "public",
        fresh_until=fresh_until,
        until=until,
    )


def reply(standing: Standing, environ: WSGIEnvironment, now: datetime) -> Reply:
    """Return the answer as this request wants it: packed or plain, or 304 to who holds it."""
    left = min(max(standing.fresh_until - now, _LEAST_AGE), _MOST_AGE)
    control = _control(standing.whose, left.seconds)
    if _holds(standing, environ):
        if "HTTP_IF_MATCH" in environ:
            nothing = ("Content-Length", "0")
            return Reply("412 Precondition Failed", (*standing.unchanged, control, nothing), b"")
        return Reply("304 Not Modified", (*standing.unchanged, control), b"")
    packs = _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", ""))
    headers, body = (standing.gzip, standing.packed) if packs else (standing.plain, standing.body)
    is_asked_for = environ["REQUEST_METHOD"] != "HEAD"
    return Reply("200 OK", (*headers, control), body if is_asked_for else b"")


@lru_cache(maxsize=2 * 3600)
def _control(whose: str, max_age: int) -> tuple[str, str]:
    return "Cache-Control", f"{whose}, max-age={max_age}, {_WHEN_STALE}"


def _holds(standing: Standing, environ: WSGIEnvironment) -> bool:
    """Tell whether the asker holds what stands here, by its conditions (RFC 9110 13)."""
    etag, since = environ.get("HTTP_IF_NONE_MATCH"), environ.get("HTTP_IF_MODIFIED_SINCE")
    if "HTTP_IF_MATCH" not in environ:
        # What nearly all send, and quickly told.
        if etag is None and since is None:
            return False
        if etag == standing.etag:
            return True
    return not is_resource_modified(environ, standing.etag, last_modified=standing.modified)


def _takes_gzip(accepted: str) -> bool:
    # What no client sends is neither read nor remembered.
    return len(accepted) <= _LONGEST_ACCEPTED and _knows_gzip(accepted)


@lru_cache(maxsize=256)
def _knows_gzip(accepted: str) -> bool:
    return parse_accept_header(accepted, Accept).quality("gzip") > 0


def uncached(answer: Response) -> Response:
    """Return the answer with word that nobody may keep it."""
    answer.headers["Cache-Control"] = "no-store"
    return answer


def hardening(media_type: str, *, private: bool) -> dict[str, str]:
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


def problem(error: FeedsrvError, **facts: object) -> Problem:
    """Return what the error's row in the table says, and the facts it carries."""
    row = ANSWERS[type(error)]
    headers: dict[str, str] = {}
    match error:
        case QueryError():
            facts |= {"query": error.query, "position": error.position, "pointer": error.pointer()}
        case NothingReadError() | TooManyError():
            # In seconds: NetNewsWire reads numbers alone.
            wait = math.ceil(error.wait)
            headers["Retry-After"] = str(wait)
            facts |= {"retry_after": wait}
        case AccessError():
            headers["WWW-Authenticate"] = 'Basic realm="feedsrv", charset="UTF-8"'  # RFC 7617 2
    return Problem(row.status, row.title, headers, {"detail": str(error), **facts})


def http_problem(error: HTTPException) -> Problem:
    """Return an error that the web framework found: an unknown path, a wrong method."""
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return Problem(error.code or 500, error.name, headers, {"detail": error.description})


def is_for_people(request: Request) -> bool:
    """Tell whether a browser asks: one that would rather have HTML than any feed, and says so.

    Miniflux takes HTML as gladly as feeds, to find feeds in it; it is a reader all the same.
    """
    accepted = request.accept_mimetypes
    others = ["application/problem+json", "application/atom+xml", "application/rss+xml"]
    return accepted["text/html"] > max(accepted[other] for other in others)


def refused(problem: Problem, page: str | None = None) -> Response:
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
    return uncached(answer)
