"""Which words are forms of one another: *verify*, *verifies*, *verification*, *verifier*.

A word has a base form, the part that its regular forms share; it need not be a word itself. Base
forms can be related. Both are listed in ``word_families.txt``, which
``scripts/build_word_families.py`` writes. The rules of `feedsrv.search.stemmer` give the base forms
of unlisted words.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from feedsrv.search.stemmer import stem

_PREFIX_WORDS = (
    "anti auto bi co counter cross de dis down extra hyper il im in inter intra ir macro meta "
    "micro mid mini mis mono multi non omni out over para poly post pre pseudo quasi re self semi "
    "sub super trans tri ultra un under uni up"
)
#: Prefixes that can be attached to a listed word: *rewritten* is a form of *rewrite* as *written*
#: is of *write*.
_PREFIXES = frozenset(_PREFIX_WORDS.split())
_PREFIX_SIZES = sorted(set(map(len, _PREFIXES)))
#: Minimum number of letters after a prefix.
_MIN_REST = 4


class _Table(NamedTuple):
    #: Form, or stem of forms, to its base forms, where the rules give other ones.
    bases: dict[str, tuple[str, ...]]
    #: Base form to the lines that list it, each with base forms that are related.
    groups: dict[str, tuple[str, ...]]
    #: Base form to the forms, or stems of forms, whose base form it is.
    forms: dict[str, tuple[str, ...]]


@cache
def _table() -> _Table:
    table = _Table({}, {}, {})
    text = files("feedsrv.search").joinpath("word_families.txt").read_text("ascii")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        base, equals, forms = line.partition(" = ")
        if equals:
            table.forms[base] = tuple(forms.split())
            for form in table.forms[base]:
                table.bases[form] = (*table.bases.get(form, ()), base)
        else:
            for base in line.split():
                table.groups[base] = (*table.groups.get(base, ()), line)
    return table


@lru_cache(maxsize=65536)
def base_forms(word: str) -> tuple[str, ...]:
    """Return the base forms that a word may be a form of; nearly always one."""
    return look_up_base_forms(word, _table().bases)


def look_up_base_forms(word: str, listed: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return the base forms of a word, given those of listed forms and stems."""
    stemmed = stem(word)
    if found := listed.get(word) or listed.get(stemmed):
        return tuple(found)
    for prefix, rest in split_prefix(word):
        found = listed.get(rest)
        if not found and len(rest_stem := stem(rest)) >= _MIN_REST:
            found = listed.get(rest_stem)
        if found:
            return tuple(prefix + base for base in found)
    return (stemmed,)


@lru_cache(maxsize=4096)
def related_base_forms(word: str) -> frozenset[str]:
    """Return the base forms of all words that are forms of this one."""
    groups = _table().groups
    found = set(base_forms(word))
    for base in base_forms(word):
        if base in groups:
            found.update(*map(str.split, groups[base]))
            continue
        for prefix, rest in split_prefix(base):
            others = {prefix + other for line in groups.get(rest, ()) for other in line.split()}
            found |= others - groups.keys()
    return frozenset(found)


@lru_cache(maxsize=4096)
def form_prefixes(word: str) -> tuple[str, ...]:
    """Return prefixes of which each form of a word has one; no prefix begins with another one."""
    bases = related_base_forms(word)
    known = bases.union(*map(irregular_forms, bases))
    return tuple(_shortest_prefixes({_stable_prefix(form) for form in known}))


def irregular_forms(base: str) -> frozenset[str]:
    """Return the forms, or stems of forms, that have this base form by the table alone."""
    forms = _table().forms
    found = set(forms.get(base, ()))
    for prefix, rest in split_prefix(base, min_rest=1):
        found.update(prefix + form for form in forms.get(rest, ()))
    return frozenset(found)


def split_prefix(word: str, min_rest: int = _MIN_REST) -> Iterator[tuple[str, str]]:
    """Yield each way to split a word into a prefix and a rest of so many letters at least."""
    for size in _PREFIX_SIZES:
        if len(word) - size < min_rest:
            return
        if word[:size] in _PREFIXES:
            yield word[:size], word[size:]


def _stable_prefix(form: str) -> str:
    """Return the letters that all regular forms of a word share: *ag* of *age* and *aging*.

    Only the last letter of a stem can differ from the word's (`feedsrv.search.stemmer.stem`).
    """
    return form[:-1] if len(form) > 2 else form  # noqa: PLR2004


def _shortest_prefixes(prefixes: set[str]) -> list[str]:
    """Return the prefixes without those that begin with another one."""
    return [
        prefix
        for prefix in prefixes
        if not any(prefix != other and prefix.startswith(other) for other in prefixes)
    ]
