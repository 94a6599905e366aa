"""Upstream's text made plain: allowed characters, lines, paragraphs, addresses, TeX."""

from __future__ import annotations

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
    *(
        "$",
        "$$",
        "\\",
        "\\(",
        "\\)",
        "{",
        "}",
        "^",
        "_",
        "%",
        "&",
        "#",
        "~",
        "'",
        "`",
        '"',
        "-",
        "--",
    ),
    *(
        r"\alpha",
        r"\mathbb",
        r"\mathcal{",
        r"\mathrm{",
        r"\text{",
        r"\textbf{",
        r"\emph{",
        r"\frac",
    ),
    *(r"\'", r"\"", r"\c{", r"\v{s}", r"\log", r"\sim", r"\\", r"\%", r"\$", r"\left", r"\begin{"),
    *("a", "B", "x", "2", "10", " ", "\n", "é", "\x00", "\ufffe", r"\href{", r"\verb|", r"\input{"),
)


def tex_texts() -> st.SearchStrategy[str]:
    soup = st.lists(st.sampled_from(TEX), max_size=25).map("".join)
    return st.one_of(soup, soup.map("${}$".format), texts(surrogates=True))


def is_accepted_by_lxml(text: str) -> bool:
    try:
        etree.Element("x").text = text
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "cleaned"),
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
def test_a_character_that_xml_forbids_is_replaced_and_any_other_kept(
    text: str, cleaned: str
) -> None:
    assert replace_forbidden(text) == cleaned


@given(st.one_of(texts(surrogates=True), st.text(st.characters(exclude_categories=()))))
def test_clean_text_can_be_encoded_and_stands_in_xml_as_it_is(text: str) -> None:
    cleaned = replace_forbidden(text)
    assert len(cleaned) == len(text)
    assert replace_forbidden(cleaned) == cleaned
    cleaned.encode()
    element = etree.Element("x", about=cleaned)
    element.text = cleaned
    again = etree.fromstring(etree.tostring(element, encoding="utf-8"))
    assert (again.text or "") == cleaned
    assert again.get("about") == cleaned


@given(st.characters(exclude_categories=()))
def test_no_character_is_replaced_without_need(char: str) -> None:
    assert (replace_forbidden(char) == char) == is_accepted_by_lxml(char)


@pytest.mark.parametrize(
    ("text", "shown"),
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
def test_a_line_is_one_line(text: str, shown: str) -> None:
    assert normalize_line(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("One folded\nline.", "One folded line."),
        ("One\nfolded.\n\nTwo\nfolded.", "One folded.\n\nTwo folded."),
        ("One\r\nfolded.\r\n\r\nTwo.", "One folded.\n\nTwo."),
        ("One\n \t \nTwo", "One\n\nTwo"),
        ("One\n\n\n\n   Two", "One\n\nTwo"),
        ("\n\n  One  \n\n", "One"),
        ("One\n  Two", "One Two"),
        (" One  two", "One two"),
        ("\n \n\t\n", ""),
        ("", ""),
    ],
    ids=ascii,
)
def test_paragraphs_are_lines_parted_by_an_empty_one(text: str, shown: str) -> None:
    assert normalize_paragraphs(text) == shown


@given(st.one_of(texts(surrogates=True), tex_texts()))
def test_paragraphs_hold_no_blank_and_no_folded_line(text: str) -> None:
    shown = normalize_paragraphs(text)
    assert is_accepted_by_lxml(shown)
    for paragraph in shown.split("\n\n") if shown else ():
        assert paragraph
        assert paragraph == " ".join(paragraph.split())


@given(st.one_of(texts(surrogates=True), tex_texts()))
def test_a_line_holds_single_spaces_only_and_nothing_that_xml_forbids(text: str) -> None:
    shown = normalize_line(text)
    assert shown == " ".join(shown.split())
    assert is_accepted_by_lxml(shown)
    assert normalize_line(text) == " ".join(normalize_paragraphs(text).split())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://tides.example/a", "https://tides.example/a"),
        ("http://tides.example", "http://tides.example"),
        ("  https://tides.example/a\n", "https://tides.example/a"),
        ("https://tides.\n  example/a b", "https://tides.example/ab"),
        ("HTTPS://tides.example", "HTTPS://tides.example"),
        ("https://tides.example/?q=1&r=<2>#x", "https://tides.example/?q=1&r=<2>#x"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("https://tides.example/\x00", "https://tides.example/\ufffd"),
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
def test_a_link_is_a_web_address_without_white_space_or_nothing(text: str, address: str) -> None:
    assert normalize_url(text) == address


SCHEMES = ("http://", "https://", "HTTP:", "javascript:", "data:", "//", " https://x.example/", "")


@given(st.sampled_from(SCHEMES), st.one_of(texts(surrogates=True), st.text()))
def test_any_text_makes_a_web_address_or_nothing(scheme: str, text: str) -> None:
    address = normalize_url(scheme + text)
    assert not address or address.lower().startswith(("http://", "https://"))
    assert address == "".join(address.split())
    assert is_accepted_by_lxml(address)
    assert normalize_url(address) == address


SAFE = [
    (r"$\alpha$-divergence", "α-divergence"),
    (r"\(\alpha\)-divergence", "α-divergence"),
    (r"$O(n^2)$", "O(n²)"),
    (r"$O(n \log n)$ steps", "O(n log n) steps"),
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
UNSAFE = [
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
MONEY = [
    "from $5 to $10",
    "$5",
    "costs $5, not $6.",
    "US$5M and A$3M",
    "$1,000-$2,000",
    "between $5 and $10 or $20 each",
    "100$ and 200$",
    "$3.5B",
]


@pytest.mark.parametrize(("tex", "shown"), SAFE, ids=[tex for tex, _ in SAFE])
def test_tex_that_a_line_of_characters_can_show_becomes_that_line(tex: str, shown: str) -> None:
    assert tex_to_unicode(tex) == shown


@pytest.mark.parametrize("tex", UNSAFE)
def test_tex_that_a_line_of_characters_cannot_show_is_left_as_it_was(tex: str) -> None:
    assert tex_to_unicode(tex) == tex
    assert tex_to_unicode(f"before {tex} after") == f"before {tex} after"


@pytest.mark.parametrize("text", MONEY)
def test_money_stays_money(text: str) -> None:
    assert tex_to_unicode(text) == text


def test_a_formula_that_cannot_be_shown_does_not_keep_others_from_it() -> None:
    tex = r"$\alpha$ of $\frac{1}{2}$ and $\beta$"
    assert tex_to_unicode(tex) == r"α of $\frac{1}{2}$ and β"


@given(texts(surrogates=True))
def test_text_without_dollars_and_backslashes_is_left_alone(text: str) -> None:
    plain = text.replace("$", "").replace("\\", "")
    assert tex_to_unicode(plain) == plain


@given(tex_texts())
def test_any_tex_is_shown_without_growing(tex: str) -> None:
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
def test_long_and_broken_tex_takes_no_time(piece: str) -> None:
    started = time.monotonic()
    tex_to_unicode(f"${piece * 3000}$")
    tex_to_unicode(piece * 3000)
    assert time.monotonic() - started < 10
