r"""Normalize text from upstream: characters, white space, paragraphs, URLs, TeX and Markdown.

Titles and abstracts are as arXiv has them: wrapped to lines of 80 characters, and with TeX such as
``$\alpha$-divergence``, often without its dollars: ``10^{19}``, ``8\,GB``. TeX that converts
without loss becomes Unicode; the rest stays as it is.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

from pylatexenc.latex2text import LatexNodes2Text, get_default_latex_context_db
from werkzeug.urls import iri_to_uri

from feedsrv.models import XML_FORBIDDEN

_URL_FOLD = re.compile(r"\s*[\t\n\r]\s*")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", re.ASCII)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# An empty line, or a line that begins with white space: arXiv's mark.
_PARAGRAPH_BREAK = re.compile(r"\n[^\S\n]*\n\s*|\n[^\S\n]+(?=\S)")

# `\(…\)`, or `$…$` by pandoc's rules, so that "from $5 to $10" is not a formula: no space next to
# the dollars inside, and no digit after them (unless there is a TeX character inside).
_MATH = re.compile(
    r"(?<![\\$])\$(?!\s)((?=[^$\n]*[\\^_])[^$\n]{1,200}?|[<>=+\-]{1,2}"
    r"|[^$\n]{1,200}?(?=\$(?!\d)))(?<![\s\\])\$(?!\$)"
    r"|\\\(([^\n$]{1,200}?)\\\)"
)
_MACRO = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_SCRIPT = re.compile(r"([\^_])(?:\{([^{}]*)\}|([^\s\\{}]))")
_FONT = re.compile(
    r"\\(?:text(?:it|bf|sc|rm|tt|sf|sl|up|md|normal)?|emph|mbox|underline|url|it|bf|em|sc|tt|rm|sf)"
    r"\{([^{}\\$]*)\}"
    r"|\{\\(?:it|bf|em|sc|tt|rm|sf|sl|itshape|bfseries)\b\s*([^{}\\$]*)(?:\\/)?\}"
)
_MATH_FONT = re.compile(
    r"\\(?:(mathbb|mathcal|mathfrak)|mathrm|mathbf|mathit|mathsf|mathtt|operatorname)\{([^{}\\]*)\}"
)
_MAX_NESTED_FONTS = 3
_LINK = re.compile(r"\\href\{([^{}\\$]*)\}\{([^{}\\$]*)\}")

# --- of text outside formulas --------------------------------------------------------------------

# Patterns begin with a character and look behind after it, because the regex engine is fast at
# finding characters and slow at looking behind at each place of a text.

#: Texts without any of these have nothing to convert.
_TEX_MARKS = ("\\", "$", "^", "{", "~", "`", "''", "**", "--")
#: Left alone: drives and network shares, whose backslashes are no TeX, and displayed formulas.
_LITERAL = re.compile(r"(?<!\w)(?:[A-Za-z]:\\|\\\\)\S*|\$\$[^$\n]{1,200}\$\$|\\\[[^\n]{1,200}?\\\]")
_LITERAL_MARKS = (":\\", "\\\\", "$$", "\\[")
_ACCENT = re.compile(
    r"""\\(?:["'`^~=.](?:\{\\?[A-Za-z]\}|[A-Za-z])|[bcdHkruv]\{[A-Za-z]\})"""
    r"""|\\(?:ss|ae|AE|oe|OE|aa|AA|o|O|l|L)(?:\{\}|\s+(?=\w)|(?![A-Za-z{]))"""
)
_ESCAPED_CHARACTER = re.compile(r"\\([%&#_${}*+<>/]|\.(?!\w))")
_APOSTROPHE = re.compile(r"\\'(?<=\w\\')(?=(?:s|t|d|m|re|ve|ll)?(?![\w{]))")
_ESCAPED_QUOTATION = re.compile(r"""\\(?<!\w\\)(["'])([^\\\n"]{1,200})\\\1(?![\w{])""")
_SPACE_OR_HYPHEN = re.compile(r"\\(?<=\S\\)([,;@-]|\s)")
_EMPTY_MACRO = re.compile(r"\\(?:nobreakdash|xspace)(?![A-Za-z])(?:\{\})?")
_WORD_MACRO = re.compile(r"\\([A-Za-z]{2,})(?![A-Za-z{])")
_ABBREVIATION = re.compile(r"\\(eg|ie|etal|etc|cf|vs|wrt|aka)(?![A-Za-z])\.?(?:\{\}|\\(?=[ @]))?")
_ABBREVIATIONS = {"etal": "et al.", "etc": "etc.", "cf": "cf.", "vs": "vs."}
_MAX_MACRO_LENGTH = 30
_MACRO_NAME_AT_END = re.compile(r"\\[A-Za-z]+$")

_FUNCTIONS = {
    *("log", "ln", "exp", "sin", "cos", "tan", "min", "max", "sup", "inf", "arg", "det", "dim"),
    *("lim", "LaTeX", "TeX"),
}
#: TeX puts a space there: *n log n*.
_TEX_FUNCTION_AFTER_LETTER = re.compile(rf"(?<=[\w)\]}}])(\\(?:{'|'.join(sorted(_FUNCTIONS))})\b)")
_SYMBOLS = {"%": "%", "&": "&", "#": "#", "sim": "~", ",": " ", ";": " ", ":": " ", " ": " "} | {
    "colon": ":",
    "lt": "<",
    "gt": ">",
    "textless": "<",
    "textgreater": ">",
    "textasciitilde": "~",
}
_SUPERSCRIPTS = dict(
    zip("0123456789+-=()aeinoxkTdbmpt∘", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ᵃᵉⁱⁿᵒˣᵏᵀᵈᵇᵐᵖᵗ°", strict=True)
)
_SUBSCRIPTS = dict(
    zip("0123456789+-=()aeioxjklmnprstuv", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑᵢₒₓⱼₖₗₘₙₚᵣₛₜᵤᵥ", strict=True)
)

_LATEX_CONTEXT = get_default_latex_context_db()


def replace_forbidden(text: str) -> str:
    """Return the text with U+FFFD instead of each character that XML forbids."""
    return XML_FORBIDDEN.sub("\ufffd", text)


def normalize_line(text: str) -> str:
    """Return the text on one line: each line break or run of white space becomes one space."""
    text = tex_to_unicode(text)
    return text.strip() if _is_normalized(text) else " ".join(replace_forbidden(text).split())


def normalize_paragraphs(text: str) -> str:
    """Return the text's paragraphs, each on one line, separated by empty lines."""
    text = tex_to_unicode(text)
    if _is_normalized(text):
        return text.strip()
    paragraphs = map(str.split, _PARAGRAPH_BREAK.split(replace_forbidden(text)))
    return "\n\n".join(" ".join(words) for words in paragraphs if words)


def _is_normalized(text: str) -> bool:
    """Return whether all characters are printable and all white space is single spaces.

    True for most texts, and faster than normalizing them.
    """
    return text.isprintable() and "  " not in text


def normalize_url(text: str) -> str:
    """Return an http or https URL as a valid URI (RFC 3986), or an empty string for any other text.

    Upstream's URLs have leading spaces and even line breaks. Other schemes are refused because a
    ``javascript:`` URL would run as a script in pages. A user name and password are dropped.
    """
    if not text:  # most papers have no project page
        return ""
    iri = _URL_FOLD.sub("", replace_forbidden(text).strip())
    try:
        parts = urlsplit(iri)
        netloc = parts.netloc.rpartition("@")[2]
        url = iri_to_uri(parts._replace(netloc=netloc).geturl())
        parts = urlsplit(url)
    except ValueError:  # brackets without an address, a port out of range, a host that is too long
        return ""
    is_http = (
        parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "") is not None
    )
    return _STRAY_PERCENT.sub("%25", url) if is_http else ""


def tex_to_unicode(text: str) -> str:
    r"""Return the text with its TeX as Unicode, as far as that is possible without loss.

    ``$\alpha$-divergence`` becomes *α-divergence*, and ``$O(n^2)$`` becomes *O(n²)*. A formula that
    plain characters cannot express (with a fraction, a two-letter exponent or an unknown macro)
    stays exactly as it is, including the dollars.
    """
    if not any(map(text.__contains__, _TEX_MARKS)):
        return text
    converted, end = "", 0
    for match in _MATH.finditer(text) if "$" in text or "\\(" in text else ():
        converted += _convert_prose(text[end : match.start()])
        converted += _convert_formula(match[1] or match[2]) or match[0]
        end = match.end()
    return converted + _convert_prose(text[end:])


def _convert_prose(tex: str) -> str:
    """Convert text outside formulas."""
    has_literals = any(mark in tex for mark in _LITERAL_MARKS)
    converted, end = "", 0
    for match in _LITERAL.finditer(tex) if has_literals else ():
        converted += _convert_typography(_convert_macros(tex[end : match.start()])) + match[0]
        end = match.end()
    return converted + _convert_typography(_convert_macros(tex[end:]))


def _convert_macros(tex: str) -> str:
    """Convert fonts, accents, symbols and escaped characters."""
    if "\\" not in tex:
        return tex
    tex = _convert_fonts(tex)
    tex = _MATH_FONT.sub(_convert_math_font, tex)
    tex = _ESCAPED_QUOTATION.sub(r"\1\2\1", tex)
    tex = _APOSTROPHE.sub("'", tex)
    tex = _ACCENT.sub(lambda match: _latex_to_text(match[0].strip()), tex)
    tex = _ABBREVIATION.sub(lambda match: _abbreviation(match[1]), tex)
    tex = _EMPTY_MACRO.sub("", tex)
    tex = _TEX_FUNCTION_AFTER_LETTER.sub(r" \1", tex)
    tex = _WORD_MACRO.sub(lambda match: _macro_symbol(match[1]) or match[0], tex)
    tex = _SPACE_OR_HYPHEN.sub(lambda match: "" if match[1] in "-@" else " ", tex)
    tex = _ESCAPED_CHARACTER.sub(r"\1", tex)
    tex = _LINK.sub(lambda m: m[1] if m[1] == m[2] else f"{m[2]} ({m[1]})", tex)
    return _convert_fonts(tex)  # those that had an accent or an escaped character in them


def _convert_typography(text: str) -> str:
    """Convert quotation marks, dashes, ties, scripts, and Markdown's bold."""
    for mark, pattern, replacement in _TYPOGRAPHY:
        if mark in text:
            text = pattern.sub(replacement, text)
    return text


def _convert_fonts(tex: str) -> str:
    """Return the text without its font commands, which may be nested."""
    for _ in range(_MAX_NESTED_FONTS):
        tex, count = _FONT.subn(lambda match: match[1] or match[2] or "", tex)
        if not count:
            break
    return tex


def _convert_math_font(match: re.Match[str]) -> str:
    return _latex_to_text(match[0]) if match[1] else match[2]


def _abbreviation(name: str) -> str:
    return _ABBREVIATIONS.get(name) or "".join(f"{letter}." for letter in name)


def _convert_braced_script(match: re.Match[str]) -> str:
    """Return the script as Unicode, or a subscript without its braces where that is clear."""
    script = _convert_script(match)
    is_word = match[1] == "_" and re.fullmatch(r"[\w.]+", match[2])
    return f"_{match[2]}" if script == match[0] and is_word else script


def _convert_formula(tex: str) -> str:
    """Return the formula as Unicode, or an empty string if that would lose something."""
    plain = _TEX_FUNCTION_AFTER_LETTER.sub(r" \1", tex)
    plain = _MACRO.sub(lambda match: _macro_symbol(match[1]) or match[0], plain)
    plain = _MATH_FONT.sub(_convert_math_font, plain)
    plain = _SCRIPT.sub(_convert_script, _convert_fonts(plain))
    return "" if set(plain) & set("\\^_{}") else plain.strip()


def _convert_script(match: re.Match[str]) -> str:
    """Return a superscript or subscript as Unicode, or unchanged if a character is missing."""
    table = _SUPERSCRIPTS if match[1] == "^" else _SUBSCRIPTS
    content = next(filter(None, match.groups()[1:]), "")
    return "".join(table[char] for char in content) if set(content) <= table.keys() else match[0]


def _convert_power(match: re.Match[str]) -> str:
    return "".join(map(_SUPERSCRIPTS.__getitem__, match[1]))


def _convert_group(match: re.Match[str]) -> str:
    """Return what ``{,}`` and ``{}`` stand for after a word, but not after a macro."""
    before = match.string[max(0, match.start() - _MAX_MACRO_LENGTH) : match.start()]
    is_after_word = before[-1:].isalnum() and not _MACRO_NAME_AT_END.search(before)
    return match[1] if is_after_word else match[0]


#: What to replace by what, in texts that have a mark.
_TYPOGRAPHY: tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    ("``", re.compile(r"""``([^`"\n]{1,200}?)(?:''|")"""), "“\\1”"),
    ("''", re.compile(r""""(?<!\w")([^`"\n]{1,200}?)''"""), "“\\1”"),
    ("`", re.compile(r"`(?<![\w`]`)(\w[^`'\n]{0,100})'(?![\w'])"), "‘\\1’"),
    ("**", re.compile(r"\*\*(?<![\w*]\*\*)(?=\S)([^*\n]{1,200}?)(?<=\S)\*\*(?![\w*])"), "\\1"),
    ("{", re.compile(r"\{([,=:]?)\}"), _convert_group),
    ("{", re.compile(r"([\^_])\{(?<=[\w)\]}|].\{)([^{}\\\s]{1,20})\}"), _convert_braced_script),
    ("^", re.compile(r"\^(?<=[\w)\]]\^)(-?\d{1,4}|∘)(?![\w.^{])"), _convert_power),
    ("~", re.compile(r"(?<!\w)([A-Za-z]{2,}\.?|\w\.)~(?=[A-Z0-9(\[\\])"), "\\1 "),
    ("---", re.compile(r"---(?<!----)(?!-)"), "—"),
    ("--", re.compile(r"--(?<=\w--)(?=\w)"), "–"),
)


@lru_cache(maxsize=512)
def _macro_symbol(name: str) -> str:
    """Return the text of a macro without arguments, or an empty string if it is not known."""
    if name in _FUNCTIONS:
        return name
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    spec = _LATEX_CONTEXT.get_macro_spec(name)
    symbol = spec.simplify_repl if spec else ""
    is_symbol = isinstance(symbol, str) and len(symbol) == 1 and not symbol.isascii()
    return str(symbol) if is_symbol else ""


@lru_cache(maxsize=1024)
def _latex_to_text(tex: str) -> str:
    """Convert an accented letter, or a letter in a mathematical font."""
    return str(LatexNodes2Text(math_mode="text").latex_to_text(tex))
