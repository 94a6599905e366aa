"""Requests while upstream hangs: how long they wait."""

from __future__ import annotations

import time

from feedsrv.models import Feed
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

FEED = "/papers.atom"


def test_a_union_of_feeds_without_data_waits_for_one_deadline(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    feeds = {name: Feed(name=name, title=name, query=name) for name in ("fog", "tides", "ferry")}
    upstream.inject_fault("timeout")
    client = create_app(make_service(deadline=2.0, feeds=feeds)).test_client()
    started = time.monotonic()
    assert client.get("/feeds/fog+tides+ferry.atom").status_code == 503
    assert time.monotonic() - started < 5.5


def test_stored_listings_are_served_while_upstream_hangs(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = make_service(deadline=5.0)
    client = create_app(service).test_client()
    stored = client.get(FEED).data
    upstream.inject_fault("timeout")
    clock.forward(hours=1)
    started = time.monotonic()
    assert client.get(FEED).data == stored
    wait_until(lambda: len(upstream.requests) == 2)
    assert client.get(FEED).data == stored, "while the fetch is in progress"
    assert time.monotonic() - started < 4.9
    assert not service._scheduler.is_idle()
