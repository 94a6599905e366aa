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
from html import escape
from typing import Any

from feedsrv.feeds.entry import Entry, FeedMetadata
from feedsrv.feeds.feedgen_writer import (
    _PDF,
    _EntryElements,
    _NoFeedElements,
    build_feed,
    set_common_fields,
)


def render_rss(metadata: FeedMetadata, entries: Sequence[Entry]) -> bytes:
    """Return an RSS 2.0 document, by the rules of the RSS Advisory Board's profile, in UTF-8."""
    feed = build_feed(metadata, entries, "application/rss+xml")
    feed.load_extension("dc", atom=False)
    feed.register_extension("rest", _NoFeedElements, _EntryElements)
    feed.image(metadata.icon_url, title=metadata.title, link=metadata.page_url)
    for entry in entries:
        written = feed.add_entry(order="append")
        set_common_fields(written, entry)
        _set_item_fields(written, entry)
    return bytes(feed.rss_str())


def _set_item_fields(written: Any, entry: Entry) -> None:
    written.link(href=entry.links[0].href)
    # RSS 2.0: a guid that is no page's address says so. All our ids are the same in each format.
    written.guid(entry.id, permalink=False)
    if entry.authors:
        written.dc.dc_creator(list(entry.authors))
    # Readers of RSS take a description for HTML; a paper's text must not become markup there.
    written.description(escape(entry.short_text, quote=False), isSummary=True)
    written.content(entry.content)
    written.comments(next(link.href for link in entry.links if link.rel == "replies"))
    if entry.links[0].type == _PDF:
        # RSS demands a length and takes 0 for one that is not known.
        written.enclosure(entry.links[0].href, "0", _PDF)
