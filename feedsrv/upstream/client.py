"""HTTP out: one answer from upstream, within one deadline, or one of our errors.

Every httpx name lives here. No address but upstream's own is ever contacted: redirects are followed
by hand, and only within its scheme, host and port.
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

from feedsrv.errors import FetchError

#: Bytes of a body once unpacked. The largest page seen had 1.7 MB.
MAX_BODY_BYTES = 8_000_000
_MAX_REDIRECTS = 5
_RATELIMIT_RESET = re.compile(r"\bt=(\d{1,9})(?!\d)", re.ASCII)
#: Seconds that upstream's wish to be left alone is heeded for, at most.
_MAX_RETRY_AFTER = 3600.0


class Validators(NamedTuple):
    """What is held of a path already: the validators that came with it."""

    path: str
    etag: str
    last_modified: str


class FetchResult(NamedTuple):
    """A body, the address it came from in the end, and its validators."""

    url: str
    body: bytes
    etag: str = ""
    last_modified: str = ""
    #: Upstream says that what is held is still right; there is no body.
    not_modified: bool = False
    #: Seconds to leave upstream alone, where this answer was the last of an allowance.
    retry_after: float = 0


class UpstreamClient:
    """Asks upstream, as one client with an honest name.

    Args:
        upstream_url: Scheme, host and port.
        agent: What to send as User-Agent.
        token: A Hugging Face token, for its larger allowance.
        app: A WSGI application to ask in place of the network.
        clock: Seconds that only ever rise.

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
        # gzip alone, because `_unpacked` bounds what it unpacks to. A connection is made for each
        # request, so that `_cut_at` knows its socket.
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
        """Let go of the network."""
        self._client.close()

    def deadline_after(self, seconds: float) -> float:
        """Return the moment that many seconds from now, for `get`."""
        return self._clock() + seconds

    def get(
        self,
        path: str,
        deadline: float,
        *,
        acquire_slot: Callable[[], None] = lambda: None,
        validators: Validators | None = None,
    ) -> FetchResult:
        """Return what upstream has at the path, redirects followed.

        Args:
            path: Path and query.
            by: The moment at which to give up: it covers connections, redirects and bodies.
            turn: Called before each further request; it may wait, or raise.
            held: What need not be sent again.

        Raises:
            FetchError: No usable answer came back in time.

        """
        url = self._client.base_url.join(path)
        for redirects in range(_MAX_REDIRECTS + 1):
            if redirects:
                acquire_slot()
            answer = self._request(url, deadline, validators)
            if isinstance(answer, FetchResult):
                return answer
            url = answer
        raise FetchError(str(url), "too many redirects")

    def _request(
        self, url: httpx.URL, by: float, held: Validators | None
    ) -> FetchResult | httpx.URL:
        """Return one answer's body, or where it says to go."""
        left = by - self._clock()
        if left <= 0:
            raise FetchError(str(url), "no time was left to ask")
        conditions = _conditional_headers(url, held)
        try:
            with (
                _hard_timeout(left) as trace,
                self._client.stream(
                    "GET", url, headers=conditions, timeout=left, extensions=trace
                ) as response,
            ):
                wait = _retry_after(response.headers) or 0
                if response.status_code == httpx.codes.NOT_MODIFIED and conditions:
                    return FetchResult(str(url), b"", not_modified=True, retry_after=wait)
                if response.has_redirect_location:
                    return self._redirect_target(url, response.headers["location"])
                _raise_for_status(response)
                etag, modified = (response.headers.get(k, "") for k in ("etag", "last-modified"))
                return FetchResult(
                    str(url), self._read_body(response, by), etag, modified, retry_after=wait
                )
        except httpx.LocalProtocolError as error:
            # Its text holds our own headers, the token among them.
            raise FetchError(str(url), "the request cannot be written") from error
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
            late = isinstance(error, httpx.TimeoutException) or self._clock() >= by
            reason = (
                "no answer in time" if late else f"no answer: {str(error) or type(error).__name__}"
            )
            raise FetchError(str(url), reason) from error

    def _redirect_target(self, url: httpx.URL, location: str) -> httpx.URL:
        target = url.join(location)
        origin = (target.scheme, target.host, target.port)
        if origin != (url.scheme, url.host, url.port):
            raise FetchError(str(url), f"sends to another server, {target.host or location!r}")
        if target.path.startswith("/login"):
            raise FetchError(str(url), "asks to log in")
        return target

    def _read_body(self, response: httpx.Response, by: float) -> bytes:
        body = bytearray()
        for part in _decompress(response):
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise FetchError(str(response.url), f"over {MAX_BODY_BYTES // 1_000_000} MB")
            if self._clock() >= by:
                raise FetchError(str(response.url), "no whole answer in time")
        if not body.strip():
            raise FetchError(str(response.url), "an empty answer")
        return bytes(body)


def _conditional_headers(url: httpx.URL, held: Validators | None) -> dict[str, str]:
    """Return the headers of a conditional request, where this is what we hold something of."""
    if held is None or url.raw_path.decode() != held.path:
        return {}
    known = {"If-None-Match": held.etag, "If-Modified-Since": held.last_modified}
    return {name: value for name, value in known.items() if value}


def _decompress(response: httpx.Response) -> Iterator[bytes]:
    """Yield the body in bounded parts: 64 kB of a bomb would unpack to 64 MB in one go."""
    packing = response.headers.get("content-encoding", "identity")
    if packing == "identity":
        yield from response.iter_raw()
        return
    if packing != "gzip":
        raise FetchError(str(response.url), f"packed as {packing!r}, which was not asked for")
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for packed in response.iter_raw():
        rest = packed
        while rest and not unpacker.eof:
            yield unpacker.decompress(rest, 1_000_000)
            rest = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise FetchError(str(response.url), "an answer that was cut off")


def _raise_for_status(response: httpx.Response) -> None:
    """Raise unless the answer is a page; a bot wall answers 202 with a script."""
    url, status = str(response.url), response.status_code
    if response.headers.get("x-amzn-waf-action") or status == httpx.codes.ACCEPTED:
        raise FetchError(url, "a wall against bots")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise FetchError(url, "too many requests", retry_after=_retry_after(response.headers))
    if status != httpx.codes.OK:
        wait = _retry_after(response.headers) if status >= httpx.codes.BAD_REQUEST else None
        raise FetchError(url, f"status {status}", retry_after=wait)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: from Retry-After, else from ``ratelimit: "pages";r=0;t=53``."""
    after = re.fullmatch(r"(\d{1,9})", headers.get("retry-after", ""), re.ASCII)
    limit = headers.get("ratelimit", "")
    spent = _RATELIMIT_RESET.search(limit) if ";r=0;" in limit.replace(" ", "") else None
    found = after or spent
    # An hour at most: a mistake upstream must not silence a server for a year.
    return min(float(found[1]), _MAX_RETRY_AFTER) if found else None


@contextmanager
def _hard_timeout(seconds: float) -> Iterator[dict[str, Any]]:
    """Cut the connections of one request after so many seconds, whatever it is doing by then.

    httpx's timeouts start anew with each byte, so headers that drip in would hold it for ever. The
    trace extension shows each connection when it is made.
    """
    sockets: list[socket.socket] = []

    def saw(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            sockets.append(info["return_value"].get_extra_info("socket"))

    def cut() -> None:
        for made in sockets:
            # It may be closed by now, or handed over to TLS.
            with suppress(OSError):
                # Not SSLSocket's own, which takes the TLS object away under the reader's feet.
                socket.socket.shutdown(made, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield {"trace": saw}
    finally:
        timer.cancel()
