"""Papers that a query just misses, and the word or paper that would bring each of them in."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import msgspec

from feedsrv.models import Paper
from feedsrv.search.index import Index
from feedsrv.search.parser import URL_LIMITS, parse_query
from feedsrv.search.query import (
    ExternalCondition,
    Like,
    Or,
    Query,
    Term,
    iter_likes,
    iter_positive_terms,
    replace_external_conditions,
)
from feedsrv.search.similar import SeedVector, build_seed_vector

_MAX_NEAR_MISSES = 5
#: Papers that are tried, the most similar first, and words of each.
_MAX_TRIED_PAPERS = 12
_MAX_WORDS = 6
#: Papers of the feed that others are compared with: the newest.
_MAX_SEEDS = 50
#: A word that would bring in more papers than this, and than a quarter of the feed, is too common.
_MAX_NEW_PAPERS = 10
_MAX_GROWTH = 0.25
#: Of two words that bring in similar papers, the one that brings in more of them is better.
_RARE_WORD_PENALTY = 2


class NearMiss(msgspec.Struct, frozen=True):
    """A paper that a query just misses."""

    paper: Paper
    #: What would bring it in: a word, words in quotation marks, or ``like:`` with its id.
    addition: str
    #: The query with that.
    query: str
    #: How many papers of the window the addition would bring in; 0 where that is not known.
    count: int


def find_near_misses(
    text: str, tree: Query, found: Sequence[Paper], index: Index
) -> tuple[NearMiss, ...]:
    """Return the papers that are most similar to those of a feed and not among them."""
    likes = tuple(iter_likes(tree))
    if likes and likes[0].seed_vector is not None:
        misses = _similar_papers(tree, likes[0], likes[0].seed_vector, found, index)
    elif found and any(iter_positive_terms(tree)):
        misses = _papers_one_word_away(text, tree, found, index)
    else:
        return ()
    fitting = (miss for miss in misses if len(miss.query) <= URL_LIMITS.length)
    return tuple(islice(fitting, _MAX_NEAR_MISSES))


def _similar_papers(
    tree: Query, like: Like, seed_vector: SeedVector, found: Sequence[Paper], index: Index
) -> Iterator[NearMiss]:
    """Yield the papers right below the cut-off."""
    for paper in _most_similar(seed_vector, found, index):
        if paper.id not in like.members and not like.library:
            query = str(replace_external_conditions(tree, partial(_with_id, like, paper.id)))
            yield NearMiss(paper, f"like:{paper.id}", query, 0)


def _with_id(like: Like, paper_id: str, other: ExternalCondition) -> ExternalCondition:
    """Return the part with one more paper, if it is the one to change; else as it is."""
    ids = (*like.ids, paper_id)
    return msgspec.structs.replace(like, ids=ids) if other is like else other


def _papers_one_word_away(
    text: str, tree: Query, found: Sequence[Paper], index: Index
) -> Iterator[NearMiss]:
    """Yield similar papers that one more word would bring in; of those of one word, the first."""
    seed_vector = build_seed_vector(found[:_MAX_SEEDS])
    ids = {paper.id for paper in found}
    added: set[str] = set()
    for paper in _most_similar(seed_vector, found, index):
        best: tuple[float, str, list[str]] | None = None
        for addition in _candidate_terms(paper, seed_vector):
            new = [each for each in index.search(parse_query(addition)) if each.id not in ids]
            if paper not in new or len(new) > max(_MAX_NEW_PAPERS, len(found) * _MAX_GROWTH):
                continue
            gain = sum(map(seed_vector.similarity, new)) / (len(new) + _RARE_WORD_PENALTY)
            if best is None or gain > best[0]:
                best = gain, addition, [each.id for each in new]
        if best is not None and paper.id not in added:
            added.update(best[2])
            base = text if isinstance(tree, Or | Term) else f"({text})"
            yield NearMiss(paper, best[1], f"{base} OR {best[1]}", len(best[2]))


def _most_similar(seed_vector: SeedVector, found: Sequence[Paper], index: Index) -> Iterator[Paper]:
    ids = {paper.id for paper in found}
    pairs = zip(index.similarities(seed_vector), index.papers, strict=True)
    ranked = sorted(pairs, key=lambda pair: (-pair[0], pair[1].id))
    outside = (paper for similarity, paper in ranked if similarity > 0 and paper.id not in ids)
    return islice(outside, _MAX_TRIED_PAPERS)


def _candidate_terms(paper: Paper, seed_vector: SeedVector) -> Iterator[str]:
    """Yield queries for words of a paper: its keywords, and what it shares with the seed vector."""
    words = (*paper.keywords[:_MAX_WORDS], *seed_vector.shared_words(paper, _MAX_WORDS))
    for word in dict.fromkeys(each.lower().replace('"', " ").strip() for each in words):
        term = Term("", word, "forms" if word.isalnum() else "phrase")
        if term.words:
            yield str(term)
