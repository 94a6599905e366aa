"""The query tree: what a query looks for.

A query is a tree of `And`, `Or` and `Not` over `Term`, `HasLink`, `HasArtefact`, `CountCondition`
and `Like`.
`feedsrv.search.parser` makes one from text; ``str`` writes it so that parsing it again gives the
same tree.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal

import msgspec

from feedsrv.search.analysis import fold, tokenize
from feedsrv.search.artefact_table import NO_ARTEFACTS, ArtefactKind, ArtefactTable
from feedsrv.search.patterns import Pattern, build_pattern, case_matters
from feedsrv.search.similar import SeedVector

Field = Literal["", "title", "abstract", "author", "org", "keyword", "id", "by"]
LinkKind = Literal["code", "project", "media"]
CounterName = Literal["upvotes", "comments", "stars"]
#: forms: a word in any form; phrase: adjacent words in any form; verbatim: exactly as written;
#: prefix: the start of a word; exact: a name or id.
TermMode = Literal["forms", "phrase", "verbatim", "prefix", "exact"]

_MODE_DESCRIPTIONS: dict[TermMode, str] = {
    "forms": "“{}” in any form",
    "phrase": "“{}” side by side, in any form",
    "verbatim": "“{}” exactly as written",
    "prefix": "words starting with “{}”",
    "exact": "“{}”",
}
#: Fields of a term without one.
DEFAULT_FIELDS = ("title", "abstract", "keyword")


class Term(msgspec.Struct, frozen=True):
    """A word, or adjacent words."""

    #: Where to look; empty for title, abstract and keywords.
    field: Field
    #: As typed, without field, quotes and asterisk.
    text: str
    mode: TermMode
    #: The plain words before and after it in the query. Papers may join them with this one.
    previous_word: str = ""
    next_word: str = ""

    def __str__(self) -> str:
        lead = f"{self.field}:" if self.field else ""
        match self.mode:
            case "phrase":
                return f'{lead}"{self.text}"'
            case "verbatim":
                return f'{lead}="{self.text}"'
            case "prefix":
                return f"{lead}{self.text}*"
            case "exact" if re.search(r'[\s()"|*]', self.text):
                return f'{lead}"{self.text}"'
            case _:
                return f"{lead}{self.text}"

    @property
    def words(self) -> tuple[str, ...]:
        """The folded words of the text."""
        if self.field in {"author", "by"} and self.text.startswith("@"):
            return (fold(self.text),)  # a handle, see `feedsrv.search.analysis.analyze`
        # The parts of an id: `id:2510` finds the papers of a month.
        return _words(self.text.replace(".", " ") if self.field == "id" else self.text)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields to look in."""
        return (self.field,) if self.field else DEFAULT_FIELDS

    @property
    def pattern(self) -> Pattern:
        """What the term matches in a paper's words."""
        match self.mode:
            case "forms" | "phrase":
                return build_pattern(self.words, "forms", self.previous_word, self.next_word)
            case "prefix":
                return build_pattern(self.words, "prefix")
            case _:
                return build_pattern(self.words, "exact")

    @property
    def has_forms(self) -> bool:
        """Whether it finds other words than its own."""
        return self.mode not in {"verbatim", "exact"}

    def describe(self) -> str:
        """Return what the term looks for, as a phrase."""
        where = self.field or "title, abstract or keywords"
        return f"{_MODE_DESCRIPTIONS[self.mode].format(self.text)}, in {where}"


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(tokenize(text))


class HasLink(msgspec.Struct, frozen=True):
    """The paper links code, a project page or media."""

    link: LinkKind

    def __str__(self) -> str:
        return f"has:{self.link}"

    def describe(self) -> str:
        return f"links {self.link}"


class HasArtefact(msgspec.Struct, frozen=True):
    """A model, dataset or Space at Hugging Face cites the paper.

    No listing says so, and it changes while listings stay. Without a table it matches no paper.
    """

    kind: ArtefactKind
    #: What cites which papers.
    table: ArtefactTable = NO_ARTEFACTS

    def __str__(self) -> str:
        return f"has:{self.kind}"

    @property
    def members(self) -> frozenset[str]:
        """The ids of the papers that it matches."""
        return self.table.paper_ids[self.kind]

    def describe(self) -> str:
        return f"cited by a {'Space' if self.kind == 'space' else self.kind} at Hugging Face"


class CountCondition(msgspec.Struct, frozen=True):
    """A counter, as last fetched, compared with a number."""

    counter: CounterName
    operator: str
    value: int

    def __str__(self) -> str:
        return f"{self.counter}:{self.operator}{self.value}"

    def describe(self) -> str:
        return f"{self.counter} {self.operator} {self.value}"


class Like(msgspec.Struct, frozen=True):
    """The paper is similar to others.

    Which papers are is decided elsewhere, once for each paper, because it depends on when a feed
    was first served. Without that decision it matches none.
    """

    #: Of the papers to be similar to, and to be different from.
    ids: tuple[str, ...]
    unlike_ids: tuple[str, ...] = ()
    #: The name of the feed, where the ids come from its ``like_file``.
    library: str = ""
    #: The ids of the papers that are similar.
    members: frozenset[str] = frozenset()
    #: What papers are compared with; None where it is unknown.
    seed_vector: SeedVector | None = None

    def __str__(self) -> str:
        unlike = f" -like:{','.join(self.unlike_ids)}" if self.unlike_ids else ""
        return f"like:{','.join(self.ids)}{unlike}"

    @property
    def name(self) -> str:
        """The name of what it looks for: it changes neither with the order nor with a library."""
        if self.library:
            return f"like:={self.library}"
        return str(Like(tuple(sorted(set(self.ids))), tuple(sorted(set(self.unlike_ids)))))

    def describe(self) -> str:
        if self.library:
            return f"similar to the {len(self.ids)} papers of the library"
        unlike = f", unlike {', '.join(self.unlike_ids)}" if self.unlike_ids else ""
        return f"similar to {', '.join(self.ids)}{unlike}"


class Not(msgspec.Struct, frozen=True):
    """The opposite of a query."""

    part: "Query"

    def __str__(self) -> str:
        is_group = isinstance(self.part, And | Or | Not)
        if is_group or (isinstance(self.part, Like) and self.part.unlike_ids):
            return f"-({self.part})"
        text = str(self.part)
        return f"NOT {text}" if text.startswith("-") else f"-{text}"


class And(msgspec.Struct, frozen=True):
    """Every part."""

    parts: "tuple[Query, ...]"

    def __str__(self) -> str:
        return " ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


class Or(msgspec.Struct, frozen=True):
    """At least one part."""

    parts: "tuple[Query, ...]"

    def __str__(self) -> str:
        return " OR ".join(
            f"({part})" if isinstance(part, Or) else str(part) for part in self.parts
        )


#: Conditions that are decided by more than a paper and the query; without that they match none.
ExternalCondition = HasArtefact | Like
Leaf = Term | HasLink | CountCondition | ExternalCondition
Query = And | Or | Not | Leaf


def canonical_text(query: Query) -> str:
    """Return one text for all queries that differ only in spelling, order and repetition.

    Feed ids are made of it, so it must not change between versions.
    """
    match query:
        case And(parts) | Or(parts):
            texts = sorted({canonical_text(part) for part in parts})
            if len(texts) == 1:
                return texts[0]
            return (" " if isinstance(query, And) else " OR ").join(f"({text})" for text in texts)
        case Not(part):
            return f"-({canonical_text(part)})"
        case Term(field, _, mode):
            return _canonical_term(query, f"{field}:" if field else "", mode)
        case Like():
            return query.name
        case _:
            return str(query)


def _canonical_term(term: Term, lead: str, mode: TermMode) -> str:
    if term.field == "id":
        return f"id:{'.'.join(term.words)}{'*' if mode == 'prefix' else ''}"
    match mode:
        case "verbatim":
            text = term.text if case_matters(term.text) else term.text.lower()
            return f'{lead}="{text}"'
        case "phrase" | "exact":
            return f'{lead}"{" ".join(term.words)}"'
        case "prefix":
            return f"{lead}{'-'.join(term.words)}*"
        case "forms":
            return f"{lead}{'-'.join(term.words)}"


def iter_positive_terms(query: Query) -> Iterator[Term]:
    """Yield the terms that a paper may match by: all but the excluded ones."""
    match query:
        case Term():
            yield query
        case And(parts) | Or(parts):
            for part in parts:
                yield from iter_positive_terms(part)


def iter_leaves(query: Query) -> Iterator[Leaf]:
    """Yield the terms and conditions of the query, excluded ones too."""
    match query:
        case And(parts) | Or(parts):
            for part in parts:
                yield from iter_leaves(part)
        case Not(part):
            yield from iter_leaves(part)
        case _:
            yield query


def iter_likes(query: Query) -> Iterator[Like]:
    """Yield the parts that compare papers with others, excluded ones too."""
    return (leaf for leaf in iter_leaves(query) if isinstance(leaf, Like))


def has_artefact_condition(query: Query) -> bool:
    """Return whether a part of the query looks for artefacts that cite papers."""
    return any(isinstance(leaf, HasArtefact) for leaf in iter_leaves(query))


def has_changing_condition(query: Query) -> bool:
    """Return whether a paper can begin to match long after it was listed: counters, artefacts."""
    return any(isinstance(leaf, CountCondition | HasArtefact) for leaf in iter_leaves(query))


def replace_operands(query: Query, change: Callable[[Query], Query]) -> Query:
    """Return the query with each part changed; a term or condition as it is."""
    match query:
        case And(parts):
            return And(tuple(map(change, parts)))
        case Or(parts):
            return Or(tuple(map(change, parts)))
        case Not(part):
            return Not(change(part))
        case _:
            return query


def replace_external_conditions(
    query: Query, change: Callable[[ExternalCondition], Query]
) -> Query:
    """Return the query with each part replaced that is decided by more than a paper."""
    if isinstance(query, HasArtefact | Like):
        return change(query)
    return replace_operands(query, lambda part: replace_external_conditions(part, change))


def ignore_artefacts(query: Query, *, is_negated: bool = False) -> Query:
    """Return the query of all papers that match with some artefacts, whatever cites them now."""
    if isinstance(query, HasArtefact):
        return Or(()) if is_negated else And(())  # matches none, or all
    if isinstance(query, Not):
        is_negated = not is_negated
    return replace_operands(query, lambda part: ignore_artefacts(part, is_negated=is_negated))
