"""Durable values: what nobody can fetch again, such as digests, first matches, subscribers.

They are never evicted, and they outlive a change of the version of what else is stored.
"""

from collections.abc import Iterator
from typing import Generic

from feedsrv.storage.backend import Area, StorageKey
from feedsrv.storage.codec import RecordT
from feedsrv.storage.record_store import Change, RecordStore


class PermanentValues(Generic[RecordT]):
    """Values of one type by name, for good. Safe for threads and processes.

    All methods but `is_written` raise StoreError where the backend fails and memory does not hold
    the value: then nobody knows whether there is one.
    """

    def __init__(self, records: RecordStore, prefix: str, type_: type[RecordT]) -> None:
        self._records = records
        self._prefix = prefix
        self._type = type_

    def get(self, name: str) -> RecordT | None:
        """Return the value; None where there is none."""
        return self._records.get(self._key(name), self._type)

    def set(self, name: str, value: RecordT) -> None:
        """Store the value, in memory until the backend works."""
        self._records.set(self._key(name), value)

    def update(self, name: str, change: Change[RecordT]) -> RecordT | None:
        """Replace a value atomically for all processes; return the one that is stored then.

        The change may be called again with another value.
        """
        return self._records.update(self._key(name), self._type, change)

    def delete(self, name: str) -> None:
        """Delete the value."""
        self._records.delete(self._key(name), self._type)

    def scan(self, prefix: str = "") -> Iterator[tuple[str, RecordT]]:
        """Yield names with this prefix and their values, by name."""
        found = self._records.scan(Area.PERMANENT, self._prefix + prefix, self._type)
        for name, value in found:
            yield name.removeprefix(self._prefix), value

    def is_written(self, name: str) -> bool:
        """Return whether the value would survive a crash: the backend has it."""
        return self._records.is_written(self._key(name))

    def _key(self, name: str) -> StorageKey:
        return StorageKey(Area.PERMANENT, self._prefix + name)
