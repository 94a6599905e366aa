"""Answer one feed request, top to bottom: `Service.get_feed`.

::

    feeds ── their sources ── stored listings ── matching papers ── each paper once
                                     │
                                     ├── fresh: served
                                     ├── stale: served, and refreshed in the background
                                     └── never fetched: awaited, up to the deadline

What a reader waits for is fetched first. Stale pages and the rest of the window follow in the
background, the newest day first (`feedsrv.upstream.scheduler`).
"""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from feedsrv.config import Config
from feedsrv.errors import NoDataYetError, UnknownFeedError, UpstreamError
from feedsrv.feeds.adhoc import adhoc_feed
from feedsrv.feeds.artefact_fetcher import ArtefactFetcher
from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.closed_digests import ClosedDigests
from feedsrv.feeds.cutoffs import drop_matches_older_than_cutoff
from feedsrv.feeds.deduplication import merge_feeds
from feedsrv.feeds.entry import build_entries
from feedsrv.feeds.lifetimes import MIN_LIFETIME, cacheable_until, poll_after, split_future_matches
from feedsrv.feeds.limits import ALL_PAPERS, DEFAULT_LIMIT, default_limit
from feedsrv.feeds.listing_search import ListingSearcher
from feedsrv.feeds.metadata import feed_metadata
from feedsrv.feeds.results import DigestResult, FeedResult
from feedsrv.feeds.seed_fetcher import SeedFetcher
from feedsrv.feeds.selection import Selection, Selector
from feedsrv.feeds.source_fetcher import SourceFetcher, with_fetched_listings
from feedsrv.feeds.sources import SourceState, effective_sources
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.feeds.window import Window
from feedsrv.models import Failure, Feed, Kind, Listing, Match, Page
from feedsrv.search.index import Index
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Query, iter_likes
from feedsrv.search.search_terms import search_terms
from feedsrv.search.word_families import base_forms
from feedsrv.storage.repository import Repository
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.events import EventEmitter
from feedsrv.upstream.policy import newest_day_page
from feedsrv.upstream.scheduler import Scheduler

#: Names of feeds that a request for an unknown one is told: its neighbours in the alphabet.
_SIMILAR_NAMES = 20


@dataclass(kw_only=True, eq=False)
class Service:
    """Feeds from upstream and the store. Safe for threads.

    `feedsrv.feeds.service_factory` puts its parts together.
    """

    config: Config
    client: UpstreamClient
    repository: Repository
    #: The clock (UTC).
    now: Callable[[], datetime]
    #: What happens while pages are fetched.
    events: EventEmitter
    scheduler: Scheduler
    list_days: StoredListDays
    sources: SourceFetcher
    seeds: SeedFetcher
    searcher: ListingSearcher
    selector: Selector
    artefacts: ArtefactFetcher
    closed_digests: ClosedDigests
    #: Called when everything is closed.
    cleanup: Callable[[], object]

    def __post_init__(self) -> None:
        self._window = Window((), Index(()), self.selector.resolve_condition)
        self._feed_names = tuple(sorted(self.config.feeds))

    def close(self) -> None:
        """Finish the fetch in progress, drop those that are queued, close network and store."""
        self.scheduler.close()
        self.client.close()
        self.repository.close()
        self.cleanup()

    # --- one request -----------------------------------------------------------------------

    def get_configured_feed(self, name: str) -> Feed:
        """Return the configured feed of that name.

        Raises:
            UnknownFeedError: There is none.
        """
        feed = self.config.feeds.get(name)
        if feed is None:
            position = bisect(self._feed_names, name)
            first = max(
                0, min(position - _SIMILAR_NAMES // 2, len(self._feed_names) - _SIMILAR_NAMES)
            )
            raise UnknownFeedError(name, self._feed_names[first : first + _SIMILAR_NAMES])
        return feed

    def get_feed(
        self,
        *feeds: Feed,
        limit: int | None = None,
        page_number: int | None = None,
        client: str = "",
        is_preview: bool = False,
    ) -> FeedResult:
        """Return the papers of the feeds, each once.

        Args:
            feeds: One feed, or several to unite.
            limit: How many papers to return; by default what the feeds say.
            page_number: Which page of that many papers to return, for people; 1 has the newest.
                None for the newest papers without what was pushed out before, for feed readers.
            client: Who asks, for the quota of new keywords. Empty for the server itself, which has
                no quota.
            is_preview: Whether nobody can have subscribed yet, so that what is decided about
                similar papers need not be stored.

        Raises:
            QueryError: A query names a paper that upstream does not have.
            QuotaExceededError: The client's quota is used up for now, and nothing else is stored.
            NoDataYetError: Upstream fails, and nothing is stored for any of the feeds.
        """
        states, selections, now = self._select(feeds, client, is_preview=is_preview)
        merged = merge_feeds([(each.feed, each.papers) for each in selections])
        matches, next_at = split_future_matches(merged, now)
        size = limit or max(feed.limit or default_limit(matches) for feed in feeds)
        if page_number is None:
            start = self.list_days.window_start()
            matches = drop_matches_older_than_cutoff(
                matches, feeds, limit, size, window_start=start, repository=self.repository
            )
        offset = ((page_number or 1) - 1) * size
        queries = {each.feed: each.queries for each in selections}
        lifetime = self.artefacts.cache_lifetime(chain(*queries.values()), is_page=is_preview)
        is_complete = len(selections) == len({*feeds})
        return FeedResult(
            matches=matches[offset : offset + size],
            queries=queries,
            offset=offset,
            total=len(matches),
            searched_ids=tuple(ids for each in selections for ids in each.searched_ids),
            poll_after=poll_after(states, now, is_complete=is_complete),
            cacheable_until=cacheable_until(
                states, now, next_at - now, lifetime, is_complete=is_complete
            ),
            pages=tuple(dict.fromkeys(page for each in selections for page in each.pages)),
        )

    def _select(
        self, feeds: Sequence[Feed], client: str, *, is_preview: bool
    ) -> tuple[list[SourceState], list[Selection], datetime]:
        """Fetch what the feeds lack, and select their papers.

        Returns:
            The states of all sources, the selections of all feeds of which anything is stored, and
            the time of these states.
        """
        before = {feed: self.sources.states_within_quota(feed, client) for feed in feeds}
        all_before = list(chain(*before.values()))
        is_stored = not is_preview and self.selector.may_store(feeds, client)
        fetches = {
            **self.sources.start_fetches(all_before),
            **self.seeds.start_fetches(feeds, client),
        }
        waited = self.sources.wait_for(fetches)
        for feed in feeds:
            self.seeds.raise_if_not_found(feed)
        now = self.now()
        states = {
            feed: with_fetched_listings(its_states, fetches, now)
            for feed, its_states in before.items()
        }
        selected = (
            self.selector.select(feed, its_states, is_stored=is_stored)
            for feed, its_states in states.items()
        )
        selections = [selection for selection in selected if selection is not None]
        if not selections:
            raise self.sources.no_data_error(all_before, fetches, waited)
        return list(chain(*states.values())), selections, now

    def get_digests(
        self, *feeds: Feed, limit: int | None = None, page_number: int = 1, client: str = ""
    ) -> DigestResult:
        """Return the digests of the feeds, and close the periods that are over.

        Args:
            feeds: One feed, or several to unite; all with the same ``digest``.
            limit: How many digests to return; by default what the feeds say.
            page_number: Which page of that many digests to return; 1 has the newest.
            client: As in `get_feed`.

        Raises:
            NoDataYetError: Upstream fails, and neither papers nor digests are stored.
            QuotaExceededError: The client's quota of new keywords is used up for now.
            StoreError: The store fails, so that nobody knows which digests there are.
        """
        # Read before the papers: a list that arrives meanwhile closes its day the next time.
        days = self.list_days.get()
        log = self.closed_digests.get(feeds)
        try:
            result = self.get_feed(*feeds, limit=ALL_PAPERS, page_number=1, client=client)
        except NoDataYetError as error:
            if log is None:
                raise
            pages: tuple[Page, ...] = ()
            poll_after = self.now() + timedelta(seconds=error.retry_after)
            cacheable_until = self.now() + MIN_LIFETIME
        else:
            pages = result.pages
            log = self.closed_digests.close_due_periods(feeds, result.matches, days, client)
            poll_after, cacheable_until = result.poll_after, result.cacheable_until
        digests = [digest for digest in reversed(log.digests) if digest.papers]
        size = limit or max(feed.limit or DEFAULT_LIMIT for feed in feeds)
        offset = (page_number - 1) * size
        return DigestResult(
            digests=tuple(digests[offset : offset + size]),
            offset=offset,
            total=len(digests),
            poll_after=poll_after,
            cacheable_until=cacheable_until,
            pages=pages,
        )

    # --- papers to compare with ------------------------------------------------------------

    def fetch_seeds(self, query: Query, text: str, client: str) -> None:
        """Fetch the papers that a query compares others with, and wait for them.

        Raises:
            QueryError: Upstream does not have one of them.
            QuotaExceededError: The client's quota of new keywords is used up for now.
        """
        if any(iter_likes(query)):
            feed = Feed(name="", title="", query=text)
            self.sources.wait_for(self.seeds.start_fetches([feed], client))
            self.seeds.raise_if_not_found(feed)

    # --- what is stored --------------------------------------------------------------------

    def window(self) -> Window:
        """Return the stored papers of the window, and refresh it in the background."""
        days = self.list_days.get()
        if not self._window.is_current(days):
            self._window = Window(
                days, self.list_days.search_index(), self.selector.resolve_condition
            )
        self.scheduler.refresh_in_background(self.sources.due_day_pages())
        return self._window

    def count_older(self, query: str) -> int | None:
        """Return how many papers beyond the window a stored search has; None without one."""
        feed = Feed(name="", title="", query=query, sources=("search",))
        if not effective_sources(feed):
            return None
        listing = self.repository.get_listing(Page(Kind.SEARCH, search_terms(feed.query)))
        if listing is None:
            return None
        papers = self.searcher.search(feed, [listing], self.selector.resolve_condition).papers
        return sum(self._window.index.get(paper.id) is None for paper in papers)

    def get_failure(self, feed: Feed) -> Failure | None:
        """Return how the feed's own search fails, or upstream as a whole; None while they work."""
        failure = None
        if "search" in effective_sources(feed):
            failure = self.repository.get_failure(Page(Kind.SEARCH, search_terms(feed.query)))
        return failure or self.repository.get_failure(None)

    def warm_up(self) -> None:
        """Open the store and do what the first request would do, so that no reader waits."""
        self.repository.open()
        if self.is_ready():
            self.client.warm_up()
            index = self.list_days.search_index()
            # The first search builds the index, and loads the grammar and the word families.
            index.search(parse_query("paper"))
            # What most feeds have in common: the newest papers, and words of abstracts.
            feed, newest = adhoc_feed(""), index.papers[:DEFAULT_LIMIT]
            metadata = feed_metadata([feed], demo=False, self_url="", page_url="", icon_url="")
            render_atom(metadata, build_entries([Match(paper, (feed,)) for paper in newest]))
            for paper in newest:
                list(map(base_forms, paper.tokens.abstract.split()))

    def is_ready(self) -> bool:
        """Return whether there is anything to serve; if not, fetch the first lists."""
        if self.list_days.search_index().papers:
            return True
        if self.repository.get_listing(Page(Kind.TRENDING)) is not None:
            return True
        self.scheduler.refresh_in_background(self.sources.due_day_pages())
        return False

    # --- refreshing ------------------------------------------------------------------------

    def newest_day(self) -> Page:
        """Return the page to fetch for the newest list day."""
        return newest_day_page(self.now().date())

    def refresh_page(self, page: Page) -> Listing:
        """Return the page's listing, fetched now whatever is stored.

        Raises:
            UpstreamError: It could not be fetched or parsed.
        """
        return self.scheduler.refresh_and_wait(page, force=True, extra_wait=0)

    def refresh_stale(self, *feeds: Feed) -> Iterator[tuple[Page, Listing | UpstreamError, int]]:
        """Fetch the stale pages of the feeds; by default of all lists and configured feeds.

        As `SourceFetcher.refresh_stale`.
        """
        lists = Feed(name="", title="", sources=("daily", "trending", "week", "month"))
        return self.sources.refresh_stale(feeds or (lists, *self.config.feeds.values()))
