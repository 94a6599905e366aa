from __future__ import annotations

import pickle
import sqlite3
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import diskcache
import pytest

from feedsrv.errors import StoreError
from feedsrv.models import Failure, Kind, Listing, Page
from feedsrv.storage.repository import Repository
from tests.support.processes import call_in_process
from tests.support.stores import disk_files, disk_store

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FRIDAY = Page(Kind.DAY, "2026-11-20")
SATURDAY = Page(Kind.DAY, "2026-11-21")
UPSTREAM = "https://huggingface.co"


def make_listing(page: Page = FRIDAY) -> Listing:
    return Listing(page=page, papers=(), fetched_at=NOON)


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    return disk_store(tmp_path, UPSTREAM)


def test_what_was_kept_is_there_for_another_process(store: Repository, tmp_path: Path) -> None:
    store.save_listing(make_listing(), FRIDAY)
    store.close()
    assert disk_store(tmp_path, UPSTREAM).get_listing(FRIDAY) == make_listing()


def test_what_was_never_kept_is_absent(store: Repository) -> None:
    assert store.get_listing(FRIDAY) is None
    assert store.get_failure(FRIDAY) is None


def test_the_list_given_in_place_of_another_is_found_under_both(store: Repository) -> None:
    store.save_listing(make_listing(FRIDAY), SATURDAY)
    assert store.get_listing(SATURDAY) == store.get_listing(FRIDAY) == make_listing(FRIDAY)


def test_listings_of_two_upstreams_do_not_mix(store: Repository, tmp_path: Path) -> None:
    store.save_listing(make_listing(), FRIDAY)
    assert disk_store(tmp_path, "http://127.0.0.1:9009").get_listing(FRIDAY) is None


def test_a_failure_is_remembered_until_the_page_is_read(store: Repository, tmp_path: Path) -> None:
    failure = Failure(reason="status 503", count=1, at=NOON, retry_at=NOON, since=NOON)
    store.save_failure(FRIDAY, failure)
    assert disk_store(tmp_path, UPSTREAM).get_failure(FRIDAY) == failure
    store.save_listing(make_listing(), FRIDAY)
    assert store.get_failure(FRIDAY) is None


class Trap:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.mark,))


def database(tmp_path: Path) -> Path:
    (found,) = tmp_path.glob("v*/lists/cache.db")
    return found


@pytest.mark.parametrize("where", ["value", "file"])
def test_a_planted_pickle_does_not_run(
    store: Repository, tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """CVE-2025-69872: diskcache unpickles what it finds, its JSONDisk too."""
    store.save_listing(make_listing(), FRIDAY)
    mark, trap = tmp_path / "it-ran", pickle.dumps(Trap(tmp_path / "it-ran"))
    (database(tmp_path).parent / "planted.val").write_bytes(trap)
    with sqlite3.connect(database(tmp_path)) as connection:
        value, name = (trap, None) if where == "value" else (None, "planted.val")
        connection.execute("UPDATE Cache SET mode = 4, value = ?, filename = ?", (value, name))
    connection.close()
    again = disk_store(tmp_path, UPSTREAM)
    for _ in range(2):
        assert again.get_listing(FRIDAY) is None
    assert store.get_listing(FRIDAY) == make_listing(), "who held it keeps it anew"
    assert again.get_listing(FRIDAY) == make_listing()
    assert not mark.exists()
    assert len(caplog.records) == 2, "a line for each of the two"
    assert "cannot be used" in caplog.text
    (database(tmp_path).parent / "planted.val").write_bytes(trap)
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute("UPDATE Cache SET mode = 4, value = ?, filename = ?", (value, name))
    connection.close()
    # The trap is a real one: diskcache as it comes would have run it.
    diskcache.Cache(str(database(tmp_path).parent)).get(f"{UPSTREAM} listing {FRIDAY}")
    assert mark.exists()


def test_a_planted_name_of_a_file_deletes_no_file(store: Repository, tmp_path: Path) -> None:
    """diskcache deletes what is named beside a value that it replaces."""
    store.save_listing(make_listing(), FRIDAY)
    (tmp_path / "precious").write_text("of somebody else")
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute("UPDATE Cache SET filename = ?", (str(tmp_path / "precious"),))
    connection.close()
    store.save_listing(make_listing(), FRIDAY)
    assert store.get_listing(FRIDAY) == make_listing()
    assert (tmp_path / "precious").exists()


def test_a_planted_pickle_as_a_key_does_not_run(store: Repository, tmp_path: Path) -> None:
    store.save_listing(make_listing(), FRIDAY)
    mark = tmp_path / "it-ran"
    with sqlite3.connect(database(tmp_path)) as connection:
        trap = pickle.dumps(Trap(mark))
        connection.execute("UPDATE Cache SET key = ?, raw = 0 WHERE key LIKE '%listing%'", (trap,))
    connection.close()
    again = disk_store(tmp_path, UPSTREAM)
    again.save_listing(make_listing(), FRIDAY)
    with pytest.raises(OSError, match="refusing to unpickle"):
        list(disk_files(again)._open(None))
    assert not mark.exists()


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff\xfe", b'{"page": 3}', b"null"])
def test_a_value_that_cannot_be_read_is_as_good_as_none(store: Repository, value: bytes) -> None:
    disk_files(store).set(f"{UPSTREAM} listing {FRIDAY}", value)
    assert store.get_listing(FRIDAY) is None


def test_nothing_but_text_and_bytes_gets_into_the_files_of(store: Repository) -> None:
    with pytest.raises(TypeError, match="names are text"):
        disk_files(store)._open(None).set(("a", "tuple"), b"x")
    with pytest.raises(TypeError, match="values are bytes"):
        disk_files(store)._open(None).set("key", {"a": "dict"})


def test_the_kept_form_is_json(store: Repository, tmp_path: Path) -> None:
    store.save_listing(make_listing(), FRIDAY)
    with sqlite3.connect(database(tmp_path)) as connection:
        ((value,),) = connection.execute(
            "SELECT value FROM Cache WHERE key LIKE '%listing%'"
        ).fetchall()
    connection.close()
    assert zlib.decompress(bytes(value)).startswith(b'{"page":{"kind":"day"')


def test_a_disk_that_fails_is_replaced_by_memory_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    store = disk_store(tmp_path / "file", UPSTREAM)
    store.save_listing(make_listing(), FRIDAY)
    assert store.get_listing(FRIDAY) == make_listing()
    assert store.get_listing(SATURDAY) is None
    assert len([record for record in caplog.records if "from memory" in record.message]) == 1


def test_memory_is_bounded_while_the_disk_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = disk_store(tmp_path / "file", UPSTREAM)
    pages = [Page(Kind.SEARCH, f"word{number}") for number in range(200)]
    for page in pages:
        store.save_listing(make_listing(page), page)
    kept = [page for page in pages if store.get_listing(page)]
    assert 0 < len(kept) <= 100
    assert pages[-1] in kept


def test_probing_names_the_folder_or_says_why_not(store: Repository, tmp_path: Path) -> None:
    assert Path(store.check()).is_relative_to(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        disk_store(tmp_path / "file", UPSTREAM).check()
    assert str(tmp_path / "file") in str(caught.value)


def test_a_lease_taken_while_another_process_looked_at_its_clock_is_held(store: Repository) -> None:
    length = timedelta(seconds=12)
    assert store.acquire_lease("one", NOON, length)
    assert not store.acquire_lease("two", NOON - timedelta(milliseconds=50), length)


def test_a_lease_taken_by_a_clock_that_was_ahead_blocks_nobody(store: Repository) -> None:
    length = timedelta(seconds=12)
    assert store.acquire_lease("one", NOON + timedelta(days=1), length)
    assert store.acquire_lease("two", NOON, length)


def store_listing(folder: str) -> None:
    disk_store(Path(folder), UPSTREAM).save_listing(make_listing(), FRIDAY)


def test_two_processes_share_one_store(store: Repository, tmp_path: Path) -> None:
    """What another process keeps is seen by a store that was open all along."""
    assert store.get_listing(FRIDAY) is None
    call_in_process(store_listing, str(tmp_path))
    assert store.get_listing(FRIDAY) == make_listing()


@pytest.mark.parametrize("damage", [b"", b"garbage" * 5000, bytes(100_000)], ids=len)
def test_a_damaged_file_is_put_aside_and_made_anew(tmp_path: Path, damage: bytes) -> None:
    first = disk_store(tmp_path, UPSTREAM)
    first.save_listing(make_listing(), FRIDAY)
    first.close()
    for leftover in database(tmp_path).parent.glob("cache.db-*"):
        leftover.unlink()
    database(tmp_path).write_bytes(damage)
    store = disk_store(tmp_path, UPSTREAM)
    for _ in range(2):
        store.save_listing(make_listing(), FRIDAY)
        assert store.get_listing(FRIDAY) == make_listing()
    store.close()
    assert disk_store(tmp_path, UPSTREAM).get_listing(FRIDAY) == make_listing()


def test_damage_to_the_searches_takes_no_list_away(tmp_path: Path) -> None:
    search = Page(Kind.SEARCH, "fog")
    first = disk_store(tmp_path, UPSTREAM)
    first.save_listing(make_listing(), FRIDAY)
    first.save_listing(make_listing(search), search)
    first.close()
    (damaged,) = tmp_path.glob("v*/searches/cache.db")
    damaged.write_bytes(b"garbage" * 5000)
    store = disk_store(tmp_path, UPSTREAM)
    assert store.get_listing(search) is None
    assert store.get_listing(FRIDAY) == make_listing()
    store.save_listing(make_listing(search), search)
    assert disk_store(tmp_path, UPSTREAM).get_listing(search) == make_listing(search)
