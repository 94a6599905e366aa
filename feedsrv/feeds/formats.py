"""The ways of writing a feed, and what a feed says of itself in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from feedsrv import __version__
from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.entry import Entry, FeedMetadata, feed_definition, feed_id
from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.feeds.opml import Outline, render_opml
from feedsrv.feeds.rss import render_rss
from feedsrv.models import Feed
from feedsrv.search.parser import parse_query
from feedsrv.search.query import canonical_text


class Format(NamedTuple):
    """One way of writing a feed."""

    media_type: str
    title: str
    render: Callable[[FeedMetadata, Sequence[Entry]], bytes]


#: By suffix. Atom first, everywhere.
FORMATS = {
    "atom": Format("application/atom+xml", "Atom", render_atom),
    "rss": Format("application/rss+xml", "RSS", render_rss),
    "json": Format("application/feed+json", "JSON Feed", render_json_feed),
}


def feed_metadata(
    feeds: Sequence[Feed], *, demo: bool, self_url: str, page_url: str, icon_url: str
) -> FeedMetadata:
    """Return what the feeds, united, say of themselves."""
    title = " + ".join(feed.title for feed in feeds)
    return FeedMetadata(
        id=feed_id(_feed_definition(feed) for feed in feeds),
        title=f"Sample papers: {title}" if demo else title,
        subtitle="; ".join(dict.fromkeys(map(_describe, feeds))),
        self_url=self_url,
        page_url=page_url,
        icon_url=icon_url,
        version=__version__,
    )


def _feed_definition(feed: Feed) -> str:
    return feed_definition(feed, canonical_text(parse_query(feed.query)) if feed.query else "")


def _describe(feed: Feed) -> str:
    about = f" that match: {feed.query}" if feed.query else ""
    return f"Papers from Hugging Face Daily Papers{about}"


def link_headers(
    metadata: FeedMetadata, suffix: str, links: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield Link headers (RFC 8288 3): the feed itself, and what says the same in other forms."""
    yield "Link", f'<{metadata.self_url}>; rel="self"'
    if suffix:
        yield "Link", f'<{metadata.page_url}>; rel="alternate"; type="text/html"'
    for name, url in links.items():
        if name != suffix:
            media_type = FORMATS[name].media_type
            yield "Link", f'<{url}>; rel="alternate"; type="{media_type}"'


def render_subscriptions(feeds: Iterable[Feed], suffix: str, url: Callable[..., str]) -> bytes:
    """Return the configured feeds as a list of subscriptions (OPML), in the suffix's format."""
    outlines = (
        Outline(
            title=feed.title,
            description=_describe(feed),
            feed_url=url(f"/feeds/{feed.name}", f".{suffix}"),
            page_url=url(f"/feeds/{feed.name}"),
        )
        for feed in feeds
    )
    return render_opml("Daily Papers", outlines)
