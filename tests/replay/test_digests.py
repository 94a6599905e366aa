"""Nine weeks of real lists, day by day, on two servers that share one Redis."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import msgspec
import pytest

from feedsrv.config import Config, StoreConfig
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Feed, Kind, Listing, Page
from feedsrv.search.matching import matches
from feedsrv.search.parser import parse_query
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.documents import get_body
from tests.support.redis_server import RedisServer
from tests.support.replay import needs_replay, run_replay

pytestmark = needs_replay
LAST_DAY = datetime(2026, 8, 21, 20, tzinfo=UTC)
FEED = Feed(name="rl", title="Learning", query="reinforcement", sources=("daily",), digest="week")


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[list[Listing]]:
    """Return the lists of all captured days, oldest first."""
    with run_replay("--as-of", "none") as url:
        config = Config(
            upstream_url=url, cache_dir=tmp_path / "lists", spacing=0.0, history_days=45
        )
        with closing(create_service(config, now=lambda: LAST_DAY)) as service:
            for _ in service.refresh_stale(FEED):
                pass
            yield [listing for _, listing in service.list_days.get() if listing is not None][::-1]


def open_server(folder: Path, redis: RedisServer, clock: Clock) -> Service:
    config = Config(
        upstream_url="http://127.0.0.1:1",  # the test stores the lists
        cache_dir=folder,
        store=StoreConfig(redis.url),
        public_url="https://papers.example.org",
        feeds={"rl": FEED},
    )
    return create_service(config, now=clock)


def test_every_matching_paper_is_in_exactly_one_weekly_digest_of_all_servers(
    lists: list[Listing], redis: RedisServer, tmp_path: Path
) -> None:
    clock = Clock()
    servers = [open_server(tmp_path / name, redis, clock) for name in ("one", "two")]
    clients = [create_app(server).test_client() for server in servers]
    for index, listing in enumerate(lists):
        today = date.fromisoformat(listing.page.key)
        clock.now = datetime.combine(today, time(20), UTC)
        if index:  # papers listed late yesterday
            whole = msgspec.structs.replace(lists[index - 1], fetched_at=clock.now)
            servers[0].repository.save_listing(whole, whole.page)
        half = msgspec.structs.replace(
            listing, papers=listing.papers[::2], fetched_at=clock.now, next_day=""
        )
        servers[0].repository.save_listing(half, half.page)
        for server in servers:
            server.repository._records.poll()
        if today.isoweekday() in {1, 3}:  # the servers take turns in closing a week
            order = clients if index % 2 else clients[::-1]
            bodies = [get_body(client, "/feeds/rl", "json") for client in order]
            assert bodies[0] == bodies[1]
    digests = servers[0].get_digests(FEED).digests
    for server in servers:
        server.close()
    counts = Counter(paper.id for digest in digests for paper in digest.papers)
    query, first_days = parse_query(FEED.query), dict[str, date]()
    for listing in lists:
        for paper in listing.papers:
            if matches(query, paper):
                first_days.setdefault(paper.id, date.fromisoformat(listing.page.key))
    last_week = max(digest.key for digest in digests)
    weeks = {name: Page.of_date(Kind.WEEK, day).key for name, day in first_days.items()}
    expected = {name for name, week in weeks.items() if week <= last_week}
    assert len(digests) == 8
    assert len(expected) > 50
    assert set(counts) == expected
    assert set(counts.values()) == {1}
    assert LAST_DAY - digests[0].published < timedelta(days=7)
