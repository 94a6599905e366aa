"""Threads and memory of a server process while upstream hangs or sends endless responses."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.http import fetch
from tests.support.server_process import ServerProcess, start_server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until


@contextmanager
def run_server(upstream: FakeUpstream, folder: Path) -> Iterator[ServerProcess]:
    upstream.today = lambda: datetime.now(UTC).date()
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(folder / "store")}
    with start_server(environ=environ) as server:
        yield server


def fetch_status(url: str) -> int:
    return fetch(url)[0]


@pytest.mark.serial
def test_requests_for_a_hanging_page_leave_threads_for_other_requests(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    with run_server(upstream, tmp_path) as server, ThreadPoolExecutor(60) as pool:
        assert fetch_status(f"{server.url}/papers.atom") == 200
        upstream.inject_fault("timeout", "/papers/trending")
        waiting = [
            pool.submit(fetch_status, f"{server.url}/papers/trending.atom") for _ in range(60)
        ]
        wait_until(lambda: "/papers/trending" in upstream.requests)
        began = time.monotonic()
        assert fetch_status(f"{server.url}/papers.atom") == 200
        assert time.monotonic() - began < 6.5, "the page hangs for seven seconds"
        assert {future.result() for future in waiting} <= {200, 503}


def peak_memory_mb(server: ServerProcess) -> int:
    """Return the peak memory of the server's worker in MB."""
    (worker,) = server.workers()
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{worker}/status").read_text("ascii"))
    assert found
    return int(found[1]) // 1000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("fault", ["huge", "bomb"])
def test_an_endless_response_takes_little_memory(
    upstream: FakeUpstream, tmp_path: Path, fault: str
) -> None:
    with run_server(upstream, tmp_path) as server:
        assert fetch_status(f"{server.url}/papers.atom") == 200
        idle = peak_memory_mb(server)
        upstream.inject_fault(fault)
        assert fetch_status(f"{server.url}/papers/trending.atom") == 503
        assert fetch_status(f"{server.url}/papers.atom") == 200
        assert peak_memory_mb(server) - idle < 100
    paths = [
        path for path in upstream.requests if "trending" in path
    ]  # list days are fetched in the background
    assert paths[-2:] == ["/papers/trending", "/api/daily_papers?sort=trending&limit=50"]
