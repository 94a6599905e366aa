"""Bytes by name in one folder: a diskcache (SQLite) database that is replaced when it is damaged.

Every diskcache name is used here alone. diskcache unpickles what it finds in its files, its
JSONDisk too (CVE-2025-69872), so that whoever can write to the folder could run code in the server.
Here nothing is pickled or unpickled: values are bytes, names are text, and `_BytesOnlyDisk` refuses
the rest.
"""

import logging
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import diskcache

from feedsrv.errors import StoreError

log = logging.getLogger(__name__)

#: Seconds to wait for another process that writes.
_LOCK_TIMEOUT = 3.0
_DATABASE = "cache.db"
#: All that `get` can find. The name in the row itself may be damaged.
_SELECT_FROM_INDEX = "SELECT key, rowid FROM Cache INDEXED BY Cache_key_raw"
#: Errors of SQLite that are no fault of the file: another file would fail too.
_ENVIRONMENT_CODES = {
    getattr(sqlite3, f"SQLITE_{name}")
    for name in (
        *("AUTH", "BUSY", "CANTOPEN", "FULL", "INTERRUPT", "IOERR", "LOCKED", "NOMEM", "PERM"),
        "PROTOCOL",
    )
}

_Result = TypeVar("_Result")


class _BytesOnlyDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """diskcache's serialization without pickles: anything but text and bytes reads as nothing."""

    def put(self, key: object) -> tuple[object, bool]:
        if not isinstance(key, str):
            raise TypeError("names are text")
        return key, True

    def get(self, key: object, raw: bool) -> object:
        if not raw:
            raise OSError("refusing to unpickle a name")
        return key

    def store(self, value: Any, read: bool, key: object = diskcache.UNKNOWN) -> Any:
        if not isinstance(value, bytes):
            raise TypeError("values are bytes")
        return super().store(value, read, key=key)

    def fetch(self, mode: int, filename: str, value: object, read: bool) -> bytes:
        return value if mode == diskcache.core.MODE_RAW and isinstance(value, bytes) else b""

    def remove(self, file_path: str) -> None:
        """Delete nothing: no value of ours is in a file, and a planted name may be any file's."""


class DiskCache:
    """Bytes by name in one folder. Safe for threads and processes.

    Every method but `close` raises StoreError where the files cannot be used. Damaged files are set
    aside and replaced by empty ones; then ``on_reset`` is called, as when they are first made.
    Beyond ``max_bytes``, what was stored or touched longest ago is evicted.
    """

    def __init__(
        self, folder: Path, max_bytes: int, on_reset: Callable[[], object] = lambda: None
    ) -> None:
        self._folder = folder
        self._database = folder / _DATABASE
        self._max_bytes = max_bytes
        self._on_reset = on_reset
        self._cache: diskcache.Cache | None = None
        self._file_id: object = None
        self._open_lock = RLock()
        # SQLite's own lock is polled and unfair: with many threads, some wait for seconds.
        self._write_lock = RLock()

    def close(self) -> None:
        """Close the files."""
        with suppress(sqlite3.Error):
            if self._cache is not None:
                self._cache.close()

    def get(self, name: str) -> bytes | None:
        """Return the value; None where there is none, an empty one where it is damaged."""
        return self._run(lambda cache: _get(cache, name))

    def replace(self, name: str, expected: bytes | None, value: bytes | None) -> bool:
        """Store the value, or delete it, if the stored one is the expected one.

        Return whether it was.
        """

        def work(cache: diskcache.Cache) -> bool:
            with cache.transact():
                if _get(cache, name) != expected:
                    return False
                if value is None:
                    cache.delete(name)
                else:
                    cache.set(name, _checksum(name, value) + value)
            if cache.volume() > cache.size_limit:
                cache.cull()
            return True

        with self._write_lock:
            return self._run(work)

    def scan_names(self, prefix: str) -> set[str]:
        """Return the names with this prefix of all values that `get` finds, maybe of others too."""
        rows = self._read_rows(lambda connection: connection.execute(_SELECT_FROM_INDEX))
        return {name for name, _ in rows if isinstance(name, str) and name.startswith(prefix)}

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Yield names with this prefix and their values, empty where damaged, the latest first."""
        for name, stored in self._read_rows(_rows_latest_first):
            if isinstance(name, str) and isinstance(stored, bytes) and name.startswith(prefix):
                yield name, _without_checksum(name, stored)

    def _read_rows(
        self, query: Callable[[sqlite3.Connection], Iterable[tuple[object, ...]]]
    ) -> Iterator[tuple[object, ...]]:
        """Yield rows; begin again where that fails, and replace files that are damaged.

        Works with files that nobody can write too, which diskcache cannot open.
        """
        for is_last in (False, True):
            file_id = _file_id(self._database)
            try:
                self._database.stat()
                with closing(self._connect_read_only()) as connection:
                    yield from query(connection)
            except FileNotFoundError:
                return
            except (OSError, sqlite3.Error) as error:
                cause = error
            else:
                return
            is_replaced = (
                is_last and _is_damage(cause, self._database) and self._put_aside(file_id, cause)
            )
            if isinstance(cause, OSError) or (is_last and not is_replaced):
                raise StoreError(str(self._folder.parent), str(cause)) from cause
            self.get("")  # another process is making it, or it is damaged and replaced now

    def _connect_read_only(self) -> sqlite3.Connection:
        # A folder that cannot be written has no room for the index of a write-ahead log.
        mode = "ro" if os.access(self._folder, os.W_OK) else "ro&immutable=1"
        uri = f"{self._database.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True)
        connection.text_factory = lambda text: text.decode(errors="replace")  # if it is damaged
        return connection

    def _run(self, work: Callable[[diskcache.Cache], _Result]) -> _Result:
        """Return the result of the work, of the second attempt where the files were damaged."""
        for is_last in (False, True):
            file_id = _file_id(self._database)
            try:
                return work(self._open(file_id))
            except Exception as error:  # noqa: BLE001  # diskcache raises anything on damaged files
                self.close()  # a connection whose COMMIT failed would hold the lock for ever
                cause = _root_cause(error)
            if (
                is_last
                or not _is_damage(cause, self._database)
                or not self._put_aside(file_id, cause)
            ):
                break
        raise StoreError(str(self._folder.parent), str(cause) or type(cause).__name__) from cause

    def _open(self, seen: object) -> diskcache.Cache:
        """Return the open database, made if there is none."""
        # Another id is another file: the one that is open was deleted, or put aside by a process
        # that found it damaged, and what is written to it is lost.
        if self._cache is not None and seen is not None and seen == self._file_id:
            return self._cache
        with self._open_lock:  # threads that make it at the same time wait for each other
            file_id = _file_id(self._database)
            if self._cache is None or file_id is None or file_id != self._file_id:
                is_new = file_id is None or not self._database.stat().st_size
                if not is_new:
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
                    # Pages for each thread: diskcache's 8,192 are 32 MB, and the system caches
                    # files anyway.
                    sqlite_cache_size=256,
                    size_limit=self._max_bytes,
                    # At each set diskcache would evict ten values, large or small: `replace`
                    # evicts as much as has to be.
                    cull_limit=0,
                    # With "least-recently-used" each get would be a write, which takes five times
                    # as long and waits for other processes.
                    eviction_policy="least-recently-stored",
                )
                self._file_id = _file_id(self._database)
                if is_new:
                    self._on_reset()
            return self._cache

    def _put_aside(self, seen: object, cause: Exception) -> bool:
        """Rename the damaged folder; return whether that worked.

        The folder as a whole, in one step: a write-ahead log that stayed behind would be written
        into the new database. The last one is preserved for inspection.
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
                        "%s is damaged (%s); starting with empty files, the old ones are in %s",
                        self._folder,
                        str(cause) or type(cause).__name__,
                        aside,
                    )
        except (sqlite3.Error, OSError):
            return False
        return True


def _rows_latest_first(connection: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    """Yield names and values as stored. Raise an error only after all that can be read."""
    errors: list[sqlite3.Error] = []

    def select(query: str, *parameters: object) -> list[tuple[Any, ...]]:
        try:
            return connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            errors.append(error)
            return []

    index = {row_id: name for name, row_id in select(_SELECT_FROM_INDEX)}
    indexed = set(index.values())
    latest = select("SELECT rowid FROM Cache ORDER BY store_time DESC")
    for row_id in dict.fromkeys([*(row_id for (row_id,) in latest), *index]):
        for name, value in select("SELECT key, value FROM Cache WHERE rowid = ?", row_id):
            # A row that `get` does not find may be an old one of a name that it finds.
            yield index.get(row_id, name) if name in indexed else name, value
    if errors:
        raise errors[0]


def _get(cache: diskcache.Cache, name: str) -> bytes | None:
    stored: bytes | None = cache.get(name)
    return None if stored is None else _without_checksum(name, stored)


def _checksum(name: str, value: bytes) -> bytes:
    """Return four bytes that tell the value from a damaged one, and from that of another name.

    A damaged index of SQLite can find the row of another name.
    """
    return zlib.crc32(value, zlib.crc32(name.encode())).to_bytes(4)


def _without_checksum(name: str, stored: bytes) -> bytes:
    """Return the value; an empty one, which nothing decodes, where the checksum is wrong."""
    value = stored[4:]
    return value if stored[:4] == _checksum(name, value) else b""


def _file_id(file: Path) -> tuple[int, int] | None:
    """Return what tells this file from any other that had or will have its name."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _exclusive_lock(database: Path) -> Iterator[None]:
    """Hold the database's lock against all writers."""
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


def _is_damage(cause: Exception, file: Path) -> bool:
    """Return whether the file is no database, not a sound one, or not one of ours."""
    if isinstance(cause, sqlite3.Error) and not isinstance(cause, sqlite3.ProgrammingError):
        code: int = getattr(cause, "sqlite_errorcode", 0)
        # An extended code has the primary one in its lowest byte.
        if code & 0xFF == sqlite3.SQLITE_READONLY:
            return _has_unknown_version(file)
        is_cut_short = code == sqlite3.SQLITE_IOERR_SHORT_READ
        return is_cut_short or code & 0xFF not in _ENVIRONMENT_CODES
    # Settings of a wrong type raise anything within diskcache.
    is_environment = OSError | MemoryError | sqlite3.ProgrammingError | diskcache.Timeout
    return not isinstance(cause, is_environment)


def _has_unknown_version(file: Path) -> bool:
    """Return whether the header has a version that SQLite can read and not write."""
    with suppress(OSError), file.open("rb") as opened:
        return opened.read(19)[18:] > b"\2"
    return False
