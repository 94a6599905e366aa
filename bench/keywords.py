"""Measure many keywords, each polled once an hour with conditional requests.

    .venv/bin/python bench/keywords.py [--keywords 100,1000,10000] [--dry]

The application with its response cache is called as fast as it responds, with a clock that advances
with each poll. The papers are invented; each fetch of the newest day finds three more, and other
votes everywhere. Searches find papers older than the window. At the start the store holds search
results of the last day, as many as fit. Upstream is a separate process. The first hour is not
counted; in the second, all polls are repeated.
"""

import argparse
import gc
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote_plus
from wsgiref.types import StartResponse, WSGIEnvironment

import msgspec
from flask import Flask
from werkzeug.datastructures import Headers
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Kind, Page
from feedsrv.monitoring.status import build_status
from feedsrv.search.search_terms import search_terms
from feedsrv.upstream.demo import create_demo_upstream, load_sample_papers
from feedsrv.web.app import create_app
from report import describe_run, format_table, write_section
from tests.support.servers import serve_wsgi

START = datetime(2026, 11, 24, 6, tzinfo=UTC)
DAYS, PAPERS_PER_DAY, SEARCH_RESULTS = 30, 50, 120
#: Papers of the newest day that are not listed at first, and how many appear per fetch.
UNLISTED, NEW_PER_FETCH = 40, 3
#: Searches to store at the start. The store has room for some 1,500 real ones, which are longer.
STORED_SEARCHES = 1_200
#: Up to so many keywords all are polled; of more, a sample.
MAX_POLLED, SAMPLE_SIZE = 10_000, 2_000
HOURS = 2


def make_papers(chance: Random) -> list[dict[str, Any]]:
    """Return a window of papers, with the sentences of the sample papers in random order."""
    sentences = [part for each in load_sample_papers() for part in each["summary"].split(". ")]
    titles = [each["title"] for each in load_sample_papers()]
    keywords = [word for each in load_sample_papers() for word in each["keywords"]]
    return [
        {
            "id": f"2611.{number:05d}",
            "day": number // PAPERS_PER_DAY,
            "title": f"{chance.choice(titles)} {number}",
            "summary": ". ".join(chance.sample(sentences, 8)),
            "authors": [f"Author {chance.randrange(3000)} Quill" for _ in range(6)],
            "upvotes": chance.randrange(90),
            "comments": 2,
            "keywords": chance.sample(keywords, 5),
        }
        for number in range(DAYS * PAPERS_PER_DAY)
    ]


# --- upstream, in a separate process -------------------------------------------------------------


def serve_upstream(unlisted: int) -> None:
    """Serve all papers; those of the newest day that are unlisted appear one after the other."""
    papers = make_papers(Random(1))  # the same that the keywords are from
    newest = f"/papers/date/{START.date()}"
    # The same results for every search, as many as Hugging Face returns.
    hits = [paper for paper in make_papers(Random(2)) if "model" in paper["summary"]]
    older = [
        paper | {"id": paper["id"].replace("2611", "2601"), "day": 200}
        for paper in hits[:SEARCH_RESULTS]
    ]
    search_page = Client(create_demo_upstream(older, START.date)).get("/papers?q=model").data
    listed = 0

    def respond(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        nonlocal listed
        if environ.get("QUERY_STRING", "").startswith("q="):
            return Response(search_page, mimetype="text/html")(environ, start)
        for paper in papers[::7]:
            paper["upvotes"] += 1
        if environ["PATH_INFO"] == newest:
            listed = min(listed + NEW_PER_FETCH, unlisted)
        return create_demo_upstream(papers[unlisted - listed :], START.date)(environ, start)

    with serve_wsgi(respond) as url:
        print(url, flush=True)
        signal.pause()


@contextmanager
def run_upstream_process(unlisted: int = 0) -> Iterator[str]:
    """Run the fake upstream in a process, and yield its URL."""
    command = [sys.executable, __file__, "--upstream", str(unlisted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


# --- one number of keywords ----------------------------------------------------------------------


class Cost(NamedTuple):
    """The cost of one hour: CPU seconds, upstream requests per hour, MB."""

    keywords: int
    polls: int
    serving: float
    refreshing: float
    upstream_requests: int
    unchanged: float
    memory: float
    disk: float


class Clock:
    """A clock that is advanced by hand and by sleeping."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def make_queries(chance: Random, number: int) -> list[str]:
    """Return different queries of one to three words from the papers."""
    papers = make_papers(Random(1))[:300]
    words = [word.strip(".,:;()") for paper in papers for word in paper["summary"].split()]
    common = [word for word, _ in Counter(filter(str.isalpha, words)).most_common(1200)]
    queries: dict[str, None] = {}
    while len(queries) < number:
        queries[" ".join(chance.sample(common, chance.choice((1, 2, 2, 3))))] = None
    return list(queries)


def measure(url: str, number: int) -> Cost:
    clock, chance = Clock(), Random(number)
    with tempfile.TemporaryDirectory() as directory:
        config = Config(
            upstream_url=url,
            cache_dir=Path(directory),
            new_keywords=0,
            spacing=0.0,
            history_days=DAYS,
        )
        service = create_service(config, now=clock, sleep=clock.forward)
        app = create_app(service)
        for _ in service.refresh_stale():
            pass
        queries = make_queries(chance, number)
        polled = queries if number <= MAX_POLLED else chance.sample(queries, SAMPLE_SIZE)
        etags: dict[str, str] = {}
        # A sample gets its share of the stored searches.
        store_searches(service, app, polled[: STORED_SEARCHES * len(polled) // number], chance)
        for _ in range(HOURS):
            statuses = Counter[str]()
            thread_time, process_time = time.thread_time(), time.process_time()
            for query in chance.sample(polled, len(polled)):
                clock.now += timedelta(hours=1) / len(polled)
                statuses[poll(app, query, etags)] += 1
            serving = time.thread_time() - thread_time
            refreshing = time.process_time() - process_time - serving
        status = build_status(service)
        gc.collect()
        scale = number / len(polled)
        cost = Cost(
            keywords=number,
            polls=len(polled),
            serving=serving * scale,
            refreshing=refreshing,
            upstream_requests=(status.request_budget.limit - status.request_budget.remaining) * 12,
            unchanged=statuses["304"] / len(polled),
            memory=resident_memory(),
            disk=status.store.bytes / 1e6,
        )
        service.close()
        return cost


def store_searches(service: Service, app: Flask, queries: list[str], chance: Random) -> None:
    """Store results for the queries, fetched at random times of the last day."""
    poll(app, "model", {})
    listing = service.repository.get_listing(Page(Kind.SEARCH, "model"))
    assert listing is not None
    for query in queries:
        page = Page(Kind.SEARCH, search_terms(query))
        fetched_at = START - timedelta(hours=24 * chance.random())
        stored = msgspec.structs.replace(listing, page=page, fetched_at=fetched_at)
        service.repository.save_listing(stored, page)


def base_environ() -> dict[str, Any]:
    """Return the WSGI environment that all requests have in common."""
    headers = Headers({"Accept-Encoding": "gzip", "Host": "a.example"})
    return EnvironBuilder(path="/papers.atom", headers=headers).get_environ()


BASE_ENVIRON = base_environ()


def poll(app: Flask, query: str, etags: dict[str, str]) -> str:
    """Send a conditional request, and return the status."""
    environ = BASE_ENVIRON | {"QUERY_STRING": f"q={quote_plus(query)}"}
    if query in etags:
        environ["HTTP_IF_NONE_MATCH"] = etags[query]
    responses: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        responses.append((status, headers))
        return lambda _: None

    b"".join(app(environ, start))
    status, headers = responses[-1]
    etags[query] = dict(headers).get("ETag", "")
    return status[:3]


def resident_memory() -> float:
    """Return the memory of this process in MB."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line.split()[1] for line in status.splitlines() if "VmRSS" in line)) / 1000


HEADER = (
    *("keywords", "CPU s per hour, serving", "refreshing", "ms per poll", "unchanged"),
    "pages per hour",
    *("MB", "MB on disk"),
)


def table_row(cost: Cost) -> Iterator[str]:
    note = "" if cost.polls == cost.keywords else f" (of {cost.polls:,} polls)"
    yield f"{cost.keywords:,}{note}"
    yield f"{cost.serving:.1f}"
    yield f"{cost.refreshing:.1f}"
    yield f"{cost.serving / cost.keywords * 1000:.2f}"
    yield f"{cost.unchanged:.0%}"
    yield f"{cost.upstream_requests:.0f}"
    yield f"{cost.memory:.0f}"
    yield f"{cost.disk:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keywords", default="100,1000,10000,100000")
    parser.add_argument("--dry", action="store_true", help="do not change the page")
    parser.add_argument("--upstream", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.upstream is not None:
        serve_upstream(arguments.upstream)
    if arguments.one:
        url, number = arguments.one.split()
        print(*measure(url, int(number)))
        return
    costs = []
    for number in arguments.keywords.split(","):
        # A process for each, to measure its memory, and an upstream, to start with the same papers.
        with run_upstream_process(UNLISTED) as url:
            command = [sys.executable, __file__, "--one", f"{url} {number}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        values = done.stdout.split()
        costs.append(Cost(int(values[0]), int(values[1]), *map(float, values[2:])))  # type: ignore[arg-type]
        print(f"{number} keywords done", flush=True)
    introduction = f"{describe_run()}, new papers and other votes at each fetch."
    table = format_table(HEADER, map(table_row, costs))
    write_section("keywords", f"{introduction}\n\n{table}")


if __name__ == "__main__":
    main()
