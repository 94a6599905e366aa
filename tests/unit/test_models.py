"""What a paper's dates mean, which pages cover a window, and how readings follow each other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.models import Kind, Page, Paper, pages_covering
from tests.support.builders import READ_AT, make_paper

LATER = READ_AT + timedelta(hours=3)
TRENDING = Page(Kind.TRENDING)
SEARCH = Page(Kind.SEARCH, "kites")


def paper_ids(papers: tuple[Paper, ...]) -> list[str]:
    return [one.id for one in papers]


# --- dates -----------------------------------------------------------------------------------


def test_a_paper_is_published_at_the_midnight_of_its_list_day() -> None:
    assert make_paper().published == datetime(2026, 8, 7, tzinfo=UTC)


def test_a_paper_never_listed_is_published_on_its_arxiv_day() -> None:
    assert make_paper(listed=None).published == datetime(2026, 8, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("revised", "updated"),
    [
        (None, datetime(2026, 8, 7, tzinfo=UTC)),
        (LATER, LATER),
        # Known from a search and revised before it came to Daily.
        (datetime(2026, 8, 6, tzinfo=UTC), datetime(2026, 8, 7, tzinfo=UTC)),
    ],
    ids=["never-revised", "revised", "revised-before"],
)
def test_a_paper_is_never_updated_before_it_was_published(
    revised: datetime | None, updated: datetime
) -> None:
    assert make_paper(revised=revised).updated == updated


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("2608.99001", True),
        ("1802.0897", True),
        ("sample-001", False),
        ("2608.99001v2", False),
        ("2608.990011", False),
        ("x2608.99001", False),
        ("2608.99001\n", False),
    ],
)
def test_an_id_of_arxiv_is_four_digits_a_point_and_four_or_five(name: str, known: bool) -> None:
    assert make_paper(name).is_arxiv is known


# --- which pages -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "today", "days", "keys"),
    [
        (Kind.DAY, date(2026, 3, 1), 3, ["2026-03-01", "2026-02-28", "2026-02-27"]),
        (Kind.DAY, date(2024, 3, 1), 2, ["2024-03-01", "2024-02-29"]),
        (Kind.WEEK, date(2026, 8, 10), 2, ["2026-W33", "2026-W32"]),
        (Kind.WEEK, date(2026, 8, 9), 7, ["2026-W32"]),
        (Kind.WEEK, date(2026, 8, 9), 8, ["2026-W32", "2026-W31"]),
        (Kind.WEEK, date(2021, 1, 3), 7, ["2020-W53"]),
        (Kind.WEEK, date(2021, 1, 4), 9, ["2021-W01", "2020-W53", "2020-W52"]),
        (Kind.WEEK, date(2024, 12, 31), 3, ["2025-W01", "2024-W52"]),
        (Kind.MONTH, date(2026, 8, 31), 31, ["2026-08"]),
        (Kind.MONTH, date(2026, 8, 31), 32, ["2026-08", "2026-07"]),
        (Kind.MONTH, date(2026, 1, 1), 2, ["2026-01", "2025-12"]),
        (Kind.MONTH, date(2026, 3, 30), 31, ["2026-03", "2026-02"]),
        (Kind.TRENDING, date(2026, 8, 7), 30, [""]),
        (Kind.DAY, date(2026, 8, 7), 0, []),
    ],
    ids=[
        "february", "leap-day", "monday", "one-week", "week-and-a-day", "week-53-in-january",
        "over-week-53", "week-1-in-december", "one-month", "month-and-a-day", "new-year",
        "short-february", "trending", "no-days",
    ],
)  # fmt: skip
def test_the_pages_of_a_window_stand_once_each_and_newest_first(
    kind: Kind, today: date, days: int, keys: list[str]
) -> None:
    assert pages_covering(kind, today, days) == tuple(Page(kind, key) for key in keys)


@given(st.dates(date(2023, 5, 4), date(2100, 1, 1)), st.integers(1, 100))
def test_every_day_of_a_window_lies_on_one_of_its_pages(today: date, days: int) -> None:
    first = today - timedelta(days=days - 1)
    assert len(pages_covering(Kind.DAY, today, days)) == days
    weeks = [page.key for page in pages_covering(Kind.WEEK, today, days)]
    months = [page.key for page in pages_covering(Kind.MONTH, today, days)]
    mondays = [datetime.strptime(f"{week}-1", "%G-W%V-%u").date() for week in weeks]  # noqa: DTZ007
    assert mondays[-1] <= first <= today <= mondays[0] + timedelta(days=6)
    assert {newer - older for newer, older in pairwise(mondays)} <= {timedelta(days=7)}
    assert months == sorted(set(months), reverse=True)
    assert (months[0], months[-1]) == (f"{today:%Y-%m}", f"{first:%Y-%m}")
