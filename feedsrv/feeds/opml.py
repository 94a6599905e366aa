"""OPML 2.0: the configured feeds as a list of subscriptions, for import into readers."""

from collections.abc import Callable, Iterable

from lxml import etree

from feedsrv.feeds.metadata import feed_description
from feedsrv.models import Feed


def render_opml(feeds: Iterable[Feed], suffix: str, url: Callable[..., str]) -> bytes:
    """Return an OPML document in UTF-8, for subscriptions to the feeds in the suffix's format.

    All are in one group.
    """
    root, title = etree.Element("opml", version="2.0"), "Daily Papers"
    etree.SubElement(etree.SubElement(root, "head"), "title").text = title
    group = etree.SubElement(etree.SubElement(root, "body"), "outline", text=title, title=title)
    for feed in feeds:
        etree.SubElement(
            group,
            "outline",
            # In OPML 2.0 every subscription is of type rss, including Atom feeds.
            type="rss",
            text=feed.title,
            title=feed.title,
            description=feed_description(feed),
            xmlUrl=url(f"/feeds/{feed.name}", f".{suffix}"),
            htmlUrl=url(f"/feeds/{feed.name}"),
            language="en",
        )
    return bytes(etree.tostring(root, encoding="utf-8", xml_declaration=True))
