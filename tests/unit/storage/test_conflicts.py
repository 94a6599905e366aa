"""Which of two records wins after processes were disconnected from each other."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from feedsrv.models import (
    ArtefactRecord,
    Failure,
    Incident,
    IncidentLog,
    Kind,
    LinkedArtefacts,
    Listing,
    Page,
    RequestLog,
)
from feedsrv.storage.artefact_buckets import ArtefactBucket
from feedsrv.storage.conflicts import resolve_conflict
from feedsrv.storage.last_modified import LastModified, LastModifiedBucket
from feedsrv.storage.lease import Lease
from feedsrv.storage.repository import PageRedirect

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
NEXT_YEAR = NOON + timedelta(days=365)
FRIDAY = Page(Kind.DAY, "2026-11-20")


def make_listing(fetched_at: datetime) -> Listing:
    return Listing(page=FRIDAY, papers=(), fetched_at=fetched_at)


def make_failure(at: datetime) -> Failure:
    return Failure(reason="status 503", count=1, at=at, retry_at=NOON, since=at)


def make_incidents(at: datetime) -> IncidentLog:
    return IncidentLog((Incident(subject="day", reason="x", since=NOON, reported_at=at),))


def winner(
    ours: msgspec.Struct, theirs: msgspec.Struct, *, was_ours_stored: bool = False
) -> msgspec.Struct:
    return resolve_conflict(ours, theirs, LATER, was_ours_stored=was_ours_stored)


@pytest.mark.parametrize(
    ("early", "late"),
    [
        (make_listing(NOON), make_listing(LATER)),
        (make_failure(NOON), make_failure(LATER)),
        (make_incidents(NOON), make_incidents(LATER)),
    ],
)
def test_the_later_record_wins(early: msgspec.Struct, late: msgspec.Struct) -> None:
    for was_stored in (False, True):
        assert winner(early, late, was_ours_stored=was_stored) == late
        assert winner(late, early, was_ours_stored=was_stored) == late


def test_a_record_of_a_wrong_clock_loses() -> None:
    for make in (make_listing, make_failure):
        assert winner(make(NEXT_YEAR), make(NOON)) == make(NOON)
        assert winner(make(NOON), make(NEXT_YEAR)) == make(NOON)


def test_of_two_records_of_equal_or_no_time_ours_wins_unless_it_was_stored_once() -> None:
    failure = make_failure(NOON)
    pairs = [
        (failure, msgspec.structs.replace(failure, reason="theirs")),
        (PageRedirect(FRIDAY), PageRedirect(Page(Kind.DAY, "2026-11-19"))),
    ]
    for ours, theirs in pairs:
        assert winner(ours, theirs) is ours
        assert winner(ours, theirs, was_ours_stored=True) is theirs


def test_the_stored_lease_wins() -> None:
    for stored in (Lease("", NOON), Lease("other", NOON)):
        assert winner(Lease("ours", LATER), stored) is stored


def test_requests_of_both_logs_count_and_those_in_both_count_once() -> None:
    ours, theirs = RequestLog((NOON, NOON, LATER), (LATER,)), RequestLog((NOON, LATER, LATER))
    assert winner(ours, theirs) == RequestLog((NOON, NOON, LATER, LATER), (LATER,))


def test_last_modified_values_of_both_are_merged_and_the_later_of_each_url_wins() -> None:
    ours = LastModifiedBucket({"a": LastModified("1", NOON), "b": LastModified("2", NEXT_YEAR)})
    theirs = LastModifiedBucket({"b": LastModified("3", NOON), "c": LastModified("4", NOON)})
    merged = {
        "a": LastModified("1", NOON),
        "b": LastModified("2", NEXT_YEAR),
        "c": LastModified("4", NOON),
    }
    assert winner(ours, theirs) == winner(theirs, ours) == LastModifiedBucket(merged)


def test_of_artefacts_the_later_answer_about_each_paper_wins() -> None:
    early, late = ArtefactRecord(NOON), ArtefactRecord(LATER, LinkedArtefacts(1, "ada/tides"))
    ours = ArtefactBucket({"a": early, "b": late, "c": early, "d": early})
    theirs = ArtefactBucket({"b": early, "c": late, "d": ArtefactRecord(NEXT_YEAR), "e": early})
    merged = {"a": early, "b": late, "c": late, "d": early, "e": early}
    assert winner(ours, theirs) == ArtefactBucket(merged)


def test_papers_that_upstream_is_no_longer_asked_about_are_forgotten() -> None:
    bucket = ArtefactBucket({"a": ArtefactRecord(NOON)})
    two_months_later = ArtefactRecord(NOON + timedelta(days=61))
    assert bucket.with_paper("b", ArtefactRecord(LATER)).papers.keys() == {"a", "b"}
    assert bucket.with_paper("b", two_months_later).papers.keys() == {"b"}
