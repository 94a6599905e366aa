"""Bytes by key on disk, and in memory while the disk fails.

::

    an operation ── did its files just fail? ── what waits in memory is written ── it is done
                           │                                   │
                       in memory ──────────── it fails ────────┘

A key names the part it is in. Each part has files of its own, so that one can neither push out what
another holds nor take it along when it is damaged (`feedsrv.files`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import NamedTuple, TypeVar

from feedsrv.errors import StoreError
from feedsrv.files import Files

log = logging.getLogger(__name__)

#: Values kept in memory while the disk fails.
_MOST_IN_MEMORY = 100
#: Seconds that files which failed are left alone, so that not every reader waits for them.
_REST = 10.0
#: Bytes after which the file that tells of changes is begun anew.
_MOST_CHANGES = 1_000_000

#: Seconds for which a glance is as good as a look.
_GLANCE = 0.005

_Result = TypeVar("_Result")


class Key(NamedTuple):
    """Which part a value is in, and its name there."""

    part: str
    name: str


class Disk:
    """Bytes by key. Safe for threads and processes; never raises but in `probe`.

    Args:
        folder: Where the files are; made when first needed.
        largest: The bytes that each part may take, the part that matters most first.
        clock: Gives seconds that never go backwards.

    """

    def __init__(
        self, folder: Path, largest: Mapping[str, int], clock: Callable[[], float]
    ) -> None:
        self.folder = folder
        self._clock = clock
        self._files = {part: Files(folder / part, size) for part, size in largest.items()}
        self._worth = {part: -place for place, part in enumerate(largest)}
        self._first = next(iter(largest))
        #: What could not be written; None for what could not be deleted.
        self._memory: dict[Key, bytes | None] = {}
        #: Why a part fails, and since when.
        self._troubles: dict[str, tuple[str, float]] = {}
        #: Until when its reading, or its writing, is not tried again.
        self._resting: dict[tuple[str, bool], float] = {}
        self._changes = folder / "changes"
        self._changed = 0
        self._looks_at = 0.0
        self._seen: object = None
        self._lock = RLock()
        self._returning = RLock()

    def close(self) -> None:
        """Let go of the files."""
        for files in self._files.values():
            files.close()

    def get(self, key: Key) -> bytes | None:
        """Return the value; None where there is none."""
        with self._lock:
            if key in self._memory:
                return self._memory[key]
        try:
            value = self._done(key.part, lambda files: files.get(key.name), writes=False)
        except StoreError:
            return self._files[key.part].peek(key.name)
        return b"" if isinstance(value, int) else value

    def set(self, key: Key, value: bytes) -> None:
        """Keep the value."""
        try:
            self._done(key.part, lambda files: files.set(key.name, value), writes=True)
        except StoreError:
            self._remember(key, value)

    def delete(self, key: Key) -> None:
        """Forget the value."""
        try:
            self._done(key.part, lambda files: files.delete(key.name), writes=True)
        except StoreError:
            self._remember(key, None)

    def change(self, key: Key, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it.

        Without a disk, each process changes its own.
        """
        try:
            return self._done(key.part, lambda files: files.change(key.name, change), writes=True)
        except StoreError:
            with self._lock:
                value = change(self.get(key))
                if value is not None:
                    self._remember(key, value)
                return value

    def touch(self, key: Key) -> None:
        """Have the value outlive those of its part that were kept or touched before."""
        with suppress(StoreError):
            self._done(key.part, lambda files: files.touch(key.name), writes=True)

    def generation(self) -> tuple[object, int]:
        """Return what is another value after each `changed`, by whichever process.

        It takes a look at a file's size alone, because every request wants to know it.
        """
        try:
            found = os.stat(self._changes)  # noqa: PTH116  # Path.stat takes twice as long
        except OSError:
            return None, self._changed  # this process's own changes are all that it can know of
        return (found.st_ino, found.st_mtime_ns, found.st_size), self._changed

    def glance(self) -> object:
        """Return the `generation`, of others' changes as it was five milliseconds ago at most.

        To look costs little, but it lets other threads go first: at ten thousand requests a second
        that is most of what a request takes.
        """
        now = self._clock()
        if now >= self._looks_at:
            self._looks_at = now + _GLANCE
            self._seen, _ = self.generation()
        return self._seen, self._changed

    def changed(self) -> None:
        """Tell every process that something was kept."""
        with self._lock:
            self._changed += 1
        with suppress(OSError):  # then nobody else can see what was kept either
            with self._changes.open("ab") as file:
                file.write(b".")  # behind what others write at the same time
                size = file.tell()
            if size > _MOST_CHANGES:
                self._changes.unlink()

    def size(self) -> int:
        """Return the bytes that the files take, with those that are put aside."""
        total = 0
        with suppress(OSError):  # deleted meanwhile
            for file in self.folder.rglob("*.db*"):
                total += file.stat().st_size
        return total

    def trouble(self) -> tuple[str, float] | None:
        """Return why the disk fails, and for how many seconds; None while it works."""
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
        self._done(self._first, _probe, writes=True)
        if self._done(self._first, lambda files: files.get("probe"), writes=False) != b"1":
            raise StoreError(str(self.folder), "what was written cannot be read")

    def _done(self, part: str, work: Callable[[Files], _Result], *, writes: bool) -> _Result:
        """Return what the work on the part's files gives.

        Raises:
            StoreError: They fail, or did a moment ago.

        """
        self._try_no_sooner(part, writes=writes)
        try:
            if writes:
                self._write_back(part)
            result = work(self._files[part])
        except StoreError as error:
            self._fails(part, error, writes=writes)
            raise
        if writes:
            self._works(part)
        return result

    def _try_no_sooner(self, part: str, *, writes: bool) -> None:
        with self._lock:
            resting = self._resting.get((part, writes))
            if resting is not None and self._clock() < resting:
                raise StoreError(str(self.folder), self._troubles[part][0])

    def _remember(self, key: Key, value: bytes | None) -> None:
        with self._lock:
            self._memory.pop(key, None)  # so that it stands last
            self._memory[key] = value
            while len(self._memory) > _MOST_IN_MEMORY:
                self._memory.pop(min(self._memory, key=lambda key: self._worth[key.part]))

    def _write_back(self, part: str) -> None:
        """Write what waits in memory.

        Another process whose disk did not fail may have written something newer. But where the
        files were lost this is all there is, and upstream may not answer.
        """
        if not self._waiting(part):
            return
        # One thread at a time, so that none writes what another has meanwhile replaced; but what
        # only reads does not wait for it, as it would for `_lock`.
        with self._returning:
            self._try_no_sooner(part, writes=True)  # another thread may just have tried
            for key, value in self._waiting(part):
                if value is None:
                    self._files[part].delete(key.name)
                else:
                    self._files[part].set(key.name, value)
                with self._lock:
                    if self._memory.get(key) is value:
                        self._memory.pop(key, None)

    def _waiting(self, part: str) -> list[tuple[Key, bytes | None]]:
        with self._lock:
            return [each for each in self._memory.items() if each[0].part == part]

    def _fails(self, part: str, error: StoreError, *, writes: bool) -> None:
        """Leave the files alone for a while; say so once, until all work again."""
        with self._lock:
            if not self._troubles:
                log.warning("going on from memory: %s", error)
            now = self._clock()
            self._resting[part, writes] = now + _REST
            self._troubles.setdefault(part, (error.reason, now))

    def _works(self, part: str) -> None:
        """See whether the other parts work again too, which may not be written for long."""
        with self._lock:
            if self._troubles.pop(part, None) is None:
                return
            self._resting.clear()
            others = list(self._troubles)
            if not others:
                log.info("the store at %s can be used again", self.folder)
        for other in others:
            with suppress(StoreError):
                self._done(other, _probe, writes=True)
        self.changed()


def _probe(files: Files) -> None:
    files.set("probe", b"1")
