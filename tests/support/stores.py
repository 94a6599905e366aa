"""Stores to try, in each of the places that one can be in."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from feedsrv.config import Config, StoreConfig
from feedsrv.models import Page
from feedsrv.storage.backend import open_repository
from feedsrv.storage.disk import DiskBackend, DiskCache
from feedsrv.storage.repository import Repository


def disk_store(
    folder: Path,
    upstream_url: str,
    *,
    own: Collection[Page] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Repository:
    return open_repository(Config(cache_dir=folder, upstream_url=upstream_url), own, clock)


def disk_files(store: Repository, part: str = "lists") -> DiskCache:
    folder = store._vault.backend
    assert isinstance(folder, DiskBackend)
    return folder._files[part]


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
