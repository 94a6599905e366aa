"""``feedsrv serve`` as a process: hostile clients, odd requests, its end, and its reload."""

import http.client
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import pytest

from tests.support.hostile_clients import hostile_clients
from tests.support.http import fetch_body
from tests.support.server_process import ServerProcess, read_all, start_server
from tests.support.stores import lease_is_free
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

FEED = "/papers.atom"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and /proc")


@pytest.fixture(scope="module")
def demo() -> Iterator[ServerProcess]:
    with start_server("--demo") as server:
        fetch_body(server.url + FEED)
        yield server
        assert server.stop() == 0
    assert not server.errors()


def request(path: str, *headers: str, method: str = "GET", keep_alive: bool = False) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    lines += [] if keep_alive else ["Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()


# --- hostile clients ---------------------------------------------------------------------------


class Latency(NamedTuple):
    """Response times of an ordinary client in seconds."""

    median: float
    p99: float
    longest: float


def measure_latency(url: str, seconds: float) -> Latency:
    """Request the URL again and again, on a new connection each time; an error is raised."""
    latencies: list[float] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or len(latencies) < 2:
        started = time.monotonic()
        fetch_body(url)
        latencies.append(time.monotonic() - started)
        time.sleep(0.01)  # an ordinary client causes little load
    return Latency(
        median(latencies), quantiles(latencies, n=100, method="inclusive")[98], max(latencies)
    )


def report(name: str, latency: Latency, server: ServerProcess) -> None:
    milliseconds = (f"{field} {value * 1000:.0f} ms" for field, value in latency._asdict().items())
    print(
        f"\n{name}: an ordinary client waits {', '.join(milliseconds)}; the server takes"
        f" {server.memory('Rss'):.0f} MB RSS, {server.memory('Pss'):.0f} MB PSS"
    )


@pytest.mark.serial
def test_thousands_of_connections_that_close_at_once_delay_no_other_client(
    demo: ServerProcess,
) -> None:
    with hostile_clients("connect_and_close", demo.port, 6000, 0):
        latency = measure_latency(demo.url + FEED, 2)
    report("6,000 connections that close at once", latency, demo)
    assert latency.p99 < 3


@pytest.mark.serial
@pytest.mark.parametrize("kind", ["pipeline", "pipeline_without_reading"])
def test_megabytes_of_pipelined_requests_delay_no_other_client(
    demo: ServerProcess, kind: str
) -> None:
    with hostile_clients(kind, demo.port, 100, 30):
        latency = measure_latency(demo.url + FEED, 4)
        report(f"100 connections, {kind}", latency, demo)
    assert latency.p99 < 3


@pytest.mark.serial
@pytest.mark.parametrize("kind", ["pipeline", "pipeline_without_reading"])
def test_seven_hundred_pipelining_clients_take_less_than_300_mb(kind: str) -> None:
    with start_server("--demo") as server:
        fetch_body(server.url + FEED)
        with hostile_clients(kind, server.port, 700, 60):
            latency = measure_latency(server.url + FEED, 6)
            report(f"700 connections, {kind}", latency, server)
            assert server.memory("Rss") < 300
        assert latency.p99 < 10


@pytest.mark.serial
def test_hundreds_of_idle_and_half_sent_requests_delay_no_other_client(demo: ServerProcess) -> None:
    with hostile_clients("send_no_whole_request", demo.port, 400, 60):
        latency = measure_latency(demo.url + FEED, 1)
    report("400 connections without a whole request", latency, demo)
    assert latency.p99 < 3


@pytest.mark.serial
def test_the_health_check_responds_while_hundreds_wait_for_upstream(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    """All threads wait for upstream; the health check of a container gives up after 4 s."""
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("new_keywords = 0\nspacing = 0\n")
    may_respond = threading.Event()

    def wait(_: str) -> None:
        may_respond.wait(60)

    upstream.intercept = wait
    environ = {
        "FEEDSRV_CONFIG": str(settings),
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_UPSTREAM_URL": upstream.url,
    }
    with start_server(environ=environ) as server:
        workers = server.workers()
        try:
            with hostile_clients("request_new_keywords", server.port, 500, 8) as output:
                latency = measure_latency(server.url + "/healthz", 7)
                report("500 clients that wait for upstream, /healthz", latency, server)
                statuses = output.read()
        finally:
            may_respond.set()
        print(statuses)
        assert latency.longest < 3
        assert "'503'" in statuses
        assert "All threads busy" in server.log()
        assert server.workers() == workers
        assert fetch_body(server.url + "/healthz") == b"ok\n"
        assert server.stop() == 0
        assert not server.errors()


def test_a_burst_of_twice_as_many_clients_as_threads_gets_no_error(demo: ServerProcess) -> None:
    urls = [f"{demo.url}{FEED}?limit={number}" for number in range(1, 61)]  # none is cached
    with ThreadPoolExecutor(60) as executor:
        assert all(executor.map(fetch_body, urls))


# --- slow clients ------------------------------------------------------------------------------


def test_a_connection_without_a_complete_request_is_closed_after_ten_seconds(
    demo: ServerProcess,
) -> None:
    half = b"GET /healthz HTTP/1.1\r\nHost: loc"
    with ExitStack() as stack:
        idle, half_sent, slow, kept_alive = (
            stack.enter_context(demo.connect(sent))
            for sent in (b"", half, b"G", request("/healthz", keep_alive=True))
        )
        started = time.monotonic()
        slow.settimeout(0.2)
        is_closed = False
        while not is_closed and time.monotonic() - started < 30:
            try:
                slow.send(b"E")  # a byte now and then
                is_closed = slow.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                is_closed = True
        assert 5 < time.monotonic() - started < 20
        assert read_all(idle) == b""
        assert read_all(half_sent) in {b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"}
        assert read_all(kept_alive).endswith(b"ok\n")
        assert time.monotonic() - started < 20


@pytest.mark.serial
def test_unread_responses_do_not_prevent_shutdown() -> None:
    with start_server("--demo") as server, ExitStack() as stack:
        fetch_body(server.url + FEED)
        for _ in range(40):
            stack.enter_context(server.connect(400 * request(FEED, keep_alive=True)))
        assert fetch_body(server.url + FEED)
        started = time.monotonic()
        assert server.stop() == 0
        print(f"\nended {time.monotonic() - started:.1f} s after SIGTERM")
        assert time.monotonic() - started < 15  # takes 12 s, and more on a busy machine
        assert not server.errors()


# --- odd requests ------------------------------------------------------------------------------

HOST = "Host: localhost\r\nConnection: close\r\n"
HUNDRED_FIELDS = "X: abcde\r\n" * 100


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (f"GET /healthz HTTP/1.0\r\n{HOST}\r\n", 200),
        (f"GET http://elsewhere.example/healthz HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET HTTP://elsewhere.example?x HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET ftp://localhost/healthz HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET /healthz HTTP/1.1\r\n{HOST}Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", 200),
        (f"GET /healthz HTTP/1.1\r\n{HOST}Upgrade: x\r\nConnection: upgrade\r\n\r\n", 200),
        (f"GET /healthz HTTP/1.1\r\n{HOST}Content-Length: 4\r\n\r\nbody", 200),
        (f"GET /healthz HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n", 200),
        (f"GET /papers.atom?q=\u4e2d HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET /papers.atom HTTP/1.1\r\n{HOST}If-None-Match: \u4e2d\r\n\r\n", 200),
        (f"GET /papers.atom HTTP/1.1\r\n{HOST}Authorization: Basic \u4e2d\r\n\r\n", 200),
        (f"GET /healthz?{'a' * 30_000} HTTP/1.1\r\n{HOST}\r\n", 200),
        (f"GET /healthz HTTP/1.1\r\n{HOST}{HUNDRED_FIELDS[:500]}\r\n", 200),
        ("GET /papers.atom HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET /papers.atom HTTP/1.1\r\nConnection: close\r\nHost: \u4e2d\r\n\r\n", 400),
        ("GET /papers.atom HTTP/1.1\r\nConnection: close\r\nHost: a b\r\n\r\n", 400),
        (f"GET /papers.atom HTTP/1.1\r\n{HOST}Host: elsewhere.example\r\n\r\n", 400),
        (f"GET /papers\0.atom HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"GET  /healthz HTTP/1.1\r\n{HOST}\r\n", 400),
        (f"GET /healthz HTTP/1.1\r\n{HOST}X: a\0b\r\n\r\n", 400),
        (f"GET /healthz HTTP/1.1\r\n{HOST}X: a\rb\r\n\r\n", 400),
        (f"GET /healthz HTTP/1.1\r\n{HOST}X : space before the colon\r\n\r\n", 400),
        (f"GET /healthz HTTP/1.1\r\n{HOST} X: continued line\r\n\r\n", 400),
        (f"GET /healthz HTTP/9\r\n{HOST}\r\n", 400),
        ("GET /healthz\r\n\r\n", 400),
        (f"POST /healthz HTTP/1.1\r\n{HOST}Content-Length: -4\r\n\r\nbody", 400),
        (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody", 400),
        ("\x16\x03\x01 no TLS here\r\n\r\n", 400),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (f"GET /feeds/%00%FF%zz.atom HTTP/1.1\r\n{HOST}\r\n", 404),
        (f"GET /%0d%0aX:%20y HTTP/1.1\r\n{HOST}\r\n", 404),
        (f"OPTIONS * HTTP/1.1\r\n{HOST}\r\n", 404),
        (f"BREW /papers.atom HTTP/1.1\r\n{HOST}\r\n", 405),
        (f"POST /papers.atom HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\nhalf", 405),
        (f"POST /papers.atom HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n", 405),
        (f"GET /healthz?{'a' * 70_000} HTTP/1.1\r\n{HOST}\r\n", 431),
        (f"GET /healthz HTTP/1.1\r\n{HOST}X: {'a' * 1_000_000}\r\n\r\n", 431),
        (f"GET /healthz HTTP/1.1\r\n{HOST}{HUNDRED_FIELDS}\r\n", 431),
    ],
)
def test_an_odd_request_gets_a_response_or_is_refused(
    demo: ServerProcess, sent: str, status: int
) -> None:
    assert statuses(demo.exchange(sent.encode())) == [status]


def statuses(responses: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", responses)]


def test_the_preface_of_http_2_closes_the_connection(demo: ServerProcess) -> None:
    assert demo.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == b""


def test_a_request_with_two_lengths_smuggles_no_other_request(demo: ServerProcess) -> None:
    """RFC 9112 6.1: Transfer-Encoding overrides Content-Length, and the connection is closed."""
    lengths = "Content-Length: 5\r\nTransfer-Encoding: chunked"
    sent = request("/", lengths, method="POST", keep_alive=True) + b"0\r\n\r\n"
    assert statuses(demo.exchange(sent + request("/healthz", keep_alive=True))) == [405]


def test_pipelined_requests_get_their_responses_in_order(demo: ServerProcess) -> None:
    """The first request renders a template, the second is short, the third is malformed."""
    sent = (
        request("/preview?q=lake", keep_alive=True)
        + request("/healthz", keep_alive=True)
        + b"?\r\n"
    )
    responses = demo.exchange(sent)
    assert statuses(responses) == [200, 200, 400]
    assert responses.index(b"lake") < responses.index(b"\r\n\r\nok\n")


def test_a_request_in_pieces_gets_the_same_response_as_in_one(demo: ServerProcess) -> None:
    sent = request("/healthz", "Accept: a", "X-Accept: b")
    with demo.connect() as connection:
        for start in range(len(sent)):
            connection.sendall(sent[start : start + 1])
        in_pieces = read_all(connection)
    assert without_date(in_pieces) == without_date(demo.exchange(sent))


def without_date(response: bytes) -> bytes:
    return re.sub(rb"\r\ndate: [^\r]+", b"", response)


def test_head_and_304_have_no_body(demo: ServerProcess) -> None:
    path = "/papers/trending.atom"
    head, _, body = demo.exchange(request(path)).partition(b"\r\n\r\n")
    etag = re.findall(rb"\r\netag: ([^\r]+)", head)[0].decode()
    assert f"content-length: {len(body)}\r\n".encode() in head
    for sent, status in (
        (request(path, method="HEAD"), 200),
        (request(path, f"If-None-Match: {etag}"), 304),
    ):
        head, _, body = demo.exchange(sent).partition(b"\r\n\r\n")
        assert statuses(head) == [status]
        assert f"\r\netag: {etag}\r\n".encode() in head
        assert body == b""


# --- the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [FEED, "/", "/static/style.css", "/favicon.ico", "/nothing"])
def test_a_response_has_one_date(demo: ServerProcess, path: str) -> None:
    """RFC 9110 6.6.1; granian always adds one."""
    for field in ("Accept: */*", "If-None-Match: *", "Range: bytes=0-9"):
        head, _, _ = demo.exchange(request(path, field)).partition(b"\r\n\r\n")
        assert len(re.findall(rb"\r\ndate:", head, re.IGNORECASE)) == 1


def test_a_port_in_use_is_reported_in_one_line(demo: ServerProcess) -> None:
    server = ServerProcess("--demo", "--port", str(demo.port))
    assert server.wait() == 1
    lines = [line for line in server.stderr if "INFO" not in line]
    assert lines == [f"feedsrv: port {demo.port} is in use; choose another with --port\n"]


def test_an_address_of_another_machine_is_reported_in_one_line() -> None:
    server = ServerProcess("--demo", "--port", "0", "--host", "192.0.2.1")
    assert server.wait() == 1
    assert len(server.stderr) == 1
    assert server.stderr[0].startswith("feedsrv: cannot listen on 192.0.2.1 port 0: ")


def test_invalid_settings_are_reported_together_and_stop_the_start(tmp_path: Path) -> None:
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("threads = 2\ncolour = 'red'\n")
    server = ServerProcess("--port", "0", environ={"FEEDSRV_CONFIG": str(settings)})
    assert server.wait() == 2
    assert [line.split(": ")[2] for line in server.stderr] == ["threads", "colour"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 on this machine")
def test_all_ipv6_addresses_include_those_of_ipv4() -> None:
    with start_server("--demo", "--host", "::") as server:
        for host in ("127.0.0.1", "[::1]"):
            assert fetch_body(f"http://{host}:{server.port}/healthz") == b"ok\n"


def test_the_worker_uses_the_settings_file_of_the_command_line(tmp_path: Path) -> None:
    settings = tmp_path / "my.toml"
    settings.write_text("[feeds.mine]\ntitle = 'Mine'\nquery = 'causal'\n")
    with start_server("--demo", global_arguments=["--config", str(settings)]) as server:
        assert b"Mine" in fetch_body(f"{server.url}/feeds/mine.atom")


# --- the end -----------------------------------------------------------------------------------


def request_until_closed(server: ServerProcess, path: str, stop: threading.Event) -> list[str]:
    """Send requests on one connection until it is closed; return what was wrong with a response."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    problems: list[str] = []
    while not stop.is_set():
        try:
            connection.request("GET", path)
            response = connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            break  # closed between two requests, which HTTP allows
        try:
            body = response.read()
        except (http.client.IncompleteRead, ConnectionError) as error:
            problems.append(repr(error))
            break
        if response.status != 200 or len(body) != int(response.headers["Content-Length"]):
            problems.append(f"{response.status} with {len(body)} bytes")
    connection.close()
    return problems


@pytest.mark.serial
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to_group", [False, True], ids=["main process", "process group"])
def test_busy_clients_get_complete_responses_when_a_signal_ends_the_server(
    number: signal.Signals, to_group: bool
) -> None:
    with start_server("--demo") as server, ThreadPoolExecutor(20) as executor:
        stop = threading.Event()
        clients = [executor.submit(request_until_closed, server, FEED, stop) for _ in range(20)]
        measure_latency(server.url + FEED, 1)
        started = time.monotonic()
        if to_group:  # like Ctrl-C on a terminal
            os.killpg(server.process.pid, number)
        else:
            server.process.send_signal(number)
        assert server.wait() == 0
        print(f"\nended {time.monotonic() - started:.2f} s after the signal")
        assert time.monotonic() - started < 10
        stop.set()
        assert [client.result(30) for client in clients] == [[]] * 20
        assert not server.errors()


@pytest.mark.serial
def test_a_server_that_ends_while_upstream_hangs_responds_to_all_clients_quickly(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.today = lambda: datetime.now(UTC).date()
    settings = tmp_path / "feedsrv.toml"
    settings.write_text(
        f'upstream_url = "{upstream.url}"\ncache_dir = "{tmp_path}"\ndeadline = 3\n'
    )
    with (
        start_server(global_arguments=["--config", str(settings)]) as server,
        ThreadPoolExecutor(24) as executor,
    ):
        fetch_body(server.url + FEED)
        upstream.inject_fault("timeout")
        stop = threading.Event()
        busy = [executor.submit(request_until_closed, server, FEED, stop) for _ in range(8)]
        paths = [f"/papers.atom?q=fog{number}" for number in range(8)] + ["/papers/week.atom"] * 8
        waiting = [executor.submit(server.exchange, request(path)) for path in paths]
        wait_until(lambda: any("week" in path or "q=" in path for path in upstream.requests))
        started = time.monotonic()
        assert server.stop() == 0
        seconds = time.monotonic() - started
        print(f"\nended {seconds:.1f} s after SIGTERM")
        assert seconds < 3 + 2
        stop.set()
        assert [client.result(30) for client in busy] == [[]] * 8
        responses = [reader.result(30) for reader in waiting]
        assert {status for each in responses for status in statuses(each)} <= {200, 503}
        assert all(responses)
        assert not server.errors()


def test_a_server_that_ends_finishes_requests_and_releases_the_lease(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.papers += [make_raw_paper(7, title="Causal fog")]
    requested, may_respond = threading.Event(), threading.Event()

    def wait(_: str) -> None:
        requested.set()
        may_respond.wait(60)

    upstream.intercept = wait
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with start_server(environ=environ) as server, ThreadPoolExecutor(1) as executor:
        response = executor.submit(fetch_body, f"{server.url}/papers.atom?q=causal")
        assert requested.wait(30)
        assert not lease_is_free(tmp_path, upstream.url)
        server.process.terminate()
        wait_until(server.refuses_connections)
        may_respond.set()
        assert b"Causal fog" in response.result(30)
        assert server.wait() == 0
        assert not server.errors()
    assert lease_is_free(tmp_path, upstream.url)


def test_a_worker_that_does_not_end_is_killed_soon_after_the_deadline(tmp_path: Path) -> None:
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("deadline = 1\n")
    with start_server("--demo", global_arguments=["--config", str(settings)]) as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 12


def test_the_worker_ends_if_the_main_process_is_killed() -> None:
    with start_server("--demo") as server:
        server.process.kill()
        wait_until(server.refuses_connections)


def test_a_worker_that_is_killed_is_replaced() -> None:
    with start_server("--demo") as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(
            lambda: server.workers() not in ([], [worker]) and not server.refuses_connections()
        )
        assert fetch_body(server.url + "/healthz") == b"ok\n"
        assert server.stop() == 0


def test_sighup_ends_a_server_on_a_terminal() -> None:
    """SIGHUP means that the terminal was closed."""
    terminal, stdin = os.openpty()
    try:
        with start_server("--demo", stdin=stdin) as server:
            server.process.send_signal(signal.SIGHUP)
            assert server.wait() == 0
    finally:
        os.close(terminal)
        os.close(stdin)


# --- reloading settings ------------------------------------------------------------------------


def test_a_reload_applies_other_settings_without_an_error_on_any_connection(tmp_path: Path) -> None:
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("[feeds.one]\nquery = 'causal'\n")
    with start_server("--demo", environ={"FEEDSRV_CONFIG": str(settings)}) as server:
        (old_worker,) = server.workers()
        stop = threading.Event()
        errors: list[str] = []
        polls = 0

        def poll() -> None:
            nonlocal polls
            while not stop.is_set():
                try:
                    fetch_body(server.url + FEED)
                    polls += 1
                except OSError as error:
                    errors.append(repr(error))

        def is_replaced() -> bool:
            workers = server.workers()
            return bool(workers) and old_worker not in workers

        with ThreadPoolExecutor(9) as executor:
            polling = executor.submit(poll)
            clients = [executor.submit(request_until_closed, server, FEED, stop) for _ in range(8)]
            settings.write_text("[feeds.two]\nquery = 'causal'\n")
            server.process.send_signal(signal.SIGHUP)
            try:
                wait_until(is_replaced, timeout=60)
                assert fetch_body(server.url + "/feeds/two.atom")
            finally:
                stop.set()
            polling.result(30)
            assert [client.result(30) for client in clients] == [[]] * 8
        print(f"\n{polls} polls during the reload, errors: {errors}")
        assert not errors
        assert polls > 50
        assert not server.errors()


def test_a_reload_with_invalid_settings_ends_the_server(tmp_path: Path) -> None:
    """deploy/feedsrv.service therefore checks the settings before a reload."""
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("")
    with start_server("--demo", environ={"FEEDSRV_CONFIG": str(settings)}) as server:
        settings.write_text("colour = 'red'\n")
        server.process.send_signal(signal.SIGHUP)
        started = time.monotonic()
        assert server.wait() == 1
        print(f"\nended after {time.monotonic() - started:.1f} s")
        assert "Traceback" not in server.log()
        assert any(
            line.startswith(f"feedsrv: {settings}: colour: unknown setting;")
            for line in server.stderr
        )


# --- memory and time ---------------------------------------------------------------------------


@pytest.mark.serial
def test_an_idle_server_takes_less_than_80_mb() -> None:
    started = time.monotonic()
    with start_server("--demo") as server:
        fetch_body(server.url + "/healthz")
        seconds = time.monotonic() - started
        print(f"\nstarted in {seconds:.2f} s, {server.memory('Pss'):.0f} MB PSS")
        fetch_body(server.url + FEED)
        assert server.memory("Pss") < 80
