"""Which modules are loaded, and when: a Raspberry Pi has little memory and CPU."""

import json
import re
import subprocess
import sys

import pytest

from tests.support.http import fetch_body
from tests.support.server_process import start_server

#: Modules that take a megabyte or more, or that the core must not use.
HEAVY = {
    *("asyncio", "bs4", "click", "diskcache", "feedgen", "flask", "granian", "httpx", "jinja2"),
    *("lark", "lxml", "msgspec", "multiprocessing", "platformdirs", "pylatexenc"),
    *("socket", "sqlite3", "ssl", "unittest", "werkzeug", "xml.sax"),
}
#: Development tools and the parser of rendered cards, which no server needs for its first feed.
NEVER = {"bs4", "unittest", "xml.sax"}
WERKZEUG = {"socket", "ssl", "werkzeug"}
#: What the main process of a server has: settings are validated, and granian starts the worker.
MAIN_PROCESS = {
    *("asyncio", "click", "granian", "lark", "msgspec", "multiprocessing", "platformdirs"),
    *("socket", "ssl"),
}


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("feedsrv", set()),
        ("feedsrv.errors", set()),
        ("feedsrv.models", {"msgspec"}),
        ("feedsrv.search.query", {"msgspec"}),
        # werkzeug, used for URLs, loads its development server.
        ("feedsrv.upstream.parser", {"lxml", "msgspec", "pylatexenc", *WERKZEUG}),
        ("feedsrv.cli", {"click"}),
        ("feedsrv.cli.serve", MAIN_PROCESS - {"asyncio", "granian"}),
    ],
)
def test_an_import_loads_only_the_modules_that_it_needs(module: str, loaded: set[str]) -> None:
    assert HEAVY & modules_loaded_by(module) == loaded


def modules_loaded_by(module: str) -> set[str]:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_a_server_loads_only_what_its_first_feed_needs() -> None:
    with start_server("--demo", environ={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
        assert b"<feed" in fetch_body(f"{server.url}/papers.atom?q=causal")
        server.stop()
    loaded = set(re.findall(r"import time:[\s\d|]+\| +([\w.]+)", server.log()))
    assert {"feedsrv.cli", "feedsrv.web.wsgi", "granian", "lark", "lxml"} <= loaded
    assert not loaded & NEVER


def test_parsing_cards_loads_beautifulsoup() -> None:
    code = (
        "import sys; from feedsrv.upstream.cards import parse_cards;"
        " parse_cards('', day=None, year=2026); print('bs4' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n"
