"""feedsrv serve as a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import feedparser
import pytest
from click.testing import CliRunner, Result

from feedsrv import __version__
from feedsrv.cli import main
from tests.support.http import fetch_body
from tests.support.paths import ROOT
from tests.support.servers import run_feedsrv
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a folder without settings, with a store of its own."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **environ: str) -> Result:
        environment = {"FEEDSRV_CACHE_DIR": str(tmp_path / "store")} | environ
        return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)

    return invoke


def test_the_server_serves_the_shipped_feeds(upstream: FakeUpstream, tmp_path: Path) -> None:
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with run_feedsrv(**environ) as (_, url, said):
        assert f"feedsrv {__version__} at {url}/\n" in said
        for path in ("/papers.atom?q=causal", "/feeds/causal.atom", "/papers/trending.atom"):
            feed = feedparser.parse(fetch_body(url + path))
            assert not feed.bozo
            assert feed.entries
            assert feed.feed.links[0].href == url + path


def test_the_demo_needs_no_network_and_leaves_nothing_behind(tmp_path: Path) -> None:
    environ = {"FEEDSRV_CACHE_DIR": str(tmp_path / "store"), "TMPDIR": str(tmp_path)}
    with run_feedsrv("--demo", **environ) as (process, url, said):
        assert "with sample papers" in said
        feed = feedparser.parse(fetch_body(f"{url}/papers.atom?q=causal"))
        assert feed.feed.title == "Sample papers: Daily Papers: causal"
        assert len(feed.entries) >= 5
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert list(tmp_path.iterdir()) == []


def test_where_upstream_cannot_be_reached_the_demo_starts_and_says_so(tmp_path: Path) -> None:
    environ = {"FEEDSRV_UPSTREAM_URL": "http://127.0.0.1:1", "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with run_feedsrv("--or-demo", **environ) as (_, url, said):
        assert "http://127.0.0.1:1 cannot be read from here" in said
        assert "Starting the demo instead" in said
        assert b"Sample papers" in fetch_body(f"{url}/papers.atom")


def test_where_upstream_can_be_reached_there_is_no_demo(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with run_feedsrv("--or-demo", **environ) as (_, url, said):
        assert "demo" not in said
        assert b"Sample" not in fetch_body(f"{url}/papers.atom")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_well(number: signal.Signals) -> None:
    with run_feedsrv("--demo") as (process, url, _):
        assert fetch_body(f"{url}/healthz") == b"ok\n"
        process.send_signal(number)
        assert process.wait(10) == 0


def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = subprocess.run(
            [sys.executable, "-m", "feedsrv", "serve", "--demo", "--port", port],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            cwd=ROOT,
        )
    assert found.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in found.stderr
    assert "--port" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_server_that_has_nothing_begins_to_read_by_itself(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.today = lambda: datetime.now(UTC).date()
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with run_feedsrv(**environ):
        wait_until(lambda: len(upstream.requests) > 0)
    assert upstream.requests[0].startswith("/papers/date/")


def test_another_wsgi_server_can_run_the_application(tmp_path: Path) -> None:
    code = (
        "from werkzeug.test import Client\nfrom feedsrv.web.wsgi import app\n"
        "print(Client(app).get('/healthz').text)"
    )
    environment = os.environ | {"FEEDSRV_CACHE_DIR": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert found.stdout.strip() == "ok"


def test_an_answer_other_than_a_feed_has_its_status_on_the_wire() -> None:
    with run_feedsrv("--demo") as (_, url, _said):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch_body(f"{url}/feeds/none.atom")
        assert caught.value.code == 404
        caught.value.close()
