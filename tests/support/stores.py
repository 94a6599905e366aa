"""Stores to try, in each of the places that one can be in."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feedsrv.config import Config, StoreConfig
from feedsrv.models import Page, RequestLog
from feedsrv.storage.disk import DiskBackend, DiskCache
from feedsrv.storage.factory import open_repository
from feedsrv.storage.repository import Repository
from feedsrv.upstream.policy import next_slot, record_request


def disk_store(
    folder: Path,
    upstream_url: str,
    *,
    own: Collection[Page] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Repository:
    return open_repository(Config(cache_dir=folder, upstream_url=upstream_url), own, clock)


def lease_is_free(folder: Path, upstream_url: str) -> bool:
    """Return whether no process has the lease on upstream."""
    store = disk_store(folder, upstream_url)
    try:
        is_free = store.acquire_lease("test", datetime.now(UTC), timedelta(seconds=12))
        store.release_lease("test")
    finally:
        store.close()
    return is_free


def disk_files(store: Repository, part: str = "lists") -> DiskCache:
    folder = store._vault.backend
    assert isinstance(folder, DiskBackend)
    return folder._files[part]


def reserve_slot(repository: Repository, now: datetime) -> datetime:
    """Record a request now if the rate limit allows it; return when the next one is allowed."""
    slot = now

    def reserve(request_log: RequestLog) -> RequestLog | None:
        nonlocal slot
        slot = next_slot(request_log, now, adhoc=False, spacing=timedelta(0))
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
) -> Repository:
    config = Config(cache_dir=folder, upstream_url=upstream_url, store=StoreConfig(url))
    return open_repository(config, own, clock)
