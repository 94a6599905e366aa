"""Which tests count towards the coverage of the package.

Measuring doubles the CPU time of a test and of the processes that it starts.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.paths import ROOT

#: Tests whose processes are measured: of code that only a process runs.
MEASURED_PROCESSES = {
    *("test_process_lifecycle.py", "test_serve_command.py", "test_server.py", "test_refresh.py"),
    *("test_wsgi_servers.py", "test_kill.py", "test_redis.py", "test_multiple_processes.py"),
}


def is_measured(item: pytest.Item) -> bool:
    """Return whether what a test does in this process counts.

    Random input does not, because it varies; nor do captures, which most clones lack; nor do tests
    that measure time or memory themselves.
    """
    if item.get_closest_marker("hypothesis") or item.get_closest_marker("serial"):
        return False
    directory = item.path.relative_to(ROOT / "tests").parts[0]
    has_processes = item.path.name in MEASURED_PROCESSES
    return directory != "replay" and (directory != "system" or has_processes)


@contextmanager
def measuring(item: pytest.Item) -> Iterator[None]:
    """Run a test that counts with coverage, and others without."""
    variables: list[str] = []
    if item.path.name not in MEASURED_PROCESSES:
        variables = [name for name in os.environ if name.startswith("COVERAGE")]
    removed = {name: os.environ.pop(name) for name in variables}
    trace, thread_trace = sys.gettrace(), threading.gettrace()
    if not is_measured(item):
        sys.settrace(None)
        threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)
        threading.settrace(thread_trace)
        os.environ.update(removed)
