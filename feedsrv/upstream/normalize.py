"""Upstream's text made plain: allowed characters, whole lines, paragraphs, symbols for TeX.

Titles and abstracts come as arXiv wrote them: folded into lines of 80 characters, with TeX such as
``$\alpha$-divergence``. What converts safely becomes Unicode, the rest stays as it was.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

from pylatexenc.latex2text import LatexNodes2Text, get_default_latex_context_db

from feedsrv.models import XML_FORBIDDEN

_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*")

# `$…$` as pandoc reads it, so that "from $5 to $10" stays money: no space inside the dollars, no
# digit after them (but where a TeX sign stands inside); or `\(…\)`.
_MATH = re.compile(
    r"(?<![\\$])\$(?!\s)((?=[^$\n]*[\\^_])[^$\n]{1,200}?|[^$\n]{1,200}?(?=\$(?!\d)))(?<![\s\\])\$(?!\$)"
    r"|\\\(([^\n$]{1,200}?)\\\)"
)
_MACRO = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_SCRIPT = re.compile(r"([\^_])(?:\{([^{}]*)\}|([^\s\\{}]))")
_FONT = re.compile(r"\\(?:text|textit|textbf|textsc|textrm|texttt|textsf|emph)\{([^{}\\$]*)\}")
_MATH_FONT = re.compile(
    r"\\(?:(mathbb|mathcal|mathfrak)|mathrm|mathbf|mathit|mathsf|mathtt|operatorname)\{([^{}\\]*)\}"
)
_ACCENT = re.compile(r"""\\(?:["'`^~=.](?:\{[A-Za-z]\}|[A-Za-z])|[uvHck]\{[A-Za-z]\})""")
_ESCAPED_SIGN = re.compile(r"\\([%&#_$])")

_FUNCTIONS = frozenset(
    [
        "log",
        "ln",
        "exp",
        "sin",
        "cos",
        "tan",
        "min",
        "max",
        "sup",
        "inf",
        "arg",
        "det",
        "dim",
        "lim",
    ]
)
_SIGNS = {"%": "%", "&": "&", "#": "#", "sim": "~", ",": " ", ";": " ", ":": " ", " ": " "}
_SUPERSCRIPTS = dict(
    zip("0123456789+-=()aeinoxkTdbmpt", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵉⁱⁿᵒˣᵏᵀᵈᵇᵐᵖᵗ", strict=True)
)
_SUBSCRIPTS = dict(
    zip("0123456789+-=()aeioxjklmnprstuv", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑᵢₒₓⱼₖₗₘₙₚᵣₛₜᵤᵥ", strict=True)
)

_SPECS = get_default_latex_context_db()


def replace_forbidden(text: str) -> str:
    """Return the text with each character that XML forbids replaced by U+FFFD."""
    return XML_FORBIDDEN.sub("\ufffd", text)


def normalize_line(text: str) -> str:
    """Return the text as one clean line: folds and runs of white space become one space."""
    shown = tex_to_unicode(text)
    return shown.strip() if _is_normalized(shown) else " ".join(replace_forbidden(shown).split())


def normalize_paragraphs(text: str) -> str:
    """Return the text as clean paragraphs, each one line, parted by an empty line."""
    shown = tex_to_unicode(text)
    if _is_normalized(shown):
        return shown.strip()
    parts = (" ".join(part.split()) for part in _PARAGRAPH_BREAK.split(replace_forbidden(shown)))
    return "\n\n".join(part for part in parts if part)


def _is_normalized(text: str) -> bool:
    """Tell whether each character is allowed, and white space is single spaces: most texts are."""
    return text.isprintable() and "  " not in text


def normalize_url(text: str) -> str:
    """Return a web address without the white space it came with; nothing where it is none.

    Upstream's addresses hold leading spaces and even line breaks in the middle. Anything but http
    and https is dropped: it would be a way to bring a script into a page.
    """
    address = "".join(replace_forbidden(text).split())
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme in {"http", "https"} and parts.netloc else ""


def tex_to_unicode(text: str) -> str:
    r"""Return the text with its TeX turned into Unicode where that loses nothing.

    ``$\alpha$-divergence`` becomes *α-divergence*, ``$O(n^2)$`` becomes *O(n²)*. A formula with
    anything that one line of characters cannot show (a fraction, a two-letter exponent, an unknown
    macro) is left exactly as it was, dollars included.
    """
    if "$" not in text and "\\" not in text:
        return text
    shown, end = "", 0
    for found in _MATH.finditer(text):
        shown += _convert_prose(text[end : found.start()]) + (
            _convert_formula(found[1] or found[2]) or found[0]
        )
        end = found.end()
    return shown + _convert_prose(text[end:])


def _convert_prose(tex: str) -> str:
    """Return text outside formulas without fonts, with accented letters and escaped signs."""
    tex = _FONT.sub(r"\1", tex)
    tex = _ACCENT.sub(lambda found: _latex_to_text(found[0]), tex)
    return _ESCAPED_SIGN.sub(r"\1", tex)


def _convert_formula(tex: str) -> str:
    """Return the formula as Unicode; nothing where that would lose something."""
    plain = _MACRO.sub(lambda found: _macro_symbol(found[1]) or found[0], tex)
    plain = _MATH_FONT.sub(lambda found: _latex_to_text(found[0]) if found[1] else found[2], plain)
    plain = _SCRIPT.sub(_convert_script, _FONT.sub(r"\1", plain))
    return "" if set(plain) & set("\\^_{}") else plain.strip()


def _convert_script(found: re.Match[str]) -> str:
    """Return a raised or lowered group as the characters that Unicode has for it."""
    table = _SUPERSCRIPTS if found[1] == "^" else _SUBSCRIPTS
    inner = found[2] or found[3] or ""
    return "".join(table[char] for char in inner) if set(inner) <= table.keys() else found[0]


@lru_cache(maxsize=512)
def _macro_symbol(name: str) -> str:
    """Return what stands for a macro without arguments; nothing for any other."""
    if name in _FUNCTIONS:
        return name
    if name in _SIGNS:
        return _SIGNS[name]
    spec = _SPECS.get_macro_spec(name)
    shown = spec.simplify_repl if spec else ""
    is_symbol = isinstance(shown, str) and len(shown) == 1 and not shown.isascii()
    return str(shown) if is_symbol else ""


@lru_cache(maxsize=1024)
def _latex_to_text(tex: str) -> str:
    """Return what pylatexenc makes of one accent or one letter of a mathematical alphabet."""
    return str(LatexNodes2Text(math_mode="text").latex_to_text(tex))
