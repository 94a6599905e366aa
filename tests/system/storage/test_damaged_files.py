"""Damage to the database files at random places, and many writers at once."""

import gc
import logging
import random
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec
import pytest

from feedsrv.models import Kind, Listing, Page
from feedsrv.storage.repository import Repository
from tests.support.stores import disk_store, reconnect
from tests.support.waiting import wait_until

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
UPSTREAM = "https://huggingface.co"
PAGES = [Page(Kind.DAY, f"2026-11-{day}") for day in range(10, 20)]


@cache
def make_listing(page: Page, number: int = 0) -> Listing:
    noise = random.Random(f"{page} {number}").randbytes(5000).hex()
    return Listing(
        page=page, papers=(), fetched_at=NOON + timedelta(seconds=number), skipped=(noise,)
    )


@pytest.fixture(autouse=True)
def _freeze_heap() -> Iterator[None]:
    """Limit the collection in `reconnect` to objects of the test: a full one takes 0.2 s."""
    gc.freeze()
    yield
    gc.unfreeze()


def flip_bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def zero_page(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(max(1, len(content) // 4096)) * 4096
    content[start : start + 4096] = bytes(4096)


def truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def scramble_header(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(100)
    content[start : start + 8] = chance.randbytes(8)


Damage = Callable[[bytearray, random.Random], None]


def apply_damage(damage: Damage, database: Path, chance: random.Random) -> bool:
    """Damage the file; return whether there was anything to damage."""
    with suppress(FileNotFoundError):  # a server is moving it aside
        content = bytearray(database.read_bytes())
        if content:  # otherwise all data is still in the write-ahead log
            damage(content, chance)
            database.write_bytes(content)
            return True
    return False


@pytest.mark.parametrize("damage", [flip_bits, zero_page, truncate, scramble_header])
def test_no_damage_crashes_a_server_or_changes_what_it_serves(
    tmp_path: Path, damage: Damage
) -> None:
    chance = random.Random(damage.__name__)
    database = tmp_path / "v3" / "durable" / "cache.db"
    seconds = [0.0]
    damaged = 0
    store = disk_store(tmp_path, UPSTREAM, clock=lambda: seconds[0])
    for page in PAGES:
        store.save_listing(make_listing(page), page)
    for number in range(1, 51):
        reconnect(store)
        with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damaged += apply_damage(damage, database, chance)
        # A store that is opened now returns a saved listing or none.
        reopened = disk_store(tmp_path, UPSTREAM)
        for page in PAGES:
            found = reopened.get_listing(page)
            assert found is None or found in {make_listing(page, each) for each in range(number)}
        reopened.close()
        # The running store continues, and rewrites everything when it detects the damage.
        page = PAGES[number % len(PAGES)]
        store.save_listing(make_listing(page, number), page)
        assert store.get_listing(page) == make_listing(page, number)
        for page in PAGES:
            found = store.get_listing(page)
            assert found is not None
            assert found.page == page
        seconds[0] += 11
        wait_until(lambda: store.failure_state(NOON) is None)
    reconnect(store)  # SQLite does not see damage to pages that a connection has in its cache
    for _ in range(2):  # the store's thread may have read from its cache just before
        store._records._is_synchronized = False
        wait_until(lambda: store._records._is_synchronized or store.failure_state(NOON) is not None)
    store._records._is_synchronized = False
    listings = [store.get_listing(page) for page in PAGES]
    store.close()
    reopened = disk_store(tmp_path, UPSTREAM)
    assert [reopened.get_listing(page) for page in PAGES] == listings
    reopened.close()
    assert damaged > 25


SETTINGS = ["size_limit", "size", "count", "cull_limit", "statistics", "disk_min_file_size"]


@pytest.mark.parametrize("value", ["text", None, b"\xff", -1.5], ids=repr)
def test_no_request_fails_with_database_settings_of_a_wrong_type(
    tmp_path: Path, value: object
) -> None:
    seconds = [0.0]
    store = disk_store(tmp_path, UPSTREAM, clock=lambda: seconds[0])
    for number, setting in enumerate(
        [*SETTINGS, "eviction_policy", "tag_index", "sqlite_mmap_size"]
    ):
        store.save_listing(make_listing(PAGES[0], number), PAGES[0])
        database = tmp_path / "v3" / "durable" / "cache.db"
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("UPDATE Settings SET value = ? WHERE key = ?", (value, setting))
        reconnect(store)
        store.last_modified(f"http://a/{number}", "x", NOON)
        store.save_listing(make_listing(PAGES[1], number), PAGES[1])
        assert store.get_listing(PAGES[0]) == make_listing(PAGES[0], number)
        reopened = disk_store(tmp_path, UPSTREAM)
        reopened.last_modified(f"http://b/{number}", "x", NOON)
        reopened.close()
        seconds[0] += 11
        wait_until(lambda: store.failure_state(NOON) is None)
    store.close()


def test_many_threads_and_processes_write_at_once_without_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stores = [disk_store(tmp_path, UPSTREAM) for _ in range(2)]
    large = msgspec.structs.replace(make_listing(PAGES[0]), skipped=("x" * 2_000_000,))

    def write(number: int) -> None:
        store: Repository = stores[number % 2]
        page = Page(Kind.SEARCH, f"word{number}")
        for round_ in range(10):
            store.last_modified(f"http://a/{number}", str(round_), NOON)
            store.save_listing(msgspec.structs.replace(large, page=page), page)
            store.update_request_log(lambda log: log)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(write, range(32)))
    for store in stores:
        assert store.failure_state(NOON) is None
        store.close()
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
