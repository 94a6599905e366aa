"""The HTTP client for upstream: one GET within one deadline, or a `FetchError`.

The only module that uses httpx. It contacts no other server than upstream: redirects are followed
by hand, and only to the same scheme, host and port.
"""

from __future__ import annotations

import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NamedTuple, Self
from wsgiref.types import WSGIApplication

import httpx

from feedsrv.errors import FetchError, NotFoundError

#: The most bytes of a decompressed body. The largest page seen had 1.7 MB.
MAX_BODY_BYTES = 8_000_000
#: The most bytes that one step of decompression returns.
_DECOMPRESS_CHUNK_BYTES = 1_000_000
_MAX_REDIRECTS = 5
#: The most seconds of a Retry-After that are honoured: a mistake upstream must not stop a server
#: for a year.
_MAX_RETRY_AFTER = 3600.0
_RETRY_AFTER_SECONDS = re.compile(r"(\d{1,9})", re.ASCII)
_RATELIMIT_RESET = re.compile(r"\bt=(\d{1,9})(?!\d)", re.ASCII)


class Validators(NamedTuple):
    """The validators of a stored response, for a conditional request (RFC 9110 8.8)."""

    #: The path and query that they belong to.
    path: str
    etag: str
    last_modified: str


class FetchResult(NamedTuple):
    """A response: 200 with a body, or 304."""

    #: The final URL, after redirects.
    url: str
    body: bytes
    etag: str = ""
    last_modified: str = ""
    #: Whether upstream confirmed the validators (304); the body is empty then.
    not_modified: bool = False
    #: Seconds for which to send no further request: this one was the last within the rate limit.
    retry_after: float = 0


class UpstreamClient:
    """Sends requests to upstream. Safe for threads.

    Args:
        upstream_url: Scheme, host and port.
        agent: The User-Agent.
        token: A Hugging Face token, for its higher rate limit.
        app: A WSGI application that answers instead of the network.
        clock: A monotonic clock, in seconds.

    """

    def __init__(
        self,
        upstream_url: str,
        *,
        agent: str,
        token: str = "",
        app: WSGIApplication | None = None,
        clock: Callable[[], float] = time.monotonic,  # noqa: TID251  # the default clock
    ) -> None:
        headers = {"User-Agent": agent, "Accept": "text/html, application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # Only gzip, because `_decompress` bounds its output. No keep-alive, because `_hard_timeout`
        # learns a request's socket when the connection is made.
        self._client = httpx.Client(
            base_url=upstream_url,
            headers=headers | {"Accept-Encoding": "gzip"},
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=httpx.WSGITransport(app=app) if app else None,
        )
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def deadline_after(self, seconds: float) -> float:
        """Return the deadline that many seconds from now, for `get`."""
        return self._clock() + seconds

    def get(
        self,
        path: str,
        deadline: float,
        *,
        acquire_slot: Callable[[], None] = lambda: None,
        validators: Validators | None = None,
    ) -> FetchResult:
        """Return the response for the path, after redirects.

        Args:
            path: Path and query.
            deadline: When to give up. It covers connecting, redirects and reading the body.
            acquire_slot: Called before each redirect is followed. It may wait or raise.
            validators: Those of the stored response, for a conditional request.

        Raises:
            FetchError: There was no usable response in time.

        """
        url = self._client.base_url.join(path)
        for redirects in range(_MAX_REDIRECTS + 1):
            if redirects:
                acquire_slot()
            result = self._send(url, deadline, validators)
            if isinstance(result, FetchResult):
                return result
            url = result
        raise FetchError(str(url), "too many redirects")

    def _send(
        self, url: httpx.URL, deadline: float, validators: Validators | None
    ) -> FetchResult | httpx.URL:
        """Send one request. Return its response, or the target if it is a redirect."""
        seconds = deadline - self._clock()
        if seconds <= 0:
            raise FetchError(str(url), "timed out before the request was sent")
        conditions = _conditional_headers(url, validators)
        try:
            with (
                _hard_timeout(seconds) as extensions,
                self._client.stream(
                    "GET", url, headers=conditions, timeout=seconds, extensions=extensions
                ) as response,
            ):
                retry_after = _retry_after(response.headers) or 0
                if response.status_code == httpx.codes.NOT_MODIFIED and conditions:
                    return FetchResult(str(url), b"", not_modified=True, retry_after=retry_after)
                if response.has_redirect_location:
                    return _redirect_target(url, response.headers["location"])
                _raise_for_status(response)
                return FetchResult(
                    str(url),
                    self._read_body(response, deadline),
                    etag=response.headers.get("etag", ""),
                    last_modified=response.headers.get("last-modified", ""),
                    retry_after=retry_after,
                )
        except httpx.LocalProtocolError as error:
            # Its message contains our own headers, and so the token.
            raise FetchError(str(url), "a request header is invalid") from error
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
            timed_out = isinstance(error, httpx.TimeoutException) or self._clock() >= deadline
            reason = f"request failed: {str(error) or type(error).__name__}"
            raise FetchError(str(url), "timed out" if timed_out else reason) from error

    def _read_body(self, response: httpx.Response, deadline: float) -> bytes:
        body = bytearray()
        for chunk in _decompress(response):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                reason = f"the response is larger than {MAX_BODY_BYTES // 1_000_000} MB"
                raise FetchError(str(response.url), reason)
            if self._clock() >= deadline:
                raise FetchError(str(response.url), "timed out while reading the body")
        if not body.strip():
            raise FetchError(str(response.url), "the response is empty")
        return bytes(body)


def _conditional_headers(url: httpx.URL, validators: Validators | None) -> dict[str, str]:
    """Return the headers of a conditional request, if the validators belong to the URL."""
    if validators is None or url.raw_path.decode() != validators.path:
        return {}
    headers = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in headers.items() if value}


def _redirect_target(url: httpx.URL, location: str) -> httpx.URL:
    """Return the URL that a redirect leads to.

    Raises:
        FetchError: It leads to another server or to the login page.

    """
    target = url.join(location)
    origin = (target.scheme, target.host, target.port)
    if origin != (url.scheme, url.host, url.port):
        raise FetchError(str(url), f"redirect to another server, {target.host or location!r}")
    if target.path.startswith("/login"):
        raise FetchError(str(url), "redirect to the login page")
    return target


def _decompress(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body in bounded chunks: 64 kB of a gzip bomb would decompress to 64 MB at once."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding == "identity":
        yield from response.iter_raw()
        return
    if encoding != "gzip":
        raise FetchError(str(response.url), f"unexpected Content-Encoding {encoding!r}")
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for chunk in response.iter_raw():
        compressed = chunk
        while compressed and not decompressor.eof:
            yield decompressor.decompress(compressed, _DECOMPRESS_CHUNK_BYTES)
            compressed = decompressor.unconsumed_tail
    if not decompressor.eof:
        raise FetchError(str(response.url), "the gzip body is truncated")


def _raise_for_status(response: httpx.Response) -> None:
    """Raise FetchError unless the response has a page.

    AWS WAF answers suspected bots with 202 and a script.
    """
    url, status = str(response.url), response.status_code
    if response.headers.get("x-amzn-waf-action") or status == httpx.codes.ACCEPTED:
        raise FetchError(url, "blocked by a bot challenge")
    if status == httpx.codes.OK:
        return
    retry_after = _retry_after(response.headers) if status >= httpx.codes.BAD_REQUEST else None
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise FetchError(url, "HTTP 429, too many requests", retry_after)
    error = NotFoundError if status == httpx.codes.NOT_FOUND else FetchError
    raise error(url, f"HTTP {status}", retry_after)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: from Retry-After, else from ``ratelimit: "pages";r=0;t=53``."""
    match = _RETRY_AFTER_SECONDS.fullmatch(headers.get("retry-after", ""))
    if match is None:
        ratelimit = headers.get("ratelimit", "")
        is_used_up = ";r=0;" in ratelimit.replace(" ", "")
        match = _RATELIMIT_RESET.search(ratelimit) if is_used_up else None
    return min(float(match[1]), _MAX_RETRY_AFTER) if match else None


@contextmanager
def _hard_timeout(seconds: float) -> Iterator[dict[str, Any]]:
    """Shut down the connections of one request after that many seconds, whatever its state.

    httpx's timeouts start anew with each byte, so headers that arrive byte by byte would take
    forever. Yields the request's extensions: the trace extension reports each new connection.
    """
    sockets: list[socket.socket] = []

    def on_trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            sockets.append(info["return_value"].get_extra_info("socket"))

    def shut_down() -> None:
        for connection in sockets:
            # It may be closed already, or detached when TLS wrapped it.
            with suppress(OSError):
                # Not SSLSocket.shutdown, which drops the TLS object that a read is still using.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield {"trace": on_trace}
    finally:
        timer.cancel()
