"""The HTTP server: granian's worker on a socket of ours, in this process.

docs/performance.md tells why it is granian. Its own front doors do not fit: the one starts a second
process for the application, and the embedded one knows no WSGI. So this module goes below them, and
is the only one that knows granian; its tests are what holds another release of it.

::

    granian's thread ── is it ready? ── said at once
                            │
                   one of 32 threads ── the application says it

Python runs one thread at a time, and each change from one to another costs as much as ten ready
answers. So what is ready is said by the one thread that granian has for us, and by no other.
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
from typing import Any
from wsgiref.types import WSGIApplication, WSGIEnvironment

from granian._futures import _new_cbscheduler
from granian._granian import MetricsAggregator, SocketHolder, WorkerSignal, WSGIWorker
from granian.constants import HTTPModes
from granian.http import HTTP1Settings
from granian.wsgi import _callback_wrapper

from feedsrv.answer import Reply

log = logging.getLogger(__name__)

#: Requests that the application answers at the same time. Of those for what was never read, half as
#: many wait for long (`feedsrv.service`), for eight pages at most (`feedsrv.worker`), so the others
#: find a thread.
_THREADS = 32
#: Connections open at the same time; more of them wait until one is closed. A process may commonly
#: have 1024 files open, and the store needs some.
_CONNECTIONS = 768
#: How long a connection may take to say what it wants, and may be kept without wanting anything.
_HEADER_MS = 5_000
#: How long a client may leave what was sent to it lying. There is nothing else that ends those who
#: ask and never read, and enough of them would hold every connection.
_UNREAD_MS = 30_000
_NO_TLS: tuple[Any, ...] = (False, None, None, None, "tls1.3", None, [], False)


def _nothing(_: WSGIEnvironment) -> None:
    return None


class Server:
    """One server on one socket.

    Args:
        application: Answers what is not ready.
        host: Where to listen.
        port: Likewise; 0 takes one that is free.
        ready: Gives the answer to a request if it can be had without waiting for anything.

    Attributes:
        port: Where it listens, known before it runs.

    Raises:
        OSError: It cannot listen there.

    """

    def __init__(
        self,
        application: WSGIApplication,
        host: str,
        port: int,
        ready: Callable[[WSGIEnvironment], Reply | None] = _nothing,
    ) -> None:
        self._application = application
        self._ready = ready
        self._listener = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()

    def run(self) -> None:
        """Serve until `stop` or a signal; finish what is under way, unless a second one comes."""
        logging.getLogger("_granian").setLevel(logging.ERROR)  # each start of a thread is no news
        if threading.current_thread() is threading.main_thread():  # others may not ask for signals
            for number in _signals():
                signal.signal(number, self._signalled)
        worker, stop, ended = self._worker(), WorkerSignal(), threading.Event()
        stop.add_cb(ended.set)
        with ThreadPoolExecutor(_THREADS, "request") as threads:
            loop = asyncio.new_event_loop()  # which granian wants to see, and does not use
            worker.serve_mtr(_new_cbscheduler(loop, self._answering(threads), True), loop, stop)
            # Windows wakes no thread that waits without an end, not even for Ctrl-C.
            while not self._stopping.wait(1):
                pass
            stop.set()
            ended.wait()
        loop.close()

    def stop(self) -> None:
        """Take no more requests, and have `run` return when those under way are answered."""
        self._stopping.set()

    def _answering(self, threads: ThreadPoolExecutor) -> Callable[[Any, WSGIEnvironment], None]:
        """Return what granian calls for each request: it answers, or has another thread answer."""
        said_by = _callback_wrapper(self._application, {})

        def answer(protocol: Any, environ: WSGIEnvironment) -> None:
            try:
                said_by(protocol, environ)
            except Exception:
                log.exception("%s broke", environ["PATH_INFO"])
                protocol.response_bytes(500, [], b"")

        def asked(protocol: Any, environ: WSGIEnvironment) -> None:
            said = self._ready(environ)
            if said is None:
                threads.submit(answer, protocol, environ)
            else:
                protocol.response_bytes(int(said.status[:3]), said.headers, said.body)

        return asked

    def _worker(self) -> Any:
        # granian's own sockets share their port with whoever else wants it (SO_REUSEPORT), so that
        # a second server would take half of the requests and say nothing.
        holder: Callable[..., SocketHolder] = SocketHolder  # its stub leaves the arguments out
        made: Callable[..., Any] = WSGIWorker  # likewise, and what it can do
        return made(
            1,
            (None, holder(self._listener.detach(), False, _CONNECTIONS)),  # which closes it, too
            None,  # no pipe to another process
            1,  # threads of its own
            1,  # threads that may block
            1,  # threads for Python
            3600,  # seconds until one that is idle ends
            _CONNECTIONS,
            HTTPModes.http1,
            HTTP1Settings(header_read_timeout=_HEADER_MS),
            None,  # no HTTP/2
            None,  # no static files
            *_NO_TLS,
            (None, MetricsAggregator(1)),
        )

    def _signalled(self, *_: object) -> None:
        for number in _signals():
            signal.signal(number, signal.SIG_DFL)
        self.stop()


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
    if sys.platform == "linux":  # what it accepts has it too
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
    return listener
