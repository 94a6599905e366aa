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
from functools import lru_cache

import feedgen.entry
import feedgen.feed
import msgspec
from lxml import etree

from feedsrv.feeds.entry import FEED_SCHEME, Entry, FeedMetadata
from feedsrv.feeds.feedgen_writer import _EntryElements, build_feed, set_common_fields

_FEED_END, _ENTRY_END = b"</feed>", b"</entry>"


# --- Atom and RSS ----------------------------------------------------------------------------


def render_atom(metadata: FeedMetadata, entries: Sequence[Entry]) -> bytes:
    """Return an Atom document (RFC 4287), in UTF-8."""
    empty = bytes(build_feed(metadata, entries, "application/atom+xml").atom_str())
    return b"".join((empty.removesuffix(_FEED_END), *map(_render_entry, entries), _FEED_END))


def _render_entry(entry: Entry) -> bytes:
    """Return an entry: what each feed says of the paper, and behind it the names of the feeds."""
    alone = _entry_xml(msgspec.structs.replace(entry, feeds=()))
    return b"".join((alone.removesuffix(_ENTRY_END), *map(_feed_category, entry.feeds), _ENTRY_END))


@lru_cache(maxsize=2048)
def _entry_xml(entry: Entry) -> bytes:
    """Return an entry, written once for all feeds: half of what a feed takes goes by here."""
    written = feedgen.entry.FeedEntry()
    written.register_extension("rest", _EntryElements)
    set_common_fields(written, entry)
    written.content(entry.content, type="html")
    if entry.summary:
        written.summary(entry.summary)
    return etree.tostring(written.atom_entry(), encoding="utf-8")


@lru_cache(maxsize=256)
def _feed_category(name: str) -> bytes:
    """Return the category that names a feed."""
    written = etree.Element("category", term=name, scheme=FEED_SCHEME)
    return etree.tostring(written, encoding="utf-8")
