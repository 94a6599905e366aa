"""Words of a text: folded, in a row, and cut to their stems.

A word is a run of letters and digits. Hyphens, slashes and underscores part words (so *world-model*
is *world model*), an apostrophe inside one does not (*O'Reilly*), and the plus signs of *C++* and
the sharp of *C#* belong to it. An emoji is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import msgspec
import snowballstemmer

from feedsrv.models import Paper, PaperTokens

_TOKEN = re.compile(
    r"[^\W_]+(?:'[^\W_]+)*(?:\+\+|\#(?![^\W_]))?"
    r"|[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
)
#: Only case is folded in the rest, which is nearly all of an abstract.
_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
#: ASCII that no word holds, whatever stands beside it.
_SEPARATORS = {
    code: " " for code in range(128) if not chr(code).isalnum() and chr(code) not in "'+#"
}
#: What Unicode does not take apart, and a soft hyphen, which is no part of the word it stands in.
_LETTER_VARIANTS = str.maketrans("łŁøØđĐ\u2019", "lLoOdD'", "\u00ad")
#: Between two authors or two keywords, so that no phrase reaches from one into the next.
FIELD_BOUNDARY = "/"
#: Ends a text among others; no text holds it (`feedsrv.text.FORBIDDEN`).
_TEXT_END = "\x1f"
_SEPARATORS_AND_BOUNDARIES = _SEPARATORS | {ord(_TEXT_END): f" {FIELD_BOUNDARY} "}
#: Longer "words" are data, not English, and are left as they are.
_MAX_STEMMED_LENGTH = 40


def fold(text: str) -> str:
    """Return the text without case, accents and typographic variants."""
    return (text if text.isascii() else _NON_ASCII.sub(_strip_accents, text)).casefold()


def _strip_accents(found: re.Match[str]) -> str:
    apart = unicodedata.normalize("NFKD", found[0])
    bare = "".join(char for char in apart if not unicodedata.combining(char))
    return bare.translate(_LETTER_VARIANTS)


def tokenize(text: str) -> list[str]:
    """Return the folded words of the text, in order."""
    return _split_tokens(fold(text), _SEPARATORS)


def _split_tokens(folded: str, gaps: dict[int, str]) -> list[str]:
    # Half of the time that a page takes goes by here, and expressions are slow.
    pieces = folded.translate(gaps).split()
    if folded.isascii() and "'" not in folded and "+" not in folded and "#" not in folded:
        return pieces
    odd = [at for at, piece in enumerate(pieces) if not piece.isalnum() and piece != FIELD_BOUNDARY]
    for at in reversed(odd):
        pieces[at : at + 1] = _TOKEN.findall(pieces[at])
    return pieces


def tokenize_with_offsets(text: str) -> list[tuple[str, int, int]]:
    """Return the folded words of the text, each with where in the text it begins and ends."""
    if text.isascii():
        return [(word[0], *word.span()) for word in _TOKEN.finditer(text.casefold())]
    # Folding knows no neighbours, so that each character can be folded for itself.
    folded = [_fold_char(char) for char in text]
    origin = [at for at, part in enumerate(folded) for _ in part]
    found = []
    for word in _TOKEN.finditer("".join(folded)):
        end = origin[word.end() - 1] + 1
        while end < len(folded) and not folded[end]:
            end += 1  # an accent of its own belongs to the letter before it
        found.append((word[0], origin[word.start()], end))
    return found


@lru_cache(maxsize=4096)
def _fold_char(char: str) -> str:
    return fold(char)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return the word's English stem: *causal* for *causal*, *causally* and *causality*."""
    return (
        word
        if len(word) > _MAX_STEMMED_LENGTH
        else str(snowballstemmer.stemmer("english").stemWord(word))
    )


def join_tokens(found: Iterable[str]) -> str:
    """Return the words as one string with a space before, between and after them."""
    return f" {' '.join(found)} "


def analyze(paper: Paper) -> Paper:
    """Return the paper with its words prepared, once and for all matching to come."""
    title, abstract, keyword = (
        tokenize(paper.title),
        tokenize(paper.abstract),
        _tokenize_values(paper.keywords),
    )
    rows = PaperTokens(
        title=join_tokens(title),
        title_stems=join_tokens(map(stem, title)),
        abstract=join_tokens(abstract),
        abstract_stems=join_tokens(map(stem, abstract)),
        keyword=join_tokens(keyword),
        keyword_stems=join_tokens(map(stem, keyword)),
        author=join_tokens(_tokenize_values(paper.authors)),
        org=join_tokens(tokenize(paper.organization)),
        id=join_tokens(tokenize(paper.id)),
    )
    return msgspec.structs.replace(paper, tokens=rows)


def _tokenize_values(texts: Iterable[str]) -> list[str]:
    """Return the words of all texts, with a fence behind each text."""
    return _split_tokens(
        fold("".join(f"{text}{_TEXT_END}" for text in texts)), _SEPARATORS_AND_BOUNDARIES
    )
