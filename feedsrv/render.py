"""Entries to bytes, in each format. The same entries give the same bytes.

feedgen 1.0.0 writes Atom and RSS for us, with traps that this module steers around; a test for each
notices when a later release mends it:

- the links of entries lose all but their address, and rel is limited to five values: `_Rest`
  writes those of Atom, as an extension;
- feeds and entries are stamped with the clock when they are made: every date is set;
- entries are put in front of the others: ``order="append"``;
- persons and categories are checked key by key, which takes half of its time: `_Rest` writes them;
- the channel's link in RSS is the last link given, whatever its rel: alternate comes last;
- RSS takes no author without a mail address: Dublin Core's creator does;
- RSS dates are written by way of the locale of the whole process: `_rfc822` replaces that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from html import escape
from typing import Any

import feedgen.entry
import feedgen.feed
import msgspec
from feedgen.ext.base import BaseEntryExtension, BaseExtension
from feedgen.feed import FeedGenerator
from lxml import etree

from feedsrv.entry import FEED_SCHEME, Entry, Link, updated

_AUTHOR = {"name": "Hugging Face Daily Papers", "uri": "https://huggingface.co/papers"}
_PDF = "application/pdf"
_FEED_END, _ENTRY_END = b"</feed>", b"</entry>"


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed says of itself."""

    id: str
    title: str
    subtitle: str
    #: Where the feed is; readers rewrite their subscription from it.
    self_url: str
    #: The same feed as a page for people.
    page_url: str
    icon_url: str
    version: str


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """A feed as it stands in a list of subscriptions."""

    title: str
    description: str
    feed_url: str
    page_url: str


def _rfc822(moment: datetime) -> str:
    """Write a date as RSS has it. feedgen's own sets the process's locale, which threads share."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


feedgen.feed.formatRFC2822 = feedgen.entry.formatRFC2822 = _rfc822


class _Feed(BaseExtension):  # type: ignore[misc]  # feedgen has no types
    """feedgen wants an extension of the feed beside one of its entries."""


class _Rest(BaseEntryExtension):  # type: ignore[misc]  # feedgen has no types
    """Write what feedgen writes wrongly or slowly: an entry's links, authors and categories.

    Its own writer reuses the name of its loop variable and keeps a link's address alone
    (python-feedgen issue 135), so a PDF becomes a second alternate, against RFC 4287 4.1.2.
    """

    def __init__(self) -> None:
        self.entry: Entry | None = None

    def extend_atom(self, written: etree._Element) -> etree._Element:
        """Write the authors, links and categories."""
        if self.entry is None:
            return written
        for author in self.entry.authors:
            etree.SubElement(etree.SubElement(written, "author"), "name").text = author
        for link in self.entry.links:
            etree.SubElement(written, "link", _attributes(link))
        for scheme, term in self.entry.categories:
            etree.SubElement(written, "category", term=term, scheme=scheme)
        return written

    def extend_rss(self, written: etree._Element) -> etree._Element:
        """Write the categories."""
        for scheme, term in self.entry.categories if self.entry else ():
            etree.SubElement(written, "category", domain=scheme).text = term
        return written


def _attributes(link: Link) -> dict[str, str]:
    found = {"rel": link.rel, "type": link.type, "href": link.href}
    return found | {"title": link.title} if link.title else found


# --- Atom and RSS ----------------------------------------------------------------------------


def atom(head: Head, entries: Sequence[Entry]) -> bytes:
    """Return an Atom document (RFC 4287), in UTF-8."""
    empty = bytes(_feed(head, entries, "application/atom+xml").atom_str())
    return b"".join((empty.removesuffix(_FEED_END), *map(_atom_entry, entries), _FEED_END))


def _atom_entry(entry: Entry) -> bytes:
    """Return an entry: what each feed says of the paper, and behind it the names of the feeds."""
    alone = _atom_alone(msgspec.structs.replace(entry, feeds=()))
    return b"".join((alone.removesuffix(_ENTRY_END), *map(_of_feed, entry.feeds), _ENTRY_END))


@lru_cache(maxsize=2048)
def _atom_alone(entry: Entry) -> bytes:
    """Return an entry, written once for all feeds: half of what a feed takes goes by here."""
    written = feedgen.entry.FeedEntry()
    written.register_extension("rest", _Rest)
    _fill(written, entry)
    written.content(entry.content, type="html")
    if entry.summary:
        written.summary(entry.summary)
    return etree.tostring(written.atom_entry(), encoding="utf-8")


@lru_cache(maxsize=256)
def _of_feed(name: str) -> bytes:
    """Return the category that names a feed."""
    written = etree.Element("category", term=name, scheme=FEED_SCHEME)
    return etree.tostring(written, encoding="utf-8")


def rss(head: Head, entries: Sequence[Entry]) -> bytes:
    """Return an RSS 2.0 document, by the rules of the RSS Advisory Board's profile, in UTF-8."""
    feed = _feed(head, entries, "application/rss+xml")
    feed.load_extension("dc", atom=False)
    feed.register_extension("rest", _Feed, _Rest)
    feed.image(head.icon_url, title=head.title, link=head.page_url)
    for entry in entries:
        written = feed.add_entry(order="append")
        _fill(written, entry)
        _rss_item(written, entry)
    return bytes(feed.rss_str())


def _feed(head: Head, entries: Sequence[Entry], media_type: str) -> FeedGenerator:
    """Return the feed without its entries."""
    feed = FeedGenerator()
    feed.language("en")
    feed.id(head.id)
    feed.title(head.title)
    feed.subtitle(head.subtitle)
    feed.updated(updated(entries))
    feed.author(dict(_AUTHOR))  # feedgen changes the dict it is given
    feed.generator("feedsrv", version=head.version)
    feed.icon(head.icon_url)
    feed.link(href=head.self_url, rel="self", type=media_type)
    feed.link(href=head.page_url, rel="alternate", type="text/html")
    return feed


def _fill(written: Any, entry: Entry) -> None:
    """Have feedgen's entry say what both formats say."""
    written.id(entry.id)
    written.title(entry.title)
    written.published(entry.published)
    written.updated(entry.updated)
    written.rest.entry = entry


def _rss_item(written: Any, entry: Entry) -> None:
    written.link(href=entry.links[0].href)
    # RSS 2.0: a guid that is no page's address says so. All our ids are the same in each format.
    written.guid(entry.id, permalink=False)
    if entry.authors:
        written.dc.dc_creator(list(entry.authors))
    # Readers of RSS take a description for HTML; a paper's text must not become markup there.
    written.description(escape(entry.brief, quote=False), isSummary=True)
    written.content(entry.content)
    written.comments(next(link.href for link in entry.links if link.rel == "replies"))
    if entry.links[0].type == _PDF:
        # RSS demands a length and takes 0 for one that is not known.
        written.enclosure(entry.links[0].href, "0", _PDF)


# --- JSON Feed -------------------------------------------------------------------------------


def json_feed(head: Head, entries: Sequence[Entry]) -> bytes:
    """Return a JSON Feed 1.1 document, in UTF-8.

    Authors stand in the items alone: Miniflux adds those of the feed to each item.
    """
    return msgspec.json.encode(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": head.title,
            "home_page_url": head.page_url,
            "feed_url": head.self_url,
            "description": head.subtitle,
            "icon": head.icon_url,
            "language": "en",
            "items": [_item(entry) for entry in entries],
        }
    )


def _item(entry: Entry) -> dict[str, object]:
    item: dict[str, object] = {
        "id": entry.id,
        "url": entry.links[0].href,
        "title": entry.title,
        "content_html": entry.content,
        "summary": entry.brief,
        "date_published": entry.published,
        "date_modified": entry.updated,
        "tags": list(dict.fromkeys(term for _, term in entry.categories)),
    }
    pages = [link.href for link in entry.links[1:] if link.title in {"arXiv", "Paper page"}]
    if pages:
        item["external_url"] = pages[0]
    if entry.authors:
        item["authors"] = [{"name": name} for name in entry.authors]
    pdfs = [link for link in entry.links if link.type == _PDF]
    if pdfs:
        item["attachments"] = [
            {"url": link.href, "mime_type": _PDF, "title": "PDF"} for link in pdfs
        ]
    return item


# --- OPML ------------------------------------------------------------------------------------


def opml(title: str, outlines: Iterable[Outline]) -> bytes:
    """Return an OPML 2.0 list of subscriptions, under one outline of that title, in UTF-8."""
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = title
    group = etree.SubElement(etree.SubElement(root, "body"), "outline", text=title, title=title)
    for each in outlines:
        etree.SubElement(
            group,
            "outline",
            # OPML 2.0 calls every subscription one of type rss, Atom too.
            type="rss",
            text=each.title,
            title=each.title,
            description=each.description,
            xmlUrl=each.feed_url,
            htmlUrl=each.page_url,
            language="en",
        )
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=True))
