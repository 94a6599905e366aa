"""What requests for feeds and for digests return."""

from datetime import datetime

import msgspec

from feedsrv.models import Digest, Feed, Match, Page
from feedsrv.search.query import Query


class FeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """The papers of one feed, or of several together, at this moment."""

    #: The requested part of the matching papers, newest first.
    matches: tuple[Match, ...]
    #: The queries of each feed, with what was decided about similar papers.
    queries: dict[Feed, tuple[Query, ...]]
    #: How many matching papers come before these, and how many match in all.
    offset: int
    total: int
    #: Sets of the ids of the papers that were searched.
    searched_ids: tuple[frozenset[str], ...]
    #: When clients should poll again (max-age).
    poll_after: datetime
    #: Until when this result can be cached here, unless the store changes first.
    cacheable_until: datetime
    #: The pages whose lists were searched. One may have been returned in place of another.
    pages: tuple[Page, ...] = ()

    @property
    def papers_searched(self) -> int:
        """How many papers were searched."""
        return len(frozenset().union(*self.searched_ids))


class DigestResult(msgspec.Struct, frozen=True, kw_only=True):
    """The digests of one feed, or of several together, at this moment."""

    #: The requested part of the digests, newest first.
    digests: tuple[Digest, ...]
    #: How many digests come before these, and how many there are.
    offset: int
    total: int
    #: As in `FeedResult`.
    poll_after: datetime
    cacheable_until: datetime
    pages: tuple[Page, ...] = ()
