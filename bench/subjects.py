"""What serving is measured with: nginx, feedsrv and a bare Flask application, with one feed."""

from __future__ import annotations

import gzip
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server

from feedsrv.upstream.demo import create_demo_upstream

PATH = "/papers.atom"
FEED, NGINX, HELLO = "feedsrv", "nginx", "Flask hello"
HELLO_CODE = """
import sys
from flask import Flask
from feedsrv.server import Server
app = Flask("hello")
app.get("/papers.atom")(lambda: "hello")
Server(app, "127.0.0.1", int(sys.argv[1])).run()
"""
NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; gzip_static on;
  types {{ application/atom+xml atom; }}
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


class Subject:
    """A server under load."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, started: float) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        #: Seconds from its start to its first answer.
        self.started = started
        self.idle = self.memory()

    def etag(self) -> str:
        """Return the feed's validator."""
        return fetched(self.url + PATH)[1].get("ETag", "")

    def kind(self, headers: list[str]) -> str:
        """Return what is answered to such a request: the status, and how it is packed."""
        connection = HTTPConnection(urlsplit(self.url).netloc)
        connection.request("GET", PATH, headers=dict(each.split(": ", 1) for each in headers))
        answer = connection.getresponse()
        connection.close()
        return f"{answer.status} {answer.headers.get('Content-Encoding', '')}".strip()

    def memory(self) -> float:
        """Return the memory of all its processes in MB, shared pages by their share (PSS)."""
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids())
        found = (re.findall(r"\nPss:\s+(\d+)", text) for text in rollups)
        return sum(int(kilobytes[0]) for kilobytes in found) / 1024

    def processor(self) -> float:
        """Return the seconds of processor time that its processes have spent."""
        stats = (Path(f"/proc/{pid}/stat").read_text() for pid in self.pids())
        ticks = sum(sum(map(int, text.rpartition(")")[2].split()[11:13])) for text in stats)
        return ticks / os.sysconf("SC_CLK_TCK")

    def pids(self) -> Iterator[int]:
        """Yield its processes, and theirs."""
        pids = [self.process.pid]
        for pid in pids:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                pids += map(int, children.read_text().split())
            yield pid


def papers(count: int) -> list[dict[str, Any]]:
    """Return invented papers, with abstracts as long as real ones are."""
    dice = random.Random(1)  # the same papers each time
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(dice.choices(letters, k=dice.randint(2, 11))) for _ in range(1500)]

    def text(most: int) -> str:
        return " ".join(dice.choices(words, k=most)).capitalize()

    return [
        {
            "id": f"2611.{number:05d}",
            "day": 0,
            "title": text(9),
            "summary": text(58) + ".",
            "authors": ["Ada Quill", "Bo Lantern", "Cy Meadow"],
            "upvotes": number,
            "comments": 1,
            "keywords": ["lighthouses"],
        }
        for number in range(1, count + 1)
    ]


class _Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        pass


@contextmanager
def pages() -> Iterator[str]:
    """Serve Hugging Face's pages with invented papers, and give their address."""
    today: Callable[[], date] = lambda: datetime.now(UTC).date()  # noqa: E731
    server = make_server(
        "127.0.0.1",
        0,
        create_demo_upstream(papers(36), today),
        threaded=True,
        request_handler=_Quiet,
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def running(command: list[str], port: int, path: str, **environ: str) -> Iterator[Subject]:
    """Run a server until the measurement is over."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEEDSRV_")}
    begun = time.monotonic()
    process = subprocess.Popen(
        command, env=clean | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                fetched(f"http://127.0.0.1:{port}{path}")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > begun + 20:
                    sys.exit(f"this does not start: {' '.join(command)}")
                time.sleep(0.005)
        yield Subject(process, port, time.monotonic() - begun)
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def subjects(folder: Path) -> Iterator[dict[str, Subject]]:
    """Start the three."""
    ports = free_ports(3)
    settings = folder / "feedsrv.toml"
    settings.write_text("history_days = 1\n")
    folder.chmod(0o755)  # nginx gives up root
    with ExitStack() as stack:
        feedsrv = stack.enter_context(
            running(
                [sys.executable, "-m", "feedsrv", "serve", "--port", str(ports[0])],
                ports[0],
                "/healthz",
                FEEDSRV_CONFIG=str(settings),
                FEEDSRV_CACHE_DIR=str(folder / "store"),
                FEEDSRV_UPSTREAM_URL=stack.enter_context(pages()),
            )
        )
        feed, headers = fetched(feedsrv.url + PATH)
        packed, _ = fetched(feedsrv.url + PATH, {"Accept-Encoding": "gzip"})
        if gzip.decompress(packed) != feed or headers.get_content_type() != "application/atom+xml":
            sys.exit("the feed is not what it should be")
        print(f"feed: {len(feed):,} bytes, {len(packed):,} with gzip")
        (folder / PATH[1:]).write_bytes(feed)
        (folder / f"{PATH[1:]}.gz").write_bytes(packed)
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(folder=folder, port=ports[1]))
        hello = [sys.executable, "-c", HELLO_CODE, str(ports[2])]
        yield {
            NGINX: stack.enter_context(running(["nginx", "-c", str(conf)], ports[1], PATH)),
            FEED: feedsrv,
            HELLO: stack.enter_context(running(hello, ports[2], PATH)),
        }


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


def fetched(url: str, headers: Mapping[str, str] | None = None) -> tuple[bytes, Message]:
    """Return an answer's body and headers."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as answer:
        return answer.read(), answer.headers
