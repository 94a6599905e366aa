"""Whatever happens upstream: each fault, by page and API, with nothing kept and with something."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import feedparser
import pytest
from werkzeug.wrappers import Response

from feedsrv.errors import ParseError
from feedsrv.feeds.service import Service
from feedsrv.models import Kind, Page
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.faults import FAULTS, HANGING
from tests.support.loopback import Loopback, answering, raw_paper

Make = Callable[..., Service]
Until = Callable[[Callable[[], bool]], None]

FEED = "/papers.atom"
SCOPES = {"the page": "/papers", "the API": "/api", "both": "/"}


class Seen(NamedTuple):
    """What a reader sees who asks while nothing is kept: entries and where from, or why not."""

    page_fails: str
    api_fails: str
    both_fail: str


#: With something kept, all of these give what is kept: 200, the same bytes, at once.
TABLE = {
    "500": Seen("3 from api", "3 from data", "status 500"),
    "503": Seen("3 from api", "3 from data", "status 503"),
    "403": Seen("3 from api", "3 from data", "status 403"),
    "404": Seen("3 from api", "3 from data", "status 404"),
    "429": Seen("3 from api", "3 from data", "too many requests"),
    "429-retry-after": Seen("3 from api", "3 from data", "too many requests"),
    "waf": Seen("3 from api", "3 from data", "a wall against bots"),
    "timeout": Seen("3 from api", "3 from data", "no answer (in time|within)"),
    "slow": Seen("3 from api", "3 from data", "no (whole )?answer (in time|within)"),
    "reset": Seen("3 from api", "3 from data", "no answer: "),
    "truncate": Seen("3 from api", "3 from data", "no answer: peer closed connection"),
    "empty": Seen("3 from api", "3 from data", "an empty answer"),
    "nolist": Seen("3 from api", "3 from data", "no data of a list of papers"),
    "badjson": Seen("3 from api", "3 from data", "3 from cards"),
    "badutf8": Seen("3 from api", "3 from data", "no data of a list of papers"),
    "huge": Seen("3 from api", "3 from data", "over 8 MB"),
    "bomb": Seen("3 from api", "3 from data", "over 8 MB"),
    "redirect-out": Seen("3 from api", "3 from data", "sends to another server"),
    "login": Seen("3 from api", "3 from data", "asks to log in"),
    "shrunk": Seen("1 from data", "3 from data", "1 from data"),
    "cards-only": Seen("3 from api", "3 from data", "3 from cards"),
    "api-down": Seen("3 from api", "3 from data", "status 500"),
}
#: One page of each kind.
PAGES = [
    Page(Kind.DAY, "2026-11-24"),
    Page(Kind.WEEK, "2026-W48"),
    Page(Kind.MONTH, "2026-11"),
    Page(Kind.TRENDING),
    Page(Kind.SEARCH, "causal"),
]
each_fault = pytest.mark.parametrize("fault", TABLE)
alone = pytest.mark.usefixtures("nobody_else_is_contacted")
each_scope = pytest.mark.parametrize("scope", SCOPES)


@pytest.fixture
def nobody_else_is_contacted(upstream: Loopback, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hold a test to it: no connection and no name looked up but upstream's."""
    contacted: set[tuple[Any, ...]] = set()
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connecting(self: socket.socket, address: tuple[Any, ...]) -> None:
        contacted.add(address[:2])
        connect(self, address)

    def looking_up(host: str, port: int, *args: Any, **more: Any) -> Any:
        contacted.add((host, port))
        return look_up(host, port, *args, **more)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    yield
    assert contacted == {("127.0.0.1", int(upstream.url.rpartition(":")[2]))}


def deadline(fault: str, seconds: float) -> float:
    """Return the seconds where nothing else ends the fault, and many where it ends by itself."""
    return seconds if fault in HANGING else 30.0


def test_every_fault_stands_in_the_table() -> None:
    assert TABLE.keys() == FAULTS.keys()


@alone
@each_scope
@each_fault
def test_with_nothing_kept_the_other_way_is_tried_and_a_failure_says_why_and_when(
    make_service: Make, upstream: Loopback, fault: str, scope: str
) -> None:
    service = make_service(deadline=deadline(fault, 3.0))
    upstream.arm(fault, SCOPES[scope])
    answer = create_app(service).test_client().get(FEED)
    expected = TABLE[fault][list(SCOPES).index(scope)]
    if expected[0].isdigit():
        kept = service.repository.get_listing(service.newest_day())
        assert answer.status_code == 200
        assert kept is not None
        assert f"{len(feedparser.parse(answer.data).entries)} from {kept.source}" == expected
    else:
        assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
        assert answer.json is not None
        said = answer.json["detail"].removeprefix("nothing has been read from Hugging Face yet: ")
        assert re.match(expected, said)
        assert answer.headers["Retry-After"] == str(answer.json["retry_after"]) == "60"


#: Minutes after the list was read at which readers ask while the fault lasts.
POLLS = {"once": (21,), "for an hour": (21, 51, 81)}


@alone
@pytest.mark.parametrize("lasting", POLLS)
@each_scope
@each_fault
def test_what_is_kept_is_served_at_once_and_to_the_byte_and_news_come_when_it_is_over(
    make_service: Make,
    upstream: Loopback,
    clock: Clock,
    until: Until,
    fault: str,
    scope: str,
    lasting: str,
) -> None:
    calm = create_app(make_service(deadline=30.0)).test_client()
    kept = calm.get(FEED)
    service = make_service(deadline=deadline(fault, 0.5))
    client = create_app(service).test_client()
    gate = threading.Event()

    def hold(path: str) -> None:
        gate.wait(20)

    upstream.fault = hold
    upstream.arm(fault, SCOPES[scope])
    before = 0
    for minutes in POLLS[lasting]:
        clock.forward(minutes=minutes - before)
        before = minutes
        gate.clear()
        answer = client.get(FEED)
        assert (answer.status_code, answer.data) == (200, kept.data)
        assert fault in HANGING or not service._scheduler.is_idle(), "before upstream answered"
        gate.set()
        until(service._scheduler.is_idle)
    assert client.get(FEED).data == kept.data, "nor does what was read meanwhile change it"
    assert len(upstream.log) > len(POLLS[lasting]), "upstream was asked each time"
    upstream.up()
    upstream.papers.append(raw_paper(9))
    clock.forward(minutes=31)
    until(lambda: b"2611.00009" in calm.get(FEED).data)


# --- nobody else is contacted ------------------------------------------------------------------


@each_scope
def test_where_a_redirect_leads_to_out_of_upstream_nobody_is_asked(
    make_service: Make, upstream: Loopback, scope: str
) -> None:
    heard: list[socket.socket] = []
    with answering(heard.append) as outside:
        upstream.fault = lambda path: (
            Response("", 302, {"Location": f"{outside}{path}"})
            if path.startswith(SCOPES[scope])
            else None
        )
        answer = create_app(make_service()).test_client().get(FEED)
        assert answer.status_code == (503 if scope == "both" else 200)
    assert heard == []


# --- a page that cannot be read ----------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.kind))
def test_a_page_that_cannot_be_read_is_kept_by_its_kind_for_a_bug_report(
    make_service: Make, upstream: Loopback, clock: Clock, tmp_path: Path, page: Page
) -> None:
    service = make_service()
    upstream.arm("nolist")
    with pytest.raises(ParseError):
        service.refresh_page(page)
    kept = tmp_path / "store" / "unreadable"
    assert service.repository.unparsed_pages.list_all() == (
        (page.kind, kept / f"{page.kind}.html", clock()),
        (page.kind, kept / f"{page.kind}.json", clock()),
    )
    assert b"Redesigned" in (kept / f"{page.kind}.html").read_bytes()


def test_a_page_whose_cards_alone_can_be_read_is_kept_too(
    make_service: Make, upstream: Loopback
) -> None:
    service = make_service()
    upstream.arm("cards-only")
    assert service.refresh_page(service.newest_day()).source == "cards"
    assert [kept.path.name for kept in service.repository.unparsed_pages.list_all()] == ["day.html"]


def test_a_page_that_breaks_the_reading_of_it_is_kept_and_left_alone_for_a_while(
    make_service: Make, upstream: Loopback, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    monkeypatch.setattr("feedsrv.upstream.refresh.parse_page", lambda *args, **kwargs: 1 / 0)
    client = create_app(service).test_client()
    for _ in range(3):
        answer = client.get(FEED)
        assert answer.status_code == 503
        assert answer.json is not None
        assert "unexpected error" in answer.json["detail"]
    assert len(upstream.log) == 1
    assert [kept.path.name for kept in service.repository.unparsed_pages.list_all()] == ["day.html"]
    monkeypatch.undo()
    clock.forward(minutes=2)
    assert client.get(FEED).status_code == 200


@pytest.mark.parametrize(
    ("asking", "fault", "status"),
    [
        ("/papers", "", 200),
        ("/api", "404", 503),
        ("/api", "nolist", 503),
        ("/api", "cards-only", 200),
    ],
)
def test_a_wait_that_is_asked_for_is_heeded_whichever_way_asks_for_it(
    make_service: Make, upstream: Loopback, clock: Clock, asking: str, fault: str, status: int
) -> None:
    wait = {"Retry-After": "120"}
    upstream.fault = lambda path: Response("", 429, wait) if path.startswith(asking) else None
    upstream.arm(fault, "/papers")
    client = create_app(make_service()).test_client()
    assert client.get(FEED).status_code == status
    answer = client.get("/papers/trending.atom")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "120")
    assert len(upstream.log) == 2
    upstream.up()
    clock.forward(seconds=121)
    assert client.get("/papers/trending.atom").status_code == 200
