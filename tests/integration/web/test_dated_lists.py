"""Hugging Face's own paths: the lists of one day, week or month."""

import json
from collections.abc import Iterator
from typing import Any

import feedparser
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Feed, Kind, Page
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.servers import serve_wsgi
from tests.support.stores import disk_files
from tests.support.types import MakeClient, MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper
from tests.support.waiting import wait_until

#: Tuesday, 24 November 2026, is the day of the clock.
TODAY, YESTERDAY, FRIDAY = "2026-11-24", "2026-11-23", "2026-11-20"


#: A paper on each of the last four weekdays, one in October, and one in December 2025.
PAPERS = [
    make_raw_paper(1, title="Causal lighthouses"),
    make_raw_paper(2, day=1, title="Tides"),
    make_raw_paper(3, day=2, title="Causal tides"),
    make_raw_paper(4, day=3, title="Fog"),
    make_raw_paper(5, day=20, title="Causal moles"),
    make_raw_paper(6, day=235, title="Buoys"),
]


@pytest.fixture
def upstream_papers() -> list[Json]:
    return list(PAPERS)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Return a client of a server whose papers do not change."""
    clock = Clock()
    with serve_wsgi(FakeUpstream(PAPERS, clock.today)) as url:
        config = Config(
            upstream_url=url,
            cache_dir=tmp_path_factory.mktemp("store"),
            spacing=0.0,
            history_days=1,
            new_keywords=0,
            feeds={"causal": Feed(name="causal", title="Causal matters", query="causal")},
        )
        service = create_service(config, now=clock)
        yield create_app(service).test_client()
        service.close()


def titles(response: TestResponse) -> list[str]:
    assert response.status_code == 200, response.text
    feed: Any = feedparser.parse(response.data)
    return [entry.title for entry in feed.entries]


def feed_of(response: TestResponse) -> Any:
    assert response.status_code == 200, response.text
    feed = feedparser.parse(response.data)
    assert not feed.bozo
    return feed.feed


def self_url(response: TestResponse) -> str:
    (url,) = [link.href for link in feed_of(response).links if link.rel == "self"]
    return str(url)


@pytest.mark.parametrize(
    ("path", "title", "expected"),
    [
        ("/papers/date/2026-11-24", "24 November 2026", ["Causal lighthouses"]),
        ("/papers/date/2026-11-23", "23 November 2026", ["Tides"]),
        ("/papers/date/2026-10-27", "27 October 2026", ["Causal moles"]),
        ("/papers/week/2026-W48", "week 48 of 2026", ["Causal lighthouses", "Tides"]),
        ("/papers/week/2026-W47", "week 47 of 2026", ["Causal tides", "Fog"]),
        ("/papers/month/2026-10", "October 2026", ["Causal moles"]),
        # What upstream returns instead of a page that does not exist.
        ("/papers/date/2026-11-22", "20 November 2026", ["Causal tides"]),  # a Sunday
        ("/papers/date/2026-11-25", "24 November 2026", ["Causal lighthouses"]),
        ("/papers/date/9999-12-31", "24 November 2026", ["Causal lighthouses"]),
        ("/papers/date/2020-01-01", "30 December 2025", ["Buoys"]),
        ("/papers/date/0001-01-01", "30 December 2025", ["Buoys"]),
        ("/papers/week/2026-W53", "week 48 of 2026", ["Causal lighthouses", "Tides"]),
        ("/papers/week/9999-W53", "week 48 of 2026", ["Causal lighthouses", "Tides"]),
        ("/papers/week/2025-W53", "week 1 of 2026", ["Buoys"]),
        ("/papers/month/2027-01", "November 2026", None),
    ],
)
def test_each_list_has_a_feed_in_every_format_titled_as_the_page_names_it(
    site: FlaskClient, path: str, title: str, expected: list[str] | None
) -> None:
    atom, rss = site.get(f"{path}.atom"), site.get(f"{path}.rss")
    assert feed_of(atom).title == f"Daily Papers of {title}"
    assert self_url(atom) == f"http://localhost{path}.atom"
    if expected is not None:
        assert sorted(titles(atom)) == sorted(expected)
    assert titles(rss) == titles(atom)
    items = json.loads(site.get(f"{path}.json").data)["items"]
    assert [item["title"] for item in items] == titles(atom)
    page = site.get(path)
    assert page.mimetype == "text/html"
    assert f"Daily Papers of {title}" in page.text
    assert all(name in page.text for name in titles(atom))


def test_a_list_can_be_filtered_and_limited(site: FlaskClient) -> None:
    week = site.get("/papers/week/2026-W47.atom?q=causal&limit=5&x=1")
    assert titles(week) == ["Causal tides"]
    assert feed_of(week).title == "Daily Papers of week 47 of 2026: causal"
    assert self_url(week) == "http://localhost/papers/week/2026-W47.atom?q=causal&limit=5"
    assert len(titles(site.get("/papers/week/2026-W47.atom?limit=1"))) == 1


def test_a_list_without_a_limit_is_complete(client: FlaskClient, upstream: FakeUpstream) -> None:
    upstream.papers = [make_raw_paper(number) for number in range(1, 106)]
    for path in ("/papers/date/2026-11-24", "/papers/week/2026-W48", "/papers/month/2026-11"):
        assert len(titles(client.get(f"{path}.atom"))) == 105
        assert len(titles(client.get(f"{path}.atom?limit=50"))) == 50


def test_each_list_has_an_id_of_its_own_that_does_not_depend_on_the_day(
    client: FlaskClient, clock: Clock
) -> None:
    paths = [f"/papers/date/{day}.atom" for day in (TODAY, YESTERDAY, "2026-11-30")]
    paths += ["/papers/week/2026-W48.atom", "/papers/month/2026-11.atom", "/papers.atom"]
    paths += ["/papers/week.atom", "/papers/week/2026-W48.atom?q=causal"]
    ids = [feed_of(client.get(path)).id for path in paths]
    assert len(set(ids)) == len(ids)
    clock.forward(days=2)
    assert [feed_of(client.get(path)).id for path in paths] == ids


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/papers?date=2026-11-23", "/papers/date/2026-11-23"),
        ("/papers.atom?date=2026-11-23", "/papers/date/2026-11-23.atom"),
        (
            "/papers.rss?q=tides&date=2026-11-23&limit=3",
            "/papers/date/2026-11-23.rss?q=tides&limit=3",
        ),
        ("/papers.json?week=2026-W48", "/papers/week/2026-W48.json"),
        ("/papers.atom?month=2026-11", "/papers/month/2026-11.atom"),
        ("/papers.atom?date=2026-1-5", "/papers/date/2026-01-05.atom"),
        ("/papers/date/2026-11-23/", "/papers/date/2026-11-23"),
        ("/papers/date/2026-11-23.ATOM?q=tides", "/papers/date/2026-11-23.atom?q=tides"),
        ("/papers//date/2026-11-23.atom", "/papers/date/2026-11-23.atom"),
        ("/papers/date/2026-1-5.atom", "/papers/date/2026-01-05.atom"),
        ("/papers/week/2026-w8", "/papers/week/2026-W08"),
        ("/papers/2026-11-23.atom", "/papers/date/2026-11-23.atom"),
        ("/papers.Atom?q=caf%C3%A9&x=%22", "/papers.atom?q=caf%C3%A9&x=%22"),
        ("/papers/week/", "/papers/week"),
        ("/feeds/causal.atom/?limit=3", "/feeds/causal.atom?limit=3"),
        ("/status/", "/status"),
        ("/papers?q=causal.atom", "/papers.atom?q=causal"),
        ("/papers/week?q=causal.json", "/papers/week.json?q=causal"),
        ("/feeds/causal?q=tides.atom", "/feeds/causal.atom?q=tides"),
        ("/papers?limit=3&q=world+model.rss", "/papers.rss?q=world+model&limit=3"),
        ("/papers/2611.00002", "/papers?q=id%3A2611.00002"),
        ("/papers/2611.00002v3", "/papers?q=id%3A2611.00002"),
        ("/papers/2611.00002.atom", "/papers.atom?q=id%3A2611.00002"),
    ],
)
def test_a_nearly_correct_url_redirects(site: FlaskClient, address: str, target: str) -> None:
    response = site.get(address)
    assert response.status_code == 308
    assert response.headers["Location"] == f"http://localhost{target}"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert site.head(address).headers["Location"] == f"http://localhost{target}"
    assert site.get(target).status_code == 200


def test_the_url_of_a_paper_redirects_to_it_or_links_to_its_page(site: FlaskClient) -> None:
    known = site.get("/papers/2611.00001", follow_redirects=True)
    assert "Causal lighthouses" in known.text
    unknown = site.get("/papers/1706.03762v7", follow_redirects=True)
    assert 'href="https://huggingface.co/papers/1706.03762"' in unknown.text


def test_several_slashes_never_redirect_to_another_host(site: FlaskClient) -> None:
    for path, location in {
        "//papers.atom": "http://localhost/papers.atom",
        "///papers//week/": "http://localhost/papers/week",
        "//evil.example/papers": None,
        "/\\evil.example/": None,
    }.items():
        response = site.get("/", environ_overrides={"PATH_INFO": path})
        assert response.headers.get("Location") == location
        assert response.status_code == (308 if location else 404)


def test_redirects_preserve_the_key_and_do_not_require_it(make_client: MakeClient) -> None:
    client = make_client(access_key="the-key")
    response = client.get("/papers.ATOM?q=causal&key=wrong")
    assert response.headers["Location"] == "http://localhost/papers.atom?q=causal&key=wrong"
    dated = client.get("/papers.atom?date=2026-11-23&key=the-key")
    assert dated.headers["Location"] == "http://localhost/papers/date/2026-11-23.atom?key=the-key"
    assert client.get(dated.headers["Location"]).status_code == 200
    assert client.get("/papers.atom?date=2026-11-23").status_code == 401


def test_redirects_have_the_public_url(make_client: MakeClient) -> None:
    client = make_client(public_url="https://lab.example/papers-of")
    response = client.get("/papers.ATOM?q=causal", headers={"Host": "elsewhere.example"})
    assert response.headers["Location"] == "https://lab.example/papers-of/papers.atom?q=causal"


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("/papers/date/2026-02-30.atom", "/papers/date/YYYY-MM-DD"),
        ("/papers/week/2026-W54", "/papers/week/YYYY-Wnn"),
        ("/papers/month/2026-13.rss", "/papers/month/YYYY-MM"),
        ("/papers.atom?date=yesterday", "/papers/date/YYYY-MM-DD"),
        ("/papers/date/2026-11-24.pdf", ".atom"),
        ("/papers/2611.00002.pdf", ".atom"),
        ("/papers.md?date=2026-11-24", ".atom"),
        ("/papers/date", "/papers/date/YYYY-MM-DD"),
        ("/papers/daily.atom", "/papers.atom?q=WORDS"),
        ("/search", "/papers.atom?q=WORDS"),
    ],
)
def test_any_other_url_is_404_with_the_valid_form(
    site: FlaskClient, address: str, advice: str
) -> None:
    response = site.get(address)
    assert response.status_code == 404
    assert advice in response.get_json()["detail"]


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        ("/causal.atom", "/papers.atom?q=causal"),
        ("/papers/world-models.rss", "/papers.atom?q=world+models"),
        ("/search?q=causal+tides", "/papers.atom?q=causal+tides"),
        ("/rss/causal/", "/papers.atom?q=causal"),
    ],
)
def test_an_unknown_url_with_words_suggests_their_feed(
    site: FlaskClient, address: str, instead: str
) -> None:
    assert site.get(address).get_json()["instead"] == f"http://localhost{instead}"
    page = site.get(address, headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert f"http://localhost{instead}" in page.text


# --- requests to upstream and storage ----------------------------------------------------------


def test_a_list_is_fetched_once_and_then_stored(
    client: FlaskClient, service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    for path in ("/papers/date/2026-10-27.atom", "/papers/week/2026-W44.rss"):
        client.get(path)
        clock.forward(hours=3)
        client.get(path.replace("atom", "json"))
        wait_until(service.scheduler.is_idle)
    assert upstream.requests == ["/papers/date/2026-10-27", "/papers/week/2026-W44"]
    upstream.fail()
    clock.forward(days=30)
    assert titles(client.get("/papers/date/2026-10-27.atom")) == ["Causal moles"]


def test_dates_without_a_list_cause_no_request_each(
    client: FlaskClient, service: Service, upstream: FakeUpstream
) -> None:
    client.get("/papers/date/2020-01-01.atom")
    client.get("/papers/date/2030-01-01.atom")
    wait_until(service.scheduler.is_idle)
    requests = list(upstream.requests)
    for year in range(1000, 2020, 20):
        assert client.get(f"/papers/date/{year}-05-05.atom").status_code == 200
        assert client.get(f"/papers/date/{year + 1100}-05-05.atom").status_code == 200
    wait_until(service.scheduler.is_idle)
    assert upstream.requests == requests


def names(service: Service, area: str) -> set[str]:
    return {name.split(" ", 1)[1] for name, _ in disk_files(service.repository, area).scan("http")}


def test_only_lists_beyond_the_window_can_be_evicted(client: FlaskClient, service: Service) -> None:
    paths = [
        "date/2026-11-23",
        "date/2026-03-02",
        "week/2026-W48",
        "week/2026-W40",
        "month/2026-06",
    ]
    for path in paths:
        client.get(f"/papers/{path}.atom")
    wait_until(service.scheduler.is_idle)
    assert names(service, "evictable") == {
        "listing day 2025-12-30",
        # The lists that upstream returned instead.
        "alias day 2026-03-02",
        "alias week 2026-W40",
        "alias month 2026-06",
    }
    assert {"listing day 2026-11-23", "listing week 2026-W48"} <= names(service, "durable")
    assert not any("2025" in name or "2026-06" in name for name in names(service, "durable"))


def test_a_day_that_leaves_the_window_is_still_read_from_the_store(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    first = make_service()
    create_app(first).test_client().get("/papers/date/2026-11-23.atom")
    first.close()
    upstream.fail()
    clock.forward(days=90)
    later = create_app(make_service()).test_client()
    assert titles(later.get("/papers/date/2026-11-23.atom")) == ["Tides"]


def test_crawling_all_dates_does_not_rebuild_the_index_of_the_window(
    make_service: MakeService,
) -> None:
    service = make_service(new_keywords=0)
    client = create_app(service).test_client()
    client.get("/papers.atom?q=causal")
    wait_until(service.scheduler.is_idle)
    index = service.list_days.search_index()
    for day in range(1, 29):
        assert client.get(f"/papers/date/2026-11-{day:02d}.atom").status_code == 200
    assert service.list_days.search_index() is index


def test_old_lists_share_the_request_budget_of_new_keywords(
    make_service: MakeService,
) -> None:
    service = make_service(new_keywords=0)
    client = create_app(service).test_client()
    client.get("/papers.atom")
    wait_until(service.scheduler.is_idle)
    days = [f"2026-0{month}-{day:02d}" for month in (2, 3) for day in range(1, 27)]
    statuses = [client.get(f"/papers/date/{day}.atom").status_code for day in days]
    assert statuses.count(200) <= 30
    assert set(statuses) <= {200, 503}
    assert len(service.repository.get_request_log().adhoc_times) == 30
    assert client.get("/papers/trending.atom").status_code == 200, "the rest is for others"


@pytest.mark.parametrize(
    ("page", "is_adhoc"),
    [
        (Page(Kind.DAY, "2026-11-24"), False),
        (Page(Kind.DAY, "2026-11-10"), False),
        (Page(Kind.DAY, "2026-10-01"), True),
        (Page(Kind.WEEK, "2026-W48"), False),
        (Page(Kind.WEEK, "2026-W47"), False),
        (Page(Kind.WEEK, "2026-W40"), True),
        (Page(Kind.MONTH, "2026-11"), False),
        (Page(Kind.MONTH, "2026-10"), False),
        (Page(Kind.MONTH, "2026-05"), True),
        (Page(Kind.TRENDING), False),
        (Page(Kind.SEARCH, "causal"), False),
        (Page(Kind.SEARCH, "fog"), True),
    ],
)
def test_a_page_is_ad_hoc_if_no_feed_of_the_server_needs_it(
    site: FlaskClient, page: Page, is_adhoc: bool
) -> None:
    repository = site.application.extensions["feedsrv"].repository
    assert repository.is_adhoc(page) is is_adhoc
