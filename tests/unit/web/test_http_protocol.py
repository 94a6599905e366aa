"""One connection without sockets: whatever bytes come, in whatever pieces."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedsrv.web.connection import Connection
from feedsrv.web.responses import HttpResponse

HEAD = b"Host: x\r\n\r\n"
REQUESTS = {
    b"ready": b"GET /ready HTTP/1.1\r\n" + HEAD,
    b"gzip": b"GET /ready?a=b HTTP/1.1\r\nAccept-Encoding: gzip\r\n" + HEAD,
    b"made": b"GET /made HTTP/1.1\r\n" + HEAD,
    b"head": b"HEAD /made HTTP/1.1\r\n" + HEAD,
    b"typed": "GET /ready?q=\u4e2d HTTP/1.1\r\n".encode() + HEAD,
    b"empty": b"GET /made HTTP/1.1\r\nContent-Length: 0\r\n" + HEAD,
}


class Transport:
    """What was sent, and whether more is read."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_closed = self.is_paused = False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ("192.0.2.7", 4711)

    def write(self, data: bytes) -> None:
        self.sent += data

    def writelines(self, parts: tuple[bytes, ...]) -> None:
        self.sent += b"".join(parts)

    def write_eof(self) -> None:
        self.is_closed = True

    close = abort = write_eof

    def is_closing(self) -> bool:
        return self.is_closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Serving:
    """A server whose other threads work when they are told to."""

    patience, unread_for, is_stopping = 5.0, 30.0, False

    def __init__(self) -> None:
        self.base: WSGIEnvironment = {}
        self.known: dict[bytes, WSGIEnvironment] = {}
        self.working: deque[Callable[[], None]] = deque()
        self.asked: list[WSGIEnvironment] = []

    def ready(self, environ: WSGIEnvironment) -> HttpResponse | None:
        if environ["PATH_INFO"] != "/ready":
            return None
        self.asked.append(environ)
        return HttpResponse("200 OK", (("Content-Length", "2"),), b"ok")

    def work(self, environ: WSGIEnvironment, then: Callable[[HttpResponse], None]) -> None:
        self.asked.append(environ)
        body = b"" if environ["REQUEST_METHOD"] == "HEAD" else b"made!"
        said = HttpResponse("200 OK", (("Content-Length", "5"),), body)
        self.working.append(lambda: then(said))

    def came(self, connection: Connection) -> None: ...

    def left(self, connection: Connection) -> None: ...

    def remember(self, head: bytes, environ: WSGIEnvironment) -> None:
        self.known[head] = environ

    def date(self) -> bytes:
        return b"Thu, 01 Jan 1970 00:00:00 GMT"


def said(server: Serving, pieces: list[bytes]) -> tuple[bytes, bool]:
    """Return what a client gets that sends these pieces, and whether that ends the connection."""
    transport: Any = Transport()

    async def talk() -> None:
        connection = Connection(server)
        connection.connection_made(transport)
        for piece in pieces:
            connection.data_received(piece)
            assert transport.is_paused or not connection._waiting
            if len(server.working) > 1:
                pytest.fail("two requests of one connection are worked at at the same time")
        while server.working:
            server.working.popleft()()

    asyncio.run(talk())
    return transport.sent, transport.is_closed


def cut(data: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in pairwise(ends)]


@given(st.lists(st.sampled_from(sorted(REQUESTS)), min_size=1), st.lists(st.integers(0, 10_000)))
@example([b"ready", b"gzip"], [])
@example([b"ready", b"gzip"], [9])
def test_pieces_make_no_difference_nor_does_what_is_remembered(
    names: list[bytes], at: list[int]
) -> None:
    sent = [REQUESTS[name] for name in names if name != b"typed"]
    server = Serving()
    answers, is_closed = said(server, sent)
    bodies = re.findall(rb"GMT\r\n\r\n(ok|made!|)", answers)
    expected = {b"ready": b"ok", b"gzip": b"ok", b"head": b""}
    assert bodies == [expected.get(name, b"made!") for name in names if name != b"typed"]
    assert not is_closed
    asked = server.asked
    in_pieces = Serving()
    for other, pieces in (
        *((server, sent), (in_pieces, cut(b"".join(sent), at))),
        *((in_pieces, cut(b"".join(sent), at)), (in_pieces, sent)),
    ):
        other.asked = []
        assert said(other, pieces) == (answers, False)
        assert other.asked == asked


def test_the_end_of_a_request_is_not_remembered_as_one() -> None:
    server = Serving()
    first, second = cut(REQUESTS[b"ready"] + REQUESTS[b"gzip"], [9])
    assert said(server, [first, second])[0].count(b"HTTP/1.1 200") == 2
    assert said(server, [second])[0].startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("field", [b"Content-Length: 3", b"Connection: close", b"Upgrade: h2c"])
def test_what_comes_behind_the_last_request_is_not_listened_to(field: bytes) -> None:
    last = b"GET /ready HTTP/1.1\r\n" + field + b"\r\nConnection: upgrade\r\n" + HEAD + b"abc"
    for pieces in ([last + REQUESTS[b"ready"]], [last, REQUESTS[b"ready"]]):
        answers, is_closed = said(Serving(), pieces)
        assert answers.count(b"HTTP/1.1 ") == 1
        assert is_closed


def test_an_address_as_it_was_typed_is_that_in_utf_8() -> None:
    server = Serving()
    for _ in range(2):
        assert said(server, [REQUESTS[b"typed"]])[0].endswith(b"ok")
        assert server.asked.pop()["QUERY_STRING"] == "q=%E4%B8%AD"


TOKENS = [
    *(b"GET", b"HEAD", b"BREW", b"CONNECT", b" ", b"/", b"*", b"/ready", b"/made", b"http://x/"),
    *(b"?", b"%", b"%zz", b"%00", b"#", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n", b"\n"),
    *(b"\r", b"Host: x", b"Host:", b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c"),
    *(b"Content-Length: 3", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"3\r\nabc\r\n"),
    *(b"0\r\n\r\n", b"Expect: 100-continue", b"\x00", b"\xff", b"X_Y: z", b":", b"a" * 70_000),
]


@given(
    st.lists(st.sampled_from([*TOKENS, *REQUESTS.values()]) | st.binary(max_size=5)),
    st.lists(st.integers(0, 1_000_000), max_size=5),
)
@example([b"GET", b" ", b"/", b" HTTP/1.1", b"\r\n", b"X:" + b"a" * 70_000, b"a" * 70_000], [])
def test_whatever_bytes_come_what_goes_out_is_http_or_nothing(
    tokens: list[bytes], at: list[int]
) -> None:
    answers, is_closed = said(Serving(), cut(b"".join(tokens), at))
    heads = re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z][^\r]*\r\n", answers)
    assert set(heads) <= {b"200", b"400", b"405", b"414", b"431"}
    assert answers.startswith(b"HTTP/1.1 ") or not answers
    if set(heads) - {b"200"}:  # what cannot be read ends it
        assert is_closed
        assert heads[:-1] == [b"200"] * (len(heads) - 1)


def test_who_reads_nothing_is_answered_no_further_until_it_does() -> None:
    server, transport = Serving(), Transport()

    async def talk() -> None:
        connection = Connection(server)
        connection.connection_made(transport)
        connection.pause_writing()
        for _ in range(3):
            connection.data_received(REQUESTS[b"ready"])
        assert transport.is_paused
        assert transport.sent == b""
        connection.resume_writing()
        assert transport.sent.count(b"ok") == 3
        assert not transport.is_paused

    asyncio.run(talk())
