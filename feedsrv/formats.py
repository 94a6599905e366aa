"""The ways of writing a feed, and what a feed says of itself in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import msgspec
from cachetools import LRUCache
from werkzeug.datastructures import ETags

from feedsrv import __version__, answer, outage
from feedsrv.answer import Ready
from feedsrv.config import Config
from feedsrv.entry import Entry, definition, entries, feed_id
from feedsrv.grammar import parse
from feedsrv.outage import Outages
from feedsrv.paper import Feed, Found, Words
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


#: The etags of what was written of late, by a hash of all that goes into it. Thousands of feeds are
#: polled every hour and have nothing new: to see that takes a tenth of writing them.
_etags: LRUCache[int, str] = LRUCache(50_000)
_lock = Lock()


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


def bulletin(
    outages: Outages, *, server: str, self_url: str, page_url: str, icon_url: str
) -> Ready:
    """Return the feed, as Atom, of what failed for long and when it was over.

    Args:
        outages: The outages.
        server: What tells the server from others; its id is made of it.
        self_url: Where the feed is.
        page_url: Where more is told.
        icon_url: Where its icon is.

    """
    about = Head(
        id=feed_id([f"status of {server}"]),
        title="feedsrv: status",
        subtitle="When Hugging Face could not be read for hours, or had changed its pages",
        self_url=self_url,
        page_url=page_url,
        icon_url=icon_url,
        version=__version__,
    )
    return answer.ready(atom(about, outage.entries(outages, page_url)))


def _definition(feed: Feed) -> str:
    return definition(feed, canonical(parse(feed.query)) if feed.query else "")


def _described(feed: Feed) -> str:
    about = f" that match: {feed.query}" if feed.query else ""
    return f"Papers from Hugging Face Daily Papers{about}"


def written(suffix: str, head: Head, found: Sequence[Found], held: ETags | None = None) -> Ready:
    """Return the feed, written once for each change of what it holds.

    Args:
        suffix: The format's.
        head: What the feed says of itself.
        found: Its papers.
        held: What the asker holds. If that is this very feed, it is not written again, and its
            bodies are empty: nobody wants them.

    """
    still = tuple(_uncounted(each) for each in found)
    name = hash((suffix, head, still))
    with _lock:
        known = _etags.get(name)
    if known is not None and held is not None and held.contains_weak(known):
        return Ready(b"", b"", known)
    ready = _written(suffix, head, still)
    with _lock:
        _etags[name] = ready.etag
    return ready


@lru_cache(maxsize=32)
def _written(suffix: str, head: Head, found: tuple[Found, ...]) -> Ready:
    return answer.ready(FORMATS[suffix].write(head, entries(found)))


def _uncounted(found: Found) -> Found:
    """Return what was found without what no feed tells, but what changes every hour."""
    paper = msgspec.structs.replace(found.paper, upvotes=0, comments=0, stars=0, words=Words())
    return Found(paper, found.feeds)


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
