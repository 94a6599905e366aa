"""The HTTP server: an event loop that says what is ready, and threads that make the rest.

::

    event loop ── is it ready? ── said at once
                      │
             one of 32 threads ── the application says it

Python runs one thread at a time, and each change from one to another costs as much as ten ready
answers. So what is ready is said by the thread that reads the requests. docs/performance.md tells
why no server that others have made does it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import lru_cache, partial
from io import BytesIO
from time import time as _time  # noqa: TID251  # what stands in a Date field
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from feedsrv.web.connection import Connection
from feedsrv.web.responses import HttpResponse

log = logging.getLogger(__name__)

#: Requests that the application answers at the same time. Of those for what was never read, half as
#: many wait for long (`feedsrv.service`), for eight pages at most (`feedsrv.worker`), so the others
#: find a thread.
_THREADS = 32
#: Connections open at the same time; more of them wait until one is closed. A process may commonly
#: have 1024 files open, and the store needs some. Windows waits for no more than 512 at a time.
_CONNECTIONS = 768 if sys.platform != "win32" else 448
#: Heads of requests that are remembered, of some kilobytes each with all that they came to.
_MOST_KNOWN = 1000
#: Seconds that a client may take to say what it wants, and may be kept without wanting anything.
_PATIENCE = 5.0
#: Seconds that a client may leave what was sent to it lying. Enough of those who ask and never read
#: would hold every connection.
_UNREAD_FOR = 30.0


def _nothing(_: WSGIEnvironment) -> None:
    return None


class Server:
    """One server on one socket.

    Args:
        application: Answers what is not ready.
        host: Where to listen.
        port: Likewise; 0 takes one that is free.
        ready: Gives the answer to a request if it can be had without waiting for anything.
        reload: Called for each SIGHUP, by a thread of its own, one at a time. Without it SIGHUP
            ends the server, as SIGTERM does.

    Attributes:
        port: Where it listens, known before it runs.

    Raises:
        OSError: It cannot listen there.

    """

    patience = _PATIENCE
    unread_for = _UNREAD_FOR

    def __init__(
        self,
        application: WSGIApplication,
        host: str,
        port: int,
        ready: Callable[[WSGIEnvironment], HttpResponse | None] = _nothing,
        reload: Callable[[], None] | None = None,
    ) -> None:
        self._application = application
        self._ready = ready
        self._reload = reload
        self._listener = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self.base = _base(host, self.port)
        self.is_stopping = False
        self.known: dict[bytes, WSGIEnvironment] = {}
        self._loop = _event_loop()
        self._threads = ThreadPoolExecutor(_THREADS, "request")
        #: Requests may have all the others for as long as they like.
        self._reloading = ThreadPoolExecutor(1, "reload")
        self._connections: set[Connection] = set()
        #: Connections on their way there; the event loop itself holds them loosely.
        self._coming: set[asyncio.Task[Any]] = set()
        self._listens = False

    def run(self, started: Callable[[], None] | None = None) -> None:
        """Serve until `stop` or a signal; finish what is under way, unless a second one comes.

        Args:
            started: Called when it serves, and signals mean what they should: tells whoever waits.

        """
        if threading.current_thread() is threading.main_thread():  # others may not ask for signals
            for number in _signals():
                signal.signal(number, self._signalled)
        self._look()
        self._welcome()
        if started is not None:
            started()
        with self._reloading, self._threads:
            self._loop.run_forever()
        self._loop.close()

    def stop(self) -> None:
        """Take no more requests, and have `run` return when those under way are answered."""
        self._loop.call_soon_threadsafe(self._stop)

    # --- what connections need -----------------------------------------------------------------

    def ready(self, environ: WSGIEnvironment) -> HttpResponse | None:
        try:
            return self._ready(environ)
        except Exception:
            log.exception("%s is not ready: it broke", environ["PATH_INFO"])
            return None

    def work(self, environ: WSGIEnvironment, then: Callable[[HttpResponse], None]) -> None:
        self._threads.submit(self._work, environ, then)

    def _work(self, environ: WSGIEnvironment, then: Callable[[HttpResponse], None]) -> None:
        try:
            said = _made(self._application, environ)
        except Exception:
            log.exception("%s broke", environ["PATH_INFO"])
            said = HttpResponse("500 Internal Server Error", (("Content-Length", "0"),), b"")
        self._loop.call_soon_threadsafe(then, said)

    def came(self, connection: Connection) -> None:
        self._connections.add(connection)

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self.is_stopping:
            self._end()
        elif not self._listens:
            self._welcome()

    def remember(self, head: bytes, environ: WSGIEnvironment) -> None:
        if len(self.known) >= _MOST_KNOWN:
            self.known.clear()
        self.known[head] = environ

    def date(self) -> bytes:
        return _date(int(_time()))

    # --- who comes and goes --------------------------------------------------------------------

    def _welcome(self) -> None:
        if not self.is_stopping:
            self._listens = True
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept those who have come, until there are too many."""
        while len(self._connections) + len(self._coming) < _CONNECTIONS:
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no more files, mostly
                log.warning("no connection can be accepted: %s", error.strerror)
                self._loop.call_later(1, self._welcome)
                break
            accepted.setblocking(False)
            coming = self._loop.connect_accepted_socket(partial(Connection, self), accepted)
            task = self._loop.create_task(coming)
            self._coming.add(task)
            task.add_done_callback(self._arrived)
        self._listens = False
        self._loop.remove_reader(self._listener)

    def _arrived(self, task: asyncio.Task[Any]) -> None:
        self._coming.discard(task)
        if self.is_stopping:
            self._end()

    def _look(self) -> None:
        """See to it, each second, that nobody keeps a connection for nothing."""
        for connection in list(self._connections):
            connection.look(self._loop.time())
        self._loop.call_later(1, self._look)

    def _stop(self) -> None:
        self.is_stopping = True
        self._accept()  # who came before is answered
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for connection in list(self._connections):
            connection.finish()
        self._end()

    def _end(self) -> None:
        if not self._connections and not self._coming:
            self._loop.stop()

    def _signalled(self, number: int, _: object) -> None:
        if self._reload is not None and number == getattr(signal, "SIGHUP", None):
            # Not by this thread, which may be anywhere, in the midst of handing on a request too.
            self._loop.call_soon_threadsafe(self._reloading.submit, self._reload)
            return
        for each in _signals():
            signal.signal(each, signal.SIG_DFL)
        self.stop()


def _made(application: WSGIApplication, environ: WSGIEnvironment) -> HttpResponse:
    """Return what the application says."""
    said: list[Any] = []
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[..., object]:
        said[:] = [status, headers]
        return written.append

    chunks = application(environ, start)
    try:
        written += chunks
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = said
    body = b"".join(written)
    has_none = environ["REQUEST_METHOD"] == "HEAD" or status[:3] in {"204", "304"}
    if not has_none and not any(name.lower() == "content-length" for name, _ in headers):
        headers = [*headers, ("Content-Length", str(len(body)))]
    return HttpResponse(status, tuple(headers), b"" if has_none else body)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415  # not on Windows, and not where nobody has built it
    except ImportError:
        return asyncio.SelectorEventLoop()  # Windows' own cannot wait for a listener
    return uvloop.new_event_loop()


def _base(host: str, port: int) -> WSGIEnvironment:
    """Return what all requests have in their environment (PEP 3333)."""
    return {
        "SCRIPT_NAME": "",
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _signals() -> list[signal.Signals]:
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK")  # not every system has all of them
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.create_server(
        address[:2],
        family=family,
        backlog=_CONNECTIONS,
        dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
    )
    listener.setblocking(False)
    return listener
