"""Upstream fails during a request: one fault of each class of outcome, through the whole stack.

`upstream/test_faults.py` has every fault, at the level of the client and the parser.
"""

import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import feedparser
import pytest

from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.faults import HANGING, OUTCOMES, SCOPES
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

FEED = "/papers.atom"
each_class = pytest.mark.parametrize("fault", OUTCOMES)
each_scope = pytest.mark.parametrize("scope", SCOPES)


@pytest.fixture(autouse=True)
def only_upstream_is_contacted(
    upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Check after the test that no other host was connected to or looked up."""
    contacted: set[tuple[Any, ...]] = set()
    connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

    def record_connect(self: socket.socket, address: tuple[Any, ...]) -> None:
        contacted.add(address[:2])
        connect(self, address)

    def record_lookup(host: str, port: int, *args: Any, **more: Any) -> Any:
        contacted.add((host, port))
        return getaddrinfo(host, port, *args, **more)

    monkeypatch.setattr(socket.socket, "connect", record_connect)
    monkeypatch.setattr(socket, "getaddrinfo", record_lookup)
    yield
    assert contacted == {("127.0.0.1", int(upstream.url.rpartition(":")[2]))}


def deadline(fault: str, seconds: float) -> float:
    """Return a short deadline for faults that only the deadline ends, otherwise a long one."""
    return seconds if fault in HANGING else 30.0


@each_scope
@each_class
def test_without_stored_data_the_api_is_used_or_an_error_has_reason_and_retry_after(
    make_service: MakeService, upstream: FakeUpstream, fault: str, scope: str
) -> None:
    service = make_service(deadline=deadline(fault, 4.0))
    upstream.inject_fault(fault, SCOPES[scope])
    response = create_app(service).test_client().get(FEED)
    expected = OUTCOMES[fault][list(SCOPES).index(scope)]
    if expected[0].isdigit():
        listing = service.repository.get_listing(service.newest_day())
        assert response.status_code == 200
        assert listing is not None
        entries = feedparser.parse(response.data).entries
        assert f"{len(entries)} from {listing.parsed_from}" == expected
    else:
        assert (response.status_code, response.mimetype) == (503, "application/problem+json")
        assert response.json is not None
        prefix = "nothing fetched from Hugging Face yet: "
        assert re.match(expected, response.json["detail"].removeprefix(prefix))
        assert response.headers["Retry-After"] == str(response.json["retry_after"]) == "60"


@each_scope
@each_class
def test_a_stored_feed_is_served_unchanged_during_an_outage_and_updated_after_it(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, fault: str, scope: str
) -> None:
    healthy = create_app(make_service(deadline=30.0)).test_client()
    stored = healthy.get(FEED).data
    service = make_service(deadline=deadline(fault, 0.3))
    client = create_app(service).test_client()
    gate = threading.Event()

    def hold(path: str) -> None:
        gate.wait(20)

    upstream.intercept = hold
    upstream.inject_fault(fault, SCOPES[scope])
    for minutes in (21, 30, 30):  # after the listing was fetched; then every half hour
        clock.forward(minutes=minutes)
        gate.clear()
        response = client.get(FEED)
        assert (response.status_code, response.data) == (200, stored)
        assert fault in HANGING or not service._scheduler.is_idle(), "before upstream answered"
        gate.set()
        wait_until(service._scheduler.is_idle)
    assert client.get(FEED).data == stored, "nor does what was read meanwhile change it"
    assert len(upstream.requests) > 3, "upstream was asked each time"
    upstream.recover()
    upstream.papers.append(make_raw_paper(9))
    clock.forward(minutes=31)
    wait_until(lambda: b"2611.00009" in healthy.get(FEED).data)
