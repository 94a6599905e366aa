"""Digest feeds: periods closed by later lists, unchanged once served, in every format."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import msgspec
import pytest
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv.config import Config, StoreConfig
from feedsrv.errors import UpstreamError
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Digest, Feed, Kind, Page
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.documents import ATOM_NAMESPACES, find_text, get_body, parse_xml
from tests.support.redis_server import RedisServer
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper, papers_of_twelve_days

WEEKLY = Feed(name="causal", title="Causal matters", query="causal", digest="week")
DAILY = msgspec.structs.replace(WEEKLY, digest="day")
PATH = "/feeds/causal?digest=week"


@pytest.fixture
def upstream_papers() -> list[Json]:
    return papers_of_twelve_days()


def fill_window(service: Service) -> None:
    for _page, _result, _left in service.refresh_stale(WEEKLY):
        pass


def open_filled(make_service: MakeService, **changes: object) -> Service:
    service = make_service(**{"history_days": 8} | changes)
    fill_window(service)
    return service


def titles(digests: tuple[Digest, ...]) -> list[str]:
    return [digest.title for digest in digests]


def change_votes(upstream: FakeUpstream) -> None:
    for number, paper in enumerate(upstream.papers):
        paper |= {"upvotes": 1000 - number, "summary": "Rewritten.", "ai_summary": "New."}


# --- periods -----------------------------------------------------------------------------------


def test_a_weekly_digest_has_the_papers_of_a_closed_week(make_service: MakeService) -> None:
    result = open_filled(make_service).get_digests(WEEKLY)
    assert titles(result.digests) == ["Causal matters: 5 papers, 16\u201322 November"]
    (digest,) = result.digests
    assert digest.published == datetime(2026, 11, 23, tzinfo=UTC)


def test_a_daily_digest_has_the_papers_of_a_closed_day(make_service: MakeService) -> None:
    result = open_filled(make_service).get_digests(DAILY)
    assert titles(result.digests)[:3] == [
        "Causal matters: 1 paper, 23 November",
        "Causal matters: 1 paper, 20 November",
        "Causal matters: 1 paper, 19 November",
    ]
    assert len(result.digests) == 7


def test_a_feed_without_matches_has_no_digest(make_service: MakeService) -> None:
    walrus = msgspec.structs.replace(WEEKLY, query="walrus", sources=("daily",))
    assert open_filled(make_service).get_digests(walrus).digests == ()


def test_a_server_closes_the_periods_of_its_window_after_downtime(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = open_filled(make_service, history_days=30)
    before = service.get_digests(WEEKLY).digests
    newest = upstream.today()
    clock.forward(days=14)
    for paper in upstream.papers:
        paper["day"] += 10
    upstream.papers += [make_raw_paper(900 + n, day=n, title="Causal sleep") for n in range(10)]
    fill_window(service)
    after = service.get_digests(WEEKLY).digests
    assert [digest.key for digest in after] == ["2026-W49", "2026-W48", *(d.key for d in before)]
    assert after[2:] == before
    assert newest < clock.today()


def test_a_list_day_that_fails_for_days_delays_a_digest_but_does_not_prevent_it(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.intercept = lambda path: Response("", 503) if "2026-11-18" in path else None
    service = open_filled(make_service, history_days=11)
    assert service.get_digests(WEEKLY).digests == ()
    for _ in range(3):
        clock.forward(days=1)
        for paper in upstream.papers:
            paper["day"] += 1
        fill_window(service)
        clock.forward(minutes=1)
        with suppress(UpstreamError):
            service.refresh_page(Page(Kind.DAY, "2026-11-18"))
    # The search still finds the paper of that day.
    (digest,) = service.get_digests(WEEKLY).digests
    assert digest.title == "Causal matters: 5 papers, 16\u201322 November"


# --- stability ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["atom", "rss", "json"])
def test_a_digest_keeps_its_bytes_when_votes_and_abstracts_change_and_after_a_restart(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, suffix: str
) -> None:
    service = open_filled(make_service)
    before = get_body(create_app(service).test_client(), PATH, suffix)
    service.close()
    change_votes(upstream)
    clock.forward(hours=8)
    later = open_filled(make_service)
    assert later.get_feed(DAILY).matches[0].paper.upvotes > 900
    assert get_body(create_app(later).test_client(), PATH, suffix) == before


def test_the_first_process_to_close_a_period_defines_its_digest(
    make_service: MakeService, upstream: FakeUpstream, redis: RedisServer
) -> None:
    shared = {"store": StoreConfig(redis.url), "public_url": "https://papers.example.org"}
    first, second = (open_filled(make_service, **shared) for _ in range(2))
    with other_votes(second):
        body = get_body(create_app(first).test_client(), PATH, "atom")
        assert get_body(create_app(second).test_client(), PATH, "atom") == body


@contextmanager
def other_votes(service: Service) -> Iterator[None]:
    """Make one process see other votes than the others."""
    get_feed = service.get_feed

    def changed(*feeds: Feed, **arguments: object) -> object:
        result = get_feed(*feeds, **arguments)  # type: ignore[arg-type]
        matches = tuple(
            msgspec.structs.replace(
                match, paper=msgspec.structs.replace(match.paper, upvotes=index)
            )
            for index, match in enumerate(result.matches)
        )
        return msgspec.structs.replace(result, matches=matches)

    service.get_feed = changed  # type: ignore[method-assign, assignment]
    yield
    service.get_feed = get_feed  # type: ignore[method-assign]


def test_stored_digests_are_served_while_upstream_fails(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    before = open_filled(make_service).get_digests(WEEKLY).digests
    upstream.fail()
    clock.forward(days=400)
    assert make_service(history_days=3).get_digests(WEEKLY).digests == before


# --- addresses and formats ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Return a client of an application with eight list days that do not change."""
    clock = Clock()
    with serve_wsgi(FakeUpstream(papers_of_twelve_days(), clock.today)) as url:
        config = Config(
            upstream_url=url,
            cache_dir=tmp_path_factory.mktemp("store"),
            feeds={"causal": msgspec.structs.replace(WEEKLY, digest="none")},
            spacing=0.0,
            history_days=8,
        )
        service = create_service(config, now=clock)
        fill_window(service)
        yield create_app(service).test_client()
        service.close()


@pytest.mark.parametrize(
    "path", ["/feeds/causal", "/papers?q=causal", "/papers", "/papers/trending"]
)
@pytest.mark.parametrize("period", ["day", "week"])
def test_every_feed_url_has_digests(filled_client: FlaskClient, path: str, period: str) -> None:
    path = f"{path}{'&' if '?' in path else '?'}digest={period}"
    root = parse_xml(get_body(filled_client, path, "atom"))
    assert find_text(root, "a:title").endswith("(daily)" if period == "day" else "(weekly)")
    assert root.findall("a:entry", ATOM_NAMESPACES)
    (link,) = root.findall("a:link[@rel='self']", ATOM_NAMESPACES)
    assert f"digest={period}" in link.get("href", "")
    assert filled_client.get(path).status_code == 200


def test_a_digest_feed_has_another_id_than_the_feed_of_its_papers(
    filled_client: FlaskClient,
) -> None:
    paths = ("/feeds/causal", "/feeds/causal?digest=week", "/feeds/causal?digest=day")
    roots = [parse_xml(get_body(filled_client, path, "atom")) for path in paths]
    assert len({find_text(root, "a:id") for root in roots}) == 3
    assert len({find_text(root, "a:entry/a:id") for root in roots}) == 3


def test_an_entry_has_the_same_id_in_every_format(filled_client: FlaskClient) -> None:
    atom = find_text(parse_xml(get_body(filled_client, PATH, "atom")), "a:entry/a:id")
    rss = find_text(parse_xml(get_body(filled_client, PATH, "rss")), "channel/item/guid")
    (item,) = json.loads(get_body(filled_client, PATH, "json"))["items"]
    assert atom == rss == item["id"]
    assert item["date_published"] == item["date_modified"] == "2026-11-23T00:00:00Z"
    assert "/papers/week/2026-W47" in item["content_html"]


def test_limit_counts_digests(filled_client: FlaskClient) -> None:
    path = "/feeds/causal?digest=day&limit=2"
    assert len(json.loads(get_body(filled_client, path, "json"))["items"]) == 2
    page = filled_client.get(f"{path}&page=2").text
    assert "19 November" in page
    assert "20 November" not in page


def test_an_entry_links_to_its_anchor_on_the_page(filled_client: FlaskClient) -> None:
    (item,) = json.loads(get_body(filled_client, PATH, "json"))["items"]
    address, _, anchor = item["url"].partition("#")
    assert f'id="{anchor}"' in filled_client.get(address).text


@pytest.mark.parametrize("value", ["month", "", "WEEK", "1"])
def test_an_unknown_period_is_an_error(filled_client: FlaskClient, value: str) -> None:
    response = filled_client.get(f"/papers.atom?digest={value}")
    assert response.status_code == 400
    assert "digest must be one of none, day, week" in response.json["detail"]  # type: ignore[index]


def test_a_configured_digest_is_the_default_of_the_feed(
    make_service: MakeService,
) -> None:
    client = create_app(open_filled(make_service, feeds={"causal": WEEKLY})).test_client()
    root = parse_xml(get_body(client, "/feeds/causal", "atom"))
    assert find_text(root, "a:title") == "Causal matters (weekly)"
    papers = parse_xml(get_body(client, "/feeds/causal?digest=none", "atom"))
    assert len(papers.findall("a:entry", ATOM_NAMESPACES)) == 12


def test_a_union_has_each_paper_in_one_digest(make_service: MakeService) -> None:
    tides = Feed(name="tides", title="Tides", query="tides")
    service = open_filled(make_service, feeds={"causal": WEEKLY, "tides": tides})
    client = create_app(service).test_client()
    page = client.get("/feeds/causal+tides?digest=week").text
    assert "Causal matters + Tides: 10 papers" in page


def test_the_pages_offer_papers_days_and_weeks(filled_client: FlaskClient) -> None:
    for path in ("/?q=causal", "/papers?q=causal"):
        page = filled_client.get(path).text
        assert "/papers?q=causal&amp;digest=week" in page
        assert "/papers?q=causal&amp;digest=day" in page
    page = filled_client.get("/papers?q=causal&digest=week").text
    assert "<strong>Weekly<span> digest</span></strong>" in page


def test_a_client_over_its_quota_gets_digests_of_new_keywords_later(
    make_service: MakeService, clock: Clock
) -> None:
    service = open_filled(make_service, new_keywords=4)
    feeds = [
        Feed(name=str(n), title="x", query=f"title:causal -x{n}", sources=("daily",), digest="week")
        for n in range(2)
    ]
    assert len(service.get_digests(feeds[0], client="10.0.0.1").digests) == 1
    assert len(service.get_digests(feeds[1], client="10.0.0.1").digests) == 0
    clock.forward(minutes=30)
    assert len(service.get_digests(feeds[1], client="10.0.0.1").digests) == 1
