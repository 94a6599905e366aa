"""The status page."""

from __future__ import annotations

import json
from pathlib import Path

from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from tests.support.clock import Clock
from tests.support.html import parse_html, text_of
from tests.support.types import MakeClient
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until


def test_the_status_tells_what_was_read_and_never_asks(
    make_warm_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_warm_client(history_days=2)
    upstream.requests.clear()
    clock.forward(minutes=50)
    page = parse_html(client.get("/status"))
    assert "All is well. The newest list was read 50 minutes ago." in text_of(page)
    rows = [[text_of(cell) for cell in row.select("th, td")] for row in page.select("tbody tr")]
    assert rows == [
        ["Week 48 of 2026", "5", "50 minutes ago", "fresh"],
        ["November 2026", "5", "50 minutes ago", "fresh"],
        ["Trending", "5", "50 minutes ago", "fresh"],
        ["causal", "3", "50 minutes ago", "fresh"],
        ["24 November 2026", "3", "50 minutes ago", "due since 30 minutes ago"],
        ["23 November 2026", "2", "50 minutes ago", "fresh"],
    ]
    assert "60 of 60 in five minutes" in text_of(page)
    assert upstream.requests == []


def test_the_status_tells_what_fails_and_since_when(
    make_warm_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_warm_client()
    upstream.fail()
    clock.forward(days=1)
    client.get("/papers.atom")
    wait_until(lambda: b"cannot be read" in client.get("/status").data)
    clock.forward(minutes=5)
    page = parse_html(client.get("/status"))
    assert (
        "Hugging Face cannot be read: status 503. It failed first 5 minutes ago; it is asked again"
        " in a moment, when a reader comes."
    ) in text_of(page)
    assert json.loads(client.get("/status.json").data)["failure"]["since"] == "2026-11-25T09:30:00Z"
    (row,) = page.select("tr.bad")
    assert text_of(row) == (
        "25 November 2026 – never cannot be read since 25 November 2026, 09:30 UTC: status 503"
    )


def test_the_status_of_a_server_that_read_nothing_yet(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    page = parse_html(client.get("/status"))
    assert "Nothing has been read yet." in text_of(page)
    assert "never" in text_of(page)
    assert upstream.requests == []


def test_the_status_is_there_as_data(
    make_warm_client: MakeClient, config: Config, upstream: FakeUpstream
) -> None:
    client = make_warm_client(history_days=2)
    answer = client.get("/status.json")
    assert answer.content_type == "application/json"
    found = json.loads(answer.data)
    assert found.keys() == {
        "version", "at", "failure", "days", "lists", "searches", "allowance", "store",
        "unreadable",
    }  # fmt: skip
    assert found["days"][0]["page"] == {"kind": "day", "key": "2026-11-24"}
    assert found["days"][0]["state"] == "fresh"
    assert found["allowance"] == {"left": 60 - len(upstream.requests), "most": 60}
    assert found["store"]["bytes"] > 10_000
    assert str(config.cache_dir) not in answer.text, "where it lies is nobody's business"


def test_the_status_tells_of_pages_that_could_not_be_read(
    client: FlaskClient, service: Service, upstream: FakeUpstream
) -> None:
    upstream.intercept = lambda path: Response("<html><p>a new layout</html>", mimetype="text/html")
    client.get("/papers.atom")
    page = parse_html(client.get("/status"))
    assert "Has Hugging Face changed its pages?" in text_of(page)
    assert "day.html of 24 November 2026" in text_of(page)
    names = [name for name, _ in client.get("/status.json").get_json()["unreadable"]]
    assert names == ["day.html", "day.json"]


def test_the_status_tells_of_a_disk_that_fails(
    make_warm_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    client = make_warm_client(cache_dir=tmp_path / "file" / "store")
    assert client.get("/papers.atom").status_code == 200
    page = parse_html(client.get("/status"))
    assert "Nothing can be kept on disk since 24 November 2026" in text_of(page)
    assert "Not a directory" in client.get("/status.json").get_json()["store"]["trouble"]
