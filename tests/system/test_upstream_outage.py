"""Threads and memory of a server process while upstream hangs or sends endless responses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

pytestmark = pytest.mark.serial


@contextmanager
def run_server(upstream: FakeUpstream, folder: Path) -> Iterator[tuple[str, int]]:
    """Start a server process; yield its URL and process id."""
    environment = os.environ | {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(folder / "store"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )
    assert process.stderr is not None
    try:
        yield process.stderr.readline().split()[3].rstrip("/"), process.pid
    finally:
        process.kill()
        process.communicate()


def fetch_status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_requests_for_a_hanging_page_leave_threads_for_other_requests(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.today = lambda: datetime.now(UTC).date()
    with run_server(upstream, tmp_path) as (url, _), ThreadPoolExecutor(60) as pool:
        assert fetch_status(f"{url}/papers.atom") == 200
        upstream.inject_fault("timeout", "/papers/trending")
        waiting = [pool.submit(fetch_status, f"{url}/papers/trending.atom") for _ in range(60)]
        wait_until(lambda: "/papers/trending" in upstream.requests)
        began = time.monotonic()
        assert fetch_status(f"{url}/papers.atom") == 200
        assert time.monotonic() - began < 6.5, "the page hangs for seven seconds"
        assert {future.result() for future in waiting} <= {200, 503}


def peak_memory_mb(process: int) -> int:
    """Return the peak memory of the process in MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text("ascii"))
    assert found
    return int(found[1]) // 1000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("fault", ["huge", "bomb"])
def test_an_endless_response_takes_little_memory(
    upstream: FakeUpstream, tmp_path: Path, fault: str
) -> None:
    upstream.today = lambda: datetime.now(UTC).date()
    with run_server(upstream, tmp_path) as (url, process):
        assert fetch_status(f"{url}/papers.atom") == 200
        idle = peak_memory_mb(process)
        upstream.inject_fault(fault)
        assert fetch_status(f"{url}/papers/trending.atom") == 503
        assert fetch_status(f"{url}/papers.atom") == 200
        assert peak_memory_mb(process) - idle < 100
    paths = [
        path for path in upstream.requests if "trending" in path
    ]  # list days are fetched in the background
    assert paths[-2:] == ["/papers/trending", "/api/daily_papers?sort=trending&limit=50"]
