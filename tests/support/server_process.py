"""``feedsrv serve`` as a process, with its worker, its output and its memory."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from tests.support.paths import NO_CERTIFICATES, ROOT
from tests.support.waiting import wait_until


class ServerProcess:
    """A running ``feedsrv serve``; `start_server` makes sure that it ends.

    Args:
        arguments: Of ``feedsrv serve``.
        global_arguments: Before ``serve``, such as ``--config``.
        stdin: A file descriptor, such as a terminal's.
        environ: Added to the environment.

    Attributes:
        process: The main process; its child is the worker.
        stderr: The lines that they wrote so far: the log.
        stdout: Likewise: the access log.

    """

    def __init__(
        self,
        *arguments: str,
        global_arguments: Sequence[str] = (),
        stdin: int = subprocess.DEVNULL,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("FEEDSRV_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "feedsrv", *global_arguments, "serve", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**clean, "SSL_CERT_FILE": "", "SSL_CERT_DIR": str(NO_CERTIFICATES), **environ},
            start_new_session=True,  # signals to its process group must not reach the tests
        )
        self.stderr: list[str] = []
        self.stdout: list[str] = []
        self._threads = [
            threading.Thread(target=lines.extend, args=(pipe,), daemon=True)
            for lines, pipe in (
                (self.stderr, self.process.stderr),
                (self.stdout, self.process.stdout),
            )
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        """The URL that the server printed once it accepted connections."""
        match = re.search(r"reader: (http://[^/\s]+:\d+)/", self.log())
        assert match, self.log()
        return match[1]

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def wait_until_started(self) -> None:
        def is_over() -> bool:
            return "reader: http" in self.log() or self.process.poll() is not None

        wait_until(is_over, timeout=60)
        assert self.process.poll() is None, self.log()

    def wait(self) -> int:
        """Wait until the processes end and their output is read; return the exit code."""
        code = self.process.wait(60)
        for thread in self._threads:
            thread.join(30)  # the worker shares the pipes, so this waits for its end
            assert not thread.is_alive(), "the worker did not end"
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        self.process.stderr.close()
        self.process.stdout.close()
        return code

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """Kill the main process and the worker, like a power cut."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def log(self) -> str:
        return "".join(self.stderr)

    def errors(self) -> list[str]:
        """Return the lines of the log that are errors, or part of a traceback."""
        return [line for line in self.stderr if re.search(r"ERROR|Traceback|Error\b|panick", line)]

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for each in children for pid in each.read_text().split()]

    def memory(self, field: str) -> float:
        """Return the memory of all its processes in MB.

        Args:
            field: ``Rss``, or ``Pss`` for a share of each page that processes share.

        """
        rollups = (
            Path(f"/proc/{pid}/smaps_rollup").read_text()
            for pid in (self.process.pid, *self.workers())
        )
        kilobytes = (re.findall(rf"\n{field}:\s+(\d+)", text)[0] for text in rollups)
        return sum(map(int, kilobytes)) / 1024

    def connect(self, sent: bytes = b"") -> socket.socket:
        """Open a connection, and send as many of the bytes as the server accepts at once."""
        connection = socket.create_connection(("127.0.0.1", self.port), 30)
        if sent:
            connection.setblocking(False)
            connection.send(sent)
            connection.settimeout(30)
        return connection

    def exchange(self, sent: bytes) -> bytes:
        """Send bytes on a new connection; return the responses."""
        with self.connect() as connection:
            with suppress(ConnectionError):  # the server no longer reads
                connection.sendall(sent)
            return read_all(connection)

    def refuses_connections(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return True
        return False


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the other side closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@contextmanager
def start_server(
    *arguments: str,
    global_arguments: Sequence[str] = (),
    stdin: int = subprocess.DEVNULL,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[ServerProcess]:
    """Start ``feedsrv serve`` on a free port, and yield it once it accepts connections."""
    server = ServerProcess(
        "--port", "0", *arguments, global_arguments=global_arguments, stdin=stdin, environ=environ
    )
    try:
        server.wait_until_started()
        yield server
    finally:
        server.process.kill()  # the worker notices, and ends
        server.wait()
