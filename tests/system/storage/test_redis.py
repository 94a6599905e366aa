"""Redis faults: stores serve from memory, log one line, and rewrite everything."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from feedsrv.config import Config, StoreConfig, load_config
from feedsrv.errors import ConfigError, StoreError
from feedsrv.models import Failure, Kind, Listing, Page
from feedsrv.storage.repository import Repository, open_repository
from tests.support.paths import ROOT
from tests.support.redis_server import PASSWORD, RedisServer, run_redis
from tests.support.stores import has_last_modified, redis_store, reserve_slot
from tests.support.waiting import wait_until

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAYS = [Page(Kind.DAY, f"2026-11-{number}") for number in (16, 17, 18, 19, 20)]
FOG, SNOW = Page(Kind.SEARCH, "fog"), Page(Kind.SEARCH, "snow")
UPSTREAM = "https://huggingface.co"
LENGTH = timedelta(seconds=12)

OpenStore = Callable[[], Repository]


def make_listing(page: Page, *, seconds: int = 0) -> Listing:
    return Listing(page=page, papers=(), fetched_at=NOON + timedelta(seconds=seconds))


def has_all_listings(store: Repository) -> bool:
    return all(store.get_listing(page) for page in DAYS)


def has_listing(store: Repository, page: Page) -> bool:
    return store.get_listing(page) is not None


class ShiftedMonotonicClock:
    """A monotonic clock in seconds that can be set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def seconds() -> ShiftedMonotonicClock:
    return ShiftedMonotonicClock()


@pytest.fixture
def open_store(
    redis: RedisServer, tmp_path: Path, seconds: ShiftedMonotonicClock
) -> Iterator[OpenStore]:
    stores: list[Repository] = []

    def open_one() -> Repository:
        folder = tmp_path / str(len(stores))
        stores.append(redis_store(redis.url, folder, UPSTREAM, own=[FOG], clock=seconds))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def warning_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_stores_serve_from_memory_while_redis_is_down_and_merge_afterwards(
    redis: RedisServer,
    open_store: OpenStore,
    seconds: ShiftedMonotonicClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store_a, store_b = open_store(), open_store()
    for page in DAYS:
        store_a.save_listing(make_listing(page), page)
        wait_until(partial(has_listing, store_b, page))
    first = store_a.last_modified("http://a/", "x", NOON)
    assert store_b.last_modified("http://a/", "x", NOON) == first
    redis.stop()
    for store in (store_a, store_b):
        assert [store.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]
        assert store.last_modified("http://a/", "x", NOON + LENGTH) == first
        assert has_last_modified(store, "http://a/")
    store_a.save_listing(make_listing(DAYS[0], seconds=1), DAYS[0])
    store_b.save_listing(make_listing(DAYS[0], seconds=2), DAYS[0])
    store_b.save_listing(make_listing(DAYS[1], seconds=2), DAYS[1])
    assert store_a.get_listing(DAYS[0]) == make_listing(DAYS[0], seconds=1)
    assert store_a.acquire_lease("one", NOON, LENGTH)
    assert reserve_slot(store_a, NOON) == NOON
    failure = store_a.failure_state(NOON)
    assert failure is not None
    assert len(warning_messages(caplog)) == 2, "each says it once"
    redis.start()
    seconds.ahead += 11
    newest = make_listing(DAYS[0], seconds=2)
    # Reading is enough to reconnect.
    wait_until(lambda: store_a.get_listing(DAYS[0]) == store_b.get_listing(DAYS[0]) == newest)
    wait_until(
        lambda: (
            store_a.get_listing(DAYS[1])
            == store_b.get_listing(DAYS[1])
            == make_listing(DAYS[1], seconds=2)
        )
    )
    wait_until(lambda: store_a.failure_state(NOON) is None and store_b.failure_state(NOON) is None)
    assert [store_a.get_listing(page) for page in DAYS[2:]] == [
        make_listing(page) for page in DAYS[2:]
    ]
    assert store_a.last_modified("http://a/", "x", NOON + LENGTH) == first
    wait_until(lambda: all(store._records._is_synchronized for store in (store_a, store_b)))
    assert len(store_b.get_request_log().times) == 1
    assert not store_b.acquire_lease("other", NOON, LENGTH)
    assert caplog.text.count("is available again") == 2
    assert PASSWORD not in caplog.text


def test_the_later_write_wins_in_any_order_of_reconnection(
    redis: RedisServer, open_store: OpenStore, seconds: ShiftedMonotonicClock
) -> None:
    store_a, store_b = open_store(), open_store()
    redis.stop()
    early, late = (
        Failure(reason="status 503", count=1, at=at, retry_at=at, since=NOON)
        for at in (NOON, NOON + LENGTH)
    )
    store_a.save_failure(DAYS[0], early)
    store_b.save_failure(DAYS[0], late)
    redis.start()
    seconds.ahead += 11
    for store in (store_b, store_a):
        wait_until(partial(is_recovered, store))
    wait_until(lambda: store_a.get_failure(DAYS[0]) == store_b.get_failure(DAYS[0]) == late)


def is_recovered(store: Repository) -> bool:
    return store.failure_state(NOON) is None and store._records._is_synchronized


def test_served_values_are_unchanged_after_redis_restarts_empty(
    redis: RedisServer, open_store: OpenStore
) -> None:
    store_a, store_b = open_store(), open_store()
    for page in DAYS:
        store_a.save_listing(make_listing(page), page)
        wait_until(partial(has_listing, store_b, page))
    dates = [
        [store.last_modified(f"http://a/{number}", "x", NOON) for number in range(20)]
        for store in (store_a, store_b)
    ]
    for _ in range(60):
        assert reserve_slot(store_a, NOON) == NOON
    redis.stop()
    redis.start()
    later = NOON + timedelta(hours=1)
    for store in (store_b, store_a):
        found = [store.last_modified(f"http://a/{number}", "x", later) for number in range(20)]
        assert found == dates[0] == dates[1]
        wait_until(partial(has_all_listings, store))
    wait_until(lambda: len(store_a.get_request_log().times) == 60)
    assert reserve_slot(store_a, NOON) == NOON + timedelta(minutes=5)
    assert len(store_a.get_request_log().times) == 60
    third = open_store()
    wait_until(
        lambda: [third.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]
    )
    assert third.last_modified("http://a/0", "x", later) == dates[0][0]


def test_a_change_after_a_restart_has_a_later_date_than_the_served_one(
    redis: RedisServer, open_store: OpenStore
) -> None:
    store = open_store()
    first = store.last_modified("http://a/", "x", NOON)
    redis.stop()
    redis.start()
    assert first == NOON
    assert store.last_modified("http://a/", "y", NOON) == NOON + timedelta(seconds=1)


def test_no_request_waits_for_a_redis_that_hangs(
    redis: RedisServer, open_store: OpenStore, seconds: ShiftedMonotonicClock
) -> None:
    store = open_store()
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    assert redis.process is not None
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: store.failure_state(NOON) is not None)  # the poll detects it
        durations: list[float] = []

        def read() -> None:
            began = time.monotonic()
            for _ in range(20):
                store.version()
                store.save_listing(make_listing(DAYS[1]), DAYS[1])
                assert store.get_listing(DAYS[0]) == make_listing(DAYS[0])
                assert store.get_listing(DAYS[1]) == make_listing(DAYS[1])
                store.last_modified("http://a/", "x", NOON)
            durations.append(time.monotonic() - began)

        seconds.ahead += 11  # a background thread retries
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(durations) < 0.5
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    seconds.ahead += 11
    wait_until(partial(is_recovered, store))
    assert open_store().get_listing(DAYS[1]) == make_listing(DAYS[1])


@pytest.mark.serial
def test_a_slow_redis_delays_no_request(redis: RedisServer, tmp_path: Path) -> None:
    with delay_replies(redis.port, seconds=0.1) as port:
        url = redis.url.replace(str(redis.port), str(port))
        first = redis_store(redis.url, tmp_path / "first", UPSTREAM)
        for page in DAYS:
            first.save_listing(make_listing(page), page)
        began = time.monotonic()
        store = redis_store(url, tmp_path / "second", UPSTREAM)
        store.open()
        assert time.monotonic() - began < 1, "the server listens"
        wait_until(lambda: store._records._is_loaded)
        began = time.monotonic()
        for _ in range(50):
            assert all(store.get_listing(page) for page in DAYS)
            assert store.get_listing(Page(Kind.DAY, "2026-11-23")) is None
            assert store.get_failure(DAYS[0]) is None
            store.version()
        assert time.monotonic() - began < 0.1
        newer = make_listing(DAYS[0], seconds=5)
        first.save_listing(newer, DAYS[0])
        began = time.monotonic()
        wait_until(lambda: store.get_listing(DAYS[0]) == newer)
        assert time.monotonic() - began < 1.5
        assert store.failure_state(NOON) is None
        store.close()
        first.close()


@contextmanager
def delay_replies(port: int, *, seconds: float) -> Iterator[int]:
    """Forward connections to the port and delay each reply; yield the port of the proxy."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", port)

        async def copy(
            source: asyncio.StreamReader, target: asyncio.StreamWriter, wait: float
        ) -> None:
            while data := await source.read(1_000_000):
                await asyncio.sleep(wait)
                target.write(data)
            target.close()

        with suppress(OSError):
            await asyncio.gather(
                copy(reader, upstream_writer, 0), copy(upstream_reader, writer, seconds)
            )

    async def serve() -> None:
        server = await asyncio.start_server(forward, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        started.set()
        while not stopped.is_set():  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.02)
        server.close()

    ports: list[int] = []
    started, stopped = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield ports[0]
    finally:
        stopped.set()
        thread.join()


def test_a_store_reads_a_read_only_replica_and_sees_its_changes(
    redis: RedisServer,
    tmp_path: Path,
    seconds: ShiftedMonotonicClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    primary = redis_store(redis.url, tmp_path / "primary", UPSTREAM)
    primary.save_listing(make_listing(DAYS[0]), DAYS[0])
    with run_redis(tmp_path) as second:
        with second.client() as client:
            client.config_set("masterauth", PASSWORD)
            client.replicaof("127.0.0.1", redis.port)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up")
        store = redis_store(second.url, tmp_path / "replica", UPSTREAM, clock=seconds)
        assert store.get_listing(DAYS[0]) == make_listing(DAYS[0])
        store.save_listing(make_listing(DAYS[1]), DAYS[1])
        assert store.get_listing(DAYS[1]) == make_listing(DAYS[1])
        primary.save_listing(make_listing(DAYS[2]), DAYS[2])
        wait_until(lambda: store.get_listing(DAYS[2]) == make_listing(DAYS[2]))
        failure = store.failure_state(NOON)
        assert failure is not None
        assert failure.reason == "Redis is a read-only replica"
        (line,) = warning_messages(caplog)
        assert UPSTREAM not in line
        store.close()
    primary.close()


def test_stored_listings_are_read_while_redis_is_full(
    redis: RedisServer,
    open_store: OpenStore,
    seconds: ShiftedMonotonicClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store_a, store_b = open_store(), open_store()
    store_a.save_listing(make_listing(DAYS[0]), DAYS[0])
    wait_until(partial(has_listing, store_b, DAYS[0]))
    with redis.client() as client:
        client.config_set("maxmemory", 1)
    store_a.save_listing(make_listing(DAYS[1]), DAYS[1])
    assert store_a.get_listing(DAYS[1]) == make_listing(DAYS[1])
    assert store_b.get_listing(DAYS[0]) == make_listing(DAYS[0])
    (line,) = warning_messages(caplog)
    assert "maxmemory" in line
    assert UPSTREAM not in line
    with redis.client() as client:
        client.config_set("maxmemory", 0)
    seconds.ahead += 11
    store_a.save_listing(make_listing(DAYS[2]), DAYS[2])
    wait_until(lambda: store_b.get_listing(DAYS[1]) == make_listing(DAYS[1]))
    assert store_a.failure_state(NOON) is None


def test_a_store_opened_without_redis_connects_later(
    redis: RedisServer, open_store: OpenStore, seconds: ShiftedMonotonicClock
) -> None:
    redis.stop()
    store = open_store()
    assert store.get_listing(DAYS[0]) is None
    assert store.size() == 0
    with pytest.raises(StoreError) as caught:
        store.check()
    assert f"redis://127.0.0.1:{redis.port}/0" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    redis.start()
    seconds.ahead += 11
    wait_until(partial(is_recovered, store))
    assert open_store().get_listing(DAYS[0]) == make_listing(DAYS[0])


def test_searches_expire_first_and_permanent_values_never(
    redis: RedisServer, open_store: OpenStore
) -> None:
    store = open_store()
    failure = Failure(reason="x", count=1, at=NOON, retry_at=NOON, since=NOON)
    for page in (DAYS[0], FOG, SNOW):
        store.save_listing(make_listing(page), page)
        store.save_failure(page, failure)
    store.acquire_lease("me", NOON, LENGTH)
    reserve_slot(store, NOON)
    store.last_modified("http://a/", "x", NOON)
    store.permanent_values("failures", Failure).set("1", failure)
    with redis.client() as client:
        ttls = {name: client.ttl(name) for name in redis.all_keys() if "changes" not in name}
        durable = [ttls[name] for name in ttls if name.startswith("feedsrv:v3:durable:")]
        evictable = [ttls[name] for name in ttls if name.startswith("feedsrv:v3:evictable:")]
        (permanent,) = [ttls[name] for name in ttls if name.startswith("feedsrv:permanent:")]
        assert len(durable) + len(evictable) + 1 == len(ttls)
        assert permanent == -1
        assert min(durable) > max(evictable) > 0
        name = f"feedsrv:v3:evictable:{UPSTREAM} listing {SNOW}"
        client.expire(name, 60)
        assert open_store().get_listing(SNOW)
        wait_until(lambda: client.ttl(name) > 60)


def test_check_reports_the_redis_url_and_whether_it_works(
    redis: RedisServer, tmp_path: Path
) -> None:
    def run_check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "feedsrv", "check"],
            env=os.environ
            | {
                "FEEDSRV_STORE_URL": redis.url,
                "FEEDSRV_CACHE_DIR": str(tmp_path / "folder"),
                "FEEDSRV_UPSTREAM_URL": "http://127.0.0.1:9",
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert f"store      OK, redis://127.0.0.1:{redis.port}/0\n" in run_check().stdout
    redis.stop()
    result = run_check()
    assert "store      FAILED" in result.stdout
    assert result.returncode == 1
    assert PASSWORD not in result.stdout + result.stderr


def test_a_wrong_password_is_logged_once_and_feeds_are_served(
    redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = redis_store(redis.url.replace(PASSWORD, "wrong"), tmp_path, UPSTREAM)
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    assert store.get_listing(DAYS[0]) == make_listing(DAYS[0])
    store.close()
    (line,) = warning_messages(caplog)
    assert "password" in line
    assert "wrong" not in line


def test_a_store_table_without_a_url_uses_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "feedsrv.toml"
    file.write_text("[store]\n")
    assert load_config(file, {}) == load_config(None, {"FEEDSRV_CONFIG": str(file)})
    assert load_config(file, {}).store == StoreConfig()


# --- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example.org",
        "redis://:secret@redis.example.org:6379/3",
        "rediss://feedsrv:a%2Fb@[::1]:6380/0?ssl_ca_certs=/dev/null",
        "unix:///run/redis/redis.sock",
    ],
)
def test_the_redis_url_is_read_from_the_file_or_the_environment(url: str, tmp_path: Path) -> None:
    file = tmp_path / "feedsrv.toml"
    file.write_text(f'[store]\nurl = "{url}"\n')
    assert load_config(file, {}).store == StoreConfig(url)
    file.write_text('[store]\nurl = "redis://elsewhere"\n')
    assert load_config(file, {"FEEDSRV_STORE_URL": url}).store == StoreConfig(url)
    open_repository(
        Config(store=StoreConfig(url), cache_dir=tmp_path), (), now=lambda: NOON
    ).close()


@pytest.mark.parametrize(
    "url",
    [
        "redis.example.org:6379",
        "http://redis.example.org",
        "redis://",
        "redis://:sec/ret@redis.example.org",
        "redis://:secret@redis.example.org:port",
        "redis://:secret@redis.example.org:0",
        "redis://:secret@redis.example.org:6379/papers",
        "redis://:secret@redis.example.org/0?socket_timeout=9",
        "redis://:secret#1@redis.example.org",
        "unix://run/redis.sock",
        "redis://[::1",
    ],
)
def test_an_invalid_url_is_rejected_with_an_example_and_not_repeated(
    url: str, tmp_path: Path
) -> None:
    file = tmp_path / "feedsrv.toml"
    file.write_text(f'[store]\nurl = "{url}"\n')
    for path, environ in ((file, {}), (None, {"FEEDSRV_STORE_URL": url})):
        with pytest.raises(ConfigError) as caught:
            load_config(path, environ)
        assert "expected a URL such as redis://" in str(caught.value)
        assert "sec" not in str(caught.value)


@pytest.mark.parametrize("table", ['store = "x"', "[store]\nurl = 3", '[store]\nurls = "secret"'])
def test_an_invalid_store_table_is_rejected(table: str, tmp_path: Path) -> None:
    file = tmp_path / "feedsrv.toml"
    file.write_text(table)
    with pytest.raises(ConfigError, match="store") as caught:
        load_config(file, {})
    assert "secret" not in str(caught.value)


def test_without_the_extra_the_error_has_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "feedsrv.storage.redis", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'feedsrv\[redis\]'"):
        open_repository(Config(store=StoreConfig("redis://localhost")), (), now=lambda: NOON)


def test_without_the_setting_the_redis_library_is_not_imported(tmp_path: Path) -> None:
    code = "import sys, feedsrv.cli; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_demo_does_not_connect_to_redis(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        config = Config(store=StoreConfig(url), cache_dir=tmp_path, demo=True)
        store = open_repository(config, (), now=lambda: NOON)
        store.save_listing(make_listing(DAYS[0]), DAYS[0])
        assert store.location == "on disk"
        store.close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
