"""How long the answer takes to a keyword that nobody asked for yet, with upstream left alone.

    make bench
    .venv/bin/python bench/cold.py [--dry]

The whole of a request through the front and the routes, with a real store: 1,500 invented papers, a
feed of fifty entries, packed. Once by a process that has read nothing of the store yet (its modules
are loaded, no listing is), once by one that holds the window. Each keyword is asked for once.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from feedsrv.config import Config
from feedsrv.demo import upstream
from feedsrv.fetch import Fetcher
from feedsrv.freshness import Failure
from feedsrv.front import Front
from feedsrv.grammar import parse
from feedsrv.service import Service
from feedsrv.store import Store
from feedsrv.web import create_app
from feedsrv.words import stem, words
from keywords import DAYS, Clock, papers, poll
from report import machine, spread, write

ENTRIES = 50
FROM_STORE, IN_MEMORY = 20, 200
#: Milliseconds at the median that the project holds itself to.
WANTED = {"in the store": 25, "in memory": 10}


class Took(NamedTuple):
    """What one request took, in milliseconds."""

    passed: float
    processor: float


@contextmanager
def front(folder: str, clock: Clock) -> Iterator[tuple[Front, Service, Store]]:
    """Give a server's inside, as it is after its start."""
    config = Config(cache_dir=Path(folder), new_keywords=0, history_days=DAYS, spacing=0.0)
    app = upstream(papers(Random(1)), lambda: clock().date())
    fetcher = Fetcher(config.upstream_url, agent="bench", token="", app=app)
    store = Store(config.cache_dir, config.upstream_url)
    service = Service(config, fetcher, store, now=clock, sleep=clock.forward)
    try:
        yield Front(create_app(service), service), service, store
    finally:
        service.close()


def common() -> list[str]:
    """Return words of different stems that more papers hold than a feed shows."""
    held = Counter(
        base
        for each in papers(Random(1))
        for base in set(map(stem, words(f"{each['title']} {each['summary']}")))
    )
    found = [word for word, number in held.items() if number > 2 * ENTRIES and word.isalpha()]
    return sorted(word for word in found if stem(word) == word and len(word) > 2)


def asked(front: Front, query: str) -> Took:
    begun, worked = time.perf_counter(), time.process_time()
    status = poll(front, query, {})
    took = Took((time.perf_counter() - begun) * 1000, (time.process_time() - worked) * 1000)
    if status != "200":
        sys.exit(f"{query} was answered with {status}")
    return took


def measured(folder: str) -> dict[str, list[Took]]:
    clock, keywords = Clock(), iter(common())
    with front(folder, clock) as (_, service, store):
        for _ in service.bring_up_to_date():
            pass
        # Searches would be waited for. So nobody may ask upstream now, as after failures.
        later = clock() + timedelta(days=1)
        failure = Failure(reason="bench", count=9, at=clock(), retry_at=later, since=clock())
        store.fail(None, failure)
    found: dict[str, list[Took]] = {name: [] for name in WANTED}
    for _ in range(FROM_STORE):
        parse.cache_clear()
        with front(folder, clock) as (one, _, _):
            found["in the store"].append(asked(one, next(keywords)))
    with front(folder, clock) as (one, _, _):
        asked(one, next(keywords))
        found["in memory"] = [
            asked(one, each) for each in (next(keywords) for _ in range(IN_MEMORY))
        ]
    return found


def table(found: dict[str, list[Took]]) -> Iterator[str]:
    yield f"{machine()}; milliseconds, medians with the least and the most in brackets."
    yield ""
    yield "| the window is | requests | ms | of these, CPU | wanted at the median |"
    yield "|---|---|---|---|---|"
    for name, times in found.items():
        cells = [name, str(len(times))]
        cells += [spread(list(each), ".1f") for each in zip(*times, strict=True)]
        yield f"| {' | '.join(cells)} | {WANTED[name]} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write("cold", "\n".join(table(measured(folder))))


if __name__ == "__main__":
    main()
