from __future__ import annotations

import gzip
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from werkzeug.wrappers import Request, Response

from feedsrv.errors import FetchError
from feedsrv.upstream.client import MAX_BODY_BYTES, FetchResult, UpstreamClient
from tests.support.servers import serve_tcp, serve_wsgi

View = Callable[[Request], Response]


@contextmanager
def client_for_view(view: View) -> Iterator[Callable[..., FetchResult]]:
    with (
        serve_wsgi(Request.application(view)) as url,
        UpstreamClient(url, agent="feedsrv/test (loopback)") as fetcher,
    ):
        yield lambda path="/papers", seconds=5.0: fetcher.get(path, fetcher.deadline_after(seconds))


@contextmanager
def client_for_socket(
    talk: Callable[[socket.socket], None],
) -> Iterator[Callable[..., FetchResult]]:
    with serve_tcp(talk) as url, UpstreamClient(url, agent="feedsrv/test") as fetcher:
        yield lambda seconds=5.0: fetcher.get("/papers", fetcher.deadline_after(seconds))


def test_a_page_comes_with_the_address_it_came_from_in_the_end() -> None:
    def view(request: Request) -> Response:
        if request.path == "/papers":
            return Response("", 302, {"Location": "/papers/date/2026-11-20"})
        return Response("a list")

    with client_for_view(view) as get:
        fetched = get()
    assert fetched.body == b"a list"
    assert fetched.url.endswith("/papers/date/2026-11-20")


def test_upstream_is_told_who_asks_and_that_gzip_will_do() -> None:
    with client_for_view(lambda request: Response(str(request.headers))) as get:
        told = get().body.decode()
    assert "User-Agent: feedsrv/test (loopback)" in told
    assert "Accept-Encoding: gzip\r" in told
    assert "Authorization" not in told


def test_a_token_is_shown_to_upstream() -> None:
    app = Request.application(lambda request: Response(request.headers["Authorization"]))
    with (
        serve_wsgi(app) as url,
        UpstreamClient(url, agent="feedsrv/test", token="hf_secret") as fetcher,
    ):
        assert fetcher.get("/papers", fetcher.deadline_after(5)).body == b"Bearer hf_secret"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "another server"),
        ("http://127.0.0.1:1/papers", "another server"),
        ("https://127.0.0.1/papers", "another server"),
        ("//example.org/papers", "another server"),
        ("file:///etc/passwd", "another server"),
        ("/login?next=%2Fpapers", "log in"),
        ("/papers", "too many redirects"),
    ],
)
def test_a_redirect_is_followed_within_upstream_alone(location: str, reason: str) -> None:
    with (
        client_for_view(lambda request: Response("", 302, {"Location": location})) as get,
        pytest.raises(FetchError, match=reason),
    ):
        get()


@pytest.mark.parametrize(
    ("status", "headers", "reason", "wait"),
    [
        (500, {}, "status 500", None),
        (503, {"Retry-After": "120"}, "status 503", 120.0),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "status 503", None),
        (404, {}, "status 404", None),
        (403, {}, "status 403", None),
        (429, {"Retry-After": "2"}, "too many requests", 2.0),
        (429, {"ratelimit": '"pages";r=0;t=53'}, "too many requests", 53.0),
        (429, {"ratelimit": '"pages";r=7;t=53'}, "too many requests", None),
        (429, {}, "too many requests", None),
        (202, {"x-amzn-waf-action": "challenge"}, "wall against bots", None),
        (202, {}, "wall against bots", None),
        (204, {}, "status 204", None),
    ],
)
def test_an_answer_that_is_no_page_says_why_and_how_long_to_wait(
    status: int, headers: dict[str, str], reason: str, wait: float | None
) -> None:
    with (
        client_for_view(lambda request: Response("sorry", status, headers)) as get,
        pytest.raises(FetchError, match=reason) as caught,
    ):
        get()
    assert caught.value.retry_after == wait
    assert caught.value.url.endswith("/papers")


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "31536000"}, 3600.0),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "²"}, None),
        ({"ratelimit": '"pages";r=0;t=99999999'}, 3600.0),
        ({"ratelimit": f'"pages";r=0;t={"9" * 400}'}, None),
    ],
)
def test_a_mistake_upstream_silences_nobody_for_long(
    headers: dict[str, str], wait: float | None
) -> None:
    with (
        client_for_view(lambda _: Response("", 429, headers)) as get,
        pytest.raises(FetchError) as caught,
    ):
        get()
    assert caught.value.retry_after == wait


def test_a_token_that_no_header_can_hold_is_not_told() -> None:
    with (
        UpstreamClient("http://127.0.0.1:1", agent="feedsrv/test", token="hf_secret\r") as fetcher,
        pytest.raises(FetchError) as caught,
    ):
        fetcher.get("/papers", fetcher.deadline_after(5))
    assert "secret" not in str(caught.value)


def test_a_packed_page_is_unpacked() -> None:
    page = b"a list of papers " * 1000
    packed = gzip.compress(page)
    with client_for_view(
        lambda request: Response(packed, headers={"Content-Encoding": "gzip"})
    ) as get:
        assert get().body == page


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"", "identity", "empty"),
        (b"  \n ", "identity", "empty"),
        (gzip.compress(b"a list")[:-9], "gzip", "cut off"),
        (b"this is not gzip", "gzip", "no answer"),
        (b"x", "br", "not asked for"),
        (zlib.compress(b"x"), "deflate", "not asked for"),
        (b"x" * (MAX_BODY_BYTES + 1), "identity", "over 8 MB"),
        (gzip.compress(b"\0" * (MAX_BODY_BYTES + 1)), "gzip", "over 8 MB"),
    ],
    ids=["empty", "blank", "cut", "no gzip", "brotli", "deflate", "huge", "bomb"],
)
def test_a_body_that_is_no_use_is_refused(body: bytes, encoding: str, reason: str) -> None:
    with (
        client_for_view(
            lambda request: Response(body, headers={"Content-Encoding": encoding})
        ) as get,
        pytest.raises(FetchError, match=reason),
    ):
        get()


def test_a_body_of_exactly_the_largest_size_is_taken() -> None:
    packed = gzip.compress(b"x" * MAX_BODY_BYTES)
    with client_for_view(
        lambda request: Response(packed, headers={"Content-Encoding": "gzip"})
    ) as get:
        assert len(get().body) == MAX_BODY_BYTES


def test_a_body_that_ends_early_is_refused() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<html>")

    with client_for_socket(talk) as get, pytest.raises(FetchError, match="no answer"):
        get()


def test_a_connection_that_is_dropped_is_our_own_error() -> None:
    with client_for_socket(lambda connection: connection.close()) as get, pytest.raises(FetchError):
        get()


def test_a_server_that_is_not_there_is_our_own_error() -> None:
    with (
        UpstreamClient("http://127.0.0.1:1", agent="feedsrv/test") as fetcher,
        pytest.raises(FetchError, match="no answer"),
    ):
        fetcher.get("/papers", fetcher.deadline_after(5))


def test_a_redirect_to_no_address_is_our_own_error() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: http://x:port\r\nContent-Length: 0\r\n\r\n"
        )

    with client_for_socket(talk) as get, pytest.raises(FetchError, match="no answer"):
        get()


def send_nothing(connection: socket.socket) -> None:
    connection.recv(1)


def drip_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def drip_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def redirect_endlessly(connection: socket.socket) -> None:
    time.sleep(0.2)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /papers\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("talk", [send_nothing, drip_headers, drip_body, redirect_endlessly])
def test_one_deadline_covers_whatever_upstream_does(talk: Callable[[socket.socket], None]) -> None:
    """httpx's own timeouts begin anew with each byte: headers that drip would hold it for ever."""
    began = time.monotonic()
    with client_for_socket(talk) as get, pytest.raises(FetchError, match=r"in time|no time"):
        get(seconds=0.5)
    assert time.monotonic() - began < 10


def test_nothing_is_asked_when_no_time_is_left() -> None:
    asked: list[str] = []

    def view(request: Request) -> Response:
        asked.append(request.path)
        return Response("x")

    with client_for_view(view) as get, pytest.raises(FetchError, match="no time"):
        get(seconds=-1)
    assert asked == []


def test_an_application_can_stand_in_for_the_network() -> None:
    app = Request.application(lambda request: Response(f"asked for {request.path}"))
    with UpstreamClient("https://huggingface.co", agent="feedsrv/test", app=app) as fetcher:
        assert fetcher.get("/papers", fetcher.deadline_after(5)).body == b"asked for /papers"
