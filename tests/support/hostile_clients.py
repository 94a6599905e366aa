"""Many misbehaving clients, in a separate process.

::

    python -m tests.support.hostile_clients KIND PORT COUNT SECONDS

The separate process leaves the interpreter to the measured client. It prints
a line when all clients are connected.
"""

import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, cast

from tests.support.paths import ROOT

_REQUEST = b"GET /papers.atom HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: Bytes that each of the pipelining clients sends: 100 of them send 25 MB.
_PIPELINED_BYTES = 250_000
_PIPELINED = _REQUEST * (_PIPELINED_BYTES // len(_REQUEST))
_CONNECTED = "connected"


@contextmanager
def hostile_clients(kind: str, port: int, count: int, seconds: float) -> Iterator[IO[str]]:
    """Run clients in a process; yield its output once all are connected."""
    arguments = [kind, str(port), str(count), str(seconds)]
    command = [sys.executable, "-m", __name__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"{_CONNECTED}\n"
            yield process.stdout
        finally:
            process.kill()


def connect_and_close(port: int, count: int, _: float) -> None:
    """Connect and close at once; every second time with a reset."""
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 30)
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    print(_CONNECTED, flush=True)


def send_no_whole_request(port: int, count: int, seconds: float) -> None:
    """Send nothing, half a request line, or half a header section."""
    connections = [_connect(port) for _ in range(count)]
    for number, connection in enumerate(connections):
        connection.send([b"", b"GET /papers.at", b"GET /healthz HTTP/1.1\r\nHost: loc"][number % 3])
    print(_CONNECTED, flush=True)
    time.sleep(seconds)


def pipeline(port: int, count: int, seconds: float) -> None:
    """Send many requests without waiting for a response, and read the responses."""
    unsent = {_connect(port): memoryview(_PIPELINED) for _ in range(count)}
    print(_CONNECTED, flush=True)
    selector = selectors.DefaultSelector()
    for connection in unsent:
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and selector.get_map():
        for key, events in selector.select(0.1):
            connection = cast("socket.socket", key.fileobj)
            try:
                if events & selectors.EVENT_READ and not connection.recv(1_000_000):
                    selector.unregister(connection)
                elif events & selectors.EVENT_WRITE:
                    unsent[connection] = unsent[connection][connection.send(unsent[connection]) :]
                    if not unsent[connection]:
                        selector.modify(connection, selectors.EVENT_READ)
            except BlockingIOError:
                pass
            except OSError:
                selector.unregister(connection)


def pipeline_without_reading(port: int, count: int, seconds: float) -> None:
    """Send many requests without waiting for a response, and read nothing."""
    unsent = {_connect(port): memoryview(_PIPELINED) for _ in range(count)}
    print(_CONNECTED, flush=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for connection, rest in unsent.items():
            with suppress(OSError):
                unsent[connection] = rest[connection.send(rest) :] if rest else rest
        time.sleep(0.02)


def request_new_keywords(port: int, count: int, seconds: float) -> None:
    """Request a keyword that is new each time, again as soon as there is a response.

    Prints the number of responses by status.
    """
    statuses: Counter[str] = Counter()
    selector = selectors.DefaultSelector()
    requests = 0

    def send_request() -> None:
        nonlocal requests
        requests += 1
        connection = _connect(port)
        target = f"/papers.atom?q=keyword{requests}"
        connection.send(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        selector.register(connection, selectors.EVENT_READ, [])

    for _ in range(count):
        send_request()
    print(_CONNECTED, flush=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for key, _ in selector.select(0.1):
            connection, received = cast("socket.socket", key.fileobj), key.data
            try:
                data = connection.recv(65_536)
            except OSError:
                data = b""
            if data:
                received.append(data)
                continue
            statuses[received[0][9:12].decode() if received else "none"] += 1
            selector.unregister(connection)
            connection.close()
            send_request()
    print(dict(sorted(statuses.items())), flush=True)


def _connect(port: int) -> socket.socket:
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), 30)
        except OSError:  # the backlog is full
            time.sleep(0.05)
        else:
            connection.setblocking(False)
            return connection


KINDS: dict[str, Callable[[int, int, float], None]] = {
    kind.__name__: kind
    for kind in (
        *(connect_and_close, send_no_whole_request, pipeline, pipeline_without_reading),
        request_new_keywords,
    )
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
