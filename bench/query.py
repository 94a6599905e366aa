"""Measure what the costliest queries take: to find what matches, to preview it, to show it.

    make bench
    .venv/bin/python bench/query.py [--dry]

The papers are invented: a window of 1,500, of common and rare words as abstracts have them, some
with hundreds of authors. What is printed is processor time, in milliseconds, the least of a few
tries, each with all that is remembered forgotten.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain, cycle, islice, product, repeat
from string import ascii_lowercase

from feedsrv.feeds.window import Window
from feedsrv.models import Feed, Kind, Listing, Match, Page, Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.index import Index
from feedsrv.search.parser import MAX_TERMS, parse_query
from feedsrv.search.query import MAX_QUERY_LENGTH
from feedsrv.web import pages as page
from report import table, where, write

PAPERS, DAYS, TRIES = 1500, 30, 3
TODAY = date(2026, 11, 24)
#: Milliseconds that a query may take, to be found and to be shown.
WANTED = 50
COMMON = (
    *("of", "a", "the", "in", "to", "we", "and", "is", "for", "on", "it", "as", "by"),
    *("an", "at", "or", "be", "so", "no", "up", "if", "us", "do", "go", "my", "me"),
)


def vocabulary(chance: random.Random) -> list[str]:
    """Return words, many of which begin alike."""
    made = ("".join(chance.choices(ascii_lowercase, k=chance.randint(3, 10))) for _ in range(9000))
    return [*COMMON, *dict.fromkeys(made)]


def papers() -> list[Paper]:
    """Return the papers, the common words in nearly all of them."""
    chance = random.Random(1)  # the same papers each time
    known = vocabulary(chance)
    weights = [1 / (place + 3) for place in range(len(known))]

    def text(many: int) -> str:
        return " ".join(chance.choices(known, weights, k=many))

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


def window(every: list[Paper]) -> Window:
    """Return the papers as thirty list days."""
    read_at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    days: list[tuple[Page, Listing | None]] = []
    for back in range(DAYS):
        day = TODAY - timedelta(days=back)
        of_day = tuple(each for each in every if each.listed == day)
        named = Page(Kind.DAY, day.isoformat())
        days.append((named, Listing(page=named, papers=of_day, fetched_at=read_at, source="data")))
    return Window(tuple(days), Index(every))


def filled(parts: Iterator[str], between: str = " ", last: str = "") -> str:
    """Return a query of as many of the parts as one may have."""
    query = ""
    for part in islice(parts, MAX_TERMS - len(last.split())):
        longer = f"{query}{between if query else ''}{part}"
        if len(longer) + len(last) + 1 > MAX_QUERY_LENGTH:
            break
        query = longer
    return f"{query} {last}".strip()


def queries() -> dict[str, str]:
    """Return the costliest queries that were thought of, with what is costly about each."""
    pairs = [f"{one}-{other}" for one, other in product(COMMON[:8], repeat=2) if one != other]
    phrases = [f'"{each.replace("-", " ")}"' for each in pairs]
    rare = [f"{one}{other}" for one, other in product("qxzjvkw", repeat=2)]
    return {
        "many phrases of common words": filled(iter(phrases), "|"),
        "many phrases, stems": filled(iter(pairs), "|"),
        "no such phrases": filled(f"-{each}" for each in phrases),
        "long phrase": f'"{" ".join(islice(cycle(COMMON[:6]), 80))}"',
        "all but one match": filled((f"-{each}" for each in rare), last="zzzz"),
        "all but two match": filled((f"-{each}" for each in rare), last="zzzz zzzy"),
        "nothing matches, stems": filled(iter(COMMON), last="zzzz"),
        "phrases, and nothing": filled((f"-{each}" for each in pairs), last="zzzz"),
        "all words that begin so": filled((f"-zz{each}" for each in ascii_lowercase), last="a*"),
        "many beginnings": filled((f"{each}*" for each in ascii_lowercase), "|"),
        "few of many beginnings": filled(f"{each}*" for each in ascii_lowercase),
        "no such beginnings": filled((f"-{each}*" for each in ascii_lowercase), last="-zzzz"),
        "authors": filled((f"author:{each}*" for each in ascii_lowercase), "|"),
        "words in all fields": filled(chain(COMMON, rare), "|"),
        "facts": filled(f"-stars:>{number}" for number in range(10, 99)),
        "one common word": "the",
        "letters that are many": "\ufdfa" * MAX_QUERY_LENGTH,
        "parentheses": filled(repeat("((((((a))))))"), "|"),
    }


def took(work: Callable[[], object], forget: Callable[[], object]) -> float:
    """Return milliseconds of processor time, the least of a few tries."""
    each = []
    for _ in range(TRIES):
        forget()
        begun = time.process_time()
        work()
        each.append((time.process_time() - begun) * 1000)
    return min(each)


def measured(text: str, held: Window) -> list[float]:
    """Return how many papers match, and what each step takes."""

    def forget() -> None:
        parse_query.cache_clear()
        held.search.cache_clear()

    tree, feed = parse_query(text), Feed(name="one", title="One", query=text)
    found = held.index.matching(tree)
    steps = (
        lambda: parse_query(text),
        lambda: held.index.matching(tree),
        lambda: page.build_preview(text, held, None),
        lambda: page.paper_cards(Match(each, (feed,)) for each in found[:200]),
    )
    return [len(found), *(took(step, forget) for step in steps)]


def main() -> None:
    """Measure, print, and write it down."""
    held = window(papers())
    for warm in ("the", "title:the", "author:the", "org:the", "keyword:the"):
        held.index.matching(parse_query(warm))  # fields are arranged once, at their first use
    rows = []
    for name, text in queries().items():
        found, *times = measured(text, held)
        cells = (f"**{ms:.1f}**" if ms > WANTED else f"{ms:.1f}" for ms in times)
        rows.append([name, str(len(text)), f"{found:.0f}", *cells])
    heads = ("query", "characters", "found", "read", "matching", "preview", "200 cards")
    what = (
        f"{where()}: milliseconds of processor time, the least of {TRIES} tries, over {PAPERS:,}"
        f" papers; {WANTED} are allowed to find and to preview."
    )
    write("query", f"{what}\n\n{table(heads, rows)}")


if __name__ == "__main__":
    main()
