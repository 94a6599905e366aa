"""Select the papers of a feed from what is stored of its sources."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

import msgspec

from feedsrv.errors import QuotaExceededError
from feedsrv.feeds.artefact_fetcher import ArtefactFetcher
from feedsrv.feeds.client_quota import ClientQuota
from feedsrv.feeds.first_matches import FirstMatches
from feedsrv.feeds.likes import Likes
from feedsrv.feeds.listing_search import ListingSearcher
from feedsrv.feeds.seed_fetcher import SeedFetcher
from feedsrv.feeds.sources import SourceState
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.models import Feed, Page, Paper
from feedsrv.search.parser import parse_feed_queries
from feedsrv.search.query import (
    ExternalCondition,
    HasArtefact,
    Query,
    has_changing_condition,
    ignore_artefacts,
    iter_likes,
)


class Selection(NamedTuple):
    """The papers of one feed, and what they were selected from."""

    feed: Feed
    papers: tuple[Paper, ...]
    #: As in `feedsrv.feeds.listing_search.SearchResult`.
    searched_ids: tuple[frozenset[str], ...]
    #: The queries that the papers match, with what was decided about similar papers.
    queries: tuple[Query, ...]
    #: The pages whose lists were searched.
    pages: tuple[Page, ...]


@dataclass(kw_only=True, eq=False)
class Selector:
    """Selects the papers of feeds. Safe for threads."""

    searcher: ListingSearcher
    list_days: StoredListDays
    likes: Likes
    seeds: SeedFetcher
    first_matches: FirstMatches
    artefacts: ArtefactFetcher
    quota: ClientQuota
    #: The clock (UTC).
    now: Callable[[], datetime]

    def select(
        self, feed: Feed, states: Sequence[SourceState], *, is_stored: bool
    ) -> Selection | None:
        """Return the papers of one feed; None where nothing that it needs is stored."""
        listings = tuple(listing for state in states for listing in state.listings)
        if (states and not listings) or self.seeds.lacks_seeds(parse_feed_queries(feed)):
            return None
        decide = partial(self.resolve_condition, is_stored=is_stored)
        papers, searched_ids, queries = self.searcher.search(feed, listings, decide)
        if any(map(has_changing_condition, queries)):
            is_complete = (
                all(state.listings for state in states)
                and self.list_days.is_complete()
                and self.artefacts.all_checked(queries)
            )
            papers = self.first_matches.date_matches(
                feed, papers, self.now(), is_complete=is_complete, is_stored=is_stored
            )
        pages = tuple(listing.page for listing in listings)
        return Selection(feed, papers, searched_ids, queries, pages)

    def may_store(self, feeds: Iterable[Feed], client: str) -> bool:
        """Return whether what is decided for good about the feeds may be stored.

        It may for feeds that are known. For others the client's quota is charged.
        """
        try:
            for feed in feeds if client else ():
                queries = parse_feed_queries(feed)
                likes = (like for query in queries for like in iter_likes(query))
                is_dated = any(map(has_changing_condition, queries))
                is_known = all(map(self.likes.is_stored, likes)) and (
                    not is_dated or self.first_matches.is_stored(feed)
                )
                if not is_known:
                    self.quota.consume(client, self.now())
        except QuotaExceededError:
            return False
        return True

    def resolve_condition(
        self, part: ExternalCondition, papers: Iterable[Paper], *, is_stored: bool = False
    ) -> ExternalCondition:
        """Return a part of a query with what is decided about the papers."""
        if isinstance(part, HasArtefact):
            return msgspec.structs.replace(part, table=self.artefacts.table())
        return self.likes.decide(part, papers, is_stored=is_stored)

    def candidate_papers(self, feed: Feed, states: Iterable[SourceState]) -> tuple[Paper, ...]:
        """Return the papers of the feed, and those that artefacts would bring in."""
        listings = (listing for state in states for listing in state.listings)
        return self.searcher.search(feed, listings, self.resolve_condition, ignore_artefacts).papers
