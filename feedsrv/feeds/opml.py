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

from collections.abc import Iterable

import msgspec
from lxml import etree


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """A feed as it stands in a list of subscriptions."""

    title: str
    description: str
    feed_url: str
    page_url: str


# --- OPML ------------------------------------------------------------------------------------


def render_opml(title: str, outlines: Iterable[Outline]) -> bytes:
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
