"""How many polls of a thousand readers reach feedsrv, behind nginx with the cache that is shipped.

    .venv/bin/python bench/proxy.py [--hours 2] [--dry]

Each reader has five of forty feeds and polls each once an hour, as most do; what they say of gzip
differs, and four of five send validators. A paper comes every half hour. Time runs sixty times as
fast: feedsrv has a clock that does, and what it tells nginx in Cache-Control is divided by as much.
"""

from __future__ import annotations

import argparse
import heapq
import http.client
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.serving import make_server

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.upstream.demo import create_demo_upstream
from feedsrv.web.app import create_app
from feedsrv.web.server import Server
from nginx import nginx_before
from report import table, write
from subjects import _Quiet, papers

REPORT = Path(__file__).parents[1] / "docs" / "self-hosting.md"
FASTER = 60
READERS, FEEDS_EACH, THREADS = 1000, 5, 8
WORDS = (
    "lighthouse ferry fog gull tide harbour buoy anchor sail keel rope chart storm pier dune reef"
)
PATHS = [
    f"/papers.{form}?q={quote(word)}"
    for word, form in product([*WORDS.split(), "sea", "net", "oar", "bell"], ("atom", "rss"))
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
    """The time, faster."""

    def __init__(self) -> None:
        self.begun = time.monotonic()

    def __call__(self) -> datetime:
        past = (time.monotonic() - self.begun) * FASTER
        return datetime(2026, 11, 24, 6, tzinfo=UTC) + timedelta(seconds=past)


class Counted:
    """The application with a count of what reaches it, and its times divided."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.statuses: Counter[str] = Counter()
        self.ages: list[int] = []

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            self.statuses[status[:3]] += 1
            divided = [(name, self._divided(name, each)) for name, each in headers]
            return start(status, divided, *error)

        answer: Iterable[bytes] = self._app(environ, begin)
        return answer

    def _divided(self, name: str, value: str) -> str:
        if name != "Cache-Control":
            return value
        self.ages += map(int, re.findall(r"max-age=(\d+)", value))
        return re.sub(r"=(\d+)", lambda found: f"={max(1, int(found[1]) // FASTER)}", value)


@contextmanager
def feedsrv(clock: Clock, folder: Path) -> Iterator[tuple[str, Counted]]:
    """Run an upstream to which papers come, and feedsrv on it; give its address and the count."""
    every = papers(40)
    for paper in every:
        paper["title"] += f" {Random(paper['id']).choice(WORDS.split())}"

    def today() -> Any:
        return clock().date()

    def site(environ: WSGIEnvironment, start: StartResponse) -> Any:
        there = 20 + int((time.monotonic() - clock.begun) * FASTER / 1800)
        return create_demo_upstream(every[:there], today)(environ, start)

    pages = make_server("127.0.0.1", 0, site, threaded=True, request_handler=_Quiet)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    config = Config(
        upstream_url=f"http://127.0.0.1:{pages.server_port}",
        cache_dir=folder / "store",
        spacing=0,
        history_days=1,
        new_keywords=0,
    )
    service = Service.open(config, now=clock)
    counted = Counted(create_app(service))
    server = Server(counted, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}", counted
    finally:
        server.stop()
        thread.join()
        service.close()
        pages.shutdown()


def read(host: str, polls: list[tuple[float, str, str, bool]], hours: float) -> Counter[int]:
    """Poll when it is time to, until the hours are over; return the answers by status.

    Args:
        host: Where.
        polls: Second of the first poll, path, what is said of gzip, and whether validators are.
        hours: Of the faster clock.

    """
    statuses: Counter[int] = Counter()
    held: dict[int, str] = {}
    due = [(second, number) for number, (second, *_) in enumerate(polls)]
    heapq.heapify(due)
    connection = http.client.HTTPConnection(host, timeout=30)
    begun = time.monotonic()
    while due[0][0] < hours * 3600 / FASTER:
        second, number = heapq.heappop(due)
        time.sleep(max(0.0, begun + second - time.monotonic()))
        _, path, encoding, validates = polls[number]
        headers = {"Accept-Encoding": encoding} if encoding else {}
        if validates and number in held:
            headers["If-None-Match"] = held[number]
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        statuses[answer.status] += 1
        held[number] = answer.headers.get("ETag", "")
        heapq.heappush(due, (second + 3600 / FASTER, number))
    return statuses


def subscribed() -> list[tuple[float, str, str, bool]]:
    """Return what all readers poll."""
    chance = Random(1)
    return [
        (chance.uniform(0, 3600 / FASTER), path, encoding, validates)
        for _ in range(READERS)
        for encoding, validates in [(chance.choice(ENCODINGS), chance.random() < 0.8)]
        for path in chance.sample(PATHS, FEEDS_EACH)
    ]


def main() -> None:
    """Measure, print, and write it down."""
    parser = argparse.ArgumentParser(description="Count the polls that reach feedsrv.")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--dry", action="store_true", help="print only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, clock = Path(name), Clock()
        with feedsrv(clock, folder) as (server, counted):
            with nginx_before(server, folder / "nginx") as front:
                every, told = subscribed(), [Counter[int]() for _ in range(THREADS)]

                def work(number: int) -> None:
                    host = front.removeprefix("http://")
                    told[number] = read(host, every[number::THREADS], given.hours)

                threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            log = (folder / "nginx" / "access.log").read_text()
    answers = sum(told, Counter())
    cache = Counter(re.findall(r" (\S+)$", log, re.MULTILINE))
    write("proxy", said(answers, counted, cache, given.hours), REPORT)


def said(answers: Counter[int], counted: Counted, cache: Counter[str], hours: float) -> str:
    """Return the table, and what it is of."""
    polls, reached = answers.total(), counted.statuses.total()
    age = sum(counted.ages) / len(counted.ages)
    rows = [
        ["from readers to nginx", f"{polls:,} ({listed(answers)})"],
        ["of them as nginx calls them", listed(cache)],
        [
            "**from nginx to feedsrv**",
            f"**{reached:,}** ({listed(counted.statuses)}), {reached / polls:.1%}",
        ],
        [
            f"one for each feed and max-age (on average {age:,.0f} s) would be",
            f"{len(PATHS) * hours * 3600 / age:,.0f}",
        ],
    ]
    what = (
        f"{READERS:,} readers with {FEEDS_EACH} of {len(PATHS)} feeds each, polled hourly for"
        f" {hours:g} hours at {FASTER} times the speed (`bench/proxy.py`):"
    )
    return "\n\n".join([what, table(["", "requests"], rows)])


def listed(counts: Mapping[Any, int]) -> str:
    """Return how many there were of each."""
    return ", ".join(f"{many:,} × {each}" for each, many in sorted(counts.items()))


if __name__ == "__main__":
    main()
