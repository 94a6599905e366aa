"""The dates and the id of a paper."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.support.builders import FETCHED_AT, make_paper

LATER = FETCHED_AT + timedelta(hours=3)
PUBLISHED = make_paper().published


@pytest.mark.parametrize(
    ("paper_id", "published"),
    [
        ("2608.03600", "2026-08-07T00:26:40+00:00"),
        ("2608.03601", "2026-08-07T00:26:41+00:00"),
        ("2608.07201", "2026-08-07T00:26:41+00:00"),
        ("2607.03601", "2026-08-07T00:40:01+00:00"),
        ("1802.0897", "2026-08-07T00:48:17+00:00"),
        ("sample-001", "2026-08-07T00:36:13+00:00"),
    ],
)
def test_the_id_decides_the_second_of_the_list_days_first_hour(
    paper_id: str, published: str
) -> None:
    """Served dates must never change."""
    assert make_paper(paper_id).published.isoformat() == published


def test_a_paper_without_a_list_day_is_published_on_its_arxiv_day() -> None:
    paper = make_paper(listed=None)
    assert paper.published == PUBLISHED - timedelta(days=2)


def test_the_papers_of_a_day_have_different_seconds() -> None:
    papers = [make_paper(f"2608.{number:05d}") for number in range(17_000, 20_600)]
    assert len({paper.published for paper in papers}) == 3600
    assert {paper.published.date() for paper in papers} == {date(2026, 8, 7)}
    assert {paper.published.hour for paper in papers} == {0}


@pytest.mark.parametrize(
    ("revised", "updated"),
    [
        (None, PUBLISHED),
        # The id determines the time before the fetch.
        (LATER, datetime(2026, 8, 7, 14, 53, 19, tzinfo=UTC)),
        (PUBLISHED + timedelta(seconds=9), PUBLISHED + timedelta(seconds=9)),
        # Found by a search and revised before it was listed.
        (datetime(2026, 8, 6, tzinfo=UTC), PUBLISHED),
    ],
    ids=["never-revised", "revised", "revised-soon", "revised-before"],
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


def test_papers_that_are_revised_at_once_have_different_seconds() -> None:
    papers = [make_paper(f"2608.{number:05d}", revised=LATER) for number in range(600)]
    assert len({paper.updated for paper in papers}) == 600
    assert all(LATER - timedelta(minutes=10) < paper.updated <= LATER for paper in papers)
    again = make_paper("2608.00007", revised=LATER + timedelta(seconds=1))
    assert again.updated == papers[7].updated + timedelta(seconds=1)
