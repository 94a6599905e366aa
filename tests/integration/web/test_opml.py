"""The OPML list of configured feeds."""

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
def test_every_configured_feed_is_an_outline(
    sample_client: FlaskClient, query: str, suffix: str
) -> None:
    response = sample_client.get(f"/feeds.opml{query}")
    assert response.content_type == "text/x-opml; charset=utf-8"
    assert response.headers["Content-Disposition"] == "attachment; filename=feedsrv.opml"
    outlines = parse_opml(response.data)
    titles = {"causal": "Causal matters", "sea": "By the sea", "empty": "No walrus"}
    root = "http://localhost/feeds"
    assert [
        (outline["type"], outline["text"], outline["xmlUrl"], outline["htmlUrl"])
        for outline in outlines
    ] == [
        ("rss", title, f"{root}/{name}.{suffix}", f"{root}/{name}")
        for name, title in titles.items()
    ]
    assert [outline["title"] for outline in outlines] == list(titles.values())
    assert outlines[0]["description"] == "Papers from Hugging Face Daily Papers that match: causal"
    for outline in outlines:
        assert sample_client.get(outline["xmlUrl"]).status_code == 200
        assert sample_client.get(outline["htmlUrl"]).mimetype == "text/html"


def test_an_unknown_format_is_rejected(sample_client: FlaskClient) -> None:
    for wrong in ("pdf", "ATOM", "", "atom,rss"):
        response = sample_client.get("/feeds.opml", query_string={"format": wrong})
        assert response.status_code == 400, wrong
        assert "must be one of atom, rss, json" in json.loads(response.data)["detail"]


def test_the_list_is_the_same_on_every_server_and_sends_no_request_upstream(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    bodies = {
        create_app(make_service(feeds=FEEDS)).test_client().get("/feeds.opml").data
        for _ in range(2)
    }
    assert len(bodies) == 1
    assert upstream.requests == []


def test_the_list_is_empty_without_feeds(make_service: MakeService) -> None:
    response = create_app(make_service(feeds={})).test_client().get("/feeds.opml")
    assert parse_opml(response.data) == []
