"""Conditional requests (RFC 9110 13)."""

import re
from typing import Final, Literal
from wsgiref.types import WSGIEnvironment

from werkzeug.http import parse_date, parse_etags

OK: Final = "200 OK"
NOT_MODIFIED: Final = "304 Not Modified"
PRECONDITION_FAILED: Final = "412 Precondition Failed"

#: What servers that compress responses add to an ETag: Apache ``-gzip``, others ``;gzip``.
_CODING = r"(?:[-;:.+_]+(?:x-)?(?:gzip|br|zstd|deflate|df))+"
_CODING_SUFFIX = re.compile(rf"{_CODING}$", re.IGNORECASE)
_OUTER_CODING_SUFFIX = re.compile(rf'(?<="){_CODING}(?=\s*(?:,|$))', re.IGNORECASE)


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
