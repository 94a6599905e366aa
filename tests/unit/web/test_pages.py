"""View models of the HTML pages."""

from __future__ import annotations

import tomllib
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import QueryError
from feedsrv.feeds.window import ListDay
from feedsrv.models import Kind, Page, Paper
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Query, matches
from feedsrv.web.pages import (
    build_chart,
    config_snippet,
    page_title,
    paper_card,
    query_problem,
    subscribe_links,
)
from tests.support.builders import make_paper
from tests.support.strategies import papers, queries, query_texts


@pytest.mark.parametrize(
    ("days", "said_of_it"),
    [
        ({}, "No list day has been read."),
        (
            {4: None, 5: 0, 6: 0},
            "Papers on each of 3 list days from 4 August to 6 August 2026: none.",
        ),
        (
            {4: None, 5: 0, 6: 2},
            (
                "Papers on each of 3 list days from 4 August to 6 August 2026: at most 2 a day,"
                " on 6 August, none on 1 day."
            ),
        ),
    ],
)
def test_a_chart_in_words_tells_none_from_not_read(
    days: dict[int, int | None], said_of_it: str
) -> None:
    shown = [ListDay(date(2026, 8, day), many is not None) for day, many in days.items()]
    found = [
        make_paper(listed=date(2026, 8, day))
        for day, many in days.items()
        for _ in range(many or 0)
    ]
    made = build_chart(found, shown)
    assert made.description == said_of_it
    assert [bar.height for bar in made.bars if bar.height] == [26.7] * (len(found) // 2)
    assert all(bar.label.endswith("not read yet") != bar.is_fetched for bar in made.bars)


@given(query_texts())
def test_a_place_is_marked_in_the_query_as_it_was_typed(text: str) -> None:
    error = refusal(text)
    if error is not None:
        _, before, place, after = query_problem(error)
        assert len(place) == 1
        assert f"{before}{place}{after}" in {error.query, f"{error.query} "}
        assert len(before) == min(error.position, len(error.query))


def refusal(text: str) -> QueryError | None:
    try:
        parse_query(text)
    except QueryError as error:
        return error
    return None


@given(query_texts())
def test_the_lines_for_the_settings_make_the_query_a_feed(text: str) -> None:
    query = " ".join(text.split())
    ((name, table),) = tomllib.loads(config_snippet(query))["feeds"].items()
    assert table["query"] == query
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        (
            "diffusion language models",
            """[feeds.diffusion-language-models]
title = 'Diffusion language models'
query = 'diffusion language models'""",
        ),
        ("李", "[feeds.my-feed]\ntitle = '李'\nquery = '李'"),
        ("o'brien", '[feeds.o-brien]\ntitle = "O\'brien"\nquery = "o\'brien"'),
    ],
)
def test_the_lines_for_the_settings_read_well(query: str, lines: str) -> None:
    assert config_snippet(query) == lines


def test_an_author_that_is_asked_for_is_shown_however_long_the_list() -> None:
    crowd = make_paper(authors=tuple(f"Ada Quill {place}" for place in range(671)))
    shown = paper_card(crowd, parse_query('author:"quill 400"'))
    assert len(shown.authors) == 7
    assert shown.authors[-1] == "Ada <mark>Quill 400</mark>"
    assert len(shown.authors) + len(shown.more_authors) == 671


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (Page(Kind.DAY, "2026-11-04"), "4 November 2026"),
        (Page(Kind.WEEK, "2026-W08"), "Week 8 of 2026"),
        (Page(Kind.MONTH, "2026-11"), "November 2026"),
        (Page(Kind.TRENDING), "Trending"),
        (Page(Kind.SEARCH, "sea fog"), "sea fog"),
    ],
)
def test_a_list_has_a_name(page: Page, name: str) -> None:
    assert page_title(page) == name


@given(papers(), queries(), st.booleans())
def test_a_card_has_no_markup_but_marks(one_of: Paper, query: Query, is_brief: bool) -> None:
    shown = paper_card(one_of, query, is_brief=is_brief)
    texts = [shown.title, shown.organization, *shown.abstract, *shown.authors, *shown.more_authors]
    texts += [keyword.text for keyword in shown.keywords]
    for text in texts:
        bare = text.replace("<mark>", "").replace("</mark>", "")
        assert not set(bare) & set("<>\"'")
    assert BeautifulSoup(f"<p>{shown.title}</p>", "html.parser").get_text() == one_of.title
    for keyword in shown.keywords:
        assert matches(parse_query(keyword.query), one_of)


def test_a_readers_address_is_quoted_whole() -> None:
    address = "http://a.example/papers.atom?q=%22a+b%22&limit=3"
    (name, url), *_ = subscribe_links({"Mine": "https://r.example/?u={url}&x=1"}, address)
    assert name == "Mine"
    assert parse_qs(urlsplit(url).query) == {"u": [address], "x": ["1"]}
