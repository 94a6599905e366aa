"""Open the repository in the backend that the settings ask for: on disk, or in Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from feedsrv.config import Config
from feedsrv.errors import ConfigError
from feedsrv.models import Page
from feedsrv.storage.backend import Backend
from feedsrv.storage.disk import DiskBackend, UnparsedPages
from feedsrv.storage.repository import Repository

#: Of what is kept: bump it when a kept listing can no longer be read, or when `feedsrv.words`
#: prepares words in another way. Different ones can be kept beside each other.
SCHEMA_VERSION = 2
#: Bytes on disk: of lists, of the configured feeds' searches, and of all that anybody's keywords
#: can make grow (since when an address answers as it does, and searches), so that these push none
#: of the others out, nor searches the stamps. A day's list takes about 0.1 MB, a search 0.2 MB.
SIZE_LIMITS = {
    "lists": 100_000_000,
    "feeds": 100_000_000,
    "stamps": 50_000_000,
    "searches": 300_000_000,
}
#: Each configured search may take so much, however many there are.
_SEARCH_SIZE_LIMIT = 400_000

_DAY = 86400
#: Seconds for which a value outlives its last use in Redis, which has no parts with a size of their
#: own: told to drop what would end soonest (`volatile-ttl`), it drops the same things first.
TTLS = {
    "lists": 90 * _DAY,
    "feeds": 60 * _DAY,
    "stamps": 30 * _DAY,
    "searches": 7 * _DAY,
}


def open_repository(
    config: Config,
    own: Collection[Page],
    clock: Callable[[], float] = time.monotonic,  # noqa: TID251  # the default clock
) -> Repository:
    """Return the store that the settings ask for.

    Args:
        config: The settings.
        own: The searches of the configured feeds.
        clock: Gives seconds that never go backwards.

    Raises:
        ConfigError: What it takes is not installed.

    """
    reports = UnparsedPages(config.cache_dir / "unreadable")
    return Repository(
        _open_backend(config, own), config.upstream_url, reports, own=own, clock=clock
    )


def _open_backend(config: Config, own: Collection[Page]) -> Backend:
    if config.store.url and not config.demo:
        return _open_redis(config.store.url)
    largest = SIZE_LIMITS | {"feeds": max(SIZE_LIMITS["feeds"], len(own) * _SEARCH_SIZE_LIMIT)}
    return DiskBackend(config.cache_dir / f"v{SCHEMA_VERSION}", largest)


def _open_redis(url: str) -> Backend:
    try:
        # Its library is there only for those who ask for it.
        from feedsrv.storage.redis import RedisBackend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        problem = "store: url: needs a library more: pip install 'feedsrv[redis]'"
        raise ConfigError([problem]) from error
    return RedisBackend(url, f"feedsrv:v{SCHEMA_VERSION}", TTLS)
