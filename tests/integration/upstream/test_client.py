"""The HTTP client: redirects, errors, decompression and the deadline."""

import gzip
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from threading import Event

import pytest
from werkzeug.wrappers import Request, Response

from feedsrv.errors import FetchError
from feedsrv.network import NetworkSettings
from feedsrv.upstream.client import MAX_BODY_BYTES, FetchResult, UpstreamClient, Validators
from tests.support.servers import serve_tcp, serve_wsgi

View = Callable[[Request], Response]


@contextmanager
def serving(view: View) -> Iterator[Callable[..., FetchResult]]:
    with (
        serve_wsgi(Request.application(view)) as url,
        UpstreamClient(url, agent="feedsrv/test (loopback)") as client,
    ):
        yield lambda path="/papers", seconds=5.0: client.get(path, client.deadline_after(seconds))


@contextmanager
def serving_socket(
    handler: Callable[[socket.socket], None],
) -> Iterator[Callable[..., FetchResult]]:
    with serve_tcp(handler) as url, UpstreamClient(url, agent="feedsrv/test") as client:
        yield lambda seconds=5.0: client.get("/papers", client.deadline_after(seconds))


def test_no_request_waits_for_the_event_loop_after_a_warm_up() -> None:
    with UpstreamClient("http://127.0.0.1:9", agent="feedsrv/test") as client:
        assert client._event_loop is None, "a server forks before it uses the client"
        client.warm_up()
        assert client._event_loop is not None


def test_the_result_has_the_final_url_after_redirects() -> None:
    def view(request: Request) -> Response:
        if request.path == "/papers":
            return Response("", 302, {"Location": "/papers/date/2026-11-20"})
        return Response("a list")

    with serving(view) as get:
        result = get()
    assert result.body == b"a list"
    assert result.url.endswith("/papers/date/2026-11-20")


def test_requests_have_a_user_agent_and_accept_gzip() -> None:
    with serving(lambda request: Response(str(request.headers))) as get:
        headers = get().body.decode()
    assert "User-Agent: feedsrv/test (loopback)" in headers
    assert "Accept-Encoding: gzip\r" in headers
    assert "Authorization" not in headers


def test_the_token_is_sent_to_upstream() -> None:
    app = Request.application(lambda request: Response(request.headers["Authorization"]))
    with (
        serve_wsgi(app) as url,
        UpstreamClient(url, agent="feedsrv/test", token="hf_secret") as client,
    ):
        assert client.get("/papers", client.deadline_after(5)).body == b"Bearer hf_secret"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "another server"),
        ("http://127.0.0.1:1/papers", "another server"),
        ("https://127.0.0.1/papers", "another server"),
        ("//example.org/papers", "another server"),
        ("file:///etc/passwd", "another server"),
        ("/login?next=%2Fpapers", "login page"),
        ("/papers", "too many redirects"),
    ],
)
def test_redirects_are_followed_within_upstream_only(location: str, reason: str) -> None:
    with (
        serving(lambda request: Response("", 302, {"Location": location})) as get,
        pytest.raises(FetchError, match=reason),
    ):
        get()


@pytest.mark.parametrize(
    ("status", "headers", "reason", "retry_after"),
    [
        (500, {}, "HTTP 500", None),
        (503, {"Retry-After": "120"}, "HTTP 503", 120.0),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "HTTP 503", None),
        (404, {}, "HTTP 404", None),
        (403, {}, "HTTP 403", None),
        (429, {"Retry-After": "2"}, "too many requests", 2.0),
        (429, {"ratelimit": '"pages";r=0;t=53'}, "too many requests", 53.0),
        (429, {"ratelimit": '"pages";r=7;t=53'}, "too many requests", None),
        (429, {}, "too many requests", None),
        (202, {"x-amzn-waf-action": "challenge"}, "bot challenge", None),
        (202, {}, "bot challenge", None),
        (204, {}, "HTTP 204", None),
    ],
)
def test_a_fetch_error_has_the_reason_and_retry_after_of_the_response(
    status: int, headers: dict[str, str], reason: str, retry_after: float | None
) -> None:
    with (
        serving(lambda request: Response("sorry", status, headers)) as get,
        pytest.raises(FetchError, match=reason) as caught,
    ):
        get()
    assert caught.value.retry_after == retry_after
    assert caught.value.url.endswith("/papers")


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        ({"Retry-After": "31536000"}, 3600.0),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "²"}, None),
        ({"ratelimit": '"pages";r=0;t=99999999'}, 3600.0),
        ({"ratelimit": f'"pages";r=0;t={"9" * 400}'}, None),
    ],
)
def test_retry_after_is_limited_to_an_hour(
    headers: dict[str, str], retry_after: float | None
) -> None:
    with serving(lambda _: Response("", 429, headers)) as get, pytest.raises(FetchError) as caught:
        get()
    assert caught.value.retry_after == retry_after


def test_an_invalid_token_is_not_in_the_error_message() -> None:
    with (
        UpstreamClient("http://127.0.0.1:1", agent="feedsrv/test", token="hf_secret\r") as client,
        pytest.raises(FetchError) as caught,
    ):
        client.get("/papers", client.deadline_after(5))
    assert "secret" not in str(caught.value)


def test_a_gzip_body_is_decompressed() -> None:
    page = b"a list of papers " * 1000
    compressed = gzip.compress(page)
    with serving(lambda request: Response(compressed, headers={"Content-Encoding": "gzip"})) as get:
        assert get().body == page


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", " gzip "])
@pytest.mark.parametrize("padding", [b"", b"\0" * 512, b"\x1f and more"])
def test_every_member_of_a_gzip_body_is_decompressed(encoding: str, padding: bytes) -> None:
    members = [gzip.compress(part) for part in (b"a list ", b"", b"of papers " * 50_000, b"!")]

    body = b"".join(members) + padding
    with serving(lambda request: Response(body, headers={"Content-Encoding": encoding})) as get:
        assert get().body == b"a list " + b"of papers " * 50_000 + b"!"


def test_a_member_that_begins_in_one_chunk_and_ends_in_another_is_decompressed() -> None:
    body = gzip.compress(b"a list ") + gzip.compress(b"of papers")

    def send_bytes(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        for byte in body:
            connection.sendall(bytes([byte]))
        connection.close()

    with serving_socket(send_bytes) as get:
        assert get().body == b"a list of papers"


def test_cookies_are_not_sent_back() -> None:
    received: list[str] = []

    def view(request: Request) -> Response:
        received.append(request.headers.get("Cookie", ""))
        response = Response("a list")
        response.set_cookie(f"visit-{len(received)}", "x" * 4000)
        return response

    with serving(view) as get:
        for _ in range(3):
            get()
    assert received == ["", "", ""]


@pytest.mark.parametrize("value", ['"' + "x" * 300 + '"', '"caf\xe9"', '"a\tb"', ""])
def test_a_validator_that_is_long_or_not_plain_is_not_stored(value: str) -> None:
    headers = {"ETag": value, "Last-Modified": value}
    with serving(lambda request: Response("a list", headers=headers)) as get:
        result = get()
    assert (result.etag, result.last_modified) == ("", "")


def test_a_stored_validator_that_is_not_plain_is_not_sent() -> None:
    def view(request: Request) -> Response:
        return Response(f"{request.headers.get('If-None-Match')}")

    with (
        serve_wsgi(Request.application(view)) as url,
        UpstreamClient(url, agent="feedsrv/test") as client,
    ):
        validators = Validators("/papers", '"caf\xe9"', "")
        result = client.get("/papers", client.deadline_after(5), validators=validators)
    assert result.body == b"None"


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (b"", "identity", "is empty"),
        (b"  \n ", "identity", "is empty"),
        (gzip.compress(b"a list")[:-9], "gzip", "truncated"),
        (b"this is not gzip", "gzip", "request failed"),
        (b"x", "br", "unexpected Content-Encoding"),
        (zlib.compress(b"x"), "deflate", "unexpected Content-Encoding"),
        (b"x" * (MAX_BODY_BYTES + 1), "identity", "larger than 8 MB"),
        (gzip.compress(b"\0" * (MAX_BODY_BYTES + 1)), "gzip", "larger than 8 MB"),
    ],
    ids=["empty", "blank", "cut", "no gzip", "brotli", "deflate", "huge", "bomb"],
)
def test_an_unusable_body_is_an_error(body: bytes, encoding: str, reason: str) -> None:
    with (
        serving(lambda request: Response(body, headers={"Content-Encoding": encoding})) as get,
        pytest.raises(FetchError, match=reason),
    ):
        get()


def test_a_body_of_exactly_the_maximum_size_is_accepted() -> None:
    compressed = gzip.compress(b"x" * MAX_BODY_BYTES)
    with serving(lambda request: Response(compressed, headers={"Content-Encoding": "gzip"})) as get:
        assert len(get().body) == MAX_BODY_BYTES


def test_a_truncated_body_is_an_error() -> None:
    def handler(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<html>")

    with serving_socket(handler) as get, pytest.raises(FetchError, match="request failed"):
        get()


def test_a_closed_connection_is_a_fetch_error() -> None:
    with serving_socket(lambda connection: connection.close()) as get, pytest.raises(FetchError):
        get()


@pytest.mark.parametrize("location", [b"http://x:port", b"http://xn--a/", b"//\xff", b"http://["])
def test_a_redirect_to_an_invalid_url_is_a_fetch_error(location: bytes) -> None:
    def handler(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location
        )

    with (
        serving_socket(handler) as get,
        pytest.raises(FetchError, match=r"request failed|redirect to"),
    ):
        get()


def hang(connection: socket.socket) -> None:
    connection.recv(1)


def send_headers_slowly(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def send_body_slowly(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def redirect_forever(connection: socket.socket) -> None:
    time.sleep(0.2)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /papers\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("handler", [hang, send_headers_slowly, send_body_slowly, redirect_forever])
def test_one_deadline_covers_the_whole_request(handler: Callable[[socket.socket], None]) -> None:
    """httpx's timeouts restart with each byte, so slow headers would never time out."""
    started = time.monotonic()
    with serving_socket(handler) as get, pytest.raises(FetchError, match="timed out"):
        get(seconds=0.5)
    assert time.monotonic() - started < 10


def test_no_request_is_sent_after_the_deadline() -> None:
    requested: list[str] = []

    def view(request: Request) -> Response:
        requested.append(request.path)
        return Response("x")

    with serving(view) as get, pytest.raises(FetchError, match="before the request was sent"):
        get(seconds=-1)
    assert requested == []


def test_a_wsgi_application_can_replace_the_network() -> None:
    app = Request.application(lambda request: Response(f"path {request.path}"))
    with UpstreamClient("https://huggingface.co", agent="feedsrv/test", app=app) as client:
        assert client.get("/papers", client.deadline_after(5)).body == b"path /papers"


def test_requests_in_progress_can_be_aborted() -> None:
    connected = Event()

    def handler(connection: socket.socket) -> None:
        connected.set()
        connection.recv(1)

    with (
        serve_tcp(handler) as url,
        UpstreamClient(url, agent="feedsrv/test") as client,
        ThreadPoolExecutor() as executor,
    ):
        client.abort()  # there is none
        request = executor.submit(client.get, "/papers", client.deadline_after(30))
        assert connected.wait(10)
        client.abort()
        with pytest.raises(FetchError, match="timed out"):
            request.result(10)


# --- addresses and proxies ---------------------------------------------------------------------


@contextmanager
def unresponsive_address(port: int) -> Iterator[str]:
    """Yield a loopback address whose full backlog drops new connections."""
    address = "127.0.0.2"
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(3):
            connection = waiting.enter_context(socket.socket())
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.connect((address, port))
        yield address


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Make every host name resolve to these addresses."""

    def getaddrinfo(host: object, port: int, *args: object, **options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_an_address_that_does_not_respond_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve_wsgi(Response("a list")) as url:
        port = int(url.rpartition(":")[2])
        with (
            unresponsive_address(port) as dead,
            UpstreamClient(f"http://upstream.example:{port}", agent="feedsrv/test") as client,
        ):
            resolve_to(monkeypatch, dead, "127.0.0.1")
            assert client.get("/papers", client.deadline_after(8)).body == b"a list"


def test_the_deadline_applies_when_no_address_responds(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serve_wsgi(Response("")) as url,
        unresponsive_address(port := int(url.rpartition(":")[2])) as dead,
        UpstreamClient(f"http://upstream.example:{port}", agent="feedsrv/test") as client,
    ):
        resolve_to(monkeypatch, dead)
        started = time.monotonic()
        with pytest.raises(FetchError, match="timed out"):
            client.get("/papers", client.deadline_after(0.5))
        assert time.monotonic() - started < 10


def test_the_deadline_applies_when_the_name_server_does_not_respond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_respond = Event()

    def getaddrinfo(*args: object, **options: object) -> list[object]:
        may_respond.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with UpstreamClient("http://upstream.example", agent="feedsrv/test") as client:
        with pytest.raises(FetchError, match="timed out"):
            client.get("/papers", client.deadline_after(0.5))
        assert not may_respond.is_set()
        may_respond.set()


def test_a_refused_connection_is_described_in_words() -> None:
    with (
        UpstreamClient("http://127.0.0.1:1", agent="feedsrv/test") as client,
        pytest.raises(FetchError) as caught,
    ):
        client.get("/papers", client.deadline_after(5))
    assert caught.value.reason == "request failed: connection refused (127.0.0.1:1)"


def test_an_unknown_host_is_described_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with (
        UpstreamClient("http://upstream.example", agent="feedsrv/test") as client,
        pytest.raises(FetchError) as caught,
    ):
        client.get("/papers", client.deadline_after(5))
    assert caught.value.reason == "request failed: name or service not known"


def test_each_address_that_refuses_a_connection_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.2", "127.0.0.3")
    with (
        UpstreamClient("http://upstream.example:1", agent="feedsrv/test") as client,
        pytest.raises(FetchError, match=r"request failed: .*127\.0\.0\.[23]"),
    ):
        client.get("/papers", client.deadline_after(5))


def test_requests_go_through_the_proxy() -> None:
    def view(request: Request) -> Response:
        return Response(f"a list from {request.host}")

    with (
        serve_wsgi(Request.application(view)) as proxy,
        UpstreamClient(
            "http://upstream.example", agent="feedsrv/test", network=NetworkSettings(proxy)
        ) as client,
    ):
        body = client.get("/papers", client.deadline_after(5)).body
    assert body == b"a list from upstream.example"


def test_variables_that_httpx_would_reject_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "[::1]")
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:1")
    with serving(lambda _: Response("a list")) as get:
        assert get().body == b"a list"


# --- the token ---------------------------------------------------------------------------------


def test_requests_continue_without_an_expired_token(caplog: pytest.LogCaptureFixture) -> None:
    tokens: list[str] = []

    def view(request: Request) -> Response:
        tokens.append(request.headers.get("Authorization", ""))
        return Response("", 401) if tokens[-1] else Response("a list")

    slots: list[None] = []
    with (
        serve_wsgi(Request.application(view)) as url,
        UpstreamClient(url, agent="feedsrv/test", token="hf_old") as client,
    ):
        for _ in range(2):
            result = client.get(
                "/papers", client.deadline_after(5), acquire_slot=lambda: slots.append(None)
            )
            assert result.body == b"a list"
        assert client.token_was_rejected
    assert tokens == ["Bearer hf_old", "", ""]
    assert len(slots) == 1, "the second request counts against the rate limit"
    assert "FEEDSRV_HF_TOKEN is invalid or has expired" in caplog.text


def test_a_page_that_needs_authentication_is_an_error() -> None:
    with serving(lambda _: Response("", 401)) as get, pytest.raises(FetchError, match="HTTP 401"):
        get()
