"""View models of the HTML pages."""

import tomllib
from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import QueryError
from feedsrv.feeds.window import Window
from feedsrv.models import Kind, Page, Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.index import Index
from feedsrv.search.matching import matches
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Query
from feedsrv.web.pages import (
    build_preview,
    config_snippet,
    page_title,
    paper_card,
    query_problem,
    subscribe_links,
)
from tests.support.builders import DAY, make_listing, make_paper
from tests.support.strategies import papers, queries, query_texts


def window_of(*papers: Paper, days: int = 1) -> Window:
    """Return a window whose newest day lists the papers; its other days are empty."""
    listing = make_listing(*papers)
    pages = [Page(Kind.DAY, f"2026-08-{7 - days_ago:02d}") for days_ago in range(days)]
    listings = (listing if page == DAY else make_listing(page=page) for page in pages)
    return Window(tuple(zip(pages, listings, strict=True)), Index(listing.papers))


# --- the preview -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "older_matches", "message"),
    [
        (
            "zebrafish",
            None,
            (
                "No papers from the last 1 day of lists match."
                " The feed also includes older ones that Hugging Face's search finds."
            ),
        ),
        (
            "zebrafish",
            3,
            (
                "No papers from the last 1 day of lists match."
                " The feed also includes 3 older papers from Hugging Face's search."
            ),
        ),
        ("zebrafish", 0, "No papers from the last 1 day of lists match."),
        ("upvotes:>=1000000", None, "No papers from the last 1 day of lists match."),
    ],
)
def test_hint_for_no_match_describes_the_feed_beyond_the_window(
    query: str, older_matches: int | None, message: str
) -> None:
    preview = build_preview(query, window_of(make_paper()), older_matches)
    assert [hint.message for hint in preview.hints] == [message]


@pytest.mark.parametrize(
    ("matching", "days", "frequency"),
    [
        (0, 1, ""),
        (1, 6, "less than one per week"),
        (1, 5, "about 1 per week"),
        (3, 2, "about 8 per week"),
        (30, 5, "about 6 per weekday"),
    ],
)
def test_frequency_is_per_week_or_for_busy_feeds_per_weekday(
    matching: int, days: int, frequency: str
) -> None:
    zebrafish = [
        analyze(make_paper(f"2608.{number:05d}", title="Zebrafish")) for number in range(matching)
    ]
    window = window_of(make_paper(), *zebrafish, days=days)
    assert build_preview("zebrafish", window, None).frequency == frequency


def test_preview_of_an_invalid_query_is_an_error() -> None:
    with pytest.raises(QueryError):
        build_preview("causal OR", window_of(make_paper()), None)


@given(query_texts())
def test_query_problem_splits_the_query_at_the_error(text: str) -> None:
    error = parse_error(text)
    if error is not None:
        problem = query_problem(error)
        assert len(problem.character) == 1
        query = f"{problem.before}{problem.character}{problem.after}"
        assert query in {error.query, f"{error.query} "}
        assert len(problem.before) == min(error.position, len(error.query))


def parse_error(text: str) -> QueryError | None:
    try:
        parse_query(text)
    except QueryError as error:
        return error
    return None


# --- paper cards -------------------------------------------------------------------------------


def test_matching_authors_are_visible_however_long_the_list() -> None:
    paper = make_paper(authors=tuple(f"Ada Quill {number}" for number in range(671)))
    card = paper_card(paper, parse_query('author:"quill 400"'))
    assert len(card.authors) == 7
    assert card.authors[-1] == "Ada <mark>Quill 400</mark>"
    assert len(card.authors) + len(card.more_authors) == 671


@given(papers(), queries(), st.booleans())
def test_cards_have_no_markup_except_highlights(paper: Paper, query: Query, is_brief: bool) -> None:
    card = paper_card(paper, query, is_brief=is_brief)
    texts = [card.title, card.organization, *card.abstract, *card.authors, *card.more_authors]
    texts += [keyword.text for keyword in card.keywords]
    for text in texts:
        without_highlights = text.replace("<mark>", "").replace("</mark>", "")
        assert not set(without_highlights) & set("<>\"'")
    assert BeautifulSoup(f"<p>{card.title}</p>", "html.parser").get_text() == paper.title
    for keyword in card.keywords:
        assert matches(parse_query(keyword.query), paper)


# --- feeds -------------------------------------------------------------------------------------


@given(query_texts())
def test_config_snippet_is_toml_that_configures_the_query(text: str) -> None:
    query = " ".join(text.split())
    ((name, table),) = tomllib.loads(config_snippet(query))["feeds"].items()
    assert table["query"] == query
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    ("query", "snippet"),
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
def test_config_snippet_has_a_readable_name_and_quotes(query: str, snippet: str) -> None:
    assert config_snippet(query) == snippet


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (Page(Kind.DAY, "2026-11-04"), "4 November 2026"),
        (Page(Kind.WEEK, "2026-W08"), "Week 8 of 2026"),
        (Page(Kind.MONTH, "2026-11"), "November 2026"),
        (Page(Kind.TRENDING), "Trending"),
        (Page(Kind.SEARCH, "sea fog"), "sea fog"),
    ],
)
def test_each_kind_of_page_has_a_title(page: Page, title: str) -> None:
    assert page_title(page) == title


def test_subscribe_links_quote_the_whole_feed_url() -> None:
    feed_url = "http://a.example/papers.atom?q=%22a+b%22&limit=3"
    (name, url), *_ = subscribe_links({"Mine": "https://r.example/?u={url}&x=1"}, feed_url)
    assert name == "Mine"
    assert parse_qs(urlsplit(url).query) == {"u": [feed_url], "x": ["1"]}
