"""Feed readers import the OPML list and discover the feeds of a page."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.feed_readers import require_program, run_program
from tests.support.samples import FEED_PAGES


@pytest.mark.parametrize("suffix", ["atom", "rss"])
def test_newsboat_imports_the_list(sample_client: FlaskClient, tmp_path: Path, suffix: str) -> None:
    require_program("newsboat")
    (tmp_path / "feeds.opml").write_bytes(sample_client.get(f"/feeds.opml?format={suffix}").data)
    (tmp_path / "urls").touch()
    run_program("newsboat", "-u", "urls", "-c", "cache.db", "-i", "feeds.opml", folder=tmp_path)
    urls = [line.split()[0].strip('"') for line in (tmp_path / "urls").read_text().splitlines()]
    assert urls == [
        f"http://localhost/feeds/{name}.{suffix}" for name in ("causal", "sea", "empty")
    ]


def test_sfeed_imports_the_list(sample_client: FlaskClient, tmp_path: Path) -> None:
    require_program("sfeed_opml_import", "sfeed")
    document = sample_client.get("/feeds.opml").data
    settings = run_program("sfeed_opml_import", stdin=document, folder=tmp_path)
    assert re.findall(r"feed '([^']*)' '([^']*)'", settings) == [
        ("Causal matters", "http://localhost/feeds/causal.atom"),
        ("By the sea", "http://localhost/feeds/sea.atom"),
        ("No walrus", "http://localhost/feeds/empty.atom"),
    ]


@pytest.mark.parametrize("path", [*FEED_PAGES, "/"])
def test_sfeed_discovers_the_feeds_of_a_page(
    sample_client: FlaskClient, tmp_path: Path, path: str
) -> None:
    require_program("sfeed_web", "sfeed")
    output = run_program(
        "sfeed_web", "http://localhost/", stdin=sample_client.get(path).data, folder=tmp_path
    )
    found = [line.split("\t") for line in output.splitlines()]
    assert found[0][1] == "application/atom+xml"
    assert sample_client.get(found[0][0]).mimetype == "application/atom+xml"
