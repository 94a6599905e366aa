"""Pages that could not be parsed, as files for bug reports."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

#: Seconds between two files of one name.
_MIN_INTERVAL = 86400


class UnparsedPage(NamedTuple):
    """A response body that could not be parsed."""

    kind: str
    path: Path
    received_at: datetime


class UnparsedPages:
    """The last body of each kind that could not be parsed. Never raises."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, name: str, body: bytes, now: datetime) -> None:
        """Write the body to a file of that name, at most once a day."""
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
            log.warning("Unparsed page not saved: %s", error)

    def list_all(self) -> tuple[UnparsedPage, ...]:
        """Return the saved pages."""
        try:
            return tuple(
                UnparsedPage(file.stem, file, datetime.fromtimestamp(file.stat().st_mtime, UTC))
                for file in sorted(self._folder.glob("*"))
                if file.suffix != ".part"
            )
        except OSError:
            return ()
