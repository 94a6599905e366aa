"""Which papers are checked for artefacts, and when."""

from datetime import UTC, datetime, timedelta

import pytest

from feedsrv.models import ArtefactRecord, RequestLog
from feedsrv.upstream.artefact_refresh import next_check_at, next_paper
from feedsrv.upstream.policy import next_request_at
from tests.support.builders import make_paper

NOW = datetime(2026, 8, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

#: Newest first: of today, of four days ago, and of seventeen days ago.
PAPERS = [
    make_paper("2608.99003", listed=NOW.date()),
    make_paper("2608.99002", listed=NOW.date() - timedelta(days=4)),
    make_paper("2608.99001", listed=NOW.date() - timedelta(days=17)),
]


def records(*hours_ago: float | None) -> dict[str, ArtefactRecord]:
    """Return records that were made so many hours ago, for the newest papers."""
    return {
        paper.id: ArtefactRecord(NOW - timedelta(hours=hours))
        for paper, hours in zip(PAPERS, hours_ago, strict=False)
        if hours is not None
    }


@pytest.mark.parametrize(
    ("hours_ago", "paper_id"),
    [
        ((), "2608.99003"),
        ((0,), "2608.99002"),
        ((30, None, 300), "2608.99002"),
        ((0, 0, 0), None),
        ((23.9, 23.9, 24 * 6.9), None),
        ((24, 30, 24 * 6.9), "2608.99002"),
        ((24, 30, 24 * 7), "2608.99001"),
        ((0, 0, -24 * 365), "2608.99001"),
    ],
)
def test_new_papers_come_first_then_the_oldest_answers_that_are_due(
    hours_ago: tuple[float | None, ...], paper_id: str | None
) -> None:
    assert next_paper(PAPERS, records(*hours_ago), NOW) == paper_id


def test_twenty_papers_are_asked_about_in_five_minutes_and_1500_a_day() -> None:
    recent = [NOW - timedelta(seconds=240) + number * SECOND for number in range(20)]
    assert next_check_at(recent[1:], NOW) == NOW
    assert next_check_at(recent, NOW) == NOW + timedelta(seconds=60)
    assert next_check_at([*recent[1:], NOW + timedelta(days=9)], NOW) == NOW
    day = [NOW - timedelta(hours=20) + number * SECOND for number in range(1500)]
    assert next_check_at(day[1:], NOW) == NOW
    assert next_check_at(day, NOW) == NOW + timedelta(hours=4)


@pytest.mark.parametrize(
    ("seconds_ago", "is_spare"),
    [
        ((), True),
        ((1,), True),
        ((1, 1, 1, 1), False),
        ((4, 4, 4, 4), True),
        (range(2, 60), True),
        (range(2, 61), False),
    ],
    ids=str,
)
def test_a_request_is_spare_if_another_one_could_follow_at_once(
    seconds_ago: tuple[int, ...], is_spare: bool
) -> None:
    request_log = RequestLog(tuple(sorted(NOW - SECOND * ago for ago in seconds_ago)))
    slot = next_request_at(request_log, NOW, adhoc=False, spacing=SECOND, is_spare=True)
    assert (slot <= NOW) is is_spare
