"""Records in memory: which entries there are, whether they are current, and what is dropped."""

from collections.abc import Collection, Iterable
from threading import RLock
from typing import NamedTuple

import msgspec
from cachetools import LRUCache

from feedsrv.storage.backend import Area, StorageKey
from feedsrv.storage.codec import RecordT

#: Bytes of memory per byte of JSON, and per record: measured with listings of sample papers.
_BYTES_PER_JSON_BYTE = 1.4
_BYTES_PER_RECORD = 1_000
#: One part of memory in so many is for evictable records, so that they push out no others.
_EVICTABLE_DIVISOR = 6
#: Keys of evictable records in the backend, which anybody can add: 25 MB. If there are more, it is
#: unknown which ones are stored.
_MAX_EVICTABLE_KEYS = 100_000


class Entry(NamedTuple):
    """A record in memory; None for one that is known to be absent."""

    type: type[msgspec.Struct]
    record: msgspec.Struct | None
    #: Whether nobody is known to have changed it in the backend since.
    is_current: bool
    #: Whether the backend had it once.
    was_stored: bool
    #: Bytes of memory, about.
    size: int


class Snapshot(NamedTuple):
    """What memory held before a record was read from the backend or written to it."""

    record: object
    #: The number of polls until then.
    poll_count: int


class RecordMemory:
    """Records in memory, and the keys of those in the backend.

    Safe for threads that hold its lock, over all calls that belong together.

    Args:
        max_bytes: Bytes of records. Those used longest ago are dropped first.

    """

    def __init__(self, max_bytes: int) -> None:
        evictable = max_bytes // _EVICTABLE_DIVISOR
        durable: LRUCache[StorageKey, Entry] = _lru_cache(max_bytes - evictable)
        self._caches: dict[Area, LRUCache[StorageKey, Entry]] = {
            Area.PERMANENT: durable,
            Area.DURABLE: durable,
            Area.EVICTABLE: _lru_cache(evictable),
        }
        #: Permanent records that could not be written. Nothing drops them.
        self.unwritten: dict[StorageKey, Entry] = {}
        #: Records in the backend, complete once it was loaded.
        self.stored_keys: dict[Area, set[StorageKey]] = {area: set() for area in Area}
        #: Counts polls that found changes by others: what was read before one may be outdated.
        self.poll_count = 0
        self.lock = RLock()

    def get(self, key: StorageKey) -> Entry | None:
        """Return the entry of the record; None without one."""
        return self.unwritten.get(key) or self._caches[key.area].get(key)

    def __contains__(self, key: StorageKey) -> bool:
        return key in self._caches[key.area]

    def items(self) -> list[tuple[StorageKey, Entry]]:
        """Return the entries that can be dropped, by key."""
        caches = self._caches[Area.DURABLE], self._caches[Area.EVICTABLE]
        return [item for cache in caches for item in cache.items()]

    def keys(self, area: Area) -> set[StorageKey]:
        """Return the keys of all records of the area, of others among them."""
        with self.lock:
            return {*self.stored_keys[area], *self.unwritten, *self._caches[area]}

    def mark_stored(self, keys: Iterable[StorageKey]) -> None:
        """Remember that the backend has the records."""
        for key in keys:
            stored = self.stored_keys[key.area]
            if key.area is not Area.EVICTABLE or len(stored) < _MAX_EVICTABLE_KEYS:
                stored.add(key)

    def may_be_in_backend(self, key: StorageKey) -> bool:
        """Return whether the backend may have the record."""
        stored = self.stored_keys[key.area]
        is_full = key.area is Area.EVICTABLE and len(stored) >= _MAX_EVICTABLE_KEYS
        return key in stored or is_full

    def snapshot(self, key: StorageKey) -> Snapshot:
        """Return the record in memory, and the number of polls until now."""
        with self.lock:
            entry = self._caches[key.area].get(key)
            return Snapshot(None if entry is None else entry.record, self.poll_count)

    def put(self, key: StorageKey, entry: Entry, seen: Snapshot) -> None:
        """Put the entry into memory; ``seen`` is the snapshot from before it was read."""
        cache = self._caches[key.area]
        if entry.record is not None:
            self.mark_stored([key])
        before, polls = self.snapshot(key)
        if before is not seen.record:  # another thread stored one meanwhile, perhaps a later one
            entry = cache.get(key, entry)
        entry = entry._replace(is_current=before is seen.record and polls == seen.poll_count)
        if entry.size <= cache.maxsize:
            cache[key] = entry
        else:
            cache.pop(key, None)

    def has_room(self, area: Area, size: int) -> bool:
        """Return whether more than so many bytes are free in the area."""
        cache = self._caches[area]
        return cache.currsize + size < cache.maxsize

    def invalidate(self, keys: Collection[StorageKey]) -> None:
        """Have the records read again: others changed them."""
        with self.lock:
            self.poll_count += 1
            self.mark_stored(keys)
            for key in keys:
                entry = self._caches[key.area].get(key)
                if entry is not None:
                    self._caches[key.area][key] = entry._replace(is_current=False)

    def invalidate_all(self) -> None:
        """Have every record read again; which ones the backend has is unknown."""
        with self.lock:
            self.poll_count += 1
            self.stored_keys = {area: set() for area in Area}
            for key, entry in self.items():
                self._caches[key.area][key] = entry._replace(is_current=False)


def _lru_cache(max_bytes: int) -> LRUCache[StorageKey, Entry]:
    return LRUCache(max_bytes, lambda entry: entry.size)


def make_entry(
    type_: type[msgspec.Struct], record: msgspec.Struct | None, json_bytes: int
) -> Entry:
    """Return the entry of a record that was read or written now."""
    return Entry(
        type_,
        record,
        is_current=True,
        was_stored=True,
        size=_BYTES_PER_RECORD + int(json_bytes * _BYTES_PER_JSON_BYTE),
    )


def record_of(entry: Entry | None, type_: type[RecordT]) -> RecordT | None:
    """Return the record of an entry; None without one of that type."""
    record = entry.record if entry is not None else None
    return record if isinstance(record, type_) else None
