"""Which of two values stands, where processes went on alone for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from feedsrv.models import Failure, Kind, Listing, Page, RequestLog
from feedsrv.storage.codec import LastModified, Lease, PageAlias, decode, encode, resolve_conflict

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
FRIDAY = Page(Kind.DAY, "2026-11-20")


def listing(read_at: datetime) -> Listing:
    return Listing(page=FRIDAY, papers=(), fetched_at=read_at)


def failure(at: datetime) -> Failure:
    return Failure(reason="status 503", count=1, at=at, retry_at=NOON, since=at)


PAIRS = [
    (listing(NOON), listing(LATER)),
    (failure(NOON), failure(LATER)),
    (Lease("me", NOON), Lease("you", LATER)),
    (LastModified("x", NOON), LastModified("y", LATER)),
]


@pytest.mark.parametrize(("early", "late"), PAIRS)
def test_the_later_one_stands_whoever_has_it(early: msgspec.Struct, late: msgspec.Struct) -> None:
    kind = type(late)
    assert decode(resolve_conflict(kind, encode(early), encode(late)), kind) == late
    assert decode(resolve_conflict(kind, encode(late), encode(early)), kind) == late


def test_of_two_that_are_alike_and_of_those_that_have_no_time_ours_stands() -> None:
    ours, theirs = encode(LastModified("ours", NOON)), encode(LastModified("theirs", NOON))
    assert resolve_conflict(LastModified, ours, theirs) == ours
    ours, theirs = encode(PageAlias(FRIDAY)), encode(PageAlias(Page(Kind.DAY, "2026-11-19")))
    assert resolve_conflict(PageAlias, ours, theirs) == ours


@pytest.mark.parametrize("theirs", [None, b"", b"{", b"[]"])
def test_ours_stands_where_theirs_is_none_that_can_be_read(theirs: bytes | None) -> None:
    for each, _ in PAIRS:
        assert resolve_conflict(type(each), encode(each), theirs) == encode(each)


def test_requests_of_both_count_and_those_that_both_know_of_count_once() -> None:
    ours, theirs = RequestLog((NOON, NOON, LATER), (LATER,)), RequestLog((NOON, LATER, LATER))
    both = decode(resolve_conflict(RequestLog, encode(ours), encode(theirs)), RequestLog)
    assert both == RequestLog((NOON, NOON, LATER, LATER), (LATER,))
