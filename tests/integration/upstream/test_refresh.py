"""One page refreshed: validators, lease, rate limit, budget."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import msgspec
import pytest
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.errors import NoDataYetError, UpstreamBudgetError
from feedsrv.feeds.service import FeedResult, Service
from feedsrv.models import Feed, Kind, Page
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.refresh import Refresher
from tests.support.clock import Clock
from tests.support.stores import disk_store
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, papers_of_twelve_days

DAILY = Feed(name="all", title="all", sources=("daily",))


CAUSAL = Feed(name="causal", title="causal", query="causal")


@pytest.fixture
def upstream_papers() -> list[Json]:
    return papers_of_twelve_days()


def paper_numbers(reading: FeedResult) -> list[int]:
    return [int(each.paper.id[-5:]) for each in reading.matches]


def test_upstream_is_asked_with_the_validators_that_it_gave(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.etag = '"one"'
    first = service.refresh_page(service.newest_day())
    clock.forward(minutes=5)
    del upstream.papers[0]  # not seen: upstream says that nothing changed
    again = service.refresh_page(service.newest_day())
    assert upstream.if_none_match == ["", '"one"']
    assert again.papers == first.papers
    assert again.fetched_at == clock(), "an unchanged list is fresh again"


def test_a_list_read_from_cards_is_asked_for_in_full(
    service: Service, upstream: FakeUpstream
) -> None:
    upstream.intercept = lambda path: Response(
        '<time datetime="2026-11-24"></time>'
        '<article><h3><a href="/papers/2611.00001">A title</a></h3></article>',
        headers={"ETag": '"cards"'},
    )
    assert service.refresh_page(service.newest_day()).source == "cards"
    upstream.recover()
    assert service.refresh_page(service.newest_day()).source == "data"
    assert set(upstream.if_none_match) == {""}


def test_adhoc_searches_that_are_spent_leave_keyword_feeds_to_the_window(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    service = make_service(history_days=1, feeds={"causal": CAUSAL})
    for number in range(40):
        query = f"tides OR word{number}"
        reading = service.get_feed(Feed(name="x", title="x", query=query))
        assert paper_numbers(reading)[:2] == [1, 0]
    searches = [path for path in upstream.requests if "q=" in path]
    assert len(searches) == 30
    service.get_feed(CAUSAL)
    assert upstream.requests[-1] == "/papers?q=causal", "a configured feed's search is none of them"


def test_what_is_known_of_a_spent_allowance_is_not_asked_of_the_store(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(history_days=1)

    def searched(number: int) -> bool:
        service.get_feed(Feed(name="x", title="x", query=f"tides OR word{number}"))
        return upstream.requests[-1].endswith(f"word{number}")

    assert [searched(number) for number in range(31)] == [True] * 30 + [False]
    asked = Mock(wraps=service.repository.acquire_lease)
    monkeypatch.setattr(service.repository, "acquire_lease", asked)
    assert not searched(40)
    asked.assert_not_called()
    clock.forward(minutes=5)
    assert searched(41)


def test_with_the_whole_allowance_spent_a_cold_reader_is_told_when(
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


def test_the_last_request_of_upstreams_allowance_is_the_last(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.headers = {"ratelimit": '"pages";r=0;t=53'}
    service.refresh_page(service.newest_day())
    with pytest.raises(NoDataYetError, match="used up") as caught:
        service.get_feed(Feed(name="x", title="x", sources=("trending",)))
    assert caught.value.retry_after == 53
    assert service.get_feed(DAILY).matches, "what is kept is served"
    assert len(upstream.requests) == 1
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
        disk_store(config.cache_dir, config.upstream_url),
        owner=owner,
        now=clock,
        sleep=sleep,
        chance=lambda: 0.5,
    )


def test_a_holder_of_the_lease_that_died_blocks_nobody_longer_than_the_lease(
    config: Config, clock: Clock
) -> None:
    waits: list[float] = []
    store = disk_store(config.cache_dir, config.upstream_url)
    assert store.acquire_lease("the dead", clock(), timedelta(seconds=3))
    began = clock()
    upstream = make_upstream(config, "the living", clock, waits)
    assert upstream.refresh(Page(Kind.TRENDING)).papers
    assert timedelta(seconds=3) <= clock() - began <= timedelta(seconds=3.2)


def test_a_lease_that_others_hold_for_too_long_is_told(config: Config, clock: Clock) -> None:
    store = disk_store(config.cache_dir, config.upstream_url)
    upstream = make_upstream(config, "the patient", clock, [])
    assert store.acquire_lease("the busy", clock(), timedelta(seconds=7))
    with pytest.raises(UpstreamBudgetError, match="another process is fetching"):
        upstream.refresh(Page(Kind.TRENDING))


def test_turns_are_waited_for(config: Config, clock: Clock, upstream: FakeUpstream) -> None:
    waits: list[float] = []
    spaced = msgspec.structs.replace(config, spacing=2.0)
    asking = make_upstream(spaced, "x", clock, waits)
    for _ in range(6):
        asking.refresh(Page(Kind.TRENDING), force=True)
    assert waits == [2.0, 2.0]
    assert len(upstream.requests) == 6


def test_waiting_for_a_turn_takes_nothing_from_the_time_to_answer(
    config: Config, clock: Clock, upstream: FakeUpstream
) -> None:
    waits: list[float] = []
    asking = make_upstream(config, "x", clock, waits)
    for _ in range(60):
        asking.refresh(Page(Kind.TRENDING), force=True)
    assert asking.refresh(Page(Kind.MONTH, "2026-11"), patience=600).papers
    assert sum(waits) == 300, "until the allowance is there again; the deadline is five seconds"


def test_after_a_long_wait_for_a_turn_it_is_not_asked_beside_another(
    config: Config, clock: Clock, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
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
