"""The nginx configuration in deploy/, tested with nginx."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from nginx import run_nginx
from tests.support.feed_readers import RequestLog, require_program
from tests.support.http import fetch
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.waiting import wait_until

FEED = "/papers.atom?q=causal"


class OneSecondMaxAge:
    """An application whose cacheable responses are fresh for one second."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            short_lived = [
                (name, re.sub(r"max-age=\d+, .*", "max-age=1", value)) for name, value in headers
            ]
            return start(status, short_lived, *error)

        body: Iterable[bytes] = self._app(environ, begin)
        return body


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that starts nginx with the included configuration as a proxy."""
    require_program("nginx", "nginx-light")
    with ExitStack() as stack:

        def start(server: str, prefix: str = "") -> str:
            found: str = stack.enter_context(run_nginx(server, tmp_path / "nginx", prefix))
            return found

        yield start


@pytest.fixture
def log(service: Service) -> RequestLog:
    return RequestLog(create_app(service))


def test_nginx_forwards_one_request_of_many_readers(
    log: RequestLog, nginx: Callable[..., str]
) -> None:
    with serve_wsgi(log) as server:
        proxy = nginx(server)
        responses = [
            fetch(proxy + FEED, Accept_Encoding=encoding)
            for encoding in ("", "gzip", "gzip, deflate, br", "identity") * 5
        ]
    assert log.statuses() == [200]
    assert {status for status, _, _ in responses} == {200}
    assert {headers["Content-Type"] for _, headers, _ in responses} == {
        "application/atom+xml; charset=utf-8"
    }
    encodings = [headers["Content-Encoding"] for _, headers, _ in responses]
    assert encodings == [None, "gzip", "gzip", None] * 5
    plain, gzipped = responses[0], responses[1]
    assert b"Causal lighthouses" in plain[2]
    assert plain[1]["ETag"] == gzipped[1]["ETag"]


def test_nginx_collapses_concurrent_requests_for_an_uncached_feed(
    log: RequestLog, nginx: Callable[..., str]
) -> None:
    with serve_wsgi(log) as server, ThreadPoolExecutor(16) as readers:
        proxy = nginx(server)
        responses = [*readers.map(fetch, [proxy + FEED] * 16)]
    assert {status for status, _, _ in responses} == {200}
    assert log.statuses() == [200]


def test_nginx_returns_304_from_its_cache(log: RequestLog, nginx: Callable[..., str]) -> None:
    with serve_wsgi(log) as server:
        proxy = nginx(server)
        _, headers, _ = fetch(proxy + FEED)
        etag, since = headers["ETag"], headers["Last-Modified"]
        assert fetch(proxy + FEED, If_None_Match=etag)[0] == 304
        assert fetch(proxy + FEED, If_Modified_Since=since)[0] == 304
        assert fetch(proxy + FEED, If_None_Match='"other"')[0] == 200
    assert log.statuses() == [200]


def test_nginx_revalidates_an_expired_response_with_one_request(
    service: Service, nginx: Callable[..., str]
) -> None:
    log = RequestLog(OneSecondMaxAge(create_app(service)))
    with serve_wsgi(log) as server:
        proxy = nginx(server)
        fetch(proxy + FEED)
        began = time.monotonic()
        wait_until(lambda: fetch(proxy + FEED)[0] == 200 and len(log.requests) > 1)
        assert time.monotonic() - began > 0.5  # nginx's clock has a resolution of one second
    assert [request.status for request in log.requests] == [200, 304]


def test_nginx_serves_a_stale_response_while_the_server_is_down(
    service: Service, nginx: Callable[..., str]
) -> None:
    with serve_wsgi(OneSecondMaxAge(create_app(service))) as server:
        proxy = nginx(server)
        body = fetch(proxy + FEED)[2]
    wait_until(lambda: fetch(proxy + FEED)[1]["X-Cache"] in {"STALE", "UPDATING"})
    status, _, stale = fetch(proxy + FEED)
    assert (status, stale) == (200, body)
    assert fetch(proxy + "/papers.rss")[0] == 502


def test_nginx_caches_no_response_of_a_private_server(
    make_service: MakeService, nginx: Callable[..., str], tmp_path: Path
) -> None:
    with serve_wsgi(create_app(make_service(access_key="sesame"))) as server:
        proxy = nginx(server)
        with_key = [fetch(f"{proxy}{FEED}&key=sesame") for _ in range(2)]
        basic = fetch(proxy + FEED, Authorization="Basic eDpzZXNhbWU=")
        without_key = fetch(proxy + FEED)
    assert [status for status, _, _ in (*with_key, basic, without_key)] == [200, 200, 200, 401]
    assert {headers["X-Cache"] for _, headers, _ in (*with_key, basic, without_key)} == {"MISS"}
    access = tmp_path / "nginx" / "access.log"
    wait_until(lambda: access.read_text().count("\n") == 4)
    assert '"GET /papers.atom" 200' in access.read_text()
    assert "sesame" not in access.read_text()


def test_a_key_is_in_no_log_when_the_server_does_not_respond(
    make_service: MakeService, nginx: Callable[..., str], tmp_path: Path
) -> None:
    with serve_wsgi(create_app(make_service(access_key="sesame"))) as server:
        proxy = nginx(server)
    assert fetch(f"{proxy}{FEED}&key=sesame")[0] == 502
    assert fetch(f"{proxy}/papers/q/causal/key/sesame.atom")[0] == 502
    assert fetch(f"{proxy}/%00?key=sesame")[0] == 400
    access = tmp_path / "nginx" / "access.log"
    wait_until(lambda: access.read_text().count("\n") == 3)
    assert '"GET /papers/q/causal/key/***.atom" 502' in access.read_text()
    assert not [
        log for log in (tmp_path / "nginx").glob("*.log") if "sesame" in log.read_text("latin-1")
    ]


def test_nginx_does_not_cache_errors(log: RequestLog, nginx: Callable[..., str]) -> None:
    with serve_wsgi(log) as server:
        proxy = nginx(server)
        assert [fetch(f"{proxy}/papers.atom?q=%28")[0] for _ in range(2)] == [400, 400]
    assert log.statuses() == [400, 400]


@pytest.mark.parametrize("prefix", ["", "/daily"])
def test_urls_have_the_prefix_without_a_public_url(
    make_service: MakeService, nginx: Callable[..., str], prefix: str
) -> None:
    service = make_service(trusted_proxies=("127.0.0.1",))
    with serve_wsgi(create_app(service)) as server:
        proxy = nginx(server, prefix) + prefix
        forged_headers = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Prefix": "/evil"}
        _, _, feed = fetch(proxy + FEED, **forged_headers)
        assert f'href="{proxy}{FEED}" rel="self"'.encode() in feed
        _, _, page = fetch(f"{proxy}/")
        assert f'href="{proxy}/static/style.css'.encode() in page
        assert b"evil" not in feed + page
        found = re.search(r'href="([^"]+style\.css[^"]*)"', page.decode())
        assert found
        assert fetch(found[1])[0] == 200
