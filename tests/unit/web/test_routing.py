"""Keys of dated lists, and redirects of nearly correct URLs."""

import pytest
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

from feedsrv.models import Kind
from feedsrv.web.routing import nearest_path, parse_period

ROUTES = Map(
    [
        Rule(path, endpoint=path)
        for suffix in ("", ".<suffix>")
        for path in (
            f"/papers{suffix}",
            f"/papers/<any(trending,week,month):listing>{suffix}",
            f"/papers/<any(date,week,month):period>/<key>{suffix}",
            f"/feeds/<names>{suffix}",
        )
    ]
    + [Rule("/", endpoint="/"), Rule("/feeds.opml", endpoint="/feeds.opml")],
    merge_slashes=False,
)


@pytest.mark.parametrize(
    ("kind", "text", "key"),
    [
        (Kind.DAY, "2026-11-24", "2026-11-24"),
        (Kind.DAY, "2026-1-5", "2026-01-05"),
        (Kind.DAY, "20261124", "2026-11-24"),
        (Kind.DAY, "2024-02-29", "2024-02-29"),
        (Kind.DAY, "0001-01-01", "0001-01-01"),
        (Kind.DAY, "9999-12-31", "9999-12-31"),
        (Kind.WEEK, "2026-W48", "2026-W48"),
        (Kind.WEEK, "2026-w48", "2026-W48"),
        (Kind.WEEK, "2026-48", "2026-W48"),
        (Kind.WEEK, "2026W8", "2026-W08"),
        (Kind.WEEK, "2025-W53", "2025-W53"),
        (Kind.MONTH, "2026-11", "2026-11"),
        (Kind.MONTH, "2026-5", "2026-05"),
        (Kind.MONTH, "202605", "2026-05"),
    ],
)
def test_the_key_of_a_list_may_lack_a_zero_or_a_separator(kind: Kind, text: str, key: str) -> None:
    assert parse_period(kind, text).key == key


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.DAY, "2026-02-30"),
        (Kind.DAY, "2026-13-01"),
        (Kind.DAY, "2026-W48"),
        (Kind.DAY, "2026-11"),
        (Kind.DAY, "0000-01-01"),
        (Kind.DAY, "today"),
        (Kind.DAY, "2026-11-24T00:00"),
        (Kind.DAY, "٢٠٢٦-11-24"),
        (Kind.WEEK, "2026-W00"),
        (Kind.WEEK, "2026-W54"),
        (Kind.WEEK, "0000-W01"),
        (Kind.WEEK, "W48"),
        (Kind.MONTH, "2026-00"),
        (Kind.MONTH, "2026-13"),
        (Kind.MONTH, "november"),
        (Kind.MONTH, ""),
    ],
)
def test_a_period_that_does_not_exist_is_not_found_with_the_valid_form(
    kind: Kind, text: str
) -> None:
    with pytest.raises(NotFound) as caught:
        parse_period(kind, text)
    assert f"There is no {kind} {text}" in str(caught.value.description)
    assert "YYYY" in str(caught.value.description)


@pytest.mark.parametrize(
    ("path", "intended"),
    [
        ("/papers/", "/papers"),
        ("/papers.atom/", "/papers.atom"),
        ("//papers.atom", "/papers.atom"),
        ("/papers//week.atom", "/papers/week.atom"),
        ("/papers/date/2026-11-24/", "/papers/date/2026-11-24"),
        ("/papers/date//2026-11-24.atom//", "/papers/date/2026-11-24.atom"),
        ("/papers.ATOM", "/papers.atom"),
        ("/papers.Rss/", "/papers.rss"),
        ("/feeds.OPML", "/feeds.opml"),
        ("/Papers.JSON", "/papers.json"),
        ("/papers/Trending", "/papers/trending"),
        ("/PAPERS/WEEK/2026-W48.ATOM", "/papers/week/2026-W48.atom"),
        ("/Feeds/Sea.atom", "/feeds/Sea.atom"),
        ("/feeds/Week.ATOM", "/feeds/Week.atom"),
        ("/papers/2026-11-24.atom", "/papers/date/2026-11-24.atom"),
        ("/papers/day/2026-11-24", "/papers/date/2026-11-24"),
        ("/papers/2026-W48.rss", "/papers/week/2026-W48.rss"),
        ("/papers/2026-11", "/papers/month/2026-11"),
    ],
)
def test_a_nearly_correct_path_is_rewritten_to_the_intended_one(path: str, intended: str) -> None:
    is_known = ROUTES.bind("").test(path, "GET")
    assert nearest_path(path, ROUTES, is_known=is_known) == intended


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/papers.atom",
        "/papers/date/2026-11-24.atom",
        "/feeds/Week.atom",
        "/feeds/a+B.json",
        "/feeds.opml",
        "/nothing/",
        "//nothing",
        "/feeds/",
        "/papers/year.ATOM",
        "/papers.XML",
    ],
)
def test_other_paths_are_unchanged(path: str) -> None:
    is_known = ROUTES.bind("").test(path, "GET")
    assert nearest_path(path, ROUTES, is_known=is_known) is None
