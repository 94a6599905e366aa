"""Text to query: the grammar, and errors that point at the place.

The language is a part of FreshRSS's, which users know: docs/query-language.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

from feedsrv.errors import QueryError
from feedsrv.models import XML_FORBIDDEN
from feedsrv.search.analysis import tokenize
from feedsrv.search.query import (
    MAX_QUERY_LENGTH,
    And,
    Count,
    Counter,
    Field,
    Has,
    Not,
    Or,
    Query,
    Term,
)

MAX_TERMS = 32
MAX_DEPTH = 8

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
    %ignore /\s+/
    """,
    parser="lalr",
    lexer="basic",
    maybe_placeholders=False,
)
_FIELD_PREFIX = re.compile(r"([A-Za-z]+):(.*)", re.DOTALL)
#: A version at the end of an id, which no paper's own id has.
_ID_VERSION = re.compile(r"(?<=\d)(?:v\d+)+$")
_COMPARISON = re.compile(r"(>=|<=|>|<|=)(\d{1,9})")
#: What phones and word processors write in place of plain quotes and hyphens; one character for
#: each, so that positions stay true.
_TYPOGRAPHIC = str.maketrans("“”„‟«»\u2019\u2018\u2013\u2014\u2212", '""""""\'\'---')
_FIELDS = ("title", "abstract", "author", "org", "keyword", "id")
_KNOWN_FIELDS = "title: abstract: author: org: keyword: id: has: upvotes: comments: stars:"


@lru_cache(maxsize=4096)
def parse_query(text: str) -> Query:
    """Return the query that the text means.

    Raises:
        QueryError: It cannot be read, or is over a limit (250 characters, 32 terms, nesting 8).

    """
    if len(text) > MAX_QUERY_LENGTH:
        raise QueryError(
            text, MAX_QUERY_LENGTH, f"a query has at most {MAX_QUERY_LENGTH} characters"
        )
    for found in XML_FORBIDDEN.finditer(text):
        if not found[0].isspace():
            raise QueryError(text, found.start(), "no feed can hold this character")
    plain = text.translate(_TYPOGRAPHIC)
    _check_limits(text, plain)
    try:
        tree = _PARSER.parse(plain)
    except UnexpectedToken as error:
        raise _syntax_error(text, error) from error
    try:
        return _TreeBuilder(text).transform(tree)
    except VisitError as error:
        raise error.orig_exc from error


def _check_limits(text: str, plain: str) -> None:
    """Refuse what only the row of tokens shows: open quotes, too deep, too many terms."""
    depth = terms = 0
    try:
        for token in _PARSER.lex(plain):
            depth += {"LPAR": 1, "RPAR": -1}.get(token.type, 0)
            terms += token.type in {"WORD", "QUOTED"}
            if depth > MAX_DEPTH:
                raise QueryError(
                    text, _position(token), f"parentheses nest at most {MAX_DEPTH} deep"
                )
            if terms > MAX_TERMS:
                raise QueryError(text, _position(token), f"a query has at most {MAX_TERMS} terms")
    except UnexpectedCharacters as error:
        # Every character begins some token, but for a quotation mark without a second one.
        reason = "this quotation mark is never closed"
        raise QueryError(text, plain.rindex('"'), reason) from error


def _position(token: Token) -> int:
    return token.start_pos or 0


def _syntax_error(text: str, error: UnexpectedToken) -> QueryError:
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
    return QueryError(text, _position(token), reason)


class _TreeBuilder(Transformer[Token, Query]):
    """Turn lark's tree into ours; called from the leaves up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def any(self, parts: list[Query]) -> Query:
        return Or(tuple(_flatten(Or, parts)))

    def all(self, parts: list[Query]) -> Query:
        return And(tuple(_flatten(And, parts)))

    def negated(self, parts: list[Query]) -> Query:
        return Not(parts[0])

    def term(self, tokens: list[Token]) -> Query:
        *fields, token = tokens
        field, body, at = "", str(token), _position(token)
        if fields:
            field = str(fields[0])[:-1].lower()
        elif token.type == "WORD" and (found := _FIELD_PREFIX.fullmatch(body)):
            field, body, at = found[1].lower(), found[2], at + len(found[1]) + 1
        return self._fielded(
            field, body, at, start=_position(tokens[0]), quoted=token.type == "QUOTED"
        )

    def _fielded(self, field: str, body: str, at: int, *, start: int, quoted: bool) -> Query:
        match field:
            case "has":
                return self._has(body, at)
            case "upvotes" | "comments" | "stars":
                return self._count(field, body, at)
            case "" | "title" | "abstract" | "author" | "org" | "keyword" | "id":
                return self._words(field, body, at, quoted=quoted)
            case _:
                reason = f"there is no field {field!r}; known are {_KNOWN_FIELDS} (to look for it, quote it)"
                raise QueryError(self._text, start, reason)

    def _has(self, body: str, at: int) -> Has:
        match body.lower():
            case "code" | "project" | "media" as link:
                return Has(link)
        raise QueryError(self._text, at, "has: takes code, project or media")

    def _count(self, counter: Counter, body: str, at: int) -> Count:
        if found := _COMPARISON.fullmatch(body):
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
        found = tokenize(body)
        if not found:
            raise QueryError(self._text, at, "expected a word: this has no letter or digit")
        if field == "id":
            found[-1] = _ID_VERSION.sub("", found[-1])
        return Term(field, tuple(found), mode)


def _flatten(kind: type[And | Or], parts: list[Query]) -> Iterator[Query]:
    """Yield the parts with those of nested nodes of the same kind in their place."""
    for part in parts:
        if isinstance(part, And | Or) and isinstance(part, kind):
            yield from part.parts
        else:
            yield part
