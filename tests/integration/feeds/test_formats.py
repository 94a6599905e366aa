"""RSS, JSON Feed, OPML and pages: the same papers as in Atom, by the rules of each."""

from __future__ import annotations

import json
import locale
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import feedgen.util
import jsonschema
import msgspec
import pytest
from feedgen.feed import FeedGenerator
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from feedsrv import __version__
from feedsrv.config import Config
from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.entry import FEED_SCHEME, KEYWORD_SCHEME
from feedsrv.feeds.feedgen_writer import _format_rfc822
from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.feeds.opml import Outline, render_opml
from feedsrv.feeds.rss import render_rss
from feedsrv.feeds.selection import unite_listings
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Kind, Listing, Page, Paper
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.feed_readers import needs, program
from tests.support.loopback import Loopback, raw_paper, serving
from tests.support.paths import SHARED
from tests.support.strategies import papers
from tests.unit.feeds.test_atom import ARXIV, ATOM, FEED, HEAD, HOME, PAPER, PDF, made, plain, tree

RSS = {
    "atom": "http://www.w3.org/2005/Atom",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
}
MakeService = Callable[..., Service]


# --- the formats, read back ----------------------------------------------------------------------


class Said(NamedTuple):
    """What every format says of a paper."""

    id: str
    title: str
    published: datetime
    authors: tuple[str, ...]
    link: str
    content: str


def text(element: etree._Element, path: str) -> str:
    return element.findtext(path, namespaces=RSS | ATOM) or ""


def texts(element: etree._Element, path: str) -> tuple[str, ...]:
    return tuple(found.text or "" for found in element.findall(path, RSS | ATOM))


def attributes(element: etree._Element | None) -> dict[str, str]:
    assert element is not None
    return {str(name): str(value) for name, value in element.attrib.items()}


def from_atom(document: bytes) -> list[Said]:
    return [
        Said(
            text(entry, "a:id"),
            text(entry, "a:title"),
            datetime.fromisoformat(text(entry, "a:published")),
            texts(entry, "a:author/a:name"),
            next(link.get("href", "") for link in entry.findall("a:link[@rel='alternate']", ATOM)),
            text(entry, "a:content"),
        )
        for entry in tree(document).findall("a:entry", ATOM)
    ]


def from_rss(document: bytes) -> list[Said]:
    return [
        Said(
            text(item, "guid"),
            text(item, "title"),
            parsedate_to_datetime(text(item, "pubDate")),
            texts(item, "dc:creator"),
            text(item, "link"),
            text(item, "content:encoded"),
        )
        for item in tree(document).findall("channel/item")
    ]


def from_json(document: bytes) -> list[Said]:
    return [
        Said(
            item["id"],
            item["title"],
            datetime.fromisoformat(item["date_published"]),
            tuple(author["name"] for author in item.get("authors", [])),
            item["url"],
            item["content_html"],
        )
        for item in json.loads(document)["items"]
    ]


def channel(*found: Paper, feed: Feed = FEED) -> etree._Element:
    element = tree(render_rss(HEAD, made(*found, feed=feed))).find("channel")
    assert element is not None
    return element


def item(*found: Paper, feed: Feed = FEED) -> etree._Element:
    element = channel(*found, feed=feed).find("item")
    assert element is not None
    return element


def json_item(paper: Paper, feed: Feed = FEED) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render_json_feed(HEAD, made(paper, feed=feed)))["items"][0]
    return found


def changed(**fields: Any) -> Paper:
    return msgspec.structs.replace(PAPER, **fields)


def leading(wanted: Any) -> Feed:
    return msgspec.structs.replace(FEED, link=wanted)


# --- the formats, compared -----------------------------------------------------------------------


FEEDS = {
    feed.name: feed
    for feed in (
        Feed(name="causal", title="Causal matters", query="causal"),
        Feed(name="sea", title="By the sea", query="sea OR lighthouse", link="arxiv", limit=3),
        Feed(name="empty", title="No walrus", query="walrus", sources=("daily",)),
    )
}
PAPERS = [
    raw_paper(1, title="Causal lighthouses", upvotes=30, github="https://github.com/e/x"),
    raw_paper(2, authors=[]),
    raw_paper(3, summary="Whether fog causally delays ferries.", ai_summary="Fog delays ferries."),
    raw_paper(4, day=1, authors=["李 明", "Zoë Le-Blanc", "Bo <bo@example.org>"]),
    raw_paper(5, day=1, title="Causality by the sea: p < 0.05 & <i>more</i>"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """A server whose papers stay as they are."""
    clock, folder = Clock(), tmp_path_factory.mktemp("store")
    with serving(Loopback(PAPERS, clock.today)) as url:
        config = Config(
            upstream_url=url, cache_dir=folder, feeds=FEEDS, spacing=0.0, history_days=1
        )
        service = Service.open(config, now=clock)
        yield create_app(service).test_client()
        service.close()


def asked(client: FlaskClient, path: str, suffix: str) -> bytes:
    """Return the body of an address with the format's suffix put in front of its query."""
    where, mark, query = path.partition("?")
    answer = client.get(f"{where}.{suffix}{mark}{query}")
    assert answer.status_code == 200, answer.data
    return bytes(answer.data)


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("/papers", [3, 2, 1]),
        ("/papers?q=causal", [3, 1, 5]),
        ("/papers?q=causal&limit=2", [3, 1]),
        ("/papers?q=-causal", [2]),
        ("/papers?q=nothing+like+it", []),
        ("/papers/trending", [3, 2, 1, 5, 4]),
        ("/papers/trending?q=causal", [3, 1, 5]),
        ("/papers/week", [3, 2, 1, 5, 4]),
        ("/papers/month?limit=4", [3, 2, 1, 5]),
        ("/feeds/causal", [3, 1, 5]),
        ("/feeds/sea", [3, 2, 1]),
        ("/feeds/empty", []),
        ("/feeds/causal+sea", [3, 2, 1, 5, 4]),
        ("/feeds/sea+causal?limit=1", [3]),
    ],
)
def test_an_address_gives_the_same_papers_in_each_format(
    client: FlaskClient, path: str, numbers: list[int]
) -> None:
    in_atom = from_atom(asked(client, path, "atom"))
    assert [one.id for one in in_atom] == [
        f"https://arxiv.org/abs/2611.{number:05d}" for number in numbers
    ]
    assert from_rss(asked(client, path, "rss")) == in_atom
    assert from_json(asked(client, path, "json")) == in_atom


@pytest.mark.parametrize("path", ["/papers?q=causal", "/papers/week", "/feeds/sea+causal"])
def test_an_address_has_one_title_in_each_format(client: FlaskClient, path: str) -> None:
    in_atom = tree(asked(client, path, "atom")).findtext("a:title", namespaces=ATOM)
    in_rss = tree(asked(client, path, "rss")).findtext("channel/title")
    assert in_atom == in_rss == json.loads(asked(client, path, "json"))["title"]


@settings(deadline=None, max_examples=60)
@given(st.lists(papers(), max_size=6, unique_by=lambda paper: paper.id))
def test_any_papers_are_the_same_in_each_format(found: list[Paper]) -> None:
    listing = Listing(
        page=Page(Kind.TRENDING), papers=tuple(found), fetched_at=datetime(2026, 11, 24, tzinfo=UTC)
    )
    held = made(*unite_listings((listing,)))
    in_atom = from_atom(render_atom(HEAD, held))
    assert [one.authors for one in in_atom] == [entry.authors for entry in held]
    assert [one.title for one in in_atom] == [entry.title for entry in held]
    assert from_rss(render_rss(HEAD, held)) == in_atom
    assert from_json(render_json_feed(HEAD, held)) == in_atom
    for write in (render_rss, render_json_feed):
        assert write(HEAD, held) == write(HEAD, held), "the same papers are the same bytes"


AWKWARD = {
    "700 authors": changed(authors=tuple(f"Ada Quill {place}" for place in range(700))),
    "no authors": changed(authors=(), author_count=0),
    "only their number": changed(authors=(), author_count=12),
    "no abstract": changed(abstract="", summary=""),
    "markup": changed(title="<i>E. coli</i> & ]]> &amp;", abstract="<script>alert(1)</script>"),
    "both directions": changed(title="\u202eright to left \u05e9\u05dc", authors=("李 明",)),
    "no arxiv id": changed(id="sample-001"),
}


@pytest.mark.parametrize("paper", AWKWARD.values(), ids=AWKWARD.keys())
def test_an_awkward_paper_is_the_same_in_each_format(paper: Paper) -> None:
    held = made(paper)
    (in_atom,) = from_atom(render_atom(HEAD, held))
    assert in_atom.authors == paper.authors
    assert in_atom.title == paper.title
    assert from_rss(render_rss(HEAD, held)) == from_json(render_json_feed(HEAD, held)) == [in_atom]


# --- RSS -----------------------------------------------------------------------------------------


def test_a_guid_says_that_it_is_no_address() -> None:
    guid = item(PAPER).find("guid")
    assert guid is not None
    assert (guid.text, attributes(guid)) == (ARXIV, {"isPermaLink": "false"})


def test_each_author_is_a_creator_of_their_own() -> None:
    assert texts(item(PAPER), "dc:creator") == ("Ada Quill", "Bo Lantern", "Cy O'Fog")
    assert item(PAPER).find("author") is None, "RSS wants a mail address there"


def test_an_item_has_its_content_and_a_short_description_before_it() -> None:
    tags = [element.tag for element in item(PAPER)]
    encoded = f"{{{RSS['content']}}}encoded"
    assert tags.index("description") < tags.index(encoded)
    assert text(item(PAPER), "description") == "Ships say lighthouses cause them."
    assert "<p>We ask the ships.</p>" in text(item(PAPER), "content:encoded")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"summary": ""}, "We ask the ships. They say so."),
        ({"summary": "", "abstract": ""}, "Do lighthouses cause ships?"),
        ({"summary": "Short."}, "Short."),
    ],
)
def test_a_description_is_never_empty(fields: dict[str, str], shown: str) -> None:
    assert text(item(changed(**fields)), "description") == shown
    assert json_item(changed(**fields))["summary"] == shown


def test_a_long_abstract_is_shortened_between_words() -> None:
    shown = text(item(changed(summary="", abstract="lighthouse " * 100)), "description")
    assert len(shown) <= 300
    assert shown.endswith("lighthouse …")


WORDS = st.lists(st.text("ab-.é", min_size=3, max_size=40), min_size=60, max_size=200)


@settings(deadline=None)
@given(WORDS)
def test_a_description_is_what_shortening_the_whole_abstract_gives(words: list[str]) -> None:
    abstract = " ".join(words)
    one = changed(summary="", abstract=abstract)
    assert made(one)[0].short_text == shorten(abstract, 300, placeholder=" …")


@pytest.mark.parametrize("field", ["summary", "abstract", "title"])
def test_a_description_is_html_that_shows_the_text_as_written(field: str) -> None:
    """RSS readers take a description for HTML, so markup in a paper's text must not be live."""
    written = "p < 0.05 & <script>alert(1)</script> &amp;"
    fields = {"summary": "", "abstract": "", "title": written} | {field: written}
    found = Markup()
    found.feed(text(item(changed(**fields)), "description"))
    found.close()
    assert found.tags == []
    assert "".join(found.texts) == written


def test_a_channel_says_where_it_is_and_leads_to_its_page() -> None:
    """feedgen takes the last link for the channel's, which must not be the feed itself."""
    assert text(channel(PAPER), "link") == HEAD.page_url
    assert text(channel(PAPER), "image/link") == HEAD.page_url
    (own,) = channel(PAPER).findall("atom:link", RSS)
    assert attributes(own) == {
        "rel": "self",
        "type": "application/rss+xml",
        "href": HEAD.self_url,
    }


def test_categories_tell_keywords_from_feeds_by_their_domain() -> None:
    found = [(each.attrib["domain"], each.text) for each in item(PAPER).findall("category")]
    assert found == [
        (KEYWORD_SCHEME, "causal inference"),
        (KEYWORD_SCHEME, "ships"),
        (FEED_SCHEME, "causal"),
    ]


def test_dates_are_in_gmt() -> None:
    revised = datetime(2026, 11, 23, 7, 5, 3, 999, tzinfo=UTC)
    assert text(item(PAPER), "pubDate") == "Fri, 20 Nov 2026 00:00:00 GMT"
    found = text(channel(changed(revised=revised)), "lastBuildDate")
    assert found == "Mon, 23 Nov 2026 07:05:03 GMT"
    assert text(channel(), "lastBuildDate") == "Thu, 04 May 2023 00:00:00 GMT"
    east = timezone(timedelta(hours=9))
    assert _format_rfc822(datetime(2026, 1, 1, 3, tzinfo=east)) == "Wed, 31 Dec 2025 18:00:00 GMT"


@pytest.mark.parametrize(
    ("wanted", "link", "enclosures"),
    [("huggingface", HOME, []), ("arxiv", ARXIV, []), ("pdf", PDF, [PDF])],
)
def test_the_pdf_is_enclosed_only_where_the_feed_leads_to_it(
    wanted: str, link: str, enclosures: list[str]
) -> None:
    found = item(PAPER, feed=leading(wanted))
    assert text(found, "link") == link
    assert [attributes(each) for each in found.findall("enclosure")] == [
        {"url": url, "length": "0", "type": "application/pdf"} for url in enclosures
    ]


def test_an_item_leads_to_its_discussion() -> None:
    assert text(item(PAPER), "comments") == f"{HOME}#community"


@pytest.mark.parametrize("write", [render_rss, render_json_feed])
def test_no_counter_is_anywhere_in_the_other_formats_either(
    write: Callable[..., bytes],
) -> None:
    document = write(HEAD, made(PAPER))
    assert not re.search(rb"\b(77|88|99)\b", document)
    assert document == write(HEAD, made(changed(upvotes=1, comments=2, stars=3)))


# --- JSON Feed -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    """Return the schema of JSON Feed 1.1, with dates and addresses checked too."""
    file = SHARED / "schemas" / "jsonfeed-1.1.schema.json"
    if not file.exists():
        pytest.skip("needs JSON Feed's schema in ../shared/schemas")
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    assert "date-time" in checker.checkers, "without rfc3339-validator any text is a date"
    return jsonschema.Draft7Validator(json.loads(file.read_text("utf-8")), format_checker=checker)


@pytest.mark.parametrize("paper", [PAPER, *AWKWARD.values()], ids=["plain", *AWKWARD.keys()])
@pytest.mark.parametrize("wanted", ["huggingface", "arxiv", "pdf"])
def test_a_json_feed_is_one_by_its_schema(
    schema: jsonschema.Draft7Validator, paper: Paper, wanted: str
) -> None:
    document = json.loads(render_json_feed(HEAD, made(paper, feed=leading(wanted))))
    assert [str(error) for error in schema.iter_errors(document)] == []


def test_an_empty_json_feed_is_one_too(schema: jsonschema.Draft7Validator) -> None:
    document = json.loads(render_json_feed(HEAD, ()))
    schema.validate(document)
    assert document["items"] == []


def test_the_schema_is_one_that_complains(schema: jsonschema.Draft7Validator) -> None:
    document = json.loads(render_json_feed(HEAD, made(PAPER)))
    document["items"][0]["date_published"] = "Fri, 20 Nov 2026"
    assert not schema.is_valid(document)


def test_authors_stand_in_the_items_alone() -> None:
    """Miniflux adds those of the feed to each item."""
    assert "authors" not in json.loads(render_json_feed(HEAD, made(PAPER)))
    assert json_item(PAPER)["authors"] == [{"name": name} for name in PAPER.authors]
    assert "authors" not in json_item(changed(authors=(), author_count=12))


def test_a_json_feed_says_where_it_is_and_leads_to_its_page() -> None:
    found = json.loads(render_json_feed(HEAD, made(PAPER)))
    assert found["version"] == "https://jsonfeed.org/version/1.1"
    assert (found["title"], found["description"]) == (HEAD.title, HEAD.subtitle)
    assert (found["feed_url"], found["home_page_url"]) == (HEAD.self_url, HEAD.page_url)
    assert (found["icon"], found["language"]) == (HEAD.icon_url, "en")


def test_an_item_has_dates_tags_summary_and_content() -> None:
    revised = datetime(2026, 11, 23, 7, 5, 3, 999, tzinfo=UTC)
    found = json_item(changed(revised=revised))
    assert found["date_published"] == "2026-11-20T00:00:00Z"
    assert found["date_modified"] == "2026-11-23T07:05:03Z"
    assert found["tags"] == ["causal inference", "ships", "causal"]
    assert found["summary"] == "Ships say lighthouses cause them."
    assert found["content_html"] == made(PAPER)[0].content
    assert "content_text" not in found


def test_a_tag_stands_once_even_where_the_feed_has_the_keywords_name() -> None:
    assert json_item(changed(keywords=("causal", "ships")))["tags"] == ["causal", "ships"]


@pytest.mark.parametrize(
    ("wanted", "url", "external"),
    [("huggingface", HOME, ARXIV), ("arxiv", ARXIV, HOME), ("pdf", PDF, HOME)],
)
def test_an_item_leads_to_one_page_and_names_another(wanted: str, url: str, external: str) -> None:
    found = json_item(PAPER, leading(wanted))
    assert (found["url"], found["external_url"]) == (url, external)
    assert found["attachments"] == [{"url": PDF, "mime_type": "application/pdf", "title": "PDF"}]


def test_a_paper_that_is_not_arxivs_names_no_other_page_and_no_pdf() -> None:
    found = json_item(changed(id="sample-001"))
    assert found["url"] == "https://example.org/papers/sample-001"
    assert not found.keys() & {"external_url", "attachments"}


# --- OPML ----------------------------------------------------------------------------------------


def subscriptions(document: bytes) -> list[dict[str, str]]:
    """Return the outlines of a list of subscriptions, after a look at what is around them."""
    root = tree(document)
    assert (root.tag, attributes(root)) == ("opml", {"version": "2.0"})
    assert [child.tag for child in root] == ["head", "body"]
    assert root.findtext("head/title")
    (group,) = root.findall("body/outline")
    assert group.get("text") == root.findtext("head/title")
    assert group.get("xmlUrl") is None
    assert {child.tag for child in group} <= {"outline"}
    return [attributes(child) for child in group]


@pytest.mark.parametrize(
    ("query", "suffix"),
    [("", "atom"), ("?format=atom", "atom"), ("?format=rss", "rss"), ("?format=json", "json")],
)
def test_every_configured_feed_is_in_the_list_of_subscriptions(
    client: FlaskClient, query: str, suffix: str
) -> None:
    answer = client.get(f"/feeds.opml{query}")
    assert answer.content_type == "text/x-opml; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment; filename=feedsrv.opml"
    found = subscriptions(answer.data)
    titles = {"causal": "Causal matters", "sea": "By the sea", "empty": "No walrus"}
    root = "http://localhost/feeds"
    assert [(one["type"], one["text"], one["xmlUrl"], one["htmlUrl"]) for one in found] == [
        ("rss", title, f"{root}/{name}.{suffix}", f"{root}/{name}")
        for name, title in titles.items()
    ]
    assert [one["title"] for one in found] == list(titles.values())
    assert found[0]["description"] == "Papers from Hugging Face Daily Papers that match: causal"
    for one in found:
        assert client.get(one["xmlUrl"]).status_code == 200
        assert client.get(one["htmlUrl"]).mimetype == "text/html"


def test_a_format_that_there_is_not_is_refused(client: FlaskClient) -> None:
    for wrong in ("pdf", "ATOM", "", "atom,rss"):
        answer = client.get("/feeds.opml", query_string={"format": wrong})
        assert answer.status_code == 400, wrong
        assert "must be one of atom, rss, json" in json.loads(answer.data)["detail"]


def test_the_list_is_the_same_bytes_on_every_server_and_asks_upstream_for_nothing(
    make_service: MakeService, upstream: Loopback
) -> None:
    bodies = {
        create_app(make_service(feeds=FEEDS)).test_client().get("/feeds.opml").data
        for _ in range(2)
    }
    assert len(bodies) == 1
    assert upstream.log == []


def test_a_list_without_feeds_is_a_list(make_service: MakeService) -> None:
    answer = create_app(make_service(feeds={})).test_client().get("/feeds.opml")
    assert subscriptions(answer.data) == []


def test_titles_in_a_list_arrive_as_written() -> None:
    title = 'Fog & "ferries" <b>'
    one = Outline(title=title, description="", feed_url="http://a/?q=1&l=2", page_url="http://a/")
    (found,) = subscriptions(render_opml(title, [one]))
    assert (found["text"], found["xmlUrl"]) == (title, "http://a/?q=1&l=2")


@pytest.mark.parametrize("suffix", ["atom", "rss"])
def test_newsboat_imports_the_list(client: FlaskClient, tmp_path: Path, suffix: str) -> None:
    needs("newsboat")
    (tmp_path / "feeds.opml").write_bytes(client.get(f"/feeds.opml?format={suffix}").data)
    (tmp_path / "urls").touch()
    program("newsboat", "-u", "urls", "-c", "cache.db", "-i", "feeds.opml", folder=tmp_path)
    urls = [line.split()[0].strip('"') for line in (tmp_path / "urls").read_text().splitlines()]
    assert urls == [
        f"http://localhost/feeds/{name}.{suffix}" for name in ("causal", "sea", "empty")
    ]


def test_sfeed_imports_the_list(client: FlaskClient, tmp_path: Path) -> None:
    needs("sfeed_opml_import", "sfeed")
    document = client.get("/feeds.opml").data
    settings = program("sfeed_opml_import", given=document, folder=tmp_path)
    assert re.findall(r"feed '([^']*)' '([^']*)'", settings) == [
        ("Causal matters", "http://localhost/feeds/causal.atom"),
        ("By the sea", "http://localhost/feeds/sea.atom"),
        ("No walrus", "http://localhost/feeds/empty.atom"),
    ]


# --- unions --------------------------------------------------------------------------------------


def from_feeds(document: bytes) -> dict[str, set[str]]:
    """Return the feeds that each paper came from, by the paper's number."""
    return {
        text(entry, "a:id")[-1]: {
            each.get("term", "")
            for each in entry.findall("a:category", ATOM)
            if each.get("scheme") == FEED_SCHEME
        }
        for entry in tree(document).findall("a:entry", ATOM)
    }


def test_a_union_has_each_paper_once_with_every_feed_that_it_came_from(
    client: FlaskClient,
) -> None:
    document = client.get("/feeds/causal+sea+empty.atom").data
    ids = texts(tree(document), "a:entry/a:id")
    assert len(ids) == len(set(ids)) == 5
    both = {"causal", "sea"}
    assert from_feeds(document) == {"3": both, "2": {"sea"}, "1": both, "5": both, "4": {"sea"}}


@pytest.mark.parametrize(
    "path", ["/feeds/sea+causal", "/feeds/causal+sea+causal", "/feeds/sea%2Bcausal"]
)
def test_a_union_is_one_feed_in_whatever_order_it_is_asked_for(
    client: FlaskClient, path: str
) -> None:
    one, other = client.get("/feeds/causal+sea.atom").data, client.get(f"{path}.atom").data
    assert text(tree(one), "a:id") == text(tree(other), "a:id")
    assert from_feeds(one) == from_feeds(other)
    assert texts(tree(one), "a:entry/a:id") == texts(tree(other), "a:entry/a:id")


def test_a_union_names_its_feeds_in_the_order_asked_for_and_each_once(
    client: FlaskClient,
) -> None:
    document = tree(client.get("/feeds/sea+causal+sea.atom").data)
    assert text(document, "a:title") == "By the sea + Causal matters"


def test_a_union_takes_as_many_papers_as_its_largest_feed(client: FlaskClient) -> None:
    assert len(from_feeds(client.get("/feeds/sea.atom").data)) == 3
    assert len(from_feeds(client.get("/feeds/sea+causal.atom").data)) == 5
    assert len(from_feeds(client.get("/feeds/sea+causal.atom?limit=2").data)) == 2


def test_a_union_says_where_it_is(client: FlaskClient) -> None:
    for suffix, path in (("atom", "a:link[@rel='self']"), ("rss", "channel/atom:link")):
        link = tree(client.get(f"/feeds/causal+sea.{suffix}").data).find(path, RSS | ATOM)
        assert link is not None
        assert link.get("href") == f"http://localhost/feeds/causal+sea.{suffix}"
        assert client.get(link.get("href", "")).status_code == 200


@pytest.mark.parametrize("suffix", ["", ".atom", ".rss", ".json"])
@pytest.mark.parametrize("names", ["causal+none", "none+causal", "causal+", "+", "causal++sea"])
def test_a_union_with_an_unknown_member_is_not_found(
    client: FlaskClient, names: str, suffix: str
) -> None:
    answer = client.get(f"/feeds/{names}{suffix}")
    assert answer.status_code == 404
    assert json.loads(answer.data)["feeds"] == ["causal", "empty", "sea"]


# --- pages ---------------------------------------------------------------------------------------


class Markup(HTMLParser):
    """The tags of a page, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(client: FlaskClient, path: str) -> Markup:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    found = Markup()
    found.feed(answer.get_data(as_text=True))
    found.close()
    return found


PAGES = [
    "/papers",
    "/papers?q=causal",
    "/papers?q=%22world+model%22+C%2B%2B&limit=3",
    "/papers/trending",
    "/papers/week?q=sea",
    "/papers/month",
    "/feeds/causal",
    "/feeds/causal+sea",
    "/feeds/empty",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_readers_to_each_format_atom_first(client: FlaskClient, path: str) -> None:
    links = [link for tag, link in page(client, path).tags if tag == "link"]
    found = [link for link in links if link["rel"] == "alternate"]
    assert [link["type"] for link in found] == [
        "application/atom+xml",
        "application/rss+xml",
        "application/feed+json",
    ]
    assert all(link["title"] for link in found)
    where, mark, query = path.partition("?")
    for link, suffix in zip(found, ("atom", "rss", "json"), strict=True):
        assert link["href"] == f"http://localhost{where}.{suffix}{mark}{query}"
        assert client.get(link["href"]).content_type == f"{link['type']}; charset=utf-8"


@pytest.mark.parametrize("path", [*PAGES, "/"])
def test_sfeed_finds_the_feeds_of_a_page(client: FlaskClient, tmp_path: Path, path: str) -> None:
    needs("sfeed_web", "sfeed")
    said = program("sfeed_web", "http://localhost/", given=client.get(path).data, folder=tmp_path)
    found = [line.split("\t") for line in said.splitlines()]
    assert found[0][1] == "application/atom+xml"
    assert client.get(found[0][0]).mimetype == "application/atom+xml"


def test_a_page_shows_what_a_feed_holds_and_the_counters_too(client: FlaskClient) -> None:
    shown = " ".join("".join(page(client, "/papers?q=causal").texts).split())
    assert "Causal lighthouses" in shown
    assert "Ada Quill, Bo Lantern" in shown
    assert "We count the steps of lighthouse 1 and find them even." in shown
    assert "24 November 2026" in shown
    assert "30 votes · 1 comment" in shown
    assert "lighthouse number 2" not in shown


def test_a_page_and_its_feed_hold_the_same_papers_in_the_same_order(client: FlaskClient) -> None:
    for path in PAGES:
        hrefs = [tag.get("href", "") for _, tag in page(client, path).tags]
        shown = list(dict.fromkeys(re.findall(r"https://arxiv.org/abs/\S+", " ".join(hrefs))))
        assert shown == [one.id for one in from_atom(asked(client, path, "atom"))]


@pytest.fixture
def hostile(service: Service, upstream: Loopback) -> FlaskClient:
    """A server with a paper that would like to be a program."""
    upstream.papers = [
        raw_paper(
            6,
            title="<script>alert(1)</script> & causal",
            summary="</p><img src=x onerror=alert(2)>",
            authors=['"><svg onload=alert(3)>', "Ada Quill"],
            organization="</em><iframe src=//evil.example>",
            keywords=["<b>bold</b>"],
            github="javascript:alert(4)",
            project=" JaVaScRiPt:alert(5)//https://example.org",
        )
    ]
    return create_app(service).test_client()


@pytest.mark.parametrize("path", ["/papers", "/papers?q=causal", "/papers/trending"])
def test_what_a_paper_says_is_text_on_a_page_and_never_markup(
    hostile: FlaskClient, path: str
) -> None:
    found = page(hostile, path)
    assert "<script>alert(1)</script> & causal" in "".join(found.texts)
    assert not {tag for tag, _ in found.tags} & {"svg", "iframe", "b"}
    ours = "http://localhost/static/"
    assert all(at["src"].startswith(ours) for tag, at in found.tags if tag in {"script", "img"})
    for _, given_to in found.tags:
        assert not any(name.startswith("on") for name in given_to)
        assert re.match(r"https?://|#main$|$", given_to.get("href", ""))


READS = {"atom": from_atom, "rss": from_rss, "json": from_json}


@pytest.mark.parametrize("suffix", READS)
def test_the_html_in_a_feed_has_nothing_but_our_own_markup(
    hostile: FlaskClient, suffix: str
) -> None:
    document = asked(hostile, "/papers?q=causal", suffix)
    (said,) = READS[suffix](document)
    found = Markup()
    found.feed(said.content)
    assert {tag for tag, _ in found.tags} == {"p", "em", "a"}
    links = [link for tag, link in found.tags if tag == "a"]
    assert all(link.keys() == {"href"} for link in links)
    assert all(link["href"].startswith("https://") for link in links)
    assert said.title == "<script>alert(1)</script> & causal"
    assert b"javascript:" not in document.lower()


def test_a_query_is_text_on_its_page_too(client: FlaskClient) -> None:
    found = page(client, '/papers?q="><script>alert(1)</script>"')
    assert [at["src"] for tag, at in found.tags if tag == "script"] == [
        f"http://localhost/static/page.js?v={__version__}"
    ]


def test_the_page_of_an_empty_feed_says_so_and_can_be_subscribed_to(client: FlaskClient) -> None:
    found = page(client, "/papers?q=nothing+like+it")
    assert "No paper matches yet." in " ".join(found.texts)
    assert [tag for tag, _ in found.tags if tag == "article"] == []
    assert "No paper matches yet." not in " ".join(page(client, "/papers").texts)


# --- feedgen's traps: when one of these fails, the trap is gone, and so may be our way around it --


def test_trap_feedgen_still_writes_rss_dates_by_way_of_the_processs_locale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(locale, "setlocale", lambda *arguments: calls.append(arguments))
    feedgen.util.formatRFC2822(datetime(2026, 1, 1, tzinfo=UTC))
    assert calls


def test_rendering_rss_leaves_the_processs_locale_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise AssertionError("the locale belongs to every thread")

    monkeypatch.setattr(locale, "setlocale", refuse)
    documents: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: documents.append(render_rss(HEAD, made(PAPER))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert documents == [render_rss(HEAD, made(PAPER))] * 4


def test_trap_feedgen_still_takes_the_last_link_for_the_channels() -> None:
    feed = plain()
    feed.description("x")
    feed.link(href="http://a.b/", rel="alternate")
    feed.link(href="http://a.b/feed", rel="self")
    assert tree(feed.rss_str()).findtext("channel/link") == "http://a.b/feed"


def with_authors(*authors: dict[str, str]) -> FeedGenerator:
    feed = plain()
    feed.description("x")
    feed.link(href="http://a.b/")
    entry = feed.add_entry()
    entry.title("y")
    entry.author(list(authors))
    return feed


def test_trap_feedgen_still_drops_authors_without_a_mail_address_from_rss() -> None:
    feed = with_authors({"name": "Ada Quill"}, {"name": "Bo Lantern", "email": "bo@example.org"})
    found = texts(tree(feed.rss_str()), "channel/item/author")
    assert found == ("bo@example.org (Bo Lantern)",)
