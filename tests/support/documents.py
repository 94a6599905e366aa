"""Feed documents, and parsers that reduce each format to the same entries."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from typing import Any, NamedTuple

import msgspec
from feedgen.feed import FeedGenerator
from flask.testing import FlaskClient
from lxml import etree

from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.entry import Entry, build_entries
from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.feeds.metadata import FeedMetadata, feeds_id
from feedsrv.feeds.rss import render_rss
from feedsrv.models import Feed, Match, Paper

ATOM_NAMESPACES = {"a": "http://www.w3.org/2005/Atom"}
FEED = Feed(name="causal", title="Causal matters", query="causal")
METADATA = FeedMetadata(
    id=feeds_id([FEED]),
    icon_url="http://my.server/static/icon.png",
    title="Causal matters",
    subtitle="Papers that match: causal",
    self_url="http://my.server/papers.atom?q=a&limit=3",
    page_url="https://huggingface.co/papers?q=causal",
)
PAPER = Paper(
    id="2611.01234",
    title="Do lighthouses cause ships?",
    abstract="We ask the ships.\n\nThey say so.",
    authors=("Ada Quill", "Bo Lantern", "Cy O'Fog"),
    author_count=3,
    submitted=date(2026, 11, 18),
    listed=date(2026, 11, 20),
    organization="Harbour Lab",
    keywords=("causal inference", "ships"),
    ai_summary="Ships say lighthouses cause them.",
    code="https://github.com/e/ships",
    project="https://ships.example.org/?a=1&b=2",
    upvotes=77,
    comments=88,
    stars=99,
)


def make_entries(*papers: Paper, feed: Feed = FEED) -> tuple[Entry, ...]:
    return build_entries([Match(paper, (feed,)) for paper in papers])


def render_papers(*papers: Paper, feed: Feed = FEED) -> bytes:
    return render_atom(METADATA, make_entries(*papers, feed=feed))


def parse_xml(document: bytes) -> etree._Element:
    return etree.fromstring(document)


def first_atom_entry(document: bytes) -> etree._Element:
    found = parse_xml(document).find("a:entry", ATOM_NAMESPACES)
    assert found is not None
    return found


def atom_links(document: bytes) -> list[tuple[str, str, str]]:
    found = first_atom_entry(document).findall("a:link", ATOM_NAMESPACES)
    return [(link.get("rel", ""), link.get("type", ""), link.get("href", "")) for link in found]


PAPER_PAGE_URL = "https://huggingface.co/papers/2611.01234"
ARXIV_URL = "https://arxiv.org/abs/2611.01234"
PDF_URL = "https://arxiv.org/pdf/2611.01234"


def make_feed_generator() -> FeedGenerator:
    feed = FeedGenerator()
    feed.id("urn:x")
    feed.title("x")
    feed.updated(datetime(2026, 1, 1, tzinfo=UTC))
    return feed


RSS_NAMESPACES = {
    "atom": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
}


class ParsedEntry(NamedTuple):
    """The elements of an entry that every format has."""

    id: str
    title: str
    published: datetime
    authors: tuple[str, ...]
    link: str
    content: str


def find_text(element: etree._Element, path: str) -> str:
    return element.findtext(path, namespaces=RSS_NAMESPACES | ATOM_NAMESPACES) or ""


def find_texts(element: etree._Element, path: str) -> tuple[str, ...]:
    return tuple(
        found.text or "" for found in element.findall(path, RSS_NAMESPACES | ATOM_NAMESPACES)
    )


def attributes_of(element: etree._Element | None) -> dict[str, str]:
    assert element is not None
    return {str(name): str(value) for name, value in element.attrib.items()}


def parse_atom(document: bytes) -> list[ParsedEntry]:
    return [
        ParsedEntry(
            find_text(entry, "a:id"),
            find_text(entry, "a:title"),
            datetime.fromisoformat(find_text(entry, "a:published")),
            find_texts(entry, "a:author/a:name"),
            next(
                link.get("href", "")
                for link in entry.findall("a:link[@rel='alternate']", ATOM_NAMESPACES)
            ),
            find_text(entry, "a:content"),
        )
        for entry in parse_xml(document).findall("a:entry", ATOM_NAMESPACES)
    ]


def parse_rss(document: bytes) -> list[ParsedEntry]:
    return [
        ParsedEntry(
            find_text(item, "guid"),
            find_text(item, "title"),
            parsedate_to_datetime(find_text(item, "pubDate")),
            find_texts(item, "dc:creator"),
            find_text(item, "link"),
            find_text(item, "content:encoded"),
        )
        for item in parse_xml(document).findall("channel/item")
    ]


def parse_json_feed(document: bytes) -> list[ParsedEntry]:
    return [
        ParsedEntry(
            item["id"],
            item["title"],
            datetime.fromisoformat(item["date_published"]),
            tuple(author["name"] for author in item.get("authors", [])),
            item["url"],
            item["content_html"],
        )
        for item in json.loads(document)["items"]
    ]


def rss_channel(*found: Paper, feed: Feed = FEED) -> etree._Element:
    element = parse_xml(render_rss(METADATA, make_entries(*found, feed=feed))).find("channel")
    assert element is not None
    return element


def rss_item(*found: Paper, feed: Feed = FEED) -> etree._Element:
    element = rss_channel(*found, feed=feed).find("item")
    assert element is not None
    return element


def json_feed_item(paper: Paper, feed: Feed = FEED) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_json_feed(METADATA, make_entries(paper, feed=feed)))[
        "items"
    ][0]
    return found


def paper_with(**fields: Any) -> Paper:
    return msgspec.structs.replace(PAPER, **fields)


def feed_linking_to(link: Any) -> Feed:
    return msgspec.structs.replace(FEED, link=link)


class MarkupCollector(HTMLParser):
    """Collects the tags and the texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


EDGE_CASE_PAPERS = {
    "700 authors": paper_with(authors=tuple(f"Ada Quill {number}" for number in range(700))),
    "no authors": paper_with(authors=(), author_count=0),
    "only the number of authors": paper_with(authors=(), author_count=12),
    "no abstract": paper_with(abstract="", ai_summary=""),
    "markup": paper_with(title="<i>E. coli</i> & ]]> &amp;", abstract="<script>alert(1)</script>"),
    "both directions": paper_with(title="\u202eright to left \u05e9\u05dc", authors=("李 明",)),
    "no arxiv id": paper_with(id="sample-001"),
}


def get_body(client: FlaskClient, path: str, suffix: str) -> bytes:
    """Return the body of the path in a format; the suffix is inserted before the query."""
    base, separator, query = path.partition("?")
    response = client.get(f"{base}.{suffix}{separator}{query}")
    assert response.status_code == 200, response.data
    return bytes(response.data)


def parse_opml(document: bytes) -> list[dict[str, str]]:
    """Return the outlines of an OPML document, after checks of its structure."""
    root = parse_xml(document)
    assert (root.tag, attributes_of(root)) == ("opml", {"version": "2.0"})
    assert [child.tag for child in root] == ["head", "body"]
    assert root.findtext("head/title")
    (group,) = root.findall("body/outline")
    assert group.get("text") == root.findtext("head/title")
    assert group.get("xmlUrl") is None
    assert {child.tag for child in group} <= {"outline"}
    return [attributes_of(child) for child in group]
