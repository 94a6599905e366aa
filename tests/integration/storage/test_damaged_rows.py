"""Single rows of the database that are damaged: SQLite does not notice.

A name is stored twice: in the table, which `DiskCache.scan` reads, and in an index, by which
`DiskCache.get` finds its row.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import pytest

from feedsrv.models import Kind, Listing, Page
from feedsrv.storage.backend import Area, StorageKey
from feedsrv.storage.codec import encode
from feedsrv.storage.disk import DiskBackend
from feedsrv.storage.repository import SCHEMA_VERSION, Repository
from tests.support.stores import disk_files, disk_store
from tests.support.waiting import wait_until

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
UPSTREAM = "https://huggingface.co"
DAYS = [Page(Kind.DAY, f"2026-11-{number}") for number in (18, 19, 20)]
NAME = f"{UPSTREAM} listing {DAYS[1]}"
#: The same length: another name, one without the prefix, and one that is no UTF-8.
WRONG_NAMES = [
    NAME.replace("19", "39").encode(),
    b"i" + NAME[1:].encode(),
    NAME.encode()[:-1] + b"\xb9",
]


def make_listing(page: Page) -> Listing:
    return Listing(page=page, papers=(), fetched_at=NOON)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return a database with three listings, of which one is to be damaged."""
    with closing(DiskBackend(tmp_path, SCHEMA_VERSION)) as backend:
        for page in DAYS:
            key = StorageKey(Area.DURABLE, f"{UPSTREAM} listing {page}")
            backend.replace(key, None, encode(make_listing(page))[0])
    return tmp_path / f"v{SCHEMA_VERSION}" / "durable" / "cache.db"


def open_store(folder: Path) -> Repository:
    """Open a store that would not try again after a failure."""
    return disk_store(folder, UPSTREAM, clock=lambda: 0.0)


@contextmanager
def only_table(database: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection whose changes do not reach the indexes."""
    with edit_schema(database) as connection:
        indexes = connection.execute(
            "SELECT * FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        connection.execute("DELETE FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        yield connection
    with edit_schema(database) as connection:
        connection.executemany("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", indexes)


@contextmanager
def edit_schema(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        yield connection
        version = connection.execute("PRAGMA schema_version").fetchone()[0]
        connection.execute(f"PRAGMA schema_version = {version + 1}")


def rename(connection: sqlite3.Connection, old: bytes, new: bytes) -> None:
    renamed = connection.execute(
        "UPDATE Cache SET key = CAST(? AS TEXT) WHERE key = CAST(? AS TEXT)", (new, old)
    )
    assert renamed.rowcount == 1


def damage_name_in_table(database: Path, wrong: bytes) -> None:
    with only_table(database) as connection:
        rename(connection, NAME.encode(), wrong)


def damage_name_in_index(database: Path, wrong: bytes) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        rename(connection, NAME.encode(), wrong)
    with only_table(database) as connection:
        rename(connection, wrong, NAME.encode())


@pytest.mark.parametrize("wrong", WRONG_NAMES)
@pytest.mark.parametrize("damage", [damage_name_in_table, damage_name_in_index])
def test_a_record_whose_name_is_damaged_in_one_of_two_places_is_found(
    database: Path, tmp_path: Path, damage: object, wrong: bytes
) -> None:
    assert callable(damage)
    damage(database, wrong)
    with closing(open_store(tmp_path)) as store:
        store.open()
        assert store.failure_state(NOON) is None
        assert [store.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]


def test_a_record_that_the_index_does_not_lead_to_is_written_again(
    database: Path, tmp_path: Path
) -> None:
    damage_name_in_index(database, WRONG_NAMES[0])
    with closing(open_store(tmp_path)) as store:
        wait_until(lambda: disk_files(store).get(NAME) is not None)


def test_an_old_row_that_the_index_does_not_lead_to_is_not_read(
    database: Path, tmp_path: Path
) -> None:
    damage_name_in_index(database, WRONG_NAMES[0])
    later = msgspec.structs.replace(make_listing(DAYS[1]), skipped=("later",))
    with closing(open_store(tmp_path)) as store:
        store.save_listing(later, DAYS[1])
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE Cache SET store_time = 1 WHERE rowid > 3")  # the clock was wrong
    with closing(open_store(tmp_path)) as store:
        assert store.get_listing(DAYS[1]) == later


ROWS = "UPDATE Cache SET {} WHERE key = ?"


@pytest.mark.parametrize(
    "change", ["raw = 0", "raw = NULL", "store_time = 'x'", "store_time = 1e300", "mode = 3"]
)
def test_a_record_is_found_although_another_column_of_its_row_is_damaged(
    database: Path, tmp_path: Path, change: str
) -> None:
    with only_table(database) as connection:
        connection.execute(ROWS.format(change), (NAME,))
    with closing(open_store(tmp_path)) as store:
        store.open()
        assert store.failure_state(NOON) is None
        assert [store.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]


@pytest.mark.parametrize("change", ["value = 'x'", "value = CAST(x'ff' AS TEXT)", "rowid = 77"])
def test_a_record_that_cannot_be_read_is_written_again_and_no_other_is_lost(
    database: Path, tmp_path: Path, change: str
) -> None:
    with only_table(database) as connection:
        connection.execute(ROWS.format(change), (NAME,))
    with closing(open_store(tmp_path)) as store:
        store.open()
        store.save_listing(make_listing(DAYS[1]), DAYS[1])
    with closing(open_store(tmp_path)) as store:
        assert [store.get_listing(page) for page in DAYS] == [make_listing(page) for page in DAYS]


def zero_page_of(database: Path, name: str) -> None:
    """Overwrite the first page of a table or index with zeros."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        ((page,),) = connection.execute(query, (name,))
    with database.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


@pytest.mark.parametrize("name", ["Cache_key_raw", "Cache_store_time"])
def test_records_survive_a_page_of_an_index_that_cannot_be_read(
    database: Path, tmp_path: Path, name: str
) -> None:
    zero_page_of(database, name)
    for _ in range(2):
        with closing(open_store(tmp_path)) as store:
            store.open()
            assert [store.get_listing(page) for page in DAYS] == list(map(make_listing, DAYS))
            assert store.failure_state(NOON) is None
            wait_until(partial(getattr, store._records, "_is_loaded"))


def test_a_table_that_cannot_be_read_is_replaced_when_it_is_opened(
    database: Path, tmp_path: Path
) -> None:
    zero_page_of(database, "Cache")
    with closing(open_store(tmp_path)) as store:
        wait_until(lambda: store._records._is_loaded)
        assert store.failure_state(NOON) is None
        store.save_listing(make_listing(DAYS[0]), DAYS[0])
        assert store.failure_state(NOON) is None


def test_a_database_that_is_only_read_only_because_its_header_is_damaged_is_replaced(
    database: Path, tmp_path: Path
) -> None:
    with database.open("r+b") as file:
        file.seek(18)
        file.write(b"\3")  # the version of SQLite that can write it
    for _ in range(2):
        with closing(open_store(tmp_path)) as store:
            store.open()
            store.save_listing(make_listing(DAYS[0]), DAYS[0])
            assert store.failure_state(NOON) is None
            assert [store.get_listing(page) for page in DAYS] == list(map(make_listing, DAYS))
