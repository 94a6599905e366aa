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

from report import spread, table, where, write
from subjects import FEED, HELLO, NGINX, PATH, Subject, fetched, subjects

CONNECTIONS = (10, 50)
#: What is asked for, and the headers that ask for it, with the server's own validator.
ASKED = {"200": (), "200 gzip": ("Accept-Encoding: gzip",), "304": ("If-None-Match: {etag}",)}
#: What the project holds itself to.
OF_NGINX, OF_HELLO = 0.5, 4.0


class Run(NamedTuple):
    """What one run of the load generator gave."""

    #: Requests answered in a second.
    rate: float
    #: Microseconds of processor time that the server spent on a request.
    cost: float


HEADS = (
    *("answer", "connections", NGINX, FEED, HELLO),
    *(f"{FEED} to {NGINX}, {OF_NGINX} wanted", f"{FEED} to {HELLO}, {OF_HELLO} wanted"),
    f"µs of CPU each: {NGINX}, {FEED}, {HELLO}",
)

#: By server, what was asked for, and connections; in order of the rounds.
Runs = dict[tuple[str, str, int], list[Run]]


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
    answered = int(re.findall(r"(\d+) requests in", said)[0])
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])
    return Run(rate, (subject.processor() - begun) / answered * 1e6)


def measured(found: dict[str, Subject], seconds: int, rounds: int) -> Runs:
    """Load each server with each question, in turn."""
    runs: Runs = defaultdict(list)
    etags = {name: subject.etag() for name, subject in found.items()}
    for turn in range(rounds):
        print(f"round {turn + 1} of {rounds} ...", flush=True)
        for connections, (asked, headers) in product(CONNECTIONS, ASKED.items()):
            for name, subject in found.items():
                if name != HELLO or asked == "200":
                    given = [each.format(etag=etags[name]) for each in headers]
                    if subject.kind(given) != asked:
                        sys.exit(f"{name} answers {subject.kind(given)} in place of {asked}")
                    runs[name, asked, connections].append(
                        load(subject, seconds, connections, given)
                    )
    return runs


def rows(runs: Runs) -> Iterator[list[str]]:
    """Yield the rows; a ratio is the median of those within each round."""
    for connections, asked in product(CONNECTIONS, ASKED):
        three = [runs[NGINX, asked, connections], runs[FEED, asked, connections]]
        three.append(runs[HELLO, "200", connections])
        nginx, feed, hello = rates = [[run.rate for run in each] for each in three]
        ratios = [[a / b for a, b in zip(feed, other, strict=True)] for other in (nginx, hello)]
        cells = [asked, str(connections), *(spread(each, ",.0f") for each in rates)]
        cells += [spread(each, ".2f") for each in ratios]
        cells.append(", ".join(f"{median(run.cost for run in each):.0f}" for each in three))
        yield cells


def report(found: dict[str, Subject], runs: Runs, seconds: int) -> str:
    """Return the tables, and what they were measured on."""
    rounds = len(next(iter(runs.values())))
    feedsrv = found[FEED]
    size = len(fetched(feedsrv.url + PATH)[0])
    what = (
        f"{where()}: a feed of {size:,} bytes, keep-alive, {rounds} rounds of {seconds} s each;"
        " medians, with the least and the most in brackets."
    )
    process = (
        f"feedsrv: {feedsrv.started:.2f} s from its start to the first answer of `/healthz`;"
        f" {feedsrv.idle:.0f} MB (PSS) when idle and {feedsrv.memory():.0f} MB after all this, in"
        f" {len(list(feedsrv.pids()))} process."
    )
    return "\n\n".join([what, table(HEADS, rows(runs)), process])


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
    write("serve", text)


if __name__ == "__main__":
    main()
