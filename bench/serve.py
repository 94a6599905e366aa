"""Measure how fast a cached feed is served, compared with nginx and a bare Flask application.

    make bench              # all benchmarks, into docs/performance.md
    make bench SECONDS=1    # shorter runs, more noise
    .venv/bin/python bench/serve.py --seconds 5 --rounds 7

nginx has one worker and the same bytes as static files. The Flask application returns "hello" on
the same web server as feedsrv. The three are measured in turn, round after round, so that other
load on the machine affects all of them; the result is the median of the ratios within a round.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median
from typing import NamedTuple

from report import describe_run, format_spread, format_table, write_section
from servers import FEED, HELLO, NGINX, PATH, MeasuredServer, fetch, run_servers

CONNECTIONS = (10, 50)
#: Request headers by the response that they lead to.
REQUESTS = {"200": (), "200 gzip": ("Accept-Encoding: gzip",), "304": ("If-None-Match: {etag}",)}
#: Target ratios; those to nginx are for 200, 200 gzip and 304.
NGINX_TARGETS, HELLO_TARGET = (0.45, 0.4, 0.33), 2.0


class Run(NamedTuple):
    """The result of one run of the load generator."""

    #: Responses per second.
    rate: float
    #: Microseconds of CPU time of the server per request.
    cpu_microseconds: float


HEADER = (
    *("response", "connections", NGINX, FEED, HELLO),
    *(
        f"{FEED} to {NGINX}, targets {', '.join(map(str, NGINX_TARGETS))}",
        f"{FEED} to {HELLO}, target {HELLO_TARGET}",
    ),
    f"µs of CPU each: {NGINX}, {FEED}, {HELLO}",
)

#: By server, response and connections, in order of the rounds.
Runs = dict[tuple[str, str, int], list[Run]]


def run_load(server: MeasuredServer, seconds: int, connections: int, headers: list[str]) -> Run:
    """Request the feed as fast as the server responds."""
    cpu_seconds = server.cpu_seconds()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    command += [part for header in headers for part in ("-H", header)]
    output = subprocess.run(
        [*command, server.url + PATH], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"{server.url} responds with errors:\n{output}")
    responses = int(re.findall(r"(\d+) requests in", output)[0])
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", output)[0])
    return Run(rate, (server.cpu_seconds() - cpu_seconds) / responses * 1e6)


def measure(servers: dict[str, MeasuredServer], seconds: int, rounds: int) -> Runs:
    """Run the load for each server and request, in turn."""
    runs: Runs = defaultdict(list)
    etags = {name: server.etag() for name, server in servers.items()}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds} ...", flush=True)
        for connections, (expected, templates) in product(CONNECTIONS, REQUESTS.items()):
            for name, server in servers.items():
                if name != HELLO or expected == "200":
                    headers = [each.format(etag=etags[name]) for each in templates]
                    response = server.describe_response(headers)
                    if response != expected:
                        sys.exit(f"{name} responds {response} instead of {expected}")
                    runs[name, expected, connections].append(
                        run_load(server, seconds, connections, headers)
                    )
    return runs


def table_rows(runs: Runs) -> Iterator[list[str]]:
    """Yield the rows; a ratio is the median of those within each round."""
    for connections, response in product(CONNECTIONS, REQUESTS):
        compared = [runs[NGINX, response, connections], runs[FEED, response, connections]]
        compared.append(runs[HELLO, "200", connections])
        nginx, feed, hello = rates = [[run.rate for run in each] for each in compared]
        ratios = [[a / b for a, b in zip(feed, other, strict=True)] for other in (nginx, hello)]
        cells = [response, str(connections), *(format_spread(each, ",.0f") for each in rates)]
        cells += [format_spread(each, ".2f") for each in ratios]
        costs = (median(run.cpu_microseconds for run in each) for each in compared)
        cells.append(", ".join(f"{cost:.0f}" for cost in costs))
        yield cells


def format_report(servers: dict[str, MeasuredServer], runs: Runs, seconds: int) -> str:
    """Return the table, with a description of the measurement."""
    rounds = len(next(iter(runs.values())))
    feedsrv = servers[FEED]
    size = len(fetch(feedsrv.url + PATH)[0])
    introduction = (
        f"{describe_run()}: a feed of {size:,} bytes, keep-alive, {rounds} rounds of {seconds} s"
        " each; medians, with minimum and maximum in brackets."
    )
    processes = len(list(feedsrv.pids()))
    summary = (
        f"feedsrv: {feedsrv.start_seconds:.2f} s from start to the first response of `/healthz`;"
        f" {feedsrv.idle_memory:.0f} MB (PSS) when idle and {feedsrv.memory():.0f} MB after the"
        f" benchmark, in {processes} {'process' if processes == 1 else 'processes'}."
    )
    return "\n\n".join([introduction, format_table(HEADER, table_rows(runs)), summary])


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description="Measure how fast a cached feed is served.")
    parser.add_argument("--seconds", type=int, default=3, help="duration of each run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="do not change the page")
    arguments = parser.parse_args()
    missing = [name for name in ("nginx", "wrk") if not shutil.which(name)]
    if missing:
        print(
            f"skipped: the serving benchmark needs {' and '.join(missing)};"
            " install with: apt install nginx-light wrk"
        )
        return
    with tempfile.TemporaryDirectory() as directory, run_servers(Path(directory)) as servers:
        runs = measure(servers, arguments.seconds, arguments.rounds)
        text = format_report(servers, runs, arguments.seconds)
    write_section("serve", text)


if __name__ == "__main__":
    main()
