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

import msgspec

from feedsrv.feeds.entry import Entry, FeedMetadata
from feedsrv.feeds.feedgen_writer import _PDF

# --- JSON Feed -------------------------------------------------------------------------------


def render_json_feed(metadata: FeedMetadata, entries: Sequence[Entry]) -> bytes:
    """Return a JSON Feed 1.1 document, in UTF-8.

    Authors stand in the items alone: Miniflux adds those of the feed to each item.
    """
    return msgspec.json.encode(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": metadata.title,
            "home_page_url": metadata.page_url,
            "feed_url": metadata.self_url,
            "description": metadata.subtitle,
            "icon": metadata.icon_url,
            "language": "en",
            "items": [_build_item(entry) for entry in entries],
        }
    )


def _build_item(entry: Entry) -> dict[str, object]:
    item: dict[str, object] = {
        "id": entry.id,
        "url": entry.links[0].href,
        "title": entry.title,
        "content_html": entry.content,
        "summary": entry.short_text,
        "date_published": entry.published,
        "date_modified": entry.updated,
        "tags": list(dict.fromkeys(term for _, term in entry.categories)),
    }
    pages = [link.href for link in entry.links[1:] if link.title in {"arXiv", "Paper page"}]
    if pages:
        item["external_url"] = pages[0]
    if entry.authors:
        item["authors"] = [{"name": name} for name in entry.authors]
    pdfs = [link for link in entry.links if link.type == _PDF]
    if pdfs:
        item["attachments"] = [
            {"url": link.href, "mime_type": _PDF, "title": "PDF"} for link in pdfs
        ]
    return item
