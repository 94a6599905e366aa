"""Build feeds and entries with feedgen. The only module that imports it.

feedgen 1.0.0 has defects that this module works around. For each there is a test that fails as soon
as a new release fixes it:

- A feed and an entry take the current time as their date when they are created: all dates are set.
- ``add_entry`` prepends: ``order="append"``.
- In Atom, the links of entries lose all attributes but the URL (python-feedgen issue 135), and only
  five values of rel are allowed: `_EntryElements` writes the links.
- Authors and categories are validated key by key, which takes half of feedgen's time:
  `_EntryElements` writes them too.
- In RSS, the channel's link is the last one added, whatever its rel: the alternate is added last.
- In RSS, an author without an email address is dropped: ``dc:creator`` is used.
- In RSS, dates are formatted by way of the process's locale: `_format_rfc822` replaces that.
"""

from datetime import UTC, datetime
from email.utils import format_datetime

import feedgen.entry
import feedgen.feed
from feedgen.entry import FeedEntry
from feedgen.ext.base import BaseEntryExtension, BaseExtension
from feedgen.feed import FeedGenerator
from lxml import etree

from feedsrv import __version__
from feedsrv.feeds.entry import Entry, EntryLink
from feedsrv.feeds.metadata import FeedMetadata

_FEED_AUTHOR = {"name": "Hugging Face Daily Papers", "uri": "https://huggingface.co/papers"}
_DC_NAMESPACE = "http://purl.org/dc/elements/1.1/"
#: The name of the extension, and so of its attribute of feedgen's entries.
_EXTENSION = "entry_elements"


def _format_rfc822(moment: datetime) -> str:
    """Return the date in the format of RSS. feedgen's function sets the locale of all threads."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


feedgen.feed.formatRFC2822 = feedgen.entry.formatRFC2822 = _format_rfc822


def build_feed(metadata: FeedMetadata, updated: datetime, media_type: str) -> FeedGenerator:
    """Return feedgen's feed, without entries."""
    feed = FeedGenerator()
    # Extensions write their elements in the order of registration: dc:creator before categories.
    feed.load_extension("dc", atom=False)
    feed.register_extension(_EXTENSION, _FeedElements, _EntryElements)
    feed.language("en")
    feed.id(metadata.id)
    feed.title(metadata.title)
    feed.subtitle(metadata.subtitle)
    feed.updated(updated)
    feed.author(dict(_FEED_AUTHOR))  # feedgen modifies the dict
    feed.generator("feedsrv", version=__version__)
    feed.icon(metadata.icon_url)
    feed.link(href=metadata.self_url, rel="self", type=media_type)
    feed.link(href=metadata.page_url, rel="alternate", type="text/html")
    return feed


def build_entry(entry: Entry) -> FeedEntry:
    """Return feedgen's entry, without a feed."""
    feed_entry = FeedEntry()
    feed_entry.register_extension(_EXTENSION, _EntryElements)
    _set_common_elements(feed_entry, entry)
    return feed_entry


def add_entry(feed: FeedGenerator, entry: Entry) -> FeedEntry:
    """Append the entry to the feed; return feedgen's entry."""
    feed_entry = feed.add_entry(order="append")
    _set_common_elements(feed_entry, entry)
    return feed_entry


def _set_common_elements(feed_entry: FeedEntry, entry: Entry) -> None:
    feed_entry.id(entry.id)
    feed_entry.title(entry.title)
    feed_entry.published(entry.published)
    feed_entry.updated(entry.updated)
    getattr(feed_entry, _EXTENSION).entry = entry


class _FeedElements(BaseExtension):  # type: ignore[misc]  # feedgen has no types
    """Adds nothing; feedgen requires an extension of the feed with one of its entries."""


class _EntryElements(BaseEntryExtension):  # type: ignore[misc]  # feedgen has no types
    """Writes the links, authors, categories and DOI of an entry."""

    #: Set by `_set_common_elements`: feedgen makes extensions without arguments.
    entry: Entry

    def extend_atom(self, element: etree._Element) -> etree._Element:
        for author in self.entry.authors:
            etree.SubElement(etree.SubElement(element, "author"), "name").text = author
        for link in self.entry.links:
            etree.SubElement(element, "link", _link_attributes(link))
        for scheme, term in self.entry.categories:
            etree.SubElement(element, "category", term=term, scheme=scheme)
        self._append_doi(element)
        return element

    def extend_rss(self, element: etree._Element) -> etree._Element:
        for scheme, term in self.entry.categories:
            etree.SubElement(element, "category", domain=scheme).text = term
        self._append_doi(element)
        return element

    def _append_doi(self, element: etree._Element) -> None:
        if self.entry.doi:
            name, namespaces = f"{{{_DC_NAMESPACE}}}identifier", {"dc": _DC_NAMESPACE}
            etree.SubElement(element, name, nsmap=namespaces).text = self.entry.doi


def _link_attributes(link: EntryLink) -> dict[str, str]:
    attributes = {"rel": link.rel, "type": link.type, "href": link.href}
    return attributes | {"title": link.title} if link.title else attributes
