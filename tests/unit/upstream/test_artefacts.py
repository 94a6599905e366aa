"""Which artefacts an API response has, and about which paper upstream is asked when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from feedsrv.errors import ParseError
from feedsrv.models import ArtefactRecord, LinkedArtefacts, RequestLog
from feedsrv.upstream.artefacts import next_check_at, next_paper, parse_artefacts
from feedsrv.upstream.policy import has_spare_request
from tests.support.builders import make_paper

NOW = datetime(2026, 8, 24, 12, tzinfo=UTC)
URL = "https://huggingface.co/api/papers/2608.99001"
SECOND = timedelta(seconds=1)


def parse(body: object) -> ArtefactRecord:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_artefacts(data, URL, paper_id="2608.99001", checked_at=NOW)


def models(linked: Any, total: Any = None) -> LinkedArtefacts:
    return parse({"id": "2608.99001", "linkedModels": linked, "numTotalModels": total}).model


def test_a_response_has_the_number_of_artefacts_of_each_kind_and_one_of_them() -> None:
    record = parse(
        {
            "id": "2608.99001",
            "title": "Kite",
            "linkedModels": [{"id": "ada/kite-7b", "likes": 3}, {"id": "bo/kite"}],
            "numTotalModels": 14,
            "linkedDatasets": [{"id": "ada/winds"}],
            "numTotalDatasets": 1,
            "linkedSpaces": [],
            "numTotalSpaces": 0,
        }
    )
    assert record == ArtefactRecord(
        NOW, model=LinkedArtefacts(14, "ada/kite-7b"), dataset=LinkedArtefacts(1, "ada/winds")
    )


def test_a_paper_without_artefacts_has_none() -> None:
    assert parse({"id": "2608.99001v2"}) == ArtefactRecord(NOW)


@pytest.mark.parametrize(
    ("linked", "total", "expected"),
    [
        ([{"id": "kite"}], None, LinkedArtefacts(1, "kite")),
        ([{"id": "a/b"}, {"id": "c/d"}], 1, LinkedArtefacts(2, "a/b")),
        ([], 3, LinkedArtefacts(3)),
        (None, 3, LinkedArtefacts(3)),
        ([{"id": "a/b"}], -1, LinkedArtefacts(1, "a/b")),
        ([{"id": "a/b"}], 10**40, LinkedArtefacts(1, "a/b")),
        ([{"id": "a/b"}], "many", LinkedArtefacts(1, "a/b")),
        ([{"id": "a/b/c"}, {"id": "c/d"}], 2, LinkedArtefacts(2, "c/d")),
        ([{"id": "javascript:alert(1)"}], 1, LinkedArtefacts(1)),
        ([{"id": 7}, None, "a/b"], None, LinkedArtefacts(1, "7")),
        ({"id": "a/b"}, None, LinkedArtefacts()),
        ([{"id": "ada/secret", "private": True}], 1, LinkedArtefacts()),
        ([{"id": "ada/secret", "private": True}, {"id": "a/b"}], 5, LinkedArtefacts(4, "a/b")),
    ],
    ids=ascii,
)
def test_whatever_is_unexpected_counts_as_absent(
    linked: Any, total: Any, expected: LinkedArtefacts
) -> None:
    assert models(linked, total) == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"x"', b"{}", b'{"id": "2608.99002"}', b"[" * 100_000]
)
def test_a_response_about_no_or_another_paper_is_an_error(body: bytes) -> None:
    with pytest.raises(ParseError):
        parse(body)


# --- which paper ------------------------------------------------------------------------------

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
    assert has_spare_request(request_log, NOW, spacing=SECOND) is is_spare
