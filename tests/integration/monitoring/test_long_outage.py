"""Upstream fails for three days, returns with another layout, and then with the old one."""

from collections.abc import Iterator

import feedparser
import pytest

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

FEEDS = ("/papers.atom", "/papers/trending.atom", "/feeds/causal.atom")
POLLS_OF_THREE_DAYS = 18


def poll(service: Service, clock: Clock, times: int) -> Iterator[dict[str, bytes]]:
    """Poll every four hours; yield the body of each feed."""
    client = create_app(service).test_client()
    for _ in range(times):
        clock.forward(hours=4)
        responses = {path: client.get(path) for path in FEEDS}
        assert {response.status_code for response in responses.values()} == {200}
        wait_until(service._scheduler.is_idle)
        yield {path: response.data for path, response in responses.items()}


def titles(service: Service) -> list[str]:
    """Return the titles of the incident feed, oldest first."""
    feed = feedparser.parse(create_app(service).test_client().get("/status.atom").data)
    return [entry.title for entry in reversed(feed.entries)]


@pytest.fixture
def service(make_service: MakeService) -> Service:
    service = make_service(history_days=8)
    client = create_app(service).test_client()
    for path in FEEDS:
        assert client.get(path).status_code == 200
    wait_until(service._scheduler.is_idle)
    return service


def test_incidents_of_an_outage_and_of_a_temporary_layout_change(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    last_day = clock.today()
    upstream.today = lambda: last_day
    *_, before = poll(service, clock, 1)

    upstream.inject_fault("503")
    requests = len(upstream.requests)
    for served in poll(service, clock, POLLS_OF_THREE_DAYS):
        assert served == before, "the last good feeds"
    assert len(upstream.requests) - requests < 10 * POLLS_OF_THREE_DAYS
    assert titles(service) == ["Hugging Face is unreachable"]

    upstream.inject_fault("cards-only")
    upstream.papers.append(make_raw_paper(9, summary="A new paper about fog."))
    *_, served = poll(service, clock, 8)
    old, new = (served["/papers.atom"], b"2611.00009")
    assert new in old
    assert b"Ada Quill" in old, "what was read before keeps its authors"
    assert set(titles(service)[1:]) == {
        "Hugging Face is reachable again",
        "The layout of day has changed",
        "The layout of search has changed",
        "The layout of trending has changed",
    }
    updated = {entry.id: entry.updated for entry in feedparser.parse(old).entries}

    upstream.recover()
    *_, served = poll(service, clock, 8)
    entries = {entry.id: entry for entry in feedparser.parse(served["/papers.atom"]).entries}
    assert {paper_id: entry.updated for paper_id, entry in entries.items()} == updated
    assert all(entry.authors and entry.summary for entry in entries.values())
    assert sorted(titles(service)[-3:]) == [
        "The layout of day is back to normal",
        "The layout of search is back to normal",
        "The layout of trending is back to normal",
    ]
    assert all(incident.ended_at for incident in service.repository.get_incidents())
