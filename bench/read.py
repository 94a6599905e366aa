"""How long it takes to read a page, beside making BeautifulSoup's tree of the same page alone.

    .venv/bin/python bench/read.py [--dry]

The page is as large as real ones: 1.7 MB, 100 papers, 50 tags to a card. Its papers are the sample
ones. Both ways are timed in turn; memory is the peak of a process that does nothing else.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import msgspec
from bs4 import BeautifulSoup

from feedsrv.models import Kind, Listing, Page
from feedsrv.search.analysis import stem
from feedsrv.upstream.demo import load_sample_papers
from feedsrv.upstream.parser import parse_page
from report import spread, table, where, write

PAPERS = 100
SIZE = 1_700_000
TURNS = 25
WANTED = 0.33
DAY = Page(Kind.DAY, "2026-11-24")
READ_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)

_PATH = "M7.24 11.2c-.8 0-1.4.6-1.4 1.4s.6 1.4 1.4 1.4 "


def _entry(number: int) -> dict[str, Any]:
    """Return an entry as long as real ones: 1,500 characters of abstract, 10 authors."""
    papers = load_sample_papers()
    paper = papers[number % len(papers)]
    plain = [paper for paper in papers if "$" not in paper["summary"]]  # as 93 of 100 are
    other = plain[number * 7 % len(plain)]
    user = {"_id": "0" * 24, "avatarUrl": f"/avatars/{number:032}.svg", "isPro": False}
    names = [name for each in papers for name in each["authors"] if name.isascii()]  # as 99 are
    people = [
        {"_id": f"{number:012}{place:012}", "name": name, "hidden": False, "user": user}
        for place, name in enumerate(names[number : number + 10])
    ]
    details = {
        "id": f"2611.{number:05}",
        "authors": people,
        "publishedAt": "2026-11-22T00:00:00.000Z",
        "submittedOnDailyAt": "2026-11-24T00:00:00.000Z",
        "title": f"{paper['title']} {number}",
        "summary": f"{paper['summary']} {other['summary']}",
        "upvotes": paper["upvotes"],
        "ai_keywords": paper.get("keywords", []),
        "ai_summary": paper["summary"][:200],
    }
    again = {key: details[key] for key in ("title", "summary", "publishedAt")}
    return again | {"paper": details, "numComments": 1, "submittedBy": user}


def _card(entry: dict[str, Any], padding: str) -> str:
    paper = entry["paper"]
    icon = f'<span class="flex"><svg viewBox="0 0 24 24"><path d="{padding}"></path></svg></span>'
    return (
        f'<article class="relative flex"><h3><a href="/papers/{paper["id"]}">'
        f'{escape(paper["title"])}</a></h3><p class="line-clamp-2">{escape(paper["summary"])}</p>'
        f"<div>{icon * 15}</div></article>"
    )


def page(papers: int = PAPERS, size: int = SIZE) -> bytes:
    """Return a page, filled up to its size with what icons are drawn of."""
    entries = [_entry(number) for number in range(papers)]
    data = {"dailyPapers": entries, "dateString": DAY.key, "periodType": "day"}
    head = "<!doctype html><html><head><title>Papers</title></head><body><main>"
    opening = f'<div data-target="DailyPapers" data-props="{escape(json.dumps(data))}">'

    def filled(padding: str) -> bytes:
        cards = "".join(_card(entry, padding) for entry in entries)
        return f"{head}{opening}{cards}</div></main></body></html>".encode()

    missing = max(size - len(filled("")), 0) // (papers * 15)
    return filled((_PATH * 40)[:missing])


def listing(body: bytes) -> Listing:
    """Return what feedsrv reads of the page."""
    return parse_page(body, "https://huggingface.co/papers", requested=DAY, fetched_at=READ_AT)


def tree(body: bytes) -> BeautifulSoup:
    """Return BeautifulSoup's tree of the page."""
    return BeautifulSoup(body.decode(), "lxml")


WAYS: dict[str, Callable[[bytes], Listing | BeautifulSoup]] = {"read": listing, "tree": tree}


def _took(way: Callable[[bytes], object], body: bytes) -> float:
    """Return milliseconds."""
    begun = time.perf_counter()
    way(body)
    return (time.perf_counter() - begun) * 1000


def _peak(name: str, body: bytes) -> float:
    """Return the MB by which a process of its own grew at most."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(body)
        command = [sys.executable, __file__, "--peak", name, file.name]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _grow(name: str, file: Path) -> None:
    WAYS[name](page(1, 0))  # what is loaded at first use
    body = file.read_bytes()
    before = _most_resident()
    kept = WAYS[name](body)
    print(_most_resident() - before)
    assert kept


def _most_resident() -> float:
    """Return the MB that this process has had at most; getrusage knows of its parent's, too."""
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in row)
    return int(line.split()[1]) / 1024


def main() -> None:
    """Measure, print, and write it down."""
    body = page()
    made = tree(body)
    stem.cache_clear()
    first = _took(listing, body)
    turns = [{name: _took(way, body) for name, way in WAYS.items()} for _ in range(TURNS)]
    fast, slow = (statistics.median(turn[name] for turn in turns) for name in WAYS)
    papers = listing(body).papers
    needed = len(msgspec.json.encode(papers)) / 1e6
    ratio = spread([turn["read"] / turn["tree"] for turn in turns], ".2f")
    rows = (
        ["page to listing", f"{fast:.1f}", f"{_peak('read', body):.1f}", ratio],
        ["BeautifulSoup's tree alone", f"{slow:.1f}", f"{_peak('tree', body):.1f}", ""],
    )
    what = (
        f"{where()}: {len(body):,} bytes, {len(made.find_all(True)):,} tags, {len(papers)} papers,"
        f" {TURNS} turns; the listing itself is {needed:.1f} MB of JSON. The first page of a"
        f" process takes {first:.0f} ms: each word is new and is stemmed."
    )
    heads = ("way", "ms", "peak MB", f"of the tree's time, {WANTED} wanted")
    write("read", f"{what}\n\n{table(heads, rows)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        _grow(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
