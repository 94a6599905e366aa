"""HTTP answers: bodies that caches and readers keep, and errors as problems.

Errors become answers in one place, by the table in `feedsrv.errors`, as problem+json (RFC 9457).
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from flask import jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from feedsrv.errors import ANSWERS, FeedsrvError, NothingReadError, QueryError

#: Seconds for which a cache may show what it holds while this server is down.
_STALE_IF_ERROR = 86400


class Ready(NamedTuple):
    """An answer's body, plain and packed, with its etag: a hash of the plain one."""

    body: bytes
    packed: bytes
    etag: str


def ready(body: bytes) -> Ready:
    """Return the body with all that can be made of it once, and not for each request.

    Packing takes ten times as long as all the rest of a request. No time stands in it: the same
    bytes pack to the same bytes.
    """
    return Ready(body, gzip.compress(body, 6, mtime=0), hashlib.sha256(body).hexdigest()[:32])


def kept(
    ready: Ready, request: Request, *, media_type: str, max_age: int, modified: datetime
) -> Response:
    """Answer with the body, packed for those who take that, or with 304 to those who hold it."""
    packs = request.accept_encodings.quality("gzip") > 0
    answer = Response(ready.packed if packs else ready.body)
    answer.content_type = f"{media_type}; charset=utf-8"
    if packs:
        answer.headers["Content-Encoding"] = "gzip"
    # RFC 9110 15.4.5: a 304 repeats these, so they are set before it is decided.
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = (
        f"public, max-age={max_age}, stale-while-revalidate=3600, stale-if-error={_STALE_IF_ERROR}"
    )
    # RFC 9110 8.8.1: weak, because it is the same for the plain and the packed body.
    answer.set_etag(ready.etag, weak=True)
    # Thunderbird sends If-Modified-Since alone, and never If-None-Match: readers get both.
    answer.last_modified = modified
    return answer.make_conditional(request)


def uncached(answer: Response) -> Response:
    """Return the answer with word that nobody may keep it."""
    answer.headers["Cache-Control"] = "no-store"
    return answer


def harden(answer: Response) -> Response:
    """Return the answer with what keeps browsers from doing more with it than showing it."""
    answer.headers["X-Content-Type-Options"] = "nosniff"
    if answer.mimetype == "text/html":
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
            " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


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
        case NothingReadError():
            # In seconds: NetNewsWire reads numbers alone.
            headers["Retry-After"] = str(error.wait)
            facts |= {"retry_after": error.wait}
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
