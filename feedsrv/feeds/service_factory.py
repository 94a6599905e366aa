"""Create a service from the settings."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import random as _random  # noqa: TID251  # the default source of chance
from tempfile import TemporaryDirectory
from threading import Event
from uuid import uuid4

import msgspec

from feedsrv.config import Config
from feedsrv.feeds.artefact_fetcher import ArtefactFetcher
from feedsrv.feeds.client_quota import ClientQuota
from feedsrv.feeds.closed_digests import ClosedDigests
from feedsrv.feeds.first_matches import FirstMatches
from feedsrv.feeds.likes import Likes
from feedsrv.feeds.listing_search import ListingSearcher
from feedsrv.feeds.seed_fetcher import SeedFetcher
from feedsrv.feeds.selection import Selector
from feedsrv.feeds.service import Service
from feedsrv.feeds.source_fetcher import SourceFetcher
from feedsrv.feeds.sources import configured_pages
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.storage.repository import Repository, open_repository
from feedsrv.upstream.artefact_refresh import ArtefactRefresher
from feedsrv.upstream.client import open_client
from feedsrv.upstream.events import EventEmitter
from feedsrv.upstream.failure_tracker import FailureTracker
from feedsrv.upstream.rate_limiter import RateLimiter
from feedsrv.upstream.refresh import Refresher
from feedsrv.upstream.scheduler import Scheduler

#: Reads the clock; nothing else does.
_utc_now: Callable[[], datetime] = partial(datetime.now, UTC)  # noqa: TID251  # the default clock


def create_service(
    config: Config,
    repository: Repository | None = None,
    *,
    now: Callable[[], datetime] = _utc_now,
    sleep: Callable[[float], object] | None = None,
    chance: Callable[[], float] = _random,
) -> Service:
    """Return a service with all its parts.

    Args:
        config: The settings.
        repository: Closed with the service; by default the one that the settings ask for.
        now: The clock (UTC).
        sleep: Waits for a number of seconds; by default until then or until the service is closed.
        chance: Returns a random number from 0 to 1.
    """
    cleanup = ExitStack()
    if config.demo:  # the sample papers must not get into another store
        directory = cleanup.enter_context(TemporaryDirectory(prefix="feedsrv-demo-"))
        config = msgspec.structs.replace(config, cache_dir=Path(directory))
    client = open_client(config, now)
    if repository is None:
        repository = open_repository(config, configured_pages(config.feeds.values()), now=now)
    shutdown = Event()
    sleep = sleep or shutdown.wait
    events = EventEmitter()
    failures = FailureTracker(repository=repository, events=events, now=now, chance=chance)
    rate_limiter = RateLimiter(
        config=config,
        repository=repository,
        owner=f"{os.getpid()}-{uuid4().hex}",
        events=events,
        now=now,
        sleep=sleep,
    )
    refresher = Refresher(
        config=config,
        client=client,
        repository=repository,
        rate_limiter=rate_limiter,
        failures=failures,
        events=events,
        now=now,
    )
    scheduler = Scheduler(
        refresher=refresher,
        failures=failures,
        is_adhoc=repository.is_adhoc,
        due_days=lambda: sources.due_day_pages(),  # noqa: PLW0108  # `sources` is made below
        shutdown=shutdown,
    )
    quota = ClientQuota(0 if config.access_key else config.new_keywords)
    searcher = ListingSearcher()
    list_days = StoredListDays(
        repository=repository, searcher=searcher, history_days=config.history_days, now=now
    )
    sources = SourceFetcher(
        repository=repository,
        failures=failures,
        scheduler=scheduler,
        list_days=list_days,
        quota=quota,
        deadline=config.deadline,
        now=now,
    )
    likes = Likes(repository, list_days)
    seeds = SeedFetcher(
        repository=repository,
        likes=likes,
        failures=failures,
        scheduler=scheduler,
        quota=quota,
        now=now,
    )
    first_matches = FirstMatches(repository, list_days)
    artefact_refresher = ArtefactRefresher(
        client=client,
        repository=repository,
        papers=lambda: artefacts.citable_papers(),  # noqa: PLW0108  # `artefacts` is made below
        rate_limiter=rate_limiter,
        failures=failures,
        now=now,
        chance=chance,
    )
    artefacts = ArtefactFetcher(
        config=config,
        repository=repository,
        refresher=artefact_refresher,
        scheduler=scheduler,
        select=lambda feed: selector.candidate_papers(feed, sources.states(feed)),
        sleep=sleep,
    )
    closed_digests = ClosedDigests(
        config=config, repository=repository, list_days=list_days, quota=quota, now=now
    )
    selector = Selector(
        searcher=searcher,
        list_days=list_days,
        likes=likes,
        seeds=seeds,
        first_matches=first_matches,
        artefacts=artefacts,
        quota=quota,
        now=now,
    )
    return Service(
        config=config,
        client=client,
        repository=repository,
        now=now,
        events=events,
        scheduler=scheduler,
        list_days=list_days,
        sources=sources,
        seeds=seeds,
        searcher=searcher,
        selector=selector,
        artefacts=artefacts,
        closed_digests=closed_digests,
        cleanup=cleanup.close,
    )
