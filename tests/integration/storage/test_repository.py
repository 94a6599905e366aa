import pickle
import sqlite3
import zlib
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import diskcache
import msgspec
import pytest

from feedsrv.errors import StoreError
from feedsrv.models import Failure, Kind, Listing, Page
from feedsrv.storage.backend import Area
from feedsrv.storage.permanent_values import PermanentValues
from feedsrv.storage.repository import Repository
from tests.support.processes import call_in_process
from tests.support.stores import disk_files, disk_store
from tests.support.waiting import wait_until

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FRIDAY = Page(Kind.DAY, "2026-11-20")
SATURDAY = Page(Kind.DAY, "2026-11-21")
UPSTREAM = "https://huggingface.co"


def make_listing(page: Page = FRIDAY) -> Listing:
    return Listing(page=page, papers=(), fetched_at=NOON)


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    return disk_store(tmp_path, UPSTREAM)


def test_another_process_reads_a_stored_listing(store: Repository, tmp_path: Path) -> None:
    store.save_listing(make_listing(), FRIDAY)
    store.close()
    assert disk_store(tmp_path, UPSTREAM).get_listing(FRIDAY) == make_listing()


def test_a_page_that_was_never_stored_has_no_listing_or_failure(store: Repository) -> None:
    assert store.get_listing(FRIDAY) is None
    assert store.get_failure(FRIDAY) is None


def test_a_list_returned_for_another_page_is_stored_under_both_pages(store: Repository) -> None:
    store.save_listing(make_listing(FRIDAY), SATURDAY)
    assert store.get_listing(SATURDAY) == store.get_listing(FRIDAY) == make_listing(FRIDAY)


def test_listings_of_two_upstreams_are_separate(store: Repository, tmp_path: Path) -> None:
    store.save_listing(make_listing(), FRIDAY)
    assert disk_store(tmp_path, "http://127.0.0.1:9009").get_listing(FRIDAY) is None


def test_a_failure_is_stored_until_the_page_is_fetched(store: Repository, tmp_path: Path) -> None:
    failure = Failure(reason="status 503", count=1, at=NOON, retry_at=NOON, since=NOON)
    store.save_failure(FRIDAY, failure)
    assert disk_store(tmp_path, UPSTREAM).get_failure(FRIDAY) == failure
    store.save_listing(make_listing(), FRIDAY)
    assert store.get_failure(FRIDAY) is None


def has_listing(store: Repository, page: Page) -> bool:
    return store.get_listing(page) == make_listing(page)


def test_searches_are_found_whose_names_are_too_many_to_remember(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedsrv.storage.record_memory._MAX_EVICTABLE_KEYS", 2)
    pages = [Page(Kind.SEARCH, word) for word in ("fog", "hail", "snow")]
    writer, reader = (disk_store(tmp_path, UPSTREAM, memory_bytes=0) for _ in range(2))
    reader.open()
    for page in pages:
        writer.save_listing(make_listing(page), page)
        wait_until(partial(has_listing, reader, page))
    reopened = disk_store(tmp_path, UPSTREAM, memory_bytes=0)
    for store in (writer, reader, reopened):
        assert all(has_listing(store, page) for page in pages)
        assert len(store._records._memory.stored_keys[Area.EVICTABLE]) == 2
        store.close()


class PickleBomb:
    """Runs code when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.marker,))


def database(tmp_path: Path) -> Path:
    (found,) = tmp_path.glob("v*/durable/cache.db")
    return found


@pytest.mark.parametrize("column", ["value", "file"])
def test_a_planted_pickle_does_not_run(store: Repository, tmp_path: Path, column: str) -> None:
    """CVE-2025-69872: diskcache unpickles stored values, even with JSONDisk."""
    store.save_listing(make_listing(), FRIDAY)
    marker, payload = tmp_path / "it-ran", pickle.dumps(PickleBomb(tmp_path / "it-ran"))
    (database(tmp_path).parent / "planted.val").write_bytes(payload)
    with sqlite3.connect(database(tmp_path)) as connection:
        value, name = (payload, None) if column == "value" else (None, "planted.val")
        connection.execute("UPDATE Cache SET mode = 4, value = ?, filename = ?", (value, name))
    connection.close()
    reopened = disk_store(tmp_path, UPSTREAM)
    for _ in range(2):
        assert reopened.get_listing(FRIDAY) is None
    assert store.get_listing(FRIDAY) == make_listing()
    store.save_listing(make_listing(), FRIDAY)
    wait_until(lambda: reopened.get_listing(FRIDAY) == make_listing())
    assert not marker.exists()
    (database(tmp_path).parent / "planted.val").write_bytes(payload)
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute("UPDATE Cache SET mode = 4, value = ?, filename = ?", (value, name))
    connection.close()
    # Check the payload: unmodified diskcache runs it.
    diskcache.Cache(str(database(tmp_path).parent)).get(f"{UPSTREAM} listing {FRIDAY}")
    assert marker.exists()


def test_a_planted_file_name_deletes_no_file(store: Repository, tmp_path: Path) -> None:
    """diskcache deletes the file that is named in the row of a replaced value."""
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
    marker = tmp_path / "it-ran"
    with sqlite3.connect(database(tmp_path)) as connection:
        payload = pickle.dumps(PickleBomb(marker))
        connection.execute(
            "UPDATE Cache SET key = ?, raw = 0 WHERE key LIKE '%listing%'", (payload,)
        )
    connection.close()
    reopened = disk_store(tmp_path, UPSTREAM)
    reopened.save_listing(make_listing(), FRIDAY)
    with pytest.raises(OSError, match="refusing to unpickle"):
        list(disk_files(reopened)._open(None))
    assert list(disk_files(reopened).scan(UPSTREAM))
    assert not marker.exists()


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff\xfe", b'{"page": 3}', b"null"])
def test_a_value_that_cannot_be_decoded_is_treated_as_absent(
    store: Repository, value: bytes
) -> None:
    disk_files(store).replace(f"{UPSTREAM} listing {FRIDAY}", None, value)
    assert store.get_listing(FRIDAY) is None


def test_the_disk_stores_only_text_keys_and_bytes_values(store: Repository) -> None:
    with pytest.raises(TypeError, match="names are text"):
        disk_files(store)._open(None).set(("a", "tuple"), b"x")
    with pytest.raises(TypeError, match="values are bytes"):
        disk_files(store)._open(None).set("key", {"a": "dict"})


def test_listings_are_stored_as_json(store: Repository, tmp_path: Path) -> None:
    store.save_listing(make_listing(), FRIDAY)
    with sqlite3.connect(database(tmp_path)) as connection:
        ((value,),) = connection.execute(
            "SELECT value FROM Cache WHERE key LIKE '%listing%'"
        ).fetchall()
    connection.close()
    assert zlib.decompress(bytes(value)[4:]).startswith(b'{"page":{"kind":"day"')


def test_memory_replaces_a_failing_disk_and_the_failure_is_logged_once(
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
    store = disk_store(tmp_path / "file", UPSTREAM, memory_bytes=400_000)
    pages = [Page(Kind.SEARCH, f"word{number}") for number in range(200)]
    for page in pages:
        store.save_listing(make_listing(page), page)
    cached = [page for page in pages if store.get_listing(page)]
    assert 0 < len(cached) <= 100
    assert pages[-1] in cached


def test_check_returns_the_folder_or_raises_the_reason(store: Repository, tmp_path: Path) -> None:
    assert Path(store.check()).is_relative_to(tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError) as caught:
        disk_store(tmp_path / "file", UPSTREAM).check()
    assert str(tmp_path / "file") in str(caught.value)


def test_a_lease_blocks_a_process_whose_clock_is_slightly_behind(store: Repository) -> None:
    length = timedelta(seconds=12)
    assert store.acquire_lease("one", NOON, length)
    assert not store.acquire_lease("two", NOON - timedelta(milliseconds=50), length)


def test_a_lease_acquired_while_the_clock_was_ahead_blocks_no_process(store: Repository) -> None:
    length = timedelta(seconds=12)
    assert store.acquire_lease("one", NOON + timedelta(days=1), length)
    assert store.acquire_lease("two", NOON, length)


def store_listing(folder: str) -> None:
    disk_store(Path(folder), UPSTREAM).save_listing(make_listing(), FRIDAY)


def test_two_processes_share_one_store(store: Repository, tmp_path: Path) -> None:
    """An open store sees listings that another process saves."""
    assert store.get_listing(FRIDAY) is None
    call_in_process(store_listing, str(tmp_path))
    wait_until(lambda: store.get_listing(FRIDAY) == make_listing())


@pytest.mark.parametrize("damage", [b"", b"garbage" * 5000, bytes(100_000)], ids=len)
def test_a_damaged_file_is_moved_aside_and_recreated(tmp_path: Path, damage: bytes) -> None:
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


def test_damage_to_stored_searches_loses_no_list(tmp_path: Path) -> None:
    search = Page(Kind.SEARCH, "fog")
    first = disk_store(tmp_path, UPSTREAM)
    first.save_listing(make_listing(), FRIDAY)
    first.save_listing(make_listing(search), search)
    first.close()
    (damaged,) = tmp_path.glob("v*/evictable/cache.db")
    damaged.write_bytes(b"garbage" * 5000)
    store = disk_store(tmp_path, UPSTREAM)
    assert store.get_listing(search) is None
    assert store.get_listing(FRIDAY) == make_listing()
    store.save_listing(make_listing(search), search)
    assert disk_store(tmp_path, UPSTREAM).get_listing(search) == make_listing(search)


# --- aliases of pages ------------------------------------------------------------------------

THURSDAY = Page(Kind.DAY, "2026-11-19")


def test_a_stale_redirect_does_not_hide_the_listing_of_a_page(tmp_path: Path) -> None:
    later = NOON + timedelta(minutes=20)
    store_a, store_b = (disk_store(tmp_path, UPSTREAM, now=lambda: later) for _ in range(2))
    store_a.save_listing(make_listing(FRIDAY), FRIDAY)
    thursday = msgspec.structs.replace(make_listing(THURSDAY), fetched_at=later)
    store_a.save_listing(thursday, FRIDAY)
    found = store_a.get_listing(FRIDAY)
    assert found is not None
    assert found.page == FRIDAY
    assert found.fetched_at == later, "it is not due at once"
    assert store_a.get_listing(THURSDAY) == thursday
    wait_until(lambda: store_b.get_listing(FRIDAY) == found)
    changes = tmp_path / "v3" / "changes"
    before = changes.read_bytes()
    for _ in range(20):
        assert store_a.get_listing(FRIDAY) == store_b.get_listing(FRIDAY) == found
    assert changes.read_bytes() == before, "reading writes nothing"


def test_a_listing_replaces_the_alias_of_its_page(store: Repository) -> None:
    store.save_listing(make_listing(FRIDAY), SATURDAY)
    store.save_listing(make_listing(SATURDAY), SATURDAY)
    assert store.get_listing(SATURDAY) == make_listing(SATURDAY)


# --- clocks that jump ------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [1, 8, 8760])
def test_last_modified_never_decreases_and_is_never_in_the_future(
    store: Repository, hours: int
) -> None:
    """curl, and so newsboat, drops a body whose Last-Modified is not later than the last."""
    ahead = NOON + timedelta(hours=hours)
    assert store.last_modified("http://a/", "x", ahead) == ahead
    assert store.last_modified("http://b/", "x", NOON) == NOON, "one that was not sent before"
    # The clock was ahead and is correct again, or was set back: no value is sent.
    assert store.last_modified("http://a/", "x", NOON) is None
    assert store.last_modified("http://a/", "y", NOON) is None
    assert store.last_modified("http://a/", "y", ahead) == ahead + timedelta(seconds=1)
    assert store.last_modified("http://a/", "z", ahead) == ahead + timedelta(seconds=2)


@pytest.mark.parametrize("hours", [8, 8760])
def test_a_failure_recorded_while_the_clock_was_ahead_blocks_no_request(
    store: Repository, hours: int
) -> None:
    ahead = NOON + timedelta(hours=hours)
    failure = Failure(reason="status 503", count=3, at=ahead, retry_at=ahead, since=ahead)
    for page in (FRIDAY, None):
        store.save_failure(page, failure)
        assert store.get_failure(page) is None


# --- precedence ------------------------------------------------------------------------------


def test_a_process_with_a_waiting_reader_gets_the_lease_before_its_last_owner(
    store: Repository,
) -> None:
    length = timedelta(seconds=12)
    assert store.acquire_lease("busy", NOON, length)
    assert not store.acquire_lease("other", NOON, length, is_awaited=True)
    assert store.acquire_lease("busy", NOON, length), "extending it"
    store.release_lease("busy")
    assert not store.acquire_lease("busy", NOON, length)
    assert not store.acquire_lease("busy", NOON, length, is_awaited=True)
    assert store.acquire_lease("other", NOON, length, is_awaited=True)
    store.release_lease("other")
    assert store.acquire_lease("busy", NOON, length)


def test_unused_precedence_expires(store: Repository) -> None:
    length = timedelta(seconds=12)
    assert store.acquire_lease("busy", NOON, length)
    assert not store.acquire_lease("dead", NOON, length, is_awaited=True)
    store.release_lease("busy")
    assert store.acquire_lease("busy", NOON + timedelta(seconds=1), length)


def test_a_refresh_without_a_waiting_reader_has_no_precedence(store: Repository) -> None:
    length = timedelta(seconds=12)
    assert store.acquire_lease("busy", NOON, length)
    assert not store.acquire_lease("other", NOON, length)
    store.release_lease("busy")
    assert store.acquire_lease("busy", NOON, length)


# --- durable values --------------------------------------------------------------------------


class Subscriber(msgspec.Struct, frozen=True):
    mail: str


def test_permanent_values_survive_a_change_of_the_schema_version(
    store: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = store.permanent_values("subscribers", Subscriber)
    values.set("1", Subscriber("ada@example.org"))
    assert values.update("2", lambda _: Subscriber("bo@example.org"))
    assert values.is_written("1")
    store.close()
    monkeypatch.setattr("feedsrv.storage.repository.SCHEMA_VERSION", 4)
    reopened = disk_store(tmp_path, UPSTREAM).permanent_values("subscribers", Subscriber)
    assert reopened.get("1") == Subscriber("ada@example.org")
    assert dict(reopened.scan()) == {
        "1": Subscriber("ada@example.org"),
        "2": Subscriber("bo@example.org"),
    }
    reopened.delete("1")
    assert [name for name, _ in reopened.scan()] == ["2"]


def test_a_permanent_value_deleted_by_another_process_is_absent(tmp_path: Path) -> None:
    stores = [disk_store(tmp_path, UPSTREAM) for _ in range(2)]
    values_a, values_b = (store.permanent_values("subscribers", Subscriber) for store in stores)
    values_a.set("1", Subscriber("ada@example.org"))
    wait_until(lambda: values_b.get("1") is not None)
    for store in stores:
        store._records.run_maintenance()  # a new journal counts as a lost store
    values_a.delete("1")
    wait_until(lambda: values_b.get("1") is None)
    assert values_a.get("1") is None


def test_a_disconnected_process_does_not_restore_values_that_another_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    stores = [disk_store(tmp_path, UPSTREAM, clock=lambda: seconds[0]) for _ in range(2)]
    values_a, values_b = (store.permanent_values("subscribers", Subscriber) for store in stores)
    for name in "12":
        values_a.set(name, Subscriber("ada@example.org"))
        wait_until(partial(has_value, values_b, name))
    for store in stores:
        store._records.run_maintenance()  # a new journal counts as a lost store
    with monkeypatch.context() as patch:
        patch.setattr(disk_files(stores[1], "permanent"), "replace", fail)
        values_b.set("2", Subscriber("bo@example.org"))
        assert not values_b.is_written("2")
        values_a.delete("1")
    seconds[0] += 11
    wait_until(lambda: values_b.is_written("2"))
    wait_until(lambda: values_a.get("2") == Subscriber("bo@example.org"))
    assert values_a.get("1") is None
    assert values_b.get("1") is None


def has_value(values: PermanentValues[Subscriber], name: str) -> bool:
    return values.get(name) is not None


def fail(*_: object) -> bool:
    raise StoreError("the folder", "full")


def test_a_cached_permanent_value_does_not_overwrite_a_newer_stored_one(tmp_path: Path) -> None:
    """A process that rereads everything does not overwrite changes of another one."""
    stores = [disk_store(tmp_path, UPSTREAM) for _ in range(2)]
    values_a, values_b = (store.permanent_values("subscribers", Subscriber) for store in stores)
    values_a.set("1", Subscriber("ada@example.org"))
    wait_until(lambda: values_b.get("1") is not None)
    stores[1]._records._closing.set()
    stores[1]._records._thread.join()
    values_a.set("1", Subscriber("bo@example.org"))
    stores[1]._records._invalidate_all()
    stores[1]._records.run_maintenance()
    assert values_a.get("1") == values_b.get("1") == Subscriber("bo@example.org")


def test_a_process_that_rereads_everything_does_not_restore_the_listing_that_another_replaced(
    tmp_path: Path,
) -> None:
    """A refresh can change the dates in a listing, but not the time at which it was fetched."""
    stores = [disk_store(tmp_path, UPSTREAM) for _ in range(2)]
    stores[1].save_listing(make_listing(), FRIDAY)
    stores[1]._records._closing.set()
    stores[1]._records._thread.join()
    replaced = msgspec.structs.replace(make_listing(), skipped=("one",))
    stores[0].save_listing(replaced, FRIDAY)
    stores[1]._records._invalidate_all()
    stores[1]._records.run_maintenance()
    assert [store.get_listing(FRIDAY) for store in stores] == [replaced, replaced]


def test_a_permanent_value_is_written_once_the_disk_works_and_is_unknown_before(
    tmp_path: Path,
) -> None:
    disk_store(tmp_path / "store", UPSTREAM).close()
    (tmp_path / "store").write_text("in the way")
    seconds = [0.0]
    store = disk_store(tmp_path / "store", UPSTREAM, clock=lambda: seconds[0])
    store.save_listing(make_listing(), FRIDAY)
    values = store.permanent_values("subscribers", Subscriber)
    with pytest.raises(StoreError):
        values.get("1")
    with pytest.raises(StoreError):
        values.update("1", lambda _: Subscriber("ada@example.org"))
    values.set("1", Subscriber("ada@example.org"))
    assert not values.is_written("1")
    assert values.get("1") == Subscriber("ada@example.org")
    (tmp_path / "store").unlink()
    seconds[0] += 11
    wait_until(lambda: values.is_written("1"))
    store.close()
    reopened = disk_store(tmp_path / "store", UPSTREAM)
    assert reopened.permanent_values("subscribers", Subscriber).get("1") == Subscriber(
        "ada@example.org"
    )


def test_a_response_that_is_outdated_in_another_process_has_no_last_modified(
    tmp_path: Path,
) -> None:
    """Otherwise the later response would have another Last-Modified from then on."""
    stores = [disk_store(tmp_path, UPSTREAM) for _ in range(2)]
    slow, fast = stores
    slow.save_listing(make_listing(), FRIDAY)
    fast.get_listing(FRIDAY)
    slow.last_modified("http://a/", "old", NOON)
    for store in stores:
        store._records._closing.set()
        store._records._thread.join()
        store._records.poll()
    version = slow.version()
    fast.save_listing(msgspec.structs.replace(make_listing(), skipped=("one",)), FRIDAY)
    first = fast.last_modified("http://a/", "new", NOON, version=fast.version())
    assert first == NOON + timedelta(seconds=1)
    assert slow.last_modified("http://a/", "older", NOON, version=version) is None
    for store in stores:
        assert store.last_modified("http://a/", "new", NOON, version=store.version()) == first
