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

from __future__ import annotations

import hashlib
import os
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from random import random as _random  # noqa: TID251  # the default source of chance
from tempfile import TemporaryDirectory
from threading import BoundedSemaphore, Event
from typing import Self
from uuid import uuid4

import msgspec

from feedsrv import __version__
from feedsrv.config import Config
from feedsrv.errors import (
    NoDataYetError,
    QueryError,
    QuotaExceededError,
    RequestNotSentError,
    UnknownFeedError,
    UpstreamError,
)
from feedsrv.feeds.artefacts import ConfiguredPapers
from feedsrv.feeds.digest import close_periods, listed_periods
from feedsrv.feeds.first_matches import FirstMatches
from feedsrv.feeds.likes import Likes
from feedsrv.feeds.metadata import feed_definition, feed_id, feeds_title
from feedsrv.feeds.selection import DEFAULT_LIMIT, Selector, default_limit, merge_feeds
from feedsrv.feeds.sources import (
    SourceState,
    configured_pages,
    effective_sources,
    search_pages,
    seed_pages,
    source_state,
)
from feedsrv.feeds.window import Window
from feedsrv.models import (
    FIRST_LIST_DAY,
    Digest,
    DigestLog,
    Failure,
    Feed,
    Kind,
    Listing,
    Match,
    Page,
    Paper,
    Period,
    Source,
    StoredDays,
)
from feedsrv.search.artefacts import NO_ARTEFACTS, ArtefactTable
from feedsrv.search.index import Index
from feedsrv.search.near_misses import NearMiss, find_near_misses
from feedsrv.search.parser import parse_feed_queries, parse_feed_query, parse_query
from feedsrv.search.query import (
    HasArtefact,
    Query,
    Undecided,
    has_artefact_condition,
    has_changing_condition,
    iter_likes,
    with_any_artefacts,
)
from feedsrv.search.search_terms import search_terms
from feedsrv.storage.clock_skew import is_future
from feedsrv.storage.repository import Repository, open_repository
from feedsrv.upstream.artefacts import ArtefactRefresher
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.demo import create_demo_upstream, load_sample_papers
from feedsrv.upstream.events import Listener
from feedsrv.upstream.policy import (
    ClientQuota,
    list_days,
    newest_day_page,
    remaining_ttl,
    requests_left,
)
from feedsrv.upstream.refresh import Refresher
from feedsrv.upstream.scheduler import Scheduler

#: Minimum lifetime of a result while a refresh is pending.
_MIN_LIFETIME = timedelta(seconds=1)
_MAX_LIFETIME = timedelta(days=1)
#: How long pages, which show artefacts, and feeds of queries that look for them can be cached.
_ARTEFACTS_LIFETIME = timedelta(minutes=1)
#: Papers that one batch refresh asks about at most, and the longest wait for one, in seconds.
_MAX_BATCH_ARTEFACTS = 20
_MAX_BATCH_PAUSE = 2.0
#: Seconds after which to try again where nothing better is known.
_DEFAULT_RETRY_AFTER = 60
_MAX_RETRY_AFTER = 3600
#: Requests that may wait for the whole deadline at the same time: half of the server's threads, so
#: that a page that hangs leaves the other half to stored feeds. Further requests wait for
#: `_SHORT_WAIT` seconds, enough for a page that does not hang.
_MAX_FULL_WAITS = 16
_SHORT_WAIT = 1.0
#: Papers to compare with that a request waits for: as many as fit into the deadline. Those of a
#: long list are fetched later.
_MAX_AWAITED_SEEDS = 4
#: How long a list day fails before its digest is closed without it.
_UNREADABLE_AFTER = timedelta(days=2)
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
        self._full_waits = BoundedSemaphore(_MAX_FULL_WAITS)
        shutdown = Event()
        self._sleep = sleep or shutdown.wait
        self._refresher = Refresher(
            config,
            client,
            repository,
            owner=f"{os.getpid()}-{uuid4().hex}",
            now=now,
            sleep=self._sleep,
            chance=chance,
        )
        #: The search pages of the configured feeds.
        self.configured_searches = search_pages(config.feeds.values())
        self._scheduler = Scheduler(
            self._refresher, repository.is_adhoc, self._due_day_pages, shutdown
        )
        self._quota = ClientQuota(0 if config.access_key else config.new_keywords)
        self._selector = Selector()
        self._likes = Likes(repository)
        self._first_matches = FirstMatches(repository)
        papers = ConfiguredPapers(config.feeds.values(), self._possible_papers, repository)
        self._artefacts = ArtefactRefresher(
            client, repository, self._refresher, papers.get, now=now, chance=chance
        )
        self._digest_logs = repository.permanent_values("digests", DigestLog)
        #: The window, the version of the store that it was made from, and when.
        self._list_days_cache: tuple[object, datetime, StoredDays] = (None, now(), ())
        self._window = Window((), Index(()), self._decide)
        self._feed_names = sorted(config.feeds)

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
        states = {
            feed: [self._within_quota(state, client) for state in self._source_states(feed)]
            for feed in feeds
        }
        all_states = [state for its_states in states.values() for state in its_states]
        is_stored = not is_preview and self._may_store(feeds, client)
        fetches = self._start_fetches(all_states)
        seed_fetches = self._start_seed_fetches(feeds, client)
        fetches |= seed_fetches
        waited = self._wait_for(fetches.values()) if fetches else 0.0
        now = self._now()
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
        # At midnight the window moves on.
        ttls, lifetimes = [_MAX_LIFETIME], [midnight - now]
        seen_ids: frozenset[str] = frozenset()
        pages: dict[Page, None] = {}
        selected: list[tuple[Feed, tuple[Paper, ...]]] = []
        queries: dict[Feed, tuple[Query, ...]] = {}
        decide = partial(self._decide, is_stored=is_stored)
        for feed in feeds:
            self._check_seeds(feed)
        for feed, its_states in states.items():
            updated = [
                _with_fetched_listing(state, fetches.get(state.main_page), now)
                for state in its_states
            ]
            listings = tuple(listing for state in updated for listing in state.listings)
            if (updated and not listings) or self._lacks_seeds(feed):
                ttls.append(timedelta(0))
                lifetimes.append(timedelta(0))
                continue
            pages |= dict.fromkeys(listing.page for listing in listings)
            selection = self._selector.select(feed, listings, decide)
            queries[feed] = selection.queries
            seen_ids |= selection.searched_ids
            ttls += [state.main_page_ttl for state in updated]
            lifetimes += [state.min_ttl for state in updated]
            papers = selection.papers
            if any(map(has_changing_condition, selection.queries)):
                is_complete = all(state.listings for state in updated)
                is_complete = is_complete and self._knows_artefacts(selection.queries)
                papers = self._date_matches(feed, papers, is_complete, is_stored=is_stored)
            selected.append((feed, papers))
        if not selected:
            quota_errors = [state.quota_error for state in all_states]
            if quota_errors[0] is not None and all(quota_errors):
                raise quota_errors[0]
            main_pages = [state.main_page for state in all_states]
            raise self._no_data_error([*main_pages, *seed_fetches], fetches, waited)
        matches, next_at = _split_future_matches(merge_feeds(selected), now)
        lifetimes += [next_at - now, self._artefacts_lifetime(queries, is_preview=is_preview)]
        size = limit or _default_limit(feeds, matches)
        if page_number is None:
            matches = self._without_hidden_matches(feeds, limit, matches, size)
        offset = ((page_number or 1) - 1) * size
        return FeedResult(
            matches=matches[offset : offset + size],
            queries=queries,
            offset=offset,
            total=len(matches),
            papers_searched=len(seen_ids),
            poll_after=now + min(ttls),
            cacheable_until=now + max(_MIN_LIFETIME, min(lifetimes)),
            pages=tuple(pages),
        )

    def _without_hidden_matches(
        self, feeds: Sequence[Feed], limit: int | None, matches: tuple[Match, ...], size: int
    ) -> tuple[Match, ...]:
        """Return the matches without old ones that newer ones pushed out of the feed before.

        When a paper leaves the window, the next older search hit would take its place, and readers
        would show it as new. Papers of the window always stay.
        """
        start = _start_of_window(self.list_days())
        has_window = any(feed.page is None and "daily" in feed.sources for feed in feeds)
        if not has_window or not matches or matches[-1].paper.published >= start:
            return matches
        limit = limit or max(feed.limit for feed in feeds)
        name = f"{feed_id(map(feed_definition, feeds))} {limit}"
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
        name = feed_id(map(feed_definition, feeds))
        # Read before the papers: a list that arrives meanwhile closes its day the next time.
        days = self.list_days()
        log = self._digest_logs.get(name)
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
            log = self._close_digests(name, feeds, result.matches, days, client)
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

    def _close_digests(
        self,
        name: str,
        feeds: Sequence[Feed],
        matches: Iterable[Match],
        days: StoredDays,
        client: str,
    ) -> DigestLog:
        """Close the periods that are over, unless another process has; return all digests.

        Once served, a digest never changes: the first process that stores it decides.
        """
        period: Period = "day" if feeds[0].digest == "day" else "week"
        periods = listed_periods(days, period, self._unreadable_pages(days))
        title = feeds_title(feeds, demo=self.config.demo)

        def close(stored: DigestLog | None) -> DigestLog | None:
            return close_periods(stored or DigestLog(), matches, periods, title) or stored

        log = self._digest_logs.get(name)
        if close(log) != log and self.repository.failure_state(self._now()) is None:
            with suppress(QuotaExceededError):  # then they come with a later request
                if log is None and client and not self._is_configured(feeds):
                    self._quota.consume(client, self._now())  # they are stored for good
                log = self._digest_logs.update(name, close)
        return log or DigestLog()

    def _unreadable_pages(self, days: StoredDays) -> frozenset[Page]:
        """Return the list days that fail while upstream works, and have for days."""
        fetched_at = max((listing.fetched_at for _, listing in days if listing), default=None)
        failures = ((page, self.repository.get_failure(page)) for page, _ in days)
        return frozenset(
            page
            for page, failure in failures
            if failure is not None
            and fetched_at is not None
            and failure.at > fetched_at
            and failure.at - failure.since > _UNREADABLE_AFTER
        )

    def _is_configured(self, feeds: Iterable[Feed]) -> bool:
        return all(feed.name in self.config.feeds for feed in feeds)

    def _source_states(self, feed: Feed) -> list[SourceState]:
        return [self._source_state(source, feed) for source in effective_sources(feed)]

    def _source_state(self, source: Source, feed: Feed) -> SourceState:
        return source_state(
            source,
            feed,
            now=self._now(),
            days=self.list_days(),
            get_listing=self.repository.get_listing,
            may_fetch=lambda page: self._refresher.blocking_failure(page) is None,
        )

    def _within_quota(self, state: SourceState, client: str) -> SourceState:
        """Charge a new keyword or an old list to the client's quota.

        Where that is used up, return the state without pages to fetch: they come with a later
        request.
        """
        is_new = bool(state.due_pages) and not state.listings
        if not client or not is_new or not self._scheduler.is_new_adhoc(state.main_page):
            return state
        try:
            self._quota.consume(client, self._now())
        except QuotaExceededError as error:
            return msgspec.structs.replace(state, due_pages=(), quota_error=error)
        return state

    def _start_fetches(self, states: Sequence[SourceState]) -> dict[Page, Future[Listing]]:
        """Start to fetch what was never fetched, to be awaited; queue what is stale.

        While upstream hangs, everything is queued: the first response shows that it hangs no more.
        """
        awaited = () if self._refresher.is_hanging() else states
        fetches = {
            state.main_page: self._scheduler.fetch_for_request(state.main_page)
            for state in awaited
            if not state.listings and state.main_page in state.due_pages
        }
        self._scheduler.refresh_in_background(
            page for state in states for page in state.due_pages if page not in fetches
        )
        return fetches

    def _may_store(self, feeds: Iterable[Feed], client: str) -> bool:
        """Return whether what is decided for good about the feeds may be stored.

        It may for feeds that are known. For others the client's quota is charged.
        """
        try:
            for feed in feeds if client else ():
                queries = parse_feed_queries(feed)
                is_known = all(
                    self._likes.is_stored(like) for query in queries for like in iter_likes(query)
                )
                if any(map(has_changing_condition, queries)) and not self._first_matches.is_stored(
                    feed
                ):
                    is_known = False
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
            self._wait_for(self._start_seed_fetches([feed], client).values())
            self._check_seeds(feed)

    def _start_seed_fetches(
        self, feeds: Iterable[Feed], client: str
    ) -> dict[Page, Future[Listing]]:
        """Start to fetch the papers that queries compare others with, where they are unknown."""
        pages = dict.fromkeys(page for feed in feeds for page in seed_pages(feed))
        window = self._window_index() if pages else Index(())
        missing = [
            page
            for page in pages
            if self._likes.get_seed(page.key, window) is None
            and self._refresher.blocking_failure(page) is None
        ]
        for page in missing if client else ():
            if self._scheduler.is_new_adhoc(page):
                self._quota.consume(client, self._now())
        awaited, others = missing[:_MAX_AWAITED_SEEDS], missing[_MAX_AWAITED_SEEDS:]
        fetches = {page: self._scheduler.fetch_for_request(page) for page in awaited}
        self._scheduler.refresh_in_background(others)
        return fetches

    def _check_seeds(self, feed: Feed) -> None:
        """Raise QueryError if the query names a paper that upstream does not have.

        A library may have papers that upstream does not have.
        """
        for page in seed_pages(feed) if not feed.library else ():
            failure = self.repository.get_failure(page)
            if failure is not None and failure.is_not_found:
                reason = f"Hugging Face has no paper {page.key}"
                text = feed.query if page.key in feed.query else feed.narrowed_by
                raise QueryError(text, max(0, text.find(page.key)), reason)

    def _lacks_seeds(self, feed: Feed) -> bool:
        """Return whether a part of the feed's query has no paper to compare others with."""
        likes = [like for query in parse_feed_queries(feed) for like in iter_likes(query)]
        window = self._window_index() if likes else Index(())
        return any(
            all(self._likes.get_seed(each, window) is None for each in like.ids) for like in likes
        )

    def _decide(
        self, part: Undecided, papers: Iterable[Paper], *, is_stored: bool = False
    ) -> Undecided:
        if isinstance(part, HasArtefact):
            return msgspec.structs.replace(part, table=self.artefacts())
        return self._likes.decide(
            part,
            papers,
            self._window_index(),
            is_complete=self._is_window_complete(),
            is_stored=is_stored,
        )

    def _knows_artefacts(self, queries: Iterable[Query]) -> bool:
        """Return whether a paper that begins to match does so because artefacts are new."""
        if not any(map(has_artefact_condition, queries)):
            return True
        return self._is_window_complete() and self._artefacts.is_complete()

    def _artefacts_lifetime(
        self, queries: Mapping[Feed, Iterable[Query]], *, is_preview: bool
    ) -> timedelta:
        """Return for how long a result can be cached: artefacts change while listings stay."""
        depends = is_preview or any(map(has_artefact_condition, chain(*queries.values())))
        return _ARTEFACTS_LIFETIME if depends and self.config.linked_artefacts else _MAX_LIFETIME

    def _date_matches(
        self, feed: Feed, papers: Sequence[Paper], is_complete: bool, *, is_stored: bool
    ) -> tuple[Paper, ...]:
        """Return the papers with the dates of their first match."""
        start = _start_of_window(self.list_days())
        return self._first_matches.date_matches(
            feed,
            papers,
            self._now(),
            window_ids=self._window_index().ids,
            window_start=start if is_complete and self._is_window_complete() else None,
            is_stored=is_stored,
        )

    def _is_window_complete(self) -> bool:
        return all(listing is not None for _, listing in self.list_days())

    def _wait_for(self, fetches: Iterable[Future[Listing]]) -> float:
        """Wait until all fetches are done; return for how many seconds at most that was."""
        may_wait = self._full_waits.acquire(blocking=False)
        seconds = self.config.deadline if may_wait else min(_SHORT_WAIT, self.config.deadline)
        try:
            wait(fetches, timeout=seconds)
        finally:
            if may_wait:
                self._full_waits.release()
        return seconds

    def _no_data_error(
        self, pages: Sequence[Page], fetches: Mapping[Page, Future[Listing]], waited: float
    ) -> NoDataYetError:
        """Return why there is nothing to serve, and when to try again."""
        done = (fetch for fetch in fetches.values() if fetch.done() and not fetch.cancelled())
        cause = next((fetch.exception() for fetch in done), None)
        failures = [
            failure for page in pages if (failure := self._refresher.blocking_failure(page))
        ]
        reason, retry_after = f"no response within {waited:g} seconds", float(_DEFAULT_RETRY_AFTER)
        outage = self.repository.get_failure(None)
        if outage is not None and not waited:
            reason = outage.reason
        if failures:
            first = min(failures, key=lambda failure: failure.retry_at)
            reason, retry_after = first.reason, (first.retry_at - self._now()).total_seconds()
        elif isinstance(cause, RequestNotSentError):
            reason, retry_after = str(cause), cause.retry_after
        elif cause is not None:
            reason = "an unexpected error; see the server's log"
        elif not requests_left(self.repository.get_request_log(), self._now()):
            reason = "the request budget is used up"
        has_days = any(listing is not None for _, listing in self.list_days())
        subject = " and ".join(map(str, pages)) if has_days else "nothing"
        seconds = min(max(1, round(retry_after)), _MAX_RETRY_AFTER)
        error = NoDataYetError(reason, seconds, subject)
        error.__cause__ = cause
        return error

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
        """Return the window of list days; the same object until something is stored."""
        now = self._now()
        key = self.repository.version(), now.date()
        cached_key, made_at, days = self._list_days_cache
        if key != cached_key or is_future(made_at, now):
            get_listing = self.repository.get_listing
            days = tuple(list_days(now.date(), self.config.history_days, get_listing))
            self._list_days_cache = key, now, days
        return days

    def window(self) -> Window:
        """Return the stored papers of the window, and refresh it in the background."""
        days = self.list_days()
        if not self._window.is_current(days):
            listings = (listing for _, listing in days if listing is not None)
            self._window = Window(days, self._selector.index_for(listings), self._decide)
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
        papers = self._selector.select(feed, [listing], self._decide).papers
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
            self._window_index().search(parse_query("paper"))

    def is_ready(self) -> bool:
        """Return whether there is anything to serve; if not, fetch the first lists."""
        if self._window_index().papers:
            return True
        if self.repository.get_listing(Page(Kind.TRENDING)) is not None:
            return True
        self._scheduler.refresh_in_background(self._due_day_pages())
        return False

    def _window_index(self) -> Index:
        listings = (listing for _, listing in self.list_days() if listing is not None)
        return self._selector.index_for(listings)

    # --- artefacts -------------------------------------------------------------------------

    def artefacts(self) -> ArtefactTable:
        """Return what is known of models, datasets and Spaces that cite papers."""
        return self.repository.get_artefacts() if self.config.linked_artefacts else NO_ARTEFACTS

    def ask_for_artefacts_when_idle(self) -> None:
        """Ask upstream about papers of the configured feeds whenever nothing else is fetched."""
        if self.config.linked_artefacts:
            self._scheduler.run_when_idle(self._artefacts.refresh_next)

    def refresh_artefacts(self) -> None:
        """Ask upstream about the next papers of the configured feeds, as many as is fair."""
        for _ in range(_MAX_BATCH_ARTEFACTS if self.config.linked_artefacts else 0):
            seconds = self._scheduler.call(self._artefacts.refresh_next)
            if (
                seconds is None
                or seconds > max(self.config.spacing, _MAX_BATCH_PAUSE)
                or self._sleep(seconds)
            ):
                return

    def _possible_papers(self, feed: Feed) -> tuple[Paper, ...]:
        """Return the stored papers of a feed, and those that artefacts would bring in."""
        listings = (each for state in self._source_states(feed) for each in state.listings)
        return self._selector.select(feed, listings, self._decide, with_any_artefacts).papers

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
            yield due[0], result, self._count_unfetched() + len(due) - 1

    def _due_pages(self, feeds: Iterable[Feed]) -> tuple[Page, ...]:
        """Return every page of the feeds that is due."""
        states = (state for feed in feeds for state in self._source_states(feed))
        return tuple(dict.fromkeys(page for state in states for page in state.due_pages))

    def _count_unfetched(self) -> int:
        """Return how many days of the window were never fetched, the next one aside."""
        return max(0, sum(listing is None for _, listing in self.list_days()) - 1)

    def _due_day_pages(self) -> tuple[Page, ...]:
        return self._source_state("daily", Feed(name="", title="")).due_pages


def _hash_url(url: str) -> str:
    """Return a name for the URL that does not reveal the key of a private server."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


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


def _start_of_window(days: StoredDays) -> datetime:
    """Return the midnight of the oldest list day; of the first one ever if there is no window."""
    page, listing = days[-1] if days else (Page(Kind.DAY, FIRST_LIST_DAY.isoformat()), None)
    key = listing.page.key if listing is not None else page.key
    return datetime.combine(date.fromisoformat(key), time(), UTC)


def _with_fetched_listing(
    state: SourceState, fetch: Future[Listing] | None, now: datetime
) -> SourceState:
    """Return the state with the listing that was awaited, if it arrived."""
    if fetch is None or not fetch.done() or fetch.cancelled() or fetch.exception():
        return state
    listing = fetch.result()
    ttl = remaining_ttl(state.main_page, listing, now)
    return msgspec.structs.replace(state, listings=(listing,), main_page_ttl=ttl, min_ttl=ttl)
