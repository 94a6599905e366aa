"""A server with thousands of configured feeds: pages and errors stay small."""

import re
import time
from collections.abc import Iterator, Mapping

import pytest
from flask.testing import FlaskClient

from feedsrv.config import Config, build_config
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Feed
from feedsrv.web.app import create_app
from feedsrv.web.auth import feed_key
from tests.support.clock import Clock
from tests.support.html import BROWSER, parse_html, select_one, text_of
from tests.support.samples import PAPERS
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream

MANY = 2_000
FEEDS: Mapping[str, Feed] = {
    f"topic-{number}": Feed(
        name=f"topic-{number}",
        title=f"Topic {number}",
        query=f'fog{number} OR "tide {number}"',
        sources=("daily",),
    )
    for number in range(MANY)
}


@pytest.fixture(scope="module")
def many_feeds_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    clock, directory = Clock(), tmp_path_factory.mktemp("store")
    with serve_wsgi(FakeUpstream(PAPERS, clock.today)) as url:
        config = Config(upstream_url=url, cache_dir=directory, feeds=dict(FEEDS), history_days=1)
        service = create_service(config, now=clock)
        service.refresh_page(service.newest_day())
        yield create_app(service).test_client()
        service.close()


def test_the_front_page_is_small_and_quick(many_feeds_client: FlaskClient) -> None:
    many_feeds_client.get("/preview")  # loads the templates
    started = time.process_time()
    response = many_feeds_client.get("/")
    assert time.process_time() - started < 0.2
    assert len(response.data) < 200_000


def test_the_status_page_lists_some_searches_and_counts_the_others(
    many_feeds_client: FlaskClient,
) -> None:
    response = many_feeds_client.get("/status")
    assert len(response.data) < 200_000
    page = parse_html(response)
    searches = next(each for each in page.select("details.pages") if "Searches" in text_of(each))
    assert len(searches.select("tbody tr")) == 50
    assert f"The first 50 of {MANY:,}" in text_of(searches)
    assert len(many_feeds_client.get("/status.json").get_json()["searches"]) == MANY


def test_each_feed_is_on_one_of_the_linked_pages(many_feeds_client: FlaskClient) -> None:
    url, names = "/?q=fog1", []
    for _ in range(3):
        page = parse_html(many_feeds_client.get(url))
        names += [text_of(title) for title in page.select("#feeds-list li")]
        assert select_one(page, "input[name=q]")["value"] == "fog1"
        url = str(select_one(page, "a[rel=next]")["href"]).removeprefix("http://localhost")
    assert names == [f"Topic {number}" for number in range(54)]
    assert url == "/?q=fog1&page=4"
    previous = select_one(parse_html(many_feeds_client.get(url)), "a[rel=prev]")["href"]
    assert previous == "http://localhost/?q=fog1&page=3"


def test_the_last_page_has_no_next_one(many_feeds_client: FlaskClient) -> None:
    page = parse_html(many_feeds_client.get("/?page=112"))
    assert "1,999 to 2,000 of 2,000" in text_of(select_one(page, "#feeds"))
    assert not page.select("a[rel=next]")
    assert not parse_html(many_feeds_client.get("/?page=113")).select(".feed")
    assert many_feeds_client.get("/?page=0").status_code == 400


def test_few_feeds_have_no_further_pages(client: FlaskClient) -> None:
    page = parse_html(client.get("/"))
    assert text_of(select_one(page, "#feeds")) == "Feeds on this server"
    assert not page.select("nav.pagination")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("topic-1000x", {"topic-1000", "topic-1001"}),
        ("", {"topic-0"}),
        ("zebra", {"topic-999"}),
        ("Topic-5", {"topic-0"}),
    ],
)
def test_the_error_for_an_unknown_feed_lists_its_alphabetical_neighbours(
    many_feeds_client: FlaskClient, name: str, expected: set[str]
) -> None:
    response = many_feeds_client.get(f"/feeds/{name or '%20'}.atom")
    assert response.status_code == 404
    assert len(response.get_json()["feeds"]) == 20
    assert expected <= set(response.get_json()["feeds"])
    assert len(many_feeds_client.get("/feeds/none", headers={"Accept": BROWSER}).data) < 10_000


def test_the_description_has_some_feeds_as_examples(many_feeds_client: FlaskClient) -> None:
    examples = many_feeds_client.get("/openapi.json").get_json()["components"]["parameters"]
    assert len(examples["name"]["examples"]) == 50


def test_a_union_names_at_most_fifty_feeds(many_feeds_client: FlaskClient) -> None:
    for count, status in ((50, 200), (51, 400)):
        names = "+".join(f"topic-{number}" for number in range(count))
        response = many_feeds_client.get(f"/feeds/{names}+topic-0.atom")
        assert response.status_code == status
    assert response.get_json()["detail"] == "a union must name at most 50 feeds, not '51'"


def test_the_key_of_a_feed_does_not_reveal_other_feeds(make_service: MakeService) -> None:
    client = create_app(make_service(feeds=FEEDS, access_key="k3y")).test_client()
    for path in ("/feeds/none", "/feeds/none+topic-1"):
        for headers in ({}, {"Accept": BROWSER}):
            response = client.get(f"{path}?key={feed_key('k3y', path)}", headers=headers)
            assert response.status_code == 404
            assert not re.search(r"topic-(?!1\b)", response.text)
        assert len(client.get(f"{path}?key=k3y").get_json()["feeds"]) == 20


def test_twenty_thousand_feeds_are_loaded_quickly() -> None:
    tables = {f"topic-{n}": {"query": f'fog{n} -survey OR title:"tide {n}"'} for n in range(20_000)}
    started = time.process_time()
    assert len(build_config({"feeds": tables}, "f", {}, {}).feeds) == 20_000
    assert time.process_time() - started < 2
