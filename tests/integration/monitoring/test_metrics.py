"""Prometheus metrics and the readiness probe."""

import subprocess

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client

from feedsrv.feeds.service import Service
from feedsrv.models import Kind, Page
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.feed_readers import require_program
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

FEED = "/papers.atom"


def make_client(service: Service) -> Client:
    return Client(create_app(service))


def metric_value(client: Client, name: str, **labels: str) -> float:
    """Return the value of one series; 0 if there is no such series."""
    text = client.get("/metrics").get_data(as_text=True)
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return samples.get((name, tuple(sorted(labels.items()))), 0)


def response_count(client: Client, route: str, status: str, ready: str = "no") -> float:
    return metric_value(client, "feedsrv_requests_total", route=route, status=status, ready=ready)


def test_responses_are_counted_by_route_and_status(service: Service) -> None:
    client = make_client(service)
    for path in ("/papers.atom?q=causal", "/papers.rss?q=fog", "/papers.atom?q=(", "/nothing"):
        client.get(path)
    assert response_count(client, "/papers.<suffix>", "200") == 2
    assert response_count(client, "/papers.<suffix>", "400") == 1
    assert response_count(client, "none", "404") == 1


def test_unknown_paths_make_no_series(service: Service) -> None:
    client = make_client(service)
    for number in range(20):
        client.get(f"/unknown-{number}")
        client.get(f"/feeds/unknown-{number}.atom")
    text = client.get("/metrics").get_data(as_text=True)
    assert "unknown" not in text
    assert response_count(client, "none", "404") == 20


def test_cached_responses_are_counted_separately(service: Service) -> None:
    client = make_client(service)
    client.get(FEED)
    wait_until(service._scheduler.is_idle)
    etag = client.get(FEED).headers["ETag"]  # rendered again, because the refresh stored a listing
    before = response_count(client, "/papers.<suffix>", "200", "yes")
    client.get(FEED)
    client.get(FEED)
    client.get(FEED, headers={"If-None-Match": etag})
    assert response_count(client, "/papers.<suffix>", "200", "yes") - before == 2
    assert response_count(client, "/papers.<suffix>", "304", "yes") == 1


def test_refreshes_are_counted_by_kind_and_result(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client(service)
    client.get("/papers/trending.atom")
    assert metric_value(client, "feedsrv_refreshes_total", kind="trending", result="data") == 1
    assert metric_value(client, "feedsrv_upstream_requests_total") == len(upstream.requests) == 1
    upstream.fail()
    client.get("/papers/week.atom")
    assert metric_value(client, "feedsrv_refreshes_total", kind="week", result="failed") == 1
    assert metric_value(client, "feedsrv_failing_lists") == 1
    assert metric_value(client, "feedsrv_upstream_requests_total") == len(upstream.requests) == 3


def test_gauges_show_the_current_state(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client(service)
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
    assert metric_value(client, "feedsrv_upstream_failing_seconds") == 0, (
        "nothing was fetched since"
    )
    client.get(FEED)
    wait_until(service._scheduler.is_idle)
    assert metric_value(client, "feedsrv_upstream_failing_seconds") == 7200


def test_an_exhausted_request_budget_is_not_a_failure(
    service: Service, upstream: FakeUpstream, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(service)
    upstream.headers = {"ratelimit": '"pages";r=0;t=53'}
    client.get("/papers/trending.atom")
    clock.forward(hours=8)
    assert metric_value(client, "feedsrv_upstream_failing_seconds") == 0
    upstream.headers = {}
    service.refresh_page(Page(Kind.TRENDING))
    assert "is read again" not in caplog.text


def test_services_count_separately(make_service: MakeService) -> None:
    first, second = make_client(make_service()), make_client(make_service())
    first.get("/nothing")
    assert response_count(first, "none", "404") == 1
    assert response_count(second, "none", "404") == 0


def test_metrics_of_a_private_server_require_the_key(make_service: MakeService) -> None:
    client = create_app(make_service(access_key="open-sesame")).test_client()
    for path in ("/metrics", "/readyz"):
        assert client.get(path).status_code == 401
        assert client.get(path, auth=("any", "open-sesame")).status_code in {200, 503}


def test_metrics_are_not_cached(client: FlaskClient) -> None:
    response = client.get("/metrics")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_promtool_accepts_the_metrics(service: Service, upstream: FakeUpstream) -> None:
    require_program("promtool", "prometheus")
    client = make_client(service)
    client.get(FEED)
    result = subprocess.run(
        ["promtool", "check", "metrics"],
        input=client.get("/metrics").data,
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b""), result.stdout


def test_readyz_is_200_once_there_is_a_list(service: Service, upstream: FakeUpstream) -> None:
    client = make_client(service)
    response = client.get("/readyz")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    wait_until(lambda: client.get("/readyz").status_code == 200)
    assert upstream.requests[0] == "/papers/date/2026-11-24"


def test_readyz_is_503_without_lists_and_respects_the_backoff(
    service: Service, upstream: FakeUpstream
) -> None:
    upstream.fail()
    client = make_client(service)
    client.get("/readyz")
    wait_until(lambda: service._scheduler.is_idle() and len(upstream.requests) > 0)
    request_count = len(upstream.requests)
    assert [client.get("/readyz").status_code for _ in range(5)] == [503] * 5
    assert len(upstream.requests) == request_count


def test_readyz_is_200_with_stale_lists(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    first = make_service()
    make_client(first).get("/papers/trending.atom")
    upstream.fail()
    clock.forward(days=2)
    assert make_client(make_service()).get("/readyz").status_code == 200
