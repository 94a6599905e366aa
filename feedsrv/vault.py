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
from typing import Protocol, TypeVar

from feedsrv.errors import StoreError
from feedsrv.value import Key, standing

log = logging.getLogger(__name__)

#: Values kept in memory while the place fails.
_MOST_IN_MEMORY = 100
#: Seconds that a place which failed is left alone, so that not every reader waits for it.
_REST = 10.0
#: Seconds for which a glance is as good as a look.
_GLANCE = 0.005
#: Seconds that it waits for a place that is far: most answer within one thousandth.
_QUICK = 0.02
#: What tells of changes is no part, but it may fail by itself.
_CHANGES = "changes"

_Result = TypeVar("_Result")


class Place(Protocol):
    """Where bytes are kept, by part and name, for all processes that share it.

    Every method but `close` and `peek` may raise StoreError.
    """

    @property
    def name(self) -> str:
        """What it is called in messages, without anything secret."""

    @property
    def where(self) -> str:
        """The same for everybody: on what, or in what."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its parts, the one that matters most first."""

    @property
    def apart(self) -> bool:
        """Whether a part may fail while the others work."""

    @property
    def near(self) -> bool:
        """Whether `notice` takes no time, whatever happens."""

    def close(self) -> None:
        """Let go of it."""

    def get(self, part: str, name: str) -> bytes | None:
        """Return the value; None where there is none."""

    def peek(self, part: str, name: str) -> bytes | None:
        """Return what can be had of a value although `get` fails; None for nothing."""

    def set(self, part: str, name: str, value: bytes) -> None:
        """Keep the value."""

    def delete(self, part: str, name: str) -> None:
        """Forget the value."""

    def change(
        self, part: str, name: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it."""

    def touch(self, part: str, name: str) -> None:
        """Have the value outlive those of its part that were kept or touched before."""

    def notice(self) -> object:
        """Return what is another value after each `tell`, by whichever process."""

    def tell(self) -> None:
        """Tell every process that something was kept."""

    def size(self) -> int:
        """Return the bytes that all this takes."""


class Vault:
    """Bytes by key. Safe for threads and processes; never raises but in `probe`.

    Args:
        place: Where they are kept.
        clock: Gives seconds that never go backwards.

    """

    def __init__(self, place: Place, clock: Callable[[], float]) -> None:
        self.place = place
        self._clock = clock
        first = place.parts[0]
        #: To each part, the name of what fails with it.
        self._bound = {part: part if place.apart else first for part in (*place.parts, _CHANGES)}
        self._worth = {part: -rank for rank, part in enumerate(place.parts)}
        self._first = first
        #: What could not be written; None for what could not be deleted.
        self._memory: dict[Key, bytes | None] = {}
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
        self.place.close()

    def get(self, key: Key) -> bytes | None:
        """Return the value; None where there is none."""
        with self._lock:
            if key in self._memory:
                return self._memory[key]
        part, name, _ = key
        try:
            return self._done(part, lambda: self.place.get(part, name), writes=False)
        except StoreError:
            return self.place.peek(part, name)

    def set(self, key: Key, value: bytes) -> None:
        """Keep the value."""
        part, name, _ = key
        try:
            self._done(part, lambda: self.place.set(part, name, value), writes=True)
        except StoreError:
            self._remember(key, value)

    def delete(self, key: Key) -> None:
        """Forget the value."""
        part, name, _ = key
        try:
            self._done(part, lambda: self.place.delete(part, name), writes=True)
        except StoreError:
            self._remember(key, None)

    def change(self, key: Key, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it.

        Without a place, each process changes its own.
        """
        part, name, _ = key
        try:
            return self._done(part, lambda: self.place.change(part, name, change), writes=True)
        except StoreError:
            with self._lock:
                value = change(self.get(key))
                if value is not None:
                    self._remember(key, value)
                return value

    def touch(self, key: Key) -> None:
        """Have the value outlive those of its part that were kept or touched before."""
        part, name, _ = key
        with suppress(StoreError):
            self._done(part, lambda: self.place.touch(part, name), writes=True)

    def glance(self) -> object:
        """Return what is another value after each `changed`, by whichever process.

        Of others' changes it is as it was five milliseconds ago at most. To look costs little, but
        it lets other threads go first: at ten thousand requests a second that is most of what a
        request takes.
        """
        if self._clock() >= self._looks_at:
            if self.place.near:
                self.look()
            else:
                self._look_aside()
        return self._seen, self._changed

    def look(self) -> None:
        """Have what others changed until now show in the next glance."""
        self._looks_at = self._clock() + _GLANCE
        with suppress(StoreError):  # then it is as it was when it last worked
            self._seen = self._done(_CHANGES, self.place.notice, writes=False)
            if self._troubles and not self.place.near:
                # What waits in memory comes back also where nobody writes; and here nobody waits.
                self._probe(self._first)

    def _look_aside(self) -> None:
        """Look, in a thread of its own: who glances may be the thread that all readers wait for."""
        with self._lock:
            if self._looking is not None and not self._looking.done():
                return
            self._looks_at = self._clock() + _GLANCE
            self._looking = self._aside.submit(self.look)
        wait((self._looking,), timeout=_QUICK)

    def changed(self) -> None:
        """Tell every process that something was kept."""
        with self._lock:
            self._changed += 1
        with suppress(StoreError):
            self._done(_CHANGES, self.place.tell, writes=True)
        self.look()  # else it would show twice: what is made meanwhile would be made again

    def size(self) -> int:
        """Return the bytes that all this takes; 0 while nobody knows."""
        with suppress(StoreError):
            return self._done(self._first, self.place.size, writes=False)
        return 0

    def trouble(self) -> tuple[str, float] | None:
        """Return why the place fails, and for how many seconds; None while it works."""
        with self._lock:
            if not self._troubles:
                return None
            reason, since = min(self._troubles.values(), key=lambda trouble: trouble[1])
            return reason, self._clock() - since

    def probe(self) -> None:
        """Write a value and read it back.

        Raises:
            StoreError: That did not work.

        """
        self._probe(self._first)
        read = self._done(self._first, lambda: self.place.get(self._first, "probe"), writes=False)
        if read != b"1":
            raise StoreError(self.place.name, "what was written cannot be read")

    def _probe(self, part: str) -> None:
        self._done(part, lambda: self.place.set(part, "probe", b"1"), writes=True)

    def _done(self, part: str, work: Callable[[], _Result], *, writes: bool) -> _Result:
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
                raise StoreError(self.place.name, self._troubles[bound][0])
            self._resting[bound, writes] = now + _REST
            return True

    def _remember(self, key: Key, value: bytes | None) -> None:
        with self._lock:
            self._memory.pop(key, None)  # so that it stands last
            self._memory[key] = value
            while len(self._memory) > _MOST_IN_MEMORY:
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
                    self.place.delete(key.part, key.name)
                else:
                    self.place.change(key.part, key.name, _later(key, value))
                with self._lock:
                    if self._memory.get(key) is value:
                        self._memory.pop(key, None)

    def _waiting(self, bound: str) -> list[tuple[Key, bytes | None]]:
        with self._lock:
            return [each for each in self._memory.items() if self._bound[each[0].part] == bound]

    def _fails(self, bound: str, error: StoreError, *, writes: bool) -> None:
        """Leave the part alone for a while; say so once, until all work again."""
        with self._lock:
            if not self._troubles:
                log.warning("going on from memory: %s", error)
            now = self._clock()
            self._resting[bound, writes] = now + _REST
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
                log.info("the store at %s can be used again", self.place.name)
        for other in others:
            with suppress(StoreError):
                self._probe(other)
        self.changed()


def _later(key: Key, value: bytes) -> Callable[[bytes | None], bytes]:
    return lambda kept: standing(key.kind, value, kept)
