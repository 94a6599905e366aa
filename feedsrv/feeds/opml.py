"""OPML 2.0: the configured feeds as a list of subscriptions, for import into readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from lxml import etree

from feedsrv.feeds.metadata import feed_description
from feedsrv.models import Feed


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription of the list."""

    title: str
    description: str
    feed_url: str
    page_url: str


def render_subscriptions(feeds: Iterable[Feed], suffix: str, url: Callable[..., str]) -> bytes:
    """Return an OPML document of the feeds.

    Args:
        feeds: The configured feeds.
        suffix: The suffix of the format to subscribe to.
        url: Returns the absolute URL of a path, given the path and a suffix.
    """
    outlines = (
        Outline(
            title=feed.title,
            description=feed_description(feed),
            feed_url=url(f"/feeds/{feed.name}", f".{suffix}"),
            page_url=url(f"/feeds/{feed.name}"),
        )
        for feed in feeds
    )
    return render_opml("Daily Papers", outlines)


def render_opml(title: str, outlines: Iterable[Outline]) -> bytes:
    """Return an OPML document in UTF-8, with all outlines in one group of that title."""
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = title
    group = etree.SubElement(etree.SubElement(root, "body"), "outline", text=title, title=title)
    for outline in outlines:
        etree.SubElement(
            group,
            "outline",
            # In OPML 2.0 every subscription is of type rss, including Atom feeds.
            type="rss",
            text=outline.title,
            title=outline.title,
            description=outline.description,
            xmlUrl=outline.feed_url,
            htmlUrl=outline.page_url,
            language="en",
        )
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=True))
