"""A place shared by many machines: Redis, or Valkey, which speaks the same.

All of redis-py's names are here, and this module is imported only where the settings ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

from redis import Redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as LateError
from redis.retry import Retry

from feedsrv.errors import StoreError

#: Seconds to wait for a connection and for each answer. It is near, or of no use: while it hangs,
#: one thread waits so long, every ten seconds (`feedsrv.vault`).
_TIMEOUT = 0.5
#: Seconds for which the note that something changed is kept: as long as anything that it is about.
_VERSION_TTL = 400 * 86400


class RedisBackend:
    """Bytes by part and name, in Redis. Safe for threads, processes and machines.

    Every method but `close` and `peek` raises StoreError where Redis cannot be used.

    Args:
        url: The address, which may hold a password.
        prefix: What all names begin with, so that others' are not touched.
        lasts: Seconds for which values of each part outlive their last use, the part that matters
            most first.

    """

    location = "in Redis"
    parts_fail_independently = False
    is_local = False

    def __init__(self, url: str, prefix: str, lasts: Mapping[str, int]) -> None:
        self.name = _redacted_url(url)
        self.parts = tuple(lasts)
        self._ttls = dict(lasts)
        self._prefix = prefix
        # A connection that Redis closed meanwhile, by being restarted, shows only when it is used:
        # it is tried again at once, with another. What hangs is not.
        once_more = Retry(NoBackoff(), 1, supported_errors=(LostError,))
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=once_more
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    def get(self, part: str, name: str) -> bytes | None:
        """Return the value; None where there is none."""
        with self._translate_errors():
            return _as_bytes(self._redis.getex(self._key(part, name), ex=self._ttls[part]))

    def read_only_get(self, part: str, name: str) -> bytes | None:  # noqa: ARG002  # others can do it
        """Return nothing: where Redis fails, nothing of it can be had."""
        return None

    def set(self, part: str, name: str, value: bytes) -> None:
        """Keep the value."""
        with self._translate_errors():
            self._redis.set(self._key(part, name), value, ex=self._ttls[part])

    def delete(self, part: str, name: str) -> None:
        """Forget the value."""
        with self._translate_errors():
            self._redis.delete(self._key(part, name))

    def change(
        self, part: str, name: str, change: Callable[[bytes | None], bytes | None]
    ) -> bytes | None:
        """Replace a value by what is made of it, as one step for all machines; None leaves it."""
        key = self._key(part, name)
        value: bytes | None = None

        def work(pipe: Pipeline) -> None:
            """Do it, again where somebody else changed the value meanwhile."""
            nonlocal value
            value = change(_as_bytes(pipe.get(key)))
            pipe.multi()
            if value is not None:
                pipe.set(key, value, ex=self._ttls[part])

        with self._translate_errors():
            self._redis.transaction(work, key)
        return value

    def touch(self, part: str, name: str) -> None:
        """Have the value outlive those of its part that were kept or touched before."""
        with self._translate_errors():
            self._redis.expire(self._key(part, name), self._ttls[part])

    def poll_version(self) -> object:
        """Return what is another value after each `tell`, by whichever process."""
        with self._translate_errors():
            return self._redis.get(f"{self._prefix}:changes")

    def bump_version(self) -> None:
        """Tell every process that something was kept."""
        # By chance, not a number that rises: one restarted empty would give the same ones again.
        with self._translate_errors():
            self._redis.set(f"{self._prefix}:changes", uuid4().hex, ex=_VERSION_TTL)

    def size(self) -> int:
        """Return the bytes that Redis takes, with whatever else is in it."""
        with self._translate_errors():
            return int(self._redis.info("memory")["used_memory"])

    def _key(self, part: str, name: str) -> str:
        return f"{self._prefix}:{part}:{name}"

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Have what goes wrong told as ours."""
        try:
            yield
        except (RedisError, OSError) as error:
            raise StoreError(self.name, _failure_reason(error)) from error


def _as_bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _failure_reason(error: Exception) -> str:
    """Return why it failed, in words that do not name the address: anybody may read them."""
    if isinstance(error, LateError):
        return f"no answer within {_TIMEOUT:g} seconds"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    if cause is not None:
        return cause.strerror or "no connection"
    return str(error) or type(error).__name__


def _redacted_url(url: str) -> str:
    """Return the address without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
