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

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import feedgen.entry
import feedgen.feed
from feedgen.ext.base import BaseEntryExtension, BaseExtension
from feedgen.feed import FeedGenerator
from lxml import etree

from feedsrv.feeds.entry import Entry, FeedMetadata, Link, latest_update

_FEED_AUTHOR = {"name": "Hugging Face Daily Papers", "uri": "https://huggingface.co/papers"}
_PDF = "application/pdf"


def _format_rfc822(moment: datetime) -> str:
    """Write a date as RSS has it. feedgen's own sets the process's locale, which threads share."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


feedgen.feed.formatRFC2822 = feedgen.entry.formatRFC2822 = _format_rfc822


class _NoFeedElements(BaseExtension):  # type: ignore[misc]  # feedgen has no types
    """feedgen wants an extension of the feed beside one of its entries."""


class _EntryElements(BaseEntryExtension):  # type: ignore[misc]  # feedgen has no types
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
            etree.SubElement(written, "link", _link_attributes(link))
        for scheme, term in self.entry.categories:
            etree.SubElement(written, "category", term=term, scheme=scheme)
        return written

    def extend_rss(self, written: etree._Element) -> etree._Element:
        """Write the categories."""
        for scheme, term in self.entry.categories if self.entry else ():
            etree.SubElement(written, "category", domain=scheme).text = term
        return written


def _link_attributes(link: Link) -> dict[str, str]:
    found = {"rel": link.rel, "type": link.type, "href": link.href}
    return found | {"title": link.title} if link.title else found


def build_feed(head: FeedMetadata, entries: Sequence[Entry], media_type: str) -> FeedGenerator:
    """Return the feed without its entries."""
    feed = FeedGenerator()
    feed.language("en")
    feed.id(head.id)
    feed.title(head.title)
    feed.subtitle(head.subtitle)
    feed.updated(latest_update(entries))
    feed.author(dict(_FEED_AUTHOR))  # feedgen changes the dict it is given
    feed.generator("feedsrv", version=head.version)
    feed.icon(head.icon_url)
    feed.link(href=head.self_url, rel="self", type=media_type)
    feed.link(href=head.page_url, rel="alternate", type="text/html")
    return feed


def set_common_fields(written: Any, entry: Entry) -> None:
    """Have feedgen's entry say what both formats say."""
    written.id(entry.id)
    written.title(entry.title)
    written.published(entry.published)
    written.updated(entry.updated)
    written.rest.entry = entry
