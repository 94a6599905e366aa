"""Template filters."""

from datetime import UTC, date, datetime, timedelta

import pytest

from feedsrv.web import filters

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "no papers"), (1, "1 paper"), (2, "2 papers"), (1512, "1,512 papers")],
)
def test_counts_have_a_plural(value: int, expected: str) -> None:
    assert filters.format_count(value, "paper") == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(0, 0, "0"), (0, 9, "0"), (1, 1000, "<1"), (61, 100, "61"), (9, 9, "100")],
)
def test_shares_are_in_whole_percent(part: int, whole: int, expected: str) -> None:
    assert filters.format_share(part, whole) == f"{expected}\u202f%"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (12 * 60, "12 minutes ago"),
        (3600, "1 hour ago"),
        (47 * 3600, "47 hours ago"),
        (48 * 3600, "2 days ago"),
        (9 * 86400, "9 days ago"),
    ],
)
def test_time_ago_uses_the_largest_unit(seconds: int, expected: str) -> None:
    assert filters.time_ago(NOON - timedelta(seconds=seconds), NOON) == expected


def test_time_until_never_is_in_the_past() -> None:
    assert filters.time_until(NOON + timedelta(minutes=2), NOON) == "in 2 minutes"
    assert filters.time_until(NOON + timedelta(seconds=2), NOON) == "in a moment"
    assert filters.time_until(NOON - timedelta(hours=2), NOON) == "in a moment"


def test_dates_have_the_month_in_full() -> None:
    assert filters.long_date(date(2026, 11, 4)) == "4 November 2026"
    assert filters.short_date(date(2026, 11, 4)) == "4 November"
    assert filters.format_timestamp(NOON) == "24 November 2026, 12:00 UTC"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "no bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (94_200, "94\u202fkB"),
        (999_400, "999\u202fkB"),
        (999_600, "1.0\u202fMB"),
        (4_210_000, "4.2\u202fMB"),
    ],
)
def test_file_sizes_have_a_unit(value: int, expected: str) -> None:
    assert filters.format_file_size(value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("there is none", "There is none."), ("Why?", "Why?"), ("  a. ", "A."), ("", "")],
)
def test_sentence_adds_a_capital_and_a_full_stop(text: str, expected: str) -> None:
    assert filters.sentence(text) == expected
