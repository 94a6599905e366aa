"""What is ready is answered as the routes answer it, until something changes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, EnvironBuilder

from feedsrv.feeds import formats
from feedsrv.feeds.service import Service
from feedsrv.models import Kind, Page
from feedsrv.web import rendering
from feedsrv.web.app import create_app
from feedsrv.web.cache import ResponseCache
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

WSGIResponse = tuple[str, list[tuple[str, str]], bytes]

PATHS = (
    *("/papers.atom", "/papers.atom?q=causal", "/papers.rss?q=causal&limit=1", "/papers?q=causal"),
    *("/papers.json?limit=2&q=causal&utm=x", "/papers/trending.atom", "/papers/week?q=fog"),
    *("/feeds/causal.atom", "/feeds/causal", "/feeds.opml", "/feeds.opml?format=rss", "/"),
    *("/papers.atom?q=(", "/papers.atom?limit=0", "/feeds/none.atom", "/papers.xml", "/nothing"),
    *(
        "/papers.atom?q=caf%E9",
        "/papers.atom?q=%F0%9F%90%A6",
        "/papers.atom?q=a%00b",
        "/papers.atom?",
    ),
    *(
        "/status.atom",
        "/readyz",
        "/healthz",
        "/openapi.json",
        "//papers.atom",
        "/papers.atom/",
        "/papers%2Eatom",
    ),
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Accept-Encoding": "gzip"},
    {"Accept-Encoding": "br;q=1.0, gzip;q=0"},
    {"Accept-Encoding": "*"},
    {"If-None-Match": '"other"'},
    {"If-None-Match": "*"},
    {"If-Modified-Since": "Tue, 24 Nov 2026 09:30:00 GMT", "Accept-Encoding": "gzip"},
    {"If-Modified-Since": "Tue, 24 Nov 2026 09:29:59 GMT"},
    {"If-Modified-Since": "yesterday"},
    {"If-Match": '"other"'},
    {"Range": "bytes=0-9"},
    {"Authorization": "Basic eDp5"},
    {"Host": "papers.example.org"},
    {"Host": "bad host"},
    {"X-Forwarded-Host": "papers.example.org", "X-Forwarded-Proto": "https"},
)


def make_environ(path: str, **options: Any) -> dict[str, Any]:
    builder = EnvironBuilder(path=path.partition("?")[0], **options)
    try:
        made = builder.get_environ()
    finally:
        builder.close()
    return made | {"QUERY_STRING": path.partition("?")[2], "REMOTE_ADDR": "127.0.0.1"}


def call_wsgi(app: Any, asked: dict[str, Any]) -> WSGIResponse:
    """Return status, header fields and body, as a server would send them."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    parts = app(dict(asked), lambda status, headers: started.append((status, headers)))
    try:
        body = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    status, headers = started[-1]
    return status, sorted(headers), body


class CountingApp:
    """The routes, with a count of what reached them."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.count = 0

    def __call__(self, environ: Any, start: Any) -> Any:
        self.count += 1
        return self.app(environ, start)


@pytest.fixture
def counting_app(service: Service) -> CountingApp:
    app = create_app(service)
    for path in ("/papers.atom?q=causal", "/papers/trending.atom"):
        call_wsgi(
            app, make_environ(path)
        )  # what has to be read first is read, so nothing changes later
    return CountingApp(app)


@pytest.fixture
def response_cache(service: Service, counting_app: CountingApp) -> ResponseCache:
    return ResponseCache(counting_app, service)


# --- the same answer -------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["", "k3y"])
def test_every_byte_and_header_is_what_the_routes_say(
    make_service: MakeService, path: str, key: str
) -> None:
    service = make_service(trusted_proxies=("127.0.0.1",), access_key=key)
    app = create_app(service)
    response_cache = ResponseCache(app, service)
    # What has to be read first is read, else the front page tells of it as it comes.
    call_wsgi(app, make_environ(f"/papers.atom?key={key}"))
    address = f"{path}{'&' if '?' in path else '?'}key={key}" if key else path
    for method, headers in [*product(("GET", "HEAD"), HEADERS), ("POST", {}), ("OPTIONS", {})]:
        asked = make_environ(address, method=method, headers=headers)
        plain = call_wsgi(app, asked)
        assert call_wsgi(response_cache, asked) == plain, (method, headers)
        assert call_wsgi(response_cache, asked) == plain, (method, headers, "from what is ready")
    assert (
        call_wsgi(response_cache, make_environ(path))[0] == call_wsgi(app, make_environ(path))[0]
    ), "without the key"


def test_who_holds_it_gets_304_from_what_is_ready(
    response_cache: ResponseCache, counting_app: CountingApp
) -> None:
    first = call_wsgi(response_cache, make_environ("/papers.atom"))
    etag = dict(first[1])["ETag"]
    for held in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        status, headers, body = call_wsgi(
            response_cache, make_environ("/papers.atom", headers={"If-None-Match": held})
        )
        assert (status, body) == ("304 Not Modified", b"")
        assert dict(headers)["ETag"] == etag
        assert "Content-Length" not in dict(headers)
    assert counting_app.count == 1


def test_who_holds_it_costs_no_writing_and_leaves_a_body_to_who_does_not(
    service: Service, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    response_cache = ResponseCache(create_app(service), service)
    call_wsgi(response_cache, make_environ("/papers.atom"))
    first = call_wsgi(response_cache, make_environ("/papers.atom"))
    etag = dict(first[1])["ETag"]
    for paper in upstream.papers:
        paper["upvotes"] += 1
    service.refresh_page(service.newest_day())
    rendering._render.cache_clear()
    unwritable = formats.FORMATS["atom"]._replace(render=lambda *_: pytest.fail("it was written"))
    monkeypatch.setitem(formats.FORMATS, "atom", unwritable)
    for _ in range(2):
        asked = make_environ("/papers.atom", headers={"If-None-Match": etag})
        assert call_wsgi(response_cache, asked)[0] == "304 Not Modified"
    monkeypatch.undo()
    for headers in ({}, {"If-Match": etag.removeprefix("W/"), "If-None-Match": etag}):
        assert (
            call_wsgi(response_cache, make_environ("/papers.atom", headers=headers))[2] == first[2]
        )


# --- how long it is ready --------------------------------------------------------------------


def test_a_ready_answer_does_not_reach_the_routes(
    response_cache: ResponseCache, counting_app: CountingApp
) -> None:
    for _ in range(5):
        call_wsgi(response_cache, make_environ("/papers.atom?q=causal"))
        call_wsgi(response_cache, make_environ("/papers.atom?q=causal", method="HEAD"))
        call_wsgi(
            response_cache,
            make_environ("/papers.atom?q=causal", headers={"Accept-Encoding": "gzip"}),
        )
    assert counting_app.count == 1


def test_it_is_ready_no_more_when_a_listing_changes(
    response_cache: ResponseCache, service: Service, upstream: FakeUpstream
) -> None:
    before = call_wsgi(response_cache, make_environ("/papers.atom"))
    upstream.papers.append(make_raw_paper(8, title="Buoys"))
    service.refresh_page(service.newest_day())
    after = call_wsgi(response_cache, make_environ("/papers.atom"))
    assert b"Buoys" in after[2]
    assert b"Buoys" not in before[2]


def test_nor_when_another_process_keeps_one(
    response_cache: ResponseCache,
    make_service: MakeService,
    upstream: FakeUpstream,
) -> None:
    call_wsgi(response_cache, make_environ("/papers.atom"))
    upstream.papers.append(make_raw_paper(8, title="Buoys"))
    other = make_service()
    other.refresh_page(other.newest_day())
    wait_until(lambda: b"Buoys" in call_wsgi(response_cache, make_environ("/papers.atom"))[2])


def test_nor_when_one_is_kept_while_the_routes_are_at_work(
    service: Service, upstream: FakeUpstream
) -> None:
    app = create_app(service)

    def slow(asked: Any, start: Any) -> Any:
        parts = app(asked, start)
        if not any(paper["title"] == "Buoys" for paper in upstream.papers):
            upstream.papers.append(make_raw_paper(8, title="Buoys"))
            service.refresh_page(service.newest_day())
        return parts

    response_cache = ResponseCache(slow, service)
    assert b"Buoys" not in call_wsgi(response_cache, make_environ("/papers.atom"))[2]
    assert b"Buoys" in call_wsgi(response_cache, make_environ("/papers.atom"))[2]


def test_without_a_disk_it_still_ends_with_a_change(
    make_service: MakeService, upstream: FakeUpstream, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("no folder")
    service = make_service(cache_dir=tmp_path / "file" / "store")
    response_cache = ResponseCache(create_app(service), service)
    call_wsgi(response_cache, make_environ("/papers.atom"))
    upstream.papers.append(make_raw_paper(8, title="Buoys"))
    service.refresh_page(service.newest_day())
    assert b"Buoys" in call_wsgi(response_cache, make_environ("/papers.atom"))[2]


def test_the_routes_are_asked_again_when_a_page_is_due(
    response_cache: ResponseCache,
    counting_app: CountingApp,
    clock: Clock,
    upstream: FakeUpstream,
) -> None:
    call_wsgi(response_cache, make_environ("/papers.atom"))
    clock.forward(minutes=19)
    headers = call_wsgi(response_cache, make_environ("/papers.atom"))[1]
    assert counting_app.count == 1
    assert "max-age=300," in dict(headers)["Cache-Control"], "it counts down"
    clock.forward(minutes=2)
    asked = len(upstream.requests)
    call_wsgi(response_cache, make_environ("/papers.atom"))
    assert counting_app.count == 2
    wait_until(lambda: len(upstream.requests) > asked)


def test_midnight_ends_it(
    response_cache: ResponseCache, counting_app: CountingApp, clock: Clock, service: Service
) -> None:
    clock.now = clock.now.replace(hour=23, minute=55)
    service.refresh_page(Page(Kind.TRENDING))
    call_wsgi(response_cache, make_environ("/papers/trending.atom"))
    clock.forward(minutes=4)
    call_wsgi(response_cache, make_environ("/papers/trending.atom"))
    assert counting_app.count == 1
    clock.forward(minutes=2)
    call_wsgi(response_cache, make_environ("/papers/trending.atom"))
    assert counting_app.count == 2


def test_while_upstream_is_down_the_routes_are_asked_once_a_second_at_most(
    response_cache: ResponseCache, counting_app: CountingApp, clock: Clock, upstream: FakeUpstream
) -> None:
    call_wsgi(response_cache, make_environ("/papers.atom"))
    upstream.fail()
    clock.forward(hours=1)
    for _ in range(5):
        assert call_wsgi(response_cache, make_environ("/papers.atom"))[0] == "200 OK"
    assert counting_app.count == 2


# --- whose it is, and how many ---------------------------------------------------------------


def test_no_answer_for_one_host_is_given_to_another(response_cache: ResponseCache) -> None:
    for host in ("a.example.org", "b.example.org", "a.example.org"):
        body = call_wsgi(response_cache, make_environ("/papers.atom", headers={"Host": host}))[2]
        assert f"http://{host}/papers.atom".encode() in body


def test_no_answer_for_one_forwarded_host_is_given_to_another(
    make_service: MakeService,
) -> None:
    service = make_service(trusted_proxies=("127.0.0.1",))
    response_cache = ResponseCache(create_app(service), service)
    for host in ("a.example.org", "b.example.org", "a.example.org"):
        headers = {"X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}
        body = call_wsgi(response_cache, make_environ("/papers.atom", headers=headers))[2]
        assert f"https://{host}/papers.atom".encode() in body
    assert (
        b"https://" + host.encode()
        not in call_wsgi(response_cache, make_environ("/papers.atom"))[2]
    )


def test_an_error_is_never_kept(response_cache: ResponseCache, counting_app: CountingApp) -> None:
    for path in ("/papers.atom?q=(", "/feeds/none.atom", "/nothing"):
        first, again = (
            call_wsgi(response_cache, make_environ(path)),
            call_wsgi(response_cache, make_environ(path)),
        )
        assert first == again
    assert counting_app.count == 6


def test_answers_take_no_more_memory_than_they_are_allowed(
    make_service: MakeService,
) -> None:
    service = make_service(response_cache_bytes=40_000, new_keywords=0)
    counting_app = CountingApp(create_app(service))
    response_cache = ResponseCache(counting_app, service)
    for number in range(12):
        call_wsgi(response_cache, make_environ(f"/papers.atom?unknown={number}"))
    counting_app.count = 0
    call_wsgi(response_cache, make_environ("/papers.atom?unknown=11"))
    assert counting_app.count == 0, "the last is still there"
    call_wsgi(response_cache, make_environ("/papers.atom?unknown=0"))
    assert counting_app.count == 1, "the first is not"
    held = response_cache._responses
    assert 0 < held.currsize <= held.maxsize == 40_000
    nothing = ResponseCache(counting_app, make_service(response_cache_bytes=0))
    assert call_wsgi(nothing, make_environ("/papers.atom"))[0] == "200 OK"


def test_the_length_of_an_address_counts(make_service: MakeService) -> None:
    """Whoever asks chooses it, and the answer may be short."""
    service = make_service(response_cache_bytes=100_000)
    response_cache = ResponseCache(create_app(service), service)
    for number in range(5):
        call_wsgi(response_cache, make_environ(f"/feeds.opml?unknown={number}{'x' * 40_000}"))
    assert len(response_cache._responses) == 2


def test_an_endless_accept_encoding_is_neither_read_nor_remembered(
    response_cache: ResponseCache,
) -> None:
    for number in range(3):
        headers = {"Accept-Encoding": f"gzip, x{number}{'x' * 60_000}"}
        answer = dict(call_wsgi(response_cache, make_environ("/papers.atom", headers=headers))[1])
        assert "Content-Encoding" not in answer


def test_no_redirect_names_the_host_that_was_asked(response_cache: ResponseCache) -> None:
    asked = make_environ("/papers//week.atom", headers={"Host": "elsewhere.example"})
    status, headers, _ = call_wsgi(response_cache, asked)
    assert status == "404 NOT FOUND"
    assert "Location" not in dict(headers)


def test_a_real_client_sees_no_difference(response_cache: ResponseCache, service: Service) -> None:
    for path in ("/papers.atom", "/papers?q=causal"):
        for app in (response_cache, response_cache, create_app(service)):
            answer = Client(app).get(path)
            assert answer.status_code == 200
            assert int(answer.headers["Content-Length"]) == len(answer.data)
