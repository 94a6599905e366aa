"""The replay of the real site, if it is beside the clone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.paths import SHARED

REPLAY = SHARED / "replay" / "hf_replay.py"
needs_replay = pytest.mark.skipif(
    not REPLAY.exists(), reason="needs the replay in ../shared/replay"
)


@contextmanager
def run_replay(*arguments: str) -> Iterator[str]:
    """Start the replay as a process; yield its URL."""
    process = subprocess.Popen(
        [sys.executable, str(REPLAY), "--port", "0", *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().rsplit(" ", 1)[1].strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
