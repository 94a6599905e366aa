"""Feed-level elements: id, title, subtitle and URLs, the same for every format."""

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid5

import msgspec

from feedsrv.models import Feed
from feedsrv.search.parser import parse_feed_query, parse_query
from feedsrv.search.query import canonical_text

UUID_NAMESPACE = UUID("6f0d3c3e-5f0e-5b51-9d4e-2b7c1a2f9f10")
_DIGEST_ADJECTIVES = {"day": "daily", "week": "weekly"}
#: Minutes for which the newest day's list is fresh, and any other list at least.
_NEWEST_LIST_INTERVAL, _LIST_INTERVAL = 20, 60


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
    #: Minutes between two polls of a reader that ignores the max-age of responses.
    ttl: int = 60


def feed_metadata(
    feeds: Sequence[Feed], *, demo: bool, self_url: str, page_url: str, icon_url: str
) -> FeedMetadata:
    """Return the metadata of a feed, or of the union of several; the title says if it is a demo."""
    title = feeds_title(feeds, demo=demo)
    digest = _DIGEST_ADJECTIVES.get(feeds[0].digest)
    return FeedMetadata(
        id=feeds_id(feeds),
        title=f"{title} ({digest})" if digest else title,
        subtitle="; ".join(dict.fromkeys(map(feed_description, feeds))),
        self_url=self_url,
        page_url=page_url,
        icon_url=icon_url,
        ttl=min(map(_poll_interval, feeds)),
    )


def feeds_title(feeds: Sequence[Feed], *, demo: bool) -> str:
    """Return the title of a feed, or of the union of several."""
    title = " + ".join(feed.title for feed in feeds)
    return f"Sample papers: {title}" if demo else title


def _poll_interval(feed: Feed) -> int:
    """Return in how many minutes a feed may change: the newest list does sooner than others."""
    has_newest_list = "daily" in feed.sources and feed.page is None
    return _NEWEST_LIST_INTERVAL if has_newest_list else _LIST_INTERVAL


def feeds_id(feeds: Iterable[Feed]) -> str:
    """Return the id of the feeds as one; their order does not matter.

    It is derived from their content and not from their URL (RFC 4287 4.2.6).
    """
    return uuid_urn("\n".join(sorted(set(map(_feed_definition, feeds)))))


def uuid_urn(name: str) -> str:
    """Return an id that is made from the name and always the same."""
    return f"urn:uuid:{uuid5(UUID_NAMESPACE, name)}"


def _feed_definition(feed: Feed) -> str:
    """Return what makes this a different feed: sources, match mode, query and digest period.

    The name, title, limit and link may change without making a new feed.
    """
    digest = [] if feed.digest == "none" else [f"digest={feed.digest}"]
    sources = sorted(feed.sources) if feed.page is None else [str(feed.page)]
    query = parse_feed_query(feed)
    # Every feed's definition has its query, even an empty one: that must not change its id.
    canonical = [canonical_text(query) if query is not None else ""]
    if feed.narrowed_by:
        canonical.append(canonical_text(parse_query(feed.narrowed_by)))
    return " ".join([*digest, *sources, feed.match, *canonical])


def feed_description(feed: Feed) -> str:
    """Return one sentence about the feed's content."""
    queries = " and ".join(filter(None, [feed.query, feed.narrowed_by]))
    about = f" that match: {queries}" if queries else ""
    if feed.library:
        about += f"{', and' if about else ''} that are like those of {feed.like_file}"
    return f"Papers from Hugging Face Daily Papers{about}"
