"""RSS 2.0, by the rules of the RSS Advisory Board's profile."""

from collections.abc import Sequence
from html import escape

from feedsrv.feeds.entry import PDF_MEDIA_TYPE, Entry, latest_update
from feedsrv.feeds.feedgen_writer import add_entry, build_feed
from feedsrv.feeds.metadata import FeedMetadata


def render_rss(metadata: FeedMetadata, entries: Sequence[Entry]) -> bytes:
    """Return an RSS document in UTF-8. The same entries give the same bytes."""
    feed = build_feed(metadata, latest_update(entries), "application/rss+xml")
    feed.ttl(metadata.ttl)
    feed.image(metadata.icon_url, title=metadata.title, link=metadata.page_url)
    for entry in entries:
        item = add_entry(feed, entry)
        item.link(href=entry.links[0].href)
        # Ids are the same in all formats, and not always the URL of a page.
        item.guid(entry.id, permalink=False)
        if entry.authors:
            item.dc.dc_creator(list(entry.authors))
        # Readers treat an RSS description as HTML; the text of a paper must not become markup.
        # feedgen replaces a missing one by the content.
        item.description(escape(entry.summary or entry.title, quote=False), isSummary=True)
        item.content(entry.content)
        for link in entry.links:
            if link.rel == "replies":
                item.comments(link.href)
        if entry.links[0].type == PDF_MEDIA_TYPE:
            # RSS requires a length, and allows 0 if it is not known.
            item.enclosure(entry.links[0].href, "0", PDF_MEDIA_TYPE)
    return bytes(feed.rss_str())
