"""The HTTP client for upstream: one GET within one deadline, or a `FetchError`.

The only module that uses httpx. It contacts no other server than upstream: redirects are followed
by hand, and only to the same scheme, host and port.

Requests run in an event loop on a thread of its own. A deadline can interrupt them there, whatever
they wait for, and anyio races the addresses of a host (RFC 8305): one that does not respond costs a
quarter of a second.
"""

import logging
import os
import re
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Self
from wsgiref.types import WSGIApplication

import anyio
import httpx

from feedsrv import __version__
from feedsrv.config import Config
from feedsrv.errors import FetchError
from feedsrv.network import NetworkSettings
from feedsrv.upstream.demo import create_demo_upstream, load_sample_papers
from feedsrv.upstream.policy import MAX_RETRY_AFTER

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

log = logging.getLogger(__name__)

#: The most bytes of a decompressed body. The largest page seen had 1.7 MB.
MAX_BODY_BYTES = 8_000_000
#: The most bytes that one step of decompression returns.
_DECOMPRESS_CHUNK_BYTES = 1_000_000
_MAX_REDIRECTS = 5
_GZIP_CODINGS = {"gzip", "x-gzip"}  # RFC 9110 8.4.1.3
_GZIP_MAGIC = b"\x1f\x8b"
#: Validators that are kept. Others cannot be sent back, or fill the store.
_PLAIN_VALIDATOR = re.compile(r"[\x20-\x7e]{1,256}")
_RETRY_AFTER_SECONDS = re.compile(r"(\d{1,9})", re.ASCII)
#: The address in asyncio's message: "Connect call failed ('127.0.0.1', 9)".
_REFUSED_ADDRESS = re.compile(r"\('([^']+)', (\d+)")
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
    #: Whether a next page follows (RFC 8288); None if upstream does not say.
    has_next: bool | None = None


class UpstreamClient:
    """Sends requests to upstream. Safe for threads.

    A WSGI application may answer in place of the network. The clock is monotonic.
    """

    def __init__(
        self,
        upstream_url: str,
        *,
        agent: str,
        token: str = "",
        network: NetworkSettings | None = None,
        app: WSGIApplication | None = None,
        clock: Callable[[], float] = time.monotonic,  # noqa: TID251  # the default clock
    ) -> None:
        headers = {"User-Agent": agent, "Accept": "text/html, application/json"}
        network = network or NetworkSettings()
        # Only gzip, because `_decompress` bounds its output. No keep-alive, because upstream may
        # close a connection between two requests.
        self._client = httpx.AsyncClient(
            base_url=upstream_url,
            headers=headers | {"Accept-Encoding": "gzip"},
            limits=httpx.Limits(max_keepalive_connections=0),
            # No cookies: upstream needs none, and would get back whatever it sends.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=None,  # noqa: S113  # `_send` has a deadline
            transport=_WSGITransport(app) if app else None,
            proxy=network.proxy or None,
            verify=_tls_context(network),
            trust_env=False,  # what the environment gives is in `network`
        )
        self._token = token
        #: Whether upstream rejected the token, which is not sent again then.
        self.token_was_rejected = False
        self._clock = clock
        self._cleanup = ExitStack()
        self._start_lock = Lock()
        self._event_loop: BlockingPortal | None = None
        #: One for each request in progress.
        self._cancel_scopes: set[anyio.CancelScope] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Start the event loop, which the first request would start otherwise."""
        self._running_event_loop()

    def close(self) -> None:
        """End the event loop."""
        self._cleanup.close()

    def abort(self) -> None:
        """Have the requests in progress fail now."""
        if self._event_loop is not None:
            self._event_loop.call(self._cancel_requests)

    def _cancel_requests(self) -> None:
        for scope in tuple(self._cancel_scopes):
            scope.cancel()

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

        The deadline covers connecting, redirects and reading the body. ``acquire_slot`` is called
        before each redirect is followed; it may wait or raise.

        Raises:
            FetchError: There was no usable response in time.
        """
        url = self._client.base_url.join(path)
        for redirects in range(_MAX_REDIRECTS + 1):
            if redirects:
                acquire_slot()
            result = self._running_event_loop().call(self._send, url, deadline, validators)
            if isinstance(result, FetchResult):
                return result
            url = result
        raise FetchError(str(url), "too many redirects")

    def _running_event_loop(self) -> "BlockingPortal":
        """Return the event loop; it starts with the first request, after a server has forked."""
        from anyio.from_thread import start_blocking_portal  # noqa: PLC0415  # loads asyncio

        with self._start_lock:
            if self._event_loop is None:
                self._event_loop = self._cleanup.enter_context(start_blocking_portal())
        return self._event_loop

    async def _send(
        self, url: httpx.URL, deadline: float, validators: Validators | None
    ) -> FetchResult | httpx.URL:
        """Send one request. Return its response, or the URL to request next."""
        seconds = deadline - self._clock()
        if seconds <= 0:
            reason = "timed out before the request was sent"
            raise FetchError(str(url), reason, timed_out=True)
        try:
            with anyio.move_on_after(seconds) as scope:
                self._cancel_scopes.add(scope)
                try:
                    return await self._exchange(url, _conditional_headers(url, validators))
                finally:
                    self._cancel_scopes.discard(scope)
        except httpx.LocalProtocolError as error:
            # Its message contains our own headers, and so the token.
            raise FetchError(str(url), "a request header is invalid") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, zlib.error) as error:
            raise FetchError(str(url), f"request failed: {_describe_cause(error)}") from error
        raise FetchError(str(url), "timed out", timed_out=True)

    async def _exchange(
        self, url: httpx.URL, conditions: Mapping[str, str]
    ) -> FetchResult | httpx.URL:
        credentials = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers = {**conditions, **credentials}
        async with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.UNAUTHORIZED and credentials:
                self._drop_token()
                return url
            retry_after = _retry_after(response.headers) or 0
            if response.status_code == httpx.codes.NOT_MODIFIED and conditions:
                return FetchResult(str(url), b"", not_modified=True, retry_after=retry_after)
            if response.has_redirect_location:
                return _redirect_target(url, response.headers["location"])
            _raise_for_status(response)
            return FetchResult(
                str(url),
                await _read_body(response),
                etag=_plain(response.headers.get("etag", "")),
                last_modified=_plain(response.headers.get("last-modified", "")),
                retry_after=retry_after,
                has_next="next" in response.links if "link" in response.headers else None,
            )

    def _drop_token(self) -> None:
        """Go on without the token: the pages are public."""
        self._token, self.token_was_rejected = "", True
        log.warning(
            "FEEDSRV_HF_TOKEN is invalid or has expired (HTTP 401); requests go on without it"
        )


class _WSGITransport(httpx.AsyncBaseTransport):
    """Have a WSGI application respond instead of the network."""

    def __init__(self, app: WSGIApplication) -> None:
        self._transport = httpx.WSGITransport(app=app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        body = httpx.ByteStream(b"".join(response.iter_raw()))
        return httpx.Response(response.status_code, headers=response.headers, stream=body)


def _tls_context(network: NetworkSettings) -> ssl.SSLContext | bool:
    """Return what decides whether a certificate is trusted; True for what httpx brings."""
    if not (network.ca_file or network.ca_directory):
        return True
    return ssl.create_default_context(
        cafile=network.ca_file or None, capath=network.ca_directory or None
    )


def _describe_cause(error: BaseException) -> str:
    """Return the message of the first cause; those of httpx and anyio say less."""
    # httpcore has the cause of its errors as their argument.
    while isinstance(cause := error.__cause__ or next(iter(error.args), None), BaseException):
        error = cause
    if isinstance(error, ExceptionGroup):  # one for each address of the host
        error = error.exceptions[-1]
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return _describe_os_error(error.errno, error.strerror or "")
    return str(error) or type(error).__name__


def _describe_os_error(number: int, message: str) -> str:
    """Return what the operating system says, without numbers of errors and quoted addresses."""
    if address := _REFUSED_ADDRESS.search(message):
        host = f"[{address[1]}]" if ":" in address[1] else address[1]
        return f"{os.strerror(number).lower()} ({host}:{address[2]})"
    return (message or os.strerror(number)).lower()


async def _read_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in _decompress(response):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            reason = f"the response is larger than {MAX_BODY_BYTES // 1_000_000} MB"
            raise FetchError(str(response.url), reason)
    if not body.strip():
        raise FetchError(str(response.url), "the response is empty")
    return bytes(body)


def _conditional_headers(url: httpx.URL, validators: Validators | None) -> dict[str, str]:
    """Return the headers of a conditional request, if the validators belong to the URL."""
    if validators is None or url.raw_path.decode() != validators.path:
        return {}
    headers = {"If-None-Match": validators.etag, "If-Modified-Since": validators.last_modified}
    return {name: value for name, value in headers.items() if _plain(value)}


def _redirect_target(url: httpx.URL, location: str) -> httpx.URL:
    """Return the target of a redirect; raise FetchError for another server or the login page."""
    target = url.join(location)
    origin = (target.scheme, target.host, target.port)
    if origin != (url.scheme, url.host, url.port):
        raise FetchError(str(url), f"redirect to another server, {target.host or location!r}")
    if target.path.startswith("/login"):
        raise FetchError(str(url), "redirect to the login page")
    return target


async def _decompress(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body in bounded chunks: 64 kB of a gzip bomb would decompress to 64 MB at once."""
    header = response.headers.get("content-encoding", "")
    codings = {coding.strip().lower() for coding in header.split(",")} - {"", "identity"}
    if not codings:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if not codings <= _GZIP_CODINGS or "," in header:
        raise FetchError(str(response.url), f"unexpected Content-Encoding {header!r}")
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    async for chunk in response.aiter_raw():
        compressed = chunk
        while compressed:
            if decompressor.eof:  # another member follows (RFC 1952 2.2), or padding
                if not compressed.startswith(_GZIP_MAGIC[: len(compressed)]):
                    return
                decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
            yield decompressor.decompress(compressed, _DECOMPRESS_CHUNK_BYTES)
            compressed = decompressor.unconsumed_tail or decompressor.unused_data
    if not decompressor.eof:
        raise FetchError(str(response.url), "the gzip body is truncated")


def _plain(validator: str) -> str:
    """Return the ETag or date, or an empty string if it cannot be sent back."""
    return validator if _PLAIN_VALIDATOR.fullmatch(validator) else ""


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
    is_not_found = status == httpx.codes.NOT_FOUND
    raise FetchError(url, f"HTTP {status}", retry_after, is_not_found=is_not_found)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: from Retry-After, else from ``ratelimit: "pages";r=0;t=53``."""
    match = _RETRY_AFTER_SECONDS.fullmatch(headers.get("retry-after", ""))
    if match is None:
        ratelimit = headers.get("ratelimit", "")
        is_used_up = ";r=0;" in ratelimit.replace(" ", "")
        match = _RATELIMIT_RESET.search(ratelimit) if is_used_up else None
    return min(float(match[1]), MAX_RETRY_AFTER.total_seconds()) if match else None


def open_client(config: Config, now: Callable[[], datetime]) -> UpstreamClient:
    """Return a client for the upstream that the settings name, or for the fake one of the demo."""
    contact = config.contact or config.public_url or "no contact given"
    app = create_demo_upstream(load_sample_papers(), lambda: now().date()) if config.demo else None
    return UpstreamClient(
        config.upstream_url,
        agent=f"feedsrv/{__version__} (feed server; {contact})",
        token=config.hf_token,
        network=config.network,
        app=app,
    )
