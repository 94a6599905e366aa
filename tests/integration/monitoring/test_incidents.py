"""Word of long failures: an entry for each, and one when it is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import feedparser
import pytest
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv.feeds.service import Service
from feedsrv.models import Failure, Incidents, Kind, Page
from feedsrv.monitoring import incidents as outage
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.loopback import Loopback

Make = Callable[..., Service]
AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TRENDING, WEEK = Page(Kind.TRENDING), Page(Kind.WEEK, "2026-W48")


def failure(hours: float) -> Failure:
    """Return one that began so many hours ago."""
    return Failure(
        reason="HTTP 503 (https://huggingface.co/x)",
        count=9,
        at=AT,
        retry_at=AT,
        since=AT - timedelta(hours=hours),
    )


def test_what_fails_for_less_than_six_hours_is_not_told() -> None:
    assert outage.record_failure((), TRENDING, failure(5.9), failure(5.9), AT) == ()


def test_what_fails_for_longer_is_told_once() -> None:
    known = outage.record_failure((), TRENDING, failure(6), None, AT)
    assert [each.subject for each in known] == ["trending"]
    assert known[0].reason == "HTTP 503", "without the address"
    later = AT + timedelta(hours=3)
    assert outage.record_failure(known, TRENDING, failure(9), None, later) is known


def test_where_all_of_upstream_fails_there_is_one_outage() -> None:
    known: Incidents = ()
    for page in (TRENDING, WEEK):
        known = outage.record_failure(known, page, failure(6), failure(7), AT)
    assert [each.subject for each in known] == [outage.ALL_UPSTREAM]


def test_a_list_that_fails_on_while_others_only_begin_to_has_its_own() -> None:
    known = outage.record_failure((), TRENDING, failure(8), failure(1), AT)
    assert [each.subject for each in known] == ["trending"]


def test_it_is_over_when_that_list_is_read_and_no_other() -> None:
    known = outage.record_failure((), TRENDING, failure(6), None, AT)
    assert outage.record_success(known, WEEK, whole=True, now=AT) is known
    later = AT + timedelta(hours=1)
    over = outage.record_success(known, TRENDING, whole=True, now=later)
    assert over[0].until == later
    assert outage.record_success(over, TRENDING, whole=True, now=later) is over


def test_a_layout_is_as_it_was_only_when_the_list_is_read_from_its_data() -> None:
    known = outage.record_layout_change((), TRENDING, "no data", AT)
    assert outage.record_layout_change(known, TRENDING, "no data", AT) is known
    assert outage.record_success(known, TRENDING, whole=False, now=AT) is known
    assert outage.record_success(known, TRENDING, whole=True, now=AT)[0].until == AT


def test_no_more_than_fifty_are_remembered() -> None:
    known: Incidents = ()
    for number in range(60):
        page = Page(Kind.SEARCH, f"word{number}")
        known = outage.record_failure(known, page, failure(6), None, AT)
    assert len(known) == 50
    assert known[0].subject == "search word59"


def test_an_entry_is_updated_and_never_renamed() -> None:
    known = outage.record_failure((), Page(Kind.SEARCH, "<fog> & café"), failure(6), None, AT)
    (begun,) = outage.incident_entries(known, "http://h/status")
    over = outage.record_success(known, Page(Kind.SEARCH, "<fog> & café"), whole=True, now=AT)
    ended, still = outage.incident_entries(over, "http://h/status")
    assert (still.id, still.title, still.published) == (begun.id, begun.title, begun.published)
    assert ended.id == f"{begun.id}:over"
    assert begun.id.isascii()
    assert "It was over at 2026-11-24 09:30 UTC." in still.content


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
    make_service: Make, upstream: Loopback, clock: Clock
) -> None:
    client = create_app(make_service()).test_client()
    assert told(client) == []
    upstream.down()
    fail_for(5, client, clock, "/papers/trending.atom")
    assert told(client) == []
    fail_for(2, client, clock, "/papers/trending.atom")
    (begun,) = told(client)
    assert begun[0] == "Hugging Face cannot be read"
    upstream.up()
    client.get("/papers/trending.atom")
    other = create_app(make_service()).test_client()
    assert told(other) == [("Hugging Face can be read again", f"{begun[1]}:over"), begun]
    dates = [entry.updated for entry in feedparser.parse(other.get("/status.atom").data).entries]
    assert all(later >= earlier for later, earlier in pairwise(dates))


def test_a_reader_is_told_when_the_layout_drifts_and_when_it_is_back(
    service: Service, upstream: Loopback, clock: Clock
) -> None:
    client = create_app(service).test_client()
    page = Response("<html><p>something else", mimetype="text/html")
    upstream.fault = lambda path: None if path.startswith("/api/") else page
    client.get("/papers/trending.atom")
    assert [title for title, _ in told(client)] == ["The layout of trending has changed"]
    upstream.up()
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
def test_on_a_private_server_it_wants_the_key(make_service: Make, path: str) -> None:
    client = create_app(make_service(access_key="open-sesame")).test_client()
    assert client.get(path).status_code == 401
    assert client.get(f"{path}?key=open-sesame").status_code == 200


def test_on_a_disk_that_fails_outages_are_known_all_the_same(
    make_service: Make, upstream: Loopback, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    client = create_app(make_service(cache_dir=tmp_path / "file")).test_client()
    upstream.down()
    fail_for(8, client, clock, "/papers/trending.atom")
    assert len(told(client)) == 1
