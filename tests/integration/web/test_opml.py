"""The OPML list of configured feeds."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from feedsrv.web.app import create_app
from tests.support.documents import parse_opml
from tests.support.samples import FEEDS
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream


@pytest.mark.parametrize(
    ("query", "suffix"),
    [("", "atom"), ("?format=atom", "atom"), ("?format=rss", "rss"), ("?format=json", "json")],
)
def test_every_configured_feed_is_in_the_list_of_subscriptions(
    sample_client: FlaskClient, query: str, suffix: str
) -> None:
    answer = sample_client.get(f"/feeds.opml{query}")
    assert answer.content_type == "text/x-opml; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment; filename=feedsrv.opml"
    found = parse_opml(answer.data)
    titles = {"causal": "Causal matters", "sea": "By the sea", "empty": "No walrus"}
    root = "http://localhost/feeds"
    assert [(one["type"], one["text"], one["xmlUrl"], one["htmlUrl"]) for one in found] == [
        ("rss", title, f"{root}/{name}.{suffix}", f"{root}/{name}")
        for name, title in titles.items()
    ]
    assert [one["title"] for one in found] == list(titles.values())
    assert found[0]["description"] == "Papers from Hugging Face Daily Papers that match: causal"
    for one in found:
        assert sample_client.get(one["xmlUrl"]).status_code == 200
        assert sample_client.get(one["htmlUrl"]).mimetype == "text/html"


def test_a_format_that_there_is_not_is_refused(sample_client: FlaskClient) -> None:
    for wrong in ("pdf", "ATOM", "", "atom,rss"):
        answer = sample_client.get("/feeds.opml", query_string={"format": wrong})
        assert answer.status_code == 400, wrong
        assert "must be one of atom, rss, json" in json.loads(answer.data)["detail"]


def test_the_list_is_the_same_bytes_on_every_server_and_asks_upstream_for_nothing(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    bodies = {
        create_app(make_service(feeds=FEEDS)).test_client().get("/feeds.opml").data
        for _ in range(2)
    }
    assert len(bodies) == 1
    assert upstream.requests == []


def test_a_list_without_feeds_is_a_list(make_service: MakeService) -> None:
    answer = create_app(make_service(feeds={})).test_client().get("/feeds.opml")
    assert parse_opml(answer.data) == []
