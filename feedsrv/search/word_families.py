"""Which words are forms of one another."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files

from feedsrv.search.stemmer import stem

#: Prefixes that can be attached to a listed word: *pretrained* is a form of *pretrain* as *trained* is
#: of *train*.
PREFIXES = frozenset(
    "anti auto bi co counter cross de dis down extra hyper il im in inter intra ir macro meta micro "
    "mid mini mis mono multi non omni out over para poly post pre pseudo quasi re self semi sub super "
    "trans tri ultra un under uni up".split()
)
_PREFIX_SIZES = sorted(set(map(len, PREFIXES)))
#: Letters of the shortest word that counts after a prefix.
_MIN_REST = 4


@cache
def _table() -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    bases: dict[str, tuple[str, ...]] = {}
    groups: dict[str, tuple[str, ...]] = {}
    text = files(__package__ or "feedsrv.search").joinpath("word_families.txt").read_text("ascii")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        base, equals, words = line.partition(" = ")
        if equals:
            for word in words.split():
                bases[word] = (*bases.get(word, ()), base)
        else:
            for word in line.split():
                groups[word] = (*groups.get(word, ()), line)
    return bases, groups


@lru_cache(maxsize=65536)
def base_forms(word: str) -> tuple[str, ...]:
    """Return the base forms that a word may be a form of; nearly always one."""
    bases, _ = _table()
    known = bases.get(word)
    if known is not None:
        return known
    stemmed = stem(word)
    known = bases.get(stemmed)
    if known is not None:
        return known
    for prefix, rest in split_prefix(word):
        known = bases.get(rest)
        if known is not None:
            return tuple(prefix + base for base in known)
    return (stemmed,)


@lru_cache(maxsize=4096)
def related_base_forms(word: str) -> frozenset[str]:
    """Return the base forms of all words that are forms of this one."""
    _, groups = _table()
    found = set()
    for base in base_forms(word):
        found.add(base)
        lines = groups.get(base)
        if lines:
            found.update(*(line.split() for line in lines))
            continue
        for prefix, rest in split_prefix(base):
            for line in groups.get(rest, ()):
                found.update(prefix + other for other in line.split())
    return frozenset(found)


def is_form(word: str, other: str) -> bool:
    """Return whether two words are forms of one another."""
    return not related_base_forms(word).isdisjoint(base_forms(other))


def split_prefix(word: str) -> Iterator[tuple[str, str]]:
    """Yield each way to part a word into a prefix and the rest."""
    for size in _PREFIX_SIZES:
        if len(word) - size < _MIN_REST:
            return
        if word[:size] in PREFIXES:
            yield word[:size], word[size:]


def irregular_forms(base: str) -> frozenset[str]:
    """Return the words that the table lists as forms of a base form."""
    return _forms_by_base().get(base, frozenset())


@cache
def _forms_by_base() -> dict[str, frozenset[str]]:
    bases, _ = _table()
    forms: dict[str, set[str]] = {}
    for word, its_bases in bases.items():
        for base in its_bases:
            forms.setdefault(base, set()).add(word)
    return {base: frozenset(words) for base, words in forms.items()}
