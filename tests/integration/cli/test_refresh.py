"""`feedsrv refresh`."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result
from werkzeug.wrappers import Response

from tests.support.upstream import FakeUpstream

Run = Callable[..., Result]


def test_refresh_fetches_stale_lists_and_prints_a_line_for_each(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 2\n[feeds.a]\nquery = 'fog'\n")
    command = ("--config", str(tmp_path / "my.toml"), "refresh")
    result = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.rpartition(":")[0].split()[0] for line in lines[:-1]] == [
        "day",
        "day",
        "trending",
        "week",
        "month",
        "search",
    ]
    assert lines[0].endswith(": 3 papers")
    assert lines[-1] == "All lists are up to date."
    second_run = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert second_run.stdout == "All lists are up to date.\n"


def test_refresh_asks_which_artefacts_cite_the_papers_of_the_feeds(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 2\n[feeds.a]\nquery = 'fog'\n")
    for _ in range(2):
        upstream.fail("/api/papers")
        command = ("--config", str(tmp_path / "my.toml"), "refresh")
        assert run(*command, FEEDSRV_UPSTREAM_URL=upstream.url).exit_code == 0, "no list failed"
    assert [path for path in upstream.requests if "/api/" in path] == ["/api/papers/2611.00003"]


def test_refresh_exits_with_1_when_a_fetch_failed(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 1\n")
    upstream.intercept = lambda path: Response("", 500) if "month" in path else None
    command = ("--config", str(tmp_path / "my.toml"), "refresh")
    result = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    assert re.search(r"^month \S+: FAILED: HTTP 500", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("1 list could not be fetched.\n")
    assert "trending: 5 papers" in result.stdout


def test_refresh_shows_a_bar_on_a_terminal(upstream: FakeUpstream, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 2\n")
    terminal, process_end = os.openpty()
    environment = os.environ | {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_CONFIG": str(tmp_path / "my.toml"),
        "TERM": "xterm",
        "COLUMNS": "100",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "refresh"],
        stdout=process_end,
        stderr=process_end,
        env=environment,
    )
    os.close(process_end)
    output = b""
    with contextlib.suppress(OSError):  # EIO on Linux when the process has exited
        while part := os.read(terminal, 65536):
            output += part
    assert process.wait(20) == 0
    os.close(terminal)
    assert b"5/5" in output
    assert b"All lists are up to date." in output
