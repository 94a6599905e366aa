"""What holds for every backend: on disk, and in a real Redis."""

from __future__ import annotations

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

Make = Callable[..., Repository]


def make_listing(page: Page = FRIDAY, *, seconds: int = 0, words: str = "") -> Listing:
    read_at = NOON + timedelta(seconds=seconds)
    return Listing(page=page, papers=(), fetched_at=read_at, skipped=(words,) if words else ())


def shows(store: Repository, newer: Listing) -> bool:
    return store.get_listing(newer.page) == newer


def has_failure(store: Repository, page: Page | None, failure: Failure | None) -> bool:
    return store.get_failure(page) == failure


def moved_on(store: Repository, seen: object) -> bool:
    return store.version() != seen


@pytest.fixture(params=["disk", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Return a function that opens one more store in the same place, as another process would."""
    opened: list[Repository] = []

    def on(url: str = "", upstream: str = UPSTREAM) -> Repository:
        if url:
            # A machine of its own shares nothing but Redis.
            store = redis_store(url, tmp_path / str(len(opened)), upstream, own=[FOG])
        else:
            store = disk_store(tmp_path, upstream, own=[FOG])
        opened.append(store)
        return store

    try:
        if request.param == "disk":
            yield on
        else:
            with run_redis(tmp_path) as redis:
                yield lambda **given: on(redis.url, **given)
    finally:
        for store in opened:
            store.close()


def test_what_one_keeps_is_there_for_the_other(make: Make) -> None:
    one, other = make(), make()
    for page in PAGES:
        assert other.get_listing(page) is None
        newer = make_listing(page, words=f"of {page}")
        one.save_listing(newer, page)
        assert one.get_listing(page) == newer
        wait_until(partial(shows, other, newer))


def test_what_the_other_holds_decoded_gives_way_to_what_one_keeps(make: Make) -> None:
    one, other = make(), make()
    for number in range(20):
        keeper, reader = (one, other) if number % 2 else (other, one)
        newer = make_listing(seconds=number, words=str(number))
        keeper.save_listing(newer, FRIDAY)
        wait_until(partial(shows, reader, newer))


def test_a_listing_is_the_same_object_until_another_one_is_kept(make: Make) -> None:
    store = make()
    store.save_listing(make_listing(), FRIDAY)
    assert store.get_listing(FRIDAY) is store.get_listing(FRIDAY)


def test_a_list_returned_for_another_page_is_stored_under_both_pages(make: Make) -> None:
    make().save_listing(make_listing(FRIDAY), SATURDAY)
    other = make()
    assert other.get_listing(SATURDAY) == other.get_listing(FRIDAY) == make_listing(FRIDAY)


def test_listings_of_two_upstreams_are_separate(make: Make) -> None:
    make().save_listing(make_listing(), FRIDAY)
    assert make(upstream="http://127.0.0.1:9009").get_listing(FRIDAY) is None


def test_a_failure_is_known_to_all_until_the_page_is_read(make: Make) -> None:
    one, other = make(), make()
    failure = Failure(reason="status 503", count=1, at=NOON, retry_at=NOON, since=NOON)
    for page in (FRIDAY, None):
        one.save_failure(page, failure)
        wait_until(partial(has_failure, other, page, failure))
    other.save_listing(make_listing(), FRIDAY)
    wait_until(partial(has_failure, one, FRIDAY, None))
    wait_until(partial(has_failure, one, None, None))


def test_the_right_to_ask_is_held_by_one_until_it_ends_or_is_given_back(make: Make) -> None:
    one, other = make(), make()
    assert one.acquire_lease("one", NOON, LENGTH)
    assert one.acquire_lease("one", NOON, LENGTH), "its holder may take it again"
    assert not other.acquire_lease("other", NOON + timedelta(seconds=11), LENGTH)
    other.release_lease("other")
    assert not other.acquire_lease("other", NOON, LENGTH)
    one.release_lease("one")
    assert other.acquire_lease("other", NOON, LENGTH)
    assert one.acquire_lease("one", NOON + timedelta(seconds=13), LENGTH), "its holder died"


def test_who_has_the_right_sees_what_its_last_holder_kept(make: Make) -> None:
    """Else both would ask upstream for one page."""
    one, other = make(), make()
    one.save_listing(make_listing(), FRIDAY)
    wait_until(partial(shows, other, make_listing()))
    for number in range(1, 50):
        assert other.get_listing(FRIDAY)
        assert one.acquire_lease("one", NOON, LENGTH)
        one.save_listing(make_listing(seconds=number), FRIDAY)
        one.release_lease("one")
        assert other.acquire_lease("other", NOON, LENGTH)
        assert other.get_listing(FRIDAY) == make_listing(seconds=number)
        other.release_lease("other")


def test_of_many_who_want_the_right_at_once_one_gets_it(make: Make) -> None:
    stores = [make() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(20):
            now = NOON + round_ * timedelta(minutes=1)
            tries = [pool.submit(each.acquire_lease, str(id(each)), now, LENGTH) for each in stores]
            assert sum(each.result() for each in tries) == 1


def test_the_allowance_is_one_for_all(make: Make) -> None:
    stores = [make() for _ in range(3)]
    with ThreadPoolExecutor(9) as pool:
        slots = list(pool.map(lambda number: reserve_slot(stores[number % 3], NOON), range(90)))
    assert slots.count(NOON) == 60
    assert {len(store.get_request_log().times) for store in stores} == {60}


def test_since_when_an_address_answers_as_it_does_is_the_same_for_all(make: Make) -> None:
    one, other = make(), make()
    assert not has_last_modified(other, "http://a/")
    first = one.last_modified("http://a/", "x", NOON)
    wait_until(lambda: has_last_modified(other, "http://a/"))
    assert other.last_modified("http://a/", "x", NOON + LENGTH) == first == NOON
    second = other.last_modified("http://a/", "y", NOON)
    assert second == NOON + timedelta(seconds=1)
    assert one.last_modified("http://a/", "y", NOON) == second


def test_many_who_change_one_address_at_once_never_give_a_date_twice(make: Make) -> None:
    stores = [make() for _ in range(4)]

    def stamps(number: int) -> list[datetime]:
        given = [
            stores[number].last_modified("http://a/", f"{number} {each}", NOON)
            for each in range(25)
        ]
        return [date for date in given if date is not None]

    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(stamps, range(4)))
    assert all(dates == sorted(dates) for dates in given)
    assert len({date for dates in given for date in dates}) == 100


def test_others_learn_that_something_was_kept(make: Make) -> None:
    one, other = make(), make()
    other.open()
    for number in range(5):
        seen = other.version()
        one.save_listing(make_listing(seconds=number), FRIDAY)
        wait_until(partial(moved_on, other, seen))


def test_a_search_that_is_polled_is_touched(make: Make) -> None:
    store = make()
    store.save_listing(make_listing(SNOW), SNOW)
    assert store.get_listing(SNOW) == make_listing(SNOW)
    wait_until(lambda: not store._records._to_touch)
    assert make().get_listing(SNOW) == make_listing(SNOW)


def put(backend: Backend, key: StorageKey, value: bytes) -> None:
    assert backend.replace(key, backend.get(key), value)


def test_a_backend_replaces_only_what_is_expected(make: Make) -> None:
    backend, key = make()._records.backend, StorageKey(Area.DURABLE, "a [name] * ?")
    assert not backend.replace(key, b"x", b"y")
    assert backend.replace(key, None, b"1")
    assert not backend.replace(key, None, b"2")
    assert backend.replace(key, b"1", b"2")
    assert backend.get(key) == b"2"
    assert list(backend.scan(Area.DURABLE, "a [name] *")) == [(key.name, b"2")]
    assert not list(backend.scan(Area.DURABLE, "a [name] x"))
    assert not backend.replace(key, b"1", None)
    assert backend.replace(key, b"2", None)
    assert backend.get(key) is None


def test_a_backend_tells_others_what_was_changed_and_not_itself(make: Make, tmp_path: Path) -> None:
    stores = make(), make()
    one, other = (store._records.backend for store in stores)
    for store in stores:
        store._records._closing.set()
        store._records._thread.join()  # which polls too
    first, second = StorageKey(Area.DURABLE, "first"), StorageKey(Area.EVICTABLE, "second one")
    for area in Area:
        put(one, StorageKey(area, "before"), b"1")
    one.changes(), other.changes()  # of files that are new
    assert one.changes() == other.changes() == frozenset()
    put(one, first, b"1")
    put(one, second, b"2")
    one.replace(StorageKey(Area.DURABLE, "third"), None, b"3", announce=False)
    assert other.changes() == frozenset({first, second})
    assert one.changes() == other.changes() == frozenset()
    one.replace(first, b"1", None)
    assert other.changes() == frozenset({first})


def test_a_change_is_seen_within_a_second(make: Make) -> None:
    one, other = make(), make()
    other.open()
    delays = []
    for number in range(10):
        seen, began = other.version(), time.monotonic()
        one.save_listing(make_listing(seconds=number), FRIDAY)
        wait_until(partial(moved_on, other, seen))
        delays.append(time.monotonic() - began)
    assert max(delays) < 1


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff\xfe", b'{"page": 3}', b"null"])
def test_a_value_that_cannot_be_decoded_is_treated_as_absent(make: Make, value: bytes) -> None:
    store = make()
    put(store._records.backend, StorageKey(Area.DURABLE, f"{UPSTREAM} listing {FRIDAY}"), value)
    assert make().get_listing(FRIDAY) is None
    store.save_listing(make_listing(), FRIDAY)
    assert make().get_listing(FRIDAY) == make_listing()


def test_what_the_backend_lost_is_written_again_by_who_holds_it_and_the_latest_wins(
    make: Make,
) -> None:
    one, other = make(), make()
    older, newer = make_listing(words="older"), make_listing(seconds=1, words="newer")
    one.save_listing(older, FRIDAY)
    wait_until(partial(shows, other, older))
    one.save_listing(newer, FRIDAY)
    wait_until(partial(shows, other, newer))
    backend = one._records.backend
    put(backend, StorageKey(Area.DURABLE, f"{UPSTREAM} listing {FRIDAY}"), encode(older))
    for store in (other, one):
        store._records._is_synchronized = False
    wait_until(lambda: all(store._records._is_synchronized for store in (one, other)))
    assert make().get_listing(FRIDAY) == newer


class Note(msgspec.Struct, frozen=True):
    count: int


def test_two_versions_under_load_share_permanent_values_and_nothing_else(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make()
    monkeypatch.setattr("feedsrv.storage.repository.SCHEMA_VERSION", SCHEMA_VERSION + 1)
    other = make()
    rounds = 50

    def work(store: Repository, first: int) -> None:
        notes = store.permanent_values("notes", Note)
        for number in range(first, first + 2 * rounds, 2):
            newer = make_listing(seconds=number)
            store.save_listing(newer, FRIDAY)
            assert store.get_listing(FRIDAY) == newer
            notes.update("all", lambda note: Note(note.count + 1 if note else 1))
            store.last_modified("http://a/", str(number), NOON)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (one, other), (0, 1)))
    for store in (one, other):
        assert store.permanent_values("notes", Note).update("all", lambda note: note) == Note(
            2 * rounds
        )
        assert store.last_modified("http://a/", "new", NOON) == NOON + timedelta(seconds=rounds)
        assert store.failure_state(NOON) is None
    one.permanent_values("notes", Note).set("all", Note(0))
    wait_until(lambda: other.permanent_values("notes", Note).get("all") == Note(0))


def test_it_is_probed_and_measured(make: Make) -> None:
    store = make()
    assert store.check()
    store.save_listing(msgspec.structs.replace(make_listing(), skipped=("x" * 1000,)), FRIDAY)
    assert store.size() > 1000
    assert store.failure_state(NOON) is None
