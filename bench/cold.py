"""Measure a request for a new keyword, with the window in the store.

    .venv/bin/python bench/cold.py [--dry]

1,500 invented papers on thirty list days. No request is sent upstream, because a failure is stored.
Each request goes through response cache and routes, uses a word that no other request used, and
returns fifty entries; *whole feed* returns all of the three newest list days. *In memory* is a
server that has served requests before. *Just started* is the first request of a new process that
has loaded the store beforehand, as `feedsrv serve` does. *All from the store* is the same without
loading, as under another WSGI server.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from random import Random
from statistics import median
from typing import Any
from wsgiref.util import setup_testing_defaults

from werkzeug.test import run_wsgi_app

from feedsrv.config import build_config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Failure
from feedsrv.web.app import create_app
from keywords import DAYS, START, Clock, make_papers, run_upstream_process
from report import describe_run, format_spread, format_table, write_section

PROCESSES, KEYWORDS, ENTRIES = 15, 60, 50
#: Target milliseconds of the median.
TARGETS = {
    "in memory": "10",
    "in memory, whole feed": "",
    "just started": "25",
    "all from the store": "",
}


@contextmanager
def open_service(directory: str, url: str) -> Iterator[Service]:
    clock = Clock()
    arguments: dict[str, object] = {"upstream_url": url, "cache_dir": directory}
    arguments |= {"new_keywords": 0, "history_days": DAYS}
    config = build_config(
        {"feeds": {"model": {"title": "Models", "query": "model"}}}, "", {}, arguments
    )
    with closing(create_service(config, now=clock, sleep=clock.forward)) as service:
        yield service


def fill_store(directory: str) -> str:
    """Store the window and an upstream failure after it; return the upstream URL."""
    with run_upstream_process() as url, open_service(directory, url) as service:
        for _ in service.refresh_stale():
            pass
        retry_at = START + timedelta(days=9)
        failure = Failure(reason="no requests", count=9, at=START, retry_at=retry_at, since=START)
        service.repository.save_failure(None, failure)
        return url


def common_words() -> list[str]:
    """Return the words that are in at least fifty papers."""
    counts = Counter[str]()
    for paper in make_papers(Random(1)):
        counts.update(
            {word for word in paper["summary"].lower().split() if word.isalpha() and len(word) > 3}
        )
    return [word for word, count in counts.items() if count >= ENTRIES]


def measure_requests(
    directory: str, url: str, keywords: list[str], *, warm_up: bool
) -> list[float]:
    """Return the milliseconds of a request for each keyword, in a new process."""
    milliseconds = []
    with open_service(directory, url) as service:
        app = create_app(service)
        if warm_up:
            service.warm_up()
        for number, keyword in enumerate(keywords):
            is_limited = number % 2 == 0
            query = f"q={keyword}&limit={ENTRIES}" if is_limited else f"q={keyword}"
            environ: dict[str, Any] = {"PATH_INFO": "/papers.atom", "QUERY_STRING": query}
            environ["HTTP_ACCEPT_ENCODING"] = "identity"
            setup_testing_defaults(environ)
            started = time.perf_counter()
            body, status, _ = run_wsgi_app(app, environ, buffered=True)
            milliseconds.append((time.perf_counter() - started) * 1000)
            entries = b"".join(body).count(b"<entry>")
            if status != "200 OK" or entries < ENTRIES or (is_limited and entries != ENTRIES):
                sys.exit(f"{keyword}: {status}, {entries} entries")
    return milliseconds


def main() -> None:
    """Measure, and write the table."""
    if sys.argv[1:2] == ["--one"]:
        _, _, start, directory, url, *keywords = sys.argv
        print(*measure_requests(directory, url, keywords, warm_up=start == "just started"))
        return
    with tempfile.TemporaryDirectory() as directory:
        url = fill_store(directory)
        words = common_words()[:KEYWORDS]
        results: dict[str, list[float]] = {name: [] for name in TARGETS}
        for number in range(PROCESSES):
            rotated = [*words[number:], *words[:number]]
            for start, keywords in (("just started", rotated), ("all from the store", rotated[:1])):
                command = [sys.executable, __file__, "--one", start, directory, url, *keywords]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                first, *others = map(float, done.stdout.split())
                results[start].append(first)
                if others:
                    results["in memory, whole feed"].append(median(others[::2]))
                    results["in memory"].append(median(others[1::2]))
    rows = ([name, format_spread(results[name], ".1f"), target] for name, target in TARGETS.items())
    header = (f"a keyword of {ENTRIES} entries", "ms", "target")
    introduction = (
        f"{describe_run()}: {PROCESSES} processes, {KEYWORDS} keywords each; medians, with minimum"
        " and maximum in brackets."
    )
    write_section("cold", f"{introduction}\n\n{format_table(header, rows)}")


if __name__ == "__main__":
    main()
