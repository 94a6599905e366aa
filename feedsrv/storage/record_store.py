"""Records in memory, written through to a backend that processes share.

::

    get ── current in memory? ── else from the backend, unless it fails
    set ── to the backend, unless it fails ── to memory
    thread ── what did others change? ── marks that as not current
           └─ does a failed backend work again? ── writes everything that memory holds

Nothing above this module knows whether the backend works.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import partial
from threading import Event, RLock, Thread
from typing import Generic, NamedTuple

import msgspec
from cachetools import LRUCache

from feedsrv.errors import StoreError
from feedsrv.storage.backend import Area, Backend, StorageKey
from feedsrv.storage.circuit_breaker import CircuitBreaker
from feedsrv.storage.codec import RecordT, decode, encode, resolve_conflict

log = logging.getLogger(__name__)

#: Seconds between two polls for the changes of other processes.
_POLL_SECONDS = 0.1
#: Seconds that opening waits for a backend that answers slowly.
_MAX_OPEN_SECONDS = 0.5
#: Bytes of memory per byte of JSON, and per record: measured with listings of sample papers.
_BYTES_PER_JSON_BYTE = 1.4
_BYTES_PER_RECORD = 1_000
#: One part of memory in so many is for evictable records, so that they push out no others.
_EVICTABLE_DIVISOR = 4
#: Attempts to replace a value that other processes change too.
_MAX_ATTEMPTS = 1000
#: Attempts to write everything back before the backend is closed.
_MAX_CLOSE_ATTEMPTS = 3
_PROBE = StorageKey(Area.DURABLE, "probe")


class RecordKey(NamedTuple, Generic[RecordT]):
    """Where a record is stored, and its type."""

    address: StorageKey
    type: type[RecordT]
    #: Whether others are told of changes. If not, the backend is read each time.
    is_announced: bool = True


class _Entry(NamedTuple):
    """A record in memory; None for one that is known to be absent."""

    key: RecordKey[msgspec.Struct]
    record: msgspec.Struct | None
    #: Hash of its bytes in the backend, where they were seen.
    digest: int | None
    is_current: bool
    json_bytes: int

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return _BYTES_PER_RECORD + int(self.json_bytes * _BYTES_PER_JSON_BYTE)


class RecordStore:
    """Records by key, memory first. Safe for threads and processes.

    Args:
        backend: Stores them.
        prefix: What the names of all records begin with.
        types: The types of records to load at the start, by the word after the prefix.
        versioned: Of these words, those that change `version`.
        memory_bytes: Bytes of records in memory. Those used longest ago are dropped first.
        now: The clock (UTC).
        clock: Returns seconds that never go backwards.

    """

    def __init__(
        self,
        backend: Backend,
        prefix: str,
        types: dict[str, type[msgspec.Struct]],
        *,
        versioned: frozenset[str],
        memory_bytes: int,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self.backend = backend
        self._prefix = prefix
        self._types = types
        self._versioned = versioned
        self._now = now
        self._breaker = CircuitBreaker(backend.name, clock)
        evictable = memory_bytes // _EVICTABLE_DIVISOR
        durable: LRUCache[StorageKey, _Entry] = _lru_cache(memory_bytes - evictable)
        self._memory: dict[Area, LRUCache[StorageKey, _Entry]] = {
            Area.PERMANENT: durable,
            Area.DURABLE: durable,
            Area.EVICTABLE: _lru_cache(evictable),
        }
        #: Permanent records that could not be written. Nothing drops them.
        self._unwritten: dict[StorageKey, _Entry] = {}
        #: Durable and permanent records in the backend, complete once it was loaded.
        self._addresses: set[StorageKey] = set()
        self._is_loaded = False
        self._is_synchronized = True
        self._touched: set[StorageKey] = set()
        self._cursor: object = None
        #: Counts polls that found changes by others: what was read before one may be outdated.
        self._polls = 0
        self._version = 0
        self._has_logged_damage = False
        self._lock = RLock()
        self._poll_lock = RLock()
        self._closing, self._opened = Event(), Event()
        self._thread = Thread(
            target=_maintain,
            args=(weakref.ref(self), self._closing, self._opened),
            name="feedsrv-storage",
            daemon=True,
        )
        self._thread.start()

    def open(self) -> None:
        """Wait until the stored records are in memory, unless the backend takes too long."""
        if not self._opened.wait(_MAX_OPEN_SECONDS):
            self._opened.set()  # nobody waits again

    def close(self) -> None:
        """Write what is not written yet, where that is possible, and close the backend."""
        self._closing.set()
        self._thread.join()
        for _ in range(_MAX_CLOSE_ATTEMPTS):
            self.run_maintenance()
            self.poll()
            # Damage that is found while records are written back empties the backend once more.
            if self._is_synchronized or self._breaker.failure() is not None:
                break
        self.backend.close()

    def version(self) -> int:
        """Return a number that changes when any process stores a versioned record."""
        return self._version

    def bump_version(self) -> None:
        """Have `version` return another number."""
        with self._lock:
            self._version += 1

    # --- records -----------------------------------------------------------------------------

    def get(self, key: RecordKey[RecordT]) -> RecordT | None:
        """Return the record; None where there is none.

        Raises:
            StoreError: It is a permanent one, not in memory, and the backend fails.

        """
        address = key.address
        if not self._opened.is_set():
            self.open()
        with self._lock:
            entry, polls = self._entry(address), self._polls
            if key.is_announced and (
                entry.is_current if entry is not None else self._is_absent(address)
            ):
                return _typed(entry, key)
        try:
            data = self._breaker.read(lambda: self.backend.get(address))
        except StoreError:
            if entry is None and address.area is Area.PERMANENT:
                raise  # nobody knows whether there is one
            return _typed(entry, key)
        if entry is not None and data is not None and hash(data) == entry.digest:
            self._remember(key, entry.record, data, polls, entry.json_bytes)
            return _typed(entry, key)
        record, size = self._decode(data, key)
        lost = _typed(entry, key) if record is None else None
        is_deleted = data is None and address.area is Area.PERMANENT and self._is_synchronized
        if lost is not None and not is_deleted:
            self.set(key, lost)
            return lost
        self._remember(key, record, data, polls, size)
        return record

    def get_from_memory(self, key: RecordKey[RecordT]) -> RecordT | None:
        """Return the record as memory holds it, outdated or not."""
        with self._lock:
            return _typed(self._entry(key.address), key)

    def records_in_memory(self, key_type: type[RecordT]) -> list[RecordT]:
        """Return all records of a type that memory holds."""
        with self._lock:
            entries = [entry for cache in self._caches() for entry in cache.values()]
        return [entry.record for entry in entries if isinstance(entry.record, key_type)]

    def set(self, key: RecordKey[RecordT], record: RecordT) -> bool:
        """Store the record; return whether the backend has it."""
        (data, size), polls = encode(record), self._polls
        try:
            self._breaker.write(
                lambda: self.backend.set(key.address, data, announce=key.is_announced)
            )
        except StoreError:
            self._remember(key, record, None, polls, size)
            return False
        self._remember(key, record, data, polls, size)
        return True

    def update(
        self, key: RecordKey[RecordT], change: Callable[[RecordT | None], RecordT | None]
    ) -> RecordT | None:
        """Replace a record atomically for all processes; without a backend, in memory alone.

        Args:
            key: The record.
            change: Gets the record and returns the new one, or None to leave it. Called again
                where another process changed the record meanwhile.

        Raises:
            StoreError: It is a permanent one, not in memory, and the backend fails.

        """
        try:
            return self._update(key, change)
        except StoreError:
            with self._lock:
                if key.address.area is Area.PERMANENT and self._entry(key.address) is None:
                    raise  # nobody knows whether there is one
                record = change(self.get_from_memory(key))
                if record is not None:
                    self._remember(key, record, None, self._polls, encode(record)[1])
                return record

    def delete(self, key: RecordKey[RecordT]) -> None:
        """Delete the record."""
        polls = self._polls
        is_written = False
        with suppress(StoreError):
            self._breaker.write(lambda: self.backend.delete(key.address))
            is_written = True
        self._remember(key, None, None, polls)
        if is_written:
            self._unwritten.pop(key.address, None)

    def is_written(self, address: StorageKey) -> bool:
        """Return whether the backend has what memory holds of a permanent record."""
        return address not in self._unwritten

    def touch(self, address: StorageKey) -> None:
        """Have the record evicted after those that were stored or touched before; in a moment."""
        self._touched.add(address)

    def scan(self, area: Area, prefix: str, type_: type[RecordT]) -> Iterator[tuple[str, RecordT]]:
        """Yield the name and the record of all whose names begin with the prefix."""
        with self._lock:
            names = [
                address.name
                for address in {*self._addresses, *self._unwritten, *self._memory[area]}
                if address.area is area and address.name.startswith(prefix)
            ]
        for name in sorted(names):
            record = self.get(RecordKey(StorageKey(area, name), type_))
            if record is not None:
                yield name, record

    # --- the backend -------------------------------------------------------------------------

    def poll(self) -> None:
        """See the changes that other processes announced until now."""
        with self._poll_lock, suppress(StoreError):
            cursor, addresses = self._breaker.read(lambda: self.backend.changes(self._cursor))
            self._cursor = cursor
            if addresses is None:
                self._invalidate_all()
            elif addresses:
                self._invalidate(addresses)

    def size(self) -> int:
        """Return the bytes that the backend takes; 0 where that is unknown."""
        with suppress(StoreError):
            return self._breaker.read(self.backend.size)
        return 0

    def failure(self) -> tuple[str, float] | None:
        """Return why the backend fails and for how many seconds; None while it works."""
        return self._breaker.failure()

    def check(self) -> None:
        """Write a value to the backend and read it back.

        Raises:
            StoreError: That failed.

        """
        self._write_probe()
        if self.backend.get(_PROBE) != b"1":
            raise StoreError(self.backend.name, "a value that was written cannot be read")

    def run_maintenance(self) -> None:
        """See what others changed, recover from a failure, touch what was asked for."""
        if self._breaker.failure() is not None:
            self._is_synchronized = False
            self._breaker.probe(lambda: self.backend.get(_PROBE), self._write_probe)
        self.poll()
        if self._breaker.failure() is None and not self._is_synchronized:
            self._synchronize()
        if not self._is_loaded:
            self._load()
        with suppress(StoreError, KeyError):
            while True:
                self._breaker.write(partial(self.backend.touch, self._touched.pop()))

    def _write_probe(self) -> None:
        self.backend.set(_PROBE, b"1", announce=False)

    def _update(
        self, key: RecordKey[RecordT], change: Callable[[RecordT | None], RecordT | None]
    ) -> RecordT | None:
        address = key.address
        for _ in range(_MAX_ATTEMPTS):
            polls = self._polls
            before = self._breaker.read(lambda: self.backend.get(address))
            stored, _ = self._decode(before, key)
            # What the backend lost is still in memory.
            record = change(stored if stored is not None else self.get_from_memory(key))
            if record is None:
                return None
            data, size = encode(record)
            if data == before or self._replace(key, before, data):
                self._remember(key, record, data, polls, size)
                return record
        raise StoreError(self.backend.name, "others change one value all the time")

    def _replace(self, key: RecordKey[RecordT], before: bytes | None, data: bytes) -> bool:
        return self._breaker.write(
            lambda: self.backend.replace(key.address, before, data, announce=key.is_announced)
        )

    def _load(self) -> None:
        """Read what is stored into memory, as far as there is room."""
        with suppress(StoreError):
            for area in (Area.DURABLE, Area.PERMANENT, Area.EVICTABLE):
                self._breaker.read(partial(self._load_area, area))
            self._is_loaded = True

    def _load_area(self, area: Area) -> None:
        has_room, cache = True, self._memory[area]
        for name, data in self.backend.scan(area, self._prefix):
            address, polls = StorageKey(area, name), self._polls
            type_ = self._types.get(name.removeprefix(self._prefix).partition(" ")[0])
            with self._lock:
                if area is not Area.EVICTABLE:
                    self._addresses.add(address)
                is_wanted = has_room and type_ is not None and address not in cache
            if type_ is not None and is_wanted:
                key = RecordKey(address, type_)
                record, size = self._decode(data, key)
                with self._lock:
                    has_room = cache.currsize + 2 * size < cache.maxsize
                    if has_room and record is not None and address not in cache:
                        self._remember(key, record, data, polls, size)
            if not has_room and area is Area.EVICTABLE:
                return

    def _synchronize(self) -> None:
        """Write everything that memory holds where the backend lacks it or has an older record."""
        with self._lock:
            entries = [*self._unwritten.values(), *self._memory[Area.DURABLE].values()]
            entries += self._memory[Area.EVICTABLE].values()
        with suppress(StoreError):
            for entry in entries:
                if entry.record is not None:
                    self._write_back(entry.key)
                elif entry.key.address in self._unwritten:
                    self.delete(entry.key)
            self._is_synchronized = True

    def _write_back(self, key: RecordKey[msgspec.Struct]) -> None:
        """Write the record of memory unless the backend's is later, which memory gets then."""
        for _ in range(_MAX_ATTEMPTS):
            with self._lock:
                entry, polls = self._entry(key.address), self._polls
            if entry is None or entry.record is None:
                return
            before = self._breaker.read(lambda: self.backend.get(key.address))
            if before is not None and hash(before) == entry.digest:
                data = before
            else:
                data = resolve_conflict(key.type, encode(entry.record)[0], before, self._now())
            if data == before or self._replace(key, before, data):
                self._adopt(key, entry, data, polls)
                return

    def _adopt(
        self, key: RecordKey[msgspec.Struct], entry: _Entry, data: bytes, polls: int
    ) -> None:
        """Have memory hold what was written back in place of the entry."""
        with self._lock:
            if self._entry(key.address) is not entry:
                return  # stored again meanwhile
            record, size = self._decode(data, key)
            if record == entry.record:  # the same object until another one is stored
                record = entry.record
            elif self._word(key.address) in self._versioned:
                self._version += 1
            self._remember(key, record, data, polls, size)

    def _invalidate(self, addresses: frozenset[StorageKey]) -> None:
        with self._lock:
            self._polls += 1
            for address in addresses:
                if address.area is not Area.EVICTABLE:
                    self._addresses.add(address)
                entry = self._memory[address.area].get(address)
                if entry is not None:
                    self._memory[address.area][address] = entry._replace(is_current=False)
            if any(self._word(address) in self._versioned for address in addresses):
                self._version += 1

    def _invalidate_all(self) -> None:
        """Reread everything: the backend lost what it had, or does not know what changed."""
        with self._lock:
            self._polls += 1
            self._version += 1
            self._is_loaded = self._is_synchronized = False
            self._addresses.clear()
            for cache in self._caches():
                for address, entry in list(cache.items()):
                    cache[address] = entry._replace(is_current=False)

    # --- memory ------------------------------------------------------------------------------

    def _caches(self) -> tuple[LRUCache[StorageKey, _Entry], ...]:
        return self._memory[Area.DURABLE], self._memory[Area.EVICTABLE]

    def _entry(self, address: StorageKey) -> _Entry | None:
        return self._memory[address.area].get(address) or self._unwritten.get(address)

    def _is_absent(self, address: StorageKey) -> bool:
        """Return whether the backend is known not to have it."""
        is_listed = self._is_loaded and address.area is not Area.EVICTABLE
        return is_listed and address not in self._addresses

    def _word(self, address: StorageKey) -> str:
        return address.name.removeprefix(self._prefix).partition(" ")[0]

    def _remember(
        self,
        key: RecordKey[RecordT],
        record: msgspec.Struct | None,
        data: bytes | None,
        polls: int,
        json_bytes: int = 0,
    ) -> None:
        """Put the record into memory; ``polls`` is their number before the backend was used."""
        address = key.address
        with self._lock:
            entry = _Entry(
                RecordKey(address, key.type, key.is_announced),
                record,
                None if data is None else hash(data),
                polls == self._polls,
                json_bytes,
            )
            if record is not None and address.area is not Area.EVICTABLE:
                self._addresses.add(address)
            self._unwritten.pop(address, None)
            if address.area is Area.PERMANENT and data is None:
                self._unwritten[address] = entry
            cache = self._memory[address.area]
            if entry.size <= cache.maxsize:
                cache[address] = entry
            else:
                cache.pop(address, None)

    def _decode(self, data: bytes | None, key: RecordKey[RecordT]) -> tuple[RecordT | None, int]:
        """Return the record and the bytes of its JSON; None where none can be read."""
        if data is None:
            return None, 0
        try:
            return decode(data, key.type)
        except msgspec.DecodeError as error:
            if not self._has_logged_damage:  # where one cannot be read, there are often many
                self._has_logged_damage = True
                log.warning("Stored record %s ignored: %s", key.address.name, error)
            return None, 0


def _maintain(reference: weakref.ref[RecordStore], closing: Event, opened: Event) -> None:
    """Run the maintenance of a store until it is closed or nobody uses it."""
    while not closing.is_set():
        store = reference()
        if store is None:
            return
        try:
            store.run_maintenance()
        except Exception:
            log.exception("Storage maintenance failed")
        opened.set()
        del store
        closing.wait(_POLL_SECONDS)
    if (store := reference()) is not None:
        store.backend.close()  # this thread's connections


def _lru_cache(max_bytes: int) -> LRUCache[StorageKey, _Entry]:
    return LRUCache(max_bytes, lambda entry: entry.size)


def _typed(entry: _Entry | None, key: RecordKey[RecordT]) -> RecordT | None:
    record = entry.record if entry is not None else None
    return record if isinstance(record, key.type) else None
