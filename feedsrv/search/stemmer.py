"""The part of an English word that its regular forms share, by rules alone.

Lighter than Porter's and Snowball's English stemmers: plural, *-ed* and *-ing*, *-ly*, a final *e*,
British *-ise*, and the few derivations that are safe for unlisted words (*tokenizer*, *tokenize*,
*tokenization*; *sparsify*, *sparsification*; *multimodal*, *multimodality*). Words that the rules
get wrong, and relations that no rule covers, are listed in ``word_families.txt``.
"""

import re

#: Longer "words" are data, not English.
_MAX_LENGTH = 40
_SIBILANTS = ("xes", "ches", "shes", "sses", "zzes")
#: Plural of a name with a number: *H100s*. *10s* are seconds.
_PLURAL_AFTER_DIGIT = re.compile("[a-z]+[0-9]+s")
_VOWEL = re.compile("[aeiouy]")
#: The rest of *coding*, *using* and *hoped*: a single consonant after a short vowel would have been
#: doubled, so the word ended in *e*.
_SHORT = re.compile("[^aeiou]?[aeiouy][^aeiouwxy]")
#: *-ize* and its derivations; *-ise* is the British spelling of all of them.
_IZE = re.compile(r"(?<=[a-z]{2}i)[sz](?:e|er|able|ability|ation)$")
_IFY = re.compile(r"(?<=[a-z]{2}if)(?:y|ier|iable|iability|ication)$")
_ADVERB = re.compile(r"(?<=[a-z]{2}ic)ally$|(?<=[a-z]{3})ly$")
_QUALITY = re.compile(r"(?:(?<=[a-z]{2}(?:al|ar|iv|ic))ity|(?<=ful|ess|ous|ive)ness)$")
_ABILITY = re.compile(r"(?<=[a-z]{3}[ai])bility$")


def stem(word: str) -> str:
    """Return the part that regular forms of a word share: *train* of *trains* and *training*."""
    if not (word.isascii() and word.isalpha() and 2 < len(word) <= _MAX_LENGTH):
        return word[:-1] if _PLURAL_AFTER_DIGIT.fullmatch(word) else word
    return _strip_final(_strip_derivation(_strip_verb_ending(_strip_plural(word))))


def strip_inflection(word: str) -> str:
    """Return the word without plural, -ed, -ing and final e. Derivational endings remain."""
    return _strip_final(_strip_verb_ending(_strip_plural(word)))


def _strip_plural(word: str) -> str:
    if word[-1] != "s" or word[-2] == "s":
        return word
    if word[-2] in "iu" and not _is_abbreviation(word[:-1]):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(_SIBILANTS) else word[:-1]


def _is_abbreviation(word: str) -> bool:
    """Return whether a word that ends in *i* or *u* is probably an abbreviation: *gpu*, *roi*."""
    return len(word) <= 3 or not _VOWEL.search(word[:-1])


def _strip_verb_ending(word: str) -> str:
    if word.endswith("ied") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("ed") and not word.endswith("eed"):
        rest = word[:-2]
    elif word.endswith("ing"):
        rest = word[:-3]
    else:
        return word
    if len(rest) < 2 or not _VOWEL.search(rest):
        return word
    if rest.endswith(("is", "iz")) or _SHORT.fullmatch(rest):
        return rest + "e"
    if rest[-1] == rest[-2] and rest[-1] not in "aeiousfz" and (rest[-1] != "l" or len(rest) > 4):
        return rest[:-1]
    return rest


def _strip_derivation(word: str) -> str:
    if len(word) < 4:
        return word
    if word.endswith("ly"):
        word = _strip_adverb(word)
    word = _QUALITY.sub("", word)
    word = _ABILITY.sub("ble", word)
    word = _IZE.sub("z", word)
    return _IFY.sub("", word)


def _strip_adverb(word: str) -> str:
    if word.endswith("bly"):
        return word[:-1] + "e"
    if word.endswith("ily") and len(word) > 4:
        return word[:-3] + "y"
    return _ADVERB.sub("", word)


def _strip_final(word: str) -> str:
    """Return the word as before an ending: without a final *e*, with *y* for *ie*, with one *l*."""
    if len(word) < 5:
        return word
    if word.endswith("ie"):
        return word[:-2] + "y"
    if word[-1] == "e" and word[-2] != "e":
        return word[:-1]
    if word.endswith("ary") and len(word) > 6:
        return word[:-1]
    return word[:-1] if word.endswith("ll") else word
