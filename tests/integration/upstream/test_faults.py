"""The outcome of each fault of upstream: in the client and the parser, and in one refresh."""

import re
import socket
from pathlib import Path

import pytest
from werkzeug.wrappers import Response

from feedsrv.errors import ParseError, UpstreamError
from feedsrv.models import Kind, Page
from feedsrv.upstream.client import UpstreamClient
from feedsrv.upstream.parser import parse_api_response, parse_page
from feedsrv.upstream.paths import api_path, page_path
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.faults import FAULT_OUTCOMES, FAULTS, HANGING, SCOPES
from tests.support.servers import serve_tcp
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream

FEED = "/papers.atom"
#: The reasons of the API that differ from the page's.
API_REASONS = {
    "nolist": "the API response is not a list of papers",
    "badjson": "2 from api",
    "badutf8": "the API response is not a list of papers",
    "cards-only": "HTTP 500",
    "shrunk": "1 from api",
}
#: One page of each kind.
PAGES = [
    Page(Kind.DAY, "2026-11-24"),
    Page(Kind.WEEK, "2026-W48"),
    Page(Kind.MONTH, "2026-11"),
    Page(Kind.TRENDING),
    Page(Kind.SEARCH, "causal"),
]


def fetch_listing(url: str, clock: Clock, *, api: bool, seconds: float) -> str:
    """Return the number of papers of the newest day and their origin, or the error's reason."""
    day = Page(Kind.DAY, clock.today().isoformat())
    with UpstreamClient(url, agent="feedsrv/test") as client:
        try:
            fetched = client.get(
                api_path(day, clock.today()) if api else page_path(day),
                client.deadline_after(seconds),
            )
            parse = parse_api_response if api else parse_page
            listing = parse(fetched.body, fetched.url, requested=day, fetched_at=clock())
        except UpstreamError as error:
            return error.reason
    return f"{len(listing.papers)} from {listing.parsed_from}"


def test_every_fault_has_an_expected_outcome() -> None:
    assert FAULT_OUTCOMES.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_the_expected_listing_or_error(
    upstream: FakeUpstream, clock: Clock, fault: str
) -> None:
    upstream.inject_fault(fault)
    seconds = 0.3 if fault in HANGING else 30.0
    outcome = fetch_listing(upstream.url, clock, api=False, seconds=seconds)
    if fault == "api-down":  # a JSON response instead of a page
        assert outcome == "HTTP 500"
    else:
        assert re.match(FAULT_OUTCOMES[fault].both_fail, outcome)
    outcome = fetch_listing(upstream.url, clock, api=True, seconds=seconds)
    assert re.match(API_REASONS.get(fault, FAULT_OUTCOMES[fault].both_fail), outcome)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_redirect_to_another_server_is_not_followed(
    make_service: MakeService, upstream: FakeUpstream, scope: str
) -> None:
    connections: list[socket.socket] = []
    with serve_tcp(connections.append) as other_server:
        upstream.intercept = lambda path: (
            Response("", 302, {"Location": f"{other_server}{path}"})
            if path.startswith(SCOPES[scope])
            else None
        )
        response = create_app(make_service()).test_client().get(FEED)
        assert response.status_code == (503 if scope == "both" else 200)
    assert connections == []


# --- pages that cannot be parsed ----------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.kind))
def test_a_page_that_cannot_be_parsed_is_saved_for_a_bug_report(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, tmp_path: Path, page: Page
) -> None:
    service = make_service()
    upstream.inject_fault("nolist")
    with pytest.raises(ParseError):
        service.refresh_page(page)
    saved = tmp_path / "store" / "unreadable"
    assert service.repository.unparsed_pages.list_all() == (
        (page.kind, saved / f"{page.kind}.html", clock()),
        (page.kind, saved / f"{page.kind}.json", clock()),
    )
    assert b"Redesigned" in (saved / f"{page.kind}.html").read_bytes()


def test_a_page_parsed_from_its_cards_is_also_saved(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    service = make_service()
    upstream.inject_fault("cards-only")
    assert service.refresh_page(service.newest_day()).parsed_from == "cards"
    assert [saved.path.name for saved in service.repository.unparsed_pages.list_all()] == [
        "day.html"
    ]


def test_a_page_that_crashes_the_parser_is_saved_and_backed_off(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    monkeypatch.setattr("feedsrv.upstream.fetch.parse_page", lambda *args, **kwargs: 1 / 0)
    client = create_app(service).test_client()
    for _ in range(3):
        response = client.get(FEED)
        assert response.status_code == 503
        assert response.json is not None
        assert "unexpected error" in response.json["detail"]
    assert len(upstream.requests) == 1
    assert [saved.path.name for saved in service.repository.unparsed_pages.list_all()] == [
        "day.html"
    ]
    monkeypatch.undo()
    clock.forward(minutes=2)
    assert client.get(FEED).status_code == 200


@pytest.mark.parametrize(
    ("prefix", "fault", "status"),
    [
        ("/papers", "", 200),
        ("/api", "404", 503),
        ("/api", "nolist", 503),
        ("/api", "cards-only", 200),
    ],
)
def test_retry_after_is_honoured_from_the_page_and_from_the_api(
    make_service: MakeService,
    upstream: FakeUpstream,
    clock: Clock,
    prefix: str,
    fault: str,
    status: int,
) -> None:
    headers = {"Retry-After": "120"}
    upstream.intercept = lambda path: (
        Response("", 429, headers) if path.startswith(prefix) else None
    )
    upstream.inject_fault(fault, "/papers")
    client = create_app(make_service()).test_client()
    assert client.get(FEED).status_code == status
    response = client.get("/papers/trending.atom")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "120")
    assert len(upstream.requests) == 2
    upstream.recover()
    clock.forward(seconds=121)
    assert client.get("/papers/trending.atom").status_code == 200


# --- damaged data -------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
def test_papers_lost_to_damage_on_the_page_come_from_the_api(
    make_service: MakeService, upstream: FakeUpstream, scope: str
) -> None:
    upstream.damage = (b"Causal lighthouses", b"Causal \x5cx lighthouses", SCOPES[scope])
    listing = make_service().refresh_page(Page(Kind.DAY, "2026-11-24"))
    expected = {"the page": "3 from api", "the API": "3 from data", "both": "2 from data"}[scope]
    assert f"{len(listing.papers)} from {listing.parsed_from}" == expected
    assert all(paper.authors and paper.abstract for paper in listing.papers)
