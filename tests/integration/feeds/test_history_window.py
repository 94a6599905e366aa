"""The window of list days: filled and refreshed in the background, by one or more processes."""

import threading
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from feedsrv.feeds.results import FeedResult
from feedsrv.models import Feed
from feedsrv.upstream.demo import create_demo_upstream
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper, papers_of_twelve_days
from tests.support.waiting import wait_until

DAILY = Feed(name="all", title="all", sources=("daily",))


@pytest.fixture
def upstream_papers() -> list[Json]:
    return papers_of_twelve_days()


def paper_numbers(result: FeedResult) -> list[int]:
    return [int(match.paper.id[-5:]) for match in result.matches]


def requested_days(upstream: FakeUpstream) -> list[str]:
    return [path for path in upstream.requests if path.startswith("/papers/date/")]


# --- the window --------------------------------------------------------------------------------


def test_the_first_request_waits_for_one_page_and_the_rest_follows_newest_first(
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
    request_count = len(upstream.requests)
    for number in range(20):
        query = Feed(name="x", title="x", query=f"causal -word{number}", sources=("daily",))
        assert len(service.get_feed(query).matches) == 8
    assert len(upstream.requests) == request_count


def test_a_restarted_server_continues_to_fill_the_window(
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


def test_after_three_weeks_offline_no_paper_is_missed(
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


def test_a_day_is_refreshed_by_its_age_and_never_loses_papers(
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


# --- papers beyond the limit, and papers not published yet -------------------------------------


@pytest.fixture
def causal_search(upstream: FakeUpstream, clock: Clock) -> list[int]:
    """Return the numbers of the papers in upstream's search results; tests may change them."""
    found: list[int] = []

    def search(path: str) -> Response | None:
        if not path.startswith("/papers?q="):
            return None
        papers = [paper for paper in upstream.papers if int(paper["id"][-5:]) in found]
        return Response.from_app(
            create_demo_upstream(papers, clock.today), EnvironBuilder(path).get_environ()
        )

    upstream.intercept = search
    return found


@pytest.mark.parametrize("limit", [0, 3])
def test_a_paper_beyond_the_limit_does_not_return_when_the_window_moves(
    make_service: MakeService,
    upstream: FakeUpstream,
    clock: Clock,
    causal_search: list[int],
    limit: int,
) -> None:
    size = limit or 50
    upstream.papers = [make_raw_paper(97)] + [
        make_raw_paper(number, day=day, title="Causal tides")
        for number, day in [*((n, max(0, 3 - n)) for n in range(size)), (98, 6), (99, 7)]
    ]
    causal_search += [98, 99]
    feed = Feed(name="x", title="x", query="causal", limit=limit)
    service = make_service(history_days=4)
    wait_until(lambda: sorted(paper_numbers(service.get_feed(feed))) == list(range(size)))
    numbers = paper_numbers(service.get_feed(feed))
    for days in (1, 2):
        upstream.papers = [paper | {"day": paper["day"] + 1} for paper in upstream.papers]
        upstream.papers.append(make_raw_paper(1000 + days, title="Tides"))
        clock.forward(days=1)
        service.get_feed(feed)
        wait_until(service._scheduler.is_idle)
        remaining = set(paper_numbers(service.get_feed(feed)))
        assert remaining < set(numbers), "some have left the window, and none came in their place"
    assert 98 in paper_numbers(service.get_feed(feed, page_number=1)), "people may look further"
    # A new paper of the window appears.
    upstream.papers.append(make_raw_paper(1003, title="Causal tides"))
    clock.forward(hours=1)
    service.get_feed(feed)
    wait_until(lambda: 1003 in paper_numbers(service.get_feed(feed)))


def test_a_new_feed_has_past_papers_up_to_its_limit(
    make_service: MakeService, upstream: FakeUpstream, causal_search: list[int]
) -> None:
    upstream.papers = [
        make_raw_paper(day, day=day, title="Causal tides") for day in (0, 1, 7, 8, 9)
    ]
    causal_search += [7, 8, 9]
    feed = Feed(name="x", title="x", query="causal", limit=3)
    service = make_service(history_days=2)
    service.get_feed(feed)
    wait_until(lambda: paper_numbers(service.get_feed(feed)) == [0, 1, 7])
    other = msgspec.structs.replace(feed, limit=4)
    assert paper_numbers(service.get_feed(other)) == [0, 1, 7, 8], "each limit for itself"


def test_a_paper_appears_at_the_second_at_which_it_is_published(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.papers = [make_raw_paper(n, day=n // 10) for n in (1, 5, 12)]
    service = make_service(history_days=2)
    published = {
        int(match.paper.id[-5:]): match.paper.published for match in service.get_feed(DAILY).matches
    }
    clock.now = published[1] - timedelta(seconds=1)
    wait_until(lambda: paper_numbers(service.get_feed(DAILY)) == [12])
    assert service.get_feed(DAILY).cacheable_until <= published[1]
    clock.now = published[1]
    assert paper_numbers(service.get_feed(DAILY)) == [1, 12]
    clock.now = published[5]
    assert paper_numbers(service.get_feed(DAILY)) == [5, 1, 12]


# --- ten days of a server ----------------------------------------------------------------------


class UpstreamTimeline:
    """Changes the lists of an upstream over time: partial mornings, weekends, an outage."""

    def __init__(self, upstream: FakeUpstream, clock: Clock) -> None:
        self.upstream = upstream
        self.clock = clock
        self.days: dict[date, list[Json]] = {}

    def update(self, start: date) -> None:
        """Set the lists to those at the current time."""
        today = self.clock.today()
        number = (today - start).days
        if today.isoweekday() < 6 and today not in self.days:
            self.days[today] = [
                make_raw_paper(number * 100 + n, title=f"Causal day {number}") for n in range(6)
            ]
        shown: list[Json] = []
        for days_ago, (day, papers) in enumerate(sorted(self.days.items(), reverse=True)):
            count = len(papers)
            if day == today and self.clock.now.hour < 10:
                count = 1  # before 10:00 the list is partial
            if number == 8 and days_ago == 1:
                count = 2  # an older list loses papers once
            shown += [paper | {"day": days_ago} for paper in papers[:count]]
        self.upstream.papers = shown
        newest = max(self.days)
        self.upstream.today = lambda: newest
        if number == 4:
            self.upstream.fail()
        else:
            self.upstream.recover()


def test_in_ten_days_each_paper_appears_once_and_requests_do_not_grow_with_feeds(
    make_service: MakeService,
    upstream: FakeUpstream,
    clock: Clock,
) -> None:
    clock.now = datetime(2026, 11, 18, 0, 5, tzinfo=UTC)  # a Wednesday
    start = clock.today()
    timeline = UpstreamTimeline(upstream, clock)
    service = make_service(history_days=30)
    feed_configs = [
        Feed(name="x", title="x", query=f"causal -never{n}", sources=("daily",)) for n in range(20)
    ]
    published: dict[int, set[datetime]] = {}
    requests_before, per_day = 0, []
    for step in range(10 * 12):
        timeline.update(start)
        if step == 0:
            service.get_feed(*feed_configs[:1])
        for feed in feed_configs[step % 2 :: 2]:
            result = service.get_feed(feed, limit=200)
            assert len(result.matches) == len({each.paper.id for each in result.matches})
        for each in result.matches:
            published.setdefault(int(each.paper.id[-5:]), set()).add(each.paper.published)
        wait_until(service._scheduler.is_idle)
        clock.forward(hours=2)
        if clock.now.hour == 0:
            per_day.append(len(upstream.requests) - requests_before)
            requests_before = len(upstream.requests)
    shown = {int(paper["id"][-5:]) for papers in timeline.days.values() for paper in papers}
    assert published.keys() == shown
    assert all(len(dates) == 1 for dates in published.values()), "published never moves"
    assert max(per_day) < 150
