"""An upstream on loopback, over real sockets: the demo's pages, with faults to arm and a log."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from feedsrv.upstream.demo import create_demo_upstream
from tests.support.faults import FAULTS
from tests.support.paths import ROOT

Json = dict[str, Any]


def raw_paper(number: int, *, day: int = 0, **fields: Any) -> Json:
    """Return an invented paper in the shape of the bundled samples, with an arXiv id."""
    paper = {
        "id": f"2611.{number:05d}",
        "day": day,
        "title": f"A study of lighthouse number {number}",
        "summary": f"We count the steps of lighthouse {number} and find them even.",
        "authors": ["Ada Quill", "Bo Lantern"],
        "upvotes": number % 50,
        "comments": 1,
        "keywords": ["lighthouses"],
    }
    return paper | fields


class Loopback:
    """The running upstream.

    Attributes:
        papers: What it lists; may be changed between requests.
        log: Path and query of each request, in order.
        fault: Called with each path; what it returns is answered in place of the page.

    """

    def __init__(self, papers: Sequence[Json], today: Callable[[], date]) -> None:
        self.papers = list(papers)
        self.today = today
        self.log: list[str] = []
        self.agents: list[str] = []
        #: What requests held, as far as they said so; `etag` makes them say so.
        self.conditions: list[str] = []
        self.etag = ""
        self.headers: dict[str, str] = {}
        self.fault: Callable[[str], Response | None] = lambda path: None
        self._armed = ("", "/")
        self.url = ""

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Any:
        request = Request(environ)
        path = request.full_path.rstrip("?")
        self.log.append(path)
        self.agents.append(str(request.user_agent))
        self.conditions.append(request.headers.get("If-None-Match", ""))
        answer = self.fault(path)
        if answer is None:
            site = create_demo_upstream(self.papers, self.today)
            answer = Response.from_app(site, environ)
            answer.headers.extend(self.headers)
            if self.etag and answer.status_code == 200:
                answer.headers["ETag"] = self.etag
                answer.make_conditional(environ)
            name, prefix = self._armed
            if name and path.startswith(prefix):
                return FAULTS[name](answer)(environ, start)
        return answer(environ, start)

    def arm(self, name: str, prefix: str = "/") -> None:
        """Answer every path that begins so with the fault of that name, until `up`."""
        self._armed = (name, prefix)

    def down(self, prefix: str = "/", status: int = 503) -> None:
        """Answer every path that begins so with an error, until `up`."""
        self.fault = lambda path: Response("", status) if path.startswith(prefix) else None

    def up(self) -> None:
        self.fault = lambda path: None
        self._armed = ("", "/")


class _Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        pass


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve a WSGI application on a free loopback port, and give its address."""
    server: BaseWSGIServer = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def server_process(
    *arguments: str, **environ: str
) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Start feedsrv as a process on a free port; give it, its address and what it said."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FEEDSRV_")} | environ
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "serve", "--port", "0", *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert process.stderr is not None
    said = ""
    try:
        while not (found := re.search(r"reader: (http://localhost:\d+)/papers", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        yield process, found[1], said
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


FORKS = """
import importlib, os, sys
module, name, *arguments = sys.argv[1:]
work = getattr(importlib.import_module(module), name)
for _ in sys.stdin:
    child = os.fork()
    if not child:
        try:
            work(*arguments)
        finally:
            os._exit(1)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@contextmanager
def killing(module: str, work: str, *arguments: str) -> Iterator[Callable[[float], None]]:
    """Give a function that has the endless work done by a process, killed after so many seconds.

    One process imports what is needed and forks the others, so that each begins at once.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS, module, work, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, told = process.stdin, process.stdout

    def kill(seconds: float) -> None:
        asked.write("one more\n")
        asked.flush()
        child = int(told.readline())
        time.sleep(seconds)  # a moment is what is tried here
        os.kill(child, signal.SIGKILL)
        assert int(told.readline()) == signal.SIGKILL, "it ended by itself"

    try:
        yield kill
    finally:
        process.communicate()


def fetched(url: str) -> bytes:
    """Return what a server that is no mock answers; an error raises."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body


@contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections on a free loopback port, hand each to ``talk``, and give the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_ones: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_ones.append(connection)
            threading.Thread(target=_quietly, args=(talk, connection), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in open_ones:
            connection.close()


def _quietly(talk: Callable[[socket.socket], None], connection: socket.socket) -> None:
    try:
        connection.recv(65536)
        talk(connection)
        connection.close()
    except OSError:
        pass  # the other side has gone, which is what most of these tests want
