"""What is kept, as bytes: how it is packed, and which of two values for one key stands.

Two come about where a place to keep things was gone for a while, and each process went on alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec

from feedsrv import deflate
from feedsrv.freshness import Failure, Turns
from feedsrv.outage import Outages
from feedsrv.paper import Listing, Page

#: Bytes of a listing unpacked; one of a thousand papers has eight million.
_LARGEST_LISTING = 30_000_000

Kept = TypeVar("Kept", bound=msgspec.Struct)


class Key(NamedTuple):
    """Which part a value is in, its name there, and what it is."""

    part: str
    name: str
    kind: type[msgspec.Struct]


class Moved(msgspec.Struct, frozen=True):
    """The page that was given where another was asked for: Friday's list on a Saturday."""

    page: Page


class Lease(msgspec.Struct, frozen=True):
    """Who has the right to ask upstream, and until when."""

    owner: str
    until: datetime


class Stamp(msgspec.Struct, frozen=True):
    """What was last answered at an address, and since when."""

    etag: str
    modified: datetime


class Told(msgspec.Struct, frozen=True):
    """What failed for long."""

    known: Outages


def packed(value: msgspec.Struct) -> bytes:
    """Return the value as bytes."""
    data = msgspec.json.encode(value)
    # A quarter of the size, for listings hold each text three times.
    return deflate.packed(data) if isinstance(value, Listing) else data


def unpacked(data: bytes, kind: type[Kept]) -> Kept:
    """Return the value that was packed.

    Raises:
        msgspec.DecodeError: It cannot be read: somebody else wrote it.

    """
    if kind is Listing:
        try:
            data = deflate.unpacked(data, _LARGEST_LISTING)
        except ValueError:
            data = b""  # which is no JSON
    return msgspec.json.decode(data, type=kind)


def standing(kind: type[msgspec.Struct], ours: bytes, theirs: bytes | None) -> bytes:
    """Return which of two packed values stands: the later one, ours where they are alike.

    Of requests that were made, all of both count.
    """
    if theirs is None:
        return ours
    try:
        mine, other = unpacked(ours, kind), unpacked(theirs, kind)
    except msgspec.DecodeError:
        return ours
    if isinstance(mine, Turns) and isinstance(other, Turns):
        return packed(united(mine, other))
    return theirs if _moment(other) > _moment(mine) else ours


def united(one: Turns, other: Turns) -> Turns:
    """Return the requests of both, those that both know of once."""
    return Turns(_either(one.all, other.all), _either(one.adhoc, other.adhoc))


def _either(one: Iterable[datetime], other: Iterable[datetime]) -> tuple[datetime, ...]:
    return tuple(sorted((Counter(one) | Counter(other)).elements()))


def _moment(value: msgspec.Struct) -> float:
    """Return what is more for a later value; for some, none is later than another."""
    match value:
        case Listing(read_at=moment) | Failure(at=moment):
            return moment.timestamp()
        case Told(known=[latest, *_]):
            return (latest.until or latest.told_at).timestamp()
        case Lease(until=moment) | Stamp(modified=moment):
            return moment.timestamp()
        case _:
            return 0.0
