"""The protocol of a storage backend: bytes by area and name."""

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

    def get(self, key: StorageKey) -> bytes | None:
        """Return the value; None where there is none."""

    def replace(
        self, key: StorageKey, expected: bytes | None, value: bytes | None, *, announce: bool = True
    ) -> bool:
        """Store the value if the stored one is the expected one; return whether it was.

        Args:
            key: Where.
            expected: What `get` returned.
            value: The new value; None to delete the stored one.
            announce: Whether it is a change that others have to see.
        """

    def scan_names(self, area: Area, prefix: str) -> set[str]:
        """Return the names with this prefix of all values that `get` finds, maybe of others too."""

    def scan(self, area: Area, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield names with this prefix and their values, the latest first where that is known.

        Where the store is damaged, some that `get` finds may be missing.
        """

    def changes(self) -> frozenset[StorageKey] | None:
        """Return what other processes announced since the last call; nothing at the first one.

        None where that is unknown, for instance because the store was lost.
        """

    def size(self) -> int:
        """Return the bytes in use."""
