"""Answers that could not be read, as files to attach to a bug report."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

_DAY = 86400


class Unreadable(NamedTuple):
    """An answer without a list that could be read."""

    kind: str
    path: Path
    at: datetime


class Reports:
    """The last unreadable answer of each kind. Never raises.

    Args:
        folder: Where to keep them; made when first needed.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, name: str, body: bytes, now: datetime) -> None:
        """Keep an answer in a file of that name, one a day at most."""
        file = self._folder / name
        part = file.with_suffix(".part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists() and abs(now.timestamp() - file.stat().st_mtime) < _DAY:
                return
            part.write_bytes(body)
            os.utime(part, (now.timestamp(), now.timestamp()))
            part.replace(file)
        except OSError as error:
            log.warning("no file for a bug report: %s", error)

    def all(self) -> tuple[Unreadable, ...]:
        """Return those that are kept."""
        try:
            return tuple(
                Unreadable(file.stem, file, datetime.fromtimestamp(file.stat().st_mtime, UTC))
                for file in sorted(self._folder.glob("*"))
                if file.suffix != ".part"
            )
        except OSError:
            return ()
