"""Create a service from the settings."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import random as _random  # noqa: TID251  # the default source of chance
from tempfile import TemporaryDirectory

import msgspec

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.sources import configured_pages
from feedsrv.storage.repository import open_repository
from feedsrv.upstream.client import open_client


def _utc_now() -> datetime:
    """Read the clock; the only place that does."""
    return datetime.now(UTC)  # noqa: TID251  # the default clock


def create_service(
    config: Config,
    *,
    now: Callable[[], datetime] = _utc_now,
    sleep: Callable[[float], object] | None = None,
    chance: Callable[[], float] = _random,
) -> Service:
    """Return a service with the client and the repository that the settings ask for."""
    cleanup = ExitStack()
    if config.demo:  # the sample papers must not get into another store
        directory = cleanup.enter_context(TemporaryDirectory(prefix="feedsrv-demo-"))
        config = msgspec.structs.replace(config, cache_dir=Path(directory))
    client = open_client(config, now)
    repository = open_repository(config, configured_pages(config.feeds.values()), now=now)
    return Service(
        config, client, repository, now=now, sleep=sleep, chance=chance, cleanup=cleanup.close
    )
