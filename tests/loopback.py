"""An upstream on loopback, over real sockets: the demo's pages, with faults to arm and a log."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from faults import FAULTS
from feedsrv.demo import upstream

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
            site = upstream(self.papers, self.today)
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
