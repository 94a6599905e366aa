"""Impossible dates, from upstream or from the clock of the server."""

from datetime import UTC, datetime

import pytest
from werkzeug.wrappers import Response

from feedsrv.models import Kind, Page
from feedsrv.web.app import create_app
from tests.support.builders import make_listing, make_paper
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

PATHS = (
    "/papers.atom", "/papers", "/", "/papers.atom?q=causal", "/status", "/status.json", "/metrics",
    "/feeds/causal.atom", "/papers/week.atom", "/papers/month.rss", "/readyz",
)  # fmt: skip


def statuses(make_service: MakeService) -> set[int]:
    client = create_app(make_service(history_days=3)).test_client()
    return {client.get(path).status_code for path in PATHS}


@pytest.mark.parametrize("label", ["0001-01-01", "9999-12-31"])
def test_an_impossible_day_breaks_no_url(
    make_service: MakeService, upstream: FakeUpstream, label: str
) -> None:
    today = upstream.today().isoformat().encode()
    upstream.damage = (
        b"dateString&quot;: &quot;" + today,
        b"dateString&quot;: &quot;" + label.encode(),
        "/papers",
    )
    for _ in range(2):
        assert statuses(make_service) <= {200}


@pytest.mark.parametrize("label", ["0001-01-01", "9999-12-31"])
def test_a_stored_impossible_day_breaks_no_url(
    make_service: MakeService, clock: Clock, label: str
) -> None:
    service = make_service()
    today = Page(Kind.DAY, clock.today().isoformat())
    impossible = Page(Kind.DAY, label)
    listing = make_listing(make_paper(), page=impossible, fetched_at=clock())
    service.repository.save_listing(listing, today)
    assert statuses(make_service) <= {200}


@pytest.mark.parametrize("year", [1970, 2022, 2023])
@pytest.mark.parametrize("is_up", [True, False], ids=["upstream-works", "upstream-fails"])
def test_a_clock_before_the_first_list_breaks_no_url(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, year: int, is_up: bool
) -> None:
    if not is_up:
        upstream.intercept = lambda path: Response("", 500)
    upstream.today = lambda: datetime(2026, 11, 24, tzinfo=UTC).date()
    correct_time, clock.now = clock.now, datetime(year, 1, 1, tzinfo=UTC)
    assert statuses(make_service) <= {200, 503}
    clock.now = correct_time
    upstream.recover()
    client = create_app(make_service()).test_client()
    wait_until(lambda: b"2611.00001" in client.get("/papers.atom").data)


def test_a_paper_of_the_year_9999_does_not_stay_on_top(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    upstream.damage = (b"2026-11-23T00:00:00.000Z", b"9999-01-01T00:00:00.000Z", "/")
    client = create_app(make_service(history_days=2)).test_client()
    wait_until(lambda: b"2611.00005" in client.get("/papers.atom").data)
    feed = client.get("/papers.atom").data
    assert b"9999" not in feed
    assert feed.index(b"2611.00001") < feed.index(b"2611.00005")
