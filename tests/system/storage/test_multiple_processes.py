"""Several server processes on one store."""

import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
import pytest

from feedsrv.config import Config
from feedsrv.errors import UpstreamError
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Feed
from tests.support.clock import Clock
from tests.support.http import fetch_body
from tests.support.processes import killed_process
from tests.support.server_process import start_server
from tests.support.stores import disk_store
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, papers_of_twelve_days


@pytest.fixture
def upstream_papers() -> list[Json]:
    return papers_of_twelve_days()


@contextmanager
def run_servers(count: int, upstream: FakeUpstream, folder: Path) -> Iterator[list[str]]:
    """Start server processes on one store; yield their URLs."""
    settings = folder / "feedsrv.toml"
    settings.write_text("spacing = 0\nhistory_days = 8\n[feeds.causal]\nquery = 'causal'\n")
    environ = {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(folder / "store"),
        "FEEDSRV_CONFIG": str(settings),
    }
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        servers = [start_server(environ=environ) for _ in range(count)]
        yield [server.url for server in pool.map(stack.enter_context, servers)]


def test_two_processes_fetch_each_page_once_for_two_hundred_requests(
    upstream: FakeUpstream, clock: Clock, tmp_path: Path
) -> None:
    clock.now = datetime.now(UTC)
    with run_servers(2, upstream, tmp_path) as urls:
        addresses = [f"{urls[n % 2]}/papers.atom?q=causal" for n in range(200)]
        with ThreadPoolExecutor(32) as pool:
            bodies = list(pool.map(fetch_body, addresses))
    for body in set(bodies):
        feed = feedparser.parse(body)
        assert not feed.bozo
        assert len(feed.entries) >= 8
        assert all(entry.title == "Causal tides" for entry in feed.entries)
    pages = [path for path in upstream.requests if path.startswith("/papers")]
    assert len(pages) == len(set(pages))
    assert "/papers?q=causal" in pages


def refresh_forever(url: str, folder: str) -> None:
    """Refresh pages endlessly, in a process that will be killed."""
    config = Config(upstream_url=url, cache_dir=Path(folder), spacing=0, deadline=2)
    service = create_service(config)
    pages = service._sources.due_pages(
        [Feed(name="all", title="all", sources=("daily", "trending"))]
    )
    for page in itertools.cycle(pages or [service.newest_day()]):
        with suppress(UpstreamError):
            service.refresh_page(page)


def test_a_killed_process_loses_no_data_and_its_lease_expires(
    config: Config, upstream: FakeUpstream, make_service: MakeService, clock: Clock
) -> None:
    """test_crash_safety.py tests the listings; this tests the lease of the killed process."""
    clock.now = datetime.now(UTC)
    service = make_service(deadline=1.0)
    page = service.newest_day()
    service.refresh_page(page)
    store = disk_store(config.cache_dir, upstream.url, now=clock)
    chance = random.Random(7)
    with killed_process(refresh_forever, upstream.url, str(config.cache_dir)) as kill_after:
        for _ in range(20):
            kill_after(chance.uniform(0.0, 0.15))
            listing = store.get_listing(page)
            assert listing is not None
            assert len(listing.papers) == 2
    clock.now = datetime.now(UTC) + timedelta(seconds=30)
    assert service.refresh_page(page).papers
