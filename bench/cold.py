"""What a keyword costs that nobody asked for yet, with the window in the store.

    .venv/bin/python bench/cold.py [--dry]

1,500 invented papers on thirty list days. Upstream is not asked: it is remembered to have failed.
Each request passes the response cache and a view, names a word that no other has named, and gets
fifty entries. *In memory* is a server that was asked before. *Just started* is the first request of
a process of its own, begun as `feedsrv serve` begins: it looks at what the store holds before
anybody asks. *All from the store* is the same without that, as under another WSGI server.
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
from random import Random
from statistics import median
from typing import Any
from wsgiref.util import setup_testing_defaults

from werkzeug.test import run_wsgi_app

from feedsrv.config import build_config
from feedsrv.feeds.service import Service
from feedsrv.models import Failure
from feedsrv.web.app import create_app
from keywords import BEGIN, DAYS, Clock, papers, upstream_process
from report import spread, table, where, write

PROCESSES, KEYWORDS, ENTRIES = 15, 60, 50
#: Milliseconds that a request may take at the median.
WANTED = {"in memory": "10", "just started": "25", "all from the store": ""}


@contextmanager
def opened(folder: str, url: str) -> Iterator[Service]:
    clock = Clock()
    given = {"upstream_url": url, "cache_dir": folder, "new_keywords": 0, "history_days": DAYS}
    config = build_config(
        {"feeds": {"model": {"title": "Models", "query": "model"}}}, "", {}, given
    )
    with closing(Service.open(config, now=clock, sleep=clock.forward)) as service:
        yield service


def fill(folder: str) -> str:
    """Read the window into a store, and have it believe that upstream failed since."""
    with upstream_process() as url, opened(folder, url) as service:
        for _ in service.refresh_stale():
            pass
        later = BEGIN + timedelta(days=9)
        failure = Failure(reason="not asked", count=9, at=BEGIN, retry_at=later)
        service.repository.save_failure(None, failure)  # nobody else says it before it is so
        return url


def words() -> list[str]:
    """Return the words of fifty papers or more that no other's stem begins."""
    found = Counter[str]()
    for paper in papers(Random(1)):
        found.update(
            {word for word in paper["summary"].lower().split() if word.isalpha() and len(word) > 3}
        )
    return [word for word, many in found.items() if many >= ENTRIES]


def times(folder: str, url: str, asked: list[str], *, begun: bool) -> list[float]:
    """Return the milliseconds that a request for each word takes, in a process that just began."""
    found = []
    with opened(folder, url) as service:
        app = create_app(service)
        if begun:
            service.warm_up()
        for word in asked:
            environ: dict[str, Any] = {"PATH_INFO": "/papers.atom", "QUERY_STRING": f"q={word}"}
            environ["HTTP_ACCEPT_ENCODING"] = "identity"
            setup_testing_defaults(environ)
            before = time.perf_counter()
            body, status, _ = run_wsgi_app(app, environ, buffered=True)
            found.append((time.perf_counter() - before) * 1000)
            entries = b"".join(body).count(b"<entry>")
            if status != "200 OK" or entries != ENTRIES:
                sys.exit(f"{word}: {status}, {entries} entries")
    return found


def main() -> None:
    """Measure, print, and write it down."""
    if sys.argv[1:2] == ["--one"]:
        _, _, how, folder, url, *asked = sys.argv
        print(*times(folder, url, asked, begun=how == "just started"))
        return
    with tempfile.TemporaryDirectory() as folder:
        url = fill(folder)
        asked = words()[:KEYWORDS]
        found: dict[str, list[float]] = {name: [] for name in WANTED}
        for turn in range(PROCESSES):
            turned = [*asked[turn:], *asked[:turn]]
            for how, words_asked in (("just started", turned), ("all from the store", turned[:1])):
                command = [sys.executable, __file__, "--one", how, folder, url, *words_asked]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                first, *others = map(float, done.stdout.split())
                found[how].append(first)
                if others:
                    found["in memory"].append(median(others))
    cells = ([name, spread(found[name], ".1f"), most] for name, most in WANTED.items())
    heads = (f"a keyword of {ENTRIES} entries", "ms", "wanted")
    what = f"{where()}: {PROCESSES} processes, {KEYWORDS} keywords each; medians, with the least"
    write("cold", f"{what} and the most in brackets.\n\n{table(heads, cells)}")


if __name__ == "__main__":
    main()
