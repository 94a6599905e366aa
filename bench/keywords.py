"""What many keywords cost: each polled once an hour, by a reader with validators.

    .venv/bin/python bench/keywords.py [--keywords 100,1000,10000] [--dry]

The application with its response cache, asked as fast as they answer, with a clock that is moved on
with each poll. The papers are invented; each reading of the newest day's list finds three more, and
other votes everywhere. Searches find papers that are older than the window. Before it begins the
store holds what searches of the last day found, as far as it has room for real ones. Upstream is a
process of its own. The first hour is not counted: all are given what they ask for again in the
second.
"""

from __future__ import annotations

import argparse
import gc
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
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client, EnvironBuilder
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.sources import search_terms
from feedsrv.models import Feed, Kind, Page
from feedsrv.monitoring.status import build_status
from feedsrv.upstream.demo import create_demo_upstream, load_sample
from feedsrv.web.app import create_app
from report import table, where, write

BEGIN = datetime(2026, 11, 24, 6, tzinfo=UTC)
DAYS, A_DAY, SEARCH = 30, 50, 120
#: Papers of the newest day that are not there yet, and how many come at a time.
HELD_BACK, AT_ONCE = 40, 3
#: Searches to fill the store with. It has room for some 1,500 real ones, which are longer.
KEPT = 1_200
#: Keywords that are all polled; of more, so many stand for all.
MOST_POLLS, FOR_ALL = 10_000, 2_000
HOURS = 2


def papers(chance: Random) -> list[dict[str, Any]]:
    """Return a window of papers, whose texts are the samples' sentences in another order."""
    sentences = [part for each in load_sample() for part in each["summary"].split(". ")]
    titles = [each["title"] for each in load_sample()]
    keywords = [word for each in load_sample() for word in each["keywords"]]
    return [
        {
            "id": f"2611.{number:05d}",
            "day": number // A_DAY,
            "title": f"{chance.choice(titles)} {number}",
            "summary": ". ".join(chance.sample(sentences, 8)),
            "authors": [f"Author {chance.randrange(3000)} Quill" for _ in range(6)],
            "upvotes": chance.randrange(90),
            "comments": 2,
            "keywords": chance.sample(keywords, 5),
        }
        for number in range(DAYS * A_DAY)
    ]


# --- upstream, in a process of its own -----------------------------------------------------------


class Quiet(WSGIRequestHandler):
    """Says nothing of each request."""

    def log(self, *args: object) -> None:
        pass


def site(held_back: int) -> None:
    """Serve all papers but some of the newest day, which come one after the other."""
    every = papers(Random(1))  # the same as the keywords are drawn from
    newest = f"/papers/date/{BEGIN.date()}"
    # One for all keywords, with as many papers as Hugging Face gives: what is measured is what we
    # do with it.
    about = [paper for paper in papers(Random(2)) if "model" in paper["summary"]][:SEARCH]
    older = [each | {"id": each["id"].replace("2611", "2601"), "day": 200} for each in about]
    found = Client(create_demo_upstream(older, BEGIN.date)).get("/papers?q=model").data
    shown = 0

    def changing(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        nonlocal shown
        if environ.get("QUERY_STRING", "").startswith("q="):
            return Response(found, mimetype="text/html")(environ, start)
        for paper in every[::7]:
            paper["upvotes"] += 1
        if environ["PATH_INFO"] == newest:
            shown = min(shown + AT_ONCE, held_back)
        return create_demo_upstream(every[held_back - shown :], BEGIN.date)(environ, start)

    server = make_server("127.0.0.1", 0, changing, request_handler=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def upstream_process(held_back: int = 0) -> Iterator[str]:
    """Run the site in a process of its own, and give its address."""
    command = [sys.executable, __file__, "--site", str(held_back)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


# --- one number of keywords ----------------------------------------------------------------------


class Cost(NamedTuple):
    """What an hour cost, by the parts."""

    keywords: int
    polls: int
    serving: float
    reading: float
    asked: int
    unchanged: float
    memory: float
    disk: float


class Clock:
    """The time, moved on by hand; whoever waits moves it on too."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def queries(chance: Random, number: int) -> list[str]:
    """Return so many queries of one to three words that stand in the papers."""
    words = [
        word.strip(".,:;()") for each in papers(Random(1))[:300] for word in each["summary"].split()
    ]
    common = [word for word, _ in Counter(filter(str.isalpha, words)).most_common(1200)]
    found: dict[str, None] = {}
    while len(found) < number:
        found[" ".join(chance.sample(common, chance.choice((1, 2, 2, 3))))] = None
    return list(found)


def cost(url: str, number: int) -> Cost:
    clock, chance = Clock(), Random(number)
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            upstream_url=url, cache_dir=Path(folder), new_keywords=0, spacing=0.0, history_days=DAYS
        )
        service = Service.open(config, now=clock, sleep=clock.forward)
        app = create_app(service)
        for _ in service.refresh_stale():
            pass
        every = queries(chance, number)
        polled = every if number <= MOST_POLLS else chance.sample(every, FOR_ALL)
        etags: dict[str, str] = {}
        # Those that stand for more have their share of what the store has room for.
        fill(service, app, polled[: KEPT * len(polled) // number], chance)
        for _ in range(HOURS):
            begun, reading, statuses = time.thread_time(), time.process_time(), Counter[str]()
            for query in chance.sample(polled, len(polled)):
                clock.now += timedelta(hours=1) / len(polled)
                statuses[poll(app, query, etags)] += 1
            serving = time.thread_time() - begun
            reading = time.process_time() - reading - serving
        turns = build_status(service).request_budget
        gc.collect()
        scale = number / len(polled)
        found = Cost(
            keywords=number,
            polls=len(polled),
            serving=serving * scale,
            reading=reading,
            asked=(turns.limit - turns.remaining) * 12,
            unchanged=statuses["304"] / len(polled),
            memory=memory(),
            disk=build_status(service).store.bytes / 1e6,
        )
        service.close()
        return found


def fill(service: Service, app: Flask, some: list[str], chance: Random) -> None:
    """Have the store hold what was found a while ago: a search is read again after a day."""
    poll(app, "model", {})
    found = service.repository.get_listing(Page(Kind.SEARCH, "model"))  # this would take hours
    assert found is not None
    for query in some:
        page = Page(Kind.SEARCH, search_terms(Feed(name="", title="", query=query)))
        read_at = BEGIN - timedelta(hours=24 * chance.random())
        kept = msgspec.structs.replace(found, page=page, fetched_at=read_at)
        service.repository.save_listing(kept, page)


def asked() -> dict[str, Any]:
    """Return what all requests say."""
    headers = Headers({"Accept-Encoding": "gzip", "Host": "a.example"})
    return EnvironBuilder(path="/papers.atom", headers=headers).get_environ()


ASKED = asked()


def poll(app: Flask, query: str, etags: dict[str, str]) -> str:
    """Ask as a reader does, and return the status."""
    environ = ASKED | {"QUERY_STRING": f"q={quote_plus(query)}"}
    if query in etags:
        environ["HTTP_IF_NONE_MATCH"] = etags[query]
    seen: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, fields: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        seen.append((status, fields))
        return lambda _: None

    b"".join(app(environ, start))
    status, fields = seen[-1]
    etags[query] = dict(fields).get("ETag", "")
    return status[:3]


def memory() -> float:
    """Return the megabytes that this process takes."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(next(line.split()[1] for line in status.splitlines() if "VmRSS" in line)) / 1000


HEADS = (
    *("keywords", "CPU s an hour, serving", "reading", "ms a poll", "unchanged", "pages an hour"),
    *("MB", "MB on disk"),
)


def row(each: Cost) -> Iterator[str]:
    note = "" if each.polls == each.keywords else f" (of {each.polls:,} polls)"
    yield f"{each.keywords:,}{note}"
    yield f"{each.serving:.1f}"
    yield f"{each.reading:.1f}"
    yield f"{each.serving / each.keywords * 1000:.2f}"
    yield f"{each.unchanged:.0%}"
    yield f"{each.asked:.0f}"
    yield f"{each.memory:.0f}"
    yield f"{each.disk:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keywords", default="100,1000,10000,100000")
    parser.add_argument("--dry", action="store_true", help="print only")
    parser.add_argument("--site", type=int)
    parser.add_argument("--one", help="of such a number alone, in this process")
    given = parser.parse_args()
    if given.site is not None:
        site(given.site)
    if given.one:
        url, number = given.one.split()
        print(*cost(url, int(number)))
        return
    costs = []
    for number in given.keywords.split(","):
        # Each in a process of its own, for its memory, with an upstream of its own, for its papers.
        with upstream_process(HELD_BACK) as url:
            command = [sys.executable, __file__, "--one", f"{url} {number}"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        values = done.stdout.split()
        costs.append(Cost(int(values[0]), int(values[1]), *map(float, values[2:])))  # type: ignore[arg-type]
        print(f"{number} keywords done", flush=True)
    what = f"{where()}, new papers and other votes at each reading."
    write("keywords", f"{what}\n\n{table(HEADS, map(row, costs))}")


if __name__ == "__main__":
    main()
