"""The incident log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from feedsrv.models import Failure, Incidents, Kind, Page
from feedsrv.monitoring import incidents as outage

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


TRENDING, WEEK = Page(Kind.TRENDING), Page(Kind.WEEK, "2026-W48")


def make_failure(hours: float) -> Failure:
    """Return one that began so many hours ago."""
    return Failure(
        reason="HTTP 503 (https://huggingface.co/x)",
        count=9,
        at=AT,
        retry_at=AT,
        since=AT - timedelta(hours=hours),
    )


def test_what_fails_for_less_than_six_hours_is_not_told() -> None:
    assert outage.record_failure((), TRENDING, make_failure(5.9), make_failure(5.9), AT) == ()


def test_what_fails_for_longer_is_told_once() -> None:
    known = outage.record_failure((), TRENDING, make_failure(6), None, AT)
    assert [each.subject for each in known] == ["trending"]
    assert known[0].reason == "HTTP 503", "without the address"
    later = AT + timedelta(hours=3)
    assert outage.record_failure(known, TRENDING, make_failure(9), None, later) is known


def test_where_all_of_upstream_fails_there_is_one_outage() -> None:
    known: Incidents = ()
    for page in (TRENDING, WEEK):
        known = outage.record_failure(known, page, make_failure(6), make_failure(7), AT)
    assert [each.subject for each in known] == [outage.ALL_UPSTREAM]


def test_a_list_that_fails_on_while_others_only_begin_to_has_its_own() -> None:
    known = outage.record_failure((), TRENDING, make_failure(8), make_failure(1), AT)
    assert [each.subject for each in known] == ["trending"]


def test_it_is_over_when_that_list_is_read_and_no_other() -> None:
    known = outage.record_failure((), TRENDING, make_failure(6), None, AT)
    assert outage.record_success(known, WEEK, whole=True, now=AT) is known
    later = AT + timedelta(hours=1)
    over = outage.record_success(known, TRENDING, whole=True, now=later)
    assert over[0].until == later
    assert outage.record_success(over, TRENDING, whole=True, now=later) is over


def test_a_layout_is_as_it_was_only_when_the_list_is_read_from_its_data() -> None:
    known = outage.record_layout_change((), TRENDING, "no data", AT)
    assert outage.record_layout_change(known, TRENDING, "no data", AT) is known
    assert outage.record_success(known, TRENDING, whole=False, now=AT) is known
    assert outage.record_success(known, TRENDING, whole=True, now=AT)[0].until == AT


def test_no_more_than_fifty_are_remembered() -> None:
    known: Incidents = ()
    for number in range(60):
        page = Page(Kind.SEARCH, f"word{number}")
        known = outage.record_failure(known, page, make_failure(6), None, AT)
    assert len(known) == 50
    assert known[0].subject == "search word59"


def test_an_entry_is_updated_and_never_renamed() -> None:
    known = outage.record_failure((), Page(Kind.SEARCH, "<fog> & café"), make_failure(6), None, AT)
    (begun,) = outage.incident_entries(known, "http://h/status")
    over = outage.record_success(known, Page(Kind.SEARCH, "<fog> & café"), whole=True, now=AT)
    ended, still = outage.incident_entries(over, "http://h/status")
    assert (still.id, still.title, still.published) == (begun.id, begun.title, begun.published)
    assert ended.id == f"{begun.id}:over"
    assert begun.id.isascii()
    assert "It was over at 2026-11-24 09:30 UTC." in still.content
