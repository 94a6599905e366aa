"""Stored records as bytes, and which of two records for one key wins.

Conflicts arise when the backend failed and processes changed a record independently.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar

import msgspec

from feedsrv.models import Failure, Incidents, Listing, Page, RequestLog
from feedsrv.storage.clock_skew import is_future

#: Bytes of a decompressed record. A listing of a thousand papers has eight million.
_MAX_BYTES = 30_000_000
_ZLIB_LEVEL = 4

RecordT = TypeVar("RecordT", bound=msgspec.Struct)


class PageAlias(msgspec.Struct, frozen=True):
    """The page that upstream returned for another one: Friday's list on a Saturday."""

    page: Page


class Lease(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which process may send requests to upstream, and until when."""

    owner: str
    until: datetime
    #: The process that is next because a reader waits for it, and until when it has precedence.
    next_owner: str = ""
    next_until: datetime | None = None


class LastModified(msgspec.Struct, frozen=True, array_like=True):
    """The ETag that a URL last had, and since when."""

    etag: str
    changed_at: datetime


class LastModifiedBucket(msgspec.Struct, frozen=True):
    """Last-Modified values by URL, the one used longest ago first."""

    urls: dict[str, LastModified]


class IncidentLog(msgspec.Struct, frozen=True):
    """Failures that lasted long."""

    incidents: Incidents


_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}
_decoders_lock = Lock()


def encode(record: msgspec.Struct) -> tuple[bytes, int]:
    """Return the record as compressed JSON, and the bytes of the JSON.

    Compressed, also where it is short: zlib adds a checksum. SQLite and Redis have none, so that a
    flipped bit would change a date or a title.
    """
    text = msgspec.json.encode(record)
    return zlib.compress(text, _ZLIB_LEVEL), len(text)


def decode(data: bytes, type_: type[RecordT]) -> tuple[RecordT, int]:
    """Return the record, and the bytes of its JSON.

    Raises:
        msgspec.DecodeError: The data is damaged, or of another type.

    """
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(data, _MAX_BYTES)
    except zlib.error as error:
        raise msgspec.DecodeError(str(error)) from error
    if not decompressor.eof:
        raise msgspec.DecodeError("incomplete or too large")
    record: RecordT = _decoder(type_).decode(text)
    return record, len(text)


def _decoder(type_: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    """Return the decoder of the type, created by one thread at a time.

    msgspec (0.22) crashes the process with a segmentation fault if several threads at once are the
    first to decode a type.
    """
    with _decoders_lock:
        if type_ not in _decoders:
            _decoders[type_] = msgspec.json.Decoder(type_)
        return _decoders[type_]


def resolve_conflict(
    type_: type[msgspec.Struct], ours: bytes, theirs: bytes | None, now: datetime
) -> bytes:
    """Return the winner of two encoded records: the later one, ours where they are alike.

    Request logs and Last-Modified values are merged.
    """
    if theirs is None or theirs == ours:
        return ours
    try:
        mine, other = decode(ours, type_)[0], decode(theirs, type_)[0]
    except msgspec.DecodeError:
        return ours
    if isinstance(mine, RequestLog) and isinstance(other, RequestLog):
        return encode(merge_request_logs(mine, other))[0]
    if isinstance(mine, LastModifiedBucket) and isinstance(other, LastModifiedBucket):
        return encode(merge_last_modified(mine, other, now))[0]
    return theirs if _timestamp(other, now) > _timestamp(mine, now) else ours


def merge_request_logs(one: RequestLog, other: RequestLog) -> RequestLog:
    """Return the requests of both logs; those in both count once."""
    return RequestLog(
        _merge_times(one.times, other.times), _merge_times(one.adhoc_times, other.adhoc_times)
    )


def _merge_times(one: Iterable[datetime], other: Iterable[datetime]) -> tuple[datetime, ...]:
    return tuple(sorted((Counter(one) | Counter(other)).elements()))


def merge_last_modified(
    ours: LastModifiedBucket, theirs: LastModifiedBucket, now: datetime
) -> LastModifiedBucket:
    """Return the values of both, the later one of each URL."""
    urls = dict(theirs.urls)
    for url, value in ours.urls.items():
        other = urls.get(url)
        if other is None or _timestamp(other, now) <= _timestamp(value, now):
            urls[url] = value
    return LastModifiedBucket(urls)


def _timestamp(record: msgspec.Struct, now: datetime) -> float:
    """Return the time of the record, 0 where it has none or where a wrong clock wrote it."""
    match record:
        case Listing(fetched_at=time) | Failure(at=time) | LastModified(changed_at=time):
            pass
        case IncidentLog(incidents=[latest, *_]):
            time = latest.ended_at or latest.reported_at
        case Lease(until=time):
            pass
        case _:
            return 0.0
    return 0.0 if is_future(time, now) else time.timestamp()
