"""Bytes by key in a place, and in memory while the place fails.

::

    an operation ── did it just fail there? ── what waits in memory is written ── it is done
                           │                                   │
                       in memory ──────────── it fails ────────┘

A key names the part of the place that it is in. The place may be a folder (`feedsrv.folder`) or
shared by many machines (`feedsrv.remote`); nothing here or above knows which.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import RLock
from typing import TypeVar

from feedsrv.errors import StoreError
from feedsrv.storage.backend import Backend
from feedsrv.storage.codec import StorageKey, resolve_conflict

log = logging.getLogger(__name__)

#: Values kept in memory while the place fails.
_MAX_BUFFERED = 100
#: Seconds that a place which failed is left alone, so that not every reader waits for it.
_RETRY_SECONDS = 10.0
#: Seconds for which a glance is as good as a look.
_POLL_SECONDS = 0.005
#: Seconds that it waits for a place that is far: most answer within one thousandth.
_POLL_TIMEOUT = 0.02
#: What tells of changes is no part, but it may fail by itself.
_VERSION_PART = "changes"

_Result = TypeVar("_Result")


class FallbackStore:
    """Bytes by key. Safe for threads and processes; never raises but in `probe`.

    Args:
        place: Where they are kept.
        clock: Gives seconds that never go backwards.

    """

    def __init__(self, place: Backend, clock: Callable[[], float]) -> None:
        self.backend = place
        self._clock = clock
        first = place.parts[0]
        #: To each part, the name of what fails with it.
        self._bound = {
            part: part if place.parts_fail_independently else first
            for part in (*place.parts, _VERSION_PART)
        }
        self._worth = {part: -rank for rank, part in enumerate(place.parts)}
        self._first = first
        #: What could not be written; None for what could not be deleted.
        self._memory: dict[StorageKey, bytes | None] = {}
        #: Why a part fails, and since when.
        self._troubles: dict[str, tuple[str, float]] = {}
        #: Until when its reading, or its writing, is not tried again.
        self._resting: dict[tuple[str, bool], float] = {}
        self._changed = 0
        self._looks_at = 0.0
        self._seen: object = None
        self._looking: Future[None] | None = None
        #: Starts no thread before it is needed.
        self._aside = ThreadPoolExecutor(1, "feedsrv-look")
        self._lock = RLock()
        self._returning = RLock()

    def close(self) -> None:
        """Let go of the place."""
        self._aside.shutdown()
        self.backend.close()

    def get(self, key: StorageKey) -> bytes | None:
        """Return the value; None where there is none."""
        with self._lock:
            if key in self._memory:
                return self._memory[key]
        part, name, _ = key
        try:
            return self._run(part, lambda: self.backend.get(part, name), writes=False)
        except StoreError:
            return self.backend.read_only_get(part, name)

    def set(self, key: StorageKey, value: bytes) -> None:
        """Keep the value."""
        part, name, _ = key
        try:
            self._run(part, lambda: self.backend.set(part, name, value), writes=True)
        except StoreError:
            self._remember(key, value)

    def delete(self, key: StorageKey) -> None:
        """Forget the value."""
        part, name, _ = key
        try:
            self._run(part, lambda: self.backend.delete(part, name), writes=True)
        except StoreError:
            self._remember(key, None)

    def change(
        self, key: StorageKey, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it.

        Without a place, each process changes its own.
        """
        part, name, _ = key
        try:
            return self._run(part, lambda: self.backend.change(part, name, change), writes=True)
        except StoreError:
            with self._lock:
                value = change(self.get(key))
                if value is not None:
                    self._remember(key, value)
                return value

    def touch(self, key: StorageKey) -> None:
        """Have the value outlive those of its part that were kept or touched before."""
        part, name, _ = key
        with suppress(StoreError):
            self._run(part, lambda: self.backend.touch(part, name), writes=True)

    def version(self) -> object:
        """Return what is another value after each `changed`, by whichever process.

        Of others' changes it is as it was five milliseconds ago at most. To look costs little, but
        it lets other threads go first: at ten thousand requests a second that is most of what a
        request takes.
        """
        if self._clock() >= self._looks_at:
            if self.backend.is_local:
                self.poll_version()
            else:
                self._poll_in_thread()
        return self._seen, self._changed

    def poll_version(self) -> None:
        """Have what others changed until now show in the next glance."""
        self._looks_at = self._clock() + _POLL_SECONDS
        with suppress(StoreError):  # then it is as it was when it last worked
            self._seen = self._run(_VERSION_PART, self.backend.poll_version, writes=False)
            if self._troubles and not self.backend.is_local:
                # What waits in memory comes back also where nobody writes; and here nobody waits.
                self._probe(self._first)

    def _poll_in_thread(self) -> None:
        """Look, in a thread of its own: who glances may be the thread that all readers wait for."""
        with self._lock:
            if self._looking is not None and not self._looking.done():
                return
            self._looks_at = self._clock() + _POLL_SECONDS
            self._looking = self._aside.submit(self.poll_version)
        wait((self._looking,), timeout=_POLL_TIMEOUT)

    def bump_version(self) -> None:
        """Tell every process that something was kept."""
        with self._lock:
            self._changed += 1
        with suppress(StoreError):
            self._run(_VERSION_PART, self.backend.bump_version, writes=True)
        self.poll_version()  # else it would show twice: what is made meanwhile would be made again

    def size(self) -> int:
        """Return the bytes that all this takes; 0 while nobody knows."""
        with suppress(StoreError):
            return self._run(self._first, self.backend.size, writes=False)
        return 0

    def failure(self) -> tuple[str, float] | None:
        """Return why the place fails, and for how many seconds; None while it works."""
        with self._lock:
            if not self._troubles:
                return None
            reason, since = min(self._troubles.values(), key=lambda trouble: trouble[1])
            return reason, self._clock() - since

    def check(self) -> None:
        """Write a value and read it back.

        Raises:
            StoreError: That did not work.

        """
        self._probe(self._first)
        read = self._run(self._first, lambda: self.backend.get(self._first, "probe"), writes=False)
        if read != b"1":
            raise StoreError(self.backend.name, "what was written cannot be read")

    def _probe(self, part: str) -> None:
        self._run(part, lambda: self.backend.set(part, "probe", b"1"), writes=True)

    def _run(self, part: str, work: Callable[[], _Result], *, writes: bool) -> _Result:
        """Return what the work on the part gives.

        Raises:
            StoreError: The part fails, or did a moment ago.

        """
        bound = self._bound[part]
        is_return = self._claimed(bound, writes=writes)
        try:
            if writes:
                self._write_back(bound)
            result = work()
        except StoreError as error:
            self._fails(bound, error, writes=writes)
            raise
        if writes:
            self._works(bound)
        elif is_return:
            self._is_read_again(bound)
        return result

    def _claimed(self, bound: str, *, writes: bool) -> bool:
        """Return whether this is the one thread that tries again what failed a while ago.

        Raises:
            StoreError: It rests, or another thread is trying.

        """
        with self._lock:
            now = self._clock()
            resting = self._resting.get((bound, writes))
            if resting is None:
                return False
            if now < resting:
                raise StoreError(self.backend.name, self._troubles[bound][0])
            self._resting[bound, writes] = now + _RETRY_SECONDS
            return True

    def _remember(self, key: StorageKey, value: bytes | None) -> None:
        with self._lock:
            self._memory.pop(key, None)  # so that it stands last
            self._memory[key] = value
            while len(self._memory) > _MAX_BUFFERED:
                self._memory.pop(min(self._memory, key=lambda key: self._worth[key.part]))

    def _write_back(self, bound: str) -> None:
        """Write what waits in memory, where nobody wrote anything later meanwhile."""
        if not self._waiting(bound):
            return
        # One thread at a time, so that none writes what another has meanwhile replaced; but what
        # only reads does not wait for it, as it would for `_lock`.
        with self._returning:
            for key, value in self._waiting(bound):
                if value is None:
                    self.backend.delete(key.part, key.name)
                else:
                    self.backend.change(key.part, key.name, _later(key, value))
                with self._lock:
                    if self._memory.get(key) is value:
                        self._memory.pop(key, None)

    def _waiting(self, bound: str) -> list[tuple[StorageKey, bytes | None]]:
        with self._lock:
            return [each for each in self._memory.items() if self._bound[each[0].part] == bound]

    def _fails(self, bound: str, error: StoreError, *, writes: bool) -> None:
        """Leave the part alone for a while; say so once, until all work again."""
        with self._lock:
            if not self._troubles:
                log.warning("going on from memory: %s", error)
            now = self._clock()
            self._resting[bound, writes] = now + _RETRY_SECONDS
            self._troubles.setdefault(bound, (error.reason, now))

    def _is_read_again(self, bound: str) -> None:
        """Let it be written at once too: what waits in memory hides what is there."""
        with self._lock:
            self._resting.pop((bound, False), None)
            self._resting.pop((bound, True), None)

    def _works(self, bound: str) -> None:
        """See whether the other parts work again too, which may not be written for long."""
        with self._lock:
            if self._troubles.pop(bound, None) is None:
                return
            self._resting.clear()
            others = list(self._troubles)
            if not others:
                log.info("the store at %s can be used again", self.backend.name)
        for other in others:
            with suppress(StoreError):
                self._probe(other)
        self.bump_version()


def _later(key: StorageKey, value: bytes) -> Callable[[bytes | None], bytes]:
    return lambda kept: resolve_conflict(key.kind, value, kept)
