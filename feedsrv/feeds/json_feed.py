"""JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/)."""

from collections.abc import Sequence

import msgspec

from feedsrv.feeds.entry import PDF_MEDIA_TYPE, Entry
from feedsrv.feeds.metadata import FeedMetadata


def render_json_feed(metadata: FeedMetadata, entries: Sequence[Entry]) -> bytes:
    """Return a JSON Feed document in UTF-8. The same entries give the same bytes.

    The feed itself has no authors: Miniflux would add them to each item.
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
        "date_published": entry.published,
        "date_modified": entry.updated,
        "tags": list(dict.fromkeys(term for _, term in entry.categories)),
    }
    other_pages = [link for link in entry.links[1:] if link.title in {"arXiv", "Paper page"}]
    if other_pages:
        item["external_url"] = other_pages[0].href
    if entry.summary:
        item["summary"] = entry.summary
    if entry.doi:
        item["_dc"] = {"identifier": entry.doi}  # as in Atom and RSS
    if entry.authors:
        item["authors"] = [{"name": name} for name in entry.authors]
    pdfs = [link for link in entry.links if link.type == PDF_MEDIA_TYPE]
    if pdfs:
        item["attachments"] = [
            {"url": link.href, "mime_type": PDF_MEDIA_TYPE, "title": "PDF"} for link in pdfs
        ]
    return item
