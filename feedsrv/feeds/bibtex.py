"""BibTeX, for reference managers.

The key of an entry is its arXiv id: it never changes, as one made of author and title would with a
correction. Special characters are TeX; letters that TeX has no command for stay as they are, in
UTF-8.
"""

import re
from calendar import month_abbr
from collections.abc import Iterator, Sequence
from functools import lru_cache

from pylatexenc.latexencode import UnicodeToLatexEncoder

from feedsrv.feeds.entry import Entry
from feedsrv.feeds.metadata import FeedMetadata

_ARXIV_URL = re.compile(r"https://arxiv\.org/abs/((\d\d)(\d\d)\.\d{4,5})", re.ASCII)
#: BibTeX counts braces, escaped ones too, so no text may have a brace alone.
_SPECIAL_CHARACTERS = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\textbraceleft{}",
        "}": r"\textbraceright{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        **{character: f"\\{character}" for character in "$&%#_"},
    }
)
#: A formula between dollars, in contrast to prices. One level of braces, all closed.
_FORMULA = re.compile(r"(\$(?=\S)(?=[^$]*[\\^_=])(?:[^${}]|\{[^${}]*\})+\$)")
#: In a list of names, these would begin another name or be part of the syntax.
_NAME_SYNTAX = re.compile(r"\band\b|,", re.IGNORECASE)
_ENCODER = UnicodeToLatexEncoder(
    non_ascii_only=True,
    replacement_latex_protection="braces-all",
    unknown_char_policy="keep",
    unknown_char_warning=False,
)


def render_bibtex(_: FeedMetadata, entries: Sequence[Entry]) -> bytes:
    """Return a BibTeX file in UTF-8. The same entries give the same bytes."""
    header = "% Papers from Hugging Face Daily Papers\n"
    return "\n".join((header, *map(_format_entry, entries))).encode()


@lru_cache(maxsize=2048)
def _format_entry(entry: Entry) -> str:
    arxiv = _ARXIV_URL.fullmatch(entry.id)
    key = f"arXiv-{arxiv[1]}" if arxiv else entry.id.rpartition("/")[2]
    fields = "".join(f"  {name} = {value},\n" for name, value in _fields(entry, arxiv))
    return f"@misc{{{key},\n{fields}}}\n"


def _fields(entry: Entry, arxiv: re.Match[str] | None) -> Iterator[tuple[str, str]]:
    if entry.authors:
        yield "author", f"{{{' and '.join(map(_name_to_tex, entry.authors))}}}"
    # In two pairs of braces, because styles change the case of what is in one.
    yield "title", f"{{{{{_to_tex(entry.title)}}}}}"
    if arxiv:
        yield "year", f"{{20{arxiv[2]}}}"
        yield "month", month_abbr[int(arxiv[3]) % 13 or 1].lower()
        yield "eprint", f"{{{arxiv[1]}}}"
        yield "archivePrefix", "{arXiv}"
        yield "doi", f"{{{entry.doi}}}"
    else:
        yield "year", f"{{{entry.published.year}}}"
    yield "url", f"{{{entry.id}}}"
    if entry.keywords:
        yield "keywords", f"{{{_to_tex(', '.join(entry.keywords))}}}"
    if entry.summary:
        yield "abstract", f"{{{_to_tex(entry.summary)}}}"


def _name_to_tex(name: str) -> str:
    text = _to_tex(name)
    return f"{{{text}}}" if _NAME_SYNTAX.search(name) else text


def _to_tex(text: str) -> str:
    """Return the text as TeX, on one line; formulas stay as they are."""
    parts = _FORMULA.split(" ".join(text.split()))
    return "".join(
        part if number % 2 else _ENCODER.unicode_to_latex(part.translate(_SPECIAL_CHARACTERS))
        for number, part in enumerate(parts)
    )
