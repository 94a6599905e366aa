"""The repository with each backend: disk, and a real Redis."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from feedsrv.models import Failure, Kind, Listing, Page
from feedsrv.storage.backend import Area, Backend, StorageKey
from feedsrv.storage.codec import encode
from feedsrv.storage.repository import SCHEMA_VERSION, Repository
from tests.support.redis_server import run_redis
from tests.support.stores import disk_store, has_last_modified, redis_store, reserve_slot
from tests.support.waiting import wait_until

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FRIDAY, SATURDAY = Page(Kind.DAY, "2026-11-20"), Page(Kind.DAY, "2026-11-21")
FOG, SNOW = Page(Kind.SEARCH, "fog"), Page(Kind.SEARCH, "snow")
PAGES = [FRIDAY, SATURDAY, FOG, SNOW, Page(Kind.TRENDING)]
UPSTREAM = "https://huggingface.co"
LENGTH = timedelta(seconds=12)

OpenStore = Callable[..., Repository]


def make_listing(page: Page = FRIDAY, *, seconds: int = 0, words: str = "") -> Listing:
    fetched_at = NOON + timedelta(seconds=seconds)
    return Listing(page=page, papers=(), fetched_at=fetched_at, skipped=(words,) if words else ())


def has_listing(store: Repository, newer: Listing) -> bool:
    return store.get_listing(newer.page) == newer


def has_failure(store: Repository, page: Page | None, failure: Failure | None) -> bool:
    return store.get_failure(page) == failure


def has_new_version(store: Repository, previous_version: object) -> bool:
    return store.version() != previous_version


@pytest.fixture(params=["disk", "redis"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Return a function that opens another store on the same backend, like another process."""
    opened: list[Repository] = []

    def open_at(url: str = "", upstream: str = UPSTREAM) -> Repository:
        if url:
            # Each store has its own directory, like a separate machine.
            store = redis_store(url, tmp_path / str(len(opened)), upstream, own=[FOG])
        else:
            store = disk_store(tmp_path, upstream, own=[FOG])
        opened.append(store)
        return store

    try:
        if request.param == "disk":
            yield open_at
        else:
            with run_redis(tmp_path) as redis:
                yield lambda **options: open_at(redis.url, **options)
    finally:
        for store in opened:
            store.close()


def test_a_store_reads_listings_that_another_store_saved(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    for page in PAGES:
        assert store_b.get_listing(page) is None
        newer = make_listing(page, words=f"of {page}")
        store_a.save_listing(newer, page)
        assert store_a.get_listing(page) == newer
        wait_until(partial(has_listing, store_b, newer))


def test_a_newer_listing_of_another_store_replaces_the_cached_one(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    for number in range(20):
        writer, reader = (store_a, store_b) if number % 2 else (store_b, store_a)
        newer = make_listing(seconds=number, words=str(number))
        writer.save_listing(newer, FRIDAY)
        wait_until(partial(has_listing, reader, newer))


def test_a_listing_is_the_same_object_until_another_one_is_saved(open_store: OpenStore) -> None:
    store = open_store()
    store.save_listing(make_listing(), FRIDAY)
    assert store.get_listing(FRIDAY) is store.get_listing(FRIDAY)


def test_a_list_returned_for_another_page_is_stored_under_both_pages(open_store: OpenStore) -> None:
    open_store().save_listing(make_listing(FRIDAY), SATURDAY)
    other = open_store()
    assert other.get_listing(SATURDAY) == other.get_listing(FRIDAY) == make_listing(FRIDAY)


def test_listings_of_two_upstreams_are_separate(open_store: OpenStore) -> None:
    open_store().save_listing(make_listing(), FRIDAY)
    assert open_store(upstream="http://127.0.0.1:9009").get_listing(FRIDAY) is None


def test_all_stores_see_a_failure_until_the_page_is_fetched(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    failure = Failure(reason="status 503", count=1, at=NOON, retry_at=NOON, since=NOON)
    for page in (FRIDAY, None):
        store_a.save_failure(page, failure)
        wait_until(partial(has_failure, store_b, page, failure))
    store_b.save_listing(make_listing(), FRIDAY)
    wait_until(partial(has_failure, store_a, FRIDAY, None))
    wait_until(partial(has_failure, store_a, None, None))


def test_one_store_has_the_lease_until_it_expires_or_is_released(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    assert store_a.acquire_lease("one", NOON, LENGTH)
    assert store_a.acquire_lease("one", NOON, LENGTH), "its holder may take it again"
    assert not store_b.acquire_lease("other", NOON + timedelta(seconds=11), LENGTH)
    store_b.release_lease("other")
    assert not store_b.acquire_lease("other", NOON, LENGTH)
    store_a.release_lease("one")
    assert store_b.acquire_lease("other", NOON, LENGTH)
    assert store_a.acquire_lease("one", NOON + timedelta(seconds=13), LENGTH), "its holder died"


def test_the_lease_owner_sees_the_listings_of_the_previous_owner(open_store: OpenStore) -> None:
    """Otherwise both would fetch the same page."""
    store_a, store_b = open_store(), open_store()
    store_a.save_listing(make_listing(), FRIDAY)
    wait_until(partial(has_listing, store_b, make_listing()))
    for number in range(1, 50):
        assert store_b.get_listing(FRIDAY)
        assert store_a.acquire_lease("one", NOON, LENGTH)
        store_a.save_listing(make_listing(seconds=number), FRIDAY)
        store_a.release_lease("one")
        assert store_b.acquire_lease("other", NOON, LENGTH)
        assert store_b.get_listing(FRIDAY) == make_listing(seconds=number)
        store_b.release_lease("other")


def test_one_of_many_concurrent_processes_acquires_the_lease(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(20):
            now = NOON + round_ * timedelta(minutes=1)
            tries = [pool.submit(each.acquire_lease, str(id(each)), now, LENGTH) for each in stores]
            assert sum(each.result() for each in tries) == 1


def test_all_stores_share_the_rate_limit(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(3)]
    with ThreadPoolExecutor(9) as pool:
        slots = list(pool.map(lambda number: reserve_slot(stores[number % 3], NOON), range(90)))
    assert slots.count(NOON) == 60
    assert {len(store.get_request_log().times) for store in stores} == {60}


def test_all_stores_return_the_same_last_modified_value(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    assert not has_last_modified(store_b, "http://a/")
    first = store_a.last_modified("http://a/", "x", NOON)
    wait_until(lambda: has_last_modified(store_b, "http://a/"))
    assert store_b.last_modified("http://a/", "x", NOON + LENGTH) == first == NOON
    second = store_b.last_modified("http://a/", "y", NOON)
    assert second == NOON + timedelta(seconds=1)
    assert store_a.last_modified("http://a/", "y", NOON) == second


def test_concurrent_changes_of_one_url_never_return_a_date_twice(open_store: OpenStore) -> None:
    stores = [open_store() for _ in range(4)]

    def change_repeatedly(number: int) -> list[datetime]:
        dates_of_store = [
            stores[number].last_modified("http://a/", f"{number} {each}", NOON)
            for each in range(25)
        ]
        return [date for date in dates_of_store if date is not None]

    with ThreadPoolExecutor(4) as pool:
        dates_of_stores = list(pool.map(change_repeatedly, range(4)))
    assert all(dates_of_store == sorted(dates_of_store) for dates_of_store in dates_of_stores)
    assert len({date for dates_of_store in dates_of_stores for date in dates_of_store}) == 100


def test_saving_a_listing_changes_the_version_of_other_stores(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    store_b.open()
    for number in range(5):
        previous_version = store_b.version()
        store_a.save_listing(make_listing(seconds=number), FRIDAY)
        wait_until(partial(has_new_version, store_b, previous_version))


def test_a_polled_search_is_touched(open_store: OpenStore) -> None:
    store = open_store()
    store.save_listing(make_listing(SNOW), SNOW)
    assert store.get_listing(SNOW) == make_listing(SNOW)
    wait_until(lambda: not store._records._to_touch)
    assert open_store().get_listing(SNOW) == make_listing(SNOW)


def test_a_search_that_is_not_stored_is_not_read_from_the_backend(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store().save_listing(make_listing(SNOW), SNOW)
    store = open_store()
    store.open()
    wait_until(lambda: store._records._is_loaded)  # again, if that made a database
    read: list[StorageKey] = []
    monkeypatch.setattr(store._records.backend, "get", read.append)
    other = Page(Kind.SEARCH, "hail")
    assert store.get_listing(other) is None
    assert store.get_failure(other) is None
    assert store.get_cutoff("hail") is None
    assert not read


def test_a_search_that_another_process_stores_is_found(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    assert store_b.get_listing(SNOW) is None
    assert store_b.get_cutoff("snow") is None
    store_a.save_listing(make_listing(SNOW), SNOW)
    cutoff = store_a.raise_cutoff("snow", NOON)
    wait_until(lambda: store_b.get_listing(SNOW) == make_listing(SNOW))
    wait_until(lambda: store_b.get_cutoff("snow") == cutoff)


def put(backend: Backend, key: StorageKey, value: bytes) -> None:
    assert backend.replace(key, backend.get(key), value)


def test_a_backend_replaces_only_the_expected_value(open_store: OpenStore) -> None:
    backend, key = open_store()._records.backend, StorageKey(Area.DURABLE, "a [name] * ?")
    assert not backend.replace(key, b"x", b"y")
    assert backend.replace(key, None, b"1")
    assert not backend.replace(key, None, b"2")
    assert backend.replace(key, b"1", b"2")
    assert backend.get(key) == b"2"
    assert list(backend.scan(Area.DURABLE, "a [name] *")) == [(key.name, b"2")]
    assert backend.scan_names(Area.DURABLE, "a [name] *") == {key.name}
    assert not list(backend.scan(Area.DURABLE, "a [name] x"))
    assert not backend.scan_names(Area.DURABLE, "a [name] x")
    assert not backend.replace(key, b"1", None)
    assert backend.replace(key, b"2", None)
    assert backend.get(key) is None


def test_a_backend_announces_changes_to_others_and_not_to_itself(
    open_store: OpenStore, tmp_path: Path
) -> None:
    stores = open_store(), open_store()
    backend_a, backend_b = (store._records.backend for store in stores)
    for store in stores:
        store._records._closing.set()
        store._records._thread.join()  # the thread polls too
    first, second = StorageKey(Area.DURABLE, "first"), StorageKey(Area.EVICTABLE, "second one")
    for area in Area:
        put(backend_a, StorageKey(area, "before"), b"1")
    backend_a.changes(), backend_b.changes()  # discard the changes of new files
    assert backend_a.changes() == backend_b.changes() == frozenset()
    put(backend_a, first, b"1")
    put(backend_a, second, b"2")
    backend_a.replace(StorageKey(Area.DURABLE, "third"), None, b"3", announce=False)
    assert backend_b.changes() == frozenset({first, second})
    assert backend_a.changes() == backend_b.changes() == frozenset()
    backend_a.replace(first, b"1", None)
    assert backend_b.changes() == frozenset({first})


def test_a_change_is_seen_within_a_second(open_store: OpenStore) -> None:
    store_a, store_b = open_store(), open_store()
    store_b.open()
    delays = []
    for number in range(10):
        previous_version, began = store_b.version(), time.monotonic()
        store_a.save_listing(make_listing(seconds=number), FRIDAY)
        wait_until(partial(has_new_version, store_b, previous_version))
        delays.append(time.monotonic() - began)
    assert max(delays) < 1


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff\xfe", b'{"page": 3}', b"null"])
def test_a_value_that_cannot_be_decoded_is_treated_as_absent(
    open_store: OpenStore, value: bytes
) -> None:
    store = open_store()
    put(store._records.backend, StorageKey(Area.DURABLE, f"{UPSTREAM} listing {FRIDAY}"), value)
    assert open_store().get_listing(FRIDAY) is None
    store.save_listing(make_listing(), FRIDAY)
    assert open_store().get_listing(FRIDAY) == make_listing()


def test_lost_values_are_rewritten_from_memory_and_the_latest_wins(
    open_store: OpenStore,
) -> None:
    store_a, store_b = open_store(), open_store()
    older, newer = make_listing(words="older"), make_listing(seconds=1, words="newer")
    store_a.save_listing(older, FRIDAY)
    wait_until(partial(has_listing, store_b, older))
    store_a.save_listing(newer, FRIDAY)
    wait_until(partial(has_listing, store_b, newer))
    backend = store_a._records.backend
    put(backend, StorageKey(Area.DURABLE, f"{UPSTREAM} listing {FRIDAY}"), encode(older)[0])
    for store in (store_b, store_a):
        store._records._is_synchronized = False
    wait_until(lambda: all(store._records._is_synchronized for store in (store_a, store_b)))
    assert open_store().get_listing(FRIDAY) == newer


class Note(msgspec.Struct, frozen=True):
    count: int


def test_two_versions_under_load_share_permanent_values_and_nothing_else(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_a = open_store()
    monkeypatch.setattr("feedsrv.storage.repository.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    store_b = open_store()
    rounds = 50

    def write(store: Repository, first: int) -> None:
        notes = store.permanent_values("notes", Note)
        for number in range(first, first + 2 * rounds, 2):
            newer = make_listing(seconds=number)
            store.save_listing(newer, FRIDAY)
            assert store.get_listing(FRIDAY) == newer
            notes.update("all", lambda note: Note(note.count + 1 if note else 1))
            store.last_modified("http://a/", str(number), NOON)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (store_a, store_b), (0, 1)))
    for store in (store_a, store_b):
        assert store.permanent_values("notes", Note).update("all", lambda note: note) == Note(
            2 * rounds
        )
        assert store.last_modified("http://a/", "new", NOON) == NOON + timedelta(seconds=rounds)
        assert store.failure_state(NOON) is None
    store_a.permanent_values("notes", Note).set("all", Note(0))
    wait_until(lambda: store_b.permanent_values("notes", Note).get("all") == Note(0))


def test_check_and_size_work_with_each_backend(open_store: OpenStore) -> None:
    store = open_store()
    assert store.check()
    store.save_listing(msgspec.structs.replace(make_listing(), skipped=("x" * 1000,)), FRIDAY)
    assert store.size() > 1000
    assert store.failure_state(NOON) is None
