"""Models, datasets and Spaces that cite papers: what upstream is asked, and what feeds have."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from werkzeug.wrappers import Response

from feedsrv.feeds.service import Service
from feedsrv.models import Feed, RequestLog
from feedsrv.search.artefact_table import ArtefactKind
from feedsrv.upstream.artefact_refresh import ARTEFACT_FAILURE_KEY
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeClient, MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper
from tests.support.waiting import wait_until

WITH_MODEL = Feed(name="with-model", title="With a model", query="has:model", sources=("daily",))
EVERY = Feed(name="every", title="Every", sources=("daily",))
FOG = Feed(name="fog", title="Fog", query="fog", sources=("daily",))
FEEDS = {feed.name: feed for feed in (WITH_MODEL, EVERY)}

Linked = dict[str, dict[ArtefactKind, list[str]]]


@pytest.fixture
def upstream_papers() -> list[Json]:
    """Return four papers of today, and four of each of the two days before."""
    return [
        make_raw_paper(number, day=number // 4, title="Fog" if number % 4 else "Tides")
        for number in range(12)
    ]


@pytest.fixture
def linked(upstream: FakeUpstream) -> Linked:
    """Return the artefacts that upstream has, by paper and kind; it has none of other papers."""
    linked: Linked = {"2611.00001": {"model": ["ada/fog-7b"]}}

    def answer(path: str) -> Response | None:
        paper_id = path.rpartition("/")[2]
        if not path.startswith("/api/papers/26"):
            return None
        if paper_id not in linked:
            return Response('{"error": "Paper not found"}', 404)
        fields: dict[str, Any] = {"id": paper_id, "title": "Fog"}
        for kind, ids in linked[paper_id].items():
            fields[f"linked{kind.title()}s"] = [{"id": each} for each in ids[:2]]
            fields[f"numTotal{kind.title()}s"] = len(ids)
        return Response(json.dumps(fields), mimetype="application/json")

    upstream.intercept = answer
    return linked


def requested_papers(upstream: FakeUpstream) -> list[int]:
    """Return the numbers of the papers that upstream was asked about."""
    return [int(path[-5:]) for path in upstream.requests if path.startswith("/api/papers/26")]


@pytest.fixture
def service(make_service: MakeService, linked: Linked) -> Service:
    """Return a service with three list days."""
    service = make_service(feeds=FEEDS, history_days=3)
    list(service.refresh_stale())
    return service


def numbers(service: Service, feed: Feed = WITH_MODEL) -> list[int]:
    return [int(match.paper.id[-5:]) for match in service.get_feed(feed).matches]


def published(service: Service, number: int) -> datetime:
    matches = service.get_feed(WITH_MODEL).matches
    return next(each.paper.published for each in matches if int(each.paper.id[-5:]) == number)


# --- what upstream is asked --------------------------------------------------------------------


def test_each_paper_of_the_configured_feeds_is_asked_about_once_a_day_the_newest_first(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    service.artefacts.refresh_batch()
    assert sorted(requested_papers(upstream)) == list(range(12))
    assert sorted(requested_papers(upstream)[:4]) == [0, 1, 2, 3], "those of today"
    clock.forward(hours=23)
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 12
    clock.forward(hours=2)
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 24


def test_papers_of_other_feeds_are_not_asked_about(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked
) -> None:
    service = make_service(feeds={"fog": FOG}, history_days=3)
    list(service.refresh_stale())
    service.get_feed(EVERY)
    service.artefacts.refresh_batch()
    assert sorted(requested_papers(upstream)) == [1, 2, 3, 5, 6, 7, 9, 10, 11]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("-has:model", 12),
        ("fog -(has:space OR has:model)", 9),
        ("zeppelin has:model", 0),
    ],
)
def test_papers_are_asked_about_that_match_but_for_their_artefacts(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked, query: str, count: int
) -> None:
    feed = Feed(name="x", title="x", query=query, sources=("daily",))
    service = make_service(feeds={"x": feed}, history_days=3)
    list(service.refresh_stale())
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == count


def test_of_more_than_a_hundred_feeds_the_whole_window_is_asked_about(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked
) -> None:
    names = [f"fog{number}" for number in range(101)]
    feeds = {name: Feed(name=name, title=name, query="zeppelin") for name in names}
    service = make_service(feeds=feeds, history_days=3)
    list(service.refresh_stale(EVERY))
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 12


def test_nothing_is_asked_where_that_is_switched_off(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked
) -> None:
    service = make_service(feeds={"fog": FOG}, history_days=3, linked_artefacts=False)
    service.artefacts.refresh_when_idle()
    list(service.refresh_stale())
    service.artefacts.refresh_batch()
    assert requested_papers(upstream) == []


def test_at_most_twenty_papers_are_asked_about_in_five_minutes(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked, clock: Clock
) -> None:
    upstream.papers = [make_raw_paper(number) for number in range(25)]
    service = make_service(feeds=FEEDS)
    list(service.refresh_stale())
    for minutes, count in ((0, 20), (4, 20), (1, 25)):
        clock.forward(minutes=minutes)
        service.artefacts.refresh_batch()
        assert len(requested_papers(upstream)) == count


def test_requests_are_left_to_readers(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked, clock: Clock
) -> None:
    service = make_service(feeds=FEEDS)
    service.refresh_page(service.newest_day())
    service.repository.update_request_log(lambda _: RequestLog((clock.now,) * 48))
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 2, "ten of sixty requests are left"


def test_two_processes_ask_about_each_paper_once(
    service: Service, make_service: MakeService, upstream: FakeUpstream
) -> None:
    other = make_service(feeds=FEEDS, history_days=3)
    other.warm_up()
    for each in (service, other):
        each.artefacts.refresh_when_idle()
        each.refresh_page(each.newest_day())
        list(each.refresh_stale())
    for each in (service, other, service):
        each.artefacts.refresh_batch()
    assert sorted(requested_papers(upstream)) == list(range(12))
    wait_until(lambda: len(other.artefacts.table().records) == 12)


def test_answers_survive_a_restart(
    service: Service, make_service: MakeService, upstream: FakeUpstream
) -> None:
    service.artefacts.refresh_batch()
    service.close()
    again = make_service(feeds=FEEDS, history_days=3)
    assert numbers(again) == [1]
    again.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 12


def test_a_server_asks_when_nothing_else_is_to_be_fetched(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked
) -> None:
    service = make_service(feeds=FEEDS, history_days=3)
    service.artefacts.refresh_when_idle()
    service.get_feed(EVERY)
    wait_until(lambda: len(requested_papers(upstream)) == 12)
    is_artefact = [path.startswith("/api/papers/26") for path in upstream.requests]
    assert is_artefact == sorted(is_artefact), "after the whole window"


def test_a_reader_does_not_wait_for_an_answer_that_does_not_come(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked
) -> None:
    upstream.recover()
    upstream.inject_fault("timeout", "/api/papers/26")
    service = make_service(feeds=FEEDS, history_days=3)
    service.artefacts.refresh_when_idle()
    service.get_feed(EVERY)
    wait_until(lambda: bool(requested_papers(upstream)))
    result = service.get_feed(Feed(name="t", title="t", sources=("trending",)))
    assert result.total == 12
    assert service.artefacts.table().records == {}, "nor has the request timed out"
    wait_until(lambda: service.repository.get_failure(ARTEFACT_FAILURE_KEY) is not None)
    assert len(requested_papers(upstream)) == 1, "until a while later"


# --- failures ----------------------------------------------------------------------------------


def test_a_paper_that_upstream_does_not_have_is_no_failure(
    service: Service, upstream: FakeUpstream, linked: Linked, caplog: pytest.LogCaptureFixture
) -> None:
    linked.clear()
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 12
    assert caplog.records == []
    assert service.get_failure(EVERY) is None


@pytest.mark.parametrize("status", [500, 429])
def test_a_failure_makes_the_other_papers_wait_and_no_reader(
    service: Service, upstream: FakeUpstream, clock: Clock, status: int
) -> None:
    answer = upstream.intercept
    upstream.fail("/api/papers/26", status)
    pauses = []
    for _ in range(3):
        begun = clock.now
        count = len(requested_papers(upstream))
        while len(requested_papers(upstream)) == count:
            service.artefacts.refresh_batch()
            clock.forward(seconds=20)
        pauses.append(clock.now - begun)
    assert pauses[0] < pauses[1] < pauses[2]
    assert len(set(requested_papers(upstream))) == 3, "each time another paper"
    assert service.repository.get_failure(None) is None
    assert len(numbers(service, EVERY)) == 12
    upstream.intercept = answer
    clock.forward(minutes=10)
    service.artefacts.refresh_batch()
    assert len(set(requested_papers(upstream))) == len(requested_papers(upstream)) == 12


def test_an_answer_that_cannot_be_parsed_does_not_replace_the_last_one(
    service: Service, upstream: FakeUpstream, clock: Clock, linked: Linked
) -> None:
    service.artefacts.refresh_batch()
    clock.forward(days=1)
    upstream.intercept = lambda path: (
        Response("<html>") if path.startswith("/api/papers/26") else None
    )
    for _ in range(12):
        service.artefacts.refresh_batch()
        clock.forward(hours=1)
    assert sorted(requested_papers(upstream)[12:]) == list(range(12)), "each time another paper"
    assert numbers(service) == [1]


def test_upstreams_own_rate_limit_is_respected(
    service: Service, upstream: FakeUpstream, clock: Clock, linked: Linked
) -> None:
    answer = upstream.intercept

    def used_up(path: str) -> Response | None:
        response = answer(path)
        if response is not None:
            response = Response(json.dumps({"id": path.rpartition("/")[2]}))
            response.headers["ratelimit"] = '"api";r=0;t=240'
        return response

    upstream.intercept = used_up
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 1
    clock.forward(seconds=230)
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 1
    assert service.repository.get_failure(None) is None, "lists have a limit of their own"
    clock.forward(seconds=11)
    service.artefacts.refresh_batch()
    assert len(requested_papers(upstream)) == 2


# --- feeds and pages ---------------------------------------------------------------------------


def test_papers_with_a_model_are_found_once_upstream_was_asked(service: Service) -> None:
    assert numbers(service) == []
    service.artefacts.refresh_batch()
    assert numbers(service) == [1]
    without = Feed(name="w", title="w", query="fog -has:model", sources=("daily",))
    assert sorted(numbers(service, without)) == [2, 3, 5, 6, 7, 9, 10, 11]
    narrowed = Feed(name="n", title="n", sources=("daily",), narrowed_by="has:model")
    assert numbers(service, narrowed) == [1]
    assert [paper.id for paper in service.window().search(None)] != ["2611.00001"]


def test_a_paper_that_gets_a_model_later_comes_up_on_top_with_the_date_of_that_moment(
    service: Service, linked: Linked, clock: Clock
) -> None:
    service.artefacts.refresh_batch()
    assert published(service, 1).date() == clock.today(), "its list day"
    linked["2611.00007"] = {"model": ["bo/fog"]}
    clock.forward(days=1)
    service.artefacts.refresh_batch()
    found_at = clock.now
    assert numbers(service) == [7, 1]
    clock.forward(hours=2)
    assert published(service, 7) == found_at


def test_what_is_found_before_all_papers_were_asked_about_has_its_list_day(
    make_service: MakeService, upstream: FakeUpstream, linked: Linked, clock: Clock
) -> None:
    upstream.papers = [make_raw_paper(number, day=number // 12) for number in range(36)]
    linked |= {f"2611.{number:05d}": {"model": ["ada/x"]} for number in (2, 30)}
    service = make_service(feeds=FEEDS, history_days=3)
    list(service.refresh_stale())
    service.artefacts.refresh_batch()
    assert sorted(numbers(service)) == [1, 2]
    clock.forward(minutes=6)
    service.artefacts.refresh_batch()
    assert sorted(numbers(service)) == [1, 2, 30]
    assert published(service, 30).date() == clock.today() - timedelta(days=4), "a weekend between"


def test_artefacts_change_no_feed_but_those_that_look_for_them(
    make_client: MakeClient, upstream: FakeUpstream, linked: Linked, clock: Clock
) -> None:
    client = make_client(feeds=FEEDS, history_days=3)
    service: Service = client.application.extensions["feedsrv"]
    list(service.refresh_stale())
    paths = [f"/feeds/every.{suffix}" for suffix in ("atom", "rss", "json", "bib")]
    before = [client.get(path) for path in paths]

    version = service.repository.version()
    linked |= {f"2611.{number:05d}": {"model": ["a/b"], "space": ["a/c"]} for number in range(12)}
    service.artefacts.refresh_batch()
    assert service.repository.version() == version, "so that cached responses stay"
    clock.forward(minutes=2)
    for path, response in zip(paths, before, strict=True):
        again = client.get(path)
        assert again.data == response.data
        assert again.headers["ETag"] == response.headers["ETag"]
        assert again.headers["Last-Modified"] == response.headers["Last-Modified"]
    assert b"2611.00007" in client.get("/feeds/with-model.atom").data


def test_a_page_links_the_artefacts_of_each_paper(
    service: Service, linked: Linked, clock: Clock
) -> None:
    linked["2611.00002"] = {"model": ["a/b", "a/c", "a/d"], "dataset": ["a/e"], "space": ["a/f"]}
    linked["2611.00003"] = {"dataset": ["a/g", "a/h"], "space": ["a/i", "a/j"]}
    client = create_app(service).test_client()
    assert "Cited by" not in client.get("/feeds/every").text
    service.artefacts.refresh_batch()
    clock.forward(minutes=1)
    lines = [line for line in client.get("/feeds/every").text.splitlines() if "Cited by" in line]
    link = '<a href="https://huggingface.co/{}" rel="noreferrer">{}</a>'
    expected = {
        link.format("ada/fog-7b", "1 model"),
        ", ".join(
            (
                link.format("models?other=arxiv:2611.00002", "3 models"),
                link.format("datasets/a/e", "1 dataset"),
                link.format("spaces/a/f", "1 Space"),
            )
        ),
        ", ".join(
            (
                link.format("datasets?other=arxiv:2611.00003", "2 datasets"),
                link.format("papers/2611.00003", "2 Spaces"),
            )
        ),
    }
    assert set(lines) == {f'<p class="facts">Cited by {each}</p>' for each in expected}
