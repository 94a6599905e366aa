"""Refreshing one page: validators, lease, rate limit and budget."""

from datetime import timedelta
from threading import Event, Thread
from unittest.mock import Mock

import msgspec
import pytest
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.errors import NoDataYetError, RequestNotSentError
from feedsrv.feeds.results import FeedResult
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Kind, Page
from feedsrv.search import analysis
from feedsrv.search.analysis import tokenize
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.events import EventEmitter
from feedsrv.upstream.failure_tracker import FailureTracker
from feedsrv.upstream.rate_limiter import RateLimiter
from feedsrv.upstream.refresh import Refresher
from tests.support.clock import Clock
from tests.support.stores import disk_store
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, papers_of_twelve_days

DAILY = Feed(name="all", title="all", sources=("daily",))


CAUSAL = Feed(name="causal", title="causal", query="causal")


@pytest.fixture
def config(config: Config) -> Config:
    return msgspec.structs.replace(config, deadline=5.0)  # of the simulated clock


@pytest.fixture
def upstream_papers() -> list[Json]:
    return papers_of_twelve_days()


def paper_numbers(result: FeedResult) -> list[int]:
    return [int(match.paper.id[-5:]) for match in result.matches]


def test_a_refresh_is_a_conditional_request_with_the_stored_validators(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.etag = '"one"'
    first = service.refresh_page(service.newest_day())
    clock.forward(minutes=5)
    del upstream.papers[0]  # without effect: upstream responds with 304
    second = service.refresh_page(service.newest_day())
    assert upstream.if_none_match == ["", '"one"']
    assert second.papers == first.papers
    assert second.fetched_at == clock(), "an unmodified listing is fresh second"


def test_only_papers_whose_text_is_new_are_analyzed(
    service: Service, upstream: FakeUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = service.refresh_page(service.newest_day()).papers
    analyzed: list[str] = []

    def count_tokenize(text: str) -> list[str]:
        analyzed.append(text)
        return tokenize(text)

    monkeypatch.setattr(analysis, "tokenize", count_tokenize)
    upstream.papers[0].update(title="A new title", upvotes=99)
    clock.forward(minutes=5)
    after = service.refresh_page(service.newest_day()).papers
    unchanged = {paper.title for paper in before} & {paper.title for paper in after}
    assert unchanged
    assert not unchanged & {*analyzed}
    assert [paper.tokens.title for paper in after].count("a new title") == 1


def test_a_listing_parsed_from_cards_is_fetched_without_validators(
    service: Service, upstream: FakeUpstream
) -> None:
    upstream.intercept = lambda path: Response(
        '<time datetime="2026-11-24"></time>'
        '<article><h3><a href="/papers/2611.00001">A title</a></h3></article>',
        headers={"ETag": '"cards"'},
    )
    assert service.refresh_page(service.newest_day()).parsed_from == "cards"
    upstream.recover()
    assert service.refresh_page(service.newest_day()).parsed_from == "data"
    assert set(upstream.if_none_match) == {""}


def test_without_adhoc_searches_keyword_feeds_are_served_from_the_window(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    service = make_service(history_days=1, feeds={"causal": CAUSAL})
    for number in range(40):
        query = f"tides OR word{number}"
        result = service.get_feed(Feed(name="x", title="x", query=query))
        assert paper_numbers(result)[:2] == [1, 0]
    searches = [path for path in upstream.requests if "q=" in path]
    assert len(searches) == 30
    service.get_feed(CAUSAL)
    assert upstream.requests[-1] == "/papers?q=causal", (
        "the search of a configured feed is not ad hoc"
    )


def test_a_used_up_adhoc_limit_needs_no_storage_lookup(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(history_days=1)

    def is_searched(number: int) -> bool:
        service.get_feed(Feed(name="x", title="x", query=f"tides OR word{number}"))
        return upstream.requests[-1].endswith(f"word{number}")

    assert [is_searched(number) for number in range(31)] == [True] * 30 + [False]
    acquire = Mock(wraps=service.repository.acquire_lease)
    monkeypatch.setattr(service.repository, "acquire_lease", acquire)
    assert not is_searched(40)
    acquire.assert_not_called()
    clock.forward(minutes=5)
    assert is_searched(41)


def test_a_keyword_over_the_adhoc_limit_does_not_wait_for_a_fetch_in_progress(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    service = make_service(history_days=1)
    for number in range(31):
        service.get_feed(Feed(name="x", title="x", query=f"tides OR word{number}"))
    is_served, has_timed_out, requested = Event(), Event(), Event()

    def hang(_: str) -> None:
        requested.set()
        if not is_served.wait(4):  # less than the deadline
            has_timed_out.set()

    upstream.intercept = hang
    fetch = Thread(target=service.refresh_page, args=[Page(Kind.TRENDING)])
    fetch.start()
    requested.wait(4)
    assert service.get_feed(Feed(name="x", title="x", query="tides OR word40")).matches
    is_served.set()
    fetch.join()
    assert not has_timed_out.is_set()


def test_the_error_for_a_used_up_budget_has_retry_after(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = make_service()
    for _ in range(60):
        service.refresh_page(Page(Kind.TRENDING))
    with pytest.raises(NoDataYetError, match="budget") as caught:
        service.get_feed(DAILY)
    assert caught.value.retry_after == 300
    assert len(upstream.requests) == 60
    clock.forward(minutes=5)
    assert service.get_feed(DAILY).matches


def test_no_request_is_sent_after_upstreams_rate_limit_is_used_up(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.headers = {"ratelimit": '"pages";r=0;t=53'}
    service.refresh_page(service.newest_day())
    with pytest.raises(NoDataYetError, match="used up") as caught:
        service.get_feed(Feed(name="x", title="x", sources=("trending",)))
    assert caught.value.retry_after == 53
    assert service.get_feed(DAILY).matches, "stored listings are served"
    assert len(upstream.requests) == 1
    clock.forward(seconds=53)
    assert service.get_feed(Feed(name="x", title="x", sources=("trending",))).matches


def make_refresher(config: Config, owner: str, clock: Clock, waits: list[float]) -> Refresher:
    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.forward(seconds=seconds)

    client = UpstreamClient(
        config.upstream_url, agent="feedsrv/test", clock=lambda: clock().timestamp()
    )
    store, events = disk_store(config.cache_dir, config.upstream_url), EventEmitter()
    return Refresher(
        config=config,
        client=client,
        repository=store,
        rate_limiter=RateLimiter(
            config=config, repository=store, owner=owner, events=events, now=clock, sleep=sleep
        ),
        failures=FailureTracker(repository=store, events=events, now=clock, chance=lambda: 0.5),
        events=events,
        now=clock,
    )


def test_the_lease_of_a_dead_process_blocks_others_only_until_it_expires(
    config: Config, clock: Clock
) -> None:
    waits: list[float] = []
    store = disk_store(config.cache_dir, config.upstream_url)
    assert store.acquire_lease("dead process", clock(), timedelta(seconds=3))
    started = clock()
    upstream = make_refresher(config, "live process", clock, waits)
    assert upstream.refresh(Page(Kind.TRENDING)).papers
    assert timedelta(seconds=3) <= clock() - started <= timedelta(seconds=3.2)


def test_a_lease_held_by_others_for_too_long_is_an_error(config: Config, clock: Clock) -> None:
    store = disk_store(config.cache_dir, config.upstream_url)
    upstream = make_refresher(config, "waiting process", clock, [])
    assert store.acquire_lease("busy process", clock(), timedelta(seconds=7))
    with pytest.raises(RequestNotSentError, match="another process is fetching"):
        upstream.refresh(Page(Kind.TRENDING))


def test_a_refresh_waits_for_its_slot(config: Config, clock: Clock, upstream: FakeUpstream) -> None:
    waits: list[float] = []
    spaced = msgspec.structs.replace(config, spacing=2.0)
    refresher = make_refresher(spaced, "x", clock, waits)
    for _ in range(6):
        refresher.refresh(Page(Kind.TRENDING), force=True)
    assert [seconds for seconds in waits if seconds] == [2.0, 2.0]
    assert len(upstream.requests) == 6


def test_waiting_for_a_slot_does_not_count_toward_the_deadline(
    config: Config, clock: Clock, upstream: FakeUpstream
) -> None:
    waits: list[float] = []
    refresher = make_refresher(config, "x", clock, waits)
    for _ in range(60):
        refresher.refresh(Page(Kind.TRENDING), force=True)
    assert refresher.refresh(Page(Kind.MONTH, "2026-11"), extra_wait=600).papers
    assert sum(waits) == 300, "much longer than the deadline of five seconds"


def test_after_a_long_wait_the_lease_is_acquired_again(
    config: Config, clock: Clock, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresher = make_refresher(config, "x", clock, [])
    for _ in range(60):
        refresher.refresh(Page(Kind.TRENDING), force=True)
    rate_limiter = refresher.rate_limiter
    started, pause = clock(), rate_limiter.wait

    def wait_while_another_process_acquires_the_lease(seconds: float, page: Page) -> None:
        pause(seconds, page)
        if seconds > 100:
            assert refresher.repository.acquire_lease(
                "another process", clock(), timedelta(seconds=3)
            )

    monkeypatch.setattr(
        refresher.rate_limiter, "wait", wait_while_another_process_acquires_the_lease
    )
    assert refresher.refresh(Page(Kind.MONTH, "2026-11"), extra_wait=600).papers
    assert timedelta(seconds=303) <= clock() - started <= timedelta(seconds=304)
