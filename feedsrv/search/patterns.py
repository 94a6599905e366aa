"""What a term matches in the words of a text, in all spellings.

A pattern is a small automaton over the words of a text. Its nodes are offsets in the term, counted
in letters and digits; each edge is one word of a text. *fine-tuning* matches *fine* followed by
*tuning*, or *finetuning*; *llama3* matches *llama3*, or *llama* followed by *3*. The index
(`feedsrv.search.index`), the evaluator and the highlighter all follow the same edges.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import pairwise, takewhile
from typing import Literal, NamedTuple

from feedsrv.search.analysis import tokenize_with_offsets
from feedsrv.search.word_families import base_forms, form_prefixes, related_base_forms

WordMode = Literal["forms", "exact", "prefix"]

#: Function words are not part of compounds: *over all* is not *overall*, and *for getting* is not
#: *forgetting*. Some can be the last part (*plugin*), some the first.
_FUNCTION_WORDS = (
    "a an and are as at be but can do for from has he i if is it its no not of or that the they "
    "this to was we with you"
)
_NEVER_JOINED = frozenset(_FUNCTION_WORDS.split())
_NOT_FIRST = _NEVER_JOINED | {
    *("by", "her", "his", "how", "in", "my", "our", "she", "so", "than", "their", "then", "there"),
    *("when", "where", "who"),
}
_NOT_LAST = _NEVER_JOINED | {"able", "all", "s"}
#: Last parts of *plugin* and *speedup*. After a short word they are separate words: *MA in*.
_PARTICLES = frozenset({"down", "in", "off", "on", "out", "over", "up"})
_MIN_BEFORE_PARTICLE = 3
#: *AI* is not *a i*, but *kNN* is *k-NN*.
_MIN_JOINED = 3
#: Letters of an abbreviation that may be apart: *i.i.d.* is *iid*. *U.S.* is not *us*.
_MIN_INITIALS, _MAX_INITIALS = 3, 4
#: Letters on each side of a 2 that stands for *to*. *H2O* is not *h to o*.
_MIN_NAME_PART = 2
#: Only at a border of a digit and a letter may more words be one: *H 2 O*.
_MAX_JOINED = 2


class Edge(NamedTuple):
    """One word of a text, which leads from one node of a pattern to another.

    Depending on the mode, the word of the text is any form of the edge's word, the same word, or a
    word that begins with it.
    """

    start: int
    end: int
    word: str
    mode: WordMode

    def spans(self, pattern: "Pattern") -> bool:
        """Return whether the edge alone is a match."""
        return self.start == 0 and self.end == pattern.last


class Pattern:
    """What a term matches: every path of edges from node 0 to the last."""

    def __init__(self, words: Sequence[str], edges: Sequence[Edge], last: int) -> None:
        self.words = tuple(words)
        #: Sorted, so that all edges into a node come before those out of it.
        self.edges = tuple(sorted(edges))
        self.last = last

    def find(self, words: Iterable[str]) -> Iterator[tuple[int, int]]:
        """Yield the (start, end) word positions of each match; the end is exclusive."""
        # The start positions of the partial matches, by the node that they have reached.
        reached: dict[int, set[int]] = {}
        for at, word in enumerate(words):
            edges = self._edges_for(word)
            if not edges:
                if reached:
                    reached = {}
                continue
            arrived: dict[int, set[int]] = {}
            for edge in edges:
                begins = {at} if edge.start == 0 else reached.get(edge.start)
                if begins:
                    arrived.setdefault(edge.end, set()).update(begins)
            if self.last in arrived:
                for begin in sorted(arrived[self.last]):
                    yield begin, at + 1
            reached = arrived

    def matches(self, text: str) -> bool:
        """Return whether the pattern matches anywhere in a text, given as words and spaces."""
        padded = f" {text} "
        # Most texts are decided by these searches, which take a hundredth of the time.
        if f" {' '.join(self.words)} " in padded:
            return True
        if not any(prefix in padded for prefix in self._match_prefixes):
            return False
        return next(self.find(text.split()), None) is not None

    @cached_property
    def _match_prefixes(self) -> tuple[str, ...]:
        """Strings of which one precedes or begins each match in a text between spaces."""
        prefixes: set[str] = set()
        for edge in self.edges:
            if edge.start == 0:
                match edge.mode:
                    case "exact":
                        prefixes.add(f" {edge.word} ")
                    case "prefix":
                        prefixes.add(f" {edge.word}")
                    case "forms":
                        prefixes.update(f" {prefix}" for prefix in form_prefixes(edge.word))
        return tuple(prefixes)

    @cached_property
    def _by_word(self) -> dict[str, list[Edge]]:
        by_word: dict[str, list[Edge]] = {}
        for edge in self.edges:
            if edge.mode == "exact":
                by_word.setdefault(edge.word, []).append(edge)
        return by_word

    @cached_property
    def _by_base(self) -> dict[str, list[Edge]]:
        by_base: dict[str, list[Edge]] = {}
        for edge in self.edges:
            if edge.mode == "forms":
                for base in related_base_forms(edge.word):
                    by_base.setdefault(base, []).append(edge)
        return by_base

    @cached_property
    def _by_prefix(self) -> list[Edge]:
        return [edge for edge in self.edges if edge.mode == "prefix"]

    def _edges_for(self, word: str) -> Sequence[Edge]:
        edges: Sequence[Edge] = self._by_word.get(word, ())
        if self._by_base:
            for base in base_forms(word):
                if base in self._by_base:
                    edges = [*edges, *self._by_base[base]]
        if self._by_prefix:
            edges = [*edges, *(edge for edge in self._by_prefix if word.startswith(edge.word))]
        return edges


@lru_cache(maxsize=4096)
def build_pattern(
    words: tuple[str, ...], mode: WordMode = "forms", previous_word: str = "", next_word: str = ""
) -> Pattern:
    """Return the pattern for words that must be adjacent, in this order.

    Args:
        words: The words, as `tokenize` gives them; at least one.
        mode: How the words of a text must agree: in any form, exactly, or exactly with any ending
            of the last word. Exact words match in this spelling only.
        previous_word: The word before them in the query. A text may join it with the first word.
        next_word: The word after them. A text may join it with the last word.
    """
    inner: WordMode = "forms" if mode == "forms" else "exact"
    edges: list[Edge] = []
    start = 0
    for number, word in enumerate(words):
        end = start + len(word)
        word_mode = mode if number + 1 == len(words) else inner
        edges.append(Edge(start, end, word, word_mode))
        if mode != "exact":
            edges += _split_edges(word, start, word_mode)
            for count, joined in _joined_words(words[number:]):
                joined_mode = mode if number + count == len(words) else inner
                edges.append(Edge(start, start + len(joined), joined, joined_mode))
        start = end
    if mode != "exact":
        edges += _edges_of_word_to(words, mode, inner)
    first, last = words[0], words[-1]
    if previous_word and may_join(previous_word, first):
        joined_mode = mode if len(words) == 1 else inner
        edges.append(Edge(0, len(first), previous_word + first, joined_mode))
    if next_word and may_join(last, next_word):
        edges.append(Edge(start - len(last), start, last + next_word, mode))
    return Pattern(words, edges, start)


def find_verbatim(literal: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of the text that are the literal exactly as written, in whole words.

    Differences in white space are ignored. Case matters if the literal has a capital after its
    first letter, or is all capitals.
    """
    wanted = tokenize_with_offsets(literal)
    if not wanted:
        return
    literal = literal[wanted[0].start : wanted[-1].end]
    is_case_sensitive = case_matters(literal)
    tokens = tokenize_with_offsets(text)
    pattern = build_pattern(tuple(token.word for token in wanted), "exact")
    for begin, end in pattern.find([token.word for token in tokens]):
        start, stop = tokens[begin].start, tokens[end - 1].end
        if _normalized(text[start:stop], is_case_sensitive) == _normalized(
            literal, is_case_sensitive
        ):
            yield start, stop


def may_join(first: str, last: str) -> bool:
    """Return whether two adjacent words may also be written as one word."""
    if not (first.isascii() and last.isascii() and first[-1].isalnum() and last[0].isalnum()):
        return False
    if first[-1].isdigit() or last[0].isdigit():
        # *A100* is not *a 100*.
        return first[-1].isdigit() != last[0].isdigit() and "a" not in {first, last}
    if first in _NOT_FIRST or not _NOT_LAST.isdisjoint({last, last.removesuffix("s")}):
        return False  # the plural is a form: *hands* is not *h and*
    if len(first) + len(last) < _MIN_JOINED:
        return False
    return last not in _PARTICLES or len(first) >= _MIN_BEFORE_PARTICLE


def _joined_words(words: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield each word that a text may have for the first words, with the number of words."""
    initials = "".join(takewhile(_is_letter, words))
    if _MIN_INITIALS <= len(initials) <= _MAX_INITIALS:
        yield len(initials), initials
    joined = words[0]
    for count, (word, following) in enumerate(pairwise(words), 2):
        at_digit = word[-1].isdigit() or following[0].isdigit()
        if not may_join(word, following) or (count > _MAX_JOINED and not at_digit):
            return
        joined += following
        yield count, joined
        if not at_digit:
            return


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isascii() and word.isalpha()


@lru_cache(maxsize=4096)
def _split_edges(word: str, start: int, mode: WordMode) -> tuple[Edge, ...]:
    """Return the edges for a word that a text may have in two parts, or in more parts at digits."""
    end = start + len(word)
    edges: list[Edge] = []
    if _MIN_INITIALS <= len(word) <= _MAX_INITIALS and all(map(_is_letter, word)):
        edges += (Edge(at, at + 1, letter, "exact") for at, letter in enumerate(word, start))
    digit_cuts = []
    for cut in range(1, len(word)):
        first, last = word[:cut], word[cut:]
        if not may_join(first, last):
            continue
        edges.append(Edge(start, start + cut, first, "exact"))
        edges.append(Edge(start + cut, end, last, mode))
        if first[-1].isdigit() or last[0].isdigit():
            digit_cuts.append(cut)
    for cut, next_cut in pairwise(digit_cuts):
        edges.append(Edge(start + cut, start + next_cut, word[cut:next_cut], "exact"))
        if (
            word[cut:next_cut] == "2"
            and _is_name_part(word[:cut])
            and _is_name_part(word[next_cut:])
        ):
            edges.append(Edge(start + cut, start + next_cut, "to", "exact"))
    return tuple(edges)


def _edges_of_word_to(words: tuple[str, ...], mode: WordMode, inner: WordMode) -> Iterator[Edge]:
    """Yield the edges for *to* between words, for which names have a 2: *sim2real*."""
    start = 0
    for number, (before, word, after) in enumerate(zip(words, words[1:], words[2:], strict=False)):
        if word == "to" and _is_name_part(before) and _is_name_part(after):
            to, end = start + len(before), start + len(before) + len(word)
            after_mode = mode if number + 3 == len(words) else inner
            yield Edge(to, end, "2", "exact")
            yield Edge(start, end + len(after), f"{before}2{after}", after_mode)
        start += len(before)


def _is_name_part(word: str) -> bool:
    return word.isalpha() and len(word) >= _MIN_NAME_PART


def case_matters(literal: str) -> bool:
    """Return whether a literal has a capital after its first letter, or is all capitals."""
    return literal == literal.upper() or literal[1:] != literal[1:].lower()


def _normalized(text: str, is_case_sensitive: bool) -> str:
    text = " ".join(text.split())
    return text if is_case_sensitive else text.casefold()
