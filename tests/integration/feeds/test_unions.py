"""Unions of feeds."""

import json
import time

import pytest
from flask.testing import FlaskClient

from feedsrv.feeds.entry import FEED_SCHEME
from feedsrv.models import Feed
from feedsrv.web.app import create_app
from tests.support.documents import (
    ATOM_NAMESPACES,
    RSS_NAMESPACES,
    find_text,
    find_texts,
    parse_xml,
)
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream


def feed_names_by_paper(document: bytes) -> dict[str, set[str]]:
    """Return the names of the feeds that have each paper, by the last digit of its id."""
    return {
        find_text(entry, "a:id")[-1]: {
            each.get("term", "")
            for each in entry.findall("a:category", ATOM_NAMESPACES)
            if each.get("scheme") == FEED_SCHEME
        }
        for entry in parse_xml(document).findall("a:entry", ATOM_NAMESPACES)
    }


def test_a_union_has_each_paper_once_with_all_feeds_that_have_it(
    sample_client: FlaskClient,
) -> None:
    document = sample_client.get("/feeds/causal+sea+empty.atom").data
    ids = find_texts(parse_xml(document), "a:entry/a:id")
    assert len(ids) == len(set(ids)) == 5
    both = {"causal", "sea"}
    assert feed_names_by_paper(document) == {
        "3": both,
        "2": {"sea"},
        "1": both,
        "5": both,
        "4": {"sea"},
    }


@pytest.mark.parametrize(
    "path", ["/feeds/sea+causal", "/feeds/causal+sea+causal", "/feeds/sea%2Bcausal"]
)
def test_a_union_does_not_depend_on_the_order_of_its_feeds(
    sample_client: FlaskClient, path: str
) -> None:
    canonical, reordered = (
        sample_client.get("/feeds/causal+sea.atom").data,
        sample_client.get(f"{path}.atom").data,
    )
    assert find_text(parse_xml(canonical), "a:id") == find_text(parse_xml(reordered), "a:id")
    assert feed_names_by_paper(canonical) == feed_names_by_paper(reordered)
    assert find_texts(parse_xml(canonical), "a:entry/a:id") == find_texts(
        parse_xml(reordered), "a:entry/a:id"
    )


def test_the_title_of_a_union_has_each_feed_once_in_the_requested_order(
    sample_client: FlaskClient,
) -> None:
    document = parse_xml(sample_client.get("/feeds/sea+causal+sea.atom").data)
    assert find_text(document, "a:title") == "By the sea + Causal matters"


def test_a_union_has_as_many_papers_as_its_largest_feed(sample_client: FlaskClient) -> None:
    assert len(feed_names_by_paper(sample_client.get("/feeds/sea.atom").data)) == 3
    assert len(feed_names_by_paper(sample_client.get("/feeds/sea+causal.atom").data)) == 5
    assert len(feed_names_by_paper(sample_client.get("/feeds/sea+causal.atom?limit=2").data)) == 2


def test_a_union_links_to_itself(sample_client: FlaskClient) -> None:
    for suffix, path in (("atom", "a:link[@rel='self']"), ("rss", "channel/atom:link")):
        link = parse_xml(sample_client.get(f"/feeds/causal+sea.{suffix}").data).find(
            path, RSS_NAMESPACES | ATOM_NAMESPACES
        )
        assert link is not None
        assert link.get("href") == f"http://localhost/feeds/causal+sea.{suffix}"
        assert sample_client.get(link.get("href", "")).status_code == 200


@pytest.mark.parametrize("suffix", ["", ".atom", ".rss", ".json"])
@pytest.mark.parametrize("names", ["causal+none", "none+causal", "causal+", "+", "causal++sea"])
def test_a_union_with_an_unknown_member_is_not_found(
    sample_client: FlaskClient, names: str, suffix: str
) -> None:
    response = sample_client.get(f"/feeds/{names}{suffix}")
    assert response.status_code == 404
    assert json.loads(response.data)["feeds"] == ["causal", "empty", "sea"]


def test_a_union_of_feeds_without_data_waits_for_one_deadline(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    feeds = {name: Feed(name=name, title=name, query=name) for name in ("fog", "tides", "ferry")}
    upstream.inject_fault("timeout")
    client = create_app(make_service(deadline=2.0, feeds=feeds)).test_client()
    started = time.monotonic()
    assert client.get("/feeds/fog+tides+ferry.atom").status_code == 503
    assert time.monotonic() - started < 5.5
