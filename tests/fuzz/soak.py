"""Two servers on one store, twenty readers, and an upstream with changing faults.

    python -m tests.fuzz.soak [SECONDS [CLONE]]        (make soak; ten minutes by default)

With a clone of another version, the second server is one of that version.

The servers' clock runs sixty times as fast, so that ten minutes are ten hours of refreshing. It
fails if a feed that was served once is ever an error, if Last-Modified does not increase with a
change, or if memory or open files grow.
"""

import gzip
import http.client
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.feeds.service_factory import create_service
from feedsrv.upstream.demo import load_sample_papers
from feedsrv.web.app import create_app
from feedsrv.web.server import run_server
from tests.support.servers import serve_wsgi
from tests.support.upstream import create_upstream

FASTER = 60
EPOCH = datetime(2026, 11, 24, 6, tzinfo=UTC)
READERS = 20
FEEDS = (
    *("/papers.atom", "/papers.rss", "/papers.json", "/papers", "/papers/week.atom"),
    *("/papers/month.rss", "/papers/trending.json", "/papers/week.atom?q=model"),
    *(f"/papers.atom?q={word}" for word in ("causal", "diffusion", "agent", "robot", "speech")),
    *(f"/papers.rss?q={quote(words)}" for words in ('"world model"', "train* -survey")),
)
MEGABYTES, FILES = 12, 12


def clock(since: float) -> Callable[[], datetime]:
    return lambda: EPOCH + timedelta(seconds=(time.time() - since) * FASTER)


# --- upstream ----------------------------------------------------------------------------------


def _page(body: bytes, **headers: str) -> Response:
    return Response(body, headers=headers, mimetype="text/html")


def _late(seconds: float) -> Response:
    time.sleep(seconds)
    return Response("", 503)


BOMB = gzip.compress(b"<p>" + b"x" * 60_000_000)
FAULTS: dict[str, Callable[[], Response]] = {
    "503": lambda: Response("", 503),
    "404": lambda: Response("", 404),
    "429": lambda: Response("", 429, headers={"Retry-After": "30"}),
    "a bot wall": lambda: Response("", 202, headers={"x-amzn-waf-action": "challenge"}),
    "log in": lambda: Response("", 302, headers={"Location": "/login"}),
    "elsewhere": lambda: Response("", 302, headers={"Location": "http://127.0.0.1:9/"}),
    "rubbish": lambda: _page(b"<html><p>hello"),
    "nothing": lambda: _page(b""),
    "a bomb": lambda: _page(BOMB, **{"Content-Encoding": "gzip"}),
    "cut off": lambda: _page(BOMB[:1000], **{"Content-Encoding": "gzip"}),
    "silence": lambda: _late(3),
}


class Site:
    """The sample papers, one of which is revised repeatedly, or the current fault."""

    def __init__(self, today: Callable[[], date]) -> None:
        self.papers = load_sample_papers()
        self.fault: str = ""
        self.requests_by_fault: Counter[str] = Counter()
        self.app = create_upstream(self.papers, today)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        self.requests_by_fault[self.fault or "all is well"] += 1
        response = FAULTS[self.fault]() if self.fault else Response.from_app(self.app, environ)
        return response(environ, start)

    def change(self, chance: random.Random) -> None:
        self.fault = "" if chance.random() < 0.4 else chance.choice(list(FAULTS))
        paper = chance.choice(self.papers)
        paper["title"] = f"{paper['title'].partition(' (')[0]} ({chance.randrange(1000)})"
        paper["upvotes"] += 1


# --- servers -----------------------------------------------------------------------------------


def serve(url: str, folder: str, port: str, since: str) -> None:
    """Run a server: feedsrv with another clock."""
    config = Config(
        port=int(port),
        upstream_url=url,
        cache_dir=Path(folder),
        deadline=1.0,
        spacing=0.0,
        history_days=8,
    )

    def load_app() -> Flask:
        service = create_service(config, now=clock(float(since)))
        threading._register_atexit(service.close)  # type: ignore[attr-defined]  # as wsgi.py does
        return create_app(service)

    run_server(config, os.environ, lambda _: None, load_app)


def resources(process: int) -> tuple[float, int]:
    """Return the memory in MB and the number of open files of a server and its worker."""
    children = " ".join(
        path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")
    )
    megabytes, files = 0.0, 0
    for pid in (process, *map(int, children.split())):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        megabytes += int(re.findall(r"\nPss:\s+(\d+)", rollup)[0]) / 1024
        files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return megabytes, files


# --- readers -----------------------------------------------------------------------------------


class Reader(threading.Thread):
    """Polls feeds of one server, with validators, and records the results."""

    #: Feeds that any reader has received once.
    known: ClassVar[set[str]] = set()
    seen: ClassVar[Counter[str]] = Counter()
    wrong: ClassVar[list[str]] = []
    slowest: ClassVar[float] = 0.0

    def __init__(self, port: int, number: int, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.chance, self.stop = port, random.Random(number), stop
        self.validators: dict[str, tuple[str, datetime]] = {}

    def run(self) -> None:
        while not self.stop.wait(self.chance.random() * 0.1):
            feed = self.chance.choice(FEEDS)
            try:
                self.poll(feed)
            except OSError as error:
                self.wrong.append(f"{feed}: {error!r}")

    def poll(self, feed: str) -> None:
        was_known = feed in self.known
        headers = {"Accept-Encoding": "gzip"} if self.chance.random() < 0.7 else {}
        if feed in self.validators and self.chance.random() < 0.8:
            headers["If-None-Match"] = self.validators[feed][0]
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", feed, headers=headers | {"Host": "feeds.example.org"})
        response = connection.getresponse()
        response.read()
        connection.close()
        self.seen[f"{response.status}{'' if was_known else ' at first'}"] += 1
        if was_known:
            Reader.slowest = max(Reader.slowest, time.monotonic() - started)
        if response.status >= 400 and was_known:
            self.wrong.append(f"{feed}: {response.status}, though it was answered before")
        if response.status == 200:
            self.known.add(feed)
            etag = str(response.headers["ETag"])
            modified = parsedate_to_datetime(str(response.headers["Last-Modified"]))
            before = self.validators.get(feed)
            if before and before[0] != etag and modified <= before[1]:
                self.wrong.append(f"{feed}: changed, but Last-Modified is {modified}")
            self.validators[feed] = etag, modified


# --- main --------------------------------------------------------------------------------------


def main(seconds: float, clones: list[str]) -> int:
    since, chance, stop = time.time(), random.Random(1), threading.Event()
    site = Site(lambda: clock(since)().date())
    samples: list[tuple[float, ...]] = []
    with serve_wsgi(site) as url, tempfile.TemporaryDirectory() as folder:
        ports, servers = [], []
        for number in range(2):
            ports.append(18_300 + number)
            command = [sys.executable, "-m", "tests.fuzz.soak", "--serve", url]
            servers.append(
                subprocess.Popen(
                    [*command, folder, str(ports[-1]), str(since)],
                    stderr=subprocess.DEVNULL,
                    cwd=clones[number],
                    env=os.environ | {"PYTHONPATH": clones[number]},
                )
            )
        for port in ports:
            await_port(port)
        readers = [Reader(ports[number % 2], number, stop) for number in range(READERS)]
        for reader in readers:
            reader.start()
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            time.sleep(3)
            site.change(chance)
            samples.append(tuple(sum((resources(each.pid) for each in servers), ())))
        stop.set()
        for reader in readers:
            reader.join(30)
        for each in servers:
            each.send_signal(signal.SIGTERM)
            each.wait(30)
    return report(site, samples, seconds)


def await_port(port: int) -> None:
    for _ in range(600):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server does not answer")


def report(site: Site, samples: list[tuple[float, ...]], seconds: float) -> int:
    print(f"{seconds:g} seconds, {READERS} readers, two servers; requests by status:")
    print("   ", dict(sorted(Reader.seen.items())))
    print(
        "requests to upstream by its state:\n   ",
        json.dumps(dict(site.requests_by_fault.most_common())),
    )
    print(f"slowest answer of a known feed: {Reader.slowest:.2f} s")
    failed = list(Reader.wrong[:20])
    quarter = max(1, len(samples) // 4)
    for column, what, most in ((0, "MB", MEGABYTES), (1, "files", FILES)):
        for server in (0, 1):
            values = [each[column + 2 * server] for each in samples]
            early = statistics.median(values[quarter : 2 * quarter] or values)
            late = statistics.median(values[-quarter:])
            print(f"server {server + 1}: {what} {early:.0f} in the second quarter, {late:.0f} last")
            if late - early > most:
                failed.append(f"server {server + 1} grew from {early:.0f} to {late:.0f} {what}")
    print(*failed, sep="\n")
    print("FAILED" if failed else "all well")
    return int(bool(failed))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:6])
    else:
        seconds = sys.argv[1] if len(sys.argv) > 1 else "600"
        other = sys.argv[2] if len(sys.argv) > 2 else str(Path.cwd())
        sys.exit(main(float(seconds), [str(Path.cwd()), other]))
