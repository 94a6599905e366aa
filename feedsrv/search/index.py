"""Find the papers that match a query without scanning every paper.

A set of papers is an integer with one bit for each, so AND, OR and NOT of queries are operations on
integers. `feedsrv.search.matching.matches` defines what a match is.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from threading import Lock

from feedsrv.models import Paper
from feedsrv.search.abbreviations import collect_long_forms
from feedsrv.search.bitsets import bitset, iter_bits
from feedsrv.search.field_index import FieldIndex
from feedsrv.search.matching import KEYWORD_FALLBACK_FIELDS, matched_value, term_matches
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
from feedsrv.search.similar import SeedVector, SimilarityIndex


class Index:
    """Papers that can be searched; results keep their order. Safe for threads."""

    def __init__(self, papers: Sequence[Paper]) -> None:
        self.papers = tuple(papers)
        self._numbers = {paper.id: number for number, paper in enumerate(self.papers)}
        self.ids = frozenset(self._numbers)
        self._all = (1 << len(self.papers)) - 1
        self._fields: dict[str, FieldIndex] = {}
        self._lock = Lock()

    def get(self, paper_id: str) -> Paper | None:
        """Return the paper of that id."""
        number = self._numbers.get(paper_id)
        return None if number is None else self.papers[number]

    def search(self, query: Query) -> tuple[Paper, ...]:
        """Return the papers that match the query."""
        return tuple(self.papers[number] for number in iter_bits(self._evaluate(query, self._all)))

    def count_near_misses(self, parts: Sequence[Query]) -> list[int]:
        """Return for each part how many papers match all other parts but not this one."""
        results = [self._evaluate(part, self._all) for part in parts]
        matching_all, failing_one = self._all, 0
        for result in results:
            failing_one = failing_one & result | matching_all & ~result
            matching_all &= result
        return [(failing_one & ~result).bit_count() for result in results]

    def matched_forms(self, term: Term) -> dict[str, int]:
        """Return the words, or adjacent words, that a term finds, and how many papers have each.

        The most frequent form comes first.
        """
        papers: dict[str, int] = {}
        for name, among in self._searched_fields(term):
            for form, found in self._field(name).matched_forms(term.pattern):
                papers[form] = papers.get(form, 0) | found & among
        counts = Counter({form: found.bit_count() for form, found in papers.items() if found})
        return dict(counts.most_common())

    def long_forms(self, word: str) -> Counter[str]:
        """Return the long forms of an abbreviation, with how many papers define each."""
        return self._long_forms.get(word, Counter())

    @cached_property
    def _long_forms(self) -> Mapping[str, Counter[str]]:
        return collect_long_forms(paper.abstract for paper in self.papers)

    def similarities(self, seed_vector: SeedVector) -> list[float]:
        """Return the similarity of each paper to the seed vector, in the order of the papers."""
        return self._vectors.similarities(seed_vector)

    @cached_property
    def _vectors(self) -> SimilarityIndex:
        return SimilarityIndex(self.papers)

    def _evaluate(self, query: Query, candidates: int) -> int:
        """Return the subset of the candidates that matches. Fewer candidates mean less work."""
        match query:
            case And(parts):
                for part in parts:
                    candidates = self._evaluate(part, candidates) if candidates else 0
                return candidates
            case Or(parts):
                rest = candidates
                for part in parts:
                    rest &= ~self._evaluate(part, rest)
                return candidates & ~rest
            case Not(part):
                return candidates & ~self._evaluate(part, candidates)
            case HasLink() | CountCondition():
                numbers = (n for n in iter_bits(candidates) if matched_value(query, self.papers[n]))
                return bitset(numbers, len(self.papers))
            case HasArtefact() | Like():
                return candidates & self._papers_with_ids(query.members)
            case Term():
                return self._evaluate_term(query, candidates)

    def _evaluate_term(self, term: Term, candidates: int) -> int:
        rest = candidates
        for name, among in self._searched_fields(term):
            rest &= ~self._papers_with_term(term, name, rest & among)
        return candidates & ~rest

    def _searched_fields(self, term: Term) -> Iterator[tuple[str, int]]:
        """Yield each field that a term searches, and the papers in which it does."""
        for name in term.fields:
            yield name, self._all
        if term.field == "keyword":
            for name in KEYWORD_FALLBACK_FIELDS:
                yield name, self._without_keywords

    @cached_property
    def _without_keywords(self) -> int:
        numbers = (number for number, paper in enumerate(self.papers) if not paper.keywords)
        return bitset(numbers, len(self.papers))

    def _papers_with_ids(self, ids: frozenset[str]) -> int:
        return bitset((self._numbers[each] for each in ids & self.ids), len(self.papers))

    def _papers_with_term(self, term: Term, name: str, among: int) -> int:
        field = self._field(name)
        certain, possible, edges = field.candidates(term.pattern)
        if term.mode == "verbatim":
            numbers = iter_bits((certain | possible) & among)
            found = (n for n in numbers if term_matches(term, name, self.papers[n]))
            return bitset(found, len(self.papers))
        unsure = possible & ~certain & among
        if not unsure:  # as for nearly every single word
            return certain & among
        adjacent = field.filter_adjacent(term.pattern, edges, iter_bits(unsure))
        return certain & among | bitset(adjacent, len(self.papers))

    def _field(self, name: str) -> FieldIndex:
        field = self._fields.get(name)
        if field is None:
            with self._lock:
                field = self._fields.setdefault(name, FieldIndex(self.papers, name))
        return field
