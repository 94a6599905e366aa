"""The tag scanner against BeautifulSoup's tree of the whole page, and its limits."""

from html import escape
from unittest.mock import patch

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.upstream import tag_scanner
from feedsrv.upstream.parser import extract_day, extract_props
from feedsrv.upstream.tag_scanner import (
    MAX_DEPTH,
    MAX_START_TAGS,
    Extractor,
    extract_first,
    is_within_limits,
)
from tests.support.builders import (
    DAY,
    card_html,
    html_page,
    html_page_with_raw_props,
    json_entry,
    page_props,
)

PROPS_TAG = '<div data-target="DailyPapers" data-props="{}">'


def extract_first_from_tree(markup: str, extract: Extractor) -> str | None:
    """Return what `extract_first` should, from the tree of the whole page."""
    for tag in BeautifulSoup(markup, "lxml").find_all(True):
        result = extract(tag.name, {name: str(value) for name, value in tag.attrs.items()})
        if result is not None:
            return result
    return None


@pytest.mark.parametrize(
    ("markup", "data"),
    [
        (PROPS_TAG, "{}"),
        (PROPS_TAG + PROPS_TAG.replace("{}", "[]"), "{}"),
        (f'<div data-target="MainHeader" data-props="[]"></div>{PROPS_TAG}', "{}"),
        ("<p data-props='[&quot;&amp;lt;&#34;]' data-target=DailyPapers>", '["&lt;"]'),
        ('<P DATA-PROPS="{}" DATA-TARGET="DailyPapers">', "{}"),
        ('<div data-target="DailyPapers"></div>' + PROPS_TAG, "{}"),
        ('<div data-target="DailyPapers" data-props>' + PROPS_TAG, ""),
        (f"<!--{PROPS_TAG}-->", None),
        (f"<script>{PROPS_TAG}</script>", None),
        (f"<p title='{PROPS_TAG}'>", None),
        (PROPS_TAG[:-1], None),
        ('<div data-target="dailypapers" data-props="{}">', None),
        ("\ufeff\ufeff" + PROPS_TAG.replace("div", "html"), "{}"),
        ("", None),
    ],
    ids=[
        "one", "first-of-two", "other-target", "quotes", "capitals", "without-props", "empty",
        "comment", "script", "in-an-attribute", "cut-off", "other-case", "marks", "nothing",
    ],
)  # fmt: skip
def test_the_first_tag_with_a_result_is_used(markup: str, data: str | None) -> None:
    assert extract_first(markup, extract_props) == data


def test_the_day_is_extracted_from_a_time_tag_only() -> None:
    markup = '<ins datetime="2026-01-01"></ins><time></time><time datetime="2026-08-06">'
    assert extract_first(markup, extract_day) == "2026-08-06"


fragments = st.sampled_from(
    [
        PROPS_TAG, PROPS_TAG.replace('"', "'"), PROPS_TAG[:-1],
        "<time datetime='2026-08-05'>", "</time>", "<time>", card_html(), "<!--", "-->",
        "<![CDATA[", "]]>", "<?x", "<script>", "</script>",
        "<p>", "<textarea>", "<title>", "<template>", "<plaintext>", "<iframe>", "<svg>", "<table>",
        "</p>", "<html a='b'>", "<body data-target='DailyPapers' data-props='b'>", "</body>",
        "</html>",
        "<meta charset='utf-16'>", "\0", "\r\n", "\ufeff", "\ud7ff", "\U0001f426", "&quot", "&#0;",
        "&#xD800;", "&amp;lt;", "<", ">", "'", '"', "=", "/", "<a b='", "data-props=", "</div>",
    ]
)  # fmt: skip
real_pages = st.just(
    html_page(
        page_props(DAY, [json_entry(title='“Kites” & "tides" $\\alpha$ 1 < 2')]), card_html()
    ).decode()
)


@st.composite
def mutated_pages(draw: st.DrawFn) -> str:
    """A page with fragments inserted and parts removed, or only fragments."""
    text = draw(real_pages | st.lists(fragments | st.text(max_size=4), max_size=12).map("".join))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from([0, 0, 1, 7, 300]))
        text = text[:start] + draw(fragments) + text[end:]
    return text


@given(mutated_pages(), st.sampled_from([1, 2, 5, 99, 64_000]))
def test_the_scanner_agrees_with_the_tree_of_the_whole_page(markup: str, chunk_size: int) -> None:
    markup = f"<{markup}"  # BeautifulSoup emits a warning for text without any tag
    for extract in (extract_props, extract_day):
        with patch.object(tag_scanner, "_CHUNK_SIZE", chunk_size):
            found = extract_first(markup, extract)
        assert found == extract_first_from_tree(markup, extract)


@given(st.text())
def test_escaped_props_are_unescaped(text: str) -> None:
    markup = f"<div data-target='DailyPapers' data-props='{escape(text)}'>"
    assert extract_first(markup, extract_props) == extract_first_from_tree(markup, extract_props)
    if text.isprintable():
        assert extract_first(html_page_with_raw_props(text).decode(), extract_props) == text


@pytest.mark.parametrize(
    ("prefix", "within_limits"),
    [
        ("<b></b>" * 1000, True),
        ("<b></b>" * MAX_START_TAGS, False),
        ("<div>" * (MAX_DEPTH - 5), True),
        ("<div>" * MAX_DEPTH, False),
        ("<div>" * 1_000_000, False),
    ],
    ids=["few", "many", "at-max-depth", "too-deep", "endless"],
)
def test_a_page_is_scanned_only_up_to_the_tag_limits(prefix: str, within_limits: bool) -> None:
    assert is_within_limits(prefix + PROPS_TAG) is within_limits
    assert extract_first(prefix + PROPS_TAG, extract_props) == ("{}" if within_limits else None)
    assert extract_first(PROPS_TAG + prefix, extract_props) == "{}"
