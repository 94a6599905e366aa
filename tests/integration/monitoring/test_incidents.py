"""Word of long failures: an entry for each, and one when it is over."""

from __future__ import annotations

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


# --- as a reader finds it ---------------------------------------------------------------------


def fail_for(hours: int, client: FlaskClient, clock: Clock, path: str) -> None:
    for _ in range(hours + 1):
        client.get(path)
        clock.forward(hours=1)


def told(client: FlaskClient) -> list[tuple[str, str]]:
    found = feedparser.parse(client.get("/status.atom").data)
    assert not found.bozo
    return [(entry.title, entry.id) for entry in found.entries]


def test_a_reader_is_told_of_an_outage_and_of_its_end(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    client = create_app(make_service()).test_client()
    assert told(client) == []
    upstream.fail()
    fail_for(5, client, clock, "/papers/trending.atom")
    assert told(client) == []
    fail_for(2, client, clock, "/papers/trending.atom")
    (begun,) = told(client)
    assert begun[0] == "Hugging Face cannot be read"
    upstream.recover()
    client.get("/papers/trending.atom")
    other = create_app(make_service()).test_client()
    assert told(other) == [("Hugging Face can be read again", f"{begun[1]}:over"), begun]
    dates = [entry.updated for entry in feedparser.parse(other.get("/status.atom").data).entries]
    assert all(later >= earlier for later, earlier in pairwise(dates))


def test_a_reader_is_told_when_the_layout_drifts_and_when_it_is_back(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    client = create_app(service).test_client()
    page = Response("<html><p>something else", mimetype="text/html")
    upstream.intercept = lambda path: None if path.startswith("/api/") else page
    client.get("/papers/trending.atom")
    assert [title for title, _ in told(client)] == ["The layout of trending has changed"]
    upstream.recover()
    service.refresh_page(TRENDING)
    assert [title for title, _ in told(client)] == [
        "The layout of trending is as it was",
        "The layout of trending has changed",
    ]


def test_it_has_validators_like_any_feed(client: FlaskClient) -> None:
    first = client.get("/status.atom")
    assert first.mimetype == "application/atom+xml"
    held = {"If-None-Match": first.headers["ETag"]}
    assert client.get("/status.atom", headers=held).status_code == 304


def test_the_status_page_leads_readers_to_it(client: FlaskClient) -> None:
    text = client.get("/status").get_data(as_text=True)
    assert 'rel="alternate" type="application/atom+xml"' in text
    assert "http://localhost/status.atom" in text


@pytest.mark.parametrize("path", ["/status.atom", "/status"])
def test_on_a_private_server_it_wants_the_key(make_service: MakeService, path: str) -> None:
    client = create_app(make_service(access_key="open-sesame")).test_client()
    assert client.get(path).status_code == 401
    assert client.get(f"{path}?key=open-sesame").status_code == 200


def test_on_a_disk_that_fails_outages_are_known_all_the_same(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    client = create_app(make_service(cache_dir=tmp_path / "file")).test_client()
    upstream.fail()
    fail_for(8, client, clock, "/papers/trending.atom")
    assert len(told(client)) == 1
