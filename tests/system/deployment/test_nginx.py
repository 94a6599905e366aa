"""The files in deploy/ and their like, each tried with the program that it is for."""

from __future__ import annotations

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


# --- nginx -----------------------------------------------------------------------------------


class OneSecondMaxAge:
    """An application whose answers may be kept for a second only, if they may be kept at all."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            hurried = [
                (name, re.sub(r"max-age=\d+, .*", "max-age=1", value)) for name, value in headers
            ]
            return start(status, hurried, *error)

        answer: Iterable[bytes] = self._app(environ, begin)
        return answer


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that puts nginx with the shipped file in front of a server."""
    require_program("nginx", "nginx-light")
    with ExitStack() as stack:

        def started(server: str, prefix: str = "") -> str:
            found: str = stack.enter_context(run_nginx(server, tmp_path / "nginx", prefix))
            return found

        yield started


@pytest.fixture
def log(service: Service) -> RequestLog:
    return RequestLog(create_app(service))


def test_one_request_of_many_readers_reaches_the_server(
    log: RequestLog, nginx: Callable[..., str]
) -> None:
    with serve_wsgi(log) as server:
        front = nginx(server)
        answers = [
            fetch(front + FEED, Accept_Encoding=encoding)
            for encoding in ("", "gzip", "gzip, deflate, br", "identity") * 5
        ]
    assert log.statuses() == [200]
    assert {status for status, _, _ in answers} == {200}
    assert {headers["Content-Type"] for _, headers, _ in answers} == {
        "application/atom+xml; charset=utf-8"
    }
    packed = [headers["Content-Encoding"] for _, headers, _ in answers]
    assert packed == [None, "gzip", "gzip", None] * 5
    plain, gzipped = answers[0], answers[1]
    assert b"Causal lighthouses" in plain[2]
    assert plain[1]["ETag"] == gzipped[1]["ETag"]


def test_many_who_ask_at_the_same_time_for_what_nobody_has_make_one_request(
    log: RequestLog, nginx: Callable[..., str]
) -> None:
    with serve_wsgi(log) as server, ThreadPoolExecutor(16) as readers:
        front = nginx(server)
        answers = [*readers.map(fetch, [front + FEED] * 16)]
    assert {status for status, _, _ in answers} == {200}
    assert log.statuses() == [200]


def test_who_holds_the_feed_is_told_so_without_the_server(
    log: RequestLog, nginx: Callable[..., str]
) -> None:
    with serve_wsgi(log) as server:
        front = nginx(server)
        _, headers, _ = fetch(front + FEED)
        etag, since = headers["ETag"], headers["Last-Modified"]
        assert fetch(front + FEED, If_None_Match=etag)[0] == 304
        assert fetch(front + FEED, If_Modified_Since=since)[0] == 304
        assert fetch(front + FEED, If_None_Match='"other"')[0] == 200
    assert log.statuses() == [200]


def test_after_its_time_one_request_asks_again_and_is_told_that_nothing_changed(
    service: Service, nginx: Callable[..., str]
) -> None:
    log = RequestLog(OneSecondMaxAge(create_app(service)))
    with serve_wsgi(log) as server:
        front = nginx(server)
        fetch(front + FEED)
        begun = time.monotonic()
        wait_until(lambda: fetch(front + FEED)[0] == 200 and len(log.seen) > 1)
        assert time.monotonic() - begun > 0.5  # by nginx's clock, which ticks in whole seconds
    assert [seen.status for seen in log.seen] == [200, 304]


def test_the_last_good_answer_bridges_a_server_that_is_gone(
    service: Service, nginx: Callable[..., str]
) -> None:
    with serve_wsgi(OneSecondMaxAge(create_app(service))) as server:
        front = nginx(server)
        body = fetch(front + FEED)[2]
    wait_until(lambda: fetch(front + FEED)[1]["X-Cache"] in {"STALE", "UPDATING"})
    status, _, stale = fetch(front + FEED)
    assert (status, stale) == (200, body)
    assert fetch(front + "/papers.rss")[0] == 502


def test_nothing_of_a_private_server_is_kept_for_another(
    make_service: MakeService, nginx: Callable[..., str], tmp_path: Path
) -> None:
    with serve_wsgi(create_app(make_service(access_key="sesame"))) as server:
        front = nginx(server)
        keyed = [fetch(f"{front}{FEED}&key=sesame") for _ in range(2)]
        basic = fetch(front + FEED, Authorization="Basic eDpzZXNhbWU=")
        without = fetch(front + FEED)
    assert [status for status, _, _ in (*keyed, basic, without)] == [200, 200, 200, 401]
    assert {headers["X-Cache"] for _, headers, _ in (*keyed, basic, without)} == {"MISS"}
    access = tmp_path / "nginx" / "access.log"
    wait_until(lambda: access.read_text().count("\n") == 4)
    assert '"GET /papers.atom" 200' in access.read_text()
    assert "sesame" not in access.read_text()


def test_a_key_is_in_no_log_when_the_server_does_not_respond(
    make_service: MakeService, nginx: Callable[..., str], tmp_path: Path
) -> None:
    with serve_wsgi(create_app(make_service(access_key="sesame"))) as server:
        front = nginx(server)
    assert fetch(f"{front}{FEED}&key=sesame")[0] == 502
    assert fetch(f"{front}/papers/q/causal/key/sesame.atom")[0] == 502
    assert fetch(f"{front}/%00?key=sesame")[0] == 400
    access = tmp_path / "nginx" / "access.log"
    wait_until(lambda: access.read_text().count("\n") == 3)
    assert '"GET /papers/q/causal/key/***.atom" 502' in access.read_text()
    assert not [
        log for log in (tmp_path / "nginx").glob("*.log") if "sesame" in log.read_text("latin-1")
    ]


def test_an_error_is_kept_by_nobody(log: RequestLog, nginx: Callable[..., str]) -> None:
    with serve_wsgi(log) as server:
        front = nginx(server)
        assert [fetch(f"{front}/papers.atom?q=%28")[0] for _ in range(2)] == [400, 400]
    assert log.statuses() == [400, 400]


@pytest.mark.parametrize("prefix", ["", "/daily"])
def test_addresses_are_right_under_a_prefix_without_public_url_too(
    make_service: MakeService, nginx: Callable[..., str], prefix: str
) -> None:
    service = make_service(trusted_proxies=("127.0.0.1",))
    with serve_wsgi(create_app(service)) as server:
        front = nginx(server, prefix) + prefix
        made_up = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Prefix": "/evil"}
        _, _, feed = fetch(front + FEED, **made_up)
        assert f'href="{front}{FEED}" rel="self"'.encode() in feed
        _, _, page = fetch(f"{front}/")
        assert f'href="{front}/static/style.css'.encode() in page
        assert b"evil" not in feed + page
        found = re.search(r'href="([^"]+style\.css[^"]*)"', page.decode())
        assert found
        assert fetch(found[1])[0] == 200
