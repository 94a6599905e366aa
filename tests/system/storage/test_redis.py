"""Faults of Redis: servers go on from memory, log one line, and write everything again."""

from __future__ import annotations

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

Make = Callable[[], Repository]


def make_listing(page: Page, *, seconds: int = 0) -> Listing:
    return Listing(page=page, papers=(), fetched_at=NOON + timedelta(seconds=seconds))


def has_all(store: Repository) -> bool:
    return all(store.get_listing(page) for page in DAYS)


def has(store: Repository, page: Page) -> bool:
    return store.get_listing(page) is not None


class ShiftedMonotonicClock:
    """A clock of seconds that goes on by itself, and can be set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def seconds() -> ShiftedMonotonicClock:
    return ShiftedMonotonicClock()


@pytest.fixture
def make(redis: RedisServer, tmp_path: Path, seconds: ShiftedMonotonicClock) -> Iterator[Make]:
    stores: list[Repository] = []

    def on() -> Repository:
        folder = tmp_path / str(len(stores))
        stores.append(redis_store(redis.url, folder, UPSTREAM, own=[FOG], clock=seconds))
        return stores[-1]

    yield on
    for store in stores:
        store.close()


def warning_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_while_redis_is_gone_each_goes_on_from_memory_and_all_comes_together_again(
    redis: RedisServer,
    make: Make,
    seconds: ShiftedMonotonicClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    one, other = make(), make()
    for page in DAYS:
        one.save_listing(make_listing(page), page)
        wait_until(partial(has, other, page))
    first = one.last_modified("http://a/", "x", NOON)
    assert other.last_modified("http://a/", "x", NOON) == first
    redis.stop()
    for store in (one, other):
        assert [store.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]
        assert store.last_modified("http://a/", "x", NOON + LENGTH) == first
        assert has_last_modified(store, "http://a/")
    one.save_listing(make_listing(DAYS[0], seconds=1), DAYS[0])
    other.save_listing(make_listing(DAYS[0], seconds=2), DAYS[0])
    other.save_listing(make_listing(DAYS[1], seconds=2), DAYS[1])
    assert one.get_listing(DAYS[0]) == make_listing(DAYS[0], seconds=1)
    assert one.acquire_lease("one", NOON, LENGTH)
    assert reserve_slot(one, NOON) == NOON
    trouble = one.failure_state(NOON)
    assert trouble is not None
    assert len(warning_messages(caplog)) == 2, "each says it once"
    redis.start()
    seconds.ahead += 11
    newest = make_listing(DAYS[0], seconds=2)
    # It is enough that somebody reads.
    wait_until(lambda: one.get_listing(DAYS[0]) == other.get_listing(DAYS[0]) == newest)
    wait_until(
        lambda: (
            one.get_listing(DAYS[1])
            == other.get_listing(DAYS[1])
            == make_listing(DAYS[1], seconds=2)
        )
    )
    wait_until(lambda: one.failure_state(NOON) is None and other.failure_state(NOON) is None)
    assert [one.get_listing(page) for page in DAYS[2:]] == [make_listing(page) for page in DAYS[2:]]
    assert one.last_modified("http://a/", "x", NOON + LENGTH) == first
    wait_until(lambda: all(store._records._is_synchronized for store in (one, other)))
    assert len(other.get_request_log().times) == 1
    assert not other.acquire_lease("other", NOON, LENGTH)
    assert caplog.text.count("is available again") == 2
    assert PASSWORD not in caplog.text


def test_what_was_written_later_stands_whoever_comes_back_last(
    redis: RedisServer, make: Make, seconds: ShiftedMonotonicClock
) -> None:
    one, other = make(), make()
    redis.stop()
    early, late = (
        Failure(reason="status 503", count=1, at=at, retry_at=at, since=NOON)
        for at in (NOON, NOON + LENGTH)
    )
    one.save_failure(DAYS[0], early)
    other.save_failure(DAYS[0], late)
    redis.start()
    seconds.ahead += 11
    for store in (other, one):
        wait_until(partial(has_come_back, store))
    wait_until(lambda: one.get_failure(DAYS[0]) == other.get_failure(DAYS[0]) == late)


def has_come_back(store: Repository) -> bool:
    return store.failure_state(NOON) is None and store._records._is_synchronized


def test_what_was_given_out_stays_when_redis_is_restarted_empty(
    redis: RedisServer, make: Make
) -> None:
    one, other = make(), make()
    for page in DAYS:
        one.save_listing(make_listing(page), page)
        wait_until(partial(has, other, page))
    dates = [
        [store.last_modified(f"http://a/{number}", "x", NOON) for number in range(20)]
        for store in (one, other)
    ]
    for _ in range(60):
        assert reserve_slot(one, NOON) == NOON
    redis.stop()
    redis.start()
    later = NOON + timedelta(hours=1)
    for store in (other, one):
        found = [store.last_modified(f"http://a/{number}", "x", later) for number in range(20)]
        assert found == dates[0] == dates[1]
        wait_until(partial(has_all, store))
    wait_until(lambda: len(one.get_request_log().times) == 60)
    assert reserve_slot(one, NOON) == NOON + timedelta(minutes=5)
    assert len(one.get_request_log().times) == 60
    third = make()
    wait_until(
        lambda: [third.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]
    )
    assert third.last_modified("http://a/0", "x", later) == dates[0][0]


def test_a_change_after_a_restart_is_later_than_what_was_given_out(
    redis: RedisServer, make: Make
) -> None:
    store = make()
    first = store.last_modified("http://a/", "x", NOON)
    redis.stop()
    redis.start()
    assert first == NOON
    assert store.last_modified("http://a/", "y", NOON) == NOON + timedelta(seconds=1)


def test_no_request_waits_for_a_redis_that_hangs(
    redis: RedisServer, make: Make, seconds: ShiftedMonotonicClock
) -> None:
    store = make()
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    assert redis.process is not None
    os.kill(redis.process.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: store.failure_state(NOON) is not None)  # the poll finds out
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

        seconds.ahead += 11  # it is tried again, in the background
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(durations) < 0.5
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    seconds.ahead += 11
    wait_until(partial(has_come_back, store))
    assert make().get_listing(DAYS[1]) == make_listing(DAYS[1])


def test_a_redis_that_answers_slowly_makes_no_request_slow(
    redis: RedisServer, tmp_path: Path
) -> None:
    with delayed(redis.port, seconds=0.1) as port:
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
def delayed(port: int, *, seconds: float) -> Iterator[int]:
    """Forward connections to the port, each reply delayed by so many seconds; yield the port."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)

        async def copy(
            source: asyncio.StreamReader, target: asyncio.StreamWriter, wait: float
        ) -> None:
            while data := await source.read(1_000_000):
                await asyncio.sleep(wait)
                target.write(data)
            target.close()

        with suppress(OSError):
            await asyncio.gather(copy(reader, back, 0), copy(there, writer, seconds))

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


def test_a_read_only_replica_is_read_and_its_changes_are_seen(
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


def test_where_redis_is_full_what_it_holds_is_still_read(
    redis: RedisServer, make: Make, seconds: ShiftedMonotonicClock, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = make(), make()
    one.save_listing(make_listing(DAYS[0]), DAYS[0])
    wait_until(partial(has, other, DAYS[0]))
    with redis.client() as client:
        client.config_set("maxmemory", 1)
    one.save_listing(make_listing(DAYS[1]), DAYS[1])
    assert one.get_listing(DAYS[1]) == make_listing(DAYS[1])
    assert other.get_listing(DAYS[0]) == make_listing(DAYS[0])
    (line,) = warning_messages(caplog)
    assert "maxmemory" in line
    assert UPSTREAM not in line
    with redis.client() as client:
        client.config_set("maxmemory", 0)
    seconds.ahead += 11
    one.save_listing(make_listing(DAYS[2]), DAYS[2])
    wait_until(lambda: other.get_listing(DAYS[1]) == make_listing(DAYS[1]))
    assert one.failure_state(NOON) is None


def test_a_server_that_starts_without_redis_finds_it_later(
    redis: RedisServer, make: Make, seconds: ShiftedMonotonicClock
) -> None:
    redis.stop()
    store = make()
    assert store.get_listing(DAYS[0]) is None
    assert store.size() == 0
    with pytest.raises(StoreError) as caught:
        store.check()
    assert f"redis://127.0.0.1:{redis.port}/0" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    redis.start()
    seconds.ahead += 11
    wait_until(partial(has_come_back, store))
    assert make().get_listing(DAYS[0]) == make_listing(DAYS[0])


def test_searches_end_first_and_what_is_permanent_never(redis: RedisServer, make: Make) -> None:
    store = make()
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
        assert make().get_listing(SNOW)
        wait_until(lambda: client.ttl(name) > 60)


def test_the_check_says_which_redis_it_is_and_whether_it_works(
    redis: RedisServer, tmp_path: Path
) -> None:
    def checked() -> subprocess.CompletedProcess[str]:
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

    assert f"store      OK, redis://127.0.0.1:{redis.port}/0\n" in checked().stdout
    redis.stop()
    said = checked()
    assert "store      FAILED" in said.stdout
    assert said.returncode == 1
    assert PASSWORD not in said.stdout + said.stderr


def test_a_wrong_password_is_said_once_and_feeds_go_on(
    redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = redis_store(redis.url.replace(PASSWORD, "wrong"), tmp_path, UPSTREAM)
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    assert store.get_listing(DAYS[0]) == make_listing(DAYS[0])
    store.close()
    (line,) = warning_messages(caplog)
    assert "password" in line
    assert "wrong" not in line


def test_a_table_that_has_no_address_is_the_disk(tmp_path: Path) -> None:
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
def test_an_address_of_a_redis_is_taken_from_the_file_or_the_environment(
    url: str, tmp_path: Path
) -> None:
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
def test_another_address_is_refused_with_how_to_mend_it_and_is_not_said_back(
    url: str, tmp_path: Path
) -> None:
    file = tmp_path / "feedsrv.toml"
    file.write_text(f'[store]\nurl = "{url}"\n')
    for given, environ in ((file, {}), (None, {"FEEDSRV_STORE_URL": url})):
        with pytest.raises(ConfigError) as caught:
            load_config(given, environ)
        assert "expected a URL such as redis://" in str(caught.value)
        assert "sec" not in str(caught.value)


@pytest.mark.parametrize("table", ['store = "x"', "[store]\nurl = 3", '[store]\nurls = "secret"'])
def test_a_table_of_another_shape_is_refused(table: str, tmp_path: Path) -> None:
    file = tmp_path / "feedsrv.toml"
    file.write_text(table)
    with pytest.raises(ConfigError, match="store") as caught:
        load_config(file, {})
    assert "secret" not in str(caught.value)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "feedsrv.storage.redis", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'feedsrv\[redis\]'"):
        open_repository(Config(store=StoreConfig("redis://localhost")), (), now=lambda: NOON)


def test_without_the_setting_nothing_of_the_library_is_imported(tmp_path: Path) -> None:
    code = "import sys, feedsrv.cli; sys.exit('redis' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_demo_leaves_redis_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"redis://127.0.0.1:{nobody.getsockname()[1]}"
        config = Config(store=StoreConfig(url), cache_dir=tmp_path, demo=True)
        store = open_repository(config, (), now=lambda: NOON)
        store.save_listing(make_listing(DAYS[0]), DAYS[0])
        assert store.location == "on disk"
        store.close()
        nobody.setblocking(False)
        with pytest.raises(BlockingIOError):
            nobody.accept()
