"""Measure how long it takes to parse a page, compared with BeautifulSoup building its tree.

    .venv/bin/python bench/parse.py [--dry]

The page is as large as real ones: 1.7 MB, 100 papers, 50 tags per card. Its papers are the samples.
Both are timed in turn; memory is the peak of a process that does nothing else.
"""

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
from feedsrv.upstream.demo import load_sample_papers
from feedsrv.upstream.parser import parse_page
from report import describe_run, format_spread, format_table, write_section

PAPERS = 100
SIZE = 1_700_000
ROUNDS = 25
#: Target ratio to the time of BeautifulSoup's tree.
TARGET = 0.33
DAY = Page(Kind.DAY, "2026-11-24")
FETCHED_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)

#: A part of an SVG path, as padding.
_SVG_PATH = "M7.24 11.2c-.8 0-1.4.6-1.4 1.4s.6 1.4 1.4 1.4 "


def _entry(number: int) -> dict[str, Any]:
    """Return an entry as long as real ones: an abstract of 1,500 characters, 10 authors."""
    papers = load_sample_papers()
    paper = papers[number % len(papers)]
    without_tex = [paper for paper in papers if "$" not in paper["summary"]]  # as 93 of 100 are
    other = without_tex[number * 7 % len(without_tex)]
    user = {"_id": "0" * 24, "avatarUrl": f"/avatars/{number:032}.svg", "isPro": False}
    names = [name for each in papers for name in each["authors"] if name.isascii()]  # as 99 are
    authors = [
        {"_id": f"{number:012}{position:012}", "name": name, "hidden": False, "user": user}
        for position, name in enumerate(names[number : number + 10])
    ]
    details = {
        "id": f"2611.{number:05}",
        "authors": authors,
        "publishedAt": "2026-11-22T00:00:00.000Z",
        "submittedOnDailyAt": "2026-11-24T00:00:00.000Z",
        "title": f"{paper['title']} {number}",
        "summary": f"{paper['summary']} {other['summary']}",
        "upvotes": paper["upvotes"],
        "ai_keywords": paper.get("keywords", []),
        "ai_summary": paper["summary"][:200],
    }
    repeated = {key: details[key] for key in ("title", "summary", "publishedAt")}
    return repeated | {"paper": details, "numComments": 1, "submittedBy": user}


def _card(entry: dict[str, Any], padding: str) -> str:
    paper = entry["paper"]
    icon = f'<span class="flex"><svg viewBox="0 0 24 24"><path d="{padding}"></path></svg></span>'
    return (
        f'<article class="relative flex"><h3><a href="/papers/{paper["id"]}">'
        f'{escape(paper["title"])}</a></h3><p class="line-clamp-2">{escape(paper["summary"])}</p>'
        f"<div>{icon * 15}</div></article>"
    )


def make_page(papers: int = PAPERS, size: int = SIZE) -> bytes:
    """Return a page, padded to the size with SVG paths."""
    entries = [_entry(number) for number in range(papers)]
    data = {"dailyPapers": entries, "dateString": DAY.key, "periodType": "day"}
    head = "<!doctype html><html><head><title>Papers</title></head><body><main>"
    opening = f'<div data-target="DailyPapers" data-props="{escape(json.dumps(data))}">'

    def render(padding: str) -> bytes:
        cards = "".join(_card(entry, padding) for entry in entries)
        return f"{head}{opening}{cards}</div></main></body></html>".encode()

    padding_length = max(size - len(render("")), 0) // (papers * 15)
    return render((_SVG_PATH * 40)[:padding_length])


def parse_listing(body: bytes) -> Listing:
    """Parse the page as feedsrv does."""
    return parse_page(body, "https://huggingface.co/papers", requested=DAY, fetched_at=FETCHED_AT)


def build_tree(body: bytes) -> BeautifulSoup:
    """Build BeautifulSoup's tree of the page."""
    return BeautifulSoup(body.decode(), "lxml")


PARSERS: dict[str, Callable[[bytes], Listing | BeautifulSoup]] = {
    "parse": parse_listing,
    "tree": build_tree,
}


def _milliseconds(parse: Callable[[bytes], object], body: bytes) -> float:
    started = time.perf_counter()
    parse(body)
    return (time.perf_counter() - started) * 1000


def _peak_memory(name: str, body: bytes) -> float:
    """Return the peak growth in MB of a process that parses the page once."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(body)
        command = [sys.executable, __file__, "--peak", name, file.name]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _print_memory_growth(name: str, file: Path) -> None:
    PARSERS[name](make_page(1, 0))  # import what is imported at first use
    body = file.read_bytes()
    before = _peak_resident()
    result = PARSERS[name](body)
    print(_peak_resident() - before)
    assert result


def _peak_resident() -> float:
    """Return the peak memory of this process in MB; getrusage would include the parent's."""
    (line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in row)
    return int(line.split()[1]) / 1024


def main() -> None:
    """Measure, and write the table."""
    body = make_page()
    tree = build_tree(body)
    first = _milliseconds(parse_listing, body)
    rounds = [
        {name: _milliseconds(parse, body) for name, parse in PARSERS.items()} for _ in range(ROUNDS)
    ]
    parse_time, tree_time = (statistics.median(each[name] for each in rounds) for name in PARSERS)
    papers = parse_listing(body).papers
    json_size = len(msgspec.json.encode(papers)) / 1e6
    ratio = format_spread([each["parse"] / each["tree"] for each in rounds], ".2f")
    rows = (
        ["page to listing", f"{parse_time:.1f}", f"{_peak_memory('parse', body):.1f}", ratio],
        ["BeautifulSoup's tree only", f"{tree_time:.1f}", f"{_peak_memory('tree', body):.1f}", ""],
    )
    introduction = (
        f"{describe_run()}: {len(body):,} bytes, {len(tree.find_all(True)):,} tags, {len(papers)}"
        f" papers, {ROUNDS} rounds; the listing is {json_size:.1f} MB of JSON. The first page of a"
        f" process takes {first:.0f} ms, because no word has been analyzed before."
    )
    header = ("task", "ms", "peak MB", f"ratio to the tree, target {TARGET}")
    write_section("parse", f"{introduction}\n\n{format_table(header, rows)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        _print_memory_growth(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
