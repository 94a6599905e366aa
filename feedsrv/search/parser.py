"""Parse query text into a query tree, with errors that give the position.

The language is a subset of FreshRSS's search syntax: docs/query-language.md. Anything
that can be read as words is treated as words: an unknown field becomes a word, and stray
punctuation is ignored, so any paper's title is a valid query.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple, cast

import msgspec
from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

from feedsrv.errors import QueryError
from feedsrv.models import XML_FORBIDDEN, Feed
from feedsrv.search.analysis import tokenize
from feedsrv.search.query import (
    And,
    CountCondition,
    CounterName,
    Field,
    HasArtefact,
    HasLink,
    Like,
    Not,
    Or,
    Query,
    Term,
    TermMode,
    replace_operands,
)


class Limits(NamedTuple):
    """The size that a query may have."""

    #: Characters.
    length: int
    #: Words, quoted words and conditions.
    terms: int


#: For queries in an address, which anybody can send.
URL_LIMITS = Limits(250, 32)
#: For queries in the settings file.
CONFIG_LIMITS = Limits(4_000, 400)
MAX_DEPTH = 8

#: Fields of names and ids, whose words have no forms.
_NAME_FIELDS = frozenset({"author", "org", "id", "by"})
#: A complete id: since 2015, arXiv's have five digits. Those of sample papers have three.
_PAPER_ID = re.compile(
    r"(?:0[7-9]|1[0-4])\d\d\.\d{4}|(?:1[5-9]|[2-9]\d)\d\d\.\d{5}|sample-\d{3}", re.ASCII
)
#: A name as in bibliographies, family name first.
_FAMILY_NAME_FIRST = re.compile(r"([^,]+), *+(?!(?:jr|sr|[iv]+)\b)([^,]+)", re.IGNORECASE)
#: A version at the end of an id, which no paper's own id has.
_ID_VERSION = re.compile(r"(?<=\d)(?:v\d+)+$", re.IGNORECASE)
_COMPARISON = re.compile(r"(>=|<=|>|<|=)(\d{1,9})")
_ASCII_COMPARISON = str.maketrans({"\u2265": ">=", "\u2a7e": ">=", "\u2264": "<=", "\u2a7d": "<="})
#: An arXiv id with punctuation around it, or an address of any site or a DOI that ends with one.
_PAPER_URL = re.compile(
    r"(?:[\[<{]*|\S*?(?:/|\barxiv[:.]|\beprint\W{1,3}))(\d\d(?:0[1-9]|1[0-2])\.\d{4,5})"
    r"(?:v\d+)?(?:\.pdf)?(?:[/?#]\S*|[\]>},;.]*)",
    re.IGNORECASE | re.ASCII,
)
#: White space and semicolons after the ids of ``like:`` that are not the last.
_ID_SEPARATORS = re.compile(r"\s*[,;][\s,;]*")
_LIKE_IDS = re.compile(
    r"\blike:\s*[^\s,;()|]+(?:\s*[,;]\s*[^\s,;()|]*\d{4}\.\d{4,5}[^\s,;()|]*)+", re.IGNORECASE
)
#: Typographic and full-width punctuation, mapped to ASCII one to one so that positions do not
#: shift. An em dash becomes a space, not a NOT. A minus sign (U+2212) before a number is no NOT
#: either, so it is not listed.
_ASCII_PUNCTUATION = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | str.maketrans(
    "\u3000\u2014“”„‟«»「」『』〝〞❝❞\u2019\u2018\u2013\u2010\u2011", '  """"""""""""""\'\'---'
)
#: A quotation with TeX's marks, or with one of them: ``moon'' or "moon''.
_TEX_QUOTATION = re.compile(r"""("[^"]*")|(``|")([^"]*?)''""")
_TERM_TOKENS = {"WORD", "QUOTED", "VERBATIM"}


class _SkipPunctuation:
    """Drop words without a letter or digit, unless a field or a NOT needs one there."""

    always_accept = ()

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        expects_word = False
        for token in stream:
            if expects_word or token.type != "WORD" or tokenize(str(token)):
                yield token
            expects_word = token.type in {"FIELD", "_NOT"}


_PARSER = Lark(
    files("feedsrv.search").joinpath("query.lark").read_text("ascii"),
    parser="lalr",
    lexer="basic",
    maybe_placeholders=False,
    postlex=_SkipPunctuation(),
)


def parse_query(text: str, limits: Limits = CONFIG_LIMITS) -> Query:
    """Return the query tree of a text of limited size; parentheses nest at most 8 deep in any case.

    Raises:
        QueryError: It cannot be parsed, or is over a limit.
    """
    if len(text) > limits.length:
        reason = f"a query has at most {limits.length} characters"
        raise QueryError(text, limits.length, reason)
    query, term_positions = _parse(text)
    if len(term_positions) > limits.terms:
        reason = f"a query has at most {limits.terms} terms"
        raise QueryError(text, term_positions[limits.terms], reason)
    return query


@lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[Query, tuple[int, ...]]:
    """Return the query tree of a text, and the positions of its terms."""
    for found in XML_FORBIDDEN.finditer(text):
        if not found[0].isspace():
            raise QueryError(text, found.start(), "this character is not allowed")
    plain = normalize_punctuation(text)
    # Not `Lark.lex` and `Lark.parse`, which read the text twice, and build a lexer for that.
    parser = _PARSER.parse_interactive(plain)
    lexed = parser.lexer_thread.lex(parser.parser_state)  # type: ignore[no-untyped-call]
    tokens = _read_tokens(text, plain, lexed)
    try:
        for token in tokens:
            parser.feed_token(token)
        tree = parser.feed_eof(tokens[-1] if tokens else None)  # type: ignore[no-untyped-call]
        term_positions = tuple(_position(token) for token in tokens if token.type in _TERM_TOKENS)
        return _set_neighbours(_TreeBuilder(text).transform(tree)), term_positions
    except UnexpectedToken as error:
        raise _syntax_error(text, error) from error
    except VisitError as error:
        raise error.orig_exc from error


def parse_feed_query(feed: Feed) -> Query | None:
    """Return the query of a feed, with the papers of its library; None for all papers.

    Raises:
        QueryError: It cannot be parsed.
    """
    query = parse_query(feed.query) if feed.query else None
    if not feed.library:
        return query
    library = Like(feed.library, library=feed.name)
    return library if query is None else And((query, library))


def parse_feed_queries(feed: Feed) -> tuple[Query, ...]:
    """Return all queries that the papers of a feed must match.

    Raises:
        QueryError: One cannot be parsed.
    """
    narrowing = parse_query(feed.narrowed_by) if feed.narrowed_by else None
    return tuple(each for each in (parse_feed_query(feed), narrowing) if each is not None)


def normalize_punctuation(text: str) -> str:
    """Return the text, as long as before, with ASCII marks for typographic and TeX ones."""
    plain = _TEX_QUOTATION.sub(_replace_tex_marks, text.translate(_ASCII_PUNCTUATION))
    return _LIKE_IDS.sub(_join_ids, plain)


def _join_ids(found: re.Match[str]) -> str:
    """Return ids after each other as one word, with commas in place of all that separates them."""
    return _ID_SEPARATORS.sub(lambda separator: "," * len(separator[0]), found[0])


def _replace_tex_marks(found: re.Match[str]) -> str:
    plain, opening, quoted = found.groups()
    return plain or f'{opening[:-1] and " "}"{quoted}" '


def _read_tokens(text: str, plain: str, tokens: Iterable[Token]) -> list[Token]:
    """Return the tokens; refuse unclosed quotes and deep nesting."""
    depth, found = 0, []
    try:
        for token in tokens:
            depth += {"LPAR": 1, "RPAR": -1}.get(token.type, 0)
            if depth > MAX_DEPTH:
                reason = f"parentheses nest at most {MAX_DEPTH} deep"
                raise QueryError(text, _position(token), reason)
            found.append(token)
    except UnexpectedCharacters as error:
        # Every character starts some token, except a quotation mark without a second one.
        raise QueryError(text, plain.rindex('"'), "unclosed quotation mark") from error
    return found


def _position(token: Token) -> int:
    return token.start_pos or 0


def _syntax_error(text: str, error: UnexpectedToken) -> QueryError:
    token = error.token
    end = len(text.rstrip())
    expects_word = "WORD" in error.expected and text[:end].endswith(("(", "|", "-"))
    match token.type:
        case "$END" if "RPAR" in error.expected and not expects_word:
            return QueryError(text, end, "unclosed parenthesis")
        case "$END":
            return QueryError(text, end, "expected a word or quoted words here")
        case "RPAR" if "RPAR" not in error.expected and "WORD" not in error.expected:
            reason = "unmatched closing parenthesis"
        case "RPAR":
            reason = "expected a word or quoted words before this parenthesis"
        case "LPAR":
            reason = "a field takes one word or quoted words, not parentheses"
        case _:
            reason = (
                f"expected a word or quoted words, not {str(token)!r}; quote it to search for it"
            )
    return QueryError(text, _position(token), reason)


class _TreeBuilder(Transformer[Token, Query]):
    """Turns lark's tree into a query tree, from the leaves up."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def any(self, parts: list[Query]) -> Query:
        return Or(tuple(_flatten(Or, parts)))

    def all(self, parts: list[Query]) -> Query:
        return _join_likes(tuple(_flatten(And, parts)))

    def negated(self, parts: list[Query]) -> Query:
        return Not(parts[0])

    def term(self, tokens: list[Token]) -> Query:
        *fields, token = tokens
        field = str(fields[0])[:-1].lower() if fields else ""
        body, position = str(token), _position(token)
        match field:
            case "has":
                return self._build_has(body, position)
            case "upvotes" | "comments" | "stars":
                return self._build_count(field, body, position)
            case "like":
                return self._build_like(body, position)
            case _:
                return self._build_term(cast("Field", field), token)

    def _build_has(self, body: str, position: int) -> HasLink | HasArtefact:
        match body.lower():
            case "code" | "project" | "media" as link:
                return HasLink(link)
            case "model" | "dataset" | "space" as kind:
                return HasArtefact(kind)
        reason = "has: takes code, project, media, model, dataset or space"
        raise QueryError(self._text, position, reason)

    def _build_count(self, counter: CounterName, body: str, position: int) -> CountCondition:
        if found := _COMPARISON.fullmatch(body.translate(_ASCII_COMPARISON)):
            return CountCondition(counter, found[1], int(found[2]))
        reason = f"expected one of >= > <= < = and a number, as in {counter}:>=20"
        raise QueryError(self._text, position, reason)

    def _build_like(self, body: str, position: int) -> Like:
        ids = [parse_paper_id(text) for text in re.split(r"[,;\s]+", body.strip('=",;'))]
        if not all(ids):
            reason = "like: takes ids of papers, such as like:2510.12345,2509.01234"
            raise QueryError(self._text, position, reason)
        return Like(tuple(dict.fromkeys(ids)))

    def _build_term(self, field: Field, token: Token) -> Term:
        body, position = str(token), _position(token)
        is_word = token.type == "WORD"
        text = body if is_word else " ".join(body.removeprefix("=").strip('"').split())
        if token.type == "VERBATIM":
            return self._create_term(field, text, "verbatim", position)
        if field in {"", "id"} and (paper_url := _PAPER_URL.fullmatch(text)):
            return Term("id", paper_url[1], "exact")
        if is_word:
            return self._build_word(field, text, position)
        return self._create_term(field, text, "phrase", position)

    def _build_word(self, field: Field, body: str, position: int) -> Term:
        if body[0] == "!" and len(body) > 1 and tokenize(body):
            reason = "to exclude a word, write -word"
            raise QueryError(self._text, position, reason)
        if body[0] == "-" and body[1:2] != "-":  # not a NOT where it stands, but one when formatted
            body = body[1:]
        is_prefix = body.endswith("*")
        text = body.rstrip("*") if is_prefix else body
        return self._create_term(field, text, "prefix" if is_prefix else "forms", position)

    def _create_term(self, field: Field, text: str, mode: TermMode, position: int) -> Term:
        if field in _NAME_FIELDS and mode != "prefix":
            mode = "exact"
        if field == "author" and (names := _FAMILY_NAME_FIRST.fullmatch(text)):
            text = f"{names[2]} {names[1]}"
        if field == "id":
            text = _ID_VERSION.sub("", text)
        term = Term(field, text, mode)
        if not term.words:
            shown = repr(term.text) if term.text else "an empty quotation"
            raise QueryError(self._text, position, f"{shown} is not a word")
        return term


def parse_paper_id(text: str) -> str:
    """Return the id of a paper from its id or address, without a version; empty for no id.

    What somebody who is typing has not finished is no id: upstream would be asked for each part.
    """
    found = _PAPER_URL.fullmatch(text)
    paper_id = found[1] if found else text
    return paper_id if _PAPER_ID.fullmatch(paper_id) else ""


def _join_likes(parts: tuple[Query, ...]) -> Query:
    """Return all parts as one, with what ``-like:`` excludes as a part of ``like:``.

    Then it pushes papers away, and excludes none by itself.
    """
    likes = [part for part in parts if isinstance(part, Like)]
    excluded = [
        part.part for part in parts if isinstance(part, Not) and isinstance(part.part, Like)
    ]
    if len(likes) != 1 or not excluded or any(like.unlike_ids for like in excluded):
        return And(parts)
    unlike_ids = (*likes[0].unlike_ids, *(id_ for like in excluded for id_ in like.ids))
    joined = msgspec.structs.replace(likes[0], unlike_ids=tuple(dict.fromkeys(unlike_ids)))
    rest = tuple(
        joined if part is likes[0] else part
        for part in parts
        if not (isinstance(part, Not) and part.part in excluded)
    )
    return rest[0] if len(rest) == 1 else And(rest)


def _flatten(kind: type[And | Or], parts: list[Query]) -> Iterator[Query]:
    """Yield the parts, with the parts of nested nodes of the same kind in their place."""
    for part in parts:
        if isinstance(part, And | Or) and isinstance(part, kind):
            yield from part.parts
        else:
            yield part


def _set_neighbours(query: Query) -> Query:
    """Return the query with plain words that stand beside each other linked.

    Papers may write two words as one: ``multi modal`` finds *multimodal*.
    """
    query = replace_operands(query, _set_neighbours)
    return And(tuple(_with_neighbours(query.parts))) if isinstance(query, And) else query


def _with_neighbours(parts: tuple[Query, ...]) -> Iterator[Query]:
    for before, part, after in zip((None, *parts), parts, (*parts[1:], None), strict=False):
        if isinstance(part, Term) and part.mode == "forms":
            first, last = _neighbour_words(part, before), _neighbour_words(part, after)
            yield msgspec.structs.replace(part, previous_word=first[-1], next_word=last[0])
        else:
            yield part


def _neighbour_words(term: Term, other: Query | None) -> tuple[str, ...]:
    if isinstance(other, Term) and other.mode == "forms" and other.field == term.field:
        return other.words
    return ("",)
