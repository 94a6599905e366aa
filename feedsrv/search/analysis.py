r"""Split text into tokens: folded words in order, with their positions in the text.

A word is a run of letters and digits. Everything else separates words: white space, hyphens,
slashes, underscores, TeX's braces and dollars. Some characters are part of the word around them: a
dot between digits (*2.5*), an apostrophe between letters (*O'Reilly*), the signs of *C++* and *C#*.
A possessive *'s* is not part of any word. An emoji is a word.

Folding removes case, accents and typographic variants, and writes Greek letters, superscripts and
subscripts in plain letters and digits: *π₀*, *pi0* and ``$\pi_0$`` read alike.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from feedsrv.models import Paper, PaperTokens

#: Between two authors or two keywords, so that no phrase reaches from one into the next.
FIELD_BOUNDARY = "/"


class Token(NamedTuple):
    """A word of a text, with its start and end offset."""

    word: str
    start: int
    end: int


#: Letters and digits, and dots between digits.
_RUN = r"[^\W_](?:[^\W_]|(?<=[0-9])\.(?=[0-9]))*"
_WORD = re.compile(
    rf"{_RUN}(?:'(?!s(?![^\W_])){_RUN})*(?:\+\+|\#(?![^\W_]))?"
    r"|[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
)
#: A possessive 's, which `_WORD` does not match.
_POSSESSIVE = re.compile(r"(?<=[^\W_])'s(?![^\W_])")
_ASCII_WORDS = re.compile("[A-Za-z0-9 ]*+")
#: ASCII characters that are part of some words.
_SIGNS = "'.+#"
#: Runs of non-ASCII characters. ASCII text, which is most of an abstract, needs only case folding.
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
#: ASCII characters that are never part of a word, mapped to a space.
_SEPARATORS = {
    code: " " for code in range(128) if not chr(code).isalnum() and chr(code) not in _SIGNS
}
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma "
    "tau upsilon phi chi psi omega"
)
_GREEK = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", _GREEK_NAMES.split(), strict=True))
#: Characters that NFKD does not decompose, the multiplication sign, which is also written as x, and
#: the soft hyphen, which is removed.
_VARIANTS = str.maketrans(
    _GREEK | dict(zip("łøđ\u00d7\u2019\u02bc", "lodx''", strict=True)) | {"\u00ad": ""}
)
#: TeX macros that only change the appearance, \ell, and the \var prefix. They are not words.
_TEX_FORMATTING = re.compile(
    r"\\(?:(?:math|text)[a-z]*|operatorname|emph|left|right|mbox|bar|hat|tilde|vec|frac|sqrt"
    r"|var(?=[a-z])|(?=ell(?![a-z])))"
)


def fold(text: str) -> str:
    """Return the text without case, accents and typographic variants."""
    if text.isascii():
        return text.casefold()
    return _NON_ASCII.sub(lambda run: _fold_beyond_ascii(run[0]), text).casefold()


@lru_cache(maxsize=4096)
def _fold_beyond_ascii(run: str) -> str:
    apart = unicodedata.normalize("NFKD", run)
    bare = "".join(char for char in apart if not unicodedata.combining(char))
    return bare.casefold().translate(_VARIANTS)


def tokenize(text: str) -> list[str]:
    """Return the folded words of the text, in order."""
    if _ASCII_WORDS.fullmatch(text):  # as most names and keywords
        return text.lower().split()
    folded = fold(_without_macros(text))
    # A regular expression takes four times as long, and analysis is half of the cost of a new page.
    spaced = f"{folded.translate(_SEPARATORS)} ".replace(". ", " ")
    pieces = spaced.split()
    if spaced.isascii() and not any(map(spaced.__contains__, _SIGNS)):
        return pieces
    are_words = list(map(str.isalnum, pieces))
    for at in range(len(pieces) - 1, -1, -1) if not all(are_words) else ():
        if not are_words[at]:
            pieces[at : at + 1] = _words(pieces[at])
    return pieces


@lru_cache(maxsize=4096)
def _words(piece: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(_POSSESSIVE.sub(" ", piece)))


def tokenize_with_offsets(text: str) -> list[Token]:
    """Return the words of `tokenize`, each with its start and end offset in the text."""
    plain = _without_macros(text)
    if plain.isascii():
        folded = _POSSESSIVE.sub("  ", plain.casefold())
        return [Token(found[0], *found.span()) for found in _WORD.finditer(folded)]
    # Folding is context-free, so each character can be folded on its own.
    parts = [fold(char) for char in plain]
    origin = [at for at, part in enumerate(parts) for _ in part]
    folded = _POSSESSIVE.sub("  ", "".join(parts))
    tokens = []
    for found in _WORD.finditer(folded):
        end = origin[found.end() - 1] + 1
        while end < len(parts) and not parts[end]:
            end += 1  # a combining accent is part of the letter before it
        tokens.append(Token(found[0], origin[found.start()], end))
    return tokens


def _without_macros(text: str) -> str:
    r"""Return the text with TeX's formatting macros blanked out; its length does not change."""
    if "\\" not in text:
        return text
    return _TEX_FORMATTING.sub(_blank, text).replace("\\ell", "   l")


def _blank(found: re.Match[str]) -> str:
    return found[0] if len(found[0]) == 1 else " " * len(found[0])


def analyze(paper: Paper, known: Paper | None = None) -> Paper:
    """Return the paper with the tokens of its fields, which matching reads.

    They are those of the known paper, if that has the same text: finding them takes nearly half of
    the time in which a page is parsed, and most papers of a page were on it before.
    """
    if known is not None and _searched_fields(known) == _searched_fields(paper):
        return msgspec.structs.replace(paper, tokens=known.tokens)
    submitter = [paper.submitter] if paper.submitter else []
    tokens = PaperTokens(
        title=" ".join(tokenize(paper.title)),
        abstract=" ".join(tokenize(paper.abstract)),
        keyword=_tokenize_values(paper.keywords),
        author=_tokenize_values(paper.authors, paper.author_handles),
        org=_tokenize_values(filter(None, [paper.organization, paper.organization_handle])),
        id=" ".join(tokenize(paper.id.replace(".", " "))),
        by=_tokenize_values(submitter, submitter),
    )
    return msgspec.structs.replace(paper, tokens=tokens)


def _searched_fields(paper: Paper) -> tuple[object, ...]:
    return (
        *(paper.id, paper.title, paper.abstract, paper.keywords, paper.authors),
        *(paper.author_handles, paper.organization, paper.organization_handle, paper.submitter),
    )


def _tokenize_values(values: Iterable[str], handles: Iterable[str] = ()) -> str:
    """Return the tokens of several values, with a boundary after each value.

    A handle is one token that begins with @.
    """
    tokens = [token for value in values for token in (*tokenize(value), FIELD_BOUNDARY)]
    return " ".join([*tokens, *(f"@{fold(handle)}" for handle in handles)])
