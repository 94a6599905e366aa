"""Records in memory, written through to a backend that processes share.

::

    get ── current in memory? ── else from the backend, unless it fails
    set ── to the backend, unless it fails ── to memory
    thread ── what did others change? ── marks that as not current
           └─ does a failed backend work again? ── writes what memory holds, where that wins

Nothing above this module knows whether the backend works.
"""

import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from threading import Event, RLock, Thread

import msgspec
from cachetools import TTLCache

from feedsrv.errors import StoreError
from feedsrv.storage.backend import Area, Backend, StorageKey
from feedsrv.storage.circuit_breaker import CircuitBreaker
from feedsrv.storage.codec import RecordT, decode, encode
from feedsrv.storage.conflicts import resolve_conflict
from feedsrv.storage.record_memory import RecordMemory, Snapshot, make_entry, record_of

log = logging.getLogger(__name__)

#: Seconds between two polls for the changes of other processes.
_POLL_SECONDS = 0.1
#: Seconds that opening waits for a backend that answers slowly.
_MAX_OPEN_SECONDS = 0.5
#: Seconds between two touches of an evictable record that somebody polls. The searches of others
#: can fill its area within an hour; a touch is a small write.
_TOUCH_INTERVAL = 600.0
_MAX_TOUCHED = 1000
#: Attempts to replace a value that other processes change too.
_MAX_ATTEMPTS = 1000
_PROBE = StorageKey(Area.DURABLE, "probe")

#: Gets a record, or None where there is none, and returns the one to store instead. It may be
#: called again where another process changed the record meanwhile.
Change = Callable[[RecordT | None], RecordT | None]


class RecordStore:
    """Records by key, memory first. Safe for threads and processes.

    The methods that get, set or change records raise StoreError only where the backend fails and
    memory does not know whether there is a permanent one.

    Args:
        backend: Stores them.
        prefix: What the names of all records begin with.
        types: The types of cached records, by the word after the prefix. They are loaded at the
            start, and read again only after another process changed them. All others but permanent
            ones are read from the backend each time.
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
        self._memory = RecordMemory(memory_bytes)
        self._lock = self._memory.lock
        self._is_loaded = False
        #: Whether the backend has all that memory holds, or something later.
        self._is_synchronized = True
        #: Whether the backend may have lost records that it had.
        self._may_have_lost = False
        self._touched: TTLCache[StorageKey, None] = TTLCache(_MAX_TOUCHED, _TOUCH_INTERVAL, clock)
        self._to_touch: set[StorageKey] = set()
        self._version = 0
        self._has_logged_damage = False
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

    def connect(self) -> None:
        """Open the files of all areas, or make them: the first request would wait for that.

        A database that is made has all processes read their records again, this one now. A backend
        that has taken too long already is not waited for once more.
        """
        if not self._is_loaded:
            return
        with suppress(StoreError), self._breaker.guard("reads"):
            for area in Area:
                self.backend.get(StorageKey(area, _PROBE.name))
        self.poll()

    def close(self) -> None:
        """Write what is not written yet, where that is possible, and close the backend."""
        self._closing.set()
        self._thread.join()
        # Damage that is found while records are written back empties the backend once more.
        for _ in range(2):
            self.run_maintenance()
        self.backend.close()

    def version(self) -> int:
        """Return a number that changes when any process stores a versioned record."""
        return self._version

    def get(self, key: StorageKey, type_: type[RecordT]) -> RecordT | None:
        """Return the record; None where there is none."""
        if not self._opened.is_set():
            self.open()
        with self._lock:
            entry = self._memory.get(key)
            is_absent = self._is_loaded and not self._memory.may_be_in_backend(key)
            is_known = is_absent if entry is None else entry.is_current
            record = record_of(entry, type_)
        if not is_known or not self._is_cached(key):
            record = self.update(key, type_, lambda known: known)
        if record is not None and key.area is Area.EVICTABLE:
            self._touch(key)
        return record

    def set(self, key: StorageKey, record: msgspec.Struct) -> None:
        """Store the record, in memory alone until the backend works."""
        self.update(key, type(record), lambda _: record, is_conditional=False)
        with self._lock:
            self._version += self._word(key) in self._versioned

    def delete(self, key: StorageKey, type_: type[msgspec.Struct]) -> None:
        """Delete the record, in memory alone until the backend works."""
        self.update(key, type_, lambda _: None, is_conditional=False)

    def update(
        self,
        key: StorageKey,
        type_: type[RecordT],
        change: Change[RecordT],
        *,
        is_conditional: bool = True,
    ) -> RecordT | None:
        """Replace a record atomically for all processes; return the one that is stored then.

        While the backend fails, in memory alone. A change that is not conditional does not depend
        on the record before.
        """
        try:
            return self._compare_and_set(key, type_, change)
        except StoreError:
            with self._lock:
                entry = self._memory.get(key)
                if is_conditional and entry is None and key.area is Area.PERMANENT:
                    raise  # nobody knows whether there is one
                known = record_of(entry, type_)
                record = change(known)
                if record is not known or not is_conditional:
                    self._is_synchronized = False
                    size = 0 if record is None else encode(record)[1]
                    entry = make_entry(type_, record, size)._replace(was_stored=False)
                    if key.area is Area.PERMANENT:
                        self._memory.unwritten[key] = entry
                    self._memory.put(key, entry, self._memory.snapshot(key))
                return record

    def is_written(self, key: StorageKey) -> bool:
        """Return whether the backend has what memory holds of a permanent record."""
        return key not in self._memory.unwritten

    def scan(self, area: Area, prefix: str, type_: type[RecordT]) -> Iterator[tuple[str, RecordT]]:
        """Yield the name and the record of all whose names begin with the prefix, by name."""
        if not self._is_loaded:
            self.poll()  # what others change from now on is announced
            self._load()
        for key in sorted(self._memory.keys(area)):
            if key.area is area and key.name.startswith(prefix):
                record = self.get(key, type_)
                if record is not None:
                    yield key.name, record

    def poll(self) -> None:
        """See the changes that other processes announced until now."""
        with self._poll_lock, suppress(StoreError):
            with self._breaker.guard("reads"):
                keys = self.backend.changes()
            if keys is None:
                self._invalidate_all()
            elif keys:
                self._invalidate(keys)

    def size(self) -> int:
        """Return the bytes that the backend takes; 0 where that is unknown."""
        with suppress(StoreError), self._breaker.guard("reads"):
            return self.backend.size()
        return 0

    def failure(self) -> tuple[str, float] | None:
        """Return why the backend fails and for how many seconds; None while it works."""
        return self._breaker.failure()

    def check(self) -> None:
        """Write a value to the backend and read it back; raise StoreError if that fails."""
        self._write_probe()
        if self.backend.get(_PROBE) != b"1":
            raise StoreError(self.backend.name, "a value that was written cannot be read")

    def run_maintenance(self) -> None:
        """See what others changed, recover from a failure, touch what was read."""
        if self._breaker.failure() is not None:
            self._is_synchronized = False
            with suppress(StoreError):
                self._breaker.probe(lambda: self.backend.get(_PROBE), self._write_probe)
        self.poll()
        if self._breaker.failure() is None and not self._is_synchronized:
            self._synchronize()
        with suppress(StoreError):
            if not self._is_loaded:
                self._load()
            while self._to_touch:
                key = self._to_touch.pop()
                with self._breaker.guard("writes"):
                    data = self.backend.get(key)  # the same: a database writes only the time
                    self.backend.replace(key, data, data, announce=False)

    def _write_probe(self) -> None:
        self.backend.replace(_PROBE, self.backend.get(_PROBE), b"1", announce=False)

    def _load(self) -> None:
        """Read what is stored into memory, as far as there is room, and the names of the rest."""
        stored_keys = self._memory.stored_keys
        with self._breaker.guard("reads"):
            for area in Area:
                loaded = [] if area is Area.PERMANENT else self._load_records(area)
                keys = {
                    StorageKey(area, name) for name in self.backend.scan_names(area, self._prefix)
                }
                with self._lock:
                    self._memory.mark_stored(keys)
                    # What the backend has and does not find has to be written again.
                    self._is_synchronized = self._is_synchronized and keys.issuperset(loaded)
        with self._lock:
            # Other ones are collected if the backend lost what it had meanwhile.
            self._is_loaded = stored_keys is self._memory.stored_keys

    def _load_records(self, area: Area) -> list[StorageKey]:
        """Read cached records into memory, as far as there is room; return their keys."""
        seen, loaded = Snapshot(None, self._memory.poll_count), list[StorageKey]()
        for name, data in self.backend.scan(area, self._prefix):
            key = StorageKey(area, name)
            type_ = self._types.get(self._word(key))
            if type_ is None or key in self._memory:
                continue
            entry = make_entry(type_, *self._decode(key, type_, data))
            with self._lock:
                if not self._memory.has_room(area, 2 * entry.size):
                    break
                if entry.record is not None and key not in self._memory:
                    self._memory.put(key, entry, seen)
                    loaded.append(key)
        return loaded

    def _synchronize(self) -> None:
        """Write everything that memory holds where the backend lacks it or has an older record."""
        with self._lock:
            entries = [*self._memory.unwritten.items(), *self._memory.items()]
        with suppress(StoreError):
            for key, entry in entries:
                if entry.record is not None or key in self._memory.unwritten:
                    self._compare_and_set(key, entry.type, lambda known: known)
            self._is_synchronized, self._may_have_lost = True, False

    def _invalidate(self, keys: frozenset[StorageKey]) -> None:
        with self._lock:
            self._memory.invalidate(keys)
            if any(self._word(key) in self._versioned for key in keys):
                self._version += 1

    def _invalidate_all(self) -> None:
        """Reread everything: the backend lost what it had, or does not know what changed."""
        with self._lock:
            self._version += 1
            self._is_loaded = self._is_synchronized = False
            self._may_have_lost = True
            self._memory.invalidate_all()

    def _compare_and_set(
        self, key: StorageKey, type_: type[RecordT], change: Change[RecordT]
    ) -> RecordT | None:
        """Replace the record in the backend and in memory; return the new one.

        Whatever reads or writes a record does so here. Nothing is written where it stays the same.

        Raises:
            StoreError: The backend fails.
        """
        for _ in range(_MAX_ATTEMPTS):
            seen, unwritten = self._memory.snapshot(key), self._memory.unwritten.get(key)
            with self._breaker.guard("reads"):
                data = self.backend.get(key)
            stored, size = self._decode(key, type_, data)
            record = change(self._resolve(key, type_, data, stored))
            if record != stored:
                value, size = (None, 0) if record is None else encode(record)
                announce = self._is_cached(key)
                with self._breaker.guard("writes"):
                    if not self.backend.replace(key, data, value, announce=announce):
                        continue
            with self._lock:
                if self._memory.unwritten.get(key) is unwritten:
                    self._memory.unwritten.pop(key, None)
                self._memory.put(key, make_entry(type_, record, size), seen)
            return record
        raise StoreError(self.backend.name, "others change one value all the time")

    def _resolve(
        self, key: StorageKey, type_: type[RecordT], data: bytes | None, stored: RecordT | None
    ) -> RecordT | None:
        """Return what is stored, or what memory holds where the backend lost or never had it."""
        with self._lock:
            entry = self._memory.get(key)
        ours = record_of(entry, type_)
        if stored == ours:  # the same object until another one is stored
            return ours
        is_permanent, is_unwritten = key.area is Area.PERMANENT, key in self._memory.unwritten
        if stored is None or (ours is None and is_unwritten):
            was_deleted = data is None and is_permanent and not is_unwritten
            return None if was_deleted and not self._may_have_lost else ours
        if ours is None or self._is_synchronized or (is_permanent and not is_unwritten):
            return stored
        was_stored = entry is not None and entry.was_stored
        winner = resolve_conflict(ours, stored, self._now(), was_ours_stored=was_stored)
        return winner if isinstance(winner, type_) else stored

    def _is_cached(self, key: StorageKey) -> bool:
        return key.area is Area.PERMANENT or self._word(key) in self._types

    def _word(self, key: StorageKey) -> str:
        return key.name.removeprefix(self._prefix).partition(" ")[0]

    def _touch(self, key: StorageKey) -> None:
        """Have the record evicted after those that were stored or touched before; in a moment."""
        with self._lock:
            if key not in self._touched:
                self._touched[key] = None
                self._to_touch.add(key)

    def _decode(
        self, key: StorageKey, type_: type[RecordT], data: bytes | None
    ) -> tuple[RecordT | None, int]:
        """Return the record, None where none can be read, and the bytes of its JSON."""
        if data is None:
            return None, 0
        try:
            return decode(data, type_)
        except msgspec.DecodeError as error:
            if not self._has_logged_damage:  # where one cannot be read, there are often many
                self._has_logged_damage = True
                log.warning("Stored record %s ignored: %s", key.name, error)
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
