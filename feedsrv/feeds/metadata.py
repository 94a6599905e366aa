"""Feed-level elements: id, title, subtitle and URLs, the same for every format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

import msgspec

from feedsrv import __version__
from feedsrv.models import Feed
from feedsrv.search.parser import parse_feed_query
from feedsrv.search.query import canonical_text

_UUID_NAMESPACE = UUID("6f0d3c3e-5f0e-5b51-9d4e-2b7c1a2f9f10")
_DIGEST_ADJECTIVES = {"day": "daily", "week": "weekly"}


class FeedMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The feed-level elements of a document."""

    id: str
    title: str
    subtitle: str
    #: The URL of the feed itself; readers update their subscription from it.
    self_url: str
    #: The URL of the same feed as an HTML page.
    page_url: str
    icon_url: str
    #: The version of feedsrv, as generator.
    version: str


def feed_metadata(
    feeds: Sequence[Feed], *, demo: bool, self_url: str, page_url: str, icon_url: str
) -> FeedMetadata:
    """Return the metadata of a feed, or of the union of several.

    Args:
        feeds: The feed, or those to unite.
        demo: Whether the papers are sample papers, which the title then says.
        self_url: The URL of the feed itself.
        page_url: The URL of its HTML page.
        icon_url: The URL of the icon.

    """
    title = feeds_title(feeds, demo=demo)
    digest = _DIGEST_ADJECTIVES.get(feeds[0].digest)
    return FeedMetadata(
        id=feed_id(map(feed_definition, feeds)),
        title=f"{title} ({digest})" if digest else title,
        subtitle="; ".join(dict.fromkeys(map(feed_description, feeds))),
        self_url=self_url,
        page_url=page_url,
        icon_url=icon_url,
        version=__version__,
    )


def feeds_title(feeds: Sequence[Feed], *, demo: bool) -> str:
    """Return the title of a feed, or of the union of several."""
    title = " + ".join(feed.title for feed in feeds)
    return f"Sample papers: {title}" if demo else title


def feed_id(definitions: Iterable[str]) -> str:
    """Return the id of a feed, derived from its content and not from its URL (RFC 4287 4.2.6).

    Args:
        definitions: The definition of each feed of the union; their order does not matter.

    """
    return uuid_urn(chr(10).join(sorted(set(definitions))))


def uuid_urn(name: str) -> str:
    """Return an id that is made from the name and always the same."""
    return f"urn:uuid:{uuid5(_UUID_NAMESPACE, name)}"


def feed_definition(feed: Feed) -> str:
    """Return what makes this a different feed: sources, match mode, query and digest period.

    The name, title, limit and link may change without making a new feed.
    """
    query = parse_feed_query(feed)
    text = canonical_text(query) if query is not None else ""
    digest = [] if feed.digest == "none" else [f"digest={feed.digest}"]
    return " ".join([*digest, *sorted(feed.sources), feed.match, text])


def feed_description(feed: Feed) -> str:
    """Return one sentence about the feed's content."""
    about = f" that match: {feed.query}" if feed.query else ""
    if feed.library:
        about += f"{', and' if about else ''} that are like those of {feed.like_file}"
    return f"Papers from Hugging Face Daily Papers{about}"
