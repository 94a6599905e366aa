"""The dates and the id of a paper."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.builders import FETCHED_AT, make_paper

LATER = FETCHED_AT + timedelta(hours=3)


def test_a_paper_is_published_at_the_midnight_of_its_list_day() -> None:
    assert make_paper().published == datetime(2026, 8, 7, tzinfo=UTC)


def test_a_paper_without_a_list_day_is_published_on_its_arxiv_day() -> None:
    assert make_paper(listed=None).published == datetime(2026, 8, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("revised", "updated"),
    [
        (None, datetime(2026, 8, 7, tzinfo=UTC)),
        (LATER, LATER),
        # Found by a search, and revised before it was listed.
        (datetime(2026, 8, 6, tzinfo=UTC), datetime(2026, 8, 7, tzinfo=UTC)),
    ],
    ids=["never-revised", "revised", "revised-before"],
)
def test_updated_is_never_before_published(revised: datetime | None, updated: datetime) -> None:
    assert make_paper(revised=revised).updated == updated


@pytest.mark.parametrize(
    ("paper_id", "is_arxiv"),
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
def test_an_arxiv_id_is_four_digits_a_dot_and_four_or_five_digits(
    paper_id: str, is_arxiv: bool
) -> None:
    assert make_paper(paper_id).is_arxiv is is_arxiv
