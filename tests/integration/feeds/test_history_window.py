"""The window of list days, filled and kept fresh behind the readers, by one process or several."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime

import pytest
from werkzeug.wrappers import Response

from feedsrv.feeds.service import FeedResult
from feedsrv.models import Feed
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper, papers_of_twelve_days
from tests.support.waiting import wait_until

DAILY = Feed(name="all", title="all", sources=("daily",))


@pytest.fixture
def upstream_papers() -> list[Json]:
    return papers_of_twelve_days()


def paper_numbers(reading: FeedResult) -> list[int]:
    return [int(each.paper.id[-5:]) for each in reading.matches]


def requested_days(upstream: FakeUpstream) -> list[str]:
    return [path for path in upstream.requests if path.startswith("/papers/date/")]


# --- the window --------------------------------------------------------------------------------


def test_the_first_answer_is_of_two_pages_and_the_rest_comes_behind_newest_first(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    gate = threading.Event()

    def hold(path: str) -> None:
        if path.endswith("-23"):
            gate.wait(10)

    upstream.intercept = hold
    service = make_service(history_days=8)
    first = service.get_feed(DAILY)
    assert paper_numbers(first) == [1, 0]
    gate.set()
    wait_until(lambda: len(service.get_feed(DAILY).matches) == 16)
    assert paper_numbers(service.get_feed(DAILY)) == [
        day * 10 + n for day in range(8) for n in (1, 0)
    ]
    expected = ["24", "23", "20", "19", "18", "17", "16", "13"]
    assert requested_days(upstream) == [f"/papers/date/2026-11-{name}" for name in expected]


def test_one_window_serves_every_keyword(make_service: MakeService, upstream: FakeUpstream) -> None:
    service = make_service(history_days=8)
    wait_until(lambda: len(service.get_feed(DAILY).matches) == 16)
    asked = len(upstream.requests)
    for number in range(20):
        query = Feed(name="x", title="x", query=f"causal -word{number}", sources=("daily",))
        assert len(service.get_feed(query).matches) == 8
    assert len(upstream.requests) == asked


def test_a_server_that_ended_half_way_goes_on_where_it_stopped(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    def stop_after_three(path: str) -> Response | None:
        return Response("", 503) if len(upstream.requests) > 3 else None

    upstream.intercept = stop_after_three
    first = make_service(history_days=8)
    wait_until(lambda: first.get_feed(DAILY) is not None and len(upstream.requests) > 3)
    first.close()
    done = list(upstream.requests[:3])
    upstream.recover()
    clock.forward(minutes=3)
    second = make_service(history_days=8)
    wait_until(lambda: len(second.get_feed(DAILY).matches) == 16)
    assert all(upstream.requests.count(path) == 1 for path in done)


def test_a_laptop_that_was_closed_for_three_weeks_misses_nothing(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = make_service(history_days=20)
    wait_until(lambda: len(service.get_feed(DAILY).matches) == 24)
    before = set(paper_numbers(service.get_feed(DAILY)))
    clock.forward(days=21)
    upstream.papers = [paper | {"day": paper["day"] + 15} for paper in upstream.papers]
    new = [make_raw_paper(1000 + day, day=day) for day in range(15)]
    upstream.papers += new
    service.get_feed(DAILY)
    wait_until(
        lambda: {1000 + day for day in range(15)} <= set(paper_numbers(service.get_feed(DAILY)))
    )
    assert set(paper_numbers(service.get_feed(DAILY))) - {1000 + day for day in range(15)} <= before


def test_a_day_is_read_again_by_its_age_and_never_loses_papers(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = make_service(history_days=5)
    wait_until(lambda: len(service.get_feed(DAILY).matches) == 10)
    upstream.requests.clear()
    clock.forward(hours=4)
    del upstream.papers[3]  # of yesterday
    service.get_feed(DAILY)
    wait_until(lambda: len(requested_days(upstream)) == 2)
    assert requested_days(upstream) == ["/papers/date/2026-11-24", "/papers/date/2026-11-23"]
    assert len(service.get_feed(DAILY).matches) == 10
    upstream.requests.clear()
    clock.forward(hours=9)
    service.get_feed(DAILY)
    wait_until(lambda: len(requested_days(upstream)) == 5)


# --- ten days in the life of a server ----------------------------------------------------------


class SimulatedSite:
    """An upstream whose list days appear one by one: partial mornings, weekends, an outage."""

    def __init__(self, upstream: FakeUpstream, clock: Clock) -> None:
        self.upstream = upstream
        self.clock = clock
        self.days: dict[date, list[Json]] = {}

    def update(self, start: date) -> None:
        """Make what the site shows be what it shows at this moment."""
        today = self.clock.today()
        number = (today - start).days
        if today.isoweekday() < 6 and today not in self.days:
            self.days[today] = [
                make_raw_paper(number * 100 + n, title=f"Causal day {number}") for n in range(6)
            ]
        shown: list[Json] = []
        for back, (day, papers) in enumerate(sorted(self.days.items(), reverse=True)):
            count = len(papers)
            if day == today and self.clock.now.hour < 10:
                count = 1  # early in the day a list is partial
            if number == 8 and back == 1:
                count = 2  # and once an older one shrinks
            shown += [paper | {"day": back} for paper in papers[:count]]
        self.upstream.papers = shown
        newest = max(self.days)
        self.upstream.today = lambda: newest
        if number == 4:
            self.upstream.fail()
        else:
            self.upstream.recover()


def test_in_ten_days_every_paper_appears_once_and_upstream_is_asked_no_more_for_many_feeds(
    make_service: MakeService,
    upstream: FakeUpstream,
    clock: Clock,
) -> None:
    clock.now = datetime(2026, 11, 18, 0, 5, tzinfo=UTC)  # a Wednesday
    start = clock.today()
    diary = SimulatedSite(upstream, clock)
    service = make_service(history_days=30)
    wanted = [
        Feed(name="x", title="x", query=f"causal -never{n}", sources=("daily",)) for n in range(20)
    ]
    published: dict[int, set[datetime]] = {}
    asked_before, per_day = 0, []
    for step in range(10 * 12):
        diary.update(start)
        if step == 0:
            service.get_feed(*wanted[:1])
        for feed in wanted[step % 2 :: 2]:
            reading = service.get_feed(feed, limit=200)
            assert len(reading.matches) == len({each.paper.id for each in reading.matches})
        for each in reading.matches:
            published.setdefault(int(each.paper.id[-5:]), set()).add(each.paper.published)
        wait_until(service._scheduler.is_idle)
        clock.forward(hours=2)
        if clock.now.hour == 0:
            per_day.append(len(upstream.requests) - asked_before)
            asked_before = len(upstream.requests)
    shown = {int(paper["id"][-5:]) for papers in diary.days.values() for paper in papers}
    assert published.keys() == shown
    assert all(len(dates) == 1 for dates in published.values()), "published never moves"
    assert max(per_day) < 150
