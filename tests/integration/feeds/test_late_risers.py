"""Feeds of queries with counters: the date of a paper is that of its first match."""

from contextlib import suppress
from datetime import datetime, timedelta

import feedparser
import pytest
from werkzeug import Response

from feedsrv.errors import UpstreamError
from feedsrv.feeds.results import FeedResult
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Kind, Page
from tests.support.clock import Clock
from tests.support.types import MakeClient, MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper
from tests.support.waiting import wait_until

POPULAR = Feed(name="popular", title="Popular", query="upvotes:>=20", sources=("daily",))
EVERY = Feed(name="every", title="Every", sources=("daily",))


@pytest.fixture
def upstream_papers() -> list[Json]:
    return [make_raw_paper(number, day=number % 3, upvotes=number) for number in range(24)]


def refresh(service: Service) -> None:
    for page, _ in service.list_days.get():
        service.refresh_page(page)


def numbers(result: FeedResult) -> list[int]:
    return [int(match.paper.id[-2:]) for match in result.matches]


def dates(result: FeedResult) -> dict[int, datetime]:
    return {int(match.paper.id[-2:]): match.paper.published for match in result.matches}


@pytest.fixture
def three_days(make_service: MakeService) -> Service:
    service = make_service(history_days=3)
    list(service.refresh_stale())
    return service


def test_papers_of_the_first_response_are_dated_by_their_list_day(three_days: Service) -> None:
    assert dates(three_days.get_feed(POPULAR)) == {
        number: date
        for number, date in dates(three_days.get_feed(EVERY)).items()
        if number in {20, 21, 22, 23}
    }


def test_a_paper_that_gets_enough_votes_moves_to_the_top(
    three_days: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    three_days.get_feed(POPULAR)
    clock.forward(hours=2)
    upstream.papers[2]["upvotes"] = 25
    refresh(three_days)
    crossed = clock.now
    clock.forward(hours=1)
    result = three_days.get_feed(POPULAR)
    assert numbers(result)[0] == 2, "although its list day is the oldest"
    assert crossed <= dates(result)[2] <= clock.now
    assert dates(three_days.get_feed(EVERY))[2] < crossed, "other feeds have the list day"


def test_the_date_does_not_change_with_the_votes(
    three_days: Service, upstream: FakeUpstream, clock: Clock, make_service: MakeService
) -> None:
    three_days.get_feed(POPULAR)
    clock.forward(hours=1)
    first = None
    for votes in (25, 3, 40):
        upstream.papers[2]["upvotes"] = votes
        refresh(three_days)
        for service in (three_days, make_service(history_days=3)):
            found = dates(service.get_feed(POPULAR)).get(2)
            assert (found is not None) == (votes >= 20)
            first = first or found
            assert found in {None, first}
            assert first is not None
            assert first.hour > 0, "not the list day"
        clock.forward(hours=1)


@pytest.mark.parametrize("behind", [timedelta(hours=1), timedelta(days=1), timedelta(days=400)])
def test_the_dates_survive_a_clock_that_is_behind_for_a_while(
    three_days: Service, upstream: FakeUpstream, clock: Clock, behind: timedelta
) -> None:
    three_days.get_feed(POPULAR)
    clock.forward(hours=2)
    upstream.papers[2]["upvotes"] = 25
    refresh(three_days)
    before = dates(three_days.get_feed(POPULAR))
    clock.now -= behind
    upstream.papers[3]["upvotes"] = 25
    with suppress(UpstreamError):
        refresh(three_days)
        assert all(date <= clock.now for date in dates(three_days.get_feed(POPULAR)).values())
    clock.now += behind
    refresh(three_days)
    assert before.items() <= dates(three_days.get_feed(POPULAR)).items()


def test_dates_of_a_clock_that_was_ahead_are_those_of_the_list_days(
    three_days: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    three_days.get_feed(POPULAR)
    clock.forward(hours=8)
    upstream.papers[2]["upvotes"] = 25
    refresh(three_days)
    three_days.get_feed(POPULAR)
    clock.forward(hours=-8)
    refresh(three_days)
    now, listed = clock.now, dates(three_days.get_feed(EVERY))
    assert dates(three_days.get_feed(POPULAR))[2] == listed[2] < now


def test_a_union_has_the_earliest_date(
    three_days: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    more = Feed(name="more", title="More", query="upvotes:>=30", sources=("daily",))
    three_days.get_feed(POPULAR, more)
    for votes in (25, 35):
        clock.forward(hours=1)
        upstream.papers[2]["upvotes"] = votes
        refresh(three_days)
        three_days.get_feed(POPULAR, more)
    popular = dates(three_days.get_feed(POPULAR))[2]
    assert popular < dates(three_days.get_feed(more))[2]
    assert dates(three_days.get_feed(more, POPULAR))[2] == popular
    every = dates(three_days.get_feed(EVERY))[2]
    assert dates(three_days.get_feed(POPULAR, EVERY, limit=200))[2] == every


def test_days_that_are_fetched_later_are_not_late_risers(
    make_service: MakeService, clock: Clock
) -> None:
    service = make_service(history_days=3)
    service.get_feed(POPULAR)
    clock.forward(minutes=5)
    list(service.refresh_stale())
    assert numbers(service.get_feed(POPULAR)) == numbers(service.get_feed(POPULAR))
    assert all(date < clock.now for date in dates(service.get_feed(POPULAR)).values())
    assert {date.hour for date in dates(service.get_feed(POPULAR)).values()} == {0}


def test_a_list_day_that_fails_for_days_does_not_prevent_late_risers(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.papers = [make_raw_paper(number, day=number % 6) for number in range(12)]
    upstream.intercept = lambda path: Response("", 503) if "2026-11-18" in path else None
    service = make_service(history_days=6)

    def rises(number: int) -> bool:
        service.get_feed(POPULAR)
        upstream.papers[number]["upvotes"] = 25
        for page, listing in service.list_days.get():
            if listing is not None:
                service.refresh_page(page)
        return dates(service.get_feed(POPULAR))[number] > clock.now - timedelta(hours=1)

    list(service.refresh_stale())
    assert not rises(0), "the list of a day may follow"
    for _ in range(2):
        clock.forward(days=1, hours=2)
        for paper in upstream.papers:
            paper["day"] += 1
        list(service.refresh_stale())
        clock.forward(minutes=1)
        with suppress(UpstreamError):
            service.refresh_page(Page(Kind.DAY, "2026-11-18"))
    assert rises(1)


def test_each_riser_of_ten_days_appears_once_and_on_top(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    """Papers get votes for some days; one server is restarted each day, another is not."""
    other = make_service(history_days=10)
    known: dict[int, datetime] = {}
    risers: list[int] = []
    for day in range(10):
        upstream.papers = [
            make_raw_paper(listed, day=day + 6 - listed, upvotes=8 * (day + 6 - listed))
            for listed in range(day + 7)
        ]
        service = make_service(history_days=10)
        list(service.refresh_stale())
        refresh(service)
        for server in (service, other, service):
            result = server.get_feed(POPULAR)
            found = dates(result)
            assert all(known.get(number, date) == date for number, date in found.items())
            new = [number for number in numbers(result) if number not in known]
            assert numbers(result)[: len(new)] == new, "on top"
            known |= found
            risers += new
        service.close()
        clock.forward(days=1)
        while clock.today().isoweekday() > 5:
            clock.forward(days=1)
    assert risers == [*range(3, -1, -1), *range(4, 13)], "a paper a day, each once"


def test_the_feed_shows_the_date_and_stays_the_same(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client(history_days=1)
    first = client.get("/papers.atom?q=upvotes:>=20")
    assert client.get("/papers.atom?q=upvotes:>=20").data == first.data
    clock.forward(hours=2)
    upstream.papers[3]["upvotes"] = 25
    client.get("/papers.atom")
    clock.forward(minutes=30)

    def newest() -> Json:
        entry: Json = feedparser.parse(client.get("/papers.atom?q=upvotes:>=20").data).entries[0]
        return entry

    wait_until(lambda: newest()["id"].endswith("2611.00003"))
    assert newest()["published"].startswith(f"{clock.now:%Y-%m-%dT%H}")
    assert newest()["updated"] == newest()["published"]


def test_dates_of_new_feeds_are_stored_within_the_quota_of_a_client(
    make_service: MakeService,
) -> None:
    service = make_service(history_days=1, new_keywords=4)
    starred = Feed(name="x", title="x", query="stars:>=0", sources=("daily",))
    for _ in range(2):
        assert service.get_feed(POPULAR, client="192.0.2.1").matches
        assert service.get_feed(starred, client="192.0.2.1").matches
    assert service.selector.first_matches.is_stored(POPULAR)
    assert not service.selector.first_matches.is_stored(starred)
