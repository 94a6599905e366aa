"""How similar papers are: the cosine of TF-IDF vectors of the words of title and abstract.

The document frequencies are a table of the package (``document_frequencies.txt``, written by
``scripts/build_document_frequencies.py``), so the similarity of two papers never depends on which
other papers are stored. A vector has one weight for each word, forms of a word as one.

A word weighs TF times IDF in the seed vector, which papers are compared with, and TF times the root
of IDF in the vector of a paper: with the whole IDF in both, rare words outweigh the topic.
"""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from operator import mul
from typing import NamedTuple

from feedsrv.models import Paper, PaperTokens
from feedsrv.search.word_families import base_forms

#: Raise it with any change of the weights: similarities before and after cannot be compared.
WEIGHTS_VERSION = 2
#: A word of the title counts as often as two of the abstract.
_TITLE_WEIGHT = 2
#: How much the vectors of ``-like:`` count, compared with those of ``like:``.
_UNLIKE_WEIGHT = 0.5
#: Words of the seed vector of one paper, and of several: the lighter words of several papers are
#: those of one of them, and their number makes the ranking worse and slower.
_MAX_WORDS_OF_ONE, _MAX_WORDS_OF_SEVERAL = 100, 60
#: Papers whose vectors stay in memory, of a kilobyte and a half each.
_MAX_CACHED_VECTORS = 4096
#: The share of the papers of the window that are similar enough: about one a day.
_TOP_SHARE = 0.02
#: No paper below this similarity is like another, however few are better.
_MIN_SIMILARITY = 0.02


class Vector(NamedTuple):
    """The words of a paper, each with its weight; the vector has length 1."""

    words: tuple[str, ...]
    weights: "array[float]"

    def weighted_words(self) -> Iterator[tuple[str, float]]:
        """Return the pairs of a word and its weight."""
        return zip(self.words, self.weights, strict=True)


class SeedVector:
    """What papers are compared with: the mean of the vectors of one or more papers.

    Of one paper alone, it is scaled so that the paper has a similarity of 1 to itself.

    Args:
        weights: By word, the greatest first. Negative for words of papers that are to be avoided.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = weights

    def similarity(self, paper: Paper) -> float:
        """Return the cosine of the paper's vector with the seed vector; 1 for the only seed."""
        return sum(
            self.weights[word] * weight
            for word, weight in vectorize(paper.tokens).weighted_words()
            if word in self.weights
        )

    def shared_words(self, paper: Paper, limit: int) -> tuple[str, ...]:
        """Return the words of the paper that contribute most to its similarity."""
        products = {
            word: self.weights.get(word, 0) * weight
            for word, weight in vectorize(paper.tokens).weighted_words()
        }
        best = sorted(filter(products.get, products), key=lambda word: -products[word])[:limit]
        spelled: dict[str, str] = {}
        for word in f"{paper.tokens.title} {paper.tokens.abstract}".split():
            spelled.setdefault(_base_form(word), word)
        return tuple(spelled[word] for word in best if products[word] > 0)


class SimilarityIndex:
    """The vectors of many papers, by word."""

    def __init__(self, papers: Sequence[Paper]) -> None:
        self._size = len(papers)
        self._postings: dict[str, tuple[array[int], array[float]]] = {}
        for number, paper in enumerate(papers):
            for word, weight in vectorize(paper.tokens).weighted_words():
                posting = self._postings.get(word)
                if posting is None:
                    posting = self._postings[word] = array("I"), array("f")
                posting[0].append(number)
                posting[1].append(weight)

    def similarities(self, seed_vector: SeedVector) -> list[float]:
        """Return the similarity of each paper to the seed vector, in the order of the papers."""
        scores = [0.0] * self._size
        for word, factor in seed_vector.weights.items():
            if word in self._postings:
                for number, weight in zip(*self._postings[word], strict=True):
                    scores[number] += factor * weight
        return scores


def build_seed_vector(like: Sequence[Paper], unlike: Sequence[Paper] = ()) -> SeedVector:
    """Return the seed vector of papers that are like some, at least one, and unlike others."""
    weights = _mean_vector(like)
    for word, weight in _mean_vector(unlike).items():
        weights[word] = weights.get(word, 0) - _UNLIKE_WEIGHT * weight
    size = _MAX_WORDS_OF_ONE if len(like) == 1 else _MAX_WORDS_OF_SEVERAL
    heaviest = sorted(weights, key=lambda word: (-abs(weights[word]), word))[:size]
    length = math.hypot(*(weights[word] for word in heaviest)) or 1
    seed_vector = SeedVector({word: weights[word] / length for word in heaviest})
    if len(like) > 1 or unlike:
        return seed_vector
    similarity = seed_vector.similarity(like[0]) or 1
    return SeedVector({word: seed_vector.weights[word] / similarity for word in heaviest})


def _mean_vector(papers: Sequence[Paper]) -> dict[str, float]:
    # What a single paper is about, it repeats. What several are about, they share.
    term_frequency = float if len(papers) == 1 else _sublinear_frequency
    weights: dict[str, float] = {}
    for paper in papers:
        counts = _count_words(paper.tokens)
        vector = _unit_vector(counts, term_frequency, _inverse_document_frequency)
        for word, weight in vector.weighted_words():
            weights[word] = weights.get(word, 0) + weight / len(papers)
    return weights


def similarity_cutoff(similarities: Iterable[float]) -> float:
    """Return the similarity that the most similar papers have at least: 2 % of all, one or more."""
    ranked = sorted(similarities, reverse=True)
    count = math.ceil(len(ranked) * _TOP_SHARE)
    return max(ranked[count - 1] if ranked else 0, _MIN_SIMILARITY)


@lru_cache(maxsize=_MAX_CACHED_VECTORS)
def vectorize(tokens: PaperTokens) -> Vector:
    """Return the vector of a paper."""
    return _unit_vector(_count_words(tokens), _sublinear_frequency, _sqrt_idf)


def _count_words(tokens: PaperTokens) -> dict[str, int]:
    """Return how often each word occurs, forms of a word as one."""
    counts = Counter(tokens.abstract.split())
    for word in tokens.title.split():
        counts[word] += _TITLE_WEIGHT
    frequencies: dict[str, int] = {}
    for base, count in zip(map(_base_form, counts), counts.values(), strict=True):
        frequencies[base] = frequencies.get(base, 0) + count
    frequencies.pop("", None)
    return frequencies


def _unit_vector(
    counts: Mapping[str, int],
    term_frequency: Callable[[int], float],
    inverse_document_frequency: Callable[[str], float],
) -> Vector:
    frequencies = map(term_frequency, counts.values())
    weights = list(map(mul, frequencies, map(inverse_document_frequency, counts)))
    length = math.hypot(*weights) or 1
    return Vector(tuple(counts), array("f", [weight / length for weight in weights]))


@cache
def _sublinear_frequency(count: int) -> float:
    return 1 + math.log(count)


@lru_cache(maxsize=65536)
def _base_form(word: str) -> str:
    """Return the word that all its forms are counted as; empty for a number."""
    return "" if word.replace(".", "").isdigit() else base_forms(word)[0]


@lru_cache(maxsize=65536)
def _inverse_document_frequency(word: str) -> float:
    documents, frequencies = _document_frequencies()
    return math.log((documents + 1) / (frequencies.get(word, 1) + 1))


@lru_cache(maxsize=65536)
def _sqrt_idf(word: str) -> float:
    return math.sqrt(_inverse_document_frequency(word))


@cache
def _document_frequencies() -> tuple[int, dict[str, int]]:
    """Return the number of documents, and in how many of them each word is."""
    text = files("feedsrv.search").joinpath("document_frequencies.txt").read_text("utf-8")
    header, *lines = text.splitlines()  # a comment that ends with the number of documents
    frequencies: dict[str, int] = {}
    for line in lines:
        count, *words = line.split(" ")
        frequencies.update(dict.fromkeys(words, int(count)))
    return int(header.rpartition(" ")[2]), frequencies
