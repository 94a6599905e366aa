"""Atom (RFC 4287).

Half of the time that a feed takes goes into writing its entries. Most feeds share their papers with
others, so written entries are cached, and the feed is joined from bytes.
"""

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock

import msgspec
from cachetools import LRUCache, cached
from lxml import etree

from feedsrv.feeds.entry import FEED_SCHEME, Entry, latest_update
from feedsrv.feeds.feedgen_writer import build_entry, build_feed
from feedsrv.feeds.metadata import FeedMetadata

_FEED_END, _ENTRY_END = b"</feed>", b"</entry>"


def render_atom(metadata: FeedMetadata, entries: Sequence[Entry]) -> bytes:
    """Return an Atom document in UTF-8. The same entries give the same bytes."""
    feed = build_feed(metadata, latest_update(entries), "application/atom+xml")
    start = bytes(feed.atom_str()).removesuffix(_FEED_END)
    return b"".join((start, *map(_render_entry, entries), _FEED_END))


def _render_entry(entry: Entry) -> bytes:
    """Return the entry element: what all feeds have in common, then the names of its feeds."""
    start = _entry_xml(msgspec.structs.replace(entry, feeds=())).removesuffix(_ENTRY_END)
    return b"".join((start, *map(_feed_category, entry.feeds), _ENTRY_END))


# By the hash of the entry, which is half as large as its XML.
@cached(LRUCache(2048), key=hash, lock=Lock())
def _entry_xml(entry: Entry) -> bytes:
    feed_entry = build_entry(entry)
    feed_entry.content(entry.content, type="html")
    if entry.summary:
        feed_entry.summary(entry.summary)
    return etree.tostring(feed_entry.atom_entry(), encoding="utf-8")


@lru_cache(maxsize=256)
def _feed_category(name: str) -> bytes:
    element = etree.Element("category", term=name, scheme=FEED_SCHEME)
    return etree.tostring(element, encoding="utf-8")
