"""Bytes by name in a folder's files, which all processes share.

Every diskcache name lives here. diskcache unpickles what it finds in its files, its JSONDisk too
(CVE-2025-69872), so that whoever can write the folder could run code in the server. Here nothing is
pickled and nothing is unpickled: values are bytes, names are text, and `_DataDisk` refuses the
rest.

What is offered is what any other place for bytes would offer: get, set, delete, a change of one
name as one step, and a touch.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, TypeVar

import diskcache

from feedsrv.errors import StoreError

log = logging.getLogger(__name__)

#: Seconds to wait for another process that writes.
_LOCK_TIMEOUT = 3.0
_DATABASE = "cache.db"
_DISK_ERRORS = (sqlite3.Error, OSError, diskcache.Timeout)
#: What sqlite says of a file with other tables than ours.
_FOREIGN_SCHEMA_ERRORS = ("no such", "has no column")

_Result = TypeVar("_Result")


class _BytesOnlyDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """diskcache's files without pickles: what is no plain value is given as no bytes at all."""

    def put(self, key: object) -> tuple[object, bool]:
        if not isinstance(key, str):
            raise TypeError("names are text")
        return key, True

    def get(self, key: object, raw: bool) -> object:
        if not raw:
            raise OSError("refusing to unpickle a name")
        return key

    def store(self, value: Any, read: bool, key: object = diskcache.UNKNOWN) -> Any:
        if not isinstance(value, bytes | int):  # `Cache.incr` writes a number
            raise TypeError("values are bytes")
        return super().store(value, read, key=key)

    def fetch(self, mode: int, filename: str, value: object, read: bool) -> object:
        is_plain = mode == diskcache.core.MODE_RAW and isinstance(value, bytes | int)
        return value if is_plain else b""

    def remove(self, file_path: str) -> None:
        """Delete nothing: no value of ours is in a file, and a planted name may be any file's."""


class DiskCache:
    """Bytes by name in one folder. Safe for threads and processes.

    Every method but `close` and `peek` raises StoreError where the files cannot be used. Those that
    are damaged are put aside, and begun anew.

    Args:
        folder: Where they are; made when first needed.
        largest: The bytes that they may take; what was stored longest ago is dropped first.

    """

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder = folder
        self._database = folder / _DATABASE
        self._largest = largest
        self._cache: diskcache.Cache | None = None
        self._file_id: object = None
        self._lock = RLock()

    def close(self) -> None:
        """Let go of the files."""
        with suppress(sqlite3.Error):
            if self._cache is not None:
                self._cache.close()

    def get(self, name: str) -> bytes | int | None:
        """Return the value, None where there is none; what is no plain value is no bytes."""
        return self._run(lambda cache: _get(cache, name))

    def set(self, name: str, value: bytes) -> None:
        """Keep the value."""
        self._write(lambda cache: cache.set(name, value))

    def delete(self, name: str) -> None:
        """Forget the value."""
        self._write(lambda cache: cache.delete(name))

    def change(self, name: str, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it."""

        def work(cache: diskcache.Cache) -> bytes | None:
            with cache.transact():
                kept = _get(cache, name)
                value = change(b"" if isinstance(kept, int) else kept)
                if value is not None:
                    cache.set(name, value)
            return value

        return self._write(work)

    def touch(self, name: str) -> None:
        """Have the value outlive those that were stored or touched before."""
        # The same bytes again: sqlite writes only the pages that differ.
        self.change(name, lambda value: value)

    def peek(self, name: str) -> bytes | None:
        """Return a value from files that nobody can write, which diskcache cannot open."""
        uri = self._database.absolute().as_uri()
        query = "SELECT value FROM Cache WHERE key = ? AND raw = 1 AND mode = 1"
        # A folder that cannot be written has no room for the index of a write-ahead log either.
        for how in ("mode=ro", "immutable=1"):
            with (
                suppress(sqlite3.Error),
                closing(sqlite3.connect(f"{uri}?{how}", uri=True, timeout=0)) as connection,
            ):
                row = connection.execute(query, (name,)).fetchone()
                return row[0] if row and isinstance(row[0], bytes) else None
        return None

    # --- the database ------------------------------------------------------------------------

    def _write(self, work: Callable[[diskcache.Cache], _Result]) -> _Result:
        def work_and_trim(cache: diskcache.Cache) -> _Result:
            result = work(cache)
            if cache.volume() > cache.size_limit:
                cache.cull()
            return result

        return self._run(work_and_trim)

    def _run(self, work: Callable[[diskcache.Cache], _Result]) -> _Result:
        """Return what the work gives, the second time where the files were damaged."""
        seen = _file_id(self._database)
        try:
            return self._attempt(work, seen)
        except _DISK_ERRORS as error:
            cause = _root_cause(error)
        if _is_damage(cause) and self._put_aside(seen, cause):
            try:
                return self._attempt(work, _file_id(self._database))
            except _DISK_ERRORS as error:
                cause = _root_cause(error)
        raise StoreError(str(self._folder.parent), str(cause) or type(cause).__name__) from cause

    def _attempt(self, work: Callable[[diskcache.Cache], _Result], seen: object) -> _Result:
        try:
            return work(self._open(seen))
        except _DISK_ERRORS:
            self.close()  # a connection whose COMMIT failed would hold the lock for ever
            raise

    def _open(self, seen: object) -> diskcache.Cache:
        """Return the database, made if there is none."""
        # Another number is another file: this one was deleted, or put aside by a process that found
        # it damaged, and what is written to it is lost.
        if self._cache is not None and seen is not None and seen == self._file_id:
            return self._cache
        with self._lock:  # threads that make it at the same time wait for each other
            number = _file_id(self._database)
            if self._cache is None or number is None or number != self._file_id:
                if number is not None:
                    # diskcache writes while it opens, and would wait for a minute.
                    with _exclusive_lock(self._database):
                        pass
                self._cache = diskcache.Cache(
                    str(self._folder),
                    timeout=_LOCK_TIMEOUT,
                    disk=_BytesOnlyDisk,
                    # Every value in the database: beside it, as diskcache would have it for those
                    # over 32 kB, a set takes seven times as long, and `fetch` would trust files.
                    disk_min_file_size=64_000_000,
                    # A file that is cut short while it is mapped kills whoever reads it (SIGBUS).
                    sqlite_mmap_size=0,
                    size_limit=self._largest,
                    # At each set diskcache would drop ten values, large or small: `_written` drops
                    # as much as has to be.
                    cull_limit=0,
                    # Of those "used", each get would be a write, which takes five times as long
                    # and waits for other processes; `touch` says now and then what is used.
                    eviction_policy="least-recently-stored",
                )
                self._file_id = _file_id(self._database)
            return self._cache

    def _put_aside(self, seen: object, cause: Exception) -> bool:
        """Put files that are damaged aside; tell whether that went well.

        The folder as a whole, in one step: a write-ahead log that stayed behind would be written
        into the new database. The last one is kept, for whoever wants to look into it.
        """
        aside = self._folder.with_name(f"damaged-{self._folder.name}")
        try:
            # A lock that ends with its holder, however that ends.
            with _exclusive_lock(self._folder.with_name("lock")):
                # Of two processes that find the same damage, the second finds another file here.
                if _file_id(self._database) == seen:
                    shutil.rmtree(aside, ignore_errors=True)
                    self._folder.replace(aside)
                    log.warning(
                        "%s is damaged (%s): begun anew, it is now %s", self._folder, cause, aside
                    )
        except _DISK_ERRORS:
            return False
        return True


def _get(cache: diskcache.Cache, name: str) -> bytes | int | None:
    value: bytes | int | None = cache.get(name)
    return value


def _file_id(file: Path) -> tuple[int, int] | None:
    """Return what tells this file from any other that had or will have its name."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _exclusive_lock(database: Path) -> Iterator[None]:
    """Hold the database's lock against all who write."""
    with closing(
        sqlite3.connect(database, timeout=_LOCK_TIMEOUT, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def _root_cause(error: Exception) -> Exception:
    """Return what failed first: diskcache hides it behind a Timeout, or a ROLLBACK that failed."""
    while isinstance(error.__context__, sqlite3.Error | OSError):
        error = error.__context__
    return error


def _is_damage(cause: Exception) -> bool:
    """Tell whether the file is no database, not a sound one, or not one of ours."""
    if isinstance(cause, sqlite3.OperationalError):
        return any(words in str(cause) for words in _FOREIGN_SCHEMA_ERRORS)
    return type(cause) is sqlite3.DatabaseError  # no subclass


log = logging.getLogger(__name__)

#: Bytes after which the file that tells of changes is begun anew.
_MAX_VERSION_FILE_BYTES = 1_000_000


class DiskBackend:
    """Bytes by part and name, in a folder. Safe for threads and processes.

    Args:
        folder: Where the files are; made when first needed.
        largest: The bytes that each part may take, the part that matters most first.

    """

    location = "on disk"
    parts_fail_independently = True
    is_local = True

    def __init__(self, folder: Path, largest: Mapping[str, int]) -> None:
        self.name = str(folder)
        self.parts = tuple(largest)
        self._folder = folder
        self._files = {part: DiskCache(folder / part, size) for part, size in largest.items()}
        self._changes = folder / "changes"
        if others := sorted(str(each) for each in folder.parent.glob("v*") if each != folder):
            log.info("kept by other versions, to delete when these no longer run: %s", *others)

    def close(self) -> None:
        """Let go of the files."""
        for files in self._files.values():
            files.close()

    def get(self, part: str, name: str) -> bytes | None:
        """Return the value; None where there is none."""
        value = self._files[part].get(name)
        return b"" if isinstance(value, int) else value

    def read_only_get(self, part: str, name: str) -> bytes | None:
        """Return a value from files that nobody can write; None where there is none."""
        return self._files[part].peek(name)

    def set(self, part: str, name: str, value: bytes) -> None:
        """Keep the value."""
        self._files[part].set(name, value)

    def delete(self, part: str, name: str) -> None:
        """Forget the value."""
        self._files[part].delete(name)

    def change(
        self, part: str, name: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it."""
        return self._files[part].change(name, change)

    def touch(self, part: str, name: str) -> None:
        """Have the value outlive those of its part that were kept or touched before."""
        self._files[part].touch(name)

    def poll_version(self) -> object:
        """Return what is another value after each `tell`, by whichever process.

        It takes a look at a file's size alone, because every request wants to know it.
        """
        try:
            found = os.stat(self._changes)  # noqa: PTH116  # Path.stat takes twice as long
        except OSError:
            return None  # this process's own changes are all that it can know of
        return found.st_ino, found.st_mtime_ns, found.st_size

    def bump_version(self) -> None:
        """Tell every process that something was kept."""
        with suppress(OSError):  # then nobody else can see what was kept either
            with self._changes.open("ab") as file:
                file.write(b".")  # behind what others write at the same time
                size = file.tell()
            if size > _MAX_VERSION_FILE_BYTES:
                self._changes.unlink()

    def size(self) -> int:
        """Return the bytes that the files take, with those that are put aside."""
        total = 0
        with suppress(OSError):  # deleted meanwhile
            for file in self._folder.rglob("*.db*"):
                total += file.stat().st_size
        return total


log = logging.getLogger(__name__)

_MIN_INTERVAL = 86400


class UnparsedPage(NamedTuple):
    """An answer without a list that could be read."""

    kind: str
    path: Path
    received_at: datetime


class UnparsedPages:
    """The last unreadable answer of each kind. Never raises.

    Args:
        folder: Where to keep them; made when first needed.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, body: bytes, now: datetime) -> None:
        """Keep an answer in a file of that name, one a day at most."""
        file = self._folder / name
        part = file.with_suffix(".part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists() and abs(now.timestamp() - file.stat().st_mtime) < _MIN_INTERVAL:
                return
            part.write_bytes(body)
            os.utime(part, (now.timestamp(), now.timestamp()))
            part.replace(file)
        except OSError as error:
            log.warning("no file for a bug report: %s", error)

    def list_all(self) -> tuple[UnparsedPage, ...]:
        """Return those that are kept."""
        try:
            return tuple(
                UnparsedPage(file.stem, file, datetime.fromtimestamp(file.stat().st_mtime, UTC))
                for file in sorted(self._folder.glob("*"))
                if file.suffix != ".part"
            )
        except OSError:
            return ()
