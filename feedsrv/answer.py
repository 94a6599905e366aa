"""HTTP answers: bodies that caches and readers keep, and errors as problems.

Errors become answers in one place, by the table in `feedsrv.errors`, as problem+json (RFC 9457).
"""

from __future__ import annotations

import gzip
import hashlib
import math
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from flask import jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from feedsrv.errors import (
    ANSWERS,
    AccessError,
    FeedsrvError,
    NothingReadError,
    QueryError,
    TooManyError,
)

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
    ready: Ready,
    request: Request,
    *,
    media_type: str,
    max_age: int,
    modified: datetime,
    private: bool = False,
) -> Response:
    """Answer with the body, packed for those who take that, or with 304 to those who hold it."""
    packs = request.accept_encodings.quality("gzip") > 0
    answer = Response(ready.packed if packs else ready.body)
    answer.content_type = f"{media_type}; charset=utf-8"
    if packs:
        answer.headers["Content-Encoding"] = "gzip"
    # RFC 9110 15.4.5: a 304 repeats these, so they are set before it is decided.
    answer.vary.add("Accept-Encoding")
    whose = "private" if private else "public"
    answer.headers["Cache-Control"] = (
        f"{whose}, max-age={max_age}, stale-while-revalidate=3600, stale-if-error={_STALE_IF_ERROR}"
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


def harden(answer: Response, *, private: bool) -> Response:
    """Return the answer with what keeps browsers from doing more with it than showing it.

    What an open server tells everybody, pages of others may read too: there are readers that run
    in a browser.
    """
    answer.headers["X-Content-Type-Options"] = "nosniff"
    if not private and answer.mimetype != "text/html":
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers["Access-Control-Expose-Headers"] = "ETag, Link, Retry-After"
    if answer.mimetype == "text/html":
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'"
        )
        answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def problem(error: FeedsrvError, **facts: object) -> Response:
    """Answer with what the error's row in the table says, and the facts it carries."""
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
    return _problem(row.status, row.title, headers, detail=str(error), **facts)


def http_problem(error: HTTPException) -> Response:
    """Answer with an error that the web framework found: an unknown path, a wrong method."""
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return _problem(error.code or 500, error.name, headers, detail=error.description)


def _problem(status: int, title: str, headers: Mapping[str, str], **facts: object) -> Response:
    answer = jsonify(type="about:blank", title=title, status=status, **facts)
    answer.status_code = status
    answer.headers.extend(headers)
    answer.mimetype = "application/problem+json"
    return uncached(answer)
