"""A place on disk: each part in files of its own.

So one part can neither push out what another holds nor take it along when it is damaged
(`feedsrv.files`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from feedsrv.files import Files

log = logging.getLogger(__name__)

#: Bytes after which the file that tells of changes is begun anew.
_MOST_CHANGES = 1_000_000


class Folder:
    """Bytes by part and name, in a folder. Safe for threads and processes.

    Args:
        folder: Where the files are; made when first needed.
        largest: The bytes that each part may take, the part that matters most first.

    """

    where = "on disk"
    apart = True
    near = True

    def __init__(self, folder: Path, largest: Mapping[str, int]) -> None:
        self.name = str(folder)
        self.parts = tuple(largest)
        self._folder = folder
        self._files = {part: Files(folder / part, size) for part, size in largest.items()}
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

    def peek(self, part: str, name: str) -> bytes | None:
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

    def notice(self) -> object:
        """Return what is another value after each `tell`, by whichever process.

        It takes a look at a file's size alone, because every request wants to know it.
        """
        try:
            found = os.stat(self._changes)  # noqa: PTH116  # Path.stat takes twice as long
        except OSError:
            return None  # this process's own changes are all that it can know of
        return found.st_ino, found.st_mtime_ns, found.st_size

    def tell(self) -> None:
        """Tell every process that something was kept."""
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
            for file in self._folder.rglob("*.db*"):
                total += file.stat().st_size
        return total
