"""The server on real sockets: slow clients, odd requests, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from feedsrv.web.server import _listen
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

#: One path is ready, one answered at once, one when a line is given, one at a length that fills
#: buffers, and one breaks.
CODE = """
import os
import resource
import sys
import threading
from feedsrv import server
from feedsrv.answer import Reply

server.Server.patience, server.Server.unread_for = map(float, sys.argv[1:3])
if sys.argv[3:]:
    server._CONNECTIONS = int(sys.argv[3])
reading = threading.Lock()

def application(environ, start):
    if environ["PATH_INFO"] == "/waits":
        os.write(1, b"waiting\\n")  # in one piece, which print is not
        with reading:  # lines that threads read at the same time are lost
            sys.stdin.readline()
    if environ["PATH_INFO"] == "/nofiles":
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        threading.Thread(target=more_files, args=(limits,)).start()
    if environ["PATH_INFO"] == "/breaks":
        raise OSError("no such luck")
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"x" * 8_000_000 if environ["PATH_INFO"] == "/long" else b"hello"]

def more_files(limits):
    with reading:
        sys.stdin.readline()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)

def ready(environ):
    text = {"/peer": environ["REMOTE_PORT"], "/fields": environ.get("HTTP_X_FORWARDED_FOR", "")}
    if environ["PATH_INFO"] in text:
        body = text[environ["PATH_INFO"]].encode()
        return Reply("200 OK", (("Content-Length", str(len(body))),), body)
    if environ["PATH_INFO"] == "/ready":
        return Reply("200 OK", (("Content-Type", "text/plain"),), b"at once")

found = server.Server(application, "127.0.0.1", 0, ready)
print(f"reader: http://127.0.0.1:{found.port}/papers", flush=True)
found.run()
print("ended", flush=True)
"""
DEMO = ["-m", "feedsrv", "serve", "--demo", "--port", "0"]


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        found = None
        while not found:
            line = self.line()
            assert line, "it did not start"
            found = re.search(r"reader: http://[^:]+:(\d+)/papers", line)
        self.address = ("127.0.0.1", int(found[1]))

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def give_line(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def connection(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(self.address, 20)
        connection.sendall(sent)
        return connection

    def answer(self, sent: bytes) -> bytes:
        with self.connection(sent) as connection:
            return rest(connection)

    def refuses(self) -> bool:
        try:
            self.connection().close()
        except ConnectionRefusedError:
            return True
        return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)


def rest(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def undated(answer: bytes) -> bytes:
    return re.sub(rb"\r\nDate: [^\r]+", b"", answer)


def request(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def running(arguments: list[str]) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()


@pytest.fixture
def server() -> Iterator[Running]:
    with running(["-c", CODE, "30", "60"]) as found:
        yield found


@pytest.fixture
def crowded() -> Iterator[Running]:
    """A server with room for four."""
    with running(["-c", CODE, "30", "60", "4"]) as found:
        yield found


@pytest.fixture
def impatient() -> Iterator[Running]:
    """A server that gives clients a second for what it otherwise gives them more."""
    with running(["-c", CODE, "1", "1"]) as found:
        yield found


# --- slow clients ------------------------------------------------------------------------------


def test_clients_that_say_nothing_or_half_or_do_not_read_keep_nobody_waiting(
    server: Running,
) -> None:
    with ExitStack() as stack:
        for sent in (b"", b"GET /hello HTTP/1.1\r\nHo"):
            for _ in range(200):
                stack.enter_context(server.connection(sent))
        for _ in range(40):  # more than there are threads
            stack.enter_context(server.connection(request("/long")))
        begun = time.monotonic()
        assert server.answer(request("/hello")).endswith(b"hello")
        assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    "sent", [b"", b"GET /hello HTTP/1.1\r\nHo", b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_a_connection_that_wants_nothing_is_closed(impatient: Running, sent: bytes) -> None:
    with impatient.connection(sent) as connection:
        assert rest(connection).endswith(b"hello" if sent.endswith(b"\r\n\r\n") else b"")


def test_an_answer_that_nobody_reads_does_not_hold_the_end(impatient: Running) -> None:
    with impatient.connection(request("/long")):
        assert impatient.answer(request("/hello")).endswith(b"hello")
        impatient.stop()
        assert impatient.process.wait(15) == 0


def test_what_is_ready_is_answered_while_every_thread_waits(server: Running) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(server.connection(request("/waits"))) for _ in range(40)]
        for _ in range(32):
            assert server.line() == "waiting\n"
        assert server.answer(request("/ready")).endswith(b"\r\n\r\nat once")
        for _ in waiting:
            server.give_line()
        assert all(rest(connection).endswith(b"\r\n\r\nhello") for connection in waiting)


def test_an_application_that_breaks_is_said_to_be_broken_and_goes_on(server: Running) -> None:
    assert server.answer(request("/breaks")).startswith(b"HTTP/1.1 500 ")
    assert "/breaks broke" in server.line()
    assert server.answer(request("/hello")).endswith(b"hello")


# --- how it ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_request_under_way_is_finished_and_no_other_is_taken(
    server: Running, number: signal.Signals
) -> None:
    with server.connection(request("/waits")) as connection:
        assert server.line() == "waiting\n"
        server.process.send_signal(number)
        wait_until(server.refuses)
        server.give_line()
        assert rest(connection).endswith(b"\r\n\r\nhello")
    assert server.line() == "ended\n"
    assert server.process.wait(10) == 0


def test_a_second_signal_ends_it_at_once(server: Running) -> None:
    with server.connection(request("/waits")):
        assert server.line() == "waiting\n"
        server.stop()
        wait_until(server.refuses)
        server.stop()
        assert server.process.wait(10) == -signal.SIGTERM


def test_two_servers_never_share_a_port() -> None:
    with _listen("127.0.0.1", 0) as one, pytest.raises(OSError, match="in use"):
        _listen("127.0.0.1", one.getsockname()[1])


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")
def test_all_addresses_of_ipv6_are_those_of_ipv4_too() -> None:
    with _listen("::", 0) as found:
        socket.create_connection(("127.0.0.1", found.getsockname()[1]), 5).close()


# --- odd requests ------------------------------------------------------------------------------

HOST = "Host: localhost\r\nConnection: close\r\n"
MANY = "X: abcde\r\n" * 101


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (f"GET /healthz HTTP/1.0\r\n{HOST}\r\n", 200),
        (f"GET http://elsewhere.example/healthz HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET HTTP://elsewhere.example?x HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET /healthz HTTP/1.1\r\n{HOST}Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nUpgrade: x\r\nHost: x\r\nConnection: upgrade\r\n\r\n", 200),
        (f"GET /healthz HTTP/1.1\r\n{HOST}Content-Length: 4\r\n\r\nbody", 200),
        (f"GET /papers.atom?q=\u4e2d HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET /papers.atom HTTP/1.1\r\n{HOST}If-None-Match: \u4e2d\r\n\r\n", 200),
        (f"GET /papers.atom HTTP/1.1\r\n{HOST}Authorization: Basic \u4e2d\r\n\r\n", 200),
        ("GET /papers.atom HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET /papers.atom HTTP/1.1\r\nConnection: close\r\nHost: \u4e2d\r\n\r\n", 400),
        ("GET /papers.atom HTTP/1.1\r\nConnection: close\r\nHost: a b\r\n\r\n", 400),
        (f"GET /papers.atom HTTP/1.1\r\n{HOST}Host: localhost\r\n\r\n", 400),
        ("GET ftp://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (f"GET / HTTP/1.1\r\n{HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (f"GET /papers\0.atom HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"GET /healthz HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n", 400),
        (f"GET /healthz HTTP/1.1\r\n{HOST}X: a\rb\r\n\r\n", 400),
        (f"GET /healthz HTTP/9\r\n{HOST}\r\n", 400),
        (f"POST /healthz HTTP/1.1\r\n{HOST}Content-Length: -4\r\n\r\nbody", 400),
        ("\x16\x03\x01 no TLS here\r\n\r\n", 400),
        (f"GET /feeds/%00%FF%zz.atom HTTP/1.1\r\n{HOST}\r\n", 404),
        (f"GET /%0d%0aX:%20y HTTP/1.1\r\n{HOST}\r\n", 404),
        (f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n", 404),
        (f"BREW /papers.atom HTTP/1.1\r\n{HOST}\r\n", 405),
        (f"POST /papers.atom HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\nhalf", 405),
        (f"POST /papers.atom HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n", 405),
        (f"GET /healthz?{'a' * 70_000} HTTP/1.1\r\n{HOST}\r\n", 414),
        (f"GET /healthz HTTP/1.1\r\n{HOST}X: {'a' * 1_000_000}\r\n\r\n", 431),
        (f"GET /healthz HTTP/1.1\r\n{HOST}{MANY}\r\n", 431),
        (f"GET /healthz HTTP/1.1\r\n{HOST}{MANY[:500]}\r\n", 200),
    ],
)
def test_an_odd_request_is_answered_or_refused_and_breaks_nothing(
    demo: Running, sent: str, status: int
) -> None:
    answer = demo.answer(sent.encode())
    assert re.match(rb"HTTP/1\.[01] (\d+) ", answer)
    assert int(answer.split()[1]) == status


@pytest.fixture(scope="module")
def demo() -> Iterator[Running]:
    with running(DEMO) as found:
        yield found
        found.stop()
        said = found.process.communicate()[0]
    assert "Traceback" not in said
    assert "broke" not in said


def test_requests_sent_in_one_go_are_all_answered(demo: Running) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert demo.answer(3 * one + request("/healthz")).count(b"\r\n\r\nok\n") == 4


def test_requests_are_answered_in_their_order_whatever_each_takes(demo: Running) -> None:
    """The first is made by a thread, the second is ready, the third is none."""
    sent = (
        b"GET /preview?q=lake HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n?"
    )
    answer = demo.answer(sent)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200", b"400"]
    assert answer.index(b"lake") < answer.index(b"\r\n\r\nok\n")


def test_a_request_in_pieces_is_the_same_as_in_one(demo: Running) -> None:
    sent = request("/healthz", "Accept: a", "X-Accept: b")
    whole = demo.answer(sent)
    with demo.connection() as connection:
        for at in range(len(sent)):
            connection.sendall(sent[at : at + 1])
        assert undated(rest(connection)) == undated(whole)


def test_who_has_said_all_still_gets_all_answers(server: Running) -> None:
    sent = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.connection(sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert re.findall(rb"\r\n\r\n(at once|hello)", rest(connection)) == [b"at once", b"hello"]


def test_what_is_asked_for_in_the_same_words_is_each_askers_own(server: Running) -> None:
    """Who asks is no part of what is remembered of a request."""
    for _ in range(3):
        with server.connection(b"GET /peer HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
            port = connection.getsockname()[1]
            assert connection.recv(1000).endswith(f"\r\n\r\n{port}".encode())


def test_a_field_cannot_pose_as_another(server: Running) -> None:
    answer = server.answer(request("/fields", "X_Forwarded_For: evil", "X-Forwarded-For: good"))
    assert answer.endswith(b"\r\n\r\ngood")


def test_an_answer_without_a_length_gets_one_and_none_goes_with_what_has_no_body(
    server: Running,
) -> None:
    assert b"\r\nContent-Length: 5\r\n" in server.answer(request("/hello"))
    head, _, body = server.answer(request("/hello", method="HEAD")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b""


def test_more_clients_than_there_may_be_wait_for_one_to_go(crowded: Running) -> None:
    with ExitStack() as stack:
        there = [stack.enter_context(crowded.connection()) for _ in range(4)]
        late = stack.enter_context(crowded.connection(request("/hello")))
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.recv(1)
        there[0].close()
        late.settimeout(20)
        assert rest(late).endswith(b"hello")


def test_without_files_to_open_those_who_come_wait(crowded: Running) -> None:
    with ExitStack() as stack:
        crowded.answer(request("/nofiles"))
        late = stack.enter_context(crowded.connection(request("/hello")))
        assert "no connection can be accepted: Too many open files" in crowded.line()
        crowded.give_line()
        assert rest(late).endswith(b"hello")


def test_neither_head_nor_304_has_a_body(demo: Running) -> None:
    etags: list[list[bytes]] = [[b"one"], [b"other"]]
    while etags[0] != etags[1]:  # the demo's papers come one day after the other
        whole, _, body = demo.answer(request("/papers.atom")).partition(b"\r\n\r\n")
        assert body
        asked = request("/papers.atom", method="HEAD")
        head, _, nothing = demo.answer(asked).partition(b"\r\n\r\n")
        etags = [re.findall(rb"(?i)\netag: (\S+)", each) for each in (whole, head)]
    assert (head.split()[1], nothing) == (b"200", b"")
    assert f"content-length: {len(body)}".encode() in head.lower()
    etag = re.search(rb"(?i)\netag: (\S+)", whole)
    assert etag
    known = f"If-None-Match: {etag[1].decode()}"
    head, _, nothing = demo.answer(request("/papers.atom", known)).partition(b"\r\n\r\n")
    assert (head.split()[1], nothing) == (b"304", b"")
