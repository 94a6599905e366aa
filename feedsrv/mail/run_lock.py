"""One run at a time on each machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feedsrv.errors import StoreError


@contextmanager
def hold_run_lock(directory: Path) -> Iterator[bool]:
    """Return whether no other process of this machine sends from the same store.

    The lock ends with the process, however that ends.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "mail.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(str(directory), error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)
