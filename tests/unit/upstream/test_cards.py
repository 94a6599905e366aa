"""Tags found without a tree: what BeautifulSoup's tree would have, and bounds."""

from __future__ import annotations

from html import escape
from unittest.mock import patch

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.upstream import cards as tags
from feedsrv.upstream.cards import MAX_DEPTH, MAX_TAGS, Extractor, find_first, is_within_limits
from feedsrv.upstream.parser import day_label, hydration_data
from tests.support.builders import (
    DAY,
    card_html,
    html_page,
    html_page_with_data,
    json_entry,
    page_props,
)

HOLDER = '<div data-target="DailyPapers" data-props="{}">'


def find_in_tree(markup: str, wanted: Extractor) -> str | None:
    """The first answer of the whole page's tree."""
    for tag in BeautifulSoup(markup, "lxml").find_all(True):
        answer = wanted(tag.name, {name: str(value) for name, value in tag.attrs.items()})
        if answer is not None:
            return answer
    return None


@pytest.mark.parametrize(
    ("markup", "data"),
    [
        (HOLDER, "{}"),
        (HOLDER + HOLDER.replace("{}", "[]"), "{}"),
        (f'<div data-target="MainHeader" data-props="[]"></div>{HOLDER}', "{}"),
        ("<p data-props='[&quot;&amp;lt;&#34;]' data-target=DailyPapers>", '["&lt;"]'),
        ('<P DATA-PROPS="{}" DATA-TARGET="DailyPapers">', "{}"),
        ('<div data-target="DailyPapers"></div>' + HOLDER, "{}"),
        ('<div data-target="DailyPapers" data-props>' + HOLDER, ""),
        (f"<!--{HOLDER}-->", None),
        (f"<script>{HOLDER}</script>", None),
        (f"<p title='{HOLDER}'>", None),
        (HOLDER[:-1], None),
        ('<div data-target="dailypapers" data-props="{}">', None),
        ("\ufeff\ufeff" + HOLDER.replace("div", "html"), "{}"),
        ("", None),
    ],
    ids=[
        "one", "first-of-two", "other-target", "quotes", "capitals", "without-data", "empty",
        "comment", "script", "in-an-attribute", "cut-off", "other-case", "marks", "nothing",
    ],
)  # fmt: skip
def test_the_first_tag_that_answers_is_taken(markup: str, data: str | None) -> None:
    assert find_first(markup, hydration_data) == data


def test_only_a_time_shows_the_day() -> None:
    markup = '<ins datetime="2026-01-01"></ins><time></time><time datetime="2026-08-06">'
    assert find_first(markup, day_label) == "2026-08-06"


pieces = st.sampled_from(
    [
        HOLDER, HOLDER.replace('"', "'"), HOLDER[:-1], "<time datetime='2026-08-05'>", "</time>",
        "<time>", card_html(), "<!--", "-->", "<![CDATA[", "]]>", "<?x", "<script>", "</script>",
        "<p>", "<textarea>", "<title>", "<template>", "<plaintext>", "<iframe>", "<svg>", "<table>",
        "</p>", "<html a='b'>", "<body data-target='DailyPapers' data-props='b'>", "</body>",
        "</html>",
        "<meta charset='utf-16'>", "\0", "\r\n", "\ufeff", "\ud7ff", "\U0001f426", "&quot", "&#0;",
        "&#xD800;", "&amp;lt;", "<", ">", "'", '"', "=", "/", "<a b='", "data-props=", "</div>",
    ]
)  # fmt: skip
real = st.just(
    html_page(
        page_props(DAY, [json_entry(title='“Kites” & "tides" $\\alpha$ 1 < 2')]), card_html()
    ).decode()
)


@st.composite
def mutated_pages(draw: st.DrawFn) -> str:
    """A page with pieces put in and cut out, or nothing but pieces."""
    text = draw(real | st.lists(pieces | st.text(max_size=4), max_size=12).map("".join))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.sampled_from([0, 0, 1, 7, 300]))
        text = text[:start] + draw(pieces) + text[end:]
    return text


@given(mutated_pages(), st.sampled_from([1, 2, 5, 99, 64_000]))
def test_what_is_found_is_what_the_tree_of_the_whole_page_would_have(
    markup: str, part: int
) -> None:
    markup = f"<{markup}"  # without any tag BeautifulSoup warns that this is no page
    for wanted in (hydration_data, day_label):
        with patch.object(tags, "_CHUNK_SIZE", part):
            found = find_first(markup, wanted)
        assert found == find_in_tree(markup, wanted)


@given(st.text())
def test_data_is_read_as_it_was_before_it_was_escaped(text: str) -> None:
    markup = f"<div data-target='DailyPapers' data-props='{escape(text)}'>"
    assert find_first(markup, hydration_data) == find_in_tree(markup, hydration_data)
    if text.isprintable():
        assert find_first(html_page_with_data(text).decode(), hydration_data) == text


@pytest.mark.parametrize(
    ("before", "modest"),
    [
        ("<b></b>" * 1000, True),
        ("<b></b>" * MAX_TAGS, False),
        ("<div>" * (MAX_DEPTH - 5), True),
        ("<div>" * MAX_DEPTH, False),
        ("<div>" * 1_000_000, False),
    ],
    ids=["real", "many", "real-depth", "deep", "endless"],
)
def test_a_page_of_more_or_deeper_tags_than_real_ones_is_read_up_to_there(
    before: str, modest: bool
) -> None:
    assert is_within_limits(before + HOLDER) is modest
    assert find_first(before + HOLDER, hydration_data) == ("{}" if modest else None)
    assert find_first(HOLDER + before, hydration_data) == "{}"
