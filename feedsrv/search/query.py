"""What a query asks for, whether a paper matches it, and where.

A query is a tree of `And`, `Or` and `Not` over `Term`, `Has` and `Count`; `feedsrv.grammar` reads
one from text, and ``str`` writes it so that reading it again gives the same tree. `matches` asks a
paper's prepared words, `places` tells where it matched, `positive_words` gives what to type into a
search box.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal, assert_never

import msgspec

from feedsrv.models import Paper
from feedsrv.search.analysis import join_tokens, stem

#: Characters of a query, ours and upstream's.
MAX_QUERY_LENGTH = 250

Field = Literal["", "title", "abstract", "author", "org", "keyword", "id"]
Link = Literal["code", "project", "media"]
Counter = Literal["upvotes", "comments", "stars"]

_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


class Term(msgspec.Struct, frozen=True):
    """Words to be found side by side: by their stems, as written, or by how the last begins.

    The field is empty for the plain words that look in title, abstract and keywords.
    """

    field: Field
    words: tuple[str, ...]
    mode: Literal["stems", "exact", "prefix"]

    def __str__(self) -> str:
        if self.field == "id":
            return f"id:{'.'.join(self.words)}{'*' if self.mode == 'prefix' else ''}"
        lead = f"{self.field}:" if self.field else ""
        match self.mode:
            case "exact":
                return f'{lead}"{" ".join(self.words)}"'
            case "prefix":
                return f"{lead}{'-'.join(self.words)}*"
            case "stems":
                return f"{lead}{'-'.join(self.words)}"

    def describe(self) -> str:
        """Return what is looked for, in words."""
        where = self.field or "title, abstract or keywords"
        shown = " ".join(self.words)
        match self.mode:
            case "exact":
                what = f"“{shown}” as written" if len(self.words) > 1 else f"the word “{shown}”"
            case "prefix":
                what = f"words that begin “{shown}”"
            case "stems":
                stems = " ".join(map(stem, self.words))
                what = f"“{shown}” in any form" + (f" (stem “{stems}”)" if stems != shown else "")
        return f"{what}, in {where}"


class Has(msgspec.Struct, frozen=True):
    """The paper links code, a project page or media."""

    link: Link

    def __str__(self) -> str:
        return f"has:{self.link}"

    def describe(self) -> str:
        """Return what is looked for, in words."""
        return f"links {self.link}"


class Count(msgspec.Struct, frozen=True):
    """A counter, as last read, compared with a number."""

    counter: Counter
    operator: str
    value: int

    def __str__(self) -> str:
        return f"{self.counter}:{self.operator}{self.value}"

    def describe(self) -> str:
        """Return what is looked for, in words."""
        return f"{self.counter} {self.operator} {self.value}"


class Not(msgspec.Struct, frozen=True):
    """The opposite of a query."""

    part: Query

    def __str__(self) -> str:
        return f"-({self.part})" if isinstance(self.part, And | Or | Not) else f"-{self.part}"


class And(msgspec.Struct, frozen=True):
    """Every part."""

    parts: tuple[Query, ...]

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


class Or(msgspec.Struct, frozen=True):
    """At least one part."""

    parts: tuple[Query, ...]

    def __str__(self) -> str:
        return " OR ".join(
            f"({part})" if isinstance(part, Or) else str(part) for part in self.parts
        )


Query = And | Or | Not | Term | Has | Count


def canonical_text(query: Query) -> str:
    """Return one text for all queries that differ only in order and repetition of parts."""
    match query:
        case And(parts) | Or(parts):
            texts = sorted({canonical_text(part) for part in parts})
            if len(texts) == 1:
                return texts[0]
            return (" " if isinstance(query, And) else " OR ").join(f"({text})" for text in texts)
        case Not(part):
            return f"-({canonical_text(part)})"
        case _:
            return str(query)


def matches(query: Query, paper: Paper) -> bool:
    """Tell whether the paper is one that the query asks for."""
    match query:
        case Term():
            return _term_matches(query, paper)
        case And(parts):
            return all(matches(part, paper) for part in parts)
        case Or(parts):
            return any(matches(part, paper) for part in parts)
        case Not(part):
            return not matches(part, paper)
        case Has() | Count():
            return bool(matched_value(query, paper))
        case _:
            assert_never(query)


def match_locations(query: Query, paper: Paper) -> tuple[str, ...]:
    """Return where the paper matched, such as ``title: diffus*`` and ``upvotes: 31``."""
    match query:
        case Term():
            shown = str(msgspec.structs.replace(query, field=""))
            rows = zip(_searched_fields(query), token_fields(query), strict=True)
            text = search_string(query)
            return tuple(
                f"{field}: {shown}" for field, row in rows if text in getattr(paper.tokens, row)
            )
        case And(parts) | Or(parts):
            every = (place for part in parts for place in match_locations(part, paper))
            return tuple(dict.fromkeys(every))
        case Not():
            return ()
        case Has() | Count():
            return tuple(filter(None, [matched_value(query, paper)]))
        case _:
            assert_never(query)


def positive_terms(query: Query) -> str:
    """Return the words that a matching paper may hold, for upstream's own search page.

    Empty for a query of exclusions, links and counters alone: nothing can be searched for. Upstream
    takes no more than 250 characters, and folding can make one character many.
    """
    return " ".join(dict.fromkeys(_iter_positive_terms(query)))[:MAX_QUERY_LENGTH].strip()


def _iter_positive_terms(query: Query) -> Iterator[str]:
    match query:
        case Term():
            yield from query.words
        case And(parts) | Or(parts):
            for part in parts:
                yield from _iter_positive_terms(part)
        case Not() | Has() | Count():
            pass
        case _:
            assert_never(query)


def _term_matches(term: Term, paper: Paper) -> bool:
    text, words = search_string(term), paper.tokens
    return any(text in getattr(words, name) for name in token_fields(term))


def _searched_fields(term: Term) -> tuple[str, ...]:
    """Return the names of the fields that the term looks in."""
    return ("title", "abstract", "keyword") if term.field == "" else (term.field,)


@lru_cache(maxsize=4096)
def token_fields(term: Term) -> tuple[str, ...]:
    """Return which rows of a paper's prepared words to look for the term's `needle` in."""
    ending = "_stems" if term.mode == "stems" else ""
    return tuple(f"{field}{ending}" for field in _searched_fields(term))


@lru_cache(maxsize=4096)
def search_string(term: Term) -> str:
    """Return what stands in a row of prepared words exactly where the term's words stand."""
    if term.mode == "stems":
        return join_tokens(map(stem, term.words))
    text = join_tokens(term.words)
    return text[:-1] if term.mode == "prefix" else text


def matched_value(query: Has | Count, paper: Paper) -> str:
    """Return the fact that makes the paper match, in words; nothing where it does not."""
    match query:
        case Has(link):
            linked = getattr(paper, link)
            return f"{link}: {linked if isinstance(linked, str) else linked[0]}" if linked else ""
        case Count(counter, sign, number):
            value = getattr(paper, counter)
            return f"{counter}: {value}" if _OPERATORS[sign](value, number) else ""
