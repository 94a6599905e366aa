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

import hashlib
import os
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, time, timedelta
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from random import random as _random  # noqa: TID251  # the default source of chance
from tempfile import TemporaryDirectory
from threading import Event
from typing import NamedTuple, Self
from uuid import uuid4

import msgspec

from feedsrv import __version__
from feedsrv.config import Config
from feedsrv.errors import (
    NoDataYetError,
    QuotaExceededError,
    UnknownFeedError,
    UpstreamError,
)
from feedsrv.feeds.artefacts import ArtefactService
from feedsrv.feeds.closed_digests import ClosedDigests
from feedsrv.feeds.first_matches import FirstMatches
from feedsrv.feeds.likes import Likes
from feedsrv.feeds.metadata import feeds_id
from feedsrv.feeds.seed_fetcher import SeedFetcher
from feedsrv.feeds.selection import DEFAULT_LIMIT, Selector, default_limit, merge_feeds
from feedsrv.feeds.source_fetcher import SourceFetcher, with_fetched_listings
from feedsrv.feeds.sources import (
    SourceState,
    configured_pages,
    effective_sources,
    search_pages,
)
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.feeds.window import Window
from feedsrv.models import (
    Digest,
    Failure,
    Feed,
    Kind,
    Listing,
    Match,
    Page,
    Paper,
    StoredDays,
)
from feedsrv.search.index import Index
from feedsrv.search.near_misses import NearMiss, find_near_misses
from feedsrv.search.parser import parse_feed_queries, parse_feed_query, parse_query
from feedsrv.search.query import (
    ExternalCondition,
    HasArtefact,
    Query,
    assume_artefacts,
    has_changing_condition,
    iter_likes,
)
from feedsrv.search.search_terms import search_terms
from feedsrv.storage.repository import Repository, open_repository
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.demo import create_demo_upstream, load_sample_papers
from feedsrv.upstream.events import Listener
from feedsrv.upstream.policy import (
    ClientQuota,
    newest_day_page,
)
from feedsrv.upstream.refresh import Refresher
from feedsrv.upstream.scheduler import Scheduler

#: Minimum lifetime of a result while a refresh is pending.
_MIN_LIFETIME = timedelta(seconds=1)
_MAX_LIFETIME = timedelta(days=1)
#: More papers than a feed can have.
ALL_PAPERS = 1_000_000
#: Names of feeds that a request for an unknown one is told: its neighbours in the alphabet.
_SIMILAR_NAMES = 20
#: Seconds that a batch refresh waits for its slot: longer than a rate limit can be used up.
_BATCH_WAIT = 600.0


def _utc_now() -> datetime:
    """Read the clock; the only place that does."""
    return datetime.now(UTC)  # noqa: TID251  # the default clock


class FeedResult(msgspec.Struct, frozen=True, kw_only=True):
    """The papers of one feed, or of several together, at this moment."""

    #: The requested part of the matching papers, newest first.
    matches: tuple[Match, ...]
    #: The queries of each feed, with what was decided about similar papers.
    queries: dict[Feed, tuple[Query, ...]]
    #: How many matching papers come before these, and how many match in all.
    offset: int
    total: int
    #: How many papers were searched.
    papers_searched: int
    #: When clients should poll again (max-age).
    poll_after: datetime
    #: Until when this result can be cached here, unless the store changes first.
    cacheable_until: datetime
    #: The pages whose lists were searched. One may have been returned in place of another.
    pages: tuple[Page, ...] = ()


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


class _FeedSelection(NamedTuple):
    """What one feed selects from the stored lists; see `feedsrv.feeds.selection.Selection`."""

    feed: Feed
    papers: tuple[Paper, ...]
    searched_ids: frozenset[str]
    queries: tuple[Query, ...]
    pages: tuple[Page, ...]


class Service:
    """Feeds from upstream and the store. Safe for threads.

    Args:
        config: The settings.
        client: Talks to upstream; closed with the service.
        repository: Stores listings; closed with the service.
        now: The clock (UTC).
        sleep: Waits for a number of seconds; by default until then or until the service is closed.
        chance: Returns a random number from 0 to 1.

    """

    def __init__(
        self,
        config: Config,
        client: UpstreamClient,
        repository: Repository,
        *,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = _random,
    ) -> None:
        self.config = config
        self.repository = repository
        self._client = client
        self._cleanup = ExitStack()
        self._now = now
        shutdown = Event()
        sleep = sleep or shutdown.wait
        self._refresher = Refresher(
            config,
            client,
            repository,
            owner=f"{os.getpid()}-{uuid4().hex}",
            now=now,
            sleep=sleep,
            chance=chance,
        )
        #: The search pages of the configured feeds.
        self.configured_searches = search_pages(config.feeds.values())
        self._scheduler = Scheduler(
            self._refresher, repository.is_adhoc, self._due_day_pages, shutdown
        )
        self._quota = ClientQuota(0 if config.access_key else config.new_keywords)
        self._selector = Selector()
        self._list_days = StoredListDays(
            repository, self._selector, history_days=config.history_days, now=now
        )
        self._sources = SourceFetcher(
            repository,
            refresher=self._refresher,
            scheduler=self._scheduler,
            list_days=self._list_days,
            quota=self._quota,
            deadline=config.deadline,
            now=now,
        )
        self._likes = Likes(repository)
        self._seeds = SeedFetcher(
            repository,
            self._likes,
            refresher=self._refresher,
            scheduler=self._scheduler,
            list_days=self._list_days,
            quota=self._quota,
            now=now,
        )
        self._first_matches = FirstMatches(repository)
        self.artefacts = ArtefactService(
            config,
            repository,
            client,
            refresher=self._refresher,
            scheduler=self._scheduler,
            select=self._candidate_papers,
            now=now,
            sleep=sleep,
            chance=chance,
        )
        self._closed_digests = ClosedDigests(
            config, repository, self._list_days, self._quota, now=now
        )
        self._window = Window((), Index(()), self._resolve_condition)
        self._feed_names = tuple(sorted(config.feeds))

    @classmethod
    def open(
        cls,
        config: Config,
        *,
        now: Callable[[], datetime] = _utc_now,
        sleep: Callable[[float], object] | None = None,
        chance: Callable[[], float] = _random,
    ) -> Self:
        """Return a service with the client and the repository that the settings ask for."""
        cleanup = ExitStack()
        if config.demo:  # the sample papers must not get into another store
            directory = cleanup.enter_context(TemporaryDirectory(prefix="feedsrv-demo-"))
            config = msgspec.structs.replace(config, cache_dir=Path(directory))
        app = (
            create_demo_upstream(load_sample_papers(), lambda: now().date())
            if config.demo
            else None
        )
        contact = config.contact or config.public_url or "no contact given"
        agent = f"feedsrv/{__version__} (feed server; {contact})"
        client = UpstreamClient(
            config.upstream_url,
            agent=agent,
            token=config.hf_token,
            network=config.network,
            app=app,
        )
        repository = open_repository(config, configured_pages(config.feeds.values()), now=now)
        service = cls(config, client, repository, now=now, sleep=sleep, chance=chance)
        service._cleanup = cleanup
        return service

    def close(self) -> None:
        """Finish the fetch in progress, drop those that are queued, close network and store."""
        self._scheduler.close()
        self._client.close()
        self.repository.close()
        self._cleanup.close()

    def subscribe(self, listener: Listener) -> None:
        """Call the listener for each event of the refresher (`feedsrv.upstream.events`)."""
        self._refresher.subscribe(listener)

    def now(self) -> datetime:
        """Return the current time (UTC)."""
        return self._now()

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
        states = {feed: self._sources.states_within_quota(feed, client) for feed in feeds}
        all_states = [state for its_states in states.values() for state in its_states]
        is_stored = not is_preview and self._may_store(feeds, client)
        fetches = {
            **self._sources.start_fetches(all_states),
            **self._seeds.start_fetches(feeds, client),
        }
        waited = self._sources.wait_for(fetches)
        for feed in feeds:
            self._seeds.raise_if_not_found(feed)
        now = self._now()
        updated = {
            feed: with_fetched_listings(its_states, fetches, now)
            for feed, its_states in states.items()
        }
        results = [
            self._select(feed, its_states, is_stored=is_stored)
            for feed, its_states in updated.items()
        ]
        selections = [selection for selection in results if selection is not None]
        if not selections:
            raise self._sources.no_data_error(all_states, fetches, waited)
        merged = merge_feeds([(each.feed, each.papers) for each in selections])
        matches, next_at = _split_future_matches(merged, now)
        size = limit or _default_limit(feeds, matches)
        if page_number is None:
            matches = self._without_hidden_matches(feeds, limit, matches, size)
        offset = ((page_number or 1) - 1) * size
        ttl, lifetime = _min_ttls(chain.from_iterable(updated.values()))
        if len(selections) < len(results):
            ttl = lifetime = timedelta(0)
        queries = {each.feed: each.queries for each in selections}
        lifetime = min(
            lifetime,
            next_at - now,
            _next_midnight(now) - now,
            self.artefacts.cache_lifetime(chain(*queries.values()), is_page=is_preview),
        )
        return FeedResult(
            matches=matches[offset : offset + size],
            queries=queries,
            offset=offset,
            total=len(matches),
            papers_searched=len(frozenset().union(*(each.searched_ids for each in selections))),
            poll_after=now + min(ttl, _MAX_LIFETIME),
            cacheable_until=now + max(_MIN_LIFETIME, lifetime),
            pages=tuple(dict.fromkeys(page for each in selections for page in each.pages)),
        )

    def _select(
        self, feed: Feed, states: Sequence[SourceState], *, is_stored: bool
    ) -> _FeedSelection | None:
        """Return the papers of one feed; None where nothing that it needs is stored."""
        listings = tuple(listing for state in states for listing in state.listings)
        if (states and not listings) or self._seeds.lacks_seeds(parse_feed_queries(feed)):
            return None
        decide = partial(self._resolve_condition, is_stored=is_stored)
        papers, searched_ids, queries = self._selector.select(feed, listings, decide)
        if any(map(has_changing_condition, queries)):
            is_complete = (
                all(state.listings for state in states)
                and self._list_days.is_complete()
                and self.artefacts.all_checked(queries)
            )
            papers = self._date_matches(feed, papers, is_complete, is_stored=is_stored)
        pages = tuple(listing.page for listing in listings)
        return _FeedSelection(feed, papers, searched_ids, queries, pages)

    def _without_hidden_matches(
        self, feeds: Sequence[Feed], limit: int | None, matches: tuple[Match, ...], size: int
    ) -> tuple[Match, ...]:
        """Return the matches without old ones that newer ones pushed out of the feed before.

        When a paper leaves the window, the next older search hit would take its place, and readers
        would show it as new. Papers of the window always stay.
        """
        start = self._list_days.window_start()
        has_window = any(feed.page is None and "daily" in feed.sources for feed in feeds)
        if not has_window or not matches or matches[-1].paper.published >= start:
            return matches
        limit = limit or max(feed.limit for feed in feeds)
        name = f"{feeds_id(feeds)} {limit}"
        if len(matches) > size:
            cutoff = self.repository.raise_newest_hidden(name, matches[size].paper.published)
        elif (stored := self.repository.get_newest_hidden(name)) is not None:
            cutoff = stored
        else:
            return matches
        latest_hidden = min(cutoff.published, start - timedelta(microseconds=1))
        return tuple(match for match in matches if match.paper.published > latest_hidden)

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
        days = self.list_days()
        log = self._closed_digests.get(feeds)
        try:
            result = self.get_feed(*feeds, limit=ALL_PAPERS, page_number=1, client=client)
        except NoDataYetError as error:
            if log is None:
                raise
            pages: tuple[Page, ...] = ()
            poll_after = self._now() + timedelta(seconds=error.retry_after)
            cacheable_until = self._now() + _MIN_LIFETIME
        else:
            pages = result.pages
            log = self._closed_digests.close_due_periods(feeds, result.matches, days, client)
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

    def _may_store(self, feeds: Iterable[Feed], client: str) -> bool:
        """Return whether what is decided for good about the feeds may be stored.

        It may for feeds that are known. For others the client's quota is charged.
        """
        try:
            for feed in feeds if client else ():
                queries = parse_feed_queries(feed)
                likes = (like for query in queries for like in iter_likes(query))
                is_dated = any(map(has_changing_condition, queries))
                is_known = all(map(self._likes.is_stored, likes)) and (
                    not is_dated or self._first_matches.is_stored(feed)
                )
                if not is_known:
                    self._quota.consume(client, self._now())
        except QuotaExceededError:
            return False
        return True

    # --- papers to compare with ------------------------------------------------------------

    def fetch_seeds(self, query: Query, text: str, client: str) -> None:
        """Fetch the papers that a query compares others with, and wait for them.

        Raises:
            QueryError: Upstream does not have one of them.
            QuotaExceededError: The client's quota of new keywords is used up for now.

        """
        if any(iter_likes(query)):
            feed = Feed(name="", title="", query=text)
            self._sources.wait_for(self._seeds.start_fetches([feed], client))
            self._seeds.raise_if_not_found(feed)

    def _resolve_condition(
        self, part: ExternalCondition, papers: Iterable[Paper], *, is_stored: bool = False
    ) -> ExternalCondition:
        if isinstance(part, HasArtefact):
            return msgspec.structs.replace(part, table=self.artefacts.table())
        return self._likes.decide(
            part,
            papers,
            self._list_days.search_index(),
            is_complete=self._list_days.is_complete(),
            is_stored=is_stored,
        )

    def _candidate_papers(self, feed: Feed) -> tuple[Paper, ...]:
        """Return the stored papers of the feed, and those that artefacts would bring in."""
        listings = (each for state in self._sources.states(feed) for each in state.listings)
        return self._selector.select(
            feed, listings, self._resolve_condition, assume_artefacts
        ).papers

    def _date_matches(
        self, feed: Feed, papers: Sequence[Paper], is_complete: bool, *, is_stored: bool
    ) -> tuple[Paper, ...]:
        """Return the papers with the dates of their first match."""
        return self._first_matches.date_matches(
            feed,
            papers,
            self._now(),
            window_ids=self._list_days.search_index().ids,
            window_start=self._list_days.window_start() if is_complete else None,
            is_stored=is_stored,
        )

    def store_version(self) -> object:
        """Return a value that changes whenever any process stores something."""
        return self.repository.version()

    def last_modified(self, url: str, etag: str) -> datetime | None:
        """Return since when the URL has answered with this ETag, for Last-Modified.

        It rises by at least a second with each change and never falls, whichever process asks:
        newsboat drops a body whose Last-Modified did not rise. None while it lies in the future.
        """
        return self.repository.last_modified(_hash_url(url), etag, self._now())

    # --- what is stored --------------------------------------------------------------------

    def list_days(self) -> StoredDays:
        """Return the list days of the window; the same object until something is stored."""
        return self._list_days.get()

    def window(self) -> Window:
        """Return the stored papers of the window, and refresh it in the background."""
        days = self.list_days()
        if not self._window.is_current(days):
            self._window = Window(days, self._list_days.search_index(), self._resolve_condition)
        self._scheduler.refresh_in_background(self._due_day_pages())
        return self._window

    def near_misses(self, feed: Feed) -> tuple[NearMiss, ...]:
        """Return papers of the window that the feed just misses, and what would bring them in."""
        query = parse_feed_query(feed)
        if query is None:
            return ()
        window = self.window()
        tree = window.resolve(query)
        return find_near_misses(feed.query, tree, window.search(query), window.index)

    def count_older(self, query: str) -> int | None:
        """Return how many papers beyond the window a stored search has; None without one."""
        feed = Feed(name="", title="", query=query, sources=("search",))
        if not effective_sources(feed):
            return None
        listing = self.repository.get_listing(Page(Kind.SEARCH, search_terms(feed.query)))
        if listing is None:
            return None
        papers = self._selector.select(feed, [listing], self._resolve_condition).papers
        return sum(self._window.index.get(paper.id) is None for paper in papers)

    def get_failure(self, feed: Feed) -> Failure | None:
        """Return how the feed's own search fails, or upstream as a whole; None while they work."""
        failure = None
        if "search" in effective_sources(feed):
            failure = self.repository.get_failure(Page(Kind.SEARCH, search_terms(feed.query)))
        return failure or self.repository.get_failure(None)

    def warm_up(self) -> None:
        """Open the store, load what it holds and build the index, so that no reader waits."""
        self.repository.open()
        if self.is_ready():
            # The first search builds the index, and loads the grammar and the word families.
            self._list_days.search_index().search(parse_query("paper"))

    def is_ready(self) -> bool:
        """Return whether there is anything to serve; if not, fetch the first lists."""
        if self._list_days.search_index().papers:
            return True
        if self.repository.get_listing(Page(Kind.TRENDING)) is not None:
            return True
        self._scheduler.refresh_in_background(self._due_day_pages())
        return False

    # --- refreshing ------------------------------------------------------------------------

    def newest_day(self) -> Page:
        """Return the page to fetch for the newest list day."""
        return newest_day_page(self._now().date())

    def refresh_page(self, page: Page) -> Listing:
        """Return the page's listing, fetched now whatever is stored.

        Raises:
            UpstreamError: It could not be fetched or parsed.

        """
        return self._scheduler.refresh_and_wait(page, force=True, extra_wait=0)

    def token_was_rejected(self) -> bool:
        """Return whether upstream rejected the Hugging Face token; pages are fetched without it."""
        return self._client.token_was_rejected

    def refresh_stale(self, *feeds: Feed) -> Iterator[tuple[Page, Listing | UpstreamError, int]]:
        """Fetch the stale pages of the feeds; by default of all lists and configured feeds.

        Yields each page with its listing or error, and how many pages are left, as far as that is
        known. Waits for the rate limit as long as it takes.
        """
        tried: set[Page] = set()
        lists = Feed(name="", title="", sources=("daily", "trending", "week", "month"))
        feeds = feeds or (lists, *self.config.feeds.values())
        while due := [page for page in self._due_pages(feeds) if page not in tried]:
            tried.add(due[0])
            result: Listing | UpstreamError
            try:
                result = self._scheduler.refresh_and_wait(
                    due[0], force=False, extra_wait=_BATCH_WAIT
                )
            except UpstreamError as error:
                result = error
            # Without the next day, which is due already.
            days_left = max(0, self._list_days.count_unfetched() - 1)
            yield due[0], result, days_left + len(due) - 1

    def _due_pages(self, feeds: Iterable[Feed]) -> tuple[Page, ...]:
        """Return every page of the feeds that is due."""
        states = (state for feed in feeds for state in self._sources.states(feed))
        return tuple(dict.fromkeys(page for state in states for page in state.due_pages))

    def _due_day_pages(self) -> tuple[Page, ...]:
        return self._sources.state("daily", Feed(name="", title="")).due_pages


def _hash_url(url: str) -> str:
    """Return a name for the URL that does not reveal the key of a private server."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


def _min_ttls(states: Iterable[SourceState]) -> tuple[timedelta, timedelta]:
    """Return how long the most important pages stay fresh, and how long all pages do."""
    ttls = [(state.main_page_ttl, state.min_ttl) for state in states]
    return (
        min((main_page_ttl for main_page_ttl, _ in ttls), default=_MAX_LIFETIME),
        min((min_ttl for _, min_ttl in ttls), default=_MAX_LIFETIME),
    )


def _next_midnight(now: datetime) -> datetime:
    """Return when the window moves on."""
    return datetime.combine(now.date() + timedelta(days=1), time(), UTC)


def _default_limit(feeds: Iterable[Feed], matches: Sequence[Match]) -> int:
    """Return how many papers the feeds have together, if the request does not say."""
    return max(feed.limit or default_limit(matches) for feed in feeds)


def _split_future_matches(
    matches: tuple[Match, ...], now: datetime
) -> tuple[tuple[Match, ...], datetime]:
    """Return the matches that are published already, and when the next one will be.

    A paper is listed from midnight on, and published within the first hour of its list day. No feed
    has a date in the future.
    """
    future = sum(1 for _ in takewhile(lambda match: match.paper.published > now, matches))
    next_at = matches[future - 1].paper.published if future else now + _MAX_LIFETIME
    return matches[future:], next_at
