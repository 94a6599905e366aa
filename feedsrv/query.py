"""Text to query; does a query match a paper, and where.

A query is a tree of `And`, `Or` and `Not` over `Term`, `Has` and `Count`. `parse` reads one,
``str`` writes it so that reading it again gives the same tree, `matches` asks a paper's prepared
words, `places` tells where it matched, `positive_words` gives what to type into a search box.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal, assert_never

import msgspec
from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

from feedsrv.errors import QueryError
from feedsrv.paper import Paper
from feedsrv.words import row, stem, words

LONGEST = 250
MOST_TERMS = 32
DEEPEST = 8

Field = Literal["", "title", "abstract", "author", "org", "keyword", "id"]
Link = Literal["code", "project", "media"]
Counter = Literal["upvotes", "comments", "stars"]

_COMPARE: dict[str, Callable[[int, int], bool]] = {
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
            return f"id:{'.'.join(self.words)}"
        lead = f"{self.field}:" if self.field else ""
        match self.mode:
            case "exact":
                return f'{lead}"{" ".join(self.words)}"'
            case "prefix":
                return f"{lead}{'-'.join(self.words)}*"
            case "stems":
                return f"{lead}{'-'.join(self.words)}"

    def described(self) -> str:
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

    def described(self) -> str:
        """Return what is looked for, in words."""
        return f"links {self.link}"


class Count(msgspec.Struct, frozen=True):
    """A counter, as last read, compared with a number."""

    counter: Counter
    sign: str
    number: int

    def __str__(self) -> str:
        return f"{self.counter}:{self.sign}{self.number}"

    def described(self) -> str:
        """Return what is looked for, in words."""
        return f"{self.counter} {self.sign} {self.number}"


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


# --- reading ---------------------------------------------------------------------------------

_PARSER = Lark(
    r"""
    ?start: any
    ?any: all (_OR all)*
    ?all: unary (_AND? unary)*
    ?unary: atom | _NOT atom -> negated
    ?atom: "(" any ")" | term
    term: FIELD? (WORD | QUOTED)

    _OR.3: /OR(?![^\s()"|])|\|/
    _AND.3: /AND(?![^\s()"|])/
    _NOT.3: /NOT(?![^\s()"|])|-(?=[^\s)|-])/
    FIELD.2: /[A-Za-z]+:(?=[\s("]|$)|(?:title|abstract|author|org|keyword|id):/i
    QUOTED: /"[^"]*"/
    WORD: /[^\s()"|]+/
    %import common.WS
    %ignore WS
    """,
    parser="lalr",
    lexer="basic",
    maybe_placeholders=False,
)
_FIELDED = re.compile(r"([A-Za-z]+):(.*)", re.DOTALL)
_COUNTED = re.compile(r"(>=|<=|>|<|=)(\d{1,9})")
#: What phones and word processors write in place of plain quotes; one character each, so that
#: positions stay true.
_TYPOGRAPHIC = str.maketrans("“”„‟«»\u2019\u2018", '""""""\'\'')
_FIELDS = ("title", "abstract", "author", "org", "keyword", "id")
_KNOWN = "title: abstract: author: org: keyword: id: has: upvotes: comments: stars:"


@lru_cache(maxsize=4096)
def parse(text: str) -> Query:
    """Return the query that the text means.

    Raises:
        QueryError: It cannot be read, or is over a limit (250 characters, 32 terms, nesting 8).

    """
    if len(text) > LONGEST:
        raise QueryError(text, LONGEST, f"a query has at most {LONGEST} characters")
    plain = text.translate(_TYPOGRAPHIC)
    _check(text, plain)
    try:
        tree = _PARSER.parse(plain)
    except UnexpectedToken as error:
        raise _unexpected(text, error) from error
    try:
        return _Reader(text).transform(tree)
    except VisitError as error:
        raise error.orig_exc from error


def _check(text: str, plain: str) -> None:
    """Refuse what only the row of tokens shows: open quotes, too deep, too many terms."""
    depth = terms = 0
    try:
        for token in _PARSER.lex(plain):
            depth += {"LPAR": 1, "RPAR": -1}.get(token.type, 0)
            terms += token.type in {"WORD", "QUOTED"}
            if depth > DEEPEST:
                raise QueryError(text, _at(token), f"parentheses nest at most {DEEPEST} deep")
            if terms > MOST_TERMS:
                raise QueryError(text, _at(token), f"a query has at most {MOST_TERMS} terms")
    except UnexpectedCharacters as error:
        # Every character begins some token, but for a quotation mark without a second one.
        reason = "this quotation mark is never closed"
        raise QueryError(text, plain.rindex('"'), reason) from error


def _at(token: Token) -> int:
    return token.start_pos or 0


def _unexpected(text: str, error: UnexpectedToken) -> QueryError:
    token = error.token
    end = len(text.rstrip())
    match token.type:
        case "$END" if "RPAR" in error.expected and text.strip():
            if "WORD" not in error.expected or text.rstrip()[-1] not in "(|-":
                return QueryError(text, end, "a closing parenthesis is missing")
            return QueryError(text, end, "expected a word or quoted words here")
        case "$END":
            return QueryError(text, end, "expected a word or quoted words here")
        case "RPAR" if "RPAR" not in error.expected and "WORD" not in error.expected:
            reason = "nothing is open that this could close"
        case "RPAR":
            reason = "expected a word or quoted words before this parenthesis"
        case "LPAR":
            reason = "a field takes one word or quoted words, not parentheses"
        case _:
            reason = (
                f"expected a word or quoted words, not {str(token)!r}; to look for it, quote it"
            )
    return QueryError(text, _at(token), reason)


class _Reader(Transformer[Token, Query]):
    """Turn lark's tree into ours; called from the leaves up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def any(self, parts: list[Query]) -> Query:
        return Or(tuple(_flat(Or, parts)))

    def all(self, parts: list[Query]) -> Query:
        return And(tuple(_flat(And, parts)))

    def negated(self, parts: list[Query]) -> Query:
        return Not(parts[0])

    def term(self, tokens: list[Token]) -> Query:
        *fields, token = tokens
        field, body, at = "", str(token), _at(token)
        if fields:
            field = str(fields[0])[:-1].lower()
        elif token.type == "WORD" and (found := _FIELDED.fullmatch(body)):
            field, body, at = found[1].lower(), found[2], at + len(found[1]) + 1
        return self._fielded(field, body, at, start=_at(tokens[0]), quoted=token.type == "QUOTED")

    def _fielded(self, field: str, body: str, at: int, *, start: int, quoted: bool) -> Query:
        match field:
            case "has":
                return self._has(body, at)
            case "upvotes" | "comments" | "stars":
                return self._count(field, body, at)
            case "" | "title" | "abstract" | "author" | "org" | "keyword" | "id":
                return self._words(field, body, at, quoted=quoted)
            case _:
                reason = (
                    f"there is no field {field!r}; known are {_KNOWN} (to look for it, quote it)"
                )
                raise QueryError(self._text, start, reason)

    def _has(self, body: str, at: int) -> Has:
        match body.lower():
            case "code" | "project" | "media" as link:
                return Has(link)
        raise QueryError(self._text, at, "has: takes code, project or media")

    def _count(self, counter: Counter, body: str, at: int) -> Count:
        if found := _COUNTED.fullmatch(body):
            return Count(counter, found[1], int(found[2]))
        reason = f"expected one of >= > <= < = and a number, as in {counter}:>=20"
        raise QueryError(self._text, at, reason)

    def _words(self, field: Field, body: str, at: int, *, quoted: bool) -> Term:
        if not quoted and body[0] in "!-" and len(body) > 1:
            raise QueryError(self._text, at, "to leave a word out, write -word, with one hyphen")
        mode: Literal["stems", "exact", "prefix"] = "stems"
        if quoted or field in {"author", "org", "id"}:
            mode = "exact"  # names and ids have no English stems
        if not quoted and "*" in body:
            if "*" in body[:-1]:
                place = at + body.index("*")
                raise QueryError(self._text, place, "a * can stand only at the end of a word")
            mode = "prefix"
        found = words(re.sub(r"v\d+$", "", body) if field == "id" else body)
        if not found:
            raise QueryError(self._text, at, "expected a word: this has no letter or digit")
        return Term(field, tuple(found), mode)


def _flat(kind: type[And | Or], parts: list[Query]) -> Iterator[Query]:
    """Yield the parts with those of nested nodes of the same kind in their place."""
    for part in parts:
        if isinstance(part, And | Or) and isinstance(part, kind):
            yield from part.parts
        else:
            yield part


# --- asking ----------------------------------------------------------------------------------


def canonical(query: Query) -> str:
    """Return one text for all queries that differ only in the order of their parts."""
    match query:
        case And(parts) | Or(parts):
            texts = sorted({f"({canonical(part)})" for part in parts})
            return (" " if isinstance(query, And) else " OR ").join(texts)
        case Not(part):
            return f"-({canonical(part)})"
        case _:
            return str(query)


def matches(query: Query, paper: Paper) -> bool:
    """Tell whether the paper is one that the query asks for."""
    match query:
        case Term():
            return any(True for _ in _found(query, paper))
        case And(parts):
            return all(matches(part, paper) for part in parts)
        case Or(parts):
            return any(matches(part, paper) for part in parts)
        case Not(part):
            return not matches(part, paper)
        case Has() | Count():
            return bool(_fact(query, paper))
        case _:
            assert_never(query)


def places(query: Query, paper: Paper) -> tuple[str, ...]:
    """Return where the paper matched, such as ``title: diffus*`` and ``upvotes: 31``."""
    match query:
        case Term():
            shown = str(msgspec.structs.replace(query, field=""))
            return tuple(f"{field}: {shown}" for field in _found(query, paper))
        case And(parts) | Or(parts):
            every = (place for part in parts for place in places(part, paper))
            return tuple(dict.fromkeys(every))
        case Not():
            return ()
        case Has() | Count():
            return tuple(filter(None, [_fact(query, paper)]))
        case _:
            assert_never(query)


def positive_words(query: Query) -> str:
    """Return the words that a matching paper may hold, for upstream's own search page.

    Empty for a query of exclusions, links and counters alone: nothing can be searched for. Upstream
    takes no more than 250 characters, and folding can make one character many.
    """
    return " ".join(dict.fromkeys(_positive(query)))[:LONGEST].strip()


def _positive(query: Query) -> Iterator[str]:
    match query:
        case Term():
            yield from query.words
        case And(parts) | Or(parts):
            for part in parts:
                yield from _positive(part)
        case Not() | Has() | Count():
            pass
        case _:
            assert_never(query)


def _found(term: Term, paper: Paper) -> Iterator[str]:
    """Yield the names of the fields that hold the term's words."""
    needle = _needle(term)
    fields = ("title", "abstract", "keyword") if term.field == "" else (term.field,)
    for field in fields:
        held = getattr(paper.words, f"{field}_stems" if term.mode == "stems" else field)
        if needle in held:
            yield field


@lru_cache(maxsize=4096)
def _needle(term: Term) -> str:
    if term.mode == "stems":
        return row(map(stem, term.words))
    needle = row(term.words)
    return needle[:-1] if term.mode == "prefix" else needle


def _fact(query: Has | Count, paper: Paper) -> str:
    """Return the fact that makes the paper match, in words; nothing where it does not."""
    match query:
        case Has(link):
            linked = getattr(paper, link)
            return f"{link}: {linked if isinstance(linked, str) else linked[0]}" if linked else ""
        case Count(counter, sign, number):
            value = getattr(paper, counter)
            return f"{counter}: {value}" if _COMPARE[sign](value, number) else ""
