"""Stores to try, in each of the places that one can be in."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from feedsrv.config import Config, Shared
from feedsrv.files import Files
from feedsrv.folder import Folder
from feedsrv.paper import Page
from feedsrv.place import opened
from feedsrv.store import Store


def on_disk(
    folder: Path,
    upstream_url: str,
    *,
    own: Collection[Page] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Store:
    return opened(Config(cache_dir=folder, upstream_url=upstream_url), own, clock)


def files_of(store: Store, part: str = "lists") -> Files:
    folder = store._vault.place
    assert isinstance(folder, Folder)
    return folder._files[part]


def in_redis(
    url: str,
    folder: Path,
    upstream_url: str,
    *,
    own: Collection[Page] = (),
    clock: Callable[[], float] = time.monotonic,
) -> Store:
    config = Config(cache_dir=folder, upstream_url=upstream_url, store=Shared(url))
    return opened(config, own, clock)
