"""What a keyword costs that nobody asked for yet, with the window in the store.

    .venv/bin/python bench/cold.py [--dry]

1,500 invented papers on thirty list days. Upstream is not asked: it is remembered to have failed.
Each request goes through the front and the routes, names a word that no other has named, and gets
fifty entries. *In memory* is a server that was asked before. *From the store* is one that was just
started: a process of its own each time, and its first request.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from wsgiref.util import setup_testing_defaults

from werkzeug.test import run_wsgi_app

from feedsrv.config import Config
from feedsrv.freshness import Failure
from feedsrv.front import Front
from feedsrv.service import Service
from feedsrv.web import create_app
from keywords import BEGIN, DAYS, Clock, papers, upstream_process
from report import spread, table, where, write

PROCESSES, KEYWORDS, ENTRIES = 15, 60, 50
#: Milliseconds that a request may take at the median.
WANTED = {"from the store": 25, "in memory": 10}


@contextmanager
def opened(folder: str, url: str) -> Iterator[Service]:
    clock = Clock()
    config = Config(
        upstream_url=url, cache_dir=Path(folder), new_keywords=0, spacing=0.0, history_days=DAYS
    )
    with closing(Service.open(config, now=clock, sleep=clock.forward)) as service:
        yield service


def fill(folder: str) -> str:
    """Read the window into a store, and have it believe that upstream failed since."""
    with upstream_process() as url, opened(folder, url) as service:
        for _ in service.bring_up_to_date():
            pass
        later = BEGIN + timedelta(days=9)
        failure = Failure(reason="not asked", count=9, at=BEGIN, retry_at=later)
        service._store.fail(None, failure)  # noqa: SLF001  # nobody else says it before it is so
        return url


def words() -> list[str]:
    """Return the words of fifty papers or more that no other's stem begins."""
    found = Counter[str]()
    for paper in papers(Random(1)):
        found.update(
            {word for word in paper["summary"].lower().split() if word.isalpha() and len(word) > 3}
        )
    return [word for word, many in found.items() if many >= ENTRIES]


def times(folder: str, url: str, asked: list[str]) -> list[float]:
    """Return the milliseconds that a request for each word takes, in a process that just began."""
    found = []
    with opened(folder, url) as service:
        front = Front(create_app(service), service)
        for word in asked:
            environ: dict[str, Any] = {"PATH_INFO": "/papers.atom", "QUERY_STRING": f"q={word}"}
            environ["HTTP_ACCEPT_ENCODING"] = "identity"
            setup_testing_defaults(environ)
            begun = time.perf_counter()
            body, status, _ = run_wsgi_app(front, environ, buffered=True)
            found.append((time.perf_counter() - begun) * 1000)
            entries = b"".join(body).count(b"<entry>")
            if status != "200 OK" or entries != ENTRIES:
                sys.exit(f"{word}: {status}, {entries} entries")
    return found


def main() -> None:
    """Measure, print, and write it down."""
    if sys.argv[1:2] == ["--one"]:
        print(*times(sys.argv[2], sys.argv[3], sys.argv[4:]))
        return
    with tempfile.TemporaryDirectory() as folder:
        url = fill(folder)
        asked, first, others = words()[:KEYWORDS], [], []
        for turn in range(PROCESSES):
            command = [sys.executable, __file__, "--one", folder, url, *asked[turn:], *asked[:turn]]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            one = list(map(float, done.stdout.split()))
            first.append(one[0])
            others.append(median(one[1:]))
    rows = zip(WANTED.items(), (first, others), strict=True)
    cells = ([name, spread(ms, ".1f"), str(most)] for (name, most), ms in rows)
    heads = (f"a keyword of {ENTRIES} entries", "ms", "wanted")
    what = f"{where()}: {PROCESSES} processes, {len(asked)} keywords each; medians, with the least"
    write("cold", f"{what} and the most in brackets.\n\n{table(heads, cells)}")


if __name__ == "__main__":
    main()
