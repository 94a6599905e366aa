"""Measure how many polls of a thousand readers reach feedsrv behind nginx with its cache.

    .venv/bin/python bench/proxy.py [--hours 2] [--dry]

nginx runs with deploy/nginx.conf. Each reader has five of forty feeds and polls each once an hour;
their Accept-Encoding headers differ, and four of five send conditional requests. A paper is listed
every half hour. Time runs sixty times as fast: feedsrv has such a clock, and the times in its
Cache-Control headers are divided by sixty.
"""

import argparse
import heapq
import http.client
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

from feedsrv.config import Config
from feedsrv.feeds.service_factory import create_service
from feedsrv.upstream.demo import create_demo_upstream
from feedsrv.web.app import create_app
from nginx import run_nginx
from report import format_table, write_section
from servers import make_papers
from tests.support.servers import serve_wsgi

SELF_HOSTING_PAGE = Path(__file__).parents[1] / "docs" / "self-hosting.md"
SPEED = 60
READERS, FEEDS_EACH, THREADS = 1000, 5, 8
WORDS = (
    "lighthouse ferry fog gull tide harbour buoy anchor sail keel rope chart storm pier dune reef"
)
PATHS = [
    f"/papers.{suffix}?q={quote(word)}"
    for word, suffix in product([*WORDS.split(), "sea", "net", "oar", "bell"], ("atom", "rss"))
]
ENCODINGS = (
    "gzip",
    "gzip, deflate",
    "gzip, deflate, br",
    "deflate, gzip, br, zstd",
    "identity",
    "",
)


class Clock:
    """A clock that runs faster."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self) -> datetime:
        elapsed = (time.monotonic() - self.started) * SPEED
        return datetime(2026, 11, 24, 6, tzinfo=UTC) + timedelta(seconds=elapsed)


class CountingMiddleware:
    """Counts responses, and divides the times in their Cache-Control headers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.statuses: Counter[str] = Counter()
        self.max_ages: list[int] = []

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self.statuses[status[:3]] += 1
            scaled = [(name, self._scale(name, value)) for name, value in headers]
            return start(status, scaled, *error)

        response: Iterable[bytes] = self._app(environ, begin)
        return response

    def _scale(self, name: str, value: str) -> str:
        if name != "Cache-Control":
            return value
        self.max_ages += map(int, re.findall(r"max-age=(\d+)", value))
        return re.sub(r"=(\d+)", lambda match: f"={max(1, int(match[1]) // SPEED)}", value)


@contextmanager
def run_feedsrv(clock: Clock, directory: Path) -> Iterator[tuple[str, CountingMiddleware]]:
    """Run feedsrv and an upstream that lists new papers; yield its URL and the counts."""
    papers = make_papers(40)
    for paper in papers:
        paper["title"] += f" {Random(paper['id']).choice(WORDS.split())}"

    def today() -> Any:
        return clock().date()

    def upstream_app(environ: WSGIEnvironment, start: StartResponse) -> Any:
        listed = 20 + int((time.monotonic() - clock.started) * SPEED / 1800)
        return create_demo_upstream(papers[:listed], today)(environ, start)

    with serve_wsgi(upstream_app) as upstream_url:
        config = Config(
            upstream_url=upstream_url,
            cache_dir=directory / "store",
            spacing=0,
            history_days=1,
            new_keywords=0,
        )
        with closing(create_service(config, now=clock)) as service:
            counts = CountingMiddleware(create_app(service))
            with serve_wsgi(counts) as url:
                yield url, counts


class Subscription(NamedTuple):
    """A feed that a reader polls."""

    #: Seconds until the first poll.
    offset: float
    path: str
    accept_encoding: str
    is_conditional: bool


def poll(host: str, subscriptions: list[Subscription], hours: float) -> Counter[int]:
    """Poll every subscription hourly; return the number of responses by status.

    Args:
        host: Host and port of the server.
        subscriptions: What to poll.
        hours: Duration, by the faster clock.

    """
    statuses: Counter[int] = Counter()
    etags: dict[int, str] = {}
    due = [(each.offset, number) for number, each in enumerate(subscriptions)]
    heapq.heapify(due)
    connection = http.client.HTTPConnection(host, timeout=30)
    started = time.monotonic()
    while due[0][0] < hours * 3600 / SPEED:
        second, number = heapq.heappop(due)
        time.sleep(max(0.0, started + second - time.monotonic()))
        each = subscriptions[number]
        headers = {"Accept-Encoding": each.accept_encoding} if each.accept_encoding else {}
        if each.is_conditional and number in etags:
            headers["If-None-Match"] = etags[number]
        connection.request("GET", each.path, headers=headers)
        response = connection.getresponse()
        response.read()
        statuses[response.status] += 1
        etags[number] = response.headers.get("ETag", "")
        heapq.heappush(due, (second + 3600 / SPEED, number))
    return statuses


def make_subscriptions() -> list[Subscription]:
    """Return the subscriptions of all readers."""
    chance = Random(1)
    return [
        Subscription(chance.uniform(0, 3600 / SPEED), path, encoding, is_conditional)
        for _ in range(READERS)
        for encoding, is_conditional in [(chance.choice(ENCODINGS), chance.random() < 0.8)]
        for path in chance.sample(PATHS, FEEDS_EACH)
    ]


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="Count the polls that reach feedsrv.")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--dry", action="store_true", help="do not change the page")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory, clock = Path(name), Clock()
        with (
            run_feedsrv(clock, directory) as (server, counts),
            run_nginx(server, directory / "nginx") as proxy,
            ThreadPoolExecutor(THREADS) as executor,
        ):
            host, subscriptions = proxy.removeprefix("http://"), make_subscriptions()
            polls = [
                executor.submit(poll, host, subscriptions[number::THREADS], arguments.hours)
                for number in range(THREADS)
            ]
            statuses = sum((each.result() for each in polls), Counter[int]())
        log = (directory / "nginx" / "access.log").read_text()
    cache_statuses = Counter(re.findall(r" (\S+)$", log, re.MULTILINE))
    text = format_report(statuses, counts, cache_statuses, arguments.hours)
    write_section("proxy", text, SELF_HOSTING_PAGE)


def format_report(
    statuses: Counter[int], counts: CountingMiddleware, cache_statuses: Counter[str], hours: float
) -> str:
    """Return the table, with a description of the measurement."""
    polls, forwarded = statuses.total(), counts.statuses.total()
    max_age = sum(counts.max_ages) / len(counts.max_ages)
    rows = [
        ["from readers to nginx", f"{polls:,} ({format_counts(statuses)})"],
        ["by nginx's cache status", format_counts(cache_statuses)],
        [
            "**from nginx to feedsrv**",
            f"**{forwarded:,}** ({format_counts(counts.statuses)}), {forwarded / polls:.1%}",
        ],
        [
            f"one per feed and max-age (on average {max_age:,.0f} s) would be",
            f"{len(PATHS) * hours * 3600 / max_age:,.0f}",
        ],
    ]
    introduction = (
        f"{READERS:,} readers with {FEEDS_EACH} of {len(PATHS)} feeds each, polled hourly for"
        f" {hours:g} hours at {SPEED} times the speed (`bench/proxy.py`):"
    )
    return "\n\n".join([introduction, format_table(["", "requests"], rows)])


def format_counts(counts: Mapping[Any, int]) -> str:
    """Return the counts as text, with their names."""
    return ", ".join(f"{count:,} × {name}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    main()
