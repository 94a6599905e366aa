"""Render feeds, and remember their ETags."""

from collections.abc import Sequence
from threading import Lock

import msgspec
from cachetools import LRUCache

from feedsrv.feeds.digest_documents import build_digest_entries
from feedsrv.feeds.entry import Entry, build_entries
from feedsrv.feeds.formats import ALL_FORMATS
from feedsrv.feeds.metadata import FeedMetadata
from feedsrv.feeds.results import DigestResult, FeedResult
from feedsrv.models import Digest, Feed, Match, PaperTokens
from feedsrv.web.content_encoding import EncodedBody, encode_body

_MAX_ETAGS = 50_000
#: A body is rendered for its ETag, and needed again at once.
_MAX_BODIES = 4


class FeedDocumentInput(msgspec.Struct, frozen=True, cache_hash=True):
    """What a feed document is rendered from. Equal documents are rendered to equal bytes."""

    suffix: str
    metadata: FeedMetadata
    matches: tuple[Match, ...] = ()
    #: In place of matches, with the names of the feeds that they are of.
    digests: tuple[Digest, ...] = ()
    feed_names: tuple[str, ...] = ()

    def entries(self) -> tuple[Entry, ...]:
        """Return the entries of the document."""
        if self.digests:
            return build_digest_entries(self.digests, self.metadata, self.feed_names)
        return build_entries(self.matches)


def feed_document(
    suffix: str, metadata: FeedMetadata, result: FeedResult | DigestResult, feeds: Sequence[Feed]
) -> FeedDocumentInput:
    """Return the document for the papers or the digests of a feed, or of the union of several."""
    if isinstance(result, FeedResult):
        return FeedDocumentInput(suffix, metadata, tuple(map(_without_counters, result.matches)))
    names = tuple(feed.name for feed in feeds)
    return FeedDocumentInput(suffix, metadata, digests=result.digests, feed_names=names)


class FeedRenderer:
    """Render feed documents. Safe for threads.

    Thousands of feeds are polled every hour and have nothing new. The ETag of a document that was
    rendered before takes a tenth of the time of rendering it.
    """

    def __init__(self) -> None:
        #: By the hash of the document, which is much smaller than the document.
        self._etags: LRUCache[int, str] = LRUCache(_MAX_ETAGS)
        self._bodies: LRUCache[FeedDocumentInput, EncodedBody] = LRUCache(_MAX_BODIES)
        self._lock = Lock()

    def etag(self, document: FeedDocumentInput) -> str:
        """Return the ETag of the document, which is rendered only if it never was before."""
        with self._lock:
            etag = self._etags.get(hash(document))
        return etag if etag is not None else self.render(document).etag

    def render(self, document: FeedDocumentInput) -> EncodedBody:
        """Return the rendered document."""
        with self._lock:
            body = self._bodies.get(document)
        if body is None:
            render = ALL_FORMATS[document.suffix].render
            body = encode_body(render(document.metadata, document.entries()))
            with self._lock:
                self._bodies[document] = body
                self._etags[hash(document)] = body.etag
        return body


def _without_counters(match: Match) -> Match:
    """Return the match without values that no feed contains and that change every hour."""
    paper = msgspec.structs.replace(
        match.paper, upvotes=0, comments=0, stars=0, tokens=PaperTokens()
    )
    return Match(paper, match.feeds)
