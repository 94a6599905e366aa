"""Bytes by key in a place, and in memory while the place fails.

::

    an operation ── did it just fail there? ── what waits in memory is written ── it is done
                           │                                   │
                       in memory ──────────── it fails ────────┘

A key names the part of the place that it is in. The place may be a folder (`feedsrv.folder`) or
shared by many machines (`feedsrv.remote`); nothing here or above knows which.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Protocol

from feedsrv.config import Config
from feedsrv.errors import ConfigError
from feedsrv.models import Page
from feedsrv.storage.disk import DiskBackend, UnparsedPages
from feedsrv.storage.repository import Repository


class Backend(Protocol):
    """Where bytes are kept, by part and name, for all processes that share it.

    Every method but `close` and `peek` may raise StoreError.
    """

    @property
    def name(self) -> str:
        """What it is called in messages, without anything secret."""

    @property
    def location(self) -> str:
        """The same for everybody: on what, or in what."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Its parts, the one that matters most first."""

    @property
    def parts_fail_independently(self) -> bool:
        """Whether a part may fail while the others work."""

    @property
    def is_local(self) -> bool:
        """Whether `notice` takes no time, whatever happens."""

    def close(self) -> None:
        """Let go of it."""

    def get(self, part: str, name: str) -> bytes | None:
        """Return the value; None where there is none."""

    def read_only_get(self, part: str, name: str) -> bytes | None:
        """Return what can be had of a value although `get` fails; None for nothing."""

    def set(self, part: str, name: str, value: bytes) -> None:
        """Keep the value."""

    def delete(self, part: str, name: str) -> None:
        """Forget the value."""

    def change(
        self, part: str, name: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        """Replace a value by what is made of it, as one step for all processes; None leaves it."""

    def touch(self, part: str, name: str) -> None:
        """Have the value outlive those of its part that were kept or touched before."""

    def poll_version(self) -> object:
        """Return what is another value after each `tell`, by whichever process."""

    def bump_version(self) -> None:
        """Tell every process that something was kept."""

    def size(self) -> int:
        """Return the bytes that all this takes."""


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
        from feedsrv.remote import RedisBackend  # noqa: PLC0415
    except ModuleNotFoundError as error:
        problem = "store: url: needs a library more: pip install 'feedsrv[redis]'"
        raise ConfigError([problem]) from error
    return RedisBackend(url, f"feedsrv:v{SCHEMA_VERSION}", TTLS)
