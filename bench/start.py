"""Measure the start of `feedsrv serve` with a full store, and its first response.

    .venv/bin/python bench/start.py [--dry]

1,500 invented papers on thirty list days are in the store. Each start is a new process; the time to
the first response begins with the start of the process, and the response is a keyword's feed of
fifty entries. The keyword was polled before the start, so its search is in the store too. For a
*new keyword* the response waits until upstream, on this machine, has sent the search, and that is
parsed.
"""

import http.client
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from keywords import DAYS, run_upstream_process
from report import describe_run, format_spread, format_table, write_section
from tests.support.server_process import ServerProcess, start_server
from tests.support.waiting import wait_until

STARTS, ENTRIES = 7, 50
#: Target of each row.
TARGETS = {
    "s to the first response": "1.5",
    "s of CPU time until then": "",
    "ms of that response": "25",
    "ms of CPU time of that response": "",
    "ms of the first response for a new keyword": "",
}
#: Path of the first response.
PATH = f"/papers.atom?q=model&limit={ENTRIES}"


@contextmanager
def full_store(more_settings: str = "") -> Iterator[dict[str, str]]:
    """Yield the environment of servers on a store that has every list day."""
    with tempfile.TemporaryDirectory() as directory, run_upstream_process() as url:
        settings = Path(directory) / "feedsrv.toml"
        settings.write_text(
            f"history_days = {DAYS}\nspacing = 0\nnew_keywords = 0\n{more_settings}"
        )
        environ = {
            "FEEDSRV_UPSTREAM_URL": url,
            "FEEDSRV_CACHE_DIR": f"{directory}/store",
            "FEEDSRV_CONFIG": str(settings),
        }
        with start_server(environ=environ) as server:
            wait_until(lambda: get(server, "/status.json").count(b'"data"') >= DAYS, timeout=120)
        yield environ


def get(server: ServerProcess, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read()


def cpu_seconds(server: ServerProcess) -> float:
    """Return the CPU time of the server's processes."""
    files = (
        file
        for pid in (server.process.pid, *server.workers())
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def measure_first_response(environ: dict[str, str], store: Path) -> tuple[float, ...]:
    """Return the seconds until the first response and of it, each with its CPU time."""
    began = time.perf_counter()
    with start_server(environ=environ | {"FEEDSRV_CACHE_DIR": str(store)}) as server:
        accepted, cpu_before = time.perf_counter(), cpu_seconds(server)
        entries = get(server, PATH).count(b"<entry>")
        done, cpu_after = time.perf_counter(), cpu_seconds(server)
    assert entries == ENTRIES
    return done - began, cpu_after, done - accepted, cpu_after - cpu_before


def main() -> None:
    """Measure, and write the table."""
    results: dict[str, list[float]] = {name: [] for name in TARGETS}
    with full_store() as environ, tempfile.TemporaryDirectory() as directory:
        new, known = Path(environ["FEEDSRV_CACHE_DIR"]), Path(directory) / "known"
        shutil.copytree(new, known)
        measure_first_response(environ, known)
        for number in range(STARTS):
            polled_before = measure_first_response(environ, known)
            copy = shutil.copytree(new, Path(directory) / str(number))
            for_new_keyword = measure_first_response(environ, copy)
            values = (*polled_before, for_new_keyword[2])
            for (name, seconds), value in zip(results.items(), values, strict=True):
                seconds.append(value * 1000 if name.startswith("ms") else value)
    rows = (
        [name, format_spread(results[name], ".0f" if name.startswith("ms") else ".2f"), target]
        for name, target in TARGETS.items()
    )
    introduction = f"{describe_run()}: {STARTS} starts; medians, minimum and maximum in brackets."
    table = format_table(("a start with a full store", "measured", "target"), rows)
    write_section("start", f"{introduction}\n\n{table}")


if __name__ == "__main__":
    main()
