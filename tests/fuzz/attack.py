"""Attack a running server: no internal error, no traceback, and bounded memory.

    make attack                     # 450 corruptions, 100 hostile pages, 110 odd requests, and
                                    # 27,000 distinct addresses in 8 minutes
    .venv/bin/python -m tests.fuzz.attack --seconds 4       # a bit of each, as `make fuzz`
    .venv/bin/python -m tests.fuzz.attack --only corruptions:17

1. Corruptions: upstream's responses (body, compression, headers, status) are damaged at random.
2. Hostile pages: those of `tests.fuzz.pages`, in place of what was requested.
3. Odd requests: methods, targets, headers and bodies that no reader sends.
4. Distinct addresses: new keywords, days, options and unknown paths, from many clients.

Meanwhile a feed that was served before must be 200 and valid. Each case depends only on the seed
and its number.
"""

import argparse
import http.client
import mmap
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from types import MappingProxyType

from flask import Flask
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.feeds.service_factory import create_service
from feedsrv.logs import configure_logging
from feedsrv.models import FIRST_LIST_DAY, Feed, Kind
from feedsrv.web.app import create_app
from feedsrv.web.server import run_server
from tests.fuzz import pages
from tests.fuzz.requests import distinct_address, odd_request
from tests.fuzz.responses import Site, corrupt
from tests.fuzz.soak import EPOCH, await_port, resources
from tests.support.http import free_port
from tests.support.servers import serve_wsgi
from tests.support.validation import find_problems
from tests.support.waiting import wait_until

KNOWN_FEED = "/papers.atom"
#: After this time no failure delays the next fetch, and no rate limit does.
PAUSE = timedelta(minutes=45)
HISTORY_DAYS = 5
CLIENTS = 8
ADDRESSES_PER_SECOND = 27_000 / 480
#: Seconds within which each response must arrive; upstream gets one second.
LONGEST = 8.0
#: Megabytes of the caches by the settings, and of those that are limited by a number of entries:
#: words, queries, clients.
CACHE_MB, OTHER_CACHES_MB = 24, 48
_SERVE = "--serve"
_PROBLEM = re.compile(r"Traceback|ERROR|Unhandled|panicked")


class SharedClock:
    """A clock that another process sets, through a file; else it runs as fast as real time."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._seconds = mmap.mmap(opened.fileno(), 8)

    def __call__(self) -> datetime:
        (skipped,) = struct.unpack("d", self._seconds)
        return EPOCH + timedelta(seconds=skipped + time.monotonic() - _STARTED)

    def forward(self, by: timedelta) -> None:
        (skipped,) = struct.unpack("d", self._seconds)
        self._seconds[:] = struct.pack("d", skipped + by.total_seconds())


_STARTED = float(os.environ.setdefault("ATTACK_STARTED", str(time.monotonic())))


def serve(url: str, folder: str, port: str) -> None:
    """Run the server: feedsrv with another clock and a known client address."""
    config = Config(
        port=int(port),
        upstream_url=url,
        cache_dir=Path(folder, "store"),
        deadline=1.0,
        spacing=0.0,
        history_days=HISTORY_DAYS,
        trusted_proxies=("127.0.0.1",),
        memory_bytes=CACHE_MB * 2 // 3 * 1_000_000,
        response_cache_bytes=CACHE_MB // 3 * 1_000_000,
        feeds={"all": Feed(name="all", title="All papers", sources=("daily",))},
    )
    configure_logging("text")

    def load_app() -> Flask:
        service = create_service(config, now=SharedClock(Path(folder, "clock")))
        threading._register_atexit(service.close)  # type: ignore[attr-defined]  # as wsgi.py does
        return create_app(service)

    run_server(config, os.environ, lambda _: None, load_app)


class Server:
    """The server under attack, its upstream, and what went wrong."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self.site = Site()
        self._upstream = ExitStack()
        url = self._upstream.enter_context(serve_wsgi(self.site))
        (folder / "clock").write_bytes(struct.pack("d", 0.0))
        self.clock = SharedClock(folder / "clock")
        self.port = free_port()
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, _SERVE, url, str(folder), str(self.port)],
                stderr=log,
            )
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest = 0.0
        #: Seconds, megabytes (PSS) and open files.
        self.samples: list[tuple[float, float, int]] = []

    def start(self) -> None:
        """Wait until the server has fetched the known feed."""
        await_port(self.port)
        self.check_feed(KNOWN_FEED, may_fail=False)
        wait_until(lambda: self.site.requests >= HISTORY_DAYS)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(30):
            self.wrong.append(f"exit code {self.process.returncode}")
        self._upstream.close()
        lines = self.log.read_text("utf-8", "replace").splitlines()
        self.wrong += [f"log: {line}" for line in lines if _PROBLEM.search(line)][:10]

    def sample(self) -> None:
        self.samples.append((time.monotonic(), *resources(self.process.pid)))

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return status and body; note a response that no server should send."""
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Host": "feeds.example.org"} | headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.wrong.append(f"{path}: {error!r}")
            return 0, b""
        finally:
            connection.close()
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.statuses[f"{response.status}"] += 1
        retry_after = response.headers.get("Retry-After", "")
        if response.status >= 500 and not _is_honest_503(response.status, retry_after):
            self.wrong.append(f"{path}: {response.status} {body[:200]!r}")
        return response.status, body

    def check_feed(self, path: str, *, may_fail: bool) -> None:
        """Note a feed that is invalid, or an error where it may not fail."""
        status, body = self.get(path)
        if status == 200:
            now = self.clock() + timedelta(minutes=1)
            self.wrong += [f"{path}: {each}" for each in find_problems(body, "atom", now)]
        elif not may_fail or status != 503:
            self.wrong.append(f"{path}: {status}")


def _is_honest_503(status: int, retry_after: str) -> bool:
    """Return whether an error says when to retry, within an hour."""
    return status == 503 and retry_after.isdigit() and 0 < int(retry_after) <= 3600


# --- the attacks -------------------------------------------------------------------------------


def send_corruption(server: Server, chance: Random, number: int) -> None:
    """Have upstream's responses damaged while a list is fetched that nobody has read before."""
    _attack_through_upstream(
        server, lambda correct: corrupt(chance, correct), _new_address(chance, number)
    )


def send_hostile_page(server: Server, chance: Random, number: int) -> None:
    """Have upstream respond with a hostile page, and look for its markup in ours."""
    case = pages.page(chance)
    path = (
        f"/papers.atom?q=pear+tree{number}"
        if case.requested.kind is Kind.SEARCH
        else f"/papers/{case.requested.kind}.atom"
        if case.requested.kind is not Kind.DAY
        else _new_address(chance, number)
    )
    media_type = "application/json" if case.api else "text/html"
    _attack_through_upstream(server, lambda _: Response(case.body, mimetype=media_type), path)
    for page in (KNOWN_FEED.removesuffix(".atom"), path.replace(".atom", "", 1), "/status"):
        _, body = server.get(page, Accept="text/html")
        if b"<script>alert" in body or b'href="javascript:' in body.lower():
            server.wrong.append(f"{page}: markup of upstream")


def _attack_through_upstream(
    server: Server, replace: Callable[[Response], Response], path: str
) -> None:
    lock = threading.Lock()  # the source of chance is not safe for threads

    def replace_one(correct: Response) -> Response:
        with lock:
            return replace(correct)

    server.clock.forward(PAUSE)
    server.site.replace = replace_one
    server.check_feed(path, may_fail=True)
    server.check_feed(KNOWN_FEED, may_fail=False)
    server.site.replace = lambda correct: correct


def _new_address(chance: Random, number: int) -> str:
    """Return the address of a list: of a day, a week, a month or a search."""
    day = FIRST_LIST_DAY + timedelta(days=chance.randrange((EPOCH.date() - FIRST_LIST_DAY).days))
    year, week, _ = day.isocalendar()
    return chance.choice(
        (
            f"/papers/date/{day}.atom",
            f"/papers/week/{year}-W{week:02}.atom",
            f"/papers/month/{day:%Y-%m}.atom",
            f"/papers.atom?q=kite{number}",
        )
    )


def send_odd_request(server: Server, chance: Random, number: int) -> None:
    """Send a request that no reader sends; any response but an internal error will do."""
    request = odd_request(chance)
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", server.port), 2) as connection:
            connection.sendall(request)
            while chunk := connection.recv(65_536):
                received += chunk
    except OSError:  # it closed the connection, or waits for the rest of the request
        pass
    status = received[9:12].decode("latin-1") or "none"
    server.statuses[status] += 1
    if status[0] == "5":
        server.wrong.append(f"odd request {number}: {status}, {request[:300]!r}")
    server.check_feed(KNOWN_FEED, may_fail=False)


def request_addresses(server: Server, count: int, seconds: float) -> int:
    """Request distinct addresses from many clients, spread over the time; return how many."""
    started, numbers = time.monotonic(), iter(range(count))
    lock, requested = threading.Lock(), 0

    def request_next(client: int) -> None:
        nonlocal requested
        chance = Random(f"{server.seed} addresses {client}")
        while time.monotonic() - started < seconds:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            time.sleep(max(0.0, started + seconds * number / count - time.monotonic()))
            server.get(
                distinct_address(chance, number),
                **{"X-Forwarded-For": f"198.51.{chance.randrange(256)}.{chance.randrange(256)}"},
            )
            with lock:
                requested += 1

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(request_next, client) for client in range(CLIENTS)]
        while not all(client.done() for client in clients):
            server.sample()
            server.check_feed(KNOWN_FEED, may_fail=False)
            time.sleep(min(2.0, seconds / 50))
        for client in clients:
            client.result()
    return requested


CASES: dict[str, Callable[[Server, Random, int], None]] = {
    "corruptions": send_corruption,
    "pages": send_hostile_page,
    "requests": send_odd_request,
}


#: Of a whole run.
COUNTS = {"corruptions": 450, "pages": 100, "requests": 110, "addresses": 27_000}


# --- main --------------------------------------------------------------------------------------


@contextmanager
def run_server_under_attack(seed: int) -> Iterator[Server]:
    """Start the server and its upstream, and stop them afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), seed)
        try:
            server.start()
            yield server
        finally:
            server.close()


def run_cases(server: Server, kind: str, numbers: range, seconds: float) -> None:
    """Run the cases of one kind, or as many as the time allows, and print the outcome."""
    started, server.statuses, server.slowest = time.monotonic(), Counter(), 0.0
    count = 0
    for number in numbers:
        if time.monotonic() - started > seconds:
            break
        known = len(server.wrong)
        CASES[kind](server, Random(f"{server.seed} {kind} {number}"), number)
        count += 1
        server.wrong[known:] = [f"{kind}:{number}: {each}" for each in server.wrong[known:]]
    _report(server, f"{count} {kind}", time.monotonic() - started)


def _report(server: Server, what: str, seconds: float) -> None:
    statuses = ", ".join(f"{count} x {each}" for each, count in sorted(server.statuses.items()))
    print(f"{what} in {seconds:.0f} s: {statuses}; slowest {server.slowest:.2f} s")
    if server.slowest > LONGEST:
        server.wrong.append(f"{what}: a response took {server.slowest:.1f} s")


def _report_memory(server: Server) -> None:
    """Print memory and files over time; note growth beyond the caches."""
    megabytes = [each[1] for each in server.samples]
    quarter = max(1, len(megabytes) // 4)
    medians = [
        statistics.median(megabytes[start : start + quarter])
        for start in range(0, len(megabytes) - quarter + 1, quarter)
    ]
    files = [each[2] for each in server.samples]
    print(
        f"memory (PSS): {megabytes[0]:.0f} MB at first, {max(megabytes):.0f} MB at most; medians of"
        f" quarters {', '.join(f'{each:.0f}' for each in medians)}; open files {max(files)} at most"
    )
    if max(megabytes) > megabytes[0] + CACHE_MB + OTHER_CACHES_MB:
        server.wrong.append(f"memory grew from {megabytes[0]:.0f} to {max(megabytes):.0f} MB")


def run(
    *, seed: int, seconds: float, counts: Mapping[str, int] = MappingProxyType({})
) -> list[str]:
    """Run all attacks; return what went wrong.

    Args:
        seed: Selects the cases.
        seconds: The time for each kind, at most, and for the addresses.
        counts: The number of cases of each kind, at most, and of addresses.

    """
    with run_server_under_attack(seed) as server:
        for kind in CASES:
            run_cases(server, kind, range(counts.get(kind, sys.maxsize)), seconds)
        started, server.statuses, server.slowest = time.monotonic(), Counter(), 0.0
        count = counts.get("addresses", round(ADDRESSES_PER_SECOND * seconds))
        requested = request_addresses(server, count, seconds)
        _report(server, f"{requested:,} distinct addresses", time.monotonic() - started)
        _report_memory(server)
    return server.wrong


def main() -> int:
    """Run the attacks; return the exit code."""
    parser = argparse.ArgumentParser(description="Attack a running server.")
    for kind, count in COUNTS.items():
        parser.add_argument(f"--{kind}", type=int, default=count, metavar="N")
    parser.add_argument("--seconds", type=float, default=480.0, help="for each kind, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="KIND:NUMBER", help="run one case")
    options = parser.parse_args()
    if options.only:
        kind, _, number = options.only.partition(":")
        with run_server_under_attack(options.seed) as server:
            run_cases(server, kind, range(int(number), int(number) + 1), options.seconds)
            print(server.log.read_text("utf-8", "replace"))
        wrong = server.wrong
    else:
        counts = {kind: getattr(options, kind) for kind in COUNTS}
        wrong = run(seed=options.seed, counts=counts, seconds=options.seconds)
    print(*wrong[:20], sep="\n")
    print(f"{len(wrong)} FAILED" if wrong else "all well")
    return int(bool(wrong))


if __name__ == "__main__":
    if sys.argv[1:2] == [_SERVE]:
        serve(*sys.argv[2:5])
    else:
        sys.exit(main())
