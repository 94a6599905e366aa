"""The paths of upstream's pages and of its JSON API."""

from datetime import date

import pytest

from feedsrv.models import Kind, Page
from feedsrv.upstream.paths import api_path, page_path


@pytest.mark.parametrize(
    ("page", "path"),
    [
        (Page(Kind.DAY, "2026-08-07"), "/papers/date/2026-08-07"),
        (Page(Kind.WEEK, "2026-W01"), "/papers/week/2026-W01"),
        (Page(Kind.MONTH, "2026-08"), "/papers/month/2026-08"),
        (Page(Kind.TRENDING), "/papers/trending"),
        (Page(Kind.SEARCH, "pear tree"), "/papers?q=pear+tree"),
        (Page(Kind.SEARCH, "C++ & 100%/#1?"), "/papers?q=C%2B%2B+%26+100%25%2F%231%3F"),
        (Page(Kind.SEARCH, "世界 é"), "/papers?q=%E4%B8%96%E7%95%8C+%C3%A9"),
    ],
    ids=["day", "week", "month", "trending", "search", "search-signs", "search-unicode"],
)
def test_each_kind_of_page_has_its_path(page: Page, path: str) -> None:
    assert page_path(page) == path


@pytest.mark.parametrize(
    ("page", "path"),
    [
        (Page(Kind.DAY, "2026-08-06"), "/api/daily_papers?date=2026-08-06&limit=100"),
        (Page(Kind.DAY, "2026-08-07"), "/api/daily_papers?limit=100"),
        (Page(Kind.DAY, "2026-08-08"), "/api/daily_papers?limit=100"),
        (Page(Kind.WEEK, "2026-W32"), "/api/daily_papers?week=2026-W32&limit=100"),
        (Page(Kind.MONTH, "2026-08"), "/api/daily_papers?month=2026-08&limit=100"),
        (Page(Kind.TRENDING), "/api/daily_papers?sort=trending&limit=50"),
        (Page(Kind.SEARCH, "C++ & co"), "/api/papers/search?q=C%2B%2B+%26+co&limit=120"),
    ],
    ids=["past-day", "today", "future-day", "week", "month", "trending", "search"],
)
def test_each_kind_of_page_has_its_api_path(page: Page, path: str) -> None:
    assert api_path(page, date(2026, 8, 7)) == path
