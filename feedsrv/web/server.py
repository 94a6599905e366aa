"""The HTTP server: granian, with one worker process that runs `feedsrv.web.wsgi:app`.

::

    main process ── checks the address, handles signals ─ fork ─ worker process
                                                                   ├─ event loop: connections, HTTP
                                                                   └─ threads: the application

The event loop (Rust) reads requests and writes responses, so a slow client occupies no thread. Each
thread runs the application for one request at a time.
"""

import ctypes
import errno
import gc
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from feedsrv.config import Config
from feedsrv.errors import ListenError

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from flask import Flask  # the worker imports it

_APPLICATION = "feedsrv.web.wsgi:app"
#: Connections that a worker keeps open. granian calls this backpressure; it counts connections, not
#: requests. A process may usually have 1,024 open files, and the store needs some of them.
_MAX_CONNECTIONS = 768
#: Connections that wait in the kernel until one of those closes. On Linux, net.core.somaxconn is
#: the upper limit.
_BACKLOG = 1024
#: Milliseconds for the header section of a request to arrive. hyper, granian's HTTP library, starts
#: this timer when a connection opens and after each response, so it is the keep-alive timeout too.
_HEADER_TIMEOUT_MS = 10_000
#: Bytes of the longest header section, and of the pipelined requests that are read ahead. The
#: longest valid query takes 3 kB in a URL.
_MAX_HEADER_BYTES = 32_768
#: Seconds until a thread without requests ends.
_THREAD_IDLE_SECONDS = 30
#: Seconds from the start of a new worker to the end of the old one, when SIGHUP replaces it. The
#: new one must be listening by then: on a small computer, its imports take three seconds.
_RESPAWN_SECONDS = 5.0
#: Seconds beyond `deadline` for a worker to end before it is killed. A request waits for upstream
#: for `deadline` seconds at most; only clients that do not read their responses take longer. With
#: the default of ten seconds, a server ends within twelve, before systemd and Docker kill it
#: (deploy/feedsrv.service, compose.yaml).
_EXTRA_STOP_SECONDS = 1
#: The configuration of granian's own log: only errors, through the handlers of `feedsrv.logs`.
#: Below that it logs each start and end of a worker, and warns of more threads than processors,
#: which is right for threads that compute but not for threads that wait for upstream.
_LOGGING: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
}
#: Settings of granian's memory allocator (jemalloc), which reads them when it is loaded: one arena,
#: and free pages go back to the system after half a second. The defaults, four arenas for each
#: processor and ten seconds, take a third more memory with 700 busy connections.
_ALLOCATOR = {"_RJEM_MALLOC_CONF": "narenas:1,dirty_decay_ms:500"}
#: Settings of glibc's memory allocator (mallopt(3)): M_ARENA_MAX, and a fixed M_MMAP_THRESHOLD. By
#: default it has an arena for each few threads, and stops returning large blocks, such as the body
#: of a feed, to the system: 500 keywords took 30 MB more.
_MALLOPT = {-8: 1, -3: 65_536}
#: Seconds from the last accepted connection of a worker that ends to its shutdown. hyper closes
#: connections that have not sent a byte by then.
_DRAIN_SECONDS = 0.1
#: Seconds between two checks of a condition.
_POLL_SECONDS = 0.02
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def _load_app() -> "Flask":
    from feedsrv.web.wsgi import app  # noqa: PLC0415  # it opens the store

    return app


def run_server(
    config: Config,
    environ: MutableMapping[str, str],
    on_started: Callable[[int], None],
    load_app: "Callable[[], Flask]" = _load_app,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress.

    The worker loads its settings from the environment. SIGHUP replaces it with a new worker, which
    loads them again.

    Args:
        config: Host, port, workers and threads, which do not change until the process ends.
        environ: The environment of this process.
        on_started: Called with the port as soon as connections are accepted.
        load_app: Called in each new worker; returns the application.

    Raises:
        ListenError: The address cannot be used.
    """
    listener = _open_listener(config.host, config.port)
    address = listener.getsockname()[:2]
    for name, value in _ALLOCATOR.items():
        environ.setdefault(name, value)
    from granian._granian import SocketHolder  # noqa: PLC0415  # the allocator is configured now
    from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415
    from granian.log import LogLevels  # noqa: PLC0415
    from granian.server import MPServer  # noqa: PLC0415

    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)  # Python 3.14 has another default
        # Workers share what was imported before. One alone does not need it shared: it writes to a
        # third of its pages (reference counts), and the main process would have copies of those.
        if config.workers > 1:
            import_module("feedsrv.web.app")
        for parameter, setting in _MALLOPT.items():
            with suppress(AttributeError):  # another C library
                ctypes.CDLL(None).mallopt(parameter, setting)
        # The garbage collector writes to each object that it looks at, which would copy its page.
        gc.collect()
        gc.freeze()
    else:
        listener.close()

    class Server(MPServer):
        """On Linux, has all workers share one socket, as they do elsewhere.

        With a socket for each (SO_REUSEPORT), the kernel resets the connections that wait to be
        accepted when a worker ends, unless net.ipv4.tcp_migrate_req is set.
        """

        def _init_shared_socket(self) -> None:
            if sys.platform != "linux":
                super()._init_shared_socket()
                return
            socket_holder: Any = SocketHolder  # its stub has no __new__
            is_unix = False
            self._sso = listener
            self._shd = socket_holder(listener.fileno(), is_unix, _BACKLOG)

    server = Server(
        _APPLICATION,
        address=address[0],
        port=address[1],
        interface=Interfaces.WSGI,
        workers=config.workers,
        blocking_threads=config.threads,
        blocking_threads_idle_timeout=_THREAD_IDLE_SECONDS,
        runtime_mode=RuntimeModes.mt,
        runtime_threads=1,
        runtime_blocking_threads=1,  # for static files, which Flask serves
        loop=Loops.asyncio,  # granian requires one, and does not use it for WSGI
        http=HTTPModes.http1,  # browsers and feed readers use HTTP/2 with TLS only
        websockets=False,
        http1_settings=HTTP1Settings(
            header_read_timeout=_HEADER_TIMEOUT_MS,
            keep_alive=True,
            max_buffer_size=_MAX_HEADER_BYTES,
        ),
        backlog=_BACKLOG,
        backpressure=_MAX_CONNECTIONS,
        log_level=LogLevels.error,
        log_dictconfig=_LOGGING,
        respawn_failed_workers=True,
        respawn_interval=_RESPAWN_SECONDS,
        workers_kill_timeout=math.ceil(config.deadline) + _EXTRA_STOP_SECONDS,
    )

    @server.on_startup
    def on_startup() -> None:
        if os.isatty(0):  # SIGHUP means that the terminal was closed
            signal.signal(signal.SIGHUP, server.signal_handler_interrupt)
        _call_when_ready(address, on_started)

    listener_fd = listener.fileno()  # -1 where it is closed
    server.serve(target_loader=partial(_start_worker, load_app, listener_fd))


def _start_worker(
    load_app: "Callable[[], Flask]", listener_fd: int, _target: str
) -> "WSGIApplication":
    """Return the application, with its caches filled; called by granian in the worker."""
    if sys.platform != "win32":
        _handle_signals(listener_fd)
    app = load_app()
    app.extensions["feedsrv"].warm_up()
    return app.wsgi_app


def _handle_signals(listener_fd: int) -> None:
    """Let the worker end on SIGTERM, and when its parent process ends.

    Python runs signal handlers in the main thread, which waits for a lock in a granian worker. A
    signal that the kernel delivers to another thread does not interrupt that, and the worker would
    run until it is killed. So all threads block the signals, and one thread waits for them. SIGINT
    and SIGHUP from a terminal reach the main process too, which then ends or replaces the worker.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    for wait in (partial(_wait_for_signal, listener_fd), _wait_for_parent):
        threading.Thread(target=wait, daemon=True).start()


def _wait_for_signal(listener_fd: int) -> None:
    number = signal.sigwait({signal.SIGTERM})
    while not callable(handler := signal.getsignal(number)):
        threading.Event().wait(_POLL_SECONDS)  # granian sets it once the application is loaded
    if listener_fd >= 0:
        _stop_accepting(listener_fd)
        threading.Event().wait(_DRAIN_SECONDS)
    handler(number, None)


def _stop_accepting(listener_fd: int) -> None:
    """Leave further connections to the other workers, and refuse them where this is the last one.

    granian cannot stop accepting before it ends its connections. So its file descriptor gets
    another socket, to which nobody connects.
    """
    with socket.socket(socket.AF_UNIX) as unconnected:
        unconnected.setblocking(False)
        unconnected.bind("")  # Linux chooses an abstract name
        unconnected.listen()
        os.dup2(unconnected.fileno(), listener_fd)


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address; for port 0, to a free one."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
        if os.name == "posix":  # allows closed connections; on Windows it means something else
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        raise ListenError(host, port, "" if in_use else error.strerror or str(error)) from error
    return listener


def _call_when_ready(address: tuple[str, int], on_started: Callable[[int], None]) -> None:
    """Start a thread that calls `on_started` as soon as a worker accepts connections."""
    host, port = address
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def poll() -> None:
        waiting = threading.Event()
        while not _accepts_connections(family, reachable, port):
            waiting.wait(_POLL_SECONDS)
        on_started(port)

    # The main thread has to receive the signals: see _handle_signals.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=poll, name="call-when-ready", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _accepts_connections(family: int, host: str, port: int) -> bool:
    # An IP address, because the worker is forked meanwhile: it would inherit a locked resolver.
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        return connection.connect_ex((host, port)) == 0
