"""The place that the settings ask for, and the store in it: the one module that knows which.

By default it is a folder on disk; where many machines are to share one store, it is in Redis.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from feedsrv.config import Config
from feedsrv.errors import ConfigError
from feedsrv.folder import Folder
from feedsrv.paper import Page
from feedsrv.reports import Reports
from feedsrv.store import Store
from feedsrv.vault import Place

#: Of what is kept: bump it when a kept listing can no longer be read, or when `feedsrv.words`
#: prepares words in another way. Different ones can be kept beside each other.
VERSION = 2
#: Bytes on disk: of lists, of the configured feeds' searches, and of all that anybody's keywords
#: can make grow (since when an address answers as it does, and searches), so that these push none
#: of the others out, nor searches the stamps. A day's list takes about 0.1 MB, a search 0.2 MB.
LARGEST = {
    "lists": 100_000_000,
    "feeds": 100_000_000,
    "stamps": 50_000_000,
    "searches": 300_000_000,
}
#: Each configured search may take so much, however many there are.
_LARGEST_SEARCH = 400_000

_DAY = 86400
#: Seconds for which a value outlives its last use in Redis, which has no parts with a size of their
#: own: told to drop what would end soonest (`volatile-ttl`), it drops the same things first.
LASTS = {
    "lists": 90 * _DAY,
    "feeds": 60 * _DAY,
    "stamps": 30 * _DAY,
    "searches": 7 * _DAY,
}


def opened(
    config: Config,
    own: Collection[Page],
    clock: Callable[[], float] = time.monotonic,  # noqa: TID251  # the default clock
) -> Store:
    """Return the store that the settings ask for.

    Args:
        config: The settings.
        own: The searches of the configured feeds.
        clock: Gives seconds that never go backwards.

    Raises:
        ConfigError: What it takes is not installed.

    """
    reports = Reports(config.cache_dir / "unreadable")
    return Store(_place(config, own), config.upstream_url, reports, own=own, clock=clock)


def _place(config: Config, own: Collection[Page]) -> Place:
    if config.store.url and not config.demo:
        return _remote(config.store.url)
    largest = LARGEST | {"feeds": max(LARGEST["feeds"], len(own) * _LARGEST_SEARCH)}
    return Folder(config.cache_dir / f"v{VERSION}", largest)


def _remote(url: str) -> Place:
    try:
        # Its library is there only for those who ask for it.
        from feedsrv.remote import Remote  # noqa: PLC0415
    except ModuleNotFoundError as error:
        problem = "store: url: needs a library more: pip install 'feedsrv[redis]'"
        raise ConfigError([problem]) from error
    return Remote(url, f"feedsrv:v{VERSION}", LASTS)
