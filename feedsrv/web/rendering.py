"""Render feeds for responses, each once for each change of what it holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock

import msgspec
from cachetools import LRUCache
from werkzeug.datastructures import ETags

from feedsrv.feeds.entry import build_entries
from feedsrv.feeds.formats import FORMATS
from feedsrv.feeds.metadata import FeedMetadata
from feedsrv.models import Match, PaperTokens
from feedsrv.web.responses import EncodedBody, encode_body

#: The etags of what was written of late, by a hash of all that goes into it. Thousands of feeds are
#: polled every hour and have nothing new: to see that takes a tenth of writing them.
_etags: LRUCache[int, str] = LRUCache(50_000)
_etags_lock = Lock()


def render_cached(
    suffix: str, head: FeedMetadata, found: Sequence[Match], held: ETags | None = None
) -> EncodedBody:
    """Return the feed, written once for each change of what it holds.

    Args:
        suffix: The format's.
        head: What the feed says of itself.
        found: Its papers.
        held: What the asker holds. If that is this very feed, it is not written again, and its
            bodies are empty: nobody wants them.

    """
    still = tuple(_without_counters(each) for each in found)
    name = hash((suffix, head, still))
    with _etags_lock:
        known = _etags.get(name)
    if known is not None and held is not None and held.contains_weak(known):
        return EncodedBody(b"", b"", known)
    ready = _render(suffix, head, still)
    with _etags_lock:
        _etags[name] = ready.etag
    return ready


@lru_cache(maxsize=32)
def _render(suffix: str, head: FeedMetadata, found: tuple[Match, ...]) -> EncodedBody:
    return encode_body(FORMATS[suffix].render(head, build_entries(found)))


def _without_counters(found: Match) -> Match:
    """Return what was found without what no feed tells, but what changes every hour."""
    paper = msgspec.structs.replace(
        found.paper, upvotes=0, comments=0, stars=0, tokens=PaperTokens()
    )
    return Match(paper, found.feeds)
