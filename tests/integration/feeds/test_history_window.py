"""The window of list days, filled and kept fresh behind the readers, by one process or several."""

from __future__ import annotations

import itertools
import logging
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import feedparser
import msgspec
import pytest
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.errors import NoDataYetError, UpstreamBudgetError, UpstreamError
from feedsrv.feeds.service import FeedResult, Service
from feedsrv.models import Feed, Kind, Page
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.refresh import Refresher
from tests.support.clock import Clock
from tests.support.loopback import (
    Json,
    Loopback,
    fetched,
    killing,
    raw_paper,
    server_process,
    serving,
)
from tests.support.stores import on_disk

Make = Callable[..., Service]
Until = Callable[[Callable[[], bool]], None]
DAILY = Feed(name="all", title="all", sources=("daily",))
CAUSAL = Feed(name="causal", title="causal", query="causal")


@pytest.fixture
def upstream(clock: Clock) -> Iterator[Loopback]:
    """Twelve list days of two papers each, one of them causal."""
    papers = [
        raw_paper(day * 10 + n, day=day, title="Causal tides" if n else "Tides")
        for day in range(12)
        for n in range(2)
    ]
    site = Loopback(papers, clock.today)
    with serving(site) as url:
        site.url = url
        yield site


def ids(reading: FeedResult) -> list[int]:
    return [int(each.paper.id[-5:]) for each in reading.matches]


def listed(upstream: Loopback) -> list[str]:
    return [path for path in upstream.log if path.startswith("/papers/date/")]


# --- the window --------------------------------------------------------------------------------


def test_the_first_answer_is_of_two_pages_and_the_rest_comes_behind_newest_first(
    make_service: Make, upstream: Loopback, until: Until
) -> None:
    gate = threading.Event()

    def hold(path: str) -> None:
        if path.endswith("-23"):
            gate.wait(10)

    upstream.fault = hold
    service = make_service(history_days=8)
    first = service.get_feed(DAILY)
    assert ids(first) == [1, 0]
    gate.set()
    until(lambda: len(service.get_feed(DAILY).matches) == 16)
    assert ids(service.get_feed(DAILY)) == [day * 10 + n for day in range(8) for n in (1, 0)]
    expected = ["24", "23", "20", "19", "18", "17", "16", "13"]
    assert listed(upstream) == [f"/papers/date/2026-11-{name}" for name in expected]


def test_one_window_serves_every_keyword(
    make_service: Make, upstream: Loopback, until: Until
) -> None:
    service = make_service(history_days=8)
    until(lambda: len(service.get_feed(DAILY).matches) == 16)
    asked = len(upstream.log)
    for number in range(20):
        query = Feed(name="x", title="x", query=f"causal -word{number}", sources=("daily",))
        assert len(service.get_feed(query).matches) == 8
    assert len(upstream.log) == asked


def test_a_server_that_ended_half_way_goes_on_where_it_stopped(
    make_service: Make, upstream: Loopback, clock: Clock, until: Until
) -> None:
    def stop_after_three(path: str) -> Response | None:
        return Response("", 503) if len(upstream.log) > 3 else None

    upstream.fault = stop_after_three
    first = make_service(history_days=8)
    until(lambda: first.get_feed(DAILY) is not None and len(upstream.log) > 3)
    first.close()
    done = list(upstream.log[:3])
    upstream.up()
    clock.forward(minutes=3)
    second = make_service(history_days=8)
    until(lambda: len(second.get_feed(DAILY).matches) == 16)
    assert all(upstream.log.count(path) == 1 for path in done)


def test_a_laptop_that_was_closed_for_three_weeks_misses_nothing(
    make_service: Make, upstream: Loopback, clock: Clock, until: Until
) -> None:
    service = make_service(history_days=20)
    until(lambda: len(service.get_feed(DAILY).matches) == 24)
    before = set(ids(service.get_feed(DAILY)))
    clock.forward(days=21)
    upstream.papers = [paper | {"day": paper["day"] + 15} for paper in upstream.papers]
    new = [raw_paper(1000 + day, day=day) for day in range(15)]
    upstream.papers += new
    service.get_feed(DAILY)
    until(lambda: {1000 + day for day in range(15)} <= set(ids(service.get_feed(DAILY))))
    assert set(ids(service.get_feed(DAILY))) - {1000 + day for day in range(15)} <= before


def test_a_day_is_read_again_by_its_age_and_never_loses_papers(
    make_service: Make, upstream: Loopback, clock: Clock, until: Until
) -> None:
    service = make_service(history_days=5)
    until(lambda: len(service.get_feed(DAILY).matches) == 10)
    upstream.log.clear()
    clock.forward(hours=4)
    del upstream.papers[3]  # of yesterday
    service.get_feed(DAILY)
    until(lambda: len(listed(upstream)) == 2)
    assert listed(upstream) == ["/papers/date/2026-11-24", "/papers/date/2026-11-23"]
    assert len(service.get_feed(DAILY).matches) == 10
    upstream.log.clear()
    clock.forward(hours=9)
    service.get_feed(DAILY)
    until(lambda: len(listed(upstream)) == 5)


def test_upstream_is_asked_with_the_validators_that_it_gave(
    service: Service, upstream: Loopback, clock: Clock
) -> None:
    upstream.etag = '"one"'
    first = service.refresh_page(service.newest_day())
    clock.forward(minutes=5)
    del upstream.papers[0]  # not seen: upstream says that nothing changed
    again = service.refresh_page(service.newest_day())
    assert upstream.conditions == ["", '"one"']
    assert again.papers == first.papers
    assert again.fetched_at == clock(), "an unchanged list is fresh again"


def test_a_list_read_from_cards_is_asked_for_in_full(service: Service, upstream: Loopback) -> None:
    upstream.fault = lambda path: Response(
        '<time datetime="2026-11-24"></time>'
        '<article><h3><a href="/papers/2611.00001">A title</a></h3></article>',
        headers={"ETag": '"cards"'},
    )
    assert service.refresh_page(service.newest_day()).source == "cards"
    upstream.up()
    assert service.refresh_page(service.newest_day()).source == "data"
    assert set(upstream.conditions) == {""}


# --- turns -------------------------------------------------------------------------------------


def test_adhoc_searches_that_are_spent_leave_keyword_feeds_to_the_window(
    make_service: Make, upstream: Loopback, until: Until
) -> None:
    service = make_service(history_days=1, feeds={"causal": CAUSAL})
    for number in range(40):
        query = f"tides OR word{number}"
        reading = service.get_feed(Feed(name="x", title="x", query=query))
        assert ids(reading)[:2] == [1, 0]
    searches = [path for path in upstream.log if "q=" in path]
    assert len(searches) == 30
    service.get_feed(CAUSAL)
    assert upstream.log[-1] == "/papers?q=causal", "a configured feed's search is none of them"


def test_what_is_known_of_a_spent_allowance_is_not_asked_of_the_store(
    make_service: Make, upstream: Loopback, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(history_days=1)

    def searched(number: int) -> bool:
        service.get_feed(Feed(name="x", title="x", query=f"tides OR word{number}"))
        return upstream.log[-1].endswith(f"word{number}")

    assert [searched(number) for number in range(31)] == [True] * 30 + [False]
    asked = Mock(wraps=service.repository.acquire_lease)
    monkeypatch.setattr(service.repository, "acquire_lease", asked)
    assert not searched(40)
    asked.assert_not_called()
    clock.forward(minutes=5)
    assert searched(41)


def test_with_the_whole_allowance_spent_a_cold_reader_is_told_when(
    make_service: Make, upstream: Loopback, clock: Clock
) -> None:
    service = make_service()
    for _ in range(60):
        service.refresh_page(Page(Kind.TRENDING))
    with pytest.raises(NoDataYetError, match="budget") as caught:
        service.get_feed(DAILY)
    assert caught.value.retry_after == 300
    assert len(upstream.log) == 60
    clock.forward(minutes=5)
    assert service.get_feed(DAILY).matches


def test_the_last_request_of_upstreams_allowance_is_the_last(
    service: Service, upstream: Loopback, clock: Clock
) -> None:
    upstream.headers = {"ratelimit": '"pages";r=0;t=53'}
    service.refresh_page(service.newest_day())
    with pytest.raises(NoDataYetError, match="used up") as caught:
        service.get_feed(Feed(name="x", title="x", sources=("trending",)))
    assert caught.value.retry_after == 53
    assert service.get_feed(DAILY).matches, "what is kept is served"
    assert len(upstream.log) == 1
    clock.forward(seconds=53)
    assert service.get_feed(Feed(name="x", title="x", sources=("trending",))).matches


def make_upstream(config: Config, owner: str, clock: Clock, waits: list[float]) -> Refresher:
    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.forward(seconds=seconds)

    return Refresher(
        config,
        UpstreamClient(
            config.upstream_url, agent="feedsrv/test", clock=lambda: clock().timestamp()
        ),
        on_disk(config.cache_dir, config.upstream_url),
        owner=owner,
        now=clock,
        sleep=sleep,
        chance=lambda: 0.5,
    )


def test_a_holder_of_the_lease_that_died_blocks_nobody_longer_than_the_lease(
    config: Config, clock: Clock
) -> None:
    waits: list[float] = []
    store = on_disk(config.cache_dir, config.upstream_url)
    assert store.acquire_lease("the dead", clock(), timedelta(seconds=3))
    began = clock()
    upstream = make_upstream(config, "the living", clock, waits)
    assert upstream.refresh(Page(Kind.TRENDING)).papers
    assert timedelta(seconds=3) <= clock() - began <= timedelta(seconds=3.2)


def test_a_lease_that_others_hold_for_too_long_is_told(config: Config, clock: Clock) -> None:
    store = on_disk(config.cache_dir, config.upstream_url)
    upstream = make_upstream(config, "the patient", clock, [])
    assert store.acquire_lease("the busy", clock(), timedelta(seconds=7))
    with pytest.raises(UpstreamBudgetError, match="another process is fetching"):
        upstream.refresh(Page(Kind.TRENDING))


def test_turns_are_waited_for(config: Config, clock: Clock, upstream: Loopback) -> None:
    waits: list[float] = []
    spaced = msgspec.structs.replace(config, spacing=2.0)
    asking = make_upstream(spaced, "x", clock, waits)
    for _ in range(6):
        asking.refresh(Page(Kind.TRENDING), force=True)
    assert waits == [2.0, 2.0]
    assert len(upstream.log) == 6


def test_waiting_for_a_turn_takes_nothing_from_the_time_to_answer(
    config: Config, clock: Clock, upstream: Loopback
) -> None:
    waits: list[float] = []
    asking = make_upstream(config, "x", clock, waits)
    for _ in range(60):
        asking.refresh(Page(Kind.TRENDING), force=True)
    assert asking.refresh(Page(Kind.MONTH, "2026-11"), patience=600).papers
    assert sum(waits) == 300, "until the allowance is there again; the deadline is five seconds"


def test_after_a_long_wait_for_a_turn_it_is_not_asked_beside_another(
    config: Config, clock: Clock, upstream: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = make_upstream(config, "x", clock, [])
    for _ in range(60):
        asking.refresh(Page(Kind.TRENDING), force=True)
    began, pause = clock(), asking._wait

    def meanwhile(seconds: float, page: Page) -> None:
        pause(seconds, page)
        if seconds > 100:
            assert asking._repository.acquire_lease("another", clock(), timedelta(seconds=3))

    monkeypatch.setattr(asking, "_wait", meanwhile)
    assert asking.refresh(Page(Kind.MONTH, "2026-11"), patience=600).papers
    assert timedelta(seconds=303) <= clock() - began <= timedelta(seconds=304)


# --- several processes -------------------------------------------------------------------------


@contextmanager
def servers(count: int, upstream: Loopback, folder: Path) -> Iterator[list[str]]:
    """Start so many server processes on one store, and give their addresses."""
    settings = folder / "feedsrv.toml"
    settings.write_text("spacing = 0\nhistory_days = 8\n[feeds.causal]\nquery = 'causal'\n")
    environ = {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(folder / "store"),
        "FEEDSRV_CONFIG": str(settings),
    }
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        started = [server_process(**environ) for _ in range(count)]
        yield [url for _, url, _ in pool.map(stack.enter_context, started)]


def test_two_hundred_requests_over_two_processes_ask_for_each_page_once(
    upstream: Loopback, clock: Clock, tmp_path: Path
) -> None:
    clock.now = datetime.now(UTC)
    with servers(2, upstream, tmp_path) as urls:
        addresses = [f"{urls[n % 2]}/papers.atom?q=causal" for n in range(200)]
        with ThreadPoolExecutor(32) as pool:
            bodies = list(pool.map(fetched, addresses))
    for body in bodies:
        feed = feedparser.parse(body)
        assert not feed.bozo
        assert len(feed.entries) >= 8
        assert all(entry.title == "Causal tides" for entry in feed.entries)
    pages = [path for path in upstream.log if path.startswith("/papers")]
    assert len(pages) == len(set(pages))
    assert "/papers?q=causal" in pages


def keep_reading(url: str, folder: str) -> None:
    """Read pages for ever, in a process that will be killed."""
    config = Config(upstream_url=url, cache_dir=Path(folder), spacing=0, deadline=2)
    service = Service.open(config)
    for page in itertools.cycle(service._due_pages() or [service.newest_day()]):
        with suppress(UpstreamError):
            service.refresh_page(page)


def test_killed_at_any_moment_a_process_loses_nothing_and_blocks_nobody_for_long(
    config: Config, upstream: Loopback, make_service: Make, clock: Clock
) -> None:
    """What is kept is under test in test_store; here, the right to ask that the dead one had."""
    clock.now = datetime.now(UTC)
    service = make_service(deadline=1.0)
    page = service.newest_day()
    service.refresh_page(page)
    store = on_disk(config.cache_dir, upstream.url)
    chance = random.Random(7)
    with killing(__name__, "keep_reading", upstream.url, str(config.cache_dir)) as kill:
        for _ in range(20):
            kill(chance.uniform(0.0, 0.15))
            listing = store.get_listing(page)
            assert listing is not None
            assert len(listing.papers) == 2
    clock.now = datetime.now(UTC) + timedelta(seconds=30)
    assert service.refresh_page(page).papers


# --- ten days in the life of a server ----------------------------------------------------------


class Diary:
    """An upstream whose list days appear one by one: partial mornings, weekends, an outage."""

    def __init__(self, upstream: Loopback, clock: Clock) -> None:
        self.upstream = upstream
        self.clock = clock
        self.days: dict[date, list[Json]] = {}

    def live(self, start: date) -> None:
        """Make what the site shows be what it shows at this moment."""
        today = self.clock.today()
        number = (today - start).days
        if today.isoweekday() < 6 and today not in self.days:
            self.days[today] = [
                raw_paper(number * 100 + n, title=f"Causal day {number}") for n in range(6)
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
            self.upstream.down()
        else:
            self.upstream.up()


@pytest.mark.parametrize("feeds", [1, 200])
def test_in_ten_days_every_paper_appears_once_and_upstream_is_asked_no_more_for_many_feeds(
    make_service: Make,
    upstream: Loopback,
    clock: Clock,
    until: Until,
    feeds: int,
) -> None:
    clock.now = datetime(2026, 11, 18, 0, 5, tzinfo=UTC)  # a Wednesday
    start = clock.today()
    diary = Diary(upstream, clock)
    service = make_service(history_days=30)
    wanted = [
        Feed(name="x", title="x", query=f"causal -never{n}", sources=("daily",))
        for n in range(feeds)
    ]
    published: dict[int, set[datetime]] = {}
    asked_before, per_day = 0, []
    for step in range(10 * 24 * 2):
        diary.live(start)
        if step == 0:
            service.get_feed(*wanted[:1])
        for feed in wanted[step % 2 :: 2] if feeds > 1 else wanted:
            reading = service.get_feed(feed, limit=200)
            assert len(reading.matches) == len({each.paper.id for each in reading.matches})
        for each in reading.matches:
            published.setdefault(int(each.paper.id[-5:]), set()).add(each.paper.published)
        until(service._scheduler.is_idle)
        clock.forward(minutes=30)
        if clock.now.hour == 0 and clock.now.minute < 30:
            per_day.append(len(upstream.log) - asked_before)
            asked_before = len(upstream.log)
    shown = {int(paper["id"][-5:]) for papers in diary.days.values() for paper in papers}
    assert published.keys() == shown
    assert all(len(dates) == 1 for dates in published.values()), "published never moves"
    assert max(per_day) < 150
    logging.getLogger(__name__).info("%d feeds: upstream requests a day %s", feeds, per_day)
