"""The HTTP server: granian's worker on a socket of ours, in this process.

docs/performance.md tells why it is granian. Its own front doors do not fit: the one starts a second
process for the application, and the embedded one knows no WSGI. So this module goes one level below
them, and is the only one that knows granian; its tests are what holds another release of it.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mt import MTServer

#: Requests answered at the same time. Of those for what was never read, half as many wait for long
#: (`feedsrv.service`), for eight pages at most (`feedsrv.worker`), so the others find a thread.
_THREADS = 32
#: Connections open at the same time; more of them wait until one is closed. A process may commonly
#: have 1024 files open, and the store needs some.
_CONNECTIONS = 768
#: How long a connection may take to say what it wants, and may be kept without wanting anything.
_HEADER_MS = 5_000
#: How long a client may leave what was sent to it lying. There is nothing else that ends those who
#: ask and never read, and enough of them would hold every connection.
_UNREAD_MS = 30_000
#: Warnings go where ours go; a line for each start of a thread is no news.
_LOG = {"version": 1, "loggers": {"_granian": {"propagate": True}}}


class Server(MTServer):
    """One server on one socket.

    Attributes:
        port: Where it listens, known before it runs.

    """

    _shd: Any  # granian's annotation says that it is None

    def __init__(self, application: WSGIApplication, host: str, port: int) -> None:
        """Listen; connections wait until `run`.

        Raises:
            OSError: It cannot listen there.

        """
        self._application = application
        self._listener = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        super().__init__(
            "feedsrv",
            address=host,
            port=self.port,
            interface=Interfaces.WSGI,
            blocking_threads=_THREADS,
            backlog=_CONNECTIONS,
            runtime_mode=RuntimeModes.mt,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MS),
            websockets=False,
            log_level=LogLevels.error,
            log_dictconfig=_LOG,
        )

    def run(self) -> None:
        """Serve until a signal comes; finish what is under way, unless a second one comes."""
        self.startup(self._spawn_wsgi_worker, self._application)
        # Windows wakes no thread that waits without an end, not even for Ctrl-C.
        while not self.main_loop_interrupt.wait(1):
            pass
        self.shutdown()

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        super().signal_handler_interrupt(*args, **kwargs)

    def _init_shared_socket(self) -> None:
        # granian's own sockets share their port with whoever else wants it (SO_REUSEPORT), so that
        # a second server would take half of the requests and say nothing.
        holder: Callable[..., SocketHolder] = SocketHolder  # its stub leaves the arguments out
        self._shd = holder(self._listener.detach(), False, _CONNECTIONS)  # which closes it, too


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
