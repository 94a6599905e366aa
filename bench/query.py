"""Measure the most expensive queries: matching, preview, and rendering of the results.

    make bench
    .venv/bin/python bench/query.py [--dry]

The papers are invented: a window of 1,500, with common and rare words as in abstracts, some with
hundreds of authors. Results are CPU time in milliseconds, the minimum of a few runs with cleared
caches.
"""

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain, cycle, islice, product, repeat
from string import ascii_lowercase

from feedsrv.feeds.window import Window
from feedsrv.models import Feed, Kind, Listing, Match, Page, Paper
from feedsrv.search import parser
from feedsrv.search.analysis import analyze
from feedsrv.search.index import Index
from feedsrv.search.parser import URL_LIMITS, parse_query
from feedsrv.web.pages import build_preview, paper_cards
from report import describe_run, format_table, write_section

PAPERS, DAYS, RUNS = 1500, 30, 3
TODAY = date(2026, 11, 24)
#: Maximum milliseconds of matching and of a preview.
TARGET = 50
COMMON = (
    *("of", "a", "the", "in", "to", "we", "and", "is", "for", "on", "it", "as", "by"),
    *("an", "at", "or", "be", "so", "no", "up", "if", "us", "do", "go", "my", "me"),
)


def make_vocabulary(chance: random.Random) -> list[str]:
    """Return words, many of them with the same prefix."""
    words = ("".join(chance.choices(ascii_lowercase, k=chance.randint(3, 10))) for _ in range(9000))
    return [*COMMON, *dict.fromkeys(words)]


def make_papers() -> list[Paper]:
    """Return the papers; the common words are in nearly all of them."""
    chance = random.Random(1)  # the same papers each time
    vocabulary = make_vocabulary(chance)
    weights = [1 / (rank + 3) for rank in range(len(vocabulary))]

    def text(length: int) -> str:
        return " ".join(chance.choices(vocabulary, weights, k=length))

    return [
        analyze(
            Paper(
                id=f"2611.{number:05d}",
                title=text(12),
                abstract=text(240),
                authors=tuple(text(2) for _ in range(600 if number % 100 < 8 else 6)),
                author_count=6,
                keywords=tuple(text(2) for _ in range(8)),
                organization=text(3),
                submitted=TODAY,
                listed=TODAY - timedelta(days=number * DAYS // PAPERS),
            )
        )
        for number in range(PAPERS)
    ]


def make_window(papers: list[Paper]) -> Window:
    """Return the papers as a window of thirty list days."""
    fetched_at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    days: list[tuple[Page, Listing | None]] = []
    for back in range(DAYS):
        day = TODAY - timedelta(days=back)
        listed = tuple(paper for paper in papers if paper.listed == day)
        page = Page(Kind.DAY, day.isoformat())
        listing = Listing(page=page, papers=listed, fetched_at=fetched_at, parsed_from="data")
        days.append((page, listing))
    return Window(tuple(days), Index(papers))


def fill_query(parts: Iterator[str], separator: str = " ", last: str = "") -> str:
    """Return a query with as many of the parts as the limits allow."""
    query = ""
    for part in islice(parts, URL_LIMITS.terms - len(last.split())):
        longer = f"{query}{separator if query else ''}{part}"
        if len(longer) + len(last) + 1 > URL_LIMITS.length:
            break
        query = longer
    return f"{query} {last}".strip()


def queries() -> dict[str, str]:
    """Return the most expensive queries that we found, by a description."""
    pairs = [
        f"{first}-{second}" for first, second in product(COMMON[:8], repeat=2) if first != second
    ]
    phrases = [f'"{each.replace("-", " ")}"' for each in pairs]
    rare = [f"{first}{second}" for first, second in product("qxzjvkw", repeat=2)]
    return {
        "many phrases of common words": fill_query(iter(phrases), "|"),
        "many phrases, forms": fill_query(iter(pairs), "|"),
        "phrases that do not occur": fill_query(f"-{each}" for each in phrases),
        "long phrase": f'"{" ".join(islice(cycle(COMMON[:6]), 80))}"',
        "all but one match": fill_query((f"-{each}" for each in rare), last="zzzz"),
        "all but two match": fill_query((f"-{each}" for each in rare), last="zzzz zzzy"),
        "nothing matches, forms": fill_query(iter(COMMON), last="zzzz"),
        "excluded phrases, no match": fill_query((f"-{each}" for each in pairs), last="zzzz"),
        "excluded prefixes": fill_query((f"-zz{each}" for each in ascii_lowercase), last="a*"),
        "many prefixes": fill_query((f"{each}*" for each in ascii_lowercase), "|"),
        "many prefixes, all required": fill_query(f"{each}*" for each in ascii_lowercase),
        "excluded prefixes, no match": fill_query(
            (f"-{each}*" for each in ascii_lowercase), last="-zzzz"
        ),
        "authors": fill_query((f"author:{each}*" for each in ascii_lowercase), "|"),
        "words in all fields": fill_query(chain(COMMON, rare), "|"),
        "counters": fill_query(f"-stars:>{number}" for number in range(10, 99)),
        "one common word": "the",
        "a letter that expands to many": "\ufdfa" * URL_LIMITS.length,
        "parentheses": fill_query(repeat("((((((a))))))"), "|"),
    }


def cpu_milliseconds(work: Callable[[], object], clear_caches: Callable[[], object]) -> float:
    """Return the CPU time of the work, the minimum of a few runs."""
    milliseconds = []
    for _ in range(RUNS):
        clear_caches()
        started = time.process_time()
        work()
        milliseconds.append((time.process_time() - started) * 1000)
    return min(milliseconds)


def measure(text: str, window: Window) -> list[float]:
    """Return the number of matching papers, and the CPU time of each step."""

    def clear_caches() -> None:
        parser._parse.cache_clear()  # noqa: SLF001  # the only way to measure parsing
        window._cached_search.cache_clear()  # noqa: SLF001

    tree, feed = parse_query(text), Feed(name="one", title="One", query=text)
    papers = window.index.search(tree)
    steps = (
        lambda: parse_query(text),
        lambda: window.index.search(tree),
        lambda: build_preview(text, window, None),
        lambda: paper_cards((Match(paper, (feed,)) for paper in papers[:200]), {feed: (tree,)}),
    )
    return [len(papers), *(cpu_milliseconds(step, clear_caches) for step in steps)]


def main() -> None:
    """Measure, and write the table."""
    window = make_window(make_papers())
    for warm in ("the", "title:the", "author:the", "org:the", "keyword:the"):
        window.index.search(parse_query(warm))  # each field is indexed at its first use
    rows = []
    for name, text in queries().items():
        count, *times = measure(text, window)
        cells = (f"**{ms:.1f}**" if ms > TARGET else f"{ms:.1f}" for ms in times)
        rows.append([name, str(len(text)), f"{count:.0f}", *cells])
    header = ("query", "characters", "matches", "parsing", "matching", "preview", "200 cards")
    introduction = (
        f"{describe_run()}: milliseconds of CPU time, the minimum of {RUNS} runs, over {PAPERS:,}"
        f" papers; the target for matching and preview is {TARGET}."
    )
    write_section("query", f"{introduction}\n\n{format_table(header, rows)}")


if __name__ == "__main__":
    main()
