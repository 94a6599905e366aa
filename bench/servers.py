"""The servers to compare: nginx, feedsrv and a bare Flask application, with one feed."""

import gzip
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from feedsrv.upstream.demo import create_demo_upstream
from tests.support.servers import serve_wsgi

PATH = "/papers.atom"
FEED, NGINX, HELLO = "feedsrv", "nginx", "Flask hello"
HELLO_CODE = """
from flask import Flask
app = Flask("hello")
app.get("/papers.atom")(lambda: "hello")
"""
NGINX_CONFIG = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; gzip_static on;
  types {{ application/atom+xml atom; }}
  client_body_temp_path {directory}/1; proxy_temp_path {directory}/2;
  fastcgi_temp_path {directory}/3; uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
  server {{ listen 127.0.0.1:{port}; root {directory}; }}
}}
"""


class MeasuredServer:
    """A running server, with its memory and CPU time."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, start_seconds: float) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        #: Seconds from its start to its first response.
        self.start_seconds = start_seconds
        self.idle_memory = self.memory()

    def etag(self) -> str:
        """Return the feed's ETag."""
        return fetch(self.url + PATH)[1].get("ETag", "")

    def describe_response(self, headers: list[str]) -> str:
        """Return status and content encoding of the response to such a request."""
        connection = HTTPConnection(urlsplit(self.url).netloc)
        connection.request("GET", PATH, headers=dict(each.split(": ", 1) for each in headers))
        response = connection.getresponse()
        connection.close()
        return f"{response.status} {response.headers.get('Content-Encoding', '')}".strip()

    def memory(self) -> float:
        """Return the memory of all its processes in MB (PSS)."""
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids())
        matches = (re.findall(r"\nPss:\s+(\d+)", text) for text in rollups)
        return sum(int(kilobytes[0]) for kilobytes in matches) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time that its processes have used."""
        stats = (Path(f"/proc/{pid}/stat").read_text() for pid in self.pids())
        ticks = sum(sum(map(int, text.rpartition(")")[2].split()[11:13])) for text in stats)
        return ticks / os.sysconf("SC_CLK_TCK")

    def pids(self) -> Iterator[int]:
        """Yield the ids of its processes."""
        pids = [self.process.pid]
        for pid in pids:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                pids += map(int, children.read_text().split())
            yield pid


def make_papers(count: int) -> list[dict[str, Any]]:
    """Return invented papers, with abstracts as long as real ones."""
    chance = random.Random(1)  # the same papers each time
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))) for _ in range(1500)]

    def text(length: int) -> str:
        return " ".join(chance.choices(words, k=length)).capitalize()

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


@contextmanager
def run_server(
    command: list[str], port: int, path: str, **environ: str
) -> Iterator[MeasuredServer]:
    """Run a server on the port, and yield it once it responds to the path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEEDSRV_")}
    started = time.monotonic()
    process = subprocess.Popen(
        command, env=clean | environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                fetch(f"http://127.0.0.1:{port}{path}")
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > started + 20:
                    sys.exit(f"did not start: {' '.join(command)}")
                time.sleep(0.005)
        yield MeasuredServer(process, port, time.monotonic() - started)
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def run_servers(directory: Path) -> Iterator[dict[str, MeasuredServer]]:
    """Run the three servers, and yield them by name."""
    ports = free_ports(3)
    settings = directory / "feedsrv.toml"
    settings.write_text("history_days = 1\n")
    directory.chmod(0o755)  # nginx workers do not run as root
    upstream = create_demo_upstream(make_papers(36), lambda: datetime.now(UTC).date())
    with ExitStack() as stack:
        feedsrv = stack.enter_context(
            run_server(
                [sys.executable, "-m", "feedsrv", "serve", "--port", str(ports[0])],
                ports[0],
                "/healthz",
                FEEDSRV_CONFIG=str(settings),
                FEEDSRV_CACHE_DIR=str(directory / "store"),
                FEEDSRV_UPSTREAM_URL=stack.enter_context(serve_wsgi(upstream)),
            )
        )
        feed, headers = fetch(feedsrv.url + PATH)
        compressed, _ = fetch(feedsrv.url + PATH, {"Accept-Encoding": "gzip"})
        if (
            gzip.decompress(compressed) != feed
            or headers.get_content_type() != "application/atom+xml"
        ):
            sys.exit("unexpected feed")
        print(f"feed: {len(feed):,} bytes, {len(compressed):,} with gzip")
        (directory / PATH[1:]).write_bytes(feed)
        (directory / f"{PATH[1:]}.gz").write_bytes(compressed)
        config = directory / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(directory=directory, port=ports[1]))
        (directory / "hello.py").write_text(HELLO_CODE)
        hello = [sys.executable, "-m", "granian", "--interface", "wsgi", "--workers", "1"]
        hello += ["--blocking-threads", "32", "--host", "127.0.0.1", "--port", str(ports[2])]
        hello += ["--no-access-log", "--working-dir", str(directory), "hello:app"]
        yield {
            NGINX: stack.enter_context(run_server(["nginx", "-c", str(config)], ports[1], PATH)),
            FEED: feedsrv,
            HELLO: stack.enter_context(run_server(hello, ports[2], PATH)),
        }


def free_ports(count: int) -> list[int]:
    """Return unused ports."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [each.getsockname()[1] for each in sockets]


def fetch(url: str, headers: Mapping[str, str] | None = None) -> tuple[bytes, Message]:
    """Return body and headers of the response."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {})) as response:
        return response.read(), response.headers
