"""Normalized text: characters, lines, paragraphs, URLs and TeX."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from feedsrv.upstream.normalize import (
    normalize_line,
    normalize_paragraphs,
    normalize_url,
    replace_forbidden,
    tex_to_unicode,
)
from tests.support.strategies import texts

TEX = (
    *("$", "$$", "\\", "\\(", "\\)", "{", "}", "^", "_", "%", "&", "#", "~", "'", "`", '"', "-"),
    *("--", r"\alpha", r"\mathbb", r"\mathcal{", r"\mathrm{", r"\text{", r"\textbf{", r"\emph{"),
    *(r"\frac", r"\'", r"\"", r"\c{", r"\v{s}", r"\log", r"\sim", r"\\", r"\%", r"\$", r"\left"),
    *(r"\begin{", "a", "B", "x", "2", "10", " ", "\n", "é", "\x00", "\ufffe", r"\href{", r"\verb|"),
    *(r"\input{",),
)


def tex_texts() -> st.SearchStrategy[str]:
    fragments = st.lists(st.sampled_from(TEX), max_size=25).map("".join)
    return st.one_of(fragments, fragments.map("${}$".format), texts(surrogates=True))


def is_accepted_by_lxml(text: str) -> bool:
    try:
        etree.Element("x").text = text
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\x08\x0b\x0c\x0e\x1f", "\ufffd" * 5),
        ("\t\n\r", "\t\n\r"),
        ("\x7f\x85\x9f", "\x7f\x85\x9f"),
        ("\ufffe\uffff", "\ufffd\ufffd"),
        ("\ud800x\udfff", "\ufffdx\ufffd"),
        ("\ud83d\udc26", "\ufffd\ufffd"),
        ("\U0001f426\U0010ffff", "\U0001f426\U0010ffff"),
        ("]]> <b> & \u202e é", "]]> <b> & \u202e é"),
        ("", ""),
    ],
    ids=ascii,
)
def test_only_characters_that_xml_forbids_are_replaced(text: str, replaced: str) -> None:
    assert replace_forbidden(text) == replaced


@given(st.one_of(texts(surrogates=True), st.text(st.characters(exclude_categories=()))))
def test_text_without_forbidden_characters_round_trips_through_xml(text: str) -> None:
    replaced = replace_forbidden(text)
    assert len(replaced) == len(text)
    assert replace_forbidden(replaced) == replaced
    replaced.encode()
    element = etree.Element("x", about=replaced)
    element.text = replaced
    parsed = etree.fromstring(etree.tostring(element, encoding="utf-8"))
    assert (parsed.text or "") == replaced
    assert parsed.get("about") == replaced


@given(st.characters(exclude_categories=()))
def test_a_character_is_replaced_exactly_if_lxml_rejects_it(char: str) -> None:
    assert (replace_forbidden(char) == char) == is_accepted_by_lxml(char)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("Tides\n  and harbours", "Tides and harbours"),
        ("  Tides \t\r\n and\xa0harbours\u2028", "Tides and harbours"),
        ("one\n\ntwo", "one two"),
        ("one  two   three ", "one two three"),
        ("$\\alpha$-tides\x00", "α-tides\ufffd"),
        ("\n", ""),
    ],
    ids=ascii,
)
def test_white_space_in_a_line_becomes_single_spaces(text: str, normalized: str) -> None:
    assert normalize_line(text) == normalized


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("One folded\nline.", "One folded line."),
        ("One\nfolded.\n\nTwo\nfolded.", "One folded.\n\nTwo folded."),
        ("One\r\nfolded.\r\n\r\nTwo.", "One folded.\n\nTwo."),
        ("One\n \t \nTwo", "One\n\nTwo"),
        ("One\n\n\n\n   Two", "One\n\nTwo"),
        ("\n\n  One  \n\n", "One"),
        ("One\n  Two", "One\n\nTwo"),
        ("One\nfolded.\n  Two\nfolded.\n\tThree", "One folded.\n\nTwo folded.\n\nThree"),
        ("\n  One  \n  ", "One"),
        (" One  two", "One two"),
        ("\n \n\t\n", ""),
        ("", ""),
    ],
    ids=ascii,
)
def test_paragraphs_are_lines_separated_by_empty_lines(text: str, normalized: str) -> None:
    assert normalize_paragraphs(text) == normalized


@given(st.one_of(texts(surrogates=True), tex_texts()))
def test_no_paragraph_is_empty_or_has_line_breaks(text: str) -> None:
    normalized = normalize_paragraphs(text)
    assert is_accepted_by_lxml(normalized)
    for paragraph in normalized.split("\n\n") if normalized else ():
        assert paragraph
        assert paragraph == " ".join(paragraph.split())


@given(st.one_of(texts(surrogates=True), tex_texts()))
def test_a_line_has_only_single_spaces_and_no_forbidden_characters(text: str) -> None:
    normalized = normalize_line(text)
    assert normalized == " ".join(normalized.split())
    assert is_accepted_by_lxml(normalized)
    assert normalize_line(text) == " ".join(normalize_paragraphs(text).split())


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://tides.example/a", "https://tides.example/a"),
        ("http://tides.example", "http://tides.example"),
        ("  https://tides.example/a\n", "https://tides.example/a"),
        ("https://tides.\n  example/\ta b", "https://tides.example/a%20b"),
        ("HTTPS://tides.example", "https://tides.example"),
        ("https://tides.example/?q=1&r=<2>#x", "https://tides.example/?q=1&r=%3C2%3E#x"),
        ('https://tides.example/{a}|b^`\\"', "https://tides.example/%7Ba%7D%7Cb%5E%60%5C%22"),
        ("https://tides.example/a[1]?b[]=1", "https://tides.example/a%5B1%5D?b%5B%5D=1"),
        ("https://tides.example/é?q=ü#ß", "https://tides.example/%C3%A9?q=%C3%BC#%C3%9F"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://tides.example/100%_a%20b%zz", "https://tides.example/100%25_a%20b%25zz"),
        ("https://ada:fog@tides.example:8080/", "https://tides.example:8080/"),
        ("https://ada@tides.example/a@b", "https://tides.example/a@b"),
        ("https://tides.example/~a/'b'(c)*!$&;,=:@+", "https://tides.example/~a/'b'(c)*!$&;,=:@+"),
        ("https://tides.example:99999/", ""),
        ("https://tides .example/", ""),
        ("https://tides..example/", ""),
        ("https://<tides>/", ""),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("https://tides.example/\x00", "https://tides.example/%EF%BF%BD"),
        ("", ""),
        ("tides.example", ""),
        ("//tides.example/a", ""),
        ("/papers/1", ""),
        ("https://", ""),
        ("https:///a", ""),
        ("https:tides.example", ""),
        ("https://[", ""),
        ("https://[2001", ""),
        ("ftp://tides.example", ""),
        ("javascript:alert(1)", ""),
        ("java\nscript://tides.example/%0aalert(1)", ""),
        (" JavaScript:alert(1)//https://tides.example", ""),
        ("data:text/html,<script>", ""),
        ("\x00https://tides.example", ""),
        ("mailto:ada@tides.example", ""),
    ],
    ids=ascii,
)
def test_a_url_is_a_valid_http_or_https_uri_or_else_empty(text: str, url: str) -> None:
    assert normalize_url(text) == url


SCHEMES = ("http://", "https://", "HTTP:", "javascript:", "data:", "//", " https://x.example/", "")


@given(st.sampled_from(SCHEMES), st.one_of(texts(surrogates=True), st.text()))
def test_any_text_is_normalized_to_an_http_url_or_an_empty_string(scheme: str, text: str) -> None:
    url = normalize_url(scheme + text)
    assert not url or url.lower().startswith(("http://", "https://"))
    assert re.fullmatch(r"(?:[\w.~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*", url, re.ASCII), url
    assert normalize_url(url) == url


CONVERTIBLE = [
    (r"$\alpha$-divergence", "α-divergence"),
    (r"\(\alpha\)-divergence", "α-divergence"),
    (r"$O(n^2)$", "O(n²)"),
    (r"$90^\circ$", "90°"),
    (r"$O(n \log n)$ steps", "O(n log n) steps"),
    (r"$O(n\log n)$ steps", "O(n log n) steps"),
    (r"$2\max(a,b)$ and $\min\max$", "2 max(a,b) and min max"),
    (r"$f\colon X \to Y$", "f: X → Y"),
    (r"at $>$90\% ($-$5 tides, $=$3)", "at >90% (-5 tides, =3)"),
    ("x_{ij}^{2} tides", "xᵢⱼ² tides"),
    (r"\r{A}ngstr\"om tides", "Ångström tides"),
    (r"$\mathcal{O}(1)$", "𝒪(1)"),
    (r"$x \in \mathbb{R}^d$", "x ∈ ℝᵈ"),
    (r"$\ell_1$ and $\ell_2$", "ℓ₁ and ℓ₂"),
    (r"$10^{-3}$", "10⁻³"),
    (r"$x_{ij}$", "xᵢⱼ"),
    (r"$3\times3$", "3×3"),
    (r"$\sim$5", "~5"),
    (r"$\sim 50\%$ off", "~ 50% off"),
    (r"$\mathrm{softmax}(x)$", "softmax(x)"),
    (r"$f_{\text{max}}$", "fₘₐₓ"),
    (r"$x$", "x"),
    (r"$\tau^2$-bench", "τ²-bench"),
    (r"$V^3$2", "V³2"),
    (r"$\sum_{i=1}^{n} i$", "∑ᵢ₌₁ⁿ i"),
    (r"\textbf{Bold} and \emph{bent}", "Bold and bent"),
    (r"\'{E}cole na\"ive \c{c}a \v{s}", "École naïve ça š"),
    (r"50\% of A\&B, \#1, a\_b", "50% of A&B, #1, a_b"),
    (r"costs \$5", "costs $5"),
]
WITHOUT_DOLLARS = [
    ("raises F_{max} by 2", "raises Fₘₐₓ by 2"),
    ("10^{19} to 10^{-22} FLOPs", "10¹⁹ to 10⁻²² FLOPs"),
    ("H^{2}SD", "H²SD"),
    ("π_{0.5} and |v_{ref}|", "π_0.5 and |v_ref|"),
    (r"an 8\,GB board at 19.63\,FPS", "an 8 GB board at 19.63 FPS"),
    (r"(8.5 vs.\ 35.9 hours, e.g.\ here)", "(8.5 vs. 35.9 hours, e.g. here)"),
    (r"0.673 \pm 0.019", "0.673 ± 0.019"),
    (r"p\approx0.37, \alpha \leq \beta", "p≈0.37, α ≤ β"),
    (r"O(K\log T) for \mathbb{R} \times \mathcal{X}", "O(K log T) for ℝ × 𝒳"),
    ("12{,}553 papers, N{=}4, FID{}=2.23", "12,553 papers, N=4, FID=2.23"),
    (
        "Model~4.5 of Ada~Quill, Stage~II, words~(LLMs)",
        "Model 4.5 of Ada Quill, Stage II, words (LLMs)",
    ),
    (r"(\eg, tides; \ie\ fog, \etal. and \etc)", "(e.g., tides; i.e. fog, et al. and etc.)"),
    (r"LLaMA\nobreakdash-3 and syn\-the\-sis", "LLaMA-3 and synthesis"),
    (r"{\it key nodes}, {\bf bold\/}, \textbf{\emph{both}}", "key nodes, bold, both"),
    (r"\underline{R}ain by \url{https://a.example/x}", "Rain by https://a.example/x"),
    (r"\bf{Bold} \texttt{a\_b} of \textbf{caf\'e}, \emph{\%}", "Bold a_b of café, %"),
    (r"by \href{https://a.example/x\_y}{code}", "by code (https://a.example/x_y)"),
    (r"\href{https://a.example}{https://a.example}", "https://a.example"),
    (r"turn 90^\circ or 45^{\circ}, x^2 and 10^-3", "turn 90° or 45°, x² and 10⁻³"),
    (r"5\pm3 of \ours\xspace, \ldots", r"5±3 of \ours, …"),
    (r"\{a, b\} and https:\/\/a.example\/b", "{a, b} and https://a.example/b"),
    (r"S\o{}ren, Stra\ss e, \L{}ukasz, \AA rhus", "Søren, Straße, Łukasz, Århus"),
]
QUOTATIONS = [
    ("``bullet time'' effects", "“bullet time” effects"),
    ('``one size" fits', "“one size” fits"),
    ("free of \"fog'' here", "free of “fog” here"),
    ("a `less is more' pattern", "a ‘less is more’ pattern"),
    (r"the MLLM\'s view and models\' views", "the MLLM's view and models' views"),
    (r"it doesn\'t, we\'re sure, they\'ve", "it doesn't, we're sure, they've"),
    (r"a \"quoted word\" and \'another\'.", "a \"quoted word\" and 'another'."),
    (r"\"Uber caf\'e, Ust\"un and Gda\'nsk", "Über café, Ustün and Gdańsk"),
    ("the ships' bells and f''(x)", "the ships' bells and f''(x)"),
]
TYPOGRAPHY = [
    (
        "two dimensions: **diversity** and **fog structure**.",
        "two dimensions: diversity and fog structure.",
    ),
    ("a gap---the Knowing--Using Gap---of 2020--2023", "a gap—the Knowing–Using Gap—of 2020–2023"),
]
NOT_MARKUP = [
    "2**3 and x ** y, A* and RRT*",
    "run it with --verbose --all",
    "snake_case, z_t, __init__, a^b",
    "{a set}, dict{key}, {}",
    "about ~5%, 10ms~20ms, ~/home, 1M~4M tokens",
    "`code` and ``more``",
    r"C:\top\alpha, \\server\div\in",
    r"our \methodname beats \ours{}",
    r"in \boxed{} or \boxed{42}",
    r"\d+ and \w*\n",
    "(2N)^{1/2}, e^{-2 K}",
]
NOT_CONVERTIBLE = [
    r"$\frac{1}{2}$",
    r"$\sqrt{x}$",
    r"$x^{qy}$",
    r"$\pi_\theta$",
    r"$x_{i_j}$",
    "${x}$",
    r"$\{a, b\}$",
    r"$\unknown$",
    r"$\mathbb{R}^{n \times m}$",
    r"$\hat{x}$",
    r"\(\frac12\)",
    r"$$x^2$$",
    r"\[x^2\]",
    "$a\nb$",
    f"${'x' * 201}$",
    "$",
    "$$",
    "$ x$",
    "$x $",
    "\\",
    r"C:\users\ada",
    r"\unknown{x} \begin{x}",
]
DOLLAR_AMOUNTS = [
    "from $5 to $10",
    "$5",
    "costs $5, not $6.",
    "US$5M and A$3M",
    "$1,000-$2,000",
    "between $5 and $10 or $20 each",
    "100$ and 200$",
    "$3.5B",
]


@pytest.mark.parametrize(("tex", "normalized"), CONVERTIBLE, ids=[tex for tex, _ in CONVERTIBLE])
def test_tex_that_unicode_can_express_is_converted(tex: str, normalized: str) -> None:
    assert tex_to_unicode(tex) == normalized


@pytest.mark.parametrize(
    ("text", "normalized"), [*WITHOUT_DOLLARS, *QUOTATIONS, *TYPOGRAPHY], ids=ascii
)
def test_tex_without_dollars_and_markdown_become_plain_text(text: str, normalized: str) -> None:
    assert normalize_line(text) == normalized
    assert normalize_line(normalized) == normalized


@pytest.mark.parametrize("text", NOT_MARKUP)
def test_text_that_only_looks_like_markup_is_unchanged(text: str) -> None:
    assert tex_to_unicode(text) == text


@pytest.mark.parametrize("tex", NOT_CONVERTIBLE)
def test_tex_that_unicode_cannot_express_is_unchanged(tex: str) -> None:
    assert tex_to_unicode(tex) == tex
    assert tex_to_unicode(f"before {tex} after") == f"before {tex} after"


@pytest.mark.parametrize("text", DOLLAR_AMOUNTS)
def test_dollar_amounts_are_not_formulas(text: str) -> None:
    assert tex_to_unicode(text) == text


def test_a_formula_that_cannot_be_converted_does_not_affect_others() -> None:
    tex = r"$\alpha$ of $\frac{1}{2}$ and $\beta$"
    assert tex_to_unicode(tex) == r"α of $\frac{1}{2}$ and β"


@given(texts(surrogates=True))
def test_text_without_characters_of_markup_is_unchanged(text: str) -> None:
    plain = re.sub(r"[$^\\{}`'\"*~-]", "", text)
    assert tex_to_unicode(plain) == plain


@given(tex_texts())
def test_conversion_never_makes_a_text_longer(tex: str) -> None:
    assert len(tex_to_unicode(tex)) <= len(tex)


@pytest.mark.parametrize(
    "piece",
    [
        "$",
        "$a",
        "\\",
        r"\(",
        r"\text{",
        r"\mathbb{",
        r"$\frac{",
        "^{",
        "$a_ ",
        "$x ",
        "{",
        "$^",
        "'",
    ],
)
def test_long_malformed_tex_is_converted_quickly(piece: str) -> None:
    started = time.monotonic()
    tex_to_unicode(f"${piece * 3000}$")
    tex_to_unicode(piece * 3000)
    assert time.monotonic() - started < 10
