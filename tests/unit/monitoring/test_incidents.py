"""The incident log."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from feedsrv.errors import FetchError
from feedsrv.models import Failure, Incidents, Kind, Listing, Page
from feedsrv.monitoring.incidents import ALL_UPSTREAM, incident_entries, with_event
from feedsrv.upstream.events import FetchFailed, LayoutChanged, ListingFetched

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
TRENDING, WEEK = Page(Kind.TRENDING), Page(Kind.WEEK, "2026-W48")


def failure_lasting(hours: float) -> Failure:
    """Return a failure that began that many hours ago."""
    return Failure(
        reason="HTTP 503 (https://huggingface.co/x)",
        count=9,
        at=NOW,
        retry_at=NOW,
        since=NOW - timedelta(hours=hours),
    )


def with_failure(
    incidents: Incidents, page: Page, failure: Failure, outage: Failure | None, now: datetime
) -> Incidents:
    """Return the incidents after a page failed."""
    error = FetchError("https://huggingface.co/x", "HTTP 503")
    return with_event(incidents, FetchFailed(page, error, failure, outage), now)


def with_success(
    incidents: Incidents, page: Page, *, has_expected_layout: bool, now: datetime
) -> Incidents:
    """Return the incidents after a page was fetched."""
    source: Literal["data", "cards"] = "data" if has_expected_layout else "cards"
    listing = Listing(page=page, papers=(), fetched_at=now, parsed_from=source)
    return with_event(incidents, ListingFetched(page, listing), now)


def test_failures_of_less_than_six_hours_are_no_incident() -> None:
    assert with_failure((), TRENDING, failure_lasting(5.9), failure_lasting(5.9), NOW) == ()


def test_longer_failures_are_one_incident() -> None:
    incidents = with_failure((), TRENDING, failure_lasting(6), None, NOW)
    assert [incident.subject for incident in incidents] == ["trending"]
    assert incidents[0].reason == "HTTP 503", "without the URL"
    later = NOW + timedelta(hours=3)
    assert with_failure(incidents, TRENDING, failure_lasting(9), None, later) is incidents


def test_an_outage_of_upstream_is_one_incident_for_all_pages() -> None:
    incidents: Incidents = ()
    for page in (TRENDING, WEEK):
        incidents = with_failure(incidents, page, failure_lasting(6), failure_lasting(7), NOW)
    assert [incident.subject for incident in incidents] == [ALL_UPSTREAM]


def test_a_page_that_fails_longer_than_upstream_has_its_own_incident() -> None:
    incidents = with_failure((), TRENDING, failure_lasting(8), failure_lasting(1), NOW)
    assert [incident.subject for incident in incidents] == ["trending"]


def test_an_incident_ends_when_its_own_page_is_fetched() -> None:
    incidents = with_failure((), TRENDING, failure_lasting(6), None, NOW)
    assert with_success(incidents, WEEK, has_expected_layout=True, now=NOW) is incidents
    later = NOW + timedelta(hours=1)
    ended = with_success(incidents, TRENDING, has_expected_layout=True, now=later)
    assert ended[0].ended_at == later
    assert with_success(ended, TRENDING, has_expected_layout=True, now=later) is ended


def test_a_layout_change_ends_when_a_page_has_its_data_again() -> None:
    change = LayoutChanged(TRENDING, "no data")
    incidents = with_event((), change, NOW)
    assert with_event(incidents, change, NOW) is incidents
    assert with_success(incidents, TRENDING, has_expected_layout=False, now=NOW) is incidents
    assert with_success(incidents, TRENDING, has_expected_layout=True, now=NOW)[0].ended_at == NOW


def test_the_log_contains_the_newest_fifty_incidents() -> None:
    incidents: Incidents = ()
    for number in range(60):
        page = Page(Kind.SEARCH, f"word{number}")
        incidents = with_failure(incidents, page, failure_lasting(6), None, NOW)
    assert len(incidents) == 50
    assert incidents[0].subject == "search word59"


def test_entries_keep_id_and_title_when_the_incident_ends() -> None:
    page = Page(Kind.SEARCH, "<fog> & café")
    incidents = with_failure((), page, failure_lasting(6), None, NOW)
    (start,) = incident_entries(incidents, "http://h/status")
    ended = with_success(incidents, page, has_expected_layout=True, now=NOW)
    end, updated = incident_entries(ended, "http://h/status")
    assert (updated.id, updated.title, updated.published) == (
        start.id,
        start.title,
        start.published,
    )
    assert end.id == f"{start.id}:over"
    assert start.id.isascii()
    assert "It ended at 2026-11-24 09:30 UTC." in updated.content


def test_entry_ids_are_the_same_in_every_version() -> None:
    incidents = with_failure((), TRENDING, failure_lasting(6), None, NOW)
    (entry,) = incident_entries(incidents, "http://h/status")
    assert entry.id == "tag:feedsrv,2026:outage:e5b00078095d:20261124T033000Z"
