"""What is loaded, and when: memory and time that a Raspberry Pi has less of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.http import fetch_body
from tests.support.servers import run_feedsrv

#: Modules that take a megabyte or more, or open a door that the core keeps shut.
HEAVY = {
    *("asyncio", "bs4", "click", "diskcache", "feedgen", "flask", "httptools", "httpx", "jinja2"),
    *("lark", "lxml", "msgspec", "multiprocessing", "platformdirs", "pylatexenc"),
    *("snowballstemmer", "socket", "sqlite3", "ssl", "unittest", "uvloop", "werkzeug", "xml.sax"),
}
#: What nobody needs who serves: tools of development, and thirty languages beside English.
NEVER = {"multiprocessing", "unittest", "xml.sax"}


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of the processes that are looked at: it loads much itself."""
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("feedsrv", set()),
        ("feedsrv.errors", set()),
        ("feedsrv.models", {"msgspec"}),
        ("feedsrv.search.query", {"msgspec"}),
        ("feedsrv.upstream.parser", {"lxml", "msgspec", "pylatexenc"}),
        ("feedsrv.cli", HEAVY - {*NEVER, "bs4", "uvloop"}),
    ],
)
def test_an_import_loads_what_it_needs_and_no_more(module: str, loaded: set[str]) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert HEAVY & set(json.loads(said.stdout)) == loaded


def test_a_server_loads_nothing_for_its_first_feed_that_it_can_do_without(tmp_path: Path) -> None:
    given = {"FEEDSRV_CACHE_DIR": str(tmp_path), "PYTHONPROFILEIMPORTTIME": "1"}
    with run_feedsrv("--demo", **given) as (process, url, before):
        assert b"<feed" in fetch_body(f"{url}/papers.atom?q=causal")
        process.terminate()
        assert process.stderr is not None
        said = before + process.stderr.read()
    loaded = set(re.findall(r"import time:[\s\d|]+\| +([\w.]+)", said))
    assert {"feedsrv.cli", "lark", "lxml"} <= loaded
    assert not loaded & {*NEVER, "bs4"}


def test_cards_load_the_reader_of_cards() -> None:
    code = (
        "import sys; from feedsrv.upstream.cards import parse_cards;"
        " parse_cards('', day=None, year=2026); print('bs4' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "True\n"
