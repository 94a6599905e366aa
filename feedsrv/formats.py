"""The ways of writing a feed, and what a feed says of itself in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from feedsrv import __version__, answer
from feedsrv.answer import Ready
from feedsrv.config import Config
from feedsrv.entry import Entry, definition, entries, feed_id
from feedsrv.grammar import parse
from feedsrv.paper import Feed, Found
from feedsrv.query import canonical
from feedsrv.render import Head, Outline, atom, json_feed, opml, rss


class Format(NamedTuple):
    """One way of writing a feed."""

    media_type: str
    title: str
    write: Callable[[Head, Sequence[Entry]], bytes]


#: By suffix. Atom first, everywhere.
FORMATS = {
    "atom": Format("application/atom+xml", "Atom", atom),
    "rss": Format("application/rss+xml", "RSS", rss),
    "json": Format("application/feed+json", "JSON Feed", json_feed),
}


def head(feeds: Sequence[Feed], *, demo: bool, self_url: str, page_url: str, icon_url: str) -> Head:
    """Return what the feeds, united, say of themselves."""
    title = " + ".join(feed.title for feed in feeds)
    return Head(
        id=feed_id(_definition(feed) for feed in feeds),
        title=f"Sample papers: {title}" if demo else title,
        subtitle="; ".join(dict.fromkeys(map(_described, feeds))),
        self_url=self_url,
        page_url=page_url,
        icon_url=icon_url,
        version=__version__,
    )


def _definition(feed: Feed) -> str:
    return definition(feed, canonical(parse(feed.query)) if feed.query else "")


def _described(feed: Feed) -> str:
    about = f" that match: {feed.query}" if feed.query else ""
    return f"Papers from Hugging Face Daily Papers{about}"


@lru_cache(maxsize=32)
def written(suffix: str, head: Head, found: tuple[Found, ...]) -> Ready:
    """Return the feed, written once for each change of what it holds."""
    return answer.ready(FORMATS[suffix].write(head, entries(found)))


def link_headers(head: Head, suffix: str, links: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield Link headers (RFC 8288 3): the feed itself, and what says the same in other forms."""
    yield "Link", f'<{head.self_url}>; rel="self"'
    if suffix:
        yield "Link", f'<{head.page_url}>; rel="alternate"; type="text/html"'
    for name, url in links.items():
        if name != suffix:
            media_type = FORMATS[name].media_type
            yield "Link", f'<{url}>; rel="alternate"; type="{media_type}"'


def subscriptions(config: Config, suffix: str, url: Callable[..., str]) -> bytes:
    """Return the configured feeds as a list of subscriptions (OPML), in the suffix's format."""
    outlines = (
        Outline(
            title=feed.title,
            description=_described(feed),
            feed_url=url(f"/feeds/{feed.name}", f".{suffix}"),
            page_url=url(f"/feeds/{feed.name}"),
        )
        for feed in config.feeds.values()
    )
    return opml("Daily Papers", outlines)
