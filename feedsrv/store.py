"""Where listings are kept: on disk, and in memory while the disk fails.

Every diskcache name lives here. diskcache unpickles what it finds in its files, its JSONDisk too
(CVE-2025-69872), so that whoever can write the folder could run code in the server. Here nothing is
pickled and nothing is unpickled: values are bytes of JSON, keys are text, and `_DataDisk` refuses
the rest.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import diskcache
import msgspec

from feedsrv.errors import StoreError
from feedsrv.freshness import Failure, Turns, next_turn, taken
from feedsrv.paper import Listing, Page

log = logging.getLogger(__name__)

#: A part of the folder's name: bump it when a kept listing can no longer be read, or when
#: `feedsrv.words` prepares words in another way.
VERSION = 1
#: Bytes on disk: of lists, and of all that anybody's keywords can make grow (searches and stamps),
#: so that these push no list out. A day's list takes about 0.1 MB, a search 0.7 MB.
LARGEST = {"lists": 200_000_000, "searches": 300_000_000}
#: Values kept in memory while the disk fails.
_MOST_IN_MEMORY = 100
#: Listings held decoded; a window of thirty days and what is searched for most.
_MOST_DECODED = 48
#: Seconds to wait for another process that writes.
_PATIENCE = 3.0
_TROUBLE = (sqlite3.Error, OSError, diskcache.Timeout)

_Kept = TypeVar("_Kept", bound=msgspec.Struct)


class _Moved(msgspec.Struct, frozen=True):
    """The page that was given where another was asked for: Friday's list on a Saturday."""

    page: Page


class _Lease(msgspec.Struct, frozen=True):
    """Who has the right to ask upstream, and until when."""

    owner: str
    until: datetime


class _Stamp(msgspec.Struct, frozen=True):
    """What was last answered at an address, and since when."""

    etag: str
    modified: datetime


class _DataDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """diskcache's files without pickles.

    `Cache.get` takes an OSError for a missing value, which is what a planted one should be.
    """

    def put(self, key: object) -> tuple[object, bool]:
        if not isinstance(key, str):
            raise TypeError("keys are text")
        return key, True

    def get(self, key: object, raw: bool) -> object:
        if not raw:
            raise OSError("refusing to unpickle a key")
        return key

    def store(self, value: Any, read: bool, key: object = diskcache.UNKNOWN) -> Any:
        if not isinstance(value, bytes | int):  # `Cache.incr` writes a number
            raise TypeError("values are bytes")
        return super().store(value, read, key=key)

    def fetch(self, mode: int, filename: str, value: object, read: bool) -> object:
        if mode != diskcache.core.MODE_RAW or not isinstance(value, bytes | int):
            raise OSError("refusing what is not plain bytes")
        return value


class Store:
    """Listings and failures, by page. Safe for threads and processes; never raises but in `probe`.

    Args:
        folder: Where to keep them; made when first needed.
        upstream_url: What they were read from: listings of two upstreams do not mix.

    """

    def __init__(self, folder: Path, upstream_url: str) -> None:
        self._folder = folder / f"v{VERSION}"
        self._upstream = upstream_url
        self._opened: dict[str, diskcache.Cache] = {}
        self._memory: dict[str, bytes] = {}
        self._failing = False
        self._lock = RLock()
        # What was decoded since anything was last kept, by this process or another: a listing takes
        # a millisecond to decode, and a look at the generation a hundredth of one.
        self._generation: object = None
        self._decoded: dict[Page, Listing | None] = {}

    def close(self) -> None:
        """Let go of the files."""
        for cache in self._opened.values():
            cache.close()

    def listing(self, page: Page) -> Listing | None:
        """Return the last good listing of the page, or of the page given in its place."""
        decoded = self._current()
        # The one asked for last stands last.
        found = decoded.pop(page) if page in decoded else self._read(page)
        decoded[page] = found
        while len(decoded) > _MOST_DECODED:
            decoded.pop(next(iter(decoded)), None)
        return found

    def _read(self, page: Page) -> Listing | None:
        kept = self._value(self._key("listing", page), Listing)
        if kept is None and (moved := self._value(self._key("moved", page), _Moved)):
            return self._value(self._key("listing", moved.page), Listing)
        return kept

    def keep(self, listing: Listing, asked: Page) -> None:
        """Keep a listing under its own page, and remember which page had been asked for."""
        self._set(self._key("listing", listing.page), listing)
        if asked != listing.page:
            self._set(self._key("moved", asked), _Moved(listing.page))
        for page in (asked, None):
            if self.failure(page) is not None:
                self._drop(self._key("failure", page))
        self._changed()

    def failure(self, page: Page | None) -> Failure | None:
        """Return how reading the page, or upstream as a whole, failed; None if read since."""
        return self._value(self._key("failure", page), Failure)

    def fail(self, page: Page | None, failure: Failure) -> None:
        """Remember how reading the page, or upstream as a whole, failed. What was kept stays."""
        self._set(self._key("failure", page), failure)

    def lease(self, owner: str, now: datetime, length: timedelta) -> bool:
        """Take the right to ask upstream, for so long at most; tell whether that went well."""

        def take(held: _Lease | None) -> _Lease | None:
            # A lease of twice its length was taken by a clock that was wrong. (Not of a little more
            # than once: another process may have taken it while this one waited for the disk.)
            is_held = held is not None and now < held.until <= now + 2 * length
            is_free = held is None or held.owner == owner or not is_held
            return _Lease(owner, now + length) if is_free else None

        return self._change(f"{self._upstream} lease", _Lease, take) is not None

    def release(self, owner: str) -> None:
        """Give the right to ask upstream back, if it is still held."""
        key = f"{self._upstream} lease"
        held = self._value(key, _Lease)
        if held is not None and held.owner == owner:
            self._drop(key)

    def turn(self, now: datetime, *, adhoc: bool, spacing: timedelta) -> datetime | None:
        """Take the next request's turn and return None, or return when there will be one."""
        later: list[datetime] = []

        def take(turns: Turns | None) -> Turns | None:
            moment = next_turn(turns or Turns(), now, adhoc=adhoc, spacing=spacing)
            if moment > now:
                later.append(moment)
                return None
            return taken(turns or Turns(), now, adhoc=adhoc)

        self._change(f"{self._upstream} turns", Turns, take)
        return later[-1] if later else None

    def turns(self) -> Turns:
        """Return the requests that were made of late, by all processes."""
        return self._value(f"{self._upstream} turns", Turns) or Turns()

    def size_on_disk(self) -> tuple[Path, int]:
        """Return the folder, and how many bytes its files take; none where it cannot be read."""
        try:
            return self._folder, sum(file.stat().st_size for file in self._folder.rglob("*.db*"))
        except OSError:
            return self._folder, 0

    def stamp(self, address: str, etag: str, now: datetime) -> datetime:
        """Return since when the address has answered with this etag, in whole seconds.

        A change is later than the one before by a second at least, even where the clock says
        otherwise. Without a disk, each process remembers for itself.
        """
        key = f"stamp {address}"
        kept = self._value(key, _Stamp)
        if kept is not None and kept.etag == etag:
            return kept.modified

        def change(kept: _Stamp | None) -> _Stamp:
            if kept is not None and kept.etag == etag:
                return kept
            later = kept.modified + timedelta(seconds=1) if kept is not None else now
            return _Stamp(etag, max(now, later).replace(microsecond=0))

        stamp = self._change(key, _Stamp, change)
        return stamp.modified if stamp is not None else now.replace(microsecond=0)

    def probe(self) -> Path:
        """Return the folder after writing a value to it and reading it back.

        Raises:
            StoreError: That did not work.

        """
        try:
            self._open().set("probe", b"1")
            if self._open().get("probe") != b"1":
                raise StoreError(str(self._folder), "what was written cannot be read")
        except _TROUBLE as error:
            raise StoreError(str(self._folder), str(error) or type(error).__name__) from error
        return self._folder

    def _open(self, key: str = "") -> diskcache.Cache:
        """Return the files for that key, made if there are none."""
        name = _files(key)
        folder = self._folder / name
        with self._lock:  # threads that make one file at the same time wait for each other
            cache = self._opened.get(name)
            if cache is None or not (folder / "cache.db").exists():
                cache = diskcache.Cache(
                    str(folder),
                    timeout=_PATIENCE,
                    disk=_DataDisk,
                    # Every value in the database: beside it, as diskcache would have it for those
                    # over 32 kB, a set takes seven times as long, and `fetch` would trust files.
                    disk_min_file_size=64_000_000,
                    size_limit=LARGEST[name],
                    eviction_policy="least-recently-stored",
                )
                self._opened[name] = cache
            return cache

    def _set_aside(self, name: str) -> None:
        """Put files that are damaged aside, so that new ones are made in their place."""
        with self._lock:
            cache = self._opened.pop(name, None)
            if cache is not None:
                cache.close()
            for damaged in (self._folder / name).glob("cache.db*"):
                damaged.replace(damaged.with_name(f"damaged-{damaged.name}"))

    def _current(self) -> dict[Page, Listing | None]:
        """Return what was decoded, emptied if anything was kept since."""
        generation: object = None
        try:
            generation = self._open().get("generation")
        except _TROUBLE as error:
            self._troubled(error)
        if generation != self._generation:
            self._generation, self._decoded = generation, {}
        return self._decoded

    def _changed(self) -> None:
        """Tell every process that something was kept."""
        self._decoded = {}
        try:
            self._open().incr("generation")
        except TypeError:  # not a number: somebody else wrote it
            self._open().set("generation", 1)
        except _TROUBLE as error:
            self._troubled(error)

    def _key(self, what: str, page: Page | None) -> str:
        return f"{self._upstream} {what} {page or 'all'}"

    def _change(
        self, key: str, kind: type[_Kept], change: Callable[[_Kept | None], _Kept | None]
    ) -> _Kept | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it.

        Without a disk, each process changes its own.
        """
        try:
            with self._open(key).transact():
                return self._changed_value(key, kind, change)
        except _TROUBLE as error:
            self._troubled(error, key)
            with self._lock:
                return self._changed_value(key, kind, change)

    def _changed_value(
        self, key: str, kind: type[_Kept], change: Callable[[_Kept | None], _Kept | None]
    ) -> _Kept | None:
        value = change(self._value(key, kind))
        if value is not None:
            self._set(key, value)
        return value

    def _value(self, key: str, kind: type[_Kept]) -> _Kept | None:
        value = self._memory.get(key)
        try:
            if value is None:
                value = self._open(key).get(key)
            return None if value is None else msgspec.json.decode(value, type=kind)
        except _TROUBLE as error:
            self._troubled(error, key)
        except (msgspec.DecodeError, TypeError) as error:
            log.warning("forgetting what was kept of %s, which cannot be read: %s", key, error)
        return None

    def _set(self, key: str, value: msgspec.Struct) -> None:
        data = msgspec.json.encode(value)
        try:
            self._open(key).set(key, data)
        except _TROUBLE as error:
            self._troubled(error, key)
            with self._lock:
                self._memory[key] = data
                while len(self._memory) > _MOST_IN_MEMORY:
                    self._memory.pop(min(self._memory, key=_worth))
        else:
            self._memory.pop(key, None)
            self._failing = False

    def _drop(self, key: str) -> None:
        self._memory.pop(key, None)
        try:
            self._open(key).delete(key)
        except _TROUBLE as error:
            self._troubled(error, key)

    def _troubled(self, error: Exception, key: str = "") -> None:
        """Say once that the disk fails, until it works again."""
        if not self._failing:
            log.warning("going on from memory: %s", StoreError(str(self._folder), str(error)))
        self._failing = True
        if type(error) is sqlite3.DatabaseError:  # no subclass: the file is damaged
            with suppress(OSError):
                self._set_aside(_files(key))


def _files(key: str) -> str:
    """Return which files hold the key: what anybody's keywords can make grow has its own."""
    return "searches" if key.startswith("stamp ") or " listing search " in key else "lists"


def _worth(key: str) -> int:
    """Return what is dropped first from memory: what anybody's keywords can make grow."""
    if key.startswith("stamp "):
        return 0
    if " listing " not in key:
        return 1
    return 2 if " listing search " in key else 3
