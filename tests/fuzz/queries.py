"""Realistic queries with damage, and invariants of the parsed queries."""

from datetime import date
from random import Random

from feedsrv.errors import QueryError
from feedsrv.models import XML_FORBIDDEN, Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.matching import match_locations, matches
from feedsrv.search.parser import CONFIG_LIMITS, parse_query
from feedsrv.search.query import Not, canonical_text
from feedsrv.search.search_terms import MAX_UPSTREAM_LENGTH, upstream_search_text

_WORDS = (
    *("causal", "causally", "world", "model", "models", "diffusion", "ai", "3d", "c++", "c#"),
    *(
        "o'reilly",
        "O\u2019Reilly",
        "naïve",
        "world-model",
        "kites",
        "2601.00001",
        "the",
        "é",
        "李明",
    ),
    *("\U0001f426", "nai\u0308ve", "ß", "\u0130", "\ufdfa", "x" * 45, "or", "and", "not", "\u05e9"),
)
_FIELDS = ("title:", "abstract:", "author:", "org:", "keyword:", "id:", "TITLE:")
_FACTS = (
    "has:code",
    "has:project",
    "has:media",
    "has:model",
    "upvotes:>=20",
    "comments:<3",
    "stars:=100",
)
_ODD = (
    *('"', "(", ")", "((", "))", "-", "--", "!", "*", "**", "|", "||", ":", "::", "OR", "AND"),
    *("NOT", " ", "\t", "\n", "\xa0", "\u3000", "\x00", "\x1b", "\x85", "\ud800", "\ufffe"),
    *("\u2028", "\\", "\u201c", "\u201d", "\u201e", "\xab", "\u2018", "\u2013", "\u2212", "'", "#"),
    *("+", "_", "/", "v2", "has:", "upvotes:", "upvotes:>", "stars:>=99999999999", "foo:"),
    *("foo:bar", "title:(", 'id:"', "\u200b", "\xad", "\ufeff", "\u202e", "\u0301", "\U000e0001"),
    *("a" * 240, "(" * 9, "-" * 99),
)
PAPERS = [
    analyze(
        Paper(
            id="2601.00001",
            title="Causality of Tides",
            abstract="A world model of any harbour, causally.",
            authors=("Ada Brandt", "Mei O'Reilly"),
            submitted=date(2026, 1, 5),
            organization="Harbour Lab",
            keywords=("world models", "AI"),
            code="https://github.com/example/tides",
            upvotes=20,
        )
    ),
    analyze(
        Paper(
            id="sample-7",
            title="C++ and C# for 3D Kites \U0001f426",
            abstract="Diffusion, naïve or not.",
            submitted=date(2026, 1, 6),
            media=("https://example.org/kite.mp4",),
            stars=100,
        )
    ),
    Paper(id="0", title="", abstract="", submitted=date(2026, 1, 7)),
]


def query(chance: Random) -> str:
    """Return a query, often with damage."""
    text = _any(chance, chance.choice((0, 1, 1, 2, 2, 3, 9)))
    while chance.random() < 0.4:
        text = _damaged(chance, text)
    return text


def outcome(text: str) -> str:
    """Return the outcome of a query in a few words.

    Raises:
        AssertionError: The query violates an invariant.

    """
    try:
        tree = parse_query(text)
    except QueryError as error:
        return f"QueryError: {_class(text, error)}"
    search_text = upstream_search_text(tree)
    assert len(search_text) <= MAX_UPSTREAM_LENGTH
    assert not XML_FORBIDDEN.search(search_text)
    for paper in PAPERS:
        found = matches(tree, paper)
        assert matches(Not(tree), paper) is not found
        assert all(match_locations(tree, paper))
    formatted = str(tree)
    if len(formatted) > CONFIG_LIMITS.length:
        return "a query that is too long when it is written out"  # folding expands some letters
    reparsed = parse_query(formatted)
    assert reparsed == tree, formatted
    assert canonical_text(reparsed) == canonical_text(tree)
    return "a query"


def _class(text: str, error: QueryError) -> str:
    assert 0 <= error.position <= len(text)
    assert error.with_caret().endswith("^")
    for quoted in ("there is no field", "expected a word or quoted words, not"):
        if error.reason.startswith(quoted):
            return f"{quoted} …"
    return error.reason.partition(", as in ")[0]


def _any(chance: Random, depth: int) -> str:
    joint = chance.choice((" OR ", " OR ", "|", " | "))
    return joint.join(_all(chance, depth) for _ in range(chance.choice((1, 1, 1, 2, 3))))


def _all(chance: Random, depth: int) -> str:
    joint = chance.choice((" ", " ", " ", " AND "))
    return joint.join(_unary(chance, depth) for _ in range(chance.choice((1, 1, 2, 2, 3))))


def _unary(chance: Random, depth: int) -> str:
    lead = chance.choice(("", "", "", "", "-", "NOT "))
    if depth and chance.random() < 0.4:
        return f"{lead}({_any(chance, depth - 1)})"
    return lead + _term(chance)


def _term(chance: Random) -> str:
    if chance.random() < 0.15:
        return chance.choice(_FACTS)
    field = chance.choice(_FIELDS) if chance.random() < 0.3 else ""
    words = [chance.choice(_WORDS) for _ in range(chance.choice((1, 1, 2, 3)))]
    match chance.randrange(5):
        case 0:
            return f'{field}"{" ".join(words)}"'
        case 1:
            return f"{field}{words[0]}*"
        case 2:
            return f"{field}{'-'.join(words)}"
        case _:
            return field + words[0]


def _damaged(chance: Random, text: str) -> str:
    start, end = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
    match chance.randrange(8):
        case 0:
            text = text[:start] + text[start + 1 :]
        case 1:
            text = text[:start]
        case 2:
            text = text[:end] + text[start:]
        case 3:
            text = text[end:] + text[start:end] + text[:start]
        case 4:
            text = text[:start] + chr(chance.randrange(0x110000)) + text[start:]
        case 5:
            text = "(" * (depth := chance.randrange(12)) + text + ")" * depth
        case _:
            text = text[:start] + chance.choice(_ODD) + text[start:]
    return text
