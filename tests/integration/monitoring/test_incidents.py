"""The incident feed: one entry for each incident and one for its end."""

from itertools import pairwise
from pathlib import Path

import feedparser
import pytest
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv.feeds.service import Service
from feedsrv.models import Kind, Page
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream

TRENDING, WEEK = Page(Kind.TRENDING), Page(Kind.WEEK, "2026-W48")


def request_hourly(hours: int, client: FlaskClient, clock: Clock, path: str) -> None:
    for _ in range(hours + 1):
        client.get(path)
        clock.forward(hours=1)


def incident_entries(client: FlaskClient) -> list[tuple[str, str]]:
    """Return title and id of each entry of the incident feed."""
    feed = feedparser.parse(client.get("/status.atom").data)
    assert not feed.bozo
    return [(entry.title, entry.id) for entry in feed.entries]


def test_an_outage_has_an_entry_and_its_end_another(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    client = create_app(make_service()).test_client()
    assert incident_entries(client) == []
    upstream.fail()
    request_hourly(5, client, clock, "/papers/trending.atom")
    assert incident_entries(client) == []
    request_hourly(2, client, clock, "/papers/trending.atom")
    (start,) = incident_entries(client)
    assert start[0] == "Hugging Face is unreachable"
    upstream.recover()
    client.get("/papers/trending.atom")
    restarted = create_app(make_service()).test_client()
    assert incident_entries(restarted) == [
        ("Hugging Face is reachable again", f"{start[1]}:over"),
        start,
    ]
    dates = [
        entry.updated for entry in feedparser.parse(restarted.get("/status.atom").data).entries
    ]
    assert all(later >= earlier for later, earlier in pairwise(dates))


def test_a_layout_change_has_an_entry_and_its_end_another(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    client = create_app(service).test_client()
    page = Response("<html><p>something else", mimetype="text/html")
    upstream.intercept = lambda path: None if path.startswith("/api/") else page
    client.get("/papers/trending.atom")
    assert [title for title, _ in incident_entries(client)] == [
        "The layout of trending has changed"
    ]
    upstream.recover()
    service.refresh_page(TRENDING)
    assert [title for title, _ in incident_entries(client)] == [
        "The layout of trending is back to normal",
        "The layout of trending has changed",
    ]


def test_incident_feed_supports_conditional_requests(client: FlaskClient) -> None:
    first = client.get("/status.atom")
    assert first.mimetype == "application/atom+xml"
    headers = {"If-None-Match": first.headers["ETag"]}
    assert client.get("/status.atom", headers=headers).status_code == 304


def test_status_page_links_to_the_incident_feed(client: FlaskClient) -> None:
    text = client.get("/status").get_data(as_text=True)
    assert 'rel="alternate" type="application/atom+xml"' in text
    assert "http://localhost/status.atom" in text


@pytest.mark.parametrize("path", ["/status.atom", "/status"])
def test_status_of_a_private_server_requires_the_key(make_service: MakeService, path: str) -> None:
    client = create_app(make_service(access_key="open-sesame")).test_client()
    assert client.get(path).status_code == 401
    assert client.get(f"{path}?key=open-sesame").status_code == 200


def test_incidents_are_recorded_without_a_writable_disk(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")
    client = create_app(make_service(cache_dir=tmp_path / "file")).test_client()
    upstream.fail()
    request_hourly(8, client, clock, "/papers/trending.atom")
    assert len(incident_entries(client)) == 1
