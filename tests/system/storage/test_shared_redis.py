"""Three servers on one Redis behave like one, towards upstream and towards readers."""

import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import NamedTuple
from urllib.error import HTTPError

import msgspec
import pytest

from tests.support.http import fetch_body
from tests.support.redis_server import PASSWORD, RedisServer
from tests.support.server_process import ServerProcess, start_server
from tests.support.servers import serve_wsgi
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

PATHS = [
    "/papers.atom?q=causal",
    "/papers.rss?q=lighthouse",
    "/papers.json",
    "/papers/trending.atom",
    "/papers/week.atom?q=causal",
    "/feeds/fog.atom",
]
SETTINGS = """
public_url = "http://papers.example.org"
spacing = 0
history_days = 5
new_keywords = 0
[feeds.fog]
query = "fog"
"""


def today() -> date:
    return datetime.now(UTC).date()


class FeedResponse(NamedTuple):
    """The body and validators of a response."""

    body: bytes
    etag: str
    modified: str


class ServerGroup:
    """Three servers, each with its own cache directory."""

    def __init__(self, stack: ExitStack, environ: dict[str, str], folder: Path) -> None:
        self.urls: list[str] = []
        self._servers: list[ServerProcess] = []
        for number in range(3):
            own = {"FEEDSRV_CACHE_DIR": str(folder / f"machine-{number}")}
            server = stack.enter_context(start_server(environ=environ | own))
            self.urls.append(server.url)
            self._servers.append(server)

    def kill(self) -> None:
        """Kill the first server, like a power cut."""
        del self.urls[0]
        self._servers.pop(0).kill()

    def responses(self, path: str) -> set[FeedResponse]:
        return {fetch_response(url + path) for url in self.urls}

    def agree(self) -> bool:
        return all(len(self.responses(path)) == 1 for path in PATHS)

    def all(self) -> dict[str, set[FeedResponse]]:
        return {path: self.responses(path) for path in PATHS}


def fetch_response(url: str) -> FeedResponse:
    with urllib.request.urlopen(url, timeout=60) as found:
        return FeedResponse(found.read(), found.headers["ETag"], found.headers["Last-Modified"])


def is_served(url: str) -> bool:
    """Request the URL; return False for 503, because only some first requests may wait."""
    try:
        return bool(fetch_body(url))
    except HTTPError as error:
        error.close()
        if error.code != 503:
            raise
        return False


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    papers = [
        make_raw_paper(day * 10 + n, day=day, title="Causal fog" if n else "Tides")
        for day in range(8)
        for n in range(3)
    ]
    site = FakeUpstream(papers, today)
    with serve_wsgi(site) as url:
        site.url = url
        yield site


@pytest.fixture
def servers(upstream: FakeUpstream, redis: RedisServer, tmp_path: Path) -> Iterator[ServerGroup]:
    (tmp_path / "feedsrv.toml").write_text(SETTINGS)
    environ = {
        "FEEDSRV_CONFIG": str(tmp_path / "feedsrv.toml"),
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_STORE_URL": redis.url,
    }
    with ExitStack() as stack:
        yield ServerGroup(stack, environ, tmp_path)


def test_three_servers_serve_three_hundred_clients_like_one_server(
    servers: ServerGroup, upstream: FakeUpstream, redis: RedisServer
) -> None:
    def client(number: int) -> None:
        url = servers.urls[number % 3] + PATHS[number // 3 % len(PATHS)]
        wait_until(lambda: is_served(url))

    with ThreadPoolExecutor(300) as pool:
        list(pool.map(client, range(300)))
    # The rest of the window is fetched in the background.
    wait_until(lambda: len([path for path in upstream.requests if "/date/" in path]) >= 5)
    wait_until(servers.agree)
    assert set(Counter(upstream.requests).values()) == {1}, "one request for each page"
    requests = Counter(requests_for("/papers", upstream))
    before = servers.all()
    assert all(b"Causal fog" in found.body for found in before[PATHS[0]])

    servers.kill()
    assert servers.all() == before

    redis.stop()
    assert servers.all() == before, "from memory"
    redis.start()  # empty; the servers rewrite their listings
    assert servers.all() == before
    assert Counter(requests_for("/papers", upstream)) == requests, "and nothing was asked again"


@pytest.mark.slow
def test_another_server_fetches_the_page_that_a_killed_server_requested(
    servers: ServerGroup, upstream: FakeUpstream
) -> None:
    may_respond = Event()

    def hang(path: str) -> None:
        if "harbour" in path:
            may_respond.wait(60)

    upstream.intercept = hang
    path = "/papers.atom?q=harbour"
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(fetch_body, servers.urls[0] + path)
        wait_until(lambda: len(requests_for("harbour", upstream)) == 1)
        servers.kill()
        with pytest.raises(OSError, match=r"."):
            failed.result()
    may_respond.set()
    # The lease of the killed server has to expire first.
    wait_until(
        lambda: len(servers.responses(path)) == 1 and len(requests_for("harbour", upstream)) > 1
    )
    assert len(requests_for("harbour", upstream)) == 2


def requests_for(word: str, upstream: FakeUpstream) -> list[str]:
    # Without those about single papers, which go on.
    return [path for path in upstream.requests if word in path and "/api/" not in path]


def test_status_names_the_storage_backend_but_not_its_address(
    servers: ServerGroup, redis: RedisServer
) -> None:
    for is_running in (True, False):
        if not is_running:
            redis.stop()
            wait_until(
                lambda: b"Nothing can be stored in Redis" in fetch_body(servers.urls[0] + "/status")
            )
        for path in ("/status.json", "/status"):
            body = fetch_body(servers.urls[0] + path).decode()
            assert str(redis.port) not in body
            assert PASSWORD not in body
        store = msgspec.json.decode(fetch_body(servers.urls[0] + "/status.json"))["store"]
        assert store["where"] == "in Redis"
        # The reason is that of the first failure, of an open connection or of a new one.
        reasons = {""} if is_running else {"Connection refused", "Connection reset by peer"}
        assert store["trouble"] in reasons
