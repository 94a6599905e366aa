"""Exported files, served statically and polled by newsboat."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import feedparser

from tests.support.feed_readers import Newsboat
from tests.support.upstream import FakeUpstream

SETTINGS = """
history_days = 1
spacing = 0
[feeds.causal]
title = "Causal matters"
query = "causal"
[feeds.sea]
title = "By the sea"
query = "sea"
sources = ["daily"]
"""


@contextmanager
def serve_files(folder: Path) -> Iterator[str]:
    """Serve the folder with Python's http.server."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            found = re.search(r"port (\d+)", process.stdout.readline())
            assert found
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.kill()


def export_feeds(folder: Path, public_url: str, upstream: FakeUpstream) -> None:
    """Run ``feedsrv export`` into the folder."""
    config = folder.parent / "feedsrv.toml"
    config.write_text(SETTINGS)
    environ = os.environ | {
        "FEEDSRV_CONFIG": str(config),
        "FEEDSRV_CACHE_DIR": str(folder.parent / "store"),
        "FEEDSRV_UPSTREAM_URL": upstream.url,
    }
    command = [sys.executable, "-m", "feedsrv", "export", "--public-url", public_url, str(folder)]
    subprocess.run(command, env=environ, check=True, capture_output=True)


def test_newsboat_subscribes_to_files_under_a_prefix_with_opml(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.today = lambda: datetime.now(UTC).date()
    folder = tmp_path / "site" / "public"
    folder.parent.mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "daily").symlink_to(folder)
    (tmp_path / "newsboat").mkdir()
    with serve_files(tmp_path / "root") as host:
        export_feeds(folder, f"{host}/daily", upstream)
        opml = (folder / "feeds.opml").read_text("utf-8")
        urls = re.findall('xmlUrl="([^"]+)"', opml)
        assert urls == [f"{host}/daily/feeds/causal.atom", f"{host}/daily/feeds/sea.atom"]
        newsboat = Newsboat(tmp_path / "newsboat", *urls)
        newsboat.poll()
        assert {title for _, title in newsboat.rows()} == {
            *("Causal lighthouses", "A study of lighthouse number 3", "Causality by the sea"),
        }
        parsed = feedparser.parse(urls[0])
        assert parsed.feed.links[0].href == urls[0]
        assert not parsed.bozo
