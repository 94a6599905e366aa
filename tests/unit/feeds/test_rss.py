"""RSS 2.0."""

import locale
import threading
from datetime import UTC, datetime, timedelta, timezone

import feedgen.util
import pytest
from feedgen.feed import FeedGenerator

from feedsrv.feeds.entry import FEED_SCHEME, KEYWORD_SCHEME
from feedsrv.feeds.feedgen_writer import _format_rfc822
from feedsrv.feeds.rss import render_rss
from tests.support.documents import (
    ARXIV_URL,
    METADATA,
    PAPER,
    PAPER_PAGE_URL,
    PDF_URL,
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


def test_a_guid_is_not_a_permalink() -> None:
    guid = rss_item(PAPER).find("guid")
    assert guid is not None
    assert (guid.text, attributes_of(guid)) == (ARXIV_URL, {"isPermaLink": "false"})


def test_each_author_is_a_dc_creator() -> None:
    assert find_texts(rss_item(PAPER), "dc:creator") == ("Ada Quill", "Bo Lantern", "Cy O'Fog")
    assert rss_item(PAPER).find("author") is None, "RSS requires an email address there"


def test_the_description_is_the_abstract_before_the_content() -> None:
    tags = [element.tag for element in rss_item(PAPER)]
    encoded = f"{{{RSS_NAMESPACES['content']}}}encoded"
    assert tags.index("description") < tags.index(encoded)
    assert find_text(rss_item(PAPER), "description") == "We ask the ships.\n\nThey say so."
    assert "<p>We ask the ships.</p>" in find_text(rss_item(PAPER), "content:encoded")


def test_a_description_is_never_empty() -> None:
    assert find_text(rss_item(paper_with(abstract="")), "description") == PAPER.title
    assert "summary" not in json_feed_item(paper_with(abstract=""))


def test_an_item_has_the_doi() -> None:
    assert find_texts(rss_item(PAPER), "dc:identifier") == ("10.48550/arXiv.2611.01234",)
    assert find_texts(rss_item(paper_with(id="sample-001")), "dc:identifier") == ()


@pytest.mark.parametrize("field", ["abstract", "title"])
def test_a_description_is_escaped_html(field: str) -> None:
    """RSS readers treat a description as HTML; markup in a paper's text must not be active."""
    written = "p < 0.05 & <script>alert(1)</script> &amp;"
    fields = {"abstract": "", "title": written} | {field: written}
    found = MarkupCollector()
    found.feed(find_text(rss_item(paper_with(**fields)), "description"))
    found.close()
    assert found.tags == []
    assert "".join(found.texts) == written


def test_a_channel_links_to_itself_and_to_its_page() -> None:
    """feedgen uses the last link as the channel's, which must not be that of the feed itself."""
    assert find_text(rss_channel(PAPER), "link") == METADATA.page_url
    assert find_text(rss_channel(PAPER), "image/link") == METADATA.page_url
    (own,) = rss_channel(PAPER).findall("atom:link", RSS_NAMESPACES)
    assert attributes_of(own) == {
        "rel": "self",
        "type": "application/rss+xml",
        "href": METADATA.self_url,
    }


def test_keywords_and_feed_names_are_categories_of_two_domains() -> None:
    found = [(each.attrib["domain"], each.text) for each in rss_item(PAPER).findall("category")]
    assert found == [
        (KEYWORD_SCHEME, "causal inference"),
        (KEYWORD_SCHEME, "ships"),
        (FEED_SCHEME, "causal"),
    ]


def test_dates_are_in_gmt() -> None:
    revised = datetime(2026, 11, 23, 7, 5, 3, 999, tzinfo=UTC)
    assert find_text(rss_item(PAPER), "pubDate") == "Fri, 20 Nov 2026 00:07:14 GMT"
    found = find_text(rss_channel(paper_with(revised=revised)), "lastBuildDate")
    assert found == "Mon, 23 Nov 2026 06:57:49 GMT"
    assert find_text(rss_channel(), "lastBuildDate") == "Thu, 04 May 2023 00:00:00 GMT"
    east = timezone(timedelta(hours=9))
    assert _format_rfc822(datetime(2026, 1, 1, 3, tzinfo=east)) == "Wed, 31 Dec 2025 18:00:00 GMT"


@pytest.mark.parametrize(
    ("configured_link", "link", "enclosures"),
    [("huggingface", PAPER_PAGE_URL, []), ("arxiv", ARXIV_URL, []), ("pdf", PDF_URL, [PDF_URL])],
)
def test_the_pdf_is_an_enclosure_only_if_the_feed_links_to_it(
    configured_link: str, link: str, enclosures: list[str]
) -> None:
    found = rss_item(PAPER, feed=feed_linking_to(configured_link))
    assert find_text(found, "link") == link
    assert [attributes_of(each) for each in found.findall("enclosure")] == [
        {"url": url, "length": "0", "type": "application/pdf"} for url in enclosures
    ]


def test_an_item_links_to_its_discussion() -> None:
    assert find_text(rss_item(PAPER), "comments") == f"{PAPER_PAGE_URL}#community"


def test_feedgen_still_sets_the_locale_to_format_rss_dates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(locale, "setlocale", lambda *arguments: calls.append(arguments))
    feedgen.util.formatRFC2822(datetime(2026, 1, 1, tzinfo=UTC))
    assert calls


def test_rendering_rss_does_not_set_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> str:
        raise AssertionError("the locale is shared by all threads")

    monkeypatch.setattr(locale, "setlocale", refuse)
    documents: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: documents.append(render_rss(METADATA, make_entries(PAPER))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert documents == [render_rss(METADATA, make_entries(PAPER))] * 4


def test_feedgen_still_uses_the_last_link_as_the_channels() -> None:
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


def test_feedgen_still_drops_rss_authors_without_an_email_address() -> None:
    feed = with_authors({"name": "Ada Quill"}, {"name": "Bo Lantern", "email": "bo@example.org"})
    found = find_texts(parse_xml(feed.rss_str()), "channel/item/author")
    assert found == ("bo@example.org (Bo Lantern)",)
