"""What is loaded, and when: memory and time that a Raspberry Pi has less of."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Modules that take a megabyte or more, or open a door that the core keeps shut.
HEAVY = {
    *("asyncio", "bs4", "click", "diskcache", "feedgen", "flask", "httptools", "httpx", "jinja2"),
    *(
        "lark",
        "lxml",
        "msgspec",
        "multiprocessing",
        "platformdirs",
        "pylatexenc",
        "snowballstemmer",
    ),
    *("socket", "sqlite3", "ssl", "unittest", "uvloop", "werkzeug", "xml.sax"),
}


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("feedsrv", set()),
        ("feedsrv.errors", set()),
        ("feedsrv.paper", {"msgspec"}),
        ("feedsrv.query", {"msgspec", "snowballstemmer"}),
        ("feedsrv.huggingface", {"lxml", "msgspec", "pylatexenc", "snowballstemmer"}),
        ("feedsrv.cli", HEAVY - {"bs4", "multiprocessing", "unittest", "uvloop", "xml.sax"}),
    ],
)
def test_an_import_loads_what_it_needs_and_no_more(module: str, loaded: set[str]) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert HEAVY & set(json.loads(said.stdout)) == loaded


def test_cards_load_the_reader_of_cards() -> None:
    code = (
        "import sys; from feedsrv.cards import cards;"
        " cards('', day=None, year=2026); print('bs4' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout == "True\n"
