"""Atom documents: entries, links, ids and validity.

The tests that need the schemas of RFC 4287 are skipped without them; those with feedparser always
run.
"""

import locale
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import feedparser
import msgspec
import pytest
from feedgen.feed import FeedGenerator
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from lxml.isoschematron import Schematron

from feedsrv.feeds.deduplication import unite_listings
from feedsrv.feeds.entry import FEED_SCHEME, KEYWORD_SCHEME
from feedsrv.feeds.metadata import feeds_id
from feedsrv.models import Feed, Kind, Listing, Page, Paper
from feedsrv.monitoring.incidents import incident_feed, with_event
from feedsrv.upstream.events import LayoutChanged, ListingFetched
from tests.support.documents import (
    ARXIV_URL,
    ATOM_NAMESPACES,
    FEED,
    PAPER,
    PAPER_PAGE_URL,
    PDF_URL,
    atom_links,
    first_atom_entry,
    make_entries,
    make_feed_generator,
    paper_with,
    parse_xml,
    render_papers,
)
from tests.support.paths import SHARED
from tests.support.strategies import few_examples, papers


@pytest.fixture(scope="module")
def validation_errors() -> Callable[[bytes], str]:
    """Return a function that validates a feed against RFC 4287's schemas, and returns errors."""
    if not SHARED.exists():
        pytest.skip("needs the Atom schemas in ../shared/schemas")
    grammar = etree.RelaxNG(etree.parse(str(SHARED / "schemas" / "atom.rng")))
    rules = Schematron(etree.parse(str(SHARED / "schemas" / "atom.sch")))

    def validate(document: bytes) -> str:
        root = parse_xml(document)
        failed = [schema for schema in (grammar, rules) if not schema.validate(root)]
        return "\n".join(str(schema.error_log) for schema in failed)

    return validate


def test_the_id_of_an_entry_is_its_arxiv_url() -> None:
    entry = first_atom_entry(render_papers(PAPER))
    assert entry.findtext("a:id", namespaces=ATOM_NAMESPACES) == "https://arxiv.org/abs/2611.01234"
    assert entry.findtext("a:title", namespaces=ATOM_NAMESPACES) == "Do lighthouses cause ships?"
    summary = entry.find("a:summary", ATOM_NAMESPACES)
    assert summary is not None
    assert (summary.text, summary.get("type", "text")) == (PAPER.abstract, "text")
    assert entry.findtext("a:published", namespaces=ATOM_NAMESPACES) == "2026-11-20T00:07:14+00:00"
    assert entry.findtext("a:updated", namespaces=ATOM_NAMESPACES) == "2026-11-20T00:07:14+00:00"


def test_every_author_has_an_element_and_is_in_the_content() -> None:
    entry = first_atom_entry(render_papers(PAPER))
    names = [name.text for name in entry.findall("a:author/a:name", ATOM_NAMESPACES)]
    assert names == ["Ada Quill", "Bo Lantern", "Cy O'Fog"]
    content = entry.findtext("a:content", namespaces=ATOM_NAMESPACES)
    assert content is not None
    assert content.startswith("<p><em>Ada Quill, Bo Lantern, Cy O&#x27;Fog — Harbour Lab</em></p>")


def test_the_content_has_the_abstract_in_paragraphs_then_the_links() -> None:
    content = first_atom_entry(render_papers(PAPER)).findtext(
        "a:content", namespaces=ATOM_NAMESPACES
    )
    assert content is not None
    assert "<p>We ask the ships.</p>\n<p>They say so.</p>" in content
    assert '<a href="https://arxiv.org/pdf/2611.01234">PDF</a>' in content
    assert '<a href="https://ships.example.org/?a=1&amp;b=2">Project</a>' in content


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            "huggingface",
            [
                ("alternate", "text/html", PAPER_PAGE_URL),
                ("related", "text/html", ARXIV_URL),
                ("related", "application/pdf", PDF_URL),
            ],
        ),
        (
            "arxiv",
            [
                ("alternate", "text/html", ARXIV_URL),
                ("related", "text/html", PAPER_PAGE_URL),
                ("related", "application/pdf", PDF_URL),
            ],
        ),
        (
            "pdf",
            [
                ("alternate", "application/pdf", PDF_URL),
                ("related", "text/html", PAPER_PAGE_URL),
                ("related", "text/html", ARXIV_URL),
            ],
        ),
    ],
)
def test_links_have_rel_and_type_and_the_alternate_is_the_configured_one(
    link: Any, expected: list[tuple[str, str, str]]
) -> None:
    feed = msgspec.structs.replace(FEED, link=link)
    assert atom_links(render_papers(PAPER, feed=feed)) == [
        *expected,
        ("related", "text/html", "https://github.com/e/ships"),
        ("related", "text/html", "https://ships.example.org/?a=1&b=2"),
        ("replies", "text/html", f"{PAPER_PAGE_URL}#community"),
    ]


def test_the_ai_summary_is_marked_as_one_before_the_abstract() -> None:
    content = make_entries(PAPER)[0].content
    marked = "<p><strong>AI-generated summary:</strong> Ships say lighthouses cause them.</p>"
    assert f"{marked}\n<p>We ask the ships.</p>" in content
    assert "AI-generated" not in make_entries(paper_with(ai_summary=""))[0].content
    active = make_entries(paper_with(ai_summary="<script>alert(1)</script>"))[0].content
    assert "<script" not in active


def test_an_entry_has_the_doi() -> None:
    path = "{http://purl.org/dc/elements/1.1/}identifier"
    assert first_atom_entry(render_papers(PAPER)).findtext(path) == "10.48550/arXiv.2611.01234"
    assert first_atom_entry(render_papers(paper_with(id="sample-001"))).find(path) is None


def test_keywords_and_feed_names_are_categories_of_two_schemes() -> None:
    found = first_atom_entry(render_papers(PAPER)).findall("a:category", ATOM_NAMESPACES)
    assert [(c.attrib["scheme"], c.attrib["term"]) for c in found] == [
        (KEYWORD_SCHEME, "causal inference"),
        (KEYWORD_SCHEME, "ships"),
        (FEED_SCHEME, "causal"),
    ]


def test_an_entry_differs_between_feeds_only_in_their_names() -> None:
    names = ["causal", '</entry> & "others"', "causal"]
    found = [render_papers(PAPER, feed=msgspec.structs.replace(FEED, name=name)) for name in names]
    assert found[0] == found[2]
    for document, name in zip(found, names, strict=True):
        entry = first_atom_entry(document)
        *_, last = entry.findall("a:category", ATOM_NAMESPACES)
        assert (last.attrib["scheme"], last.attrib["term"]) == (FEED_SCHEME, name)
        entry.remove(last)
    entries = [etree.tostring(first_atom_entry(document)) for document in found]
    assert len({entry.split(b"<category")[0] for entry in entries}) == 1


def test_an_entry_is_written_once_for_all_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = msgspec.structs.replace(PAPER, title="Used by no other test")
    first = render_papers(paper)
    monkeypatch.setattr(
        "feedgen.entry.FeedEntry.atom_entry", lambda *_: pytest.fail("written again")
    )
    assert render_papers(paper, feed=msgspec.structs.replace(FEED, name="other")) != first


def test_an_atom_feed_has_no_counters() -> None:
    """They change hourly, so readers would show updates, and there would be no 304."""
    assert not re.search(rb"\b(77|88|99)\b", render_papers(PAPER))
    changed = msgspec.structs.replace(PAPER, upvotes=1, comments=2, stars=3)
    assert render_papers(PAPER) == render_papers(changed)


def test_a_revision_changes_updated_but_not_published() -> None:
    revised = datetime(2026, 11, 23, 7, 5, 3, 999, tzinfo=UTC)
    document = render_papers(msgspec.structs.replace(PAPER, revised=revised))
    entry = first_atom_entry(document)
    assert entry.findtext("a:published", namespaces=ATOM_NAMESPACES) == "2026-11-20T00:07:14+00:00"
    assert entry.findtext("a:updated", namespaces=ATOM_NAMESPACES) == "2026-11-23T06:57:49+00:00"
    assert (
        parse_xml(document).findtext("a:updated", namespaces=ATOM_NAMESPACES)
        == "2026-11-23T06:57:49+00:00"
    )


def test_a_paper_without_an_arxiv_id_has_no_arxiv_urls() -> None:
    document = render_papers(msgspec.structs.replace(PAPER, id="sample-001"))
    assert b"arxiv.org" not in document
    assert first_atom_entry(document).findtext("a:id", namespaces=ATOM_NAMESPACES) == (
        "https://example.org/papers/sample-001"
    )
    pdf = msgspec.structs.replace(FEED, link="pdf")
    assert atom_links(render_papers(msgspec.structs.replace(PAPER, id="sample-001"), feed=pdf))[
        0
    ] == (
        "alternate",
        "text/html",
        "https://example.org/papers/sample-001",
    )


@pytest.mark.parametrize(
    ("count", "organization", "byline"),
    [
        (0, "", None),
        (1, "", "1 author"),
        (12, "", "12 authors"),
        (12, "Harbour Lab", "12 authors — Harbour Lab"),
        (0, "Harbour Lab", "Harbour Lab"),
    ],
)
def test_the_byline_has_the_number_of_authors_and_the_organization(
    count: int, organization: str, byline: str | None
) -> None:
    paper = msgspec.structs.replace(
        PAPER, authors=(), author_count=count, organization=organization
    )
    content = make_entries(paper)[0].content
    assert (f"<em>{byline}</em>" in content) if byline else ("<em>" not in content)


@pytest.mark.parametrize(
    "title", ["p < 0.05", "<i>E. coli</i>", "Q&A", "&amp;", "]]>", 'the "best"', "a\u00a0b"]
)
def test_text_that_looks_like_markup_is_escaped(title: str) -> None:
    paper = msgspec.structs.replace(PAPER, title=title, abstract=title)
    entry = first_atom_entry(render_papers(paper))
    assert entry.findtext("a:title", namespaces=ATOM_NAMESPACES) == title

    class Text(HTMLParser):
        text = ""

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Text()
    reader.feed(entry.findtext("a:content", namespaces=ATOM_NAMESPACES) or "")
    assert title in reader.text


def test_an_empty_feed_is_valid(validation_errors: Callable[[bytes], str]) -> None:
    document = render_papers()
    assert validation_errors(document) == ""
    read = feedparser.parse(document)
    assert not read.bozo
    assert read.entries == []
    assert read.feed.updated == "2023-05-04T00:00:00+00:00"


def test_the_incident_feed_is_valid_with_and_without_incidents(
    validation_errors: Callable[[bytes], str],
) -> None:
    at = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    page = Page(Kind.SEARCH, "fog & <ferries>")
    one = with_event((), LayoutChanged(page, "no data"), at)
    both = with_event(one, LayoutChanged(Page(Kind.WEEK, "2026-W48"), "no list"), at)
    fetched = ListingFetched(page, Listing(page=page, papers=(), fetched_at=at))
    for known in ((), one, with_event(both, fetched, at)):
        written = incident_feed(
            known,
            server="http://h",
            self_url="http://h/status.atom",
            page_url="http://h/status",
            icon_url="http://h/static/icon.png",
        )
        assert validation_errors(written) == ""


def test_a_feed_links_to_itself_and_to_its_page() -> None:
    feed = parse_xml(render_papers(PAPER))
    found = {
        link.attrib["rel"]: dict(link.attrib) for link in feed.findall("a:link", ATOM_NAMESPACES)
    }
    assert found["self"] == {
        "rel": "self",
        "type": "application/atom+xml",
        "href": "http://my.server/papers.atom?q=a&limit=3",
    }
    assert found["alternate"]["type"] == "text/html"
    assert (feed.findtext("a:id", namespaces=ATOM_NAMESPACES) or "").startswith("urn:uuid:")


def test_the_id_of_a_feed_depends_on_its_content_and_not_on_its_name() -> None:
    same = Feed(name="other", title="Other", query="(Causal)", limit=3, link="pdf")
    assert feeds_id([FEED]) == feeds_id([same])
    others = [
        feeds_id([msgspec.structs.replace(FEED, query="diffusion")]),
        feeds_id([msgspec.structs.replace(FEED, sources=("daily",))]),
        feeds_id([msgspec.structs.replace(FEED, match="upstream")]),
    ]
    own = feeds_id([FEED])
    assert len({own, *others}) == 4
    assert own == "urn:uuid:7dbb5270-c9d7-531c-9181-f1ad2b7cc378", "it must never change"


def test_the_id_of_a_union_does_not_depend_on_the_order() -> None:
    other = Feed(name="other", title="Other", query="fog")
    assert feeds_id([FEED, other]) == feeds_id([other, FEED, FEED]) != feeds_id([FEED])


@few_examples
@given(st.lists(papers(), max_size=6, unique_by=lambda paper: paper.id))
def test_any_papers_make_a_valid_feed_that_feedparser_reads_in_order(
    validation_errors: Callable[[bytes], str], papers: list[Paper]
) -> None:
    listing = Listing(
        page=Page(Kind.TRENDING),
        papers=tuple(papers),
        fetched_at=datetime(2026, 11, 24, tzinfo=UTC),
    )
    ordered = unite_listings((listing,))
    document = render_papers(*ordered)
    assert document == render_papers(*ordered), "the same papers are the same bytes"
    assert validation_errors(document) == ""
    read = feedparser.parse(document)
    assert not read.bozo
    assert [entry.id for entry in read.entries] == [entry.id for entry in make_entries(*ordered)]
    for entry, paper in zip(read.entries, ordered, strict=True):
        assert [author.name for author in entry.get("authors", [])][: len(paper.authors)] == [
            name.strip() for name in paper.authors
        ]


def test_rendering_atom_does_not_change_the_locale() -> None:
    """feedgen sets the locale of the process to format RSS dates; Atom must not."""
    before = locale.setlocale(locale.LC_ALL)
    threads = [threading.Thread(target=render_papers, args=(PAPER,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert locale.setlocale(locale.LC_ALL) == before


# --- feedgen's defects: when one of these tests fails, its workaround can go --------------------


def test_feedgen_still_loses_the_attributes_of_entry_links() -> None:
    feed = make_feed_generator()
    entry = feed.add_entry()
    entry.id("urn:y")
    entry.title("y")
    entry.link(href="http://a.b/", rel="alternate", type="text/html")
    entry.link(href="http://a.b/pdf", rel="related", type="application/pdf")
    found = first_atom_entry(feed.atom_str()).findall("a:link", ATOM_NAMESPACES)
    assert [dict(link.attrib) for link in found] == [
        {"href": "http://a.b/"},
        {"href": "http://a.b/pdf"},
    ]


def test_feedgen_still_prepends_entries() -> None:
    feed = make_feed_generator()
    for name in ("first", "second"):
        entry = feed.add_entry()
        entry.id(f"urn:{name}")
        entry.title(name)
        entry.link(href="http://a.b/")
    titles = [
        title.text
        for title in parse_xml(feed.atom_str()).findall("a:entry/a:title", ATOM_NAMESPACES)
    ]
    assert titles == ["second", "first"]


def test_feedgen_still_dates_feeds_and_entries_with_the_clock() -> None:
    feed = FeedGenerator()
    assert abs((datetime.now(UTC) - feed.updated()).total_seconds()) < 60
    assert abs((datetime.now(UTC) - feed.add_entry().updated()).total_seconds()) < 60


def test_feedgen_still_raises_on_control_characters() -> None:
    feed = make_feed_generator()
    feed.title("a\x00b")
    with pytest.raises(ValueError, match="XML compatible"):
        feed.atom_str()
