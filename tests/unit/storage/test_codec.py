"""Records as bytes, and which of two wins after processes went on alone for a while."""

from __future__ import annotations

import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from feedsrv.models import Failure, Kind, Listing, Page, RequestLog
from feedsrv.storage.codec import (
    LastModified,
    LastModifiedBucket,
    Lease,
    PageAlias,
    decode,
    encode,
    resolve_conflict,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
NEXT_YEAR = NOON + timedelta(days=365)
FRIDAY = Page(Kind.DAY, "2026-11-20")


def make_listing(fetched_at: datetime) -> Listing:
    return Listing(page=FRIDAY, papers=(), fetched_at=fetched_at)


def make_failure(at: datetime) -> Failure:
    return Failure(reason="status 503", count=1, at=at, retry_at=NOON, since=at)


def winner(ours: msgspec.Struct, theirs: msgspec.Struct) -> msgspec.Struct:
    data = resolve_conflict(type(ours), encode(ours)[0], encode(theirs)[0], LATER)
    return decode(data, type(ours))[0]


PAIRS = [
    (make_listing(NOON), make_listing(LATER)),
    (make_failure(NOON), make_failure(LATER)),
    (Lease("me", NOON), Lease("you", LATER)),
]


@pytest.mark.parametrize(("early", "late"), PAIRS)
def test_the_later_record_wins_whoever_has_it(early: msgspec.Struct, late: msgspec.Struct) -> None:
    assert winner(early, late) == late
    assert winner(late, early) == late


def test_a_record_of_a_wrong_clock_loses() -> None:
    for make in (make_listing, make_failure):
        assert winner(make(NEXT_YEAR), make(NOON)) == make(NOON)
        assert winner(make(NOON), make(NEXT_YEAR)) == make(NOON)


def test_ours_wins_where_both_are_alike_or_have_no_time() -> None:
    ours, theirs = Lease("ours", NOON), Lease("theirs", NOON)
    assert winner(ours, theirs) == ours
    alias, other = PageAlias(FRIDAY), PageAlias(Page(Kind.DAY, "2026-11-19"))
    assert winner(alias, other) == alias


@pytest.mark.parametrize("theirs", [None, b"", b"{", b"[]", zlib.compress(b"[]")])
def test_ours_wins_where_theirs_cannot_be_read(theirs: bytes | None) -> None:
    for record, _ in PAIRS:
        data, _ = encode(record)
        assert resolve_conflict(type(record), data, theirs, NOON) == data


def test_requests_of_both_logs_count_and_those_in_both_count_once() -> None:
    ours, theirs = RequestLog((NOON, NOON, LATER), (LATER,)), RequestLog((NOON, LATER, LATER))
    assert winner(ours, theirs) == RequestLog((NOON, NOON, LATER, LATER), (LATER,))


def test_last_modified_values_of_both_are_merged_and_the_later_of_each_url_wins() -> None:
    ours = LastModifiedBucket({"a": LastModified("1", NOON), "b": LastModified("2", LATER)})
    theirs = LastModifiedBucket({"b": LastModified("3", NOON), "c": LastModified("4", NOON)})
    assert (
        winner(ours, theirs)
        == winner(theirs, ours)
        == LastModifiedBucket(
            {
                "a": LastModified("1", NOON),
                "b": LastModified("2", LATER),
                "c": LastModified("4", NOON),
            }
        )
    )


def test_a_record_with_any_flipped_bit_is_never_read_as_another_one() -> None:
    record = make_failure(NOON)
    data, _ = encode(record)
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with suppress(msgspec.DecodeError):
            assert decode(bytes(damaged), Failure)[0] == record


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_a_record_that_is_cut_off_cannot_be_read(length: int) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(encode(make_failure(NOON))[0][:length], Failure)
