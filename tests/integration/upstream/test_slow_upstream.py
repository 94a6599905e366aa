"""Upstream is slow, or hangs: how long requests wait, and what is fetched."""

import threading
import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv.models import Kind, Page
from feedsrv.upstream import scheduler
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

DEADLINE = 1.5
#: Seconds for the response to a request that does not wait, also on a busy machine.
AT_ONCE = 1.0


@pytest.fixture
def delay(upstream: FakeUpstream) -> Iterator[list[float]]:
    """Return a list of one number, the delay of upstream's responses in seconds."""
    seconds, ended = [0.0], threading.Event()

    def wait(path: str) -> Response | None:
        ended.wait(seconds[0])
        return None

    upstream.intercept = wait
    yield seconds
    ended.set()


def timed_get(client: FlaskClient, path: str) -> tuple[int, float]:
    started = time.monotonic()
    return client.get(path).status_code, time.monotonic() - started


def test_the_first_reader_gets_a_page_that_takes_most_of_the_deadline(
    make_service: MakeService, delay: list[float]
) -> None:
    delay[0] = 3.0  # the API is requested after 2.8 s
    service = make_service(deadline=4.0)
    status, _ = timed_get(create_app(service).test_client(), "/papers.atom")
    assert status == 200
    listing = service.repository.get_listing(service.newest_day())
    assert listing is not None
    assert listing.parsed_from == "data"


def test_a_page_slower_than_the_deadline_is_fetched_in_the_background(
    make_service: MakeService, delay: list[float]
) -> None:
    delay[0] = 1.6 * DEADLINE
    service = make_service(deadline=DEADLINE)
    client = create_app(service).test_client()
    status, seconds = timed_get(client, "/papers.atom")
    assert (status, seconds < DEADLINE + AT_ONCE) == (503, True)
    wait_until(lambda: client.get("/papers.atom").status_code == 200)
    assert service.repository.get_failure(None) is None


def test_a_stored_page_is_refreshed_by_a_slow_upstream(
    make_service: MakeService, delay: list[float], clock: Clock
) -> None:
    service = make_service(deadline=DEADLINE)
    client = create_app(service).test_client()
    assert client.get("/papers.atom").status_code == 200
    clock.forward(hours=1)
    delay[0] = 1.6 * DEADLINE
    status, seconds = timed_get(client, "/papers.atom")
    assert (status, seconds < AT_ONCE) == (200, True)

    def is_refreshed() -> bool:
        listing = service.repository.get_listing(service.newest_day())
        return listing is not None and listing.fetched_at == clock()

    wait_until(is_refreshed)


def test_after_one_timeout_no_request_waits_until_upstream_has_responded(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.inject_fault("timeout")
    deadline = 5.0  # a request of a busy machine takes less, unless it waits
    services = [make_service(deadline=deadline) for _ in range(2)]
    clients = [create_app(service).test_client() for service in services]
    assert timed_get(clients[0], "/papers.atom")[0] == 503
    for client in clients:  # two processes with one store
        for path in ("/papers.atom", "/papers/trending.atom", "/papers.atom?q=fog"):
            response_status, seconds = timed_get(client, path)
            assert (response_status, seconds < 0.8 * deadline) == (503, True)
    for service in services:
        wait_until(service.scheduler.is_idle)
    upstream.recover()
    clock.forward(minutes=40)
    wait_until(lambda: clients[1].get("/papers/trending.atom").status_code == 200)
    assert clients[1].get("/papers/week.atom").status_code == 200, "readers wait again"


def test_an_error_response_shows_that_upstream_does_not_hang(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = make_service(deadline=DEADLINE)
    client = create_app(service).test_client()
    upstream.inject_fault("timeout")
    client.get("/papers.atom")
    wait_until(service.scheduler.is_idle)
    assert service.sources.failures.is_hanging()
    upstream.inject_fault("nolist")
    clock.forward(minutes=2)
    client.get("/papers.atom")
    wait_until(service.scheduler.is_idle)
    assert not service.sources.failures.is_hanging()


def test_while_upstream_hangs_requests_are_retried_without_a_reader(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_MIN_PROBE_INTERVAL", 0.05)
    service = make_service(deadline=0.3)
    monkeypatch.setattr(service.sources.failures, "seconds_until_retry", lambda page: 0.05)
    upstream.inject_fault("timeout")
    assert create_app(service).test_client().get("/papers/trending.atom").status_code == 503
    wait_until(service.scheduler.is_idle)
    upstream.recover()
    clock.forward(minutes=2)
    wait_until(lambda: service.repository.get_listing(Page(Kind.TRENDING)) is not None)


def test_a_hanging_page_does_not_block_others_after_the_deadline(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    upstream.inject_fault("timeout", "/papers/trending")
    upstream.intercept = lambda path: Response("", 500) if "sort=trending" in path else None
    service = make_service(deadline=DEADLINE)
    client = create_app(service).test_client()
    with_trending = threading.Thread(target=client.get, args=["/papers/trending.atom"])
    with_trending.start()
    wait_until(lambda: "/papers/trending" in upstream.requests)
    future = service.scheduler.fetch_for_request(service.newest_day())
    assert future.result(timeout=2.5 * DEADLINE).papers, "sooner than the three deadlines of a page"
    with_trending.join()


def test_closing_the_service_ends_a_fetch_that_hangs(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    upstream.inject_fault("timeout")
    service = make_service(deadline=20.0)
    service.scheduler.refresh_in_background([service.newest_day()])
    wait_until(lambda: bool(upstream.requests))
    started = time.monotonic()
    service.close()
    assert time.monotonic() - started < 3
