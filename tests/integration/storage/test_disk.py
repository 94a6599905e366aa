"""Disk faults: listings are served, one line is logged, and everything is rewritten."""

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
from contextlib import AbstractContextManager, closing, contextmanager, suppress
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
    """Return hexadecimal text, which compression reduces to half its length."""
    return random.Random(length).randbytes(length // 2).hex()


class FrozenMonotonicClock:
    """A monotonic clock in seconds that advances only when it is set."""

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


# --- faults: each begins on entering the context and ends on leaving it ---------------------------


def remove(folder: Path) -> None:
    """Remove the folder in one step: the thread of the store may be making files in it."""
    removed = folder.with_name("removed")
    shutil.rmtree(removed, ignore_errors=True)
    shutil.rmtree(folder.rename(removed), ignore_errors=True)


@contextmanager
def deleted(folder: Path) -> Iterator[None]:
    remove(folder / MINE)
    yield


@contextmanager
def damaged(folder: Path) -> Iterator[None]:
    for leftover in database(folder).parent.glob("cache.db-*"):
        leftover.unlink()
    database(folder).write_bytes(b"garbage" * 5000)
    yield


@contextmanager
def damaged_inside(folder: Path) -> Iterator[None]:
    """Damage the file behind its header, so that it can still be opened."""
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
    """Replace the database with a valid one of another program."""
    remove(folder / MINE / "durable")
    database(folder).parent.mkdir()
    with closing(sqlite3.connect(database(folder))) as connection:
        connection.execute("CREATE TABLE Cache (recipe TEXT)")
    yield


@contextmanager
def file_instead_of_folder(folder: Path) -> Iterator[None]:
    is_file = False
    while not is_file:
        remove(folder / MINE)
        with suppress(IsADirectoryError):  # the server has made the folder again meanwhile
            (folder / MINE).write_text("not a folder")
            is_file = True
    yield
    (folder / MINE).unlink()


@contextmanager
def pragma(folder: Path, name: str, value: int) -> Iterator[None]:
    """Set a pragma in diskcache's settings, which each new connection to the store applies."""
    with closing(sqlite3.connect(database(folder), isolation_level=None)) as connection:
        connection.execute("INSERT INTO Settings VALUES (?, ?)", (f"sqlite_{name}", value))
        try:
            yield
        finally:
            connection.execute("DELETE FROM Settings WHERE key = ?", (f"sqlite_{name}",))


@contextmanager
def full(folder: Path) -> Iterator[None]:
    with pragma(folder, "max_page_count", 1):  # SQLite raises it to the current page count
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
    """Lock the database for writing in another process."""
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


Fault = Callable[[Path], AbstractContextManager[None]]
#: Each fault and part of its log message; empty if nothing is logged.
FAULTS = [
    (deleted, ""),
    (damaged, "is damaged (file is not a database)"),
    (damaged_inside, "is damaged (database disk image is malformed)"),
    (emptied, ""),
    (another_program, "is damaged (no such column"),
    # Between the two steps of the fault the folder is missing, which may be detected first.
    (file_instead_of_folder, "cannot be used: [Errno"),
    (full, "database or disk is full"),
    (read_only, "attempt to write a readonly database"),
    (locked, "database is locked"),
]
LASTING_FAULTS = [file_instead_of_folder, full, read_only, locked]


@pytest.fixture
def _short_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedsrv.storage.disk._LOCK_TIMEOUT", 0.1)


@pytest.mark.usefixtures("_short_lock_timeout")
@pytest.mark.parametrize(("fault", "line"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_listings_are_served_during_a_fault_and_rewritten_after_it(
    store: Repository,
    seconds: FrozenMonotonicClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    line: str,
) -> None:
    before, during, after = DAYS[0], DAYS[1], DAYS[2]
    store.save_listing(make_listing(before), before)
    assert store.get_listing(before) == make_listing(before)
    reconnect(store)
    with fault(tmp_path):
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
        assert (store.failure_state(NOON) is not None) is (fault in LASTING_FAULTS)
    seconds.now += 11
    reconnect(store)
    store.save_listing(make_listing(after), after)
    wait_until(lambda: store.failure_state(NOON) is None)
    store.close()
    reopened = reopen_store(tmp_path)
    assert [reopened.get_listing(page) for page in DAYS[:3]] == [
        make_listing(page) for page in DAYS[:3]
    ]
    reopened.close()
    logged = warning_messages(caplog)
    assert len(logged) == (1 if line else 0), logged
    assert all(line in each for each in logged)


@pytest.mark.usefixtures("_short_lock_timeout")
@pytest.mark.parametrize("fault", [full, read_only, locked], ids=lambda each: each.__name__)
def test_a_server_that_starts_during_a_fault_loads_the_stored_listings(
    store: Repository,
    tmp_path: Path,
    fault: Fault,
) -> None:
    store.save_listing(make_listing(DAYS[0]), DAYS[0])
    store.close()
    began = time.monotonic()
    with fault(tmp_path):
        reopened = reopen_store(tmp_path)
        assert reopened.get_listing(DAYS[0]) == make_listing(DAYS[0])
        reopened.save_listing(make_listing(DAYS[1]), DAYS[1])
        assert reopened.get_listing(DAYS[1]) == make_listing(DAYS[1])
        reopened.close()
    assert time.monotonic() - began < 20, "diskcache would wait for a minute"


def test_files_on_a_read_only_file_system_are_loaded(
    store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (DAYS[0], FOG, SNOW):
        store.save_listing(make_listing(page), page)
    store.close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(DiskCache, "_open", fail_to_open)
    reopened = reopen_store(tmp_path)
    reopened.open()
    assert [reopened.get_listing(page) for page in (DAYS[0], FOG, SNOW)] == [
        make_listing(page) for page in (DAYS[0], FOG, SNOW)
    ]
    reopened.close()
    assert not list(DiskCache(tmp_path / MINE / "none", 1).scan(""))


def fail_to_open(*_: object) -> None:
    raise OSError("Read-only file system")


@pytest.mark.usefixtures("_short_lock_timeout")
def test_no_request_waits_for_a_failing_disk(
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


def test_no_request_waits_while_listings_are_rewritten(
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


@pytest.mark.usefixtures("_short_lock_timeout")
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
        failure = store.failure_state(NOON)
        assert failure is not None
        assert failure.since == NOON - timedelta(seconds=90)
        assert failure.reason == "database or disk is full"
    reconnect(store)
    wait_until(lambda: store.failure_state(NOON) is None)
    line = f"Storage backend {tmp_path / MINE} is available again"
    wait_until(lambda: caplog.messages[-1] == line)


def test_the_size_is_that_of_all_files(store: Repository, tmp_path: Path) -> None:
    assert store.size() == 0
    store.save_listing(
        msgspec.structs.replace(make_listing(FOG), skipped=(random_text(200_000),)), FOG
    )
    files = [file for file in tmp_path.rglob("*.db*") if file.is_file()]
    assert store.size() >= sum(file.stat().st_size for file in files) >= 100_000


# --- damage detected by several processes ---------------------------------------------------------


def test_only_the_first_process_to_detect_damage_replaces_the_file(tmp_path: Path) -> None:
    cache_a, cache_b = (DiskCache(tmp_path / "durable", 1_000_000) for _ in range(2))
    put(cache_a, "a", b"1")
    assert cache_b.get("a") == b"1"
    seen = (tmp_path / "durable" / "cache.db").stat()
    damage = sqlite3.DatabaseError("malformed")
    assert cache_a._put_aside((seen.st_dev, seen.st_ino), damage)
    put(cache_a, "a", b"2")
    assert cache_b._put_aside((seen.st_dev, seen.st_ino), damage)
    assert cache_b.get("a") == cache_a.get("a") == b"2"
    for files in (cache_a, cache_b):
        files.close()


def store_after_a_line(folder: str, name: str) -> None:
    """Read a listing, wait for a line on standard input, and save a listing repeatedly."""
    store = reopen_store(Path(folder))
    page = Page(Kind.DAY, name)
    print(store.get_listing(DAYS[0]) is not None, flush=True)
    sys.stdin.readline()
    for _ in range(20):
        store.save_listing(make_listing(page), page)


def test_processes_that_detect_damage_at_the_same_time_lose_no_listing(
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
        logs = [process.communicate("\n", timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], logs
    assert sum(line.count("is damaged") for line in logs) == 1, logs
    reopened = reopen_store(tmp_path)
    for name in names:
        assert reopened.get_listing(Page(Kind.DAY, name))
    reopened.close()
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


def test_a_misplaced_or_truncated_value_is_not_used(tmp_path: Path) -> None:
    files = DiskCache(tmp_path, 1_000_000)
    for name in ("a", "b", "c"):
        put(files, name, name.encode() * 10)
    files.close()
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as connection:
        connection.execute(
            "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = 'b') WHERE key = 'a'"
        )
        connection.execute("UPDATE Cache SET value = substr(value, 1, 9) WHERE key = 'c'")
    reopened = DiskCache(tmp_path, 1_000_000)
    assert [reopened.get(name) for name in ("a", "b", "c")] == [b"", b"b" * 10, b""]
    assert dict(reopened.scan("")) == {"a": b"", "b": b"b" * 10, "c": b""}
    assert reopened.replace("a", b"", b"mended")
    assert reopened.get("a") == b"mended"


def test_truncating_a_file_during_a_read_does_not_crash_the_process(
    tmp_path: Path,
) -> None:
    """With a memory-mapped file, SIGBUS would kill the process."""
    subprocess.run([sys.executable, "-c", CUT_SHORT, str(tmp_path / "durable")], check=True)
    assert DiskCache(tmp_path / "durable", 1_000_000).get("1") == b"1"


def test_repeated_damage_leaves_one_damaged_copy(tmp_path: Path) -> None:
    for _ in range(5):
        # Close the store first: its thread would write while the test damages the file.
        with closing(reopen_store(tmp_path)) as store:
            store.save_listing(make_listing(DAYS[0]), DAYS[0])
        with damaged(tmp_path), closing(reopen_store(tmp_path)) as store:
            assert store.get_listing(DAYS[0]) is None
            assert store.failure_state(NOON) is None
    found = sorted(path.name for path in (tmp_path / MINE).iterdir())
    assert found == ["changes", "damaged-durable", "durable", "lock"]


def test_a_file_that_another_process_recreated_is_used(store: Repository, tmp_path: Path) -> None:
    """Otherwise a running process would keep writing to the deleted file."""
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
    journal_a, journal_b = (Journal(tmp_path / "changes") for _ in range(2))
    assert journal_a.read() == journal_b.read() == frozenset()
    for number in range(50):
        key = StorageKey(Area.DURABLE, f"name {number} \u00e9")
        journal_a.append(key)
        changes = journal_b.read()
        assert changes is None or key in changes
        assert journal_b.read() == frozenset()
        assert (tmp_path / "changes").stat().st_size < 500
        assert not journal_a.read()


def test_a_deleted_journal_counts_as_a_lost_store(tmp_path: Path) -> None:
    journal_a, journal_b = (Journal(tmp_path / "changes") for _ in range(2))
    assert journal_b.read() == frozenset()
    first, second = StorageKey(Area.DURABLE, "first"), StorageKey(Area.EVICTABLE, "second")
    journal_a.append(first)
    assert journal_b.read() is None, "it may be the second that was made since"
    journal_a.append(second)
    assert journal_b.read() == frozenset({second})
    (tmp_path / "changes").unlink()
    assert journal_b.read() is None
    assert journal_b.read() == frozenset()
    journal_a.append(first)
    assert journal_b.read() is None


def test_a_change_in_a_journal_that_is_replaced_at_once_is_not_missed(
    tmp_path: Path,
) -> None:
    journal_a, journal_b = (Journal(tmp_path / "changes") for _ in range(2))
    assert journal_a.read() == journal_b.read() == frozenset()
    journal_a.append(StorageKey(Area.DURABLE, "first"))
    journal_b.reset()
    assert journal_b.read() is None
    assert journal_a.read() is None


def test_a_connection_that_cannot_end_its_transaction_releases_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_a, cache_b = (DiskCache(tmp_path / "durable", 1_000_000) for _ in range(2))
    put(cache_a, "a", b"1")

    def fail(cache: diskcache.Cache) -> None:
        with cache.transact():
            cache.set("a", b"2")
            # From now on neither COMMIT nor ROLLBACK reaches the database.
            cache._con.set_authorizer(lambda action, *_: int(action == sqlite3.SQLITE_TRANSACTION))

    with pytest.raises(StoreError, match="not authorized"):
        cache_a._run(fail)
    monkeypatch.setattr("feedsrv.storage.disk._LOCK_TIMEOUT", 0.1)
    put(cache_b, "a", b"3")
    assert cache_a.get("a") == b"3"
    for files in (cache_a, cache_b):
        files.close()


# --- other versions ------------------------------------------------------------------------------


def open_diskcache(folder: Path, name: str) -> diskcache.Cache:
    """Open an area with diskcache directly."""
    return diskcache.Cache(
        str(folder / MINE / name), disk_min_file_size=64_000_000, size_limit=200_000_000
    )


def test_the_folder_of_an_older_version_is_unchanged_and_logged_once(
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


def test_values_with_an_invalid_structure_are_ignored_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_diskcache(tmp_path, "durable") as cache:
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


def test_two_versions_in_one_folder_do_not_share_listings(
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

#: Allowed above the documented size of each area: the write-ahead log, which SQLite lets grow to a
#: thousand pages plus one large value, and its index.
SLACK = 5_000_000


def big(page: Page, size: int = 200_000) -> Listing:
    return msgspec.structs.replace(make_listing(page), skipped=(random_text(size),))


def test_adhoc_searches_evict_no_list_and_no_configured_or_polled_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: FrozenMonotonicClock
) -> None:
    monkeypatch.setattr(disk, "MAX_EVICTABLE_BYTES", 4_000_000)
    store = disk_store(tmp_path, UPSTREAM, own=[FOG], clock=seconds, memory_bytes=3_000_000)
    safe = [*DAYS, FOG, SNOW]  # snow belongs to no feed, but is polled
    for page in safe:
        store.save_listing(big(page), page)
    forgotten = Page(Kind.SEARCH, "forgotten")
    store.save_listing(big(forgotten), forgotten)
    largest = 0
    for number in range(300):  # more than ten times the capacity
        seconds.now += 60
        page = Page(Kind.SEARCH, f"word{number}")
        store.save_listing(big(page), page)
        store.last_modified(f"http://a.b/{number}", "etag", NOON)
        if number % 12 == 0:
            assert store.get_listing(SNOW) == big(SNOW)
            wait_until(lambda: not store._records._to_touch)
        largest = max(largest, database(tmp_path, "evictable").stat().st_size)
    store.close()
    reopened = disk_store(tmp_path, UPSTREAM, own=[FOG])
    assert [reopened.get_listing(page) for page in safe] == [big(page) for page in safe]
    assert reopened.get_listing(forgotten) is None
    assert reopened.get_listing(Page(Kind.SEARCH, "word0")) is None
    assert reopened.get_listing(Page(Kind.SEARCH, "word299"))
    assert all(has_last_modified(reopened, f"http://a.b/{number}") for number in range(300))
    reopened.close()
    assert largest < 4_000_000 + SLACK


def test_many_small_values_leave_room_for_a_large_one(tmp_path: Path) -> None:
    """Eviction removes as many bytes as needed, not a fixed number of values."""
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


def test_last_modified_values_take_bounded_space_and_polled_urls_are_not_evicted(
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
        for _, entry in store._records._memory.items()
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
def no_writes(pid: int) -> Iterator[None]:
    """Prevent the process from writing to any file."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("fault", [deleted, damaged, file_instead_of_folder, locked, no_writes])
def test_a_server_serves_the_same_bytes_during_a_fault_and_logs_it_once(
    upstream: FakeUpstream,
    clock: Clock,
    tmp_path: Path,
    fault: Callable[[Any], AbstractContextManager[None]],
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
        with fault(server.workers()[0] if fault is no_writes else folder):
            assert fetch_body(url + feed) == before
            # A new listing, which has to be stored.
            assert b"<entry>" in fetch_body(f"{url}/papers.atom?q=lighthouse")
            assert fetch_body(url + feed) == before
        upstream.fail()
        assert fetch_body(url + feed) == before
        server.stop()
    warnings = [line for line in server.stderr if "store" in line and "WARNING" in line]
    assert len(warnings) == (fault is not deleted), server.log()
    if fault in {deleted, damaged}:  # everything is on disk again without requests to upstream
        with start_server(environ=environ) as server:
            assert fetch_body(server.url + feed).count(b"<entry>") == before.count(b"<entry>")
