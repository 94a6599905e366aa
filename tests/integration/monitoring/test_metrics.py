"""What operators measure: counters of what was done, and how the server is."""

from __future__ import annotations

import subprocess

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client

from feedsrv.feeds.service import Service
from feedsrv.models import Kind, Page
from feedsrv.web.app import create_app
from feedsrv.web.cache import ResponseCache
from tests.support.clock import Clock
from tests.support.feed_readers import require_program
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

FEED = "/papers.atom"


def cached_client(service: Service) -> Client:
    return Client(ResponseCache(create_app(service), service))


def metric_value(client: Client, name: str, **labels: str) -> float:
    """Return what the server says of one series; 0 where it says nothing."""
    text = client.get("/metrics").get_data(as_text=True)
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return found.get((name, tuple(sorted(labels.items()))), 0)


def request_count(client: Client, route: str, status: str, ready: str = "no") -> float:
    return metric_value(client, "feedsrv_requests_total", route=route, status=status, ready=ready)


def test_answers_are_counted_by_route_and_status(service: Service) -> None:
    client = cached_client(service)
    for path in ("/papers.atom?q=causal", "/papers.rss?q=fog", "/papers.atom?q=(", "/nothing"):
        client.get(path)
    assert request_count(client, "/papers.<suffix>", "200") == 2
    assert request_count(client, "/papers.<suffix>", "400") == 1
    assert request_count(client, "none", "404") == 1


def test_a_path_that_somebody_makes_up_makes_no_series(service: Service) -> None:
    client = cached_client(service)
    for number in range(20):
        client.get(f"/made-up-{number}")
        client.get(f"/feeds/made-up-{number}.atom")
    text = client.get("/metrics").get_data(as_text=True)
    assert "made-up" not in text
    assert request_count(client, "none", "404") == 20


def test_answers_that_lie_ready_are_counted_apart(service: Service) -> None:
    client = cached_client(service)
    client.get(FEED)
    wait_until(service._scheduler.is_idle)
    etag = client.get(FEED).headers["ETag"]  # made anew, for something was kept meanwhile
    before = request_count(client, "/papers.<suffix>", "200", "yes")
    client.get(FEED)
    client.get(FEED)
    client.get(FEED, headers={"If-None-Match": etag})
    assert request_count(client, "/papers.<suffix>", "200", "yes") - before == 2
    assert request_count(client, "/papers.<suffix>", "304", "yes") == 1


def test_readings_are_counted_by_kind_and_by_what_came_of_them(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    client = cached_client(service)
    client.get("/papers/trending.atom")
    assert metric_value(client, "feedsrv_refreshes_total", kind="trending", result="data") == 1
    assert metric_value(client, "feedsrv_upstream_requests_total") == len(upstream.requests) == 1
    upstream.fail()
    client.get("/papers/week.atom")
    assert metric_value(client, "feedsrv_refreshes_total", kind="week", result="failed") == 1
    assert metric_value(client, "feedsrv_failing_lists") == 1
    assert metric_value(client, "feedsrv_upstream_requests_total") == len(upstream.requests) == 3


def test_how_the_server_is_is_looked_up_when_somebody_asks(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    client = cached_client(service)
    assert b"feedsrv_newest_list_age_seconds" not in client.get("/metrics").data
    assert metric_value(client, "feedsrv_upstream_allowance_left") == 60
    client.get(FEED)
    wait_until(service._scheduler.is_idle)
    clock.forward(minutes=5)
    assert metric_value(client, "feedsrv_newest_list_age_seconds") == 300
    assert metric_value(client, "feedsrv_lists", state="fresh") == 1
    assert metric_value(client, "feedsrv_store_bytes") > 0
    assert metric_value(client, "feedsrv_store_failing") == 0
    upstream.fail()
    clock.forward(hours=1)
    client.get(FEED)
    wait_until(service._scheduler.is_idle)
    clock.forward(hours=2)
    assert metric_value(client, "feedsrv_upstream_failing_seconds") == 0, "nobody has asked since"
    client.get(FEED)
    wait_until(service._scheduler.is_idle)
    assert metric_value(client, "feedsrv_upstream_failing_seconds") == 7200


def test_an_allowance_that_is_used_up_is_no_failure(
    service: Service, upstream: FakeUpstream, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client = cached_client(service)
    upstream.headers = {"ratelimit": '"pages";r=0;t=53'}
    client.get("/papers/trending.atom")
    clock.forward(hours=8)
    assert metric_value(client, "feedsrv_upstream_failing_seconds") == 0
    upstream.headers = {}
    service.refresh_page(Page(Kind.TRENDING))
    assert "is read again" not in caplog.text


def test_two_services_count_apart(make_service: MakeService) -> None:
    one, other = cached_client(make_service()), cached_client(make_service())
    one.get("/nothing")
    assert request_count(one, "none", "404") == 1
    assert request_count(other, "none", "404") == 0


def test_a_private_server_shows_its_figures_to_who_has_the_key(make_service: MakeService) -> None:
    client = create_app(make_service(access_key="open-sesame")).test_client()
    for path in ("/metrics", "/readyz"):
        assert client.get(path).status_code == 401
        assert client.get(path, auth=("any", "open-sesame")).status_code in {200, 503}


def test_figures_are_kept_by_nobody(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_prometheus_finds_nothing_to_say_against_the_figures(
    service: Service, upstream: FakeUpstream
) -> None:
    require_program("promtool", "prometheus")
    client = cached_client(service)
    client.get(FEED)
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=client.get("/metrics").data,
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, b""), checked.stdout


def test_a_server_is_ready_once_there_is_anything_to_serve(
    service: Service, upstream: FakeUpstream
) -> None:
    client = cached_client(service)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    wait_until(lambda: client.get("/readyz").status_code == 200)
    assert upstream.requests[0] == "/papers/date/2026-11-24"


def test_a_server_that_cannot_read_is_not_ready_and_does_not_hammer(
    service: Service, upstream: FakeUpstream
) -> None:
    upstream.fail()
    client = cached_client(service)
    client.get("/readyz")
    wait_until(lambda: service._scheduler.is_idle() and len(upstream.requests) > 0)
    asked = len(upstream.requests)
    assert [client.get("/readyz").status_code for _ in range(5)] == [503] * 5
    assert len(upstream.requests) == asked


def test_what_was_read_once_is_enough_to_be_ready(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    first = make_service()
    cached_client(first).get("/papers/trending.atom")
    upstream.fail()
    clock.forward(days=2)
    assert cached_client(make_service()).get("/readyz").status_code == 200
