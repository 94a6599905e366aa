"""The HTTP server: granian, with one worker process that runs `feedsrv.web.wsgi:app`.

::

    main process ── holds the address, takes signals ── fork ── worker process
                                                                  ├── event loop: connections, HTTP
                                                                  └── threads: the application

The event loop (Rust) reads requests and writes responses, so a slow client costs no thread. A
thread runs the application for one request at a time.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any
from wsgiref.types import WSGIApplication

from feedsrv.config import Config
from feedsrv.errors import ListenError

_APPLICATION = "feedsrv.web.wsgi:app"
#: Connections that each worker keeps open. granian's name for it is backpressure; it counts
#: connections, not requests. A process may commonly have 1,024 files open, and the store needs
#: some.
_MAX_CONNECTIONS = 768
#: Connections that wait in the kernel for one of those to close. Linux caps it at
#: net.core.somaxconn.
_BACKLOG = 1024
#: Milliseconds in which the header section of a request has to arrive. hyper, granian's HTTP
#: library, starts the clock when a connection opens and after each response: it is the keep-alive
#: timeout too.
_HEADER_TIMEOUT_MS = 10_000
#: Bytes of the longest header section, and of what is read ahead of pipelined requests. The longest
#: query that is allowed takes 3 kB in an address.
_MAX_HEADER_BYTES = 32_768
#: Seconds that a thread outlives its last request.
_THREAD_IDLE_SECONDS = 30
#: Seconds from the start of a new worker to the end of the old one: what SIGHUP takes. A small
#: computer imports for three seconds.
_RESPAWN_SECONDS = 5.0
#: Seconds in which a worker has to end. A request waits for upstream for `deadline` seconds (10) at
#: most; what is left are clients that do not read. systemd and Docker wait for longer.
_STOP_SECONDS = 20
#: granian's own log: errors only, by the handlers of `feedsrv.logs`. (Each start and end of a
#: worker is no news, and its warning about more threads than processors does not hold for threads
#: that wait.)
_LOGGING: dict[str, Any] = {
    "formatters": {},
    "handlers": {},
    "loggers": {"_granian": {"handlers": [], "propagate": True}},
}
#: granian's memory allocator, which reads this when it is loaded: one arena, whose free pages go
#: back to the system after half a second. By default it has four for each processor and keeps pages
#: for ten seconds, which was a third of the memory that 700 busy connections took.
_ALLOCATOR = {"_RJEM_MALLOC_CONF": "narenas:1,dirty_decay_ms:500"}
#: Seconds between two looks whether the server accepts connections yet.
_POLL_SECONDS = 0.02
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def run_server(
    config: Config, environ: MutableMapping[str, str], started: Callable[[int], None]
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress.

    The worker reads its settings from the environment, again on each SIGHUP.

    Args:
        config: Host, port, workers and threads; they stay until the process ends.
        environ: The environment.
        started: Called with the port once connections are accepted.

    Raises:
        ListenError: The address cannot be used.

    """
    address = _resolve_address(config.host, config.port)
    for name, value in _ALLOCATOR.items():
        environ.setdefault(name, value)
    from granian import Granian  # noqa: PLC0415  # not before its allocator is configured
    from granian.constants import HTTPModes, Interfaces, Loops, RuntimeModes  # noqa: PLC0415
    from granian.http import HTTP1Settings  # noqa: PLC0415
    from granian.log import LogLevels  # noqa: PLC0415

    if sys.platform == "linux":
        # A worker shares the memory of what is imported here (Python 3.14 would import it again).
        multiprocessing.set_start_method("fork", force=True)
    server = Granian(
        _APPLICATION,
        address=address[0],
        port=address[1],
        interface=Interfaces.WSGI,
        workers=config.workers,
        blocking_threads=config.threads,
        blocking_threads_idle_timeout=_THREAD_IDLE_SECONDS,
        runtime_mode=RuntimeModes.mt,
        runtime_threads=1,
        runtime_blocking_threads=1,  # for static files, of which granian serves none here
        loop=Loops.asyncio,  # created by granian, not used by WSGI
        http=HTTPModes.http1,  # plain HTTP/2 needs prior knowledge, which feed readers do not have
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
        workers_kill_timeout=_STOP_SECONDS,
    )

    @server.on_startup
    def begin() -> None:
        if os.isatty(0):  # SIGHUP says that the terminal was closed
            signal.signal(signal.SIGHUP, server.signal_handler_interrupt)
        _call_when_ready(address, started)

    server.serve(target_loader=_load)


def _load(_target: str) -> WSGIApplication:
    """Return the application, in the worker, with all that its first reader would wait for."""
    if sys.platform != "win32":
        _handle_signals_in_thread()
    from feedsrv.web.wsgi import app  # noqa: PLC0415  # opens the store

    app.extensions["feedsrv"].warm_up()
    return app


def _handle_signals_in_thread() -> None:
    """Have SIGTERM end the worker, whichever thread would get it, and the end of its parent too.

    Python runs signal handlers in the main thread, which waits for a lock here. Where the kernel
    hands a signal to another thread, it is not woken, and the worker would go on until it is
    killed. So all threads block the signals, and one waits for them. SIGINT and SIGHUP of a
    terminal reach the main process as well, which ends or replaces the worker.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    for wait in (_wait_for_signal, _wait_for_parent):
        threading.Thread(target=wait, daemon=True).start()


def _wait_for_signal() -> None:
    number = signal.sigwait({signal.SIGTERM})
    while not callable(handler := signal.getsignal(number)):
        threading.Event().wait(_POLL_SECONDS)  # granian sets it once the application is loaded
    handler(number, None)


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _resolve_address(host: str, port: int) -> tuple[str, int]:
    """Return the address to listen on as numbers, with a free port for 0.

    granian sets SO_REUSEPORT: without this check two servers would share a port.

    Raises:
        ListenError: The address is in use, or no address of this machine.

    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if (
                os.name == "posix"
            ):  # connections that linger do not count; Windows means another thing
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found: tuple[str, int] = probe.getsockname()[:2]
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        raise ListenError(host, port, "" if in_use else error.strerror or str(error)) from error
    return found


def _call_when_ready(address: tuple[str, int], started: Callable[[int], None]) -> None:
    """Have `started` called, by another thread, as soon as a worker accepts connections."""
    host, port = address
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def poll() -> None:
        waiting = threading.Event()
        while not _accepts_connections(family, reachable, port):
            waiting.wait(_POLL_SECONDS)
        started(port)

    # The signals are for the main thread: see _take_signals.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=poll, name="report", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _accepts_connections(family: int, host: str, port: int) -> bool:
    # No name is resolved here: the worker is forked meanwhile, and would keep the resolver's lock.
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        return connection.connect_ex((host, port)) == 0
