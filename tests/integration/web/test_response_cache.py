"""The response cache sends what the views would send, until something changes."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import Client, EnvironBuilder

from feedsrv.errors import StoreError
from feedsrv.feeds import formats
from feedsrv.feeds.service import Service
from feedsrv.models import Kind, Page
from feedsrv.web.app import create_app
from feedsrv.web.base_views import BaseViews
from feedsrv.web.cache import ResponseCache
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

RawResponse = tuple[str, list[tuple[str, str]], bytes]

PATHS = (
    "/papers.atom",
    "/papers.atom?q=causal",
    "/papers.rss?q=causal&limit=1",
    "/papers?q=causal",
    "/papers.json?limit=2&q=causal&utm=x",
    "/papers/trending.atom",
    "/papers/week?q=fog",
    "/feeds/causal.atom",
    "/feeds/causal",
    "/feeds.opml",
    "/feeds.opml?format=rss",
    "/",
    "/papers.atom?q=(",
    "/papers.atom?limit=0",
    "/feeds/none.atom",
    "/papers.xml",
    "/nothing",
    "/papers.atom?q=caf%E9",
    "/papers.atom?q=%F0%9F%90%A6",
    "/papers.atom?q=a%00b",
    "/papers.atom?",
    "/status.atom",
    "/readyz",
    "/healthz",
    "/openapi.json",
    "//papers.atom",
    "/papers.atom/",
    "/papers%2Eatom",
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
        environ = builder.get_environ()
    finally:
        builder.close()
    return environ | {"QUERY_STRING": path.partition("?")[2], "REMOTE_ADDR": "127.0.0.1"}


def send(app: Any, environ: dict[str, Any]) -> RawResponse:
    """Return status, headers and body, as a WSGI server would send them."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    chunks = app(dict(environ), lambda status, headers: started.append((status, headers)))
    try:
        body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = started[-1]
    return status, sorted(headers), body


def get(app: Any, path: str, **headers: str) -> RawResponse:
    """Return the response to a GET request."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return send(app, make_environ(path, headers=fields))


class ViewCounter:
    """An application that counts the requests that reach its views."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.count = 0
        app.before_request(self._increment)

    def _increment(self) -> None:
        self.count += 1

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)


@pytest.fixture
def counted(service: Service) -> ViewCounter:
    """An application with an empty cache, whose listings have been fetched."""
    warm_up = create_app(service)
    for path in ("/papers.atom?q=causal", "/papers/trending.atom"):
        get(warm_up, path)
    wait_until(service.scheduler.is_idle)
    return ViewCounter(create_app(service))


def cache_of(app: Flask) -> ResponseCache:
    cache = app.wsgi_app
    assert isinstance(cache, ResponseCache)
    return cache


# --- the same response -----------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("key", ["", "k3y"])
def test_status_headers_and_body_are_those_of_the_view(
    make_service: MakeService, path: str, key: str
) -> None:
    settings = {"trusted_proxies": ("127.0.0.1",), "access_key": key}
    uncached = create_app(make_service(**settings, response_cache_bytes=0))
    # The first request starts fetches, whose results would change the front page.
    get(uncached, f"/papers.atom?key={key}")
    cached = create_app(make_service(**settings))  # it starts with the stored listings
    url = f"{path}{'&' if '?' in path else '?'}key={key}" if key else path
    for method, headers in [*product(("GET", "HEAD"), HEADERS), ("POST", {}), ("OPTIONS", {})]:
        environ = make_environ(url, method=method, headers=headers)
        expected = send(uncached, environ)
        assert send(cached, environ) == expected, (method, headers)
        assert send(cached, environ) == expected, (method, headers, "from the cache")
    assert get(cached, path)[0] == get(uncached, path)[0], "without the key"


def test_a_client_whose_copy_is_current_gets_304_from_the_cache(counted: ViewCounter) -> None:
    etag = dict(get(counted, "/papers.atom")[1])["ETag"]
    for value in (etag, etag.removeprefix("W/"), f'"x", {etag}', "*"):
        status, headers, body = get(counted, "/papers.atom", If_None_Match=value)
        assert (status, body) == ("304 Not Modified", b"")
        assert dict(headers)["ETag"] == etag
        assert "Content-Length" not in dict(headers)
    assert counted.count == 1


def test_nothing_is_rendered_for_clients_whose_copies_are_current(
    counted: ViewCounter,
    service: Service,
    upstream: FakeUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = get(counted, "/papers.atom")
    etag, modified = (dict(first[1])[name] for name in ("ETag", "Last-Modified"))
    for paper in upstream.papers:
        paper["upvotes"] += 1  # stored, but in no feed
    service.refresh_page(service.newest_day())
    for number in range(40):
        get(counted, f"/papers.atom?limit={number + 1}")  # the cache has only the latest bodies
    counted.count = 0

    def fail(*_: object) -> bytes:
        pytest.fail("the feed was rendered")

    monkeypatch.setitem(formats.ALL_FORMATS, "atom", formats.FORMATS["atom"]._replace(render=fail))
    for _ in range(3):
        assert get(counted, "/papers.atom", If_None_Match=etag)[0] == "304 Not Modified"
        assert get(counted, "/papers.atom", If_Modified_Since=modified)[0] == "304 Not Modified"
    assert counted.count == 1, "the other five are from the cache"
    monkeypatch.undo()
    assert get(counted, "/papers.atom")[2] == first[2]
    strong_etag = etag.removeprefix("W/")
    again = get(counted, "/papers.atom", If_Match=strong_etag, If_None_Match='"other"')
    assert again[2] == first[2]


def test_a_real_client_sees_no_difference(counted: ViewCounter) -> None:
    for path in ("/papers.atom", "/papers?q=causal"):
        for _ in range(2):
            response = Client(counted).get(path)
            assert response.status_code == 200
            assert int(response.headers["Content-Length"]) == len(response.data)


# --- validity --------------------------------------------------------------------------------


def test_a_cached_response_does_not_reach_the_view(counted: ViewCounter) -> None:
    for _ in range(5):
        get(counted, "/papers.atom?q=causal")
        get(counted, "/papers.atom?q=causal", Accept_Encoding="gzip")
        send(counted, make_environ("/papers.atom?q=causal", method="HEAD"))
    assert counted.count == 1


def test_a_stored_listing_invalidates_it(
    counted: ViewCounter, service: Service, upstream: FakeUpstream
) -> None:
    before = get(counted, "/papers.atom")
    upstream.papers.append(make_raw_paper(8, title="Buoys"))
    service.refresh_page(service.newest_day())
    after = get(counted, "/papers.atom")
    assert b"Buoys" in after[2]
    assert b"Buoys" not in before[2]


def test_a_listing_stored_by_another_process_invalidates_it(
    counted: ViewCounter, make_service: MakeService, upstream: FakeUpstream
) -> None:
    get(counted, "/papers.atom")
    upstream.papers.append(make_raw_paper(8, title="Buoys"))
    other = make_service()
    other.refresh_page(other.newest_day())
    wait_until(lambda: b"Buoys" in get(counted, "/papers.atom")[2])


def test_a_listing_stored_while_the_view_works_invalidates_its_response(
    counted: ViewCounter,
    service: Service,
    upstream: FakeUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get_feed = service.get_feed

    def get_feed_slowly(*feeds: Any, **options: Any) -> Any:
        result = get_feed(*feeds, **options)
        if not any(paper["title"] == "Buoys" for paper in upstream.papers):
            upstream.papers.append(make_raw_paper(8, title="Buoys"))
            service.refresh_page(service.newest_day())
        return result

    monkeypatch.setattr(service, "get_feed", get_feed_slowly)
    assert b"Buoys" not in get(counted, "/papers.atom")[2]
    assert b"Buoys" in get(counted, "/papers.atom")[2]


def test_a_change_invalidates_it_while_the_disk_fails(
    make_service: MakeService, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")
    service = make_service(cache_dir=tmp_path / "file" / "store")
    app = create_app(service)
    get(app, "/papers.atom")
    upstream.papers.append(make_raw_paper(8, title="Buoys"))
    service.refresh_page(service.newest_day())
    assert b"Buoys" in get(app, "/papers.atom")[2]


def test_it_expires_when_a_page_is_due(
    counted: ViewCounter, clock: Clock, upstream: FakeUpstream
) -> None:
    get(counted, "/papers.atom")
    clock.forward(minutes=19)
    headers = get(counted, "/papers.atom")[1]
    assert counted.count == 1
    assert "max-age=300," in dict(headers)["Cache-Control"], "it counts down"
    clock.forward(minutes=2)
    requests = len(upstream.requests)
    get(counted, "/papers.atom")
    assert counted.count == 2
    wait_until(lambda: len(upstream.requests) > requests)


def test_it_expires_at_midnight(counted: ViewCounter, clock: Clock, service: Service) -> None:
    clock.now = clock.now.replace(hour=23, minute=55)
    service.refresh_page(Page(Kind.TRENDING))
    get(counted, "/papers/trending.atom")
    clock.forward(minutes=4)
    get(counted, "/papers/trending.atom")
    assert counted.count == 1
    clock.forward(minutes=2)
    get(counted, "/papers/trending.atom")
    assert counted.count == 2


def test_while_upstream_fails_the_view_is_called_once_a_second_at_most(
    counted: ViewCounter, clock: Clock, upstream: FakeUpstream
) -> None:
    get(counted, "/papers.atom")
    upstream.fail()
    clock.forward(hours=1)
    for _ in range(5):
        assert get(counted, "/papers.atom")[0] == "200 OK"
    assert counted.count == 2


# --- what selects a response -----------------------------------------------------------------


def test_no_response_for_one_host_is_sent_to_another(counted: ViewCounter) -> None:
    for host in ("a.example.org", "b.example.org", "a.example.org"):
        body = get(counted, "/papers.atom", Host=host)[2]
        assert f"http://{host}/papers.atom".encode() in body
    assert counted.count == 2


def test_no_response_for_one_forwarded_host_is_sent_to_another(
    make_service: MakeService,
) -> None:
    app = create_app(make_service(trusted_proxies=("127.0.0.1",)))
    for host in ("a.example.org", "b.example.org", "a.example.org"):
        headers = {"X_Forwarded_Host": host, "X_Forwarded_Proto": "https"}
        body = get(app, "/papers.atom", **headers)[2]
        assert f"https://{host}/papers.atom".encode() in body
    assert b"https://" + host.encode() not in get(app, "/papers.atom")[2]


def test_no_response_for_one_mount_point_is_sent_to_another(counted: ViewCounter) -> None:
    for prefix in ("", "/feeds-of", "/mirror", "/feeds-of"):
        environ = make_environ("/papers.atom") | {"SCRIPT_NAME": prefix}
        body = send(counted, environ)[2]
        assert f'"http://localhost{prefix}/papers.atom"'.encode() in body
    assert counted.count == 3


def test_a_repaired_address_that_would_be_repaired_again_is_not_cached(
    counted: ViewCounter,
) -> None:
    repaired, meant = "/papers.atom?q=causal\\&limit=1", "/papers.atom?q=causal&limit=1"
    get(counted, repaired.replace("&", "%26"))  # becomes the repaired one
    assert get(counted, repaired)[2] == get(counted, meant)[2]


def test_a_repaired_address_is_served_from_the_cache(counted: ViewCounter) -> None:
    for _ in range(2):
        get(counted, "/papers/q/causal.atom")
        get(counted, "/papers.atom?q=causal%20")
    assert counted.count == 1


def test_errors_are_not_cached(counted: ViewCounter) -> None:
    for path in ("/papers.atom?q=(", "/feeds/none.atom", "/nothing"):
        assert get(counted, path) == get(counted, path)
    assert counted.count == 6


def test_an_exception_in_the_view_leaves_nothing_in_the_cache(
    counted: ViewCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("/store", "broken")

    monkeypatch.setattr(BaseViews, "_respond", fail)
    assert get(counted, "/papers.atom")[0].startswith("503")
    monkeypatch.undo()
    assert get(counted, "/papers.atom")[0] == "200 OK"


# --- memory ----------------------------------------------------------------------------------


def test_entries_take_no_more_memory_than_allowed(make_service: MakeService) -> None:
    service = make_service(response_cache_bytes=40_000, new_keywords=0)
    counted = ViewCounter(create_app(service))
    for number in range(12):
        get(counted, f"/papers.atom?unknown={number}")
    counted.count = 0
    get(counted, "/papers.atom?unknown=11")
    assert counted.count == 0, "the last is in the cache"
    get(counted, "/papers.atom?unknown=0")
    assert counted.count == 1, "the first was evicted"
    entries = cache_of(counted.app)._entries
    assert 0 < entries.currsize <= entries.maxsize == 40_000


def test_plain_bodies_are_in_memory_only_for_clients_that_do_not_accept_gzip(
    counted: ViewCounter, make_service: MakeService
) -> None:
    expected = get(create_app(make_service(response_cache_bytes=0)), "/papers.atom")
    cache = cache_of(counted.app)
    compressed = get(counted, "/papers.atom", Accept_Encoding="gzip")
    size = cache._entries.currsize
    head = send(counted, make_environ("/papers.atom", method="HEAD"))
    assert (head[1], head[2]) == (expected[1], b"")
    assert cache._entries.currsize == size
    for _ in range(2):
        assert get(counted, "/papers.atom") == expected
        assert cache._entries.currsize == size + len(expected[2])
    assert get(counted, "/papers.atom", Accept_Encoding="gzip") == compressed
    assert counted.count == 1


def test_a_cache_of_no_size_is_no_cache(make_service: MakeService) -> None:
    counted = ViewCounter(create_app(make_service(response_cache_bytes=0)))
    for _ in range(2):
        assert get(counted, "/papers.atom")[0] == "200 OK"
    assert counted.count == 2


def test_the_length_of_the_url_counts(make_service: MakeService) -> None:
    """Clients choose the URL, and the response may be short."""
    app = create_app(make_service(response_cache_bytes=100_000))
    for number in range(5):
        get(app, f"/feeds.opml?unknown={number}{'x' * 40_000}")
    assert len(cache_of(app)._entries) == 2


def test_an_endless_accept_encoding_is_neither_parsed_nor_cached(
    counted: ViewCounter,
) -> None:
    for number in range(3):
        value = f"gzip, x{number}{'x' * 60_000}"
        headers = dict(get(counted, "/papers.atom", Accept_Encoding=value)[1])
        assert "Content-Encoding" not in headers
