"""Measure how fast a feed that is ready is served, beside nginx and a bare Flask application.

    make bench              # all measurements, into docs/performance.md
    make bench SECONDS=1    # shorter runs, wider spread
    .venv/bin/python bench/serve.py --seconds 5 --rounds 7

nginx has one worker and the same bytes as static files. The Flask application says "hello" on the
server software that feedsrv has. The three are asked in turn, round after round, so that whatever
else the machine does meets all of them; what counts is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from email.message import Message
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from werkzeug.serving import WSGIRequestHandler, make_server

from feedsrv.demo import upstream

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "performance.md"
PATH = "/papers.atom"
FEED, NGINX, HELLO = "feedsrv", "nginx", "Flask hello"
CONNECTIONS = (10, 50)
#: What is asked for, and the headers that ask for it, with the server's own validator.
ASKED = {"200": (), "200 gzip": ("Accept-Encoding: gzip",), "304": ("If-None-Match: {etag}",)}
#: What the project holds itself to.
OF_NGINX, OF_HELLO = 0.5, 4.0
HELLO_CODE = """
import sys
from flask import Flask
from feedsrv.server import Server
app = Flask("hello")
app.get("/papers.atom")(lambda: "hello")
Server(app, "127.0.0.1", int(sys.argv[1])).run()
"""
NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; gzip_static on;
  types {{ application/atom+xml atom; }}
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


class Run(NamedTuple):
    """What one run of the load generator gave."""

    #: Requests answered in a second.
    rate: float
    #: Microseconds of processor time that the server spent on a request.
    cost: float


class Subject:
    """A server under load."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, started: float) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        #: Seconds from its start to its first answer.
        self.started = started
        self.idle = self.memory()

    def etag(self) -> str:
        """Return the feed's validator."""
        return fetched(self.url + PATH)[1].get("ETag", "")

    def memory(self) -> float:
        """Return the memory of all its processes in MB, shared pages by their share (PSS)."""
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids())
        return sum(int(re.search(r"\nPss:\s+(\d+)", text)[1]) for text in rollups) / 1024

    def processor(self) -> float:
        """Return the seconds of processor time that its processes have spent."""
        stats = (Path(f"/proc/{pid}/stat").read_text() for pid in self.pids())
        ticks = sum(sum(map(int, text.rpartition(")")[2].split()[11:13])) for text in stats)
        return ticks / os.sysconf("SC_CLK_TCK")

    def pids(self) -> Iterator[int]:
        """Yield its processes, and theirs."""
        pids = [self.process.pid]
        for pid in pids:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                pids += map(int, children.read_text().split())
            yield pid


# --- what is measured ------------------------------------------------------------------------


def papers(count: int) -> list[dict[str, Any]]:
    """Return invented papers, with abstracts as long as real ones are."""
    dice = random.Random(1)  # the same papers each time
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(dice.choices(letters, k=dice.randint(2, 11))) for _ in range(1500)]

    def text(most: int) -> str:
        return " ".join(dice.choices(words, k=most)).capitalize()

    return [
        {
            "id": f"2611.{number:05d}",
            "day": 0,
            "title": text(9),
            "summary": text(30) + ".",
            "authors": ["Ada Quill", "Bo Lantern", "Cy Meadow"],
            "upvotes": number,
            "comments": 1,
            "keywords": ["lighthouses"],
        }
        for number in range(1, count + 1)
    ]


class _Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        pass


@contextmanager
def pages() -> Iterator[str]:
    """Serve Hugging Face's pages with invented papers, and give their address."""
    today: Callable[[], date] = lambda: datetime.now(UTC).date()  # noqa: E731
    server = make_server(
        "127.0.0.1", 0, upstream(papers(50), today), threaded=True, request_handler=_Quiet
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def running(command: list[str], port: int, path: str, **environ: str) -> Iterator[Subject]:
    """Run a server until the measurement is over."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEEDSRV_")}
    begun = time.monotonic()
    process = subprocess.Popen(
        command, env=clean | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                fetched(f"http://127.0.0.1:{port}{path}")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > begun + 20:
                    sys.exit(f"this does not start: {' '.join(command)}")
                time.sleep(0.005)
        yield Subject(process, port, time.monotonic() - begun)
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def subjects(folder: Path) -> Iterator[dict[str, Subject]]:
    """Start the three."""
    ports = free_ports(3)
    settings = folder / "feedsrv.toml"
    settings.write_text("history_days = 1\n")
    folder.chmod(0o755)  # nginx gives up root
    with ExitStack() as stack:
        feedsrv = stack.enter_context(
            running(
                [sys.executable, "-m", "feedsrv", "serve", "--port", str(ports[0])],
                ports[0],
                "/healthz",
                FEEDSRV_CONFIG=str(settings),
                FEEDSRV_CACHE_DIR=str(folder / "store"),
                FEEDSRV_UPSTREAM_URL=stack.enter_context(pages()),
            )
        )
        feed, headers = fetched(feedsrv.url + PATH)
        packed, _ = fetched(feedsrv.url + PATH, {"Accept-Encoding": "gzip"})
        if gzip.decompress(packed) != feed or headers.get_content_type() != "application/atom+xml":
            sys.exit("the feed is not what it should be")
        print(f"feed: {len(feed):,} bytes, {len(packed):,} with gzip")
        (folder / PATH[1:]).write_bytes(feed)
        (folder / f"{PATH[1:]}.gz").write_bytes(packed)
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(folder=folder, port=ports[1]))
        hello = [sys.executable, "-c", HELLO_CODE, str(ports[2])]
        yield {
            NGINX: stack.enter_context(running(["nginx", "-c", str(conf)], ports[1], PATH)),
            FEED: feedsrv,
            HELLO: stack.enter_context(running(hello, ports[2], PATH)),
        }


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def fetched(url: str, headers: Mapping[str, str] | None = None) -> tuple[bytes, Message]:
    """Return an answer's body and headers."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as answer:
        return answer.read(), answer.headers


# --- the measurement -------------------------------------------------------------------------


def load(subject: Subject, seconds: int, connections: int, headers: list[str]) -> Run:
    """Ask for the feed as fast as it comes."""
    begun = subject.processor()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += [part for header in headers for part in ("-H", header)]
    said = subprocess.run(
        [*command, subject.url + PATH], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"{subject.url} answers with errors:\n{said}")
    answered = int(re.search(r"(\d+) requests in", said)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    return Run(rate, (subject.processor() - begun) / answered * 1e6)


def measured(
    found: dict[str, Subject], seconds: int, rounds: int
) -> dict[tuple[str, str, int], list[Run]]:
    """Return the runs of each server by what was asked for, in order of the rounds."""
    runs = defaultdict(list)
    etags = {name: subject.etag() for name, subject in found.items()}
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds} ...", flush=True)
        for connections, (asked, headers) in product(CONNECTIONS, ASKED.items()):
            for name, subject in found.items():
                if name != HELLO or asked == "200":
                    given = [each.format(etag=etags[name]) for each in headers]
                    runs[name, asked, connections].append(
                        load(subject, seconds, connections, given)
                    )
    return runs


def table(runs: dict[tuple[str, str, int], list[Run]]) -> Iterator[str]:
    """Yield the rows, with the ratio of each round to the same round of what it stands beside."""
    yield "| answer | connections | server | requests/s | µs of CPU each | feedsrv to it | wanted |"
    yield "|---|---|---|---|---|---|---|"
    for (name, asked, connections), these in sorted(runs.items(), key=lambda each: each[0][1:]):
        rates, cost = [run.rate for run in these], median(run.cost for run in these)
        row = f"| {asked} | {connections} | {name} | {spread(rates, ',.0f')} | {cost:.0f} |"
        if name == FEED:
            yield f"{row} | |"
            continue
        ours = runs[FEED, asked, connections]
        ratios = [our.rate / its.rate for our, its in zip(ours, these, strict=True)]
        wanted = OF_HELLO if name == HELLO else OF_NGINX
        reached = "yes" if median(ratios) >= wanted else "no"
        yield f"{row} {spread(ratios, '.2f')} | {wanted}: {reached} |"


def spread(values: list[float], form: str) -> str:
    """Return the median, and the least and the most in brackets."""
    return f"**{median(values):{form}}** ({min(values):{form}} to {max(values):{form}})"


def report(found: dict[str, Subject], runs: dict[Any, list[Run]], seconds: int) -> str:
    """Return the tables, and what they were measured on."""
    rounds = len(next(iter(runs.values())))
    feedsrv = found[FEED]
    size = len(fetched(feedsrv.url + PATH)[0])
    what = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `make bench` on {os.cpu_count()} cores"
        f" ({platform.machine()}, {platform.system()}, Python {platform.python_version()}): a feed"
        f" of {size:,} bytes, keep-alive, {rounds} rounds of {seconds} s each; medians, with the"
        " least and the most in brackets."
    )
    process = (
        f"feedsrv: {feedsrv.started:.2f} s from its start to the first answer of `/healthz`;"
        f" {feedsrv.idle:.0f} MB (PSS) when idle and {feedsrv.memory():.0f} MB after all this, in"
        f" {len(list(feedsrv.pids()))} process."
    )
    return "\n".join([what, "", *table(runs), "", process])


def write(name: str, text: str) -> None:
    """Put text between the marks that carry its name in the report."""
    before, begin, rest = REPORT.read_text().partition(f"<!-- bench: {name} -->\n")
    _, end, after = rest.partition(f"<!-- end: {name} -->\n")
    if not begin or not end:
        sys.exit(f"{REPORT} has no marks for {name}")
    REPORT.write_text(f"{before}{begin}{text}\n{end}{after}")


def main() -> None:
    """Measure, print, and write it down."""
    parser = argparse.ArgumentParser(description="Measure how fast a ready feed is served.")
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print only")
    asked = parser.parse_args()
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name)]
    if missing:
        print(
            f"skipped: serving is measured with {' and '.join(missing)}, install with"
            " apt install nginx-light wrk"
        )
        return
    with tempfile.TemporaryDirectory() as folder, subjects(Path(folder)) as found:
        runs = measured(found, asked.seconds, asked.rounds)
        text = report(found, runs, asked.seconds)
    print(text)
    if not asked.dry:
        write("serve", text)


if __name__ == "__main__":
    main()
