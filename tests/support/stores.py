"""Repositories on disk and in Redis, and functions to inspect them."""

import gc
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feedsrv.config import Config, StoreConfig
from feedsrv.models import Page, RequestLog
from feedsrv.storage.backend import Area
from feedsrv.storage.disk import DiskBackend, DiskCache
from feedsrv.storage.last_modified import LastModifiedBucket, hash_url
from feedsrv.storage.repository import Repository, open_repository
from feedsrv.upstream.policy import next_request_at, record_request

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def disk_store(
    folder: Path,
    upstream_url: str,
    *,
    own: Collection[Page] = (),
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: NOON,
    memory_bytes: int = 48_000_000,
) -> Repository:
    config = Config(cache_dir=folder, upstream_url=upstream_url, memory_bytes=memory_bytes)
    return open_repository(config, own, now=now, clock=clock)


def lease_is_free(folder: Path, upstream_url: str) -> bool:
    """Return whether no process has the upstream lease."""
    now = datetime.now(UTC)
    store = disk_store(folder, upstream_url, now=lambda: now)
    try:
        is_free = store.acquire_lease("test", now, timedelta(seconds=12))
        store.release_lease("test")
    finally:
        store.close()
    return is_free


def disk_files(store: Repository, area: str = "durable") -> DiskCache:
    backend = store._records.backend
    assert isinstance(backend, DiskBackend)
    return backend._caches[Area(area)]


def reserve_slot(repository: Repository, now: datetime) -> datetime:
    """Record a request now if the rate limit allows it; return when the next one is allowed."""
    slot = now

    def reserve(request_log: RequestLog) -> RequestLog | None:
        nonlocal slot
        slot = next_request_at(request_log, now, adhoc=False, spacing=timedelta(0))
        return record_request(request_log, now, adhoc=False) if slot <= now else None

    repository.update_request_log(reserve)
    return slot


def redis_store(
    url: str,
    folder: Path,
    upstream_url: str,
    *,
    own: Collection[Page] = (),
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], datetime] = lambda: NOON,
) -> Repository:
    config = Config(cache_dir=folder, upstream_url=upstream_url, store=StoreConfig(url))
    return open_repository(config, own, now=now, clock=clock)


def reconnect(store: Repository) -> None:
    """Make all threads open new database connections, because some settings are per connection."""
    for area in Area:
        files = disk_files(store, area)
        files.close()
        files._cache = None
    gc.collect()  # closes the connections of other threads


def has_last_modified(store: Repository, url: str) -> bool:
    """Return whether the store has a Last-Modified value of the URL."""
    name = hash_url(url)
    bucket = store._records.get(store._bucket_key(name), LastModifiedBucket)
    return bucket is not None and name in bucket.urls
