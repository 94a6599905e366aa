"""Real readers subscribe to a running server."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from reader import make_reader

from feedsrv.service import Service
from feedsrv.web import create_app
from loopback import Loopback, raw_paper, serving


@pytest.fixture
def server(service: Service, upstream: Loopback) -> Iterator[str]:
    upstream.papers.append(raw_paper(6, title="<i>Fog</i> & p < 0.05: a causal note"))
    with serving(create_app(service)) as url:
        yield url


TITLES = {
    "https://arxiv.org/abs/2611.00001": "Causal lighthouses",
    "https://arxiv.org/abs/2611.00003": "A study of lighthouse number 3",
    "https://arxiv.org/abs/2611.00005": "Causality by the sea",
    "https://arxiv.org/abs/2611.00006": "<i>Fog</i> & p < 0.05: a causal note",
}


def newsboat(url: str, folder: Path) -> dict[str, str]:
    """Poll once with newsboat, and return the titles it holds by guid."""
    if shutil.which("newsboat") is None:
        pytest.skip("install newsboat: apt install newsboat")
    (folder / "urls").write_text(f'"{url}"\n')
    (folder / "config").write_text("cleanup-on-quit no\n")
    subprocess.run(
        ["newsboat", "-C", "config", "-u", "urls", "-c", "cache.db", "-x", "reload"],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    connection = sqlite3.connect(folder / "cache.db")
    held = dict(connection.execute("SELECT guid, title FROM rss_item").fetchall())
    connection.close()
    return held


def test_newsboat_holds_the_feed_after_each_of_three_polls(server: str, tmp_path: Path) -> None:
    for _ in range(3):
        held = newsboat(f"{server}/papers.atom?q=causal", tmp_path)
        assert {guid: title.strip() for guid, title in held.items()} == TITLES


def test_the_library_reader_holds_the_feed_and_asks_with_its_validators(
    server: str, tmp_path: Path
) -> None:
    url = f"{server}/papers.atom?q=causal"
    with make_reader(str(tmp_path / "db")) as client:
        client.add_feed(url)
        assert client.update_feed(url).new == 4  # type: ignore[union-attr]  # None is "not modified"
        assert client.update_feed(url) is None
        assert {entry.id: entry.title for entry in client.get_entries()} == TITLES
        assert client.get_feed(url).title == "Daily Papers: causal"
