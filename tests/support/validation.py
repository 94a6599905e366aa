"""The W3C feed validator's rules that matter to readers, and its counterpart for JSON Feed.

The names of its messages are in parentheses. The schemas of RFC 4287 check the structure.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.documents import ATOM_NAMESPACES, RSS_NAMESPACES, MarkupCollector, parse_xml

_URI = re.compile(
    r"[a-z][a-z0-9+.-]*:(?:[\w.~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", re.ASCII | re.IGNORECASE
)
_TAG_URI = re.compile(r"tag:(?:[a-z0-9-]+\.)+[a-z]+,\d{4}(?:-\d\d){0,2}:.+")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_ALLOWED_TAGS = {"p", "em", "strong", "a"}


class FeedContent(NamedTuple):
    """The parts of a document, in any format, that the rules check."""

    ids: list[str]
    uris: list[str]
    media_types: list[str]
    published: list[datetime]
    updated: list[datetime]
    html: list[str]


def read_atom(document: bytes) -> FeedContent:
    root = parse_xml(document)

    def texts(path: str) -> list[str]:
        return [element.text or "" for element in root.iterfind(path, ATOM_NAMESPACES)]

    names = ("href", "scheme", "src")
    uris = [
        str(element.get(name)) for element in root.iter() for name in names if element.get(name)
    ]
    links = root.iterfind(".//a:link", ATOM_NAMESPACES)
    return FeedContent(
        ids=texts("a:entry/a:id"),
        uris=[*uris, *texts(".//a:id"), *texts(".//a:uri"), *texts("a:icon")],
        media_types=[link.get("type", "") for link in links],
        published=[datetime.fromisoformat(text) for text in texts("a:entry/a:published")],
        updated=[datetime.fromisoformat(text) for text in texts("a:entry/a:updated")],
        html=texts("a:entry/a:content"),
    )


def read_rss(document: bytes) -> FeedContent:
    root = parse_xml(document)

    def texts(path: str) -> list[str]:
        return [element.text or "" for element in root.iterfind(path, RSS_NAMESPACES)]

    names = ("href", "domain", "url")
    uris = [
        str(element.get(name)) for element in root.iter() for name in names if element.get(name)
    ]
    typed = (element.get("type") for element in root.iter())
    dates = [parsedate_to_datetime(text) for text in texts(".//item/pubDate")]
    return FeedContent(
        ids=texts(".//item/guid"),
        uris=[*uris, *texts(".//link"), *texts(".//guid"), *texts(".//comments"), *texts(".//url")],
        media_types=[kind for kind in typed if kind is not None],
        published=dates,
        updated=dates,
        html=[*texts(".//item/description"), *texts(".//item/content:encoded")],
    )


def read_json_feed(document: bytes) -> FeedContent:
    feed = json.loads(document)
    items = feed["items"]
    names = ("url", "external_url", "id")
    attachments = [each for item in items for each in item.get("attachments", ())]
    return FeedContent(
        ids=[item["id"] for item in items],
        uris=[
            *(feed[name] for name in ("home_page_url", "feed_url", "icon")),
            *(item[name] for item in items for name in names if name in item),
            *(each["url"] for each in attachments),
        ],
        media_types=[each["mime_type"] for each in attachments],
        published=[datetime.fromisoformat(item["date_published"]) for item in items],
        updated=[datetime.fromisoformat(item["date_modified"]) for item in items],
        html=[item["content_html"] for item in items],
    )


READERS = {"atom": read_atom, "rss": read_rss, "json": read_json_feed}


def find_problems(document: bytes, suffix: str, now: datetime) -> list[str]:
    """Return the messages of the validator for a document in the format of the suffix."""
    content = READERS[suffix](document)
    return [
        *(f"duplicate id (DuplicateIds): {each}" for each in _repeated(content.ids)),
        *(f"duplicate second (DuplicateUpdated): {each}" for each in _repeated(content.updated)),
        *(f"invalid URI (InvalidUriChar): {each}" for each in content.uris if not _is_uri(each)),
        *(
            f"invalid media type (InvalidMIMEType): {each}"
            for each in content.media_types
            if not _MEDIA_TYPE.fullmatch(each)
        ),
        *_date_problems([*content.published, *content.updated], now),
        *(problem for each in content.html for problem in _html_problems(each)),
    ]


def _repeated(values: Iterable[object]) -> list[object]:
    return [value for value, count in Counter(values).items() if count > 1]


def _is_uri(text: str) -> bool:
    if not _URI.fullmatch(text):
        return False
    parts = urlsplit(text)
    match parts.scheme:
        case "http" | "https":
            return bool(parts.hostname) and parts.username is None
        case "tag":
            return _TAG_URI.fullmatch(text) is not None
        case scheme:
            return scheme == "urn"


def _date_problems(dates: Iterable[datetime], now: datetime) -> Iterator[str]:
    for moment in dates:
        if moment.utcoffset() != timedelta(0) or moment.microsecond:
            yield f"not a whole second in UTC (InvalidRFC3339Date): {moment}"
        elif moment > now:
            yield f"in the future (ImplausibleDate): {moment}"


def _html_problems(html: str) -> Iterator[str]:
    collector = MarkupCollector()
    collector.feed(html)
    collector.close()
    for tag, attributes in collector.tags:
        if tag not in _ALLOWED_TAGS or attributes.keys() - {"href"}:
            yield f"markup (SecurityRisk): {tag} {attributes}"
        if "href" in attributes and not _is_uri(attributes["href"]):
            yield f"invalid URI (InvalidUriChar): {attributes['href']}"
