"""What several HTML pages show."""

from urllib.parse import parse_qs, urlsplit

import pytest

from feedsrv.models import Kind, Page
from feedsrv.web.pages import page_title, subscribe_links


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
