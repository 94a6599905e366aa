"""What is kept, as bytes: how it is packed, and which of two values for one key stands.

Two come about where a place to keep things was gone for a while, and each process went on alone.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from feedsrv.models import Failure, Incidents, Listing, Page, RequestLog

#: Bytes of a listing unpacked; one of a thousand papers has eight million.
_MAX_LISTING_BYTES = 30_000_000

_ZLIB_LEVEL = 4

ValueT = TypeVar("ValueT", bound=msgspec.Struct)


class StorageKey(NamedTuple):
    """Which part a value is in, its name there, and what it is."""

    part: str
    name: str
    kind: type[msgspec.Struct]


class PageAlias(msgspec.Struct, frozen=True):
    """The page that was given where another was asked for: Friday's list on a Saturday."""

    page: Page


class Lease(msgspec.Struct, frozen=True):
    """Who has the right to ask upstream, and until when."""

    owner: str
    until: datetime


class LastModified(msgspec.Struct, frozen=True):
    """What was last answered at an address, and since when."""

    etag: str
    changed_at: datetime


class IncidentLog(msgspec.Struct, frozen=True):
    """What failed for long."""

    incidents: Incidents


#: Created at import, by one thread. msgspec (0.22) crashes the process with a segmentation fault if
#: several threads at once are the first to decode a type.
_DECODERS: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (Failure, IncidentLog, LastModified, Lease, Listing, PageAlias, RequestLog)
}


def encode(value: msgspec.Struct) -> bytes:
    """Return the value as bytes."""
    data = msgspec.json.encode(value)
    # A quarter of the size, for listings hold each text three times.
    return zlib.compress(data, _ZLIB_LEVEL) if isinstance(value, Listing) else data


def decode(data: bytes, kind: type[ValueT]) -> ValueT:
    """Return the value that was packed.

    Raises:
        msgspec.DecodeError: It cannot be read: somebody else wrote it.

    """
    if kind is Listing:
        try:
            data = zlib.decompressobj().decompress(data, _MAX_LISTING_BYTES)
        except zlib.error as error:
            raise msgspec.DecodeError(str(error)) from error
    value: ValueT = _DECODERS[kind].decode(data)
    return value


def resolve_conflict(kind: type[msgspec.Struct], ours: bytes, theirs: bytes | None) -> bytes:
    """Return which of two packed values stands: the later one, ours where they are alike.

    Of requests that were made, all of both count.
    """
    if theirs is None:
        return ours
    try:
        mine, other = decode(ours, kind), decode(theirs, kind)
    except msgspec.DecodeError:
        return ours
    if isinstance(mine, RequestLog) and isinstance(other, RequestLog):
        return encode(merge_request_logs(mine, other))
    return theirs if _timestamp(other) > _timestamp(mine) else ours


def merge_request_logs(one: RequestLog, other: RequestLog) -> RequestLog:
    """Return the requests of both, those that both know of once."""
    return RequestLog(
        _merge_times(one.times, other.times), _merge_times(one.adhoc_times, other.adhoc_times)
    )


def _merge_times(one: Iterable[datetime], other: Iterable[datetime]) -> tuple[datetime, ...]:
    return tuple(sorted((Counter(one) | Counter(other)).elements()))


def _timestamp(value: msgspec.Struct) -> float:
    """Return what is more for a later value; for some, none is later than another."""
    match value:
        case Listing(fetched_at=moment) | Failure(at=moment):
            return moment.timestamp()
        case IncidentLog(incidents=[latest, *_]):
            return (latest.ended_at or latest.reported_at).timestamp()
        case Lease(until=moment) | LastModified(changed_at=moment):
            return moment.timestamp()
        case _:
            return 0.0
