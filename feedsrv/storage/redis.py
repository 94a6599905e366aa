"""Redis backend, for many machines: Redis, or Valkey, which speaks the same protocol.

Every redis-py name is used here alone, and this module is imported only where the settings ask for
it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from feedsrv.errors import StoreError
from feedsrv.storage.backend import Area, StorageKey

#: Seconds to wait for a connection and for each response.
_TIMEOUT = 0.5
_DAY = 86400
#: Seconds after which a value that is neither stored again nor touched expires. Redis has no areas
#: with a size of their own: told to evict what expires soonest (`volatile-ttl`), it evicts ad-hoc
#: searches first and permanent values never.
_TTLS = {Area.PERMANENT: 0, Area.DURABLE: 90 * _DAY, Area.EVICTABLE: 7 * _DAY}
#: The stream of changes.
_CHANGES_KEY = "feedsrv:changes"
#: Entries of that stream. Whoever missed more of them rereads everything.
_MAX_CHANGES = 10_000
#: Values read with one command.
_BATCH = 50
#: What each error is called, by its type or by words in it.
_REASONS: tuple[tuple[type[Exception] | str, str], ...] = (
    (RedisTimeoutError, f"no response within {_TIMEOUT:g} seconds"),
    (AuthenticationError, "Redis does not accept the user or password"),
    (BusyLoadingError, "Redis is loading its data"),
    ("READONLY", "Redis is a read-only replica"),
    ("read only replica", "Redis is a read-only replica"),
    ("maxmemory", "Redis has no memory left (maxmemory)"),
)


class RedisBackend:
    """Bytes by area and name in Redis. Safe for threads, processes and machines.

    Versions of what is stored have names of their own, but for what is permanent.
    """

    location = "in Redis"

    def __init__(self, url: str, version: int) -> None:
        self.name = _redacted_url(url)
        # Processes of all versions share what is permanent.
        self._prefixes = {
            Area.PERMANENT: "feedsrv:permanent:",
            Area.DURABLE: f"feedsrv:v{version}:durable:",
            Area.EVICTABLE: f"feedsrv:v{version}:evictable:",
        }
        self._writer = uuid4().hex[:12]
        # A connection that Redis closed meanwhile, by a restart, shows only when it is used: it is
        # tried again at once, with another. What hangs is not.
        retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=retry
        )
        self._replace = self._redis.register_script(
            files("feedsrv.storage").joinpath("replace.lua").read_text("ascii")
        )
        #: Id of the last change that was seen, empty where there was none; None before the first
        #: look.
        self._last_change: bytes | None = None

    def close(self) -> None:
        self._redis.close()

    def get(self, key: StorageKey) -> bytes | None:
        with self._translate_errors():
            value: Any = self._redis.get(self._key(key))
        return None if value is None else bytes(value)

    def replace(
        self, key: StorageKey, expected: bytes | None, value: bytes | None, *, announce: bool = True
    ) -> bool:
        with self._translate_errors():
            return bool(
                self._replace(
                    keys=[self._key(key), _CHANGES_KEY],
                    args=[
                        expected or b"",
                        value or b"",
                        _TTLS[key.area],
                        self._key(key) if announce else "",
                        self._writer,
                        _MAX_CHANGES,
                    ],
                )
            )

    def scan_names(self, area: Area, prefix: str) -> set[str]:
        start = self._key(StorageKey(area, prefix))
        pattern = "".join(f"[{each}]" if each in "*?[\\" else each for each in start) + "*"
        skip = len(self._prefixes[area])
        with self._translate_errors():
            keys = list(self._redis.scan_iter(pattern, count=5000))
        return {key.decode(errors="replace")[skip:] for key in keys}

    def scan(self, area: Area, prefix: str) -> Iterator[tuple[str, bytes]]:
        names = list(self.scan_names(area, prefix))
        with self._translate_errors():
            for first in range(0, len(names), _BATCH):
                batch = names[first : first + _BATCH]
                values = self._redis.mget([self._key(StorageKey(area, name)) for name in batch])
                for name, value in zip(batch, values, strict=True):
                    if isinstance(value, bytes):
                        yield name, value

    def changes(self) -> frozenset[StorageKey] | None:
        last = self._last_change
        with self._translate_errors():
            entries: Any = (
                self._redis.xrevrange(_CHANGES_KEY, count=1)
                if last is None
                else self._redis.xrange(_CHANGES_KEY, min=last or "-")
            )
        self._last_change = entries[-1][0] if entries else b""
        if last is None:
            return frozenset()
        if last and (not entries or entries[0][0] != last):
            # Redis was restarted empty, or the stream was trimmed: anything may have changed.
            return None
        return frozenset(
            key
            for _, entry in entries[1 if last else 0 :]
            if entry[b"by"] != self._writer.encode() and (key := self._parse(entry[b"name"]))
        )

    def size(self) -> int:
        """Return the bytes that Redis takes, with whatever else is in it."""
        with self._translate_errors():
            return int(self._redis.info("memory")["used_memory"])

    def _key(self, key: StorageKey) -> str:
        return f"{self._prefixes[key.area]}{key.name}"

    def _parse(self, name: bytes) -> StorageKey | None:
        """Return the key of that name; None where another version has it."""
        text = name.decode()
        for area, prefix in self._prefixes.items():
            if text.startswith(prefix):
                return StorageKey(area, text.removeprefix(prefix))
        return None

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise StoreError for whatever fails."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(self.name, _failure_reason(error)) from error


def _failure_reason(error: Exception) -> str:
    """Return why it failed, without URL, key, command or password: `/status` shows it to all."""
    text = str(error)
    for marks, reason in _REASONS:
        if isinstance(error, marks) if isinstance(marks, type) else marks in text:
            return reason
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return cause.strerror or "no connection"
    # The text of an error may quote the command. Its first word is a code.
    code = text.partition(" ")[0]
    return f"Redis replied {code}" if code.isalpha() and code.isupper() else type(error).__name__


def _redacted_url(url: str) -> str:
    """Return the address without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
