"""Feeds of a server whose upstream is a replay of the site with real papers."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree
from lxml.isoschematron import Schematron
from reader import make_reader

from tests.support.http import fetch_body
from tests.support.paths import SHARED
from tests.support.replay import needs_replay, run_replay
from tests.support.server_process import start_server
from tests.support.waiting import wait_until

pytestmark = needs_replay


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with run_replay() as address:
        yield address


@pytest.fixture(scope="module")
def server(site: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = str(tmp_path_factory.mktemp("store"))
    environ = {"FEEDSRV_UPSTREAM_URL": site, "FEEDSRV_CACHE_DIR": folder}
    with start_server(environ=environ) as started:
        yield started.url


def log(site: str) -> list[str]:
    return [row["path"] for row in json.loads(fetch_body(f"{site}/__log__"))]


def expected_entries(site: str) -> dict[str, Any]:
    """Return the search results of the site by id."""
    found = json.loads(fetch_body(f"{site}/api/papers/search?q=causal&limit=120"))
    return {entry["paper"]["id"]: entry for entry in found}


def assert_valid(document: bytes) -> None:
    tree = etree.fromstring(document)
    for checker in (
        etree.RelaxNG(etree.parse(str(SHARED / "schemas" / "atom.rng"))),
        Schematron(etree.parse(str(SHARED / "schemas" / "atom.sch"))),
    ):
        assert checker.validate(tree), checker.error_log


def test_the_causal_feed_has_thirty_matching_papers_with_all_their_fields(
    site: str, server: str
) -> None:
    document = fetch_body(f"{server}/papers.atom?q=causal")
    assert_valid(document)
    feed = feedparser.parse(document)
    assert not feed.bozo
    assert len(feed.entries) >= 30
    papers = expected_entries(site)
    order = []
    for entry in feed.entries:
        name = entry.id.removeprefix("https://arxiv.org/abs/")
        paper = papers[name]["paper"]
        text = " ".join([paper["title"], paper["summary"], *paper.get("ai_keywords", [])])
        assert re.search(
            r"\bcausal(|s|ly|ity|ities|ities|ize|izes|ized|izing)\b", text, re.IGNORECASE
        ), name
        expected = [author["name"] for author in paper["authors"] if not author["hidden"]]
        assert [author.name for author in entry.authors] == [" ".join(n.split()) for n in expected]
        listed = paper.get("submittedOnDailyAt", paper["publishedAt"])[:10]
        assert entry.published.startswith(f"{listed}T00:")
        links = {(link.rel, link.type, link.href) for link in entry.links}
        assert {
            ("alternate", "text/html", f"https://huggingface.co/papers/{name}"),
            ("related", "text/html", f"https://arxiv.org/abs/{name}"),
            ("related", "application/pdf", f"https://arxiv.org/pdf/{name}"),
            ("replies", "text/html", f"https://huggingface.co/papers/{name}#community"),
        } <= links
        order.append((entry.published, name))
    assert order == sorted(order, reverse=True)


def test_a_second_request_fetches_no_page_again(site: str, server: str) -> None:
    """Background requests fetch the window of earlier days, each day once."""
    first = fetch_body(f"{server}/papers.atom?q=causal&limit=30")
    assert len(fetch_body(f"{server}/papers.atom?q=causal&limit=30")) >= len(first) * 0.5
    paths = [path for path in log(site) if path.startswith("/papers")]
    assert len(paths) == len(set(paths))


def test_the_trending_feed_has_each_paper_once(site: str, server: str) -> None:
    document = fetch_body(f"{server}/papers/trending.atom")
    assert_valid(document)
    ids = [entry.id for entry in feedparser.parse(document).entries]
    assert len(ids) == len(set(ids)) == 50


@pytest.mark.parametrize(
    "path",
    [
        "/papers.atom",
        "/papers/week.atom",
        "/papers/month.atom?limit=200",
        "/feeds/causal.atom",
        "/feeds/with-code.atom",
        "/papers.atom?q=%22world+model%22+-survey",
    ],
)
def test_other_urls_return_valid_feeds(server: str, path: str) -> None:
    document = fetch_body(server + path)
    assert_valid(document)
    assert b"<entry>" in document


def test_the_reader_library_parses_the_feed(server: str, tmp_path: Path) -> None:
    url = f"{server}/feeds/causal.atom"
    with make_reader(str(tmp_path / "db")) as client:
        client.add_feed(url)
        client.update_feed(url)
        ids = {entry.id for entry in client.get_entries()}
    assert ids == {entry.id for entry in feedparser.parse(fetch_body(url)).entries}


@pytest.mark.serial
def test_with_an_empty_store_the_window_fills_after_the_first_response(
    tmp_path: Path,
) -> None:
    """Each page is fetched once, sequentially; a second server on the same store fetches none."""
    (tmp_path / "fast.toml").write_text("spacing = 0.1\n")
    with run_replay() as site:
        _check_window_fills(site, tmp_path)


def days_read(server: str) -> int:
    days = json.loads(fetch_body(f"{server}/status.json"))["days"]
    return sum(row["read_at"] is not None for row in days)


def _check_window_fills(site: str, tmp_path: Path) -> None:
    environ = {
        "FEEDSRV_UPSTREAM_URL": site,
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_CONFIG": str(tmp_path / "fast.toml"),
    }
    with start_server(environ=environ) as started:
        server = started.url
        began = time.monotonic()
        assert len(feedparser.parse(fetch_body(f"{server}/papers.atom?q=causal")).entries) >= 30
        assert time.monotonic() - began < 20
        wait_until(lambda: days_read(server) >= 30, timeout=90)
        everything = feedparser.parse(fetch_body(f"{server}/papers.atom?limit=200")).entries
    days = {entry.published[:10] for entry in everything}
    assert len(everything) == 200
    rows = json.loads(fetch_body(f"{site}/__log__"))
    paths = [row["path"] for row in rows]
    assert len(paths) == len(set(paths))
    assert sum("/date/" in path for path in paths) in {30, 31}, "one redirect on a holiday"
    # A burst of four, then one each 0.1 s: sending any ten takes at least 0.6 s. They arrive a
    # little later, and the first one waits for its connection.
    spans = [rows[n + 9]["at"] - rows[n]["at"] for n in range(1, len(rows) - 9)]
    assert min(spans) > 0.5
    assert len(days) >= 8
    with start_server(environ=environ) as started:
        server = started.url
        assert fetch_body(f"{server}/papers.atom?q=causal")
        assert fetch_body(f"{server}/papers.atom")
    assert len(log(site)) == len(paths)
