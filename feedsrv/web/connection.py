"""One connection to a client: bytes to requests, and answers to bytes.

httptools (the parser of Node.js) reads what is sent. No address of ours takes a body, so a request
is answered as soon as its head is there, and one that has a body is the last on its connection.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes
from wsgiref.types import WSGIEnvironment

import httptools

from feedsrv.web.responses import HttpResponse

#: Bytes of an address, and of a whole head, that are read.
_LONGEST_TARGET = 65_536
_LONGEST_HEAD = 131_072
#: Bytes of a head that is worth remembering.
_LONGEST_KNOWN = 1024
#: Header fields of a request that are read.
_MOST_FIELDS = 100
#: A body of so many bytes is not copied to stand behind its head.
_BIG = 16_384
_LATIN = "latin-1"
_ASCII = bytes(range(128))
#: A method that httptools does not know, before an address: one that is not allowed.
_OTHER_METHOD = re.compile(rb"[A-Z]+ /")
_SCHEME_AND_HOST = re.compile(r"https?://([^/]*)", re.IGNORECASE)


class Answering(Protocol):
    """What a connection needs of its server."""

    #: What all requests have in their environment.
    base: WSGIEnvironment
    #: Seconds that a client may take to say what it wants, and to take what it is sent.
    patience: float
    unread_for: float
    #: Whether each connection ends with the request that is under way.
    is_stopping: bool
    #: What requests came to, by their bytes: readers say the same each time they ask.
    known: dict[bytes, WSGIEnvironment]

    def ready(self, environ: WSGIEnvironment) -> HttpResponse | None:
        """Return the answer if it can be had without waiting."""

    def work(self, environ: WSGIEnvironment, then: Callable[[HttpResponse], None]) -> None:
        """Have another thread make the answer; it is handed over in the event loop's."""

    def came(self, connection: Connection) -> None:
        """Take note that a connection is there."""

    def left(self, connection: Connection) -> None:
        """Take note that a connection has ended."""

    def remember(self, head: bytes, environ: WSGIEnvironment) -> None:
        """Take note of what a request came to that was answered at once."""

    def date(self) -> bytes:
        """Return the time for a Date field."""


class _Request(NamedTuple):
    environ: WSGIEnvironment
    #: Whether the connection goes on after it.
    goes_on: bool
    #: The answer to what cannot be read.
    refusal: HttpResponse | None = None


class Connection(asyncio.Protocol):
    """One connection. All of it runs in the thread of the event loop."""

    def __init__(self, server: Answering) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        #: Requests behind the one under way.
        self._waiting: deque[_Request] = deque()
        #: Whether another thread makes an answer; whether the client takes what it is sent more
        #: slowly than it is sent; whether what it still says is of no interest, or it said all.
        self._is_busy = self._is_full = self._is_deaf = self._is_over = False
        #: Whether the last request is whole; how many began in what is being read; the last that
        #: was answered at once.
        self._is_between, self._begun = True, 0
        self._at_once: WSGIEnvironment | None = None
        #: Whether the client may be saying more than it was listened to.
        self._lingers = False
        self._until = self._loop.time() + server.patience
        #: Bytes of a head that is not whole yet, and of what the client has not taken yet.
        self._head = self._unsent = 0

    def finish(self) -> None:
        """End with the request that is under way."""
        if not self._is_busy and not self._waiting:
            self._transport.close()

    def look(self, now: float) -> None:
        """End if the client has kept the server waiting for too long."""
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._until = now + self._server.unread_for
        self._unsent = unsent
        if now > self._until and not self._is_busy:
            self._transport.abort() if unsent else self._transport.close()

    # --- what the event loop calls -----------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        host, port, *_ = transport.get_extra_info("peername")
        self._peer = {"REMOTE_ADDR": host, "REMOTE_PORT": str(port)}
        self._base = self._server.base | self._peer
        self._server.came(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._waiting.clear()
        self._parser = None  # the two hold each other
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        is_first, self._begun = self._is_between, 0
        known = self._server.known.get(data) if is_first else None
        if known is not None:
            self._asked(_Request(known | self._peer, goes_on=True))
            return
        self._read(data if not is_first or data.isascii() else _in_ascii(data))
        is_one = is_first and self._begun == 1 and self._is_between
        if is_one and self._at_once is self._environ and len(data) < _LONGEST_KNOWN:
            self._server.remember(data, self._environ)

    def _read(self, data: bytes) -> None:
        self._head += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to nothing that is spoken here; it was answered as if it were not there
        except httptools.HttpParserInvalidMethodError:
            is_method = self._begun <= 1 and _OTHER_METHOD.match(data)
            self._refuse("405 Method Not Allowed" if is_method else "400 Bad Request")
        except httptools.HttpParserError:
            self._refuse("400 Bad Request")
        if self._head > _LONGEST_HEAD:
            self._refuse("431 Request Header Fields Too Large")

    def eof_received(self) -> bool:
        self._is_over = True
        return self._is_busy or bool(self._waiting)  # who has said all may still listen

    def pause_writing(self) -> None:
        self._is_full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_full = False
        self._next()

    # --- what the parser calls ---------------------------------------------------------------

    def on_message_complete(self) -> None:
        self._is_between = True

    def on_message_begin(self) -> None:
        self._is_between = False
        self._begun += 1
        self._environ = self._base.copy()
        self._target = b""
        self._fields = self._hosts = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text, environ = _key(name), value.decode(_LATIN), self._environ
        self._fields += 1
        if key == "HTTP_HOST":
            self._hosts += 1
        if key and self._fields <= _MOST_FIELDS:
            environ[key] = f"{environ[key]},{text}" if key in environ else text  # RFC 9110 5.2

    def on_headers_complete(self) -> None:
        self._head = 0
        if self._is_deaf:
            return
        environ, parser = self._environ, self._parser
        environ["REQUEST_METHOD"] = parser.get_method().decode(_LATIN)
        version = parser.get_http_version()
        environ["SERVER_PROTOCOL"] = f"HTTP/{version}"
        refused = self._aimed(version)
        if refused:
            self._refuse(refused)
            return
        has_body = "HTTP_TRANSFER_ENCODING" in environ or environ.get("CONTENT_LENGTH", "0") != "0"
        self._lingers = has_body or parser.should_upgrade()
        goes_on = version != "1.0" and not self._lingers and parser.should_keep_alive()
        self._is_deaf = not goes_on
        self._asked(_Request(environ, goes_on))

    def _aimed(self, version: str) -> str:
        """Put into the environment what the request is aimed at; return why it cannot be."""
        environ = self._environ
        if len(self._target) > _LONGEST_TARGET:
            return "414 URI Too Long"
        if self._fields > _MOST_FIELDS:
            return "431 Request Header Fields Too Large"
        if self._hosts != 1 and (self._hosts or version != "1.0"):  # RFC 9112 3.2
            return "400 Bad Request"
        path, _, query = self._target.decode(_LATIN).partition("?")
        if not path.startswith("/") and path != "*":
            absolute = _SCHEME_AND_HOST.match(path)
            if absolute is None:
                return "400 Bad Request"
            environ["HTTP_HOST"] = absolute[1]  # RFC 9112 3.2.2: whatever Host says
            path = path[absolute.end() :] or "/"
        if "%" in path:
            path = unquote_to_bytes(path.encode(_LATIN)).decode(_LATIN)
        environ["PATH_INFO"] = path
        environ["QUERY_STRING"] = query
        return ""

    # --- from a request to its answer --------------------------------------------------------

    def _asked(self, request: _Request) -> None:
        if self._is_busy or self._is_full or self._waiting:
            self._waiting.append(request)
            self._transport.pause_reading()  # whoever asks for more waits with it
        else:
            self._begin(request)

    def _refuse(self, status: str) -> None:
        """Answer what cannot be read, unless what came before it was the last anyway."""
        if self._is_deaf:
            return
        self._is_deaf = self._lingers = True
        body = f"{status[4:]}\n".encode(_LATIN)
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        if status.startswith("405"):
            fields.append(("Allow", "GET, HEAD"))
        self._asked(_Request({}, goes_on=False, refusal=HttpResponse(status, tuple(fields), body)))

    def _begin(self, request: _Request) -> None:
        environ, goes_on, refusal = request
        said = refusal or self._server.ready(environ)
        if said is None:
            self._is_busy = True
            self._server.work(environ, lambda said: self._made(said, goes_on))
        else:
            self._at_once = environ if goes_on else None
            self._say(said, goes_on)

    def _made(self, said: HttpResponse, goes_on: bool) -> None:
        self._is_busy = False
        if not self._transport.is_closing():
            self._say(said, goes_on)
            self._next()

    def _next(self) -> None:
        """Go on with the requests that wait, or with reading."""
        while self._waiting and not (self._is_busy or self._is_full):
            self._begin(self._waiting.popleft())
        if not (self._waiting or self._is_full or self._transport.is_closing()):
            self._transport.resume_reading()

    def _say(self, said: HttpResponse, goes_on: bool) -> None:
        if self._server.is_stopping or (self._is_over and not self._waiting):
            goes_on = False
        self._until = self._loop.time() + self._server.patience
        end = b"\r\n\r\n" if goes_on else b"\r\nConnection: close\r\n\r\n"
        head = _head(said.status, said.headers) + self._server.date() + end
        if len(said.body) > _BIG:
            self._transport.writelines((head, said.body))
        else:
            self._transport.write(head + said.body)
        if not goes_on:
            self._end()

    def _end(self) -> None:
        self._waiting.clear()
        self._is_deaf = True
        if self._lingers and not self._is_over:
            # Closed with something unread, the connection would be reset, and with that what was
            # said might be lost (RFC 9112 9.6). `look` ends it if the client does not.
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()


def _in_ascii(data: bytes) -> bytes:
    """Return it with its first line in ASCII: curl sends an address as it was typed, in UTF-8."""
    line, end, rest = data.partition(b"\r\n")
    return quote_from_bytes(line, _ASCII).encode() + end + rest


@lru_cache(maxsize=512)
def _key(name: bytes) -> str:
    """Return a header field's name as WSGI has it; none for one that poses as another."""
    if b"_" in name:
        return ""  # X_Forwarded_For would be the same as X-Forwarded-For
    key = name.decode(_LATIN).upper().replace("-", "_")
    return key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"


@lru_cache(maxsize=512)
def _head(status: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return the head of an answer up to its date."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status}\r\n{fields}Date: ".encode(_LATIN)
