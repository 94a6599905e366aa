"""The protocol of a storage backend: bytes by area and name."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple, Protocol


class Area(StrEnum):
    """How long a backend has to keep a value."""

    #: Kept forever and across schema versions, because it cannot be fetched again.
    PERMANENT = "permanent"
    #: Kept while the schema version stays: lists, configured searches, failures, incidents.
    DURABLE = "durable"
    #: Until there is no room: searches for anybody's keywords.
    EVICTABLE = "evictable"


class StorageKey(NamedTuple):
    """Where a value is stored."""

    area: Area
    name: str


class Changes(NamedTuple):
    """What other processes stored."""

    #: To pass to the next call.
    cursor: object
    #: The changed values; None where that is unknown, for instance because the store was lost.
    addresses: frozenset[StorageKey] | None


class Backend(Protocol):
    """Stores bytes for all processes that share it. Safe for threads.

    Every method but `close` may raise StoreError.
    """

    @property
    def name(self) -> str:
        """Its folder or URL, without a password."""

    @property
    def location(self) -> str:
        """Its kind, as `/status` shows it to everybody: "on disk", "in Redis"."""

    def close(self) -> None:
        """Close files and connections."""

    def get(self, address: StorageKey) -> bytes | None:
        """Return the value; None where there is none."""

    def set(self, address: StorageKey, value: bytes, *, announce: bool = True) -> None:
        """Store the value; ``announce`` adds it to the changes that others see."""

    def replace(
        self, address: StorageKey, expected: bytes | None, value: bytes, *, announce: bool = True
    ) -> bool:
        """Store the value if the stored one is the expected one; return whether it was."""

    def delete(self, address: StorageKey) -> None:
        """Delete the value."""

    def touch(self, address: StorageKey) -> None:
        """Have the value evicted after those that were stored or touched before."""

    def scan(self, area: Area, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield names with this prefix and their values, the latest first where that is known."""

    def changes(self, cursor: object) -> Changes:
        """Return what other processes announced since the call that returned the cursor.

        Args:
            cursor: None for the first call, which returns no addresses.

        """

    def size(self) -> int:
        """Return the bytes in use."""
