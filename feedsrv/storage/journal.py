"""The journal: a file in which each process names what it changed, for the others to poll."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from urllib.parse import quote, unquote
from uuid import uuid4

from feedsrv.storage.backend import Area, StorageKey

#: Size in bytes at which a new journal is started.
_MAX_BYTES = 1_000_000


class Journal:
    """One process's view of the journal. All methods raise OSError.

    The first line of the file is its id; each further line names a writer, an area and a value.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writer = uuid4().hex[:12]
        #: Id of the file at the last read, empty without a file; None before the first read.
        self._id: bytes | None = None
        #: Where the next read begins.
        self._offset = 0
        self._lock = Lock()

    def append(self, key: StorageKey) -> None:
        """Announce a change to all other processes."""
        if not self._file.exists():
            self.reset()
        with self._file.open("ab") as file:
            file.write(f"{self._writer} {key.area} {quote(key.name)}\n".encode())
            size = file.tell()
        if size > _MAX_BYTES:
            self.reset()

    def reset(self) -> None:
        """Start a new journal with a new id, which makes all processes reread their records."""
        with self._lock:
            is_first = self._id == b"" and not self._file.exists()
            self._file.unlink(missing_ok=True)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            header = f"{uuid4().hex}\n".encode()
            with self._file.open("ab") as file:
                file.write(header)
            if is_first:  # nothing is lost
                self._id, self._offset = header, len(header)

    def read(self) -> frozenset[StorageKey] | None:
        """Return what others changed since the last read; nothing at the first one.

        None where that is unknown because the file is another one.
        """
        with self._lock:
            before = self._id
            try:
                with self._file.open("rb") as file:
                    found = file.readline()
                    start = file.seek(self._offset if found == before else len(found))
                    lines = file.read().rpartition(b"\n")[0]
            except FileNotFoundError:
                found, lines, start = b"", b"", 0
            self._id, self._offset = found, start + len(lines) + bool(lines)
        if before is None:
            return frozenset()
        return frozenset(self._parse(lines)) if before == found else None

    def _parse(self, lines: bytes) -> Iterator[StorageKey]:
        for line in lines.decode(errors="replace").splitlines():
            with suppress(ValueError):
                writer, area, name = line.split(" ")
                if writer != self._writer:
                    yield StorageKey(Area(area), unquote(name))
