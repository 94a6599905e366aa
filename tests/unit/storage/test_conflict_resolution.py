"""Which of two values stands, where processes went on alone for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from feedsrv.freshness import Failure, Turns
from feedsrv.paper import Kind, Listing, Page
from feedsrv.value import Lease, Moved, Stamp, packed, standing, unpacked

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
FRIDAY = Page(Kind.DAY, "2026-11-20")


def listing(read_at: datetime) -> Listing:
    return Listing(page=FRIDAY, papers=(), read_at=read_at)


def failure(at: datetime) -> Failure:
    return Failure(reason="status 503", count=1, at=at, retry_at=NOON)


PAIRS = [
    (listing(NOON), listing(LATER)),
    (failure(NOON), failure(LATER)),
    (Lease("me", NOON), Lease("you", LATER)),
    (Stamp("x", NOON), Stamp("y", LATER)),
]


@pytest.mark.parametrize(("early", "late"), PAIRS)
def test_the_later_one_stands_whoever_has_it(early: msgspec.Struct, late: msgspec.Struct) -> None:
    kind = type(late)
    assert unpacked(standing(kind, packed(early), packed(late)), kind) == late
    assert unpacked(standing(kind, packed(late), packed(early)), kind) == late


def test_of_two_that_are_alike_and_of_those_that_have_no_time_ours_stands() -> None:
    ours, theirs = packed(Stamp("ours", NOON)), packed(Stamp("theirs", NOON))
    assert standing(Stamp, ours, theirs) == ours
    ours, theirs = packed(Moved(FRIDAY)), packed(Moved(Page(Kind.DAY, "2026-11-19")))
    assert standing(Moved, ours, theirs) == ours


@pytest.mark.parametrize("theirs", [None, b"", b"{", b"[]"])
def test_ours_stands_where_theirs_is_none_that_can_be_read(theirs: bytes | None) -> None:
    for each, _ in PAIRS:
        assert standing(type(each), packed(each), theirs) == packed(each)


def test_requests_of_both_count_and_those_that_both_know_of_count_once() -> None:
    ours, theirs = Turns((NOON, NOON, LATER), (LATER,)), Turns((NOON, LATER, LATER))
    both = unpacked(standing(Turns, packed(ours), packed(theirs)), Turns)
    assert both == Turns((NOON, NOON, LATER, LATER), (LATER,))
