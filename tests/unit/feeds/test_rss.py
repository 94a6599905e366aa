"""RSS 2.0."""

from __future__ import annotations

import locale
import threading
from datetime import UTC, datetime, timedelta, timezone
from textwrap import shorten

import feedgen.util
import pytest
from feedgen.feed import FeedGenerator
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.feeds.entry import FEED_SCHEME, KEYWORD_SCHEME
from feedsrv.feeds.feedgen_writer import _format_rfc822
from feedsrv.feeds.rss import render_rss
from tests.support.documents import (
    ARXIV,
    HEAD,
    HOME,
    PAPER,
    PDF,
    RSS_NAMESPACES,
    MarkupCollector,
    attributes_of,
    feed_linking_to,
    find_text,
    find_texts,
    json_feed_item,
    make_entries,
    make_feed_generator,
    paper_with,
    parse_xml,
    rss_channel,
    rss_item,
)
from tests.support.strategies import few_examples


def test_a_guid_says_that_it_is_no_address() -> None:
    guid = rss_item(PAPER).find("guid")
    assert guid is not None
    assert (guid.text, attributes_of(guid)) == (ARXIV, {"isPermaLink": "false"})


def test_each_author_is_a_creator_of_their_own() -> None:
    assert find_texts(rss_item(PAPER), "dc:creator") == ("Ada Quill", "Bo Lantern", "Cy O'Fog")
    assert rss_item(PAPER).find("author") is None, "RSS wants a mail address there"


def test_an_item_has_its_content_and_a_short_description_before_it() -> None:
    tags = [element.tag for element in rss_item(PAPER)]
    encoded = f"{{{RSS_NAMESPACES['content']}}}encoded"
    assert tags.index("description") < tags.index(encoded)
    assert find_text(rss_item(PAPER), "description") == "Ships say lighthouses cause them."
    assert "<p>We ask the ships.</p>" in find_text(rss_item(PAPER), "content:encoded")


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"summary": ""}, "We ask the ships. They say so."),
        ({"summary": "", "abstract": ""}, "Do lighthouses cause ships?"),
        ({"summary": "Short."}, "Short."),
    ],
)
def test_a_description_is_never_empty(fields: dict[str, str], shown: str) -> None:
    assert find_text(rss_item(paper_with(**fields)), "description") == shown
    assert json_feed_item(paper_with(**fields))["summary"] == shown


def test_a_long_abstract_is_shortened_between_words() -> None:
    shown = find_text(rss_item(paper_with(summary="", abstract="lighthouse " * 100)), "description")
    assert len(shown) <= 300
    assert shown.endswith("lighthouse …")


WORDS = st.lists(st.text("ab-.é", min_size=3, max_size=40), min_size=60, max_size=200)


@few_examples
@given(WORDS)
def test_a_description_is_what_shortening_the_whole_abstract_gives(words: list[str]) -> None:
    abstract = " ".join(words)
    one = paper_with(summary="", abstract=abstract)
    assert make_entries(one)[0].short_text == shorten(abstract, 300, placeholder=" …")


@pytest.mark.parametrize("field", ["summary", "abstract", "title"])
def test_a_description_is_html_that_shows_the_text_as_written(field: str) -> None:
    """RSS readers take a description for HTML, so markup in a paper's text must not be live."""
    written = "p < 0.05 & <script>alert(1)</script> &amp;"
    fields = {"summary": "", "abstract": "", "title": written} | {field: written}
    found = MarkupCollector()
    found.feed(find_text(rss_item(paper_with(**fields)), "description"))
    found.close()
    assert found.tags == []
    assert "".join(found.texts) == written


def test_a_channel_says_where_it_is_and_leads_to_its_page() -> None:
    """feedgen takes the last link for the channel's, which must not be the feed itself."""
    assert find_text(rss_channel(PAPER), "link") == HEAD.page_url
    assert find_text(rss_channel(PAPER), "image/link") == HEAD.page_url
    (own,) = rss_channel(PAPER).findall("atom:link", RSS_NAMESPACES)
    assert attributes_of(own) == {
        "rel": "self",
        "type": "application/rss+xml",
        "href": HEAD.self_url,
    }


def test_categories_tell_keywords_from_feeds_by_their_domain() -> None:
    found = [(each.attrib["domain"], each.text) for each in rss_item(PAPER).findall("category")]
    assert found == [
        (KEYWORD_SCHEME, "causal inference"),
        (KEYWORD_SCHEME, "ships"),
        (FEED_SCHEME, "causal"),
    ]


def test_dates_are_in_gmt() -> None:
    revised = datetime(2026, 11, 23, 7, 5, 3, 999, tzinfo=UTC)
    assert find_text(rss_item(PAPER), "pubDate") == "Fri, 20 Nov 2026 00:00:00 GMT"
    found = find_text(rss_channel(paper_with(revised=revised)), "lastBuildDate")
    assert found == "Mon, 23 Nov 2026 07:05:03 GMT"
    assert find_text(rss_channel(), "lastBuildDate") == "Thu, 04 May 2023 00:00:00 GMT"
    east = timezone(timedelta(hours=9))
    assert _format_rfc822(datetime(2026, 1, 1, 3, tzinfo=east)) == "Wed, 31 Dec 2025 18:00:00 GMT"


@pytest.mark.parametrize(
    ("wanted", "link", "enclosures"),
    [("huggingface", HOME, []), ("arxiv", ARXIV, []), ("pdf", PDF, [PDF])],
)
def test_the_pdf_is_enclosed_only_where_the_feed_leads_to_it(
    wanted: str, link: str, enclosures: list[str]
) -> None:
    found = rss_item(PAPER, feed=feed_linking_to(wanted))
    assert find_text(found, "link") == link
    assert [attributes_of(each) for each in found.findall("enclosure")] == [
        {"url": url, "length": "0", "type": "application/pdf"} for url in enclosures
    ]


def test_an_item_leads_to_its_discussion() -> None:
    assert find_text(rss_item(PAPER), "comments") == f"{HOME}#community"


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
        threading.Thread(target=lambda: documents.append(render_rss(HEAD, make_entries(PAPER))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert documents == [render_rss(HEAD, make_entries(PAPER))] * 4


def test_trap_feedgen_still_takes_the_last_link_for_the_channels() -> None:
    feed = make_feed_generator()
    feed.description("x")
    feed.link(href="http://a.b/", rel="alternate")
    feed.link(href="http://a.b/feed", rel="self")
    assert parse_xml(feed.rss_str()).findtext("channel/link") == "http://a.b/feed"


def with_authors(*authors: dict[str, str]) -> FeedGenerator:
    feed = make_feed_generator()
    feed.description("x")
    feed.link(href="http://a.b/")
    entry = feed.add_entry()
    entry.title("y")
    entry.author(list(authors))
    return feed


def test_trap_feedgen_still_drops_authors_without_a_mail_address_from_rss() -> None:
    feed = with_authors({"name": "Ada Quill"}, {"name": "Bo Lantern", "email": "bo@example.org"})
    found = find_texts(parse_xml(feed.rss_str()), "channel/item/author")
    assert found == ("bo@example.org (Bo Lantern)",)
