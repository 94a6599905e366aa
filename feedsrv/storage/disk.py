"""Disk backend: a database and a journal of changes for each area."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from feedsrv.errors import StoreError
from feedsrv.storage.backend import Area, StorageKey
from feedsrv.storage.disk_cache import DiskCache
from feedsrv.storage.journal import Journal

log = logging.getLogger(__name__)

#: Bytes that the evictable area may take: some 1,500 searches.
MAX_EVICTABLE_BYTES = 300_000_000
#: No limit: the lists of all days together take some hundred megabytes.
_UNLIMITED = 2**50


class DiskBackend:
    """Bytes by area and name in a folder. Safe for threads and processes.

    Versions of what is stored have folders of their own, but for what is permanent.
    """

    location = "on disk"

    def __init__(self, folder: Path, version: int) -> None:
        self._root = folder
        self._folder = folder / f"v{version}"
        self.name = str(self._folder)
        # Processes of all versions share what is permanent.
        shared, own = Journal(folder / "permanent-changes"), Journal(self._folder / "changes")
        self._journals = {Area.PERMANENT: shared, Area.DURABLE: own, Area.EVICTABLE: own}
        self._caches = {
            Area.PERMANENT: DiskCache(folder / "permanent", _UNLIMITED, shared.reset),
            Area.DURABLE: DiskCache(self._folder / "durable", _UNLIMITED, own.reset),
            Area.EVICTABLE: DiskCache(self._folder / "evictable", MAX_EVICTABLE_BYTES, own.reset),
        }
        if others := sorted(str(each) for each in folder.glob("v*") if each != self._folder):
            log.info(
                "Stores of other versions are not used and may be deleted: %s", ", ".join(others)
            )

    def close(self) -> None:
        for cache in self._caches.values():
            cache.close()

    def get(self, key: StorageKey) -> bytes | None:
        return self._caches[key.area].get(key.name)

    def replace(
        self, key: StorageKey, expected: bytes | None, value: bytes | None, *, announce: bool = True
    ) -> bool:
        is_replaced = self._caches[key.area].replace(key.name, expected, value)
        if is_replaced and announce:
            with self._translate_errors():
                self._journals[key.area].append(key)
        return is_replaced

    def scan_names(self, area: Area, prefix: str) -> set[str]:
        return self._caches[area].scan_names(prefix)

    def scan(self, area: Area, prefix: str) -> Iterator[tuple[str, bytes]]:
        return self._caches[area].scan(prefix)

    def changes(self) -> frozenset[StorageKey] | None:
        with self._translate_errors():
            own = self._journals[Area.DURABLE].read()
            shared = self._journals[Area.PERMANENT].read()
        return None if own is None or shared is None else own | shared

    def size(self) -> int:
        """Return the bytes that the files take, with those that were put aside."""
        total = 0
        with suppress(OSError):  # deleted meanwhile
            for file in (*self._folder.rglob("*.db*"), *self._root.glob("*permanent/*.db*")):
                total += file.stat().st_size
        return total

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise StoreError for an error of the journal."""
        try:
            yield
        except OSError as error:
            raise StoreError(self.name, str(error)) from error
