"""Settings of all system tests."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

#: Test modules whose processes are measured. Coverage doubles the CPU time of a process.
MEASURED = {
    *("test_process_lifecycle.py", "test_serve_command.py", "test_server.py"),
    *("test_wsgi_servers.py", "test_kill.py", "test_redis.py", "test_multiple_processes.py"),
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Start the processes of most tests without coverage."""
    if item.path.name in MEASURED:
        return (yield)
    variables = [name for name in os.environ if name.startswith("COVERAGE")]
    removed = {name: os.environ.pop(name) for name in variables}
    try:
        return (yield)
    finally:
        os.environ.update(removed)
