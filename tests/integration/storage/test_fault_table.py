"""Storage faults in each backend and their effect on readers, as documented in a table."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Kind, Listing, Page
from feedsrv.storage.repository import Repository
from feedsrv.web.app import create_app
from tests.integration.storage import test_disk as disk_faults
from tests.support.clock import Clock
from tests.support.paths import ROOT
from tests.support.redis_server import PASSWORD, RedisServer
from tests.support.stores import disk_store, reconnect, redis_store
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "reliability.md"
HEADER = "| fault | backend | a stored feed | a new keyword | `/status` | afterwards |"
FEED = "/feeds/causal.atom"

Fault = Callable[[], AbstractContextManager[None]]


# --- faults of Redis: each begins on entering the context and ends on leaving it ------------------


@contextmanager
def stopped(redis: RedisServer) -> Iterator[None]:
    """Redis restarts empty."""
    redis.stop()
    yield
    redis.start()


@contextmanager
def hanging(redis: RedisServer) -> Iterator[None]:
    assert redis.process is not None
    os.kill(redis.process.pid, signal.SIGSTOP)
    yield
    os.kill(redis.process.pid, signal.SIGCONT)


@contextmanager
def emptied(redis: RedisServer) -> Iterator[None]:
    with redis.client() as client:
        client.flushall()
    yield


@contextmanager
def full(redis: RedisServer) -> Iterator[None]:
    with redis.client() as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextmanager
def read_only(redis: RedisServer) -> Iterator[None]:
    with redis.client() as client:
        client.replicaof("127.0.0.1", 1)
        yield
        client.replicaof("NO", "ONE")


@contextmanager
def another_password(redis: RedisServer) -> Iterator[None]:
    with redis.client() as client:
        client.config_set("requirepass", "another")
        client.client_kill_filter(_type="normal", skipme=True)
        yield
        client.config_set("requirepass", PASSWORD)


REDIS_FAULTS = {
    "the server is killed, and comes back empty": stopped,
    "the server hangs": hanging,
    "all keys are deleted": emptied,
    "memory full (`maxmemory`)": full,
    "read-only replica": read_only,
    "another password": another_password,
}
DISK_FAULTS = {
    "directory deleted": disk_faults.deleted,
    "file overwritten": disk_faults.damaged,
    "file damaged behind its header": disk_faults.damaged_inside,
    "file emptied": disk_faults.emptied,
    "another program's database": disk_faults.another_program,
    "a file in place of the directory": disk_faults.file_instead_of_folder,
    "disk full": disk_faults.full,
    "file read-only": disk_faults.read_only,
    "another process holds the lock": disk_faults.locked,
}


@contextmanager
def with_new_connections(
    fault: Callable[[Path], AbstractContextManager[None]], folder: Path, repository: Repository
) -> Iterator[None]:
    """Apply the fault with new connections, because some settings are per connection."""
    reconnect(repository)
    with fault(folder):
        yield
    reconnect(repository)


# --- one row -------------------------------------------------------------------------------------


class Observer:
    """A server on one store, with a client."""

    def __init__(self, service: Service, reopen: Callable[[], Repository]) -> None:
        self._service = service
        self.repository = service.repository
        self._client: FlaskClient = create_app(service).test_client()
        self._reopen = reopen
        self._keywords = 0
        # `row` runs the maintenance of the stopped thread at reproducible times.
        self.repository._records._closing.set()
        self.repository._records._thread.join()
        for _ in service.refresh_stale():
            pass

    def row(self, name: str, backend: str, fault: Fault, pass_time: Callable[[], None]) -> str:
        """Return the table row: responses during the fault, and what is stored after it."""
        repository = self.repository
        self._keywords += 1
        path = f"/papers.atom?q=causal+tide{self._keywords}"
        large = Listing(
            page=Page(Kind.WEEK, f"2027-W{self._keywords:02}"),  # old weeks are evictable
            papers=(),
            fetched_at=self._service.now(),
            skipped=(disk_faults.random_text(200_000),),
        )
        before = self._client.get(FEED)
        assert before.status_code == 200
        with fault():
            repository._records.run_maintenance()
            repository.save_listing(large, large.page)
            during, new = self._client.get(FEED), self._client.get(path)
            wait_until(self._service.scheduler.is_idle)
            failure = repository.failure_state(self._service.now())
        pass_time()
        wait_until(self._is_recovered)
        with closing(self._reopen()) as reopened:
            reopened.open()
            search = Page(Kind.SEARCH, f"causal tide{self._keywords}")
            pages = self._service.newest_day(), search, large.page
            stored = all(reopened.get_listing(page) for page in pages)
        cells = [
            name,
            backend,
            f"{during.status_code}, {'the same' if during.data == before.data else 'other'} bytes",
            str(new.status_code),
            "names the reason" if failure else "works",
            "everything is stored" if stored else "something is lost",
        ]
        return f"| {' | '.join(cells)} |"

    def _is_recovered(self) -> bool:
        records = self.repository._records
        records.run_maintenance()
        return records.failure() is None and records._is_synchronized


@pytest.fixture
def observe(
    config: Config, clock: Clock, tmp_path: Path
) -> Iterator[Callable[[Callable[..., Repository]], tuple[Observer, Callable[[], None]]]]:
    """Return a function that opens a server and returns its observer and a way to pass time."""
    with ExitStack() as stack:

        def open_on(
            open_store: Callable[..., Repository],
        ) -> tuple[Observer, Callable[[], None]]:
            seconds = [0.0]
            repository = open_store(clock=lambda: seconds[0], now=clock)
            service = stack.enter_context(
                closing(create_service(config, repository, now=clock, chance=lambda: 0.5))
            )

            def pass_time() -> None:
                seconds[0] += 11

            return Observer(service, lambda: open_store(now=clock)), pass_time

        yield open_on


def test_the_documented_fault_table_matches_the_observed_behaviour(
    config: Config,
    redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    observe: Callable[[Callable[..., Repository]], tuple[Observer, Callable[[], None]]],
) -> None:
    monkeypatch.setattr("feedsrv.storage.disk_cache._LOCK_TIMEOUT", 0.1)
    rows = [HEADER, "|---|---|---|---|---|---|"]
    folder = tmp_path / "disk"

    def on_disk(**options: object) -> Repository:
        return disk_store(folder, config.upstream_url, **options)  # type: ignore[arg-type]

    observer, pass_time = observe(on_disk)
    for name, disk_fault in DISK_FAULTS.items():
        fault = partial(with_new_connections, disk_fault, folder, observer.repository)
        rows.append(observer.row(name, "disk", fault, pass_time))

    def in_redis(**options: object) -> Repository:
        return redis_store(redis.url, tmp_path / "redis", config.upstream_url, **options)  # type: ignore[arg-type]

    observer, pass_time = observe(in_redis)
    for name, redis_fault in REDIS_FAULTS.items():
        rows.append(observer.row(name, "Redis", partial(redis_fault, redis), pass_time))
    table = "\n".join(rows)
    print(table)
    assert f"\n{table}\n" in PAGE.read_text()
