"""Feeds parsed by feedsmith, an npm library that returns every element."""

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest

from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.entry import FEED_SCHEME, KEYWORD_SCHEME, Entry
from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.feeds.opml import render_opml
from feedsrv.feeds.rss import render_rss
from feedsrv.models import Feed
from tests.support.documents import (
    ARXIV_URL,
    FEED,
    METADATA,
    PAPER,
    PAPER_PAGE_URL,
    PDF_URL,
    make_entries,
)
from tests.support.paths import ROOT

NPM = ROOT / "tests" / "npm"
Parse = Callable[..., dict[str, Any]]

CROWD = tuple(f"Ada Quill the {number}th" for number in range(700))
PAPERS = (
    PAPER,
    msgspec.structs.replace(
        PAPER,
        id="2611.01233",
        title="<i>Fog</i> & p < 0.05: a “causal” note &amp; 灯台",
        authors=CROWD,
        revised=datetime.fromisoformat("2026-11-23T07:05:03+00:00"),
    ),
    msgspec.structs.replace(
        PAPER, id="2611.01232", authors=(), abstract="", ai_summary="", code="", project=""
    ),
)
ENTRIES = make_entries(*PAPERS)


@pytest.fixture(scope="module")
def parse() -> Parse:
    """Return a function that parses a document with feedsmith."""
    node = shutil.which("node")
    if node is None or not (NPM / "node_modules" / "feedsmith").exists():
        pytest.skip("install feedsmith: npm ci --prefix tests/npm")

    def parsed(document: bytes, *kind: str) -> dict[str, Any]:
        command = [node, str(NPM / "parse.mjs"), *kind]
        done = subprocess.run(command, input=document, capture_output=True, timeout=60, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return parsed


def text_of(found: Any) -> Any:
    """Return a text, which in Atom must not have a type here."""
    if isinstance(found, dict):
        assert found.keys() == {"value"}
        return found["value"]
    return found


def test_feedsmith_parses_the_whole_atom_feed(parse: Parse) -> None:
    found = parse(render_atom(METADATA, ENTRIES))
    assert found["format"] == "atom"
    feed = found["feed"]
    assert feed["id"] == METADATA.id
    assert (text_of(feed["title"]), text_of(feed["subtitle"])) == (
        METADATA.title,
        METADATA.subtitle,
    )
    assert {link["rel"]: link["href"] for link in feed["links"]} == {
        "self": METADATA.self_url,
        "alternate": METADATA.page_url,
    }
    for entry, expected, paper in zip(feed["entries"], ENTRIES, PAPERS, strict=True):
        assert (entry["id"], text_of(entry["title"])) == (expected.id, expected.title)
        assert [author["name"] for author in entry.get("authors", [])] == list(paper.authors)
        assert [
            (link["rel"], link["href"], link["type"], link.get("title", ""))
            for link in entry["links"]
        ] == [(link.rel, link.href, link.type, link.title) for link in expected.links]
        assert datetime.fromisoformat(entry["published"]) == expected.published
        assert datetime.fromisoformat(entry["updated"]) == expected.updated
        assert [(each["scheme"], each["term"]) for each in entry["categories"]] == list(
            expected.categories
        )
        assert entry["content"] == {"type": "html", "value": expected.content}


def test_feedsmith_parses_the_whole_rss_feed(parse: Parse) -> None:
    found = parse(
        render_rss(METADATA, make_entries(*PAPERS, feed=msgspec.structs.replace(FEED, link="pdf")))
    )
    assert found["format"] == "rss"
    feed = found["feed"]
    assert (feed["title"], feed["link"]) == (METADATA.title, METADATA.page_url)
    assert [(link["rel"], link["href"]) for link in feed["atom"]["links"]] == [
        ("self", METADATA.self_url)
    ]
    for item, expected, paper in zip(feed["items"], ENTRIES, PAPERS, strict=True):
        assert item["guid"] == {"value": expected.id, "isPermaLink": False}
        assert item["title"] == expected.title
        assert item.get("dc", {}).get("creators", []) == list(paper.authors)
        assert parsedate_to_datetime(item["pubDate"]) == expected.published
        assert item["link"] == expected.id.replace("/abs/", "/pdf/")
        assert [each["url"] for each in item["enclosures"]] == [item["link"]]
        assert item["content"]["encoded"] == expected.content
        assert [(each["domain"], each["name"]) for each in item["categories"]] == [
            (KEYWORD_SCHEME, "causal inference"),
            (KEYWORD_SCHEME, "ships"),
            (FEED_SCHEME, "causal"),
        ]


def test_feedsmith_parses_the_whole_json_feed(parse: Parse) -> None:
    found = parse(render_json_feed(METADATA, ENTRIES))
    assert found["format"] == "json"
    feed = found["feed"]
    assert (feed["feed_url"], feed["home_page_url"]) == (METADATA.self_url, METADATA.page_url)
    for item, expected, paper in zip(feed["items"], ENTRIES, PAPERS, strict=True):
        assert (item["id"], item["title"]) == (expected.id, expected.title)
        assert [author["name"] for author in item.get("authors", [])] == list(paper.authors)
        assert datetime.fromisoformat(item["date_published"]) == expected.published
        assert datetime.fromisoformat(item["date_modified"]) == expected.updated
        assert item["content_html"] == expected.content
    first = feed["items"][0]
    assert (first["url"], first["external_url"]) == (PAPER_PAGE_URL, ARXIV_URL)
    assert [each["url"] for each in first["attachments"]] == [PDF_URL]


@pytest.mark.parametrize("entries", [(), ENTRIES[:1]], ids=["empty", "one"])
def test_feedsmith_parses_short_feeds(parse: Parse, entries: tuple[Entry, ...]) -> None:
    for render, key in (
        (render_atom, "entries"),
        (render_rss, "items"),
        (render_json_feed, "items"),
    ):
        feed = parse(render(METADATA, entries))["feed"]
        assert text_of(feed["title"]) == METADATA.title
        assert len(feed.get(key, [])) == len(entries)


def test_feedsmith_parses_the_opml_list(parse: Parse) -> None:
    feed = Feed(name="fog", title='Fog & "ferries"', query="fog")
    url = "http://my.server{}{}".format
    found = parse(render_opml([feed], "atom", lambda path, suffix="": url(path, suffix)), "opml")
    assert found["head"]["title"] == "Daily Papers"
    (group,) = found["body"]["outlines"]
    (outline,) = group["outlines"]
    assert outline == {
        "type": "rss",
        "text": feed.title,
        "title": feed.title,
        "description": "Papers from Hugging Face Daily Papers that match: fog",
        "xmlUrl": "http://my.server/feeds/fog.atom",
        "htmlUrl": "http://my.server/feeds/fog",
        "language": "en",
    }
