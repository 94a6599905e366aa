"""Entries to bytes. The same entries give the same bytes.

feedgen 1.0.0 writes Atom for us, with traps that this module steers around; a test for each notices
when a later release mends it:

- the links of entries lose all but their address, and rel is limited to five values: `_Links`
  writes them, as an extension;
- feeds and entries are stamped with the clock when they are made: every date is set;
- entries are put in front of the others: ``order="append"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from feedgen.ext.base import BaseEntryExtension, BaseExtension
from feedgen.feed import FeedGenerator
from lxml import etree

from feedsrv.entry import Entry, Link, updated

_ATOM = "http://www.w3.org/2005/Atom"
_AUTHOR = {"name": "Hugging Face Daily Papers", "uri": "https://huggingface.co/papers"}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed says of itself."""

    id: str
    title: str
    subtitle: str
    #: Where the feed is; readers rewrite their subscription from it.
    self_url: str
    #: The page for people.
    page_url: str
    version: str


class _Feed(BaseExtension):  # type: ignore[misc]  # feedgen has no types
    """feedgen wants an extension of the feed beside one of its entries."""


class _Links(BaseEntryExtension):  # type: ignore[misc]  # feedgen has no types
    """Write an entry's links with everything they have.

    feedgen's own writer reuses the name of its loop variable and keeps the address alone
    (python-feedgen issue 135), so a PDF becomes a second alternate, against RFC 4287 4.1.2.
    """

    def __init__(self) -> None:
        self.links: tuple[Link, ...] = ()

    def extend_atom(self, entry: etree._Element) -> etree._Element:
        """Put our links where feedgen's were."""
        for written in entry.findall("link"):
            entry.remove(written)
        for link in self.links:
            attributes = {"rel": link.rel, "type": link.type, "href": link.href}
            if link.title:
                attributes["title"] = link.title
            etree.SubElement(entry, "link", attributes)
        return entry


def atom(head: Head, entries: Sequence[Entry]) -> bytes:
    """Return an Atom document (RFC 4287), in UTF-8."""
    feed = FeedGenerator()
    feed.register_extension("links", _Feed, _Links, rss=False)
    feed.language("en")
    feed.id(head.id)
    feed.title(head.title)
    feed.subtitle(head.subtitle)
    feed.updated(updated(entries))
    feed.author(dict(_AUTHOR))  # feedgen changes the dict it is given
    feed.generator("feedsrv", version=head.version)
    feed.link(href=head.self_url, rel="self", type="application/atom+xml")
    feed.link(href=head.page_url, rel="alternate", type="text/html")
    for entry in entries:
        _add(feed, entry)
    return bytes(feed.atom_str())


def _add(feed: FeedGenerator, entry: Entry) -> None:
    written = feed.add_entry(order="append")
    written.id(entry.id)
    written.title(entry.title)
    written.published(entry.published)
    written.updated(entry.updated)
    # RFC 4287 4.1.2: an entry without authors has its feed's.
    written.author([{"name": name} for name in entry.authors])
    for scheme, term in entry.categories:
        written.category(term=term, scheme=scheme)
    written.link(href=entry.links[0].href, rel="alternate")
    written.links.links = entry.links
    written.content(entry.content, type="html")
    if entry.summary:
        written.summary(entry.summary)
