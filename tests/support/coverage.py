"""Which tests count towards the coverage of the package.

Measuring doubles the CPU time of a test and of the processes that it starts.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.paths import ROOT

#: System tests that are measured: of code that only a server process runs.
MEASURED = {
    *("test_process_lifecycle.py", "test_serve_command.py", "test_server.py"),
    *("test_wsgi_servers.py", "test_kill.py", "test_redis.py", "test_multiple_processes.py"),
}


def is_measured(item: pytest.Item) -> bool:
    """Return whether a test counts.

    Random input does not, because it varies; nor do captures, which most clones lack; nor do tests
    that measure time or memory themselves.
    """
    if item.get_closest_marker("hypothesis") or item.get_closest_marker("serial"):
        return False
    directory = item.path.relative_to(ROOT / "tests").parts[0]
    return directory != "replay" and (directory != "system" or item.path.name in MEASURED)


@contextmanager
def coverage_paused() -> Iterator[None]:
    """Measure nothing that this thread, its new threads and its new processes do meanwhile."""
    variables = [name for name in os.environ if name.startswith("COVERAGE")]
    removed = {name: os.environ.pop(name) for name in variables}
    trace, thread_trace = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)
        threading.settrace(thread_trace)
        os.environ.update(removed)
