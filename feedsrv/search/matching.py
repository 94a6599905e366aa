"""Whether one paper matches a query, and where."""

import operator
from collections.abc import Callable
from typing import assert_never

import msgspec

from feedsrv.models import Paper, PaperTokens
from feedsrv.search.patterns import find_verbatim
from feedsrv.search.query import (
    And,
    CountCondition,
    HasArtefact,
    HasLink,
    Like,
    Not,
    Or,
    Query,
    Term,
)

#: Words that show why a paper is similar.
_MAX_SHARED_WORDS = 5
#: Fields of a ``keyword:`` term for a paper without keywords: upstream had none for weeks.
KEYWORD_FALLBACK_FIELDS = ("title", "abstract")
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


def matches(query: Query, paper: Paper) -> bool:
    """Return whether the paper matches the query."""
    match query:
        case Term():
            return any(
                term_matches(query, field, paper)
                for field in searched_fields(query, has_keywords=bool(paper.keywords))
            )
        case And(parts):
            return all(matches(part, paper) for part in parts)
        case Or(parts):
            return any(matches(part, paper) for part in parts)
        case Not(part):
            return not matches(part, paper)
        case HasLink() | HasArtefact() | CountCondition() | Like():
            return bool(matched_value(query, paper))
        case _:
            assert_never(query)


def searched_fields(term: Term, *, has_keywords: bool) -> tuple[str, ...]:
    """Return the fields that a term searches, in a paper with or without keywords."""
    is_fallback = term.field == "keyword" and not has_keywords
    return KEYWORD_FALLBACK_FIELDS if is_fallback else term.fields


def term_matches(term: Term, field: str, paper: Paper) -> bool:
    """Return whether the term matches in that field of the paper."""
    if not term.pattern.matches(field_tokens(paper.tokens, field)):
        return False
    return term.mode != "verbatim" or any(find_verbatim(term.text, _field_text(field, paper)))


def field_tokens(tokens: PaperTokens, field: str) -> str:
    """Return the words of a field, separated by spaces."""
    return str(getattr(tokens, field))


def _field_text(field: str, paper: Paper) -> str:
    """Return the text of a field that words can be searched in as they are written."""
    match field:
        case "title":
            return paper.title
        case "abstract":
            return paper.abstract
        case _:
            return "\n".join(paper.keywords)


def match_locations(query: Query, paper: Paper) -> tuple[str, ...]:
    """Return where the paper matched, such as ``title: diffus*`` and ``upvotes: 31``."""
    match query:
        case Term():
            shown = str(msgspec.structs.replace(query, field=""))
            return tuple(
                f"{field}: {shown}"
                for field in searched_fields(query, has_keywords=bool(paper.keywords))
                if term_matches(query, field, paper)
            )
        case And(parts) | Or(parts):
            locations = (place for part in parts for place in match_locations(part, paper))
            return tuple(dict.fromkeys(locations))
        case Not():
            return ()
        case HasLink() | HasArtefact() | CountCondition() | Like():
            return tuple(filter(None, [matched_value(query, paper)]))
        case _:
            assert_never(query)


def matched_value(query: HasLink | HasArtefact | CountCondition | Like, paper: Paper) -> str:
    """Return the value that makes the paper match, such as ``upvotes: 31``; empty for no match."""
    match query:
        case HasLink(link):
            linked = getattr(paper, link)
            return f"{link}: {linked if isinstance(linked, str) else linked[0]}" if linked else ""
        case HasArtefact(kind, table):
            linked = table.get(kind, paper.id)
            others = f" and {linked.count - 1} more" if linked.count > 1 and linked.example else ""
            return f"{kind}: {linked.example or linked.count}{others}" if linked.count else ""
        case CountCondition(counter, sign, number):
            value = getattr(paper, counter)
            return f"{counter}: {value}" if _OPERATORS[sign](value, number) else ""
        case Like(members=members):
            return _similarity(query, paper) if paper.id in members else ""


def _similarity(like: Like, paper: Paper) -> str:
    """Return how similar the paper is, and the words that weigh most."""
    if like.seed_vector is None:
        return "like"
    words = ", ".join(like.seed_vector.shared_words(paper, _MAX_SHARED_WORDS))
    return f"like: {like.seed_vector.similarity(paper):.2f} ({words})"
