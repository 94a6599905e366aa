"""Clock jumps: a table of everything that stores a time, for several jumps.

Each case acts while the clock is wrong. Once the clock is right again, the running server has
recovered within an hour, and a restarted one at once.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import feedparser
import pytest
from flask.testing import FlaskClient
from werkzeug.http import parse_date
from werkzeug.wrappers import Response

from feedsrv.feeds.new_papers import build_report, mark_reported
from feedsrv.feeds.service import Service
from feedsrv.models import Failure, Feed, Incident, Kind, Page, RequestLog
from feedsrv.monitoring.incidents import ALL_UPSTREAM
from feedsrv.upstream.policy import pages_covering
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper
from tests.support.waiting import wait_until

JUMPS = {
    "8-hours-ahead": timedelta(hours=8),
    "400-days-ahead": timedelta(days=400),
    "8-hours-behind": -timedelta(hours=8),
    "400-days-behind": -timedelta(days=400),
}


class Server(NamedTuple):
    service: Service
    client: FlaskClient
    upstream: FakeUpstream
    clock: Clock
    #: The Last-Modified values sent while the clock was wrong.
    last_modified: list[str]

    def get(self, path: str, **headers: str) -> bytes:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=fields).get_data()

    def is_ok(self, path: str) -> bool:
        return self.client.get(path).status_code == 200


ChangeState = Callable[[Server], None]
Check = Callable[[Server], bool]

ALL_PAPERS = Feed(name="all", title="all", sources=("daily",))


def fetch_window(server: Server) -> None:
    for _ in server.service.refresh_stale(ALL_PAPERS):
        pass


def fail(server: Server) -> None:
    server.upstream.intercept = lambda path: Response("", 503, {"Retry-After": "99999999"})
    for path in ("/papers/trending.atom", "/papers/week.atom"):
        server.get(path)
    server.upstream.recover()


def acquire_lease(server: Server) -> None:
    repository, now = server.service.repository, server.clock()
    assert repository.acquire_lease("other", now, timedelta(seconds=60), is_awaited=True)
    assert not repository.acquire_lease("third", now, timedelta(seconds=60), is_awaited=True)


def use_up_the_requests(server: Server) -> None:
    times = (server.clock(),) * 60
    server.service.repository.update_request_log(lambda _log: RequestLog(times, times))
    server.get("/papers.atom?q=fog")  # this process caches it


def fetch_lists(server: Server) -> None:
    for path in ("/papers.atom", "/papers/trending.atom", "/papers.atom?q=lighthouse"):
        for _ in range(2):  # the second response comes from the cache
            server.get(path)
        server.get(path, If_Modified_Since="Tue, 01 Jan 2019 00:00:00 GMT")
    server.last_modified.append(server.client.get("/papers.atom").headers["Last-Modified"])
    server.upstream.papers.append(make_raw_paper(9, title="A new lighthouse"))


def has_new_paper(server: Server) -> bool:
    paths = ("/papers.atom", "/papers/trending.atom", "/papers.atom?q=lighthouse")
    return all(b"2611.00009" in server.get(path) for path in paths)


def is_not_unmodified(server: Server) -> bool:
    """Thunderbird sends only If-Modified-Since, with the last Last-Modified value."""
    return all(
        server.get("/papers.atom", If_Modified_Since=last_modified)
        for last_modified in server.last_modified
    )


def searches_new_keywords(server: Server) -> bool:
    query = f"q=walrus{server.clock():%M}"  # differs between the servers
    is_ok = server.is_ok(f"/papers.atom?{query}")
    return is_ok and any(path.endswith(query) for path in server.upstream.requests)


def use_up_the_quota(server: Server) -> None:
    for number in range(9):
        server.get(f"/papers.atom?q=word{number}")


def revise_a_paper(server: Server) -> None:
    server.get("/papers.atom")
    server.clock.forward(hours=1)
    server.upstream.papers[0] |= {"summary": "We count the steps anew."}
    server.service.refresh_page(server.service.newest_day())
    assert b"anew" in server.get("/papers.atom")


def has_no_date_in_the_future(server: Server) -> bool:
    limit = server.clock() + timedelta(minutes=5)
    for path in ("/papers.atom", "/status.atom"):
        response = server.client.get(path)
        dates = re.findall(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|\+00:00)", response.data)
        assert dates
        modified = parse_date(response.headers.get("Last-Modified"))
        moments = [*(datetime.fromisoformat(each.decode()) for each in dates), modified]
        if any(each is not None and each > limit for each in moments):
            return False
    return True


LATE_RISERS = "/papers.atom?q=upvotes:>=20"


def make_a_paper_rise(server: Server) -> None:
    server.upstream.papers[0] |= {"upvotes": 30}
    fetch_window(server)  # only then a paper is dated by the moment it rises
    wait_until(lambda: b"2611.00001" in server.get(LATE_RISERS))
    server.upstream.papers[1] |= {"upvotes": 30, "day": 0}
    server.clock.forward(hours=1)
    server.service.refresh_page(server.service.newest_day())
    assert b"2611.00002" in server.get(LATE_RISERS)


def has_late_risers(server: Server) -> bool:
    feed = feedparser.parse(server.get(LATE_RISERS))
    limit = f"{server.clock() + timedelta(minutes=5):%Y-%m-%dT%H:%M:%S}"
    return len(feed.entries) == 2 and all(entry.updated <= limit for entry in feed.entries)


def report_new_papers(server: Server) -> None:
    mark_reported(server.service, [ALL_PAPERS], build_report(server.service, [ALL_PAPERS], None))
    server.upstream.papers.append(make_raw_paper(9))


def reports_new_papers(server: Server) -> bool:
    report = build_report(server.service, [ALL_PAPERS], None)
    return "2611.00009" in {paper.id for paper in report.digest.papers}


def record_incidents(server: Server) -> None:
    now = server.clock()
    lasting = Incident(subject=ALL_UPSTREAM, reason="HTTP 503", since=now, reported_at=now)
    over = Incident(
        subject="month",
        reason="HTTP 503",
        since=now - timedelta(hours=9),
        reported_at=now - timedelta(hours=3),
        ended_at=now,
    )
    server.service.repository.update_incidents(lambda _log: (lasting, over))
    server.get("/status.atom")


def has_ended_incidents(server: Server) -> bool:
    server.service.refresh_page(pages_covering(Kind.WEEK, server.clock().date(), 1)[0])
    for incident in server.service.repository.get_incidents():
        if incident.ended_at is None or not incident.since <= incident.ended_at:
            return False
    return has_no_date_in_the_future(server)


def record_timeout(server: Server) -> None:
    now = server.clock()
    failure = Failure(reason="timed out", count=1, at=now, retry_at=now, since=now, timed_out=True)
    server.service.repository.save_failure(None, failure)


DIGESTS = "/papers.atom?digest=day"


def close_digests(server: Server) -> None:
    fetch_window(server)
    server.get(DIGESTS)


def has_closed_digests(server: Server) -> bool:
    """Only the day before the newest list is closed, at the beginning of the newest list's day."""
    close_digests(server)
    published = [entry.published for entry in feedparser.parse(server.get(DIGESTS)).entries]
    return published == [f"{server.upstream.today()}T00:00:00+00:00"]


LIKES = "/papers.atom?q=like:2611.00001"


def has_similar_papers(server: Server) -> bool:
    feed = feedparser.parse(server.get(LIKES))
    return any(entry.link.endswith("2611.00001") for entry in feed.entries)


SHORT_FEED = "/papers.atom?limit=1"


def push_out_a_paper(server: Server) -> None:
    fetch_window(server)
    server.get(SHORT_FEED)
    server.upstream.papers.append(make_raw_paper(9))


def waits_for_upstream(server: Server) -> bool:
    """While upstream hangs, nobody waits: a list that was never fetched is an error."""
    day = server.clock.today() - timedelta(days=100 + len(server.upstream.requests))
    return server.is_ok(f"/papers/date/{day}.atom")


CASES: dict[str, tuple[ChangeState, Check]] = {
    "failures": (fail, lambda server: server.is_ok("/papers/trending.atom")),
    "the-lease": (
        acquire_lease,
        lambda server: server.is_ok("/papers/month.atom"),
    ),
    "the-request-log": (use_up_the_requests, searches_new_keywords),
    "listings-and-cached-responses": (fetch_lists, has_new_paper),
    "last-modified": (fetch_lists, is_not_unmodified),
    "quotas": (use_up_the_quota, searches_new_keywords),
    "revisions": (revise_a_paper, has_no_date_in_the_future),
    "first-matches": (make_a_paper_rise, has_late_risers),
    "reports": (report_new_papers, reports_new_papers),
    "incidents": (record_incidents, has_ended_incidents),
    "digests": (close_digests, has_closed_digests),
    "likes": (lambda server: wait_until(lambda: has_similar_papers(server)), has_similar_papers),
    "cut-offs": (push_out_a_paper, lambda server: b"2611.00009" in server.get(SHORT_FEED)),
    "hangs": (record_timeout, waits_for_upstream),
}


@pytest.fixture
def upstream_papers() -> list[Json]:
    return [make_raw_paper(1), make_raw_paper(2, day=1)]


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
@pytest.mark.parametrize(("change_state", "is_recovered"), CASES.values(), ids=CASES)
def test_the_server_recovers_after_a_clock_jump(
    make_service: MakeService,
    upstream: FakeUpstream,
    clock: Clock,
    jump: timedelta,
    change_state: ChangeState,
    is_recovered: Check,
) -> None:
    last_modified: list[str] = []

    def start() -> Server:
        service = make_service(new_keywords=8, deadline=5.0, history_days=2)
        service.repository.open()
        return Server(service, create_app(service).test_client(), upstream, clock, last_modified)

    upstream_day = clock.today()
    upstream.today = lambda: upstream_day
    running, correct_time = start(), clock.now
    clock.now = correct_time + jump
    change_state(running)
    clock.now = correct_time
    # More than the five minutes of tolerated clock skew.
    clock.forward(minutes=6)
    restarted = start()
    wait_until(lambda: is_recovered(restarted))
    clock.forward(minutes=54)
    wait_until(lambda: is_recovered(running))


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_a_cached_response_of_a_wrong_clock_does_not_stay(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, jump: timedelta
) -> None:
    upstream_day, correct_time = clock.today(), clock.now
    upstream.today = lambda: upstream_day
    client = create_app(make_service()).test_client()
    clock.now = correct_time + jump
    for _ in range(2):
        client.get("/papers.atom")
    upstream.papers.append(make_raw_paper(9))
    clock.now = correct_time
    clock.forward(hours=1)
    wait_until(lambda: b"2611.00009" in client.get("/papers.atom").data)


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_a_failure_recorded_by_a_wrong_clock_has_a_bounded_retry_after(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, jump: timedelta
) -> None:
    upstream.intercept = lambda path: Response("", 503, {"Retry-After": "99999999"})
    client, correct_time = create_app(make_service()).test_client(), clock.now
    for now in (correct_time + jump, correct_time):
        clock.now = now
        response = client.get("/papers/trending.atom")
        assert response.status_code == 503
        assert 0 < int(response.headers["Retry-After"]) <= 3600


@pytest.mark.parametrize(
    ("now", "week"),
    [
        (datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 3, 12, tzinfo=UTC), "2026-W53"),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), "2028-W09"),
    ],
    ids=["december-31", "week-53", "leap-day"],
)
def test_feeds_work_at_the_ends_of_years_and_months(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, now: datetime, week: str
) -> None:
    clock.now = now
    service = make_service(history_days=4)
    client = create_app(service).test_client()
    for path in ("/papers.atom", "/papers/week.atom", "/papers/month.atom", "/", "/status"):
        assert client.get(path).status_code == 200
    wait_until(lambda: len(feedparser.parse(client.get("/papers.atom").data).entries) >= 2)
    weeks = [path for path in upstream.requests if path.startswith("/papers/week/")]
    assert weeks == [f"/papers/week/{week}"], "without a redirect"
    assert service.repository.get_listing(Page(Kind.WEEK, week)) is not None
    assert service.newest_day() != Page(Kind.DAY, "")
    clock.forward(days=1)
    for path in ("/papers.atom", "/papers/week.atom", "/papers/month.atom", "/", "/status"):
        assert client.get(path).status_code == 200
