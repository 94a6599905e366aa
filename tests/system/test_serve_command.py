"""What ``feedsrv serve`` serves; test_server.py tests its behaviour as a server."""

import urllib.error
from datetime import UTC, datetime
from pathlib import Path

import feedparser
import pytest

from feedsrv import __version__
from tests.support.http import fetch_body
from tests.support.server_process import start_server
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until


def test_the_server_serves_the_included_feeds(upstream: FakeUpstream, tmp_path: Path) -> None:
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with start_server(environ=environ) as server:
        assert f"feedsrv {__version__} at {server.url}/\n" in server.stderr
        for path in ("/papers.atom?q=causal", "/feeds/causal.atom", "/papers/trending.atom"):
            feed = feedparser.parse(fetch_body(server.url + path))
            assert not feed.bozo
            assert feed.entries
            assert feed.feed.links[0].href == server.url + path


def test_the_demo_needs_no_network_and_leaves_no_files(tmp_path: Path) -> None:
    environ = {"FEEDSRV_CACHE_DIR": str(tmp_path / "store"), "TMPDIR": str(tmp_path)}
    with start_server("--demo", environ=environ) as server:
        assert "with sample papers" in server.log()
        feed = feedparser.parse(fetch_body(f"{server.url}/papers.atom?q=causal"))
        assert feed.feed.title == "Sample papers: Daily Papers: causal"
        assert len(feed.entries) >= 5
        assert server.stop() == 0
    assert list(tmp_path.iterdir()) == []


def test_or_demo_starts_the_demo_if_upstream_is_unreachable(tmp_path: Path) -> None:
    environ = {"FEEDSRV_UPSTREAM_URL": "http://127.0.0.1:1", "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with start_server("--or-demo", environ=environ) as server:
        assert "http://127.0.0.1:1 is unreachable" in server.log()
        assert "Starting the demo instead" in server.log()
        assert b"Sample papers" in fetch_body(f"{server.url}/papers.atom")


def test_or_demo_starts_no_demo_if_upstream_responds(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with start_server("--or-demo", environ=environ) as server:
        assert "demo" not in server.log()
        assert b"Sample" not in fetch_body(f"{server.url}/papers.atom")


def test_a_server_with_an_empty_store_starts_to_fetch_before_any_request(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.today = lambda: datetime.now(UTC).date()
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with start_server(environ=environ):
        wait_until(lambda: len(upstream.requests) > 0)
    assert upstream.requests[0].startswith("/papers/date/")


def test_an_unknown_feed_has_status_404() -> None:
    with start_server("--demo") as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch_body(f"{server.url}/feeds/none.atom")
        assert caught.value.code == 404
        caught.value.close()
