"""Faults of the disk: listings stay, one line is logged, and everything is written again."""

from __future__ import annotations

import logging
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import diskcache
import msgspec
import pytest

from feedsrv.errors import StoreError
from feedsrv.models import Feed, Kind, Listing, Page
from feedsrv.storage import disk
from feedsrv.storage.backend import Area, StorageKey
from feedsrv.storage.disk import DiskCache
from feedsrv.storage.journal import Journal
from feedsrv.storage.last_modified import LastModifiedBucket
from feedsrv.storage.repository import SCHEMA_VERSION, Repository
from tests.support.clock import Clock
from tests.support.http import fetch_body
from tests.support.processes import start_function
from tests.support.server_process import start_server
from tests.support.stores import disk_files, disk_store, has_last_modified, reconnect, reserve_slot
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAYS = [Page(Kind.DAY, f"2026-11-{number}") for number in (16, 17, 18, 19, 20)]
FOG, SNOW = Page(Kind.SEARCH, "fog"), Page(Kind.SEARCH, "snow")
UPSTREAM = "https://huggingface.co"
MINE = f"v{SCHEMA_VERSION}"


def make_listing(page: Page) -> Listing:
    return Listing(page=page, papers=(), fetched_at=NOON)


def put(files: DiskCache, name: str, value: bytes) -> None:
    assert files.replace(name, files.get(name), value)


def random_text(length: int) -> str:
    """Return a text that packing makes half as long, being of sixteen letters, and no shorter."""
    return random.Random(length).randbytes(length // 2).hex()


class FrozenMonotonicClock:
    """A clock of seconds that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> FrozenMonotonicClock:
    return FrozenMonotonicClock()


@pytest.fixture
def store(tmp_path: Path, seconds: FrozenMonotonicClock) -> Iterator[Repository]:
    opened = disk_store(tmp_path, UPSTREAM, own=[FOG], clock=seconds)
    yield opened
    opened.close()


def reopen_store(folder: Path) -> Repository:
    return disk_store(folder, UPSTREAM, own=[FOG])


def database(folder: Path, area: str = "durable") -> Path:
    return folder / MINE / area / "cache.db"


def warning_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# --- incidents: each happens on entering, and its cause is gone on leaving -----------------------


@contextmanager
def deleted(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder / MINE)
    yield


@contextmanager
def damaged(folder: Path) -> Iterator[None]:
    for leftover in database(folder).parent.glob("cache.db-*"):
        leftover.unlink()
    database(folder).write_bytes(b"garbage" * 5000)
    yield


@contextmanager
def damaged_inside(folder: Path) -> Iterator[None]:
    """Leave the header as it is, so that the file opens."""
    with closing(sqlite3.connect(database(folder))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = database(folder).read_bytes()
    database(folder).write_bytes(content[:4096] + bytes(len(content) - 4096))
    yield


@contextmanager
def emptied(folder: Path) -> Iterator[None]:
    for leftover in database(folder).parent.glob("cache.db-*"):
        leftover.unlink()
    database(folder).write_bytes(b"")
    yield


@contextmanager
def another_program(folder: Path) -> Iterator[None]:
    """Put a sound database of something else there."""
    shutil.rmtree(folder / MINE / "durable")
    database(folder).parent.mkdir()
    with closing(sqlite3.connect(database(folder))) as connection:
        connection.execute("CREATE TABLE Cache (recipe TEXT)")
    yield


@contextmanager
def in_the_way(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder / MINE)
    (folder / MINE).write_text("not a folder")
    yield
    (folder / MINE).unlink()


@contextmanager
def pragma(folder: Path, name: str, value: int) -> Iterator[None]:
    """Have each new connection to the store begin with this: diskcache reads it in its settings."""
    with closing(sqlite3.connect(database(folder), isolation_level=None)) as connection:
        connection.execute("INSERT INTO Settings VALUES (?, ?)", (f"sqlite_{name}", value))
        try:
            yield
        finally:
            connection.execute("DELETE FROM Settings WHERE key = ?", (f"sqlite_{name}",))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    with pragma(folder, "max_page_count", 1):  # sqlite takes it for as many as there are
        yield


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    with pragma(folder, "query_only", 1):
        yield


LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have another process hold the lock for writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(database(folder))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield
    finally:
        process.communicate()


Incident = Callable[[Path], AbstractContextManager[None]]
#: What happens, and words of the line that tells of it; none where nothing is worth a word.
INCIDENTS = [
    (deleted, ""),
    (damaged, "is damaged (file is not a database)"),
    (damaged_inside, "is damaged (database disk image is malformed)"),
    (emptied, ""),
    (another_program, "is damaged (no such column"),
    # Between its two steps the folder is missing, which may be seen first.
    (in_the_way, "cannot be used: [Errno"),
    (full, "database or disk is full"),
    (read_only, "attempt to write a readonly database"),
    (locked, "database is locked"),
]
LASTING = [in_the_way, full, read_only, locked]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedsrv.storage.disk._LOCK_TIMEOUT", 0.1)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("incident", "line"), INCIDENTS, ids=[incident.__name__ for incident, _ in INCIDENTS]
)
def test_whatever_happens_listings_stay_and_are_all_written_again_afterwards(
    store: Repository,
    seconds: FrozenMonotonicClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    incident: Incident,
    line: str,
) -> None:
    before, during, after = DAYS[0], DAYS[1], DAYS[2]
    store.save_listing(make_listing(before), before)
    assert store.get_listing(before) == make_listing(before)
    reconnect(store)
    with incident(tmp_path):
        assert store.get_listing(before) == make_listing(before)
        for number in range(20):
            store.last_modified(f"http://a.b/{number}", "etag", NOON)
        for number in range(20):
            big = make_listing(during)
            big = msgspec.structs.replace(big, skipped=(random_text(10_000 * number),))
            store.save_listing(big, during)
        store.save_listing(make_listing(during), during)
        assert store.acquire_lease("me", NOON, timedelta(seconds=5))
        assert not store.acquire_lease("you", NOON, timedelta(seconds=5))
        assert [store.get_listing(page) for page in DAYS[:3]] == [
            make_listing(before),
            make_listing(during),
            None,
        ]
        assert (store.failure_state(NOON) is not None) is (incident in LASTING)
    seconds.now += 11
    reconnect(store)
    store.save_listing(make_listing(after), after)
    wait_until(lambda: store.failure_state(NOON) is None)
    store.close()
    again = reopen_store(tmp_path)
    assert [again.get_listing(page) for page in DAYS[:3]] == [
        make_listing(page) for page in DAYS[:3]
    ]
    again.close()
    logged = warning_messages(caplog)
    assert len(logged) == (1 if line else 0), logged
    assert all(line in each for each in logged)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("incident", [full, read_only, locked], ids=lambda each: each.__name__)
def test_a_server_that_starts_meanwhile_reads_what_is_there(
    store: Repository,
    tmp_path: Path,
    incident: Incident,
) -> None:
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    store.close()
    began = time.monotonic()
    with incident(tmp_path):
        late = reopen_store(tmp_path)
        assert late.get_listing(DAYS[0]) == make_listing(DAYS[0])
        late.save_listing(make_listing(DAYS[1]), DAYS[1])
        assert late.get_listing(DAYS[1]) == make_listing(DAYS[1])
        late.close()
    assert time.monotonic() - began < 20, "diskcache would wait for a minute"


def test_files_on_a_read_only_file_system_are_loaded(
    store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (DAYS[0], FOG, SNOW):
        store.save_listing(make_listing(page), page)
    store.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(DiskCache, "_open", fail_to_open)
    late = reopen_store(tmp_path)
    late.open()
    assert [late.get_listing(page) for page in (DAYS[0], FOG, SNOW)] == [
        make_listing(page) for page in (DAYS[0], FOG, SNOW)
    ]
    late.close()
    assert not list(DiskCache(tmp_path / MINE / "none", 1).scan(""))


def fail_to_open(*_: object) -> None:
    raise OSError("Read-only file system")


@pytest.mark.usefixtures("_impatient")
def test_no_request_waits_for_files_that_failed_a_moment_ago(
    store: Repository,
    seconds: FrozenMonotonicClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    with locked(tmp_path):
        store.save_listing(make_listing(DAYS[1]), DAYS[1])
        threads: list[str] = []
        monkeypatch.setattr(
            disk_files(store),
            "replace",
            lambda *_: threads.append(threading.current_thread().name),
        )
        for _ in range(20):
            store.save_listing(make_listing(DAYS[1]), DAYS[1])
            store.last_modified("http://a.b/", "etag", NOON)
        assert not threads
        seconds.now += 11
        wait_until(lambda: bool(threads))
        assert set(threads) == {"feedsrv-storage"}


def test_no_request_waits_for_what_is_written_again(
    store: Repository,
    seconds: FrozenMonotonicClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("feedsrv.storage.disk._LOCK_TIMEOUT", 0.1)
    reconnect(store)
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    with locked(tmp_path):
        store.save_listing(make_listing(DAYS[1]), DAYS[1])
        writing, read = threading.Event(), threading.Event()

        def hang(*_: object) -> None:
            writing.set()
            assert read.wait(10)
            raise StoreError("the folder", "locked for long")

        monkeypatch.setattr(disk_files(store), "replace", hang)
        seconds.now += 11
        assert writing.wait(10)
        store.save_listing(make_listing(DAYS[2]), DAYS[2])
        assert [store.get_listing(page) for page in DAYS[:3]] == [make_listing(p) for p in DAYS[:3]]
        read.set()


@pytest.mark.usefixtures("_impatient")
def test_a_failure_has_a_reason_and_a_time(
    store: Repository,
    seconds: FrozenMonotonicClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    assert store.failure_state(NOON) is None
    reconnect(store)
    with full(tmp_path):
        for number in range(50):
            page = Page(Kind.DAY, f"2026-11-{number}")
            store.save_listing(
                msgspec.structs.replace(make_listing(page), skipped=("x" * 3000,)), page
            )
        seconds.now += 90
        trouble = store.failure_state(NOON)
        assert trouble is not None
        assert trouble.since == NOON - timedelta(seconds=90)
        assert trouble.reason == "database or disk is full"
    reconnect(store)
    wait_until(lambda: store.failure_state(NOON) is None)
    line = f"Storage backend {tmp_path / MINE} is available again"
    wait_until(lambda: caplog.messages[-1] == line)


def test_the_size_is_that_of_all_files_of(store: Repository, tmp_path: Path) -> None:
    assert store.size() == 0
    store.save_listing(
        msgspec.structs.replace(make_listing(FOG), skipped=(random_text(200_000),)), FOG
    )
    files = [file for file in tmp_path.rglob("*.db*") if file.is_file()]
    assert store.size() >= sum(file.stat().st_size for file in files) >= 100_000


# --- damage, by several at once ------------------------------------------------------------------


def test_of_two_that_find_the_same_damage_the_second_leaves_the_new_file(tmp_path: Path) -> None:
    one, other = (DiskCache(tmp_path / "durable", 1_000_000) for _ in range(2))
    put(one, "a", b"1")
    assert other.get("a") == b"1"
    seen = (tmp_path / "durable" / "cache.db").stat()
    damage = sqlite3.DatabaseError("malformed")
    assert one._put_aside((seen.st_dev, seen.st_ino), damage)
    put(one, "a", b"2")
    assert other._put_aside((seen.st_dev, seen.st_ino), damage)
    assert other.get("a") == one.get("a") == b"2"
    for files in (one, other):
        files.close()


def store_after_a_line(folder: str, name: str) -> None:
    """Read, wait for a line on standard input, and keep a listing again and again."""
    store = reopen_store(Path(folder))
    page = Page(Kind.DAY, name)
    print(store.get_listing(DAYS[0]) is not None, flush=True)
    sys.stdin.readline()
    for _ in range(20):
        store.save_listing(make_listing(page), page)


def test_processes_that_find_one_damage_at_once_lose_nothing_that_they_keep(
    store: Repository, tmp_path: Path
) -> None:
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    store.close()
    names = [f"2025-01-0{number}" for number in range(1, 5)]
    processes = [start_function(store_after_a_line, str(tmp_path), name) for name in names]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
    with damaged(tmp_path):
        said = [process.communicate("\n", timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], said
    assert sum(line.count("is damaged") for line in said) == 1, said
    again = reopen_store(tmp_path)
    for name in names:
        assert again.get_listing(Page(Kind.DAY, name))
    again.close()
    assert len(list((tmp_path / MINE).glob("damaged-*"))) == 1


CUT_SHORT = """
import os, sys, pathlib, sqlite3
from feedsrv.storage.backend import Area, StorageKey
from feedsrv.storage.journal import Journal
from feedsrv.storage.last_modified import LastModifiedBucket
from feedsrv.storage.disk import DiskCache
folder = pathlib.Path(sys.argv[1])
files = DiskCache(folder, 10_000_000)
for number in range(9):
    files.replace(str(number), None, b"x" * 100_000)
sqlite3.connect(folder / "cache.db").execute("PRAGMA wal_checkpoint(TRUNCATE)")
files.close()
files.get("0")
os.truncate(folder / "cache.db", 2 * 4096)
for number in range(9):
    files.get(str(number))
files.replace("1", files.get("1"), b"1")
"""


def test_a_value_under_another_name_or_with_a_wrong_bit_is_not_used(tmp_path: Path) -> None:
    files = DiskCache(tmp_path, 1_000_000)
    for name in ("a", "b", "c"):
        put(files, name, name.encode() * 10)
    files.close()
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'b') WHERE key = 'a'"
        )
        connection.execute("UPDATE Cache SET value = substr(value, 1, 9) WHERE key = 'c'")
    again = DiskCache(tmp_path, 1_000_000)
    assert [again.get(name) for name in ("a", "b", "c")] == [b"", b"b" * 10, b""]
    assert dict(again.scan("")) == {"a": b"", "b": b"b" * 10, "c": b""}
    assert again.replace("a", b"", b"mended")
    assert again.get("a") == b"mended"


def test_a_file_that_is_cut_short_while_it_is_read_does_not_kill_the_reader(
    tmp_path: Path,
) -> None:
    """It would, by SIGBUS, were it mapped."""
    subprocess.run([sys.executable, "-c", CUT_SHORT, str(tmp_path / "durable")], check=True)
    assert DiskCache(tmp_path / "durable", 1_000_000).get("1") == b"1"


def test_what_is_damaged_again_and_again_does_not_pile_up(tmp_path: Path) -> None:
    for _ in range(5):
        # Closed meanwhile: its thread would write while the test damages the file.
        with closing(reopen_store(tmp_path)) as store:
            store.save_listing(make_listing(DAYS[0]), DAYS[0])
        with damaged(tmp_path), closing(reopen_store(tmp_path)) as store:
            assert store.get_listing(DAYS[0]) is None
            assert store.failure_state(NOON) is None
    found = sorted(path.name for path in (tmp_path / MINE).iterdir())
    assert found == ["changes", "damaged-durable", "durable", "lock"]


def test_a_file_that_another_process_made_anew_is_the_one_that_is_used(
    store: Repository, tmp_path: Path
) -> None:
    """Else one would go on writing to a deleted file, for as long as it runs."""
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    with deleted(tmp_path):
        other = reopen_store(tmp_path)
        other.save_listing(make_listing(DAYS[1]), DAYS[1])
    store.save_listing(make_listing(DAYS[2]), DAYS[2])
    wait_until(lambda: other.get_listing(DAYS[2]) == make_listing(DAYS[2]))
    wait_until(lambda: store.get_listing(DAYS[1]) == make_listing(DAYS[1]))
    wait_until(lambda: other.get_listing(DAYS[0]) == make_listing(DAYS[0]))
    other.close()


def test_the_journal_is_bounded_and_no_change_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedsrv.storage.journal._MAX_BYTES", 300)
    one, other = (Journal(tmp_path / "changes") for _ in range(2))
    assert one.read() == other.read() == frozenset()
    for number in range(50):
        key = StorageKey(Area.DURABLE, f"name {number} \u00e9")
        one.append(key)
        changes = other.read()
        assert changes is None or key in changes
        assert other.read() == frozenset()
        assert (tmp_path / "changes").stat().st_size < 500
        assert not one.read()


def test_a_journal_that_is_deleted_counts_as_a_store_that_is_lost(tmp_path: Path) -> None:
    one, other = (Journal(tmp_path / "changes") for _ in range(2))
    assert other.read() == frozenset()
    first, second = StorageKey(Area.DURABLE, "first"), StorageKey(Area.EVICTABLE, "second")
    one.append(first)
    assert other.read() is None, "it may be the second that was made since"
    one.append(second)
    assert other.read() == frozenset({second})
    (tmp_path / "changes").unlink()
    assert other.read() is None
    assert other.read() == frozenset()
    one.append(first)
    assert other.read() is None


def test_what_was_announced_in_a_journal_that_is_replaced_at_once_is_not_missed(
    tmp_path: Path,
) -> None:
    one, other = (Journal(tmp_path / "changes") for _ in range(2))
    assert one.read() == other.read() == frozenset()
    one.append(StorageKey(Area.DURABLE, "first"))
    other.reset()
    assert other.read() is None
    assert one.read() is None


def test_a_connection_whose_transaction_cannot_end_holds_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (DiskCache(tmp_path / "durable", 1_000_000) for _ in range(2))
    put(one, "a", b"1")

    def fail(cache: diskcache.Cache) -> None:
        with cache.transact():
            cache.set("a", b"2")
            # From now on neither COMMIT nor ROLLBACK reaches the database.
            cache._con.set_authorizer(lambda action, *_: int(action == sqlite3.SQLITE_TRANSACTION))

    with pytest.raises(StoreError, match="not authorized"):
        one._run(fail)
    monkeypatch.setattr("feedsrv.storage.disk._LOCK_TIMEOUT", 0.1)
    put(other, "a", b"3")
    assert one.get("a") == b"3"
    for files in (one, other):
        files.close()


# --- other versions ------------------------------------------------------------------------------


def as_before(folder: Path, name: str) -> diskcache.Cache:
    """Open a part as diskcache does by itself."""
    return diskcache.Cache(
        str(folder / MINE / name), disk_min_file_size=64_000_000, size_limit=200_000_000
    )


def test_the_folder_of_an_older_version_is_left_alone_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "v1").mkdir()
    (tmp_path / "v2" / "lists").mkdir(parents=True)
    (tmp_path / "v2" / "lists" / "cache.db").write_bytes(b"of old")
    store = reopen_store(tmp_path)
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    assert store.get_listing(DAYS[0]) == make_listing(DAYS[0])
    assert (tmp_path / "v2" / "lists" / "cache.db").read_bytes() == b"of old"
    assert len(caplog.messages) == 1
    assert f"{tmp_path / 'v1'}, {tmp_path / 'v2'}" in caplog.text
    store.close()


def test_values_of_another_shape_are_read_anew_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with as_before(tmp_path, "durable") as cache:
        for page in DAYS:
            cache.set(f"{UPSTREAM} listing {page}", b'{"papers": "of another shape"}')
        cache.set(f"{UPSTREAM} failure {DAYS[0]}", b'{"why": 1}')
        cache.set(f"{UPSTREAM} requests", b"[]")
    store = reopen_store(tmp_path)
    for _ in range(2):
        assert [store.get_listing(page) for page in DAYS] == [None] * len(DAYS)
        assert store.get_failure(DAYS[0]) is None
        assert reserve_slot(store, NOON) == NOON
    for page in DAYS:
        store.save_listing(make_listing(page), page)
    assert [store.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]
    assert len(warning_messages(caplog)) == 1
    store.close()


def test_two_versions_on_one_folder_keep_out_of_each_others_way(
    store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedsrv.storage.repository.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    other = reopen_store(tmp_path)
    newer = msgspec.structs.replace(make_listing(DAYS[0]), fetched_at=NOON + timedelta(minutes=1))
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    other.save_listing(newer, DAYS[0])
    assert store.get_listing(DAYS[0]) == make_listing(DAYS[0])
    assert other.get_listing(DAYS[0]) == newer
    other.close()


# --- sizes ---------------------------------------------------------------------------------------

#: Beyond the documented size, of each part: a write-ahead log, which sqlite lets grow to a thousand
#: pages and a large value, and its index.
SLACK = 5_000_000


def big(page: Page, size: int = 200_000) -> Listing:
    return msgspec.structs.replace(make_listing(page), skipped=(random_text(size),))


def test_adhoc_searches_push_out_no_list_no_configured_search_and_no_polled_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: FrozenMonotonicClock
) -> None:
    monkeypatch.setattr(disk, "MAX_EVICTABLE_BYTES", 4_000_000)
    store = disk_store(tmp_path, UPSTREAM, own=[FOG], clock=seconds, memory_bytes=3_000_000)
    safe = [*DAYS, FOG, SNOW]  # snow is no feed's, but somebody polls it
    for page in safe:
        store.save_listing(big(page), page)
    forgotten = Page(Kind.SEARCH, "forgotten")
    store.save_listing(big(forgotten), forgotten)
    largest = 0
    for number in range(300):  # more than ten times as much as there is room for
        seconds.now += 60
        page = Page(Kind.SEARCH, f"word{number}")
        store.save_listing(big(page), page)
        store.last_modified(f"http://a.b/{number}", "etag", NOON)
        if number % 12 == 0:
            assert store.get_listing(SNOW) == big(SNOW)
            wait_until(lambda: not store._records._to_touch)
        largest = max(largest, database(tmp_path, "evictable").stat().st_size)
    store.close()
    again = disk_store(tmp_path, UPSTREAM, own=[FOG])
    assert [again.get_listing(page) for page in safe] == [big(page) for page in safe]
    assert again.get_listing(forgotten) is None
    assert again.get_listing(Page(Kind.SEARCH, "word0")) is None
    assert again.get_listing(Page(Kind.SEARCH, "word299"))
    assert all(has_last_modified(again, f"http://a.b/{number}") for number in range(300))
    again.close()
    assert largest < 4_000_000 + SLACK


def test_many_small_values_leave_room_for_a_large_one(tmp_path: Path) -> None:
    """What is dropped is as much as has to be, not so many values at a time."""
    files = DiskCache(tmp_path / "searches", 2_000_000)
    for number in range(4000):
        put(files, f"small {number}", b"x" * 200)
    for number in range(20):
        put(files, f"large {number}", b"x" * 500_000)
        assert (tmp_path / "searches" / "cache.db").stat().st_size < 2_000_000 + 600_000
    files.close()


def test_a_touch_is_a_small_write(
    store: Repository, seconds: FrozenMonotonicClock, tmp_path: Path
) -> None:
    store.save_listing(big(SNOW, 1_000_000), SNOW)
    log = database(tmp_path, "evictable").with_name("cache.db-wal")
    with closing(sqlite3.connect(database(tmp_path, "evictable"))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for _ in range(5):
        seconds.now += 601
        assert store.get_listing(SNOW)
        wait_until(lambda: not store._records._to_touch)
    wait_until(lambda: log.stat().st_size > 0)
    assert log.stat().st_size < 300_000


def test_the_last_modified_values_of_strangers_take_bounded_space_and_drop_no_polled_one(
    store: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedsrv.storage.repository._BUCKETS", 1)
    assert store.last_modified("http://a.b/polled", "etag", NOON) == NOON
    for number in range(200):
        later = NOON + timedelta(minutes=number)
        store.last_modified(f"http://a.b/{number}", "etag", later)
        if number % 5 == 0:
            assert store.last_modified("http://a.b/polled", "etag", later) == NOON
    (bucket,) = (
        entry.record
        for _, entry in store._records._entries()
        if isinstance(entry.record, LastModifiedBucket)
    )
    assert len(bucket.urls) == 16
    assert has_last_modified(store, "http://a.b/polled")
    assert not has_last_modified(store, "http://a.b/0")


def test_configured_searches_are_durable_and_others_evictable(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = make_service()
    service.get_feed(service.get_configured_feed("causal"))
    service.get_feed(Feed(name="x", title="x", query="lighthouse"))
    wait_until(service._scheduler.is_idle)
    for part, word in (("durable", "causal"), ("evictable", "lighthouse")):
        with closing(sqlite3.connect(database(tmp_path / "store", part))) as connection:
            names = connection.execute("SELECT key FROM Cache WHERE key LIKE '% listing search%'")
            assert [name.split()[-1] for (name,) in names] == [word]


# --- server processes ----------------------------------------------------------------------------


@contextmanager
def no_room(pid: int) -> Iterator[None]:
    """Let no file of the process grow, nor be written at all."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("incident", [deleted, damaged, in_the_way, locked, no_room])
def test_a_server_goes_on_with_the_same_bytes_and_says_so_once(
    upstream: FakeUpstream,
    clock: Clock,
    tmp_path: Path,
    incident: Callable[[Any], AbstractContextManager[None]],
) -> None:
    clock.now = datetime.now(UTC)
    folder, settings = tmp_path / "store", tmp_path / "feedsrv.toml"
    settings.write_text("spacing = 0\nhistory_days = 2\n[feeds.causal]\nquery = 'causal'\n")
    environ = {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(folder),
        "FEEDSRV_CONFIG": str(settings),
    }
    feed = "/feeds/causal.atom"
    with start_server(environ=environ) as server:
        url = server.url
        fetch_body(url + feed)
        wait_until(lambda: len([path for path in upstream.requests if "date" in path]) == 2)
        before = fetch_body(url + feed)
        wait_until(lambda: fetch_body(url + feed) == before)
        with incident(server.workers()[0] if incident is no_room else folder):
            assert fetch_body(url + feed) == before
            # Something to keep, so that the disk is needed.
            assert b"<entry>" in fetch_body(f"{url}/papers.atom?q=lighthouse")
            assert fetch_body(url + feed) == before
        upstream.fail()
        assert fetch_body(url + feed) == before
        server.stop()
    warnings = [line for line in server.stderr if "store" in line and "WARNING" in line]
    assert len(warnings) == (incident is not deleted), server.log()
    if incident in {deleted, damaged}:  # all is on disk again, without any help of upstream
        with start_server(environ=environ) as server:
            assert fetch_body(server.url + feed).count(b"<entry>") == before.count(b"<entry>")
