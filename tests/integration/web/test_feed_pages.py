"""The HTML page of a feed."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient

from tests.support.documents import MarkupCollector, get_body, parse_atom


def page(client: FlaskClient, path: str) -> MarkupCollector:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    found = MarkupCollector()
    found.feed(answer.get_data(as_text=True))
    found.close()
    return found


PAGES = [
    "/papers",
    "/papers?q=causal",
    "/papers?q=%22world+model%22+C%2B%2B&limit=3",
    "/papers/trending",
    "/papers/week?q=sea",
    "/papers/month",
    "/feeds/causal",
    "/feeds/causal+sea",
    "/feeds/empty",
]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_leads_readers_to_each_format_atom_first(
    sample_client: FlaskClient, path: str
) -> None:
    links = [link for tag, link in page(sample_client, path).tags if tag == "link"]
    found = [link for link in links if link["rel"] == "alternate"]
    assert [link["type"] for link in found] == [
        "application/atom+xml",
        "application/rss+xml",
        "application/feed+json",
    ]
    assert all(link["title"] for link in found)
    where, mark, query = path.partition("?")
    for link, suffix in zip(found, ("atom", "rss", "json"), strict=True):
        assert link["href"] == f"http://localhost{where}.{suffix}{mark}{query}"
        assert sample_client.get(link["href"]).content_type == f"{link['type']}; charset=utf-8"


def test_a_page_shows_what_a_feed_holds_and_the_counters_too(sample_client: FlaskClient) -> None:
    shown = " ".join("".join(page(sample_client, "/papers?q=causal").texts).split())
    assert "Causal lighthouses" in shown
    assert "Ada Quill, Bo Lantern" in shown
    assert "We count the steps of lighthouse 1 and find them even." in shown
    assert "24 November 2026" in shown
    assert "30 votes · 1 comment" in shown
    assert "lighthouse number 2" not in shown


def test_a_page_and_its_feed_hold_the_same_papers_in_the_same_order(
    sample_client: FlaskClient,
) -> None:
    for path in PAGES:
        hrefs = [tag.get("href", "") for _, tag in page(sample_client, path).tags]
        shown = list(dict.fromkeys(re.findall(r"https://arxiv.org/abs/\S+", " ".join(hrefs))))
        assert shown == [one.id for one in parse_atom(get_body(sample_client, path, "atom"))]


def test_the_page_of_an_empty_feed_says_so_and_can_be_subscribed_to(
    sample_client: FlaskClient,
) -> None:
    found = page(sample_client, "/papers?q=nothing+like+it")
    assert "No papers match yet." in " ".join(found.texts)
    assert [tag for tag, _ in found.tags if tag == "article"] == []
    assert "No papers match yet." not in " ".join(page(sample_client, "/papers").texts)
