"""The application under other WSGI servers, and below a path prefix."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.http import fetch_body, free_port, is_ready
from tests.support.paths import ROOT
from tests.support.stores import lease_is_free
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until

SERVERS = {
    "gunicorn": ["-m", "gunicorn", "--worker-class=gthread", "--threads=8", "--bind={address}"],
    "waitress": ["-m", "waitress", "--threads=8", "--listen={address}"],
}
#: WSGI module that serves the application below a prefix.
MOUNT = """
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from feedsrv.web.wsgi import app
app = DispatcherMiddleware(NotFound(), {"/daily": app})
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class OtherServer:
    """The application under another WSGI server."""

    def __init__(self, process: subprocess.Popen[str], url: str, log_file: Path) -> None:
        self.process = process
        self.url = url
        self._log_file = log_file

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def errors(self) -> list[str]:
        lines = self._log_file.read_text().splitlines()
        return [line for line in lines if re.search(r"Traceback|\bERROR\b|Exception", line)]


@contextmanager
def start_other_server(
    name: str,
    folder: Path,
    application: str = "feedsrv.web.wsgi:app",
    health_check: str = "/healthz",
    **environ: str,
) -> Iterator[OtherServer]:
    """Run the application under the server of that name, with its store in the folder."""
    address = f"127.0.0.1:{free_port()}"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FEEDSRV_")}
    store = {"PYTHONPATH": str(ROOT), "FEEDSRV_CACHE_DIR": str(folder)}
    log_file = folder / "log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                *(argument.format(address=address) for argument in SERVERS[name]),
                application,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env=clean | store | environ,
        )
    server = OtherServer(process, f"http://{address}", log_file)
    try:
        wait_until(lambda: process.poll() is not None or is_ready(server.url + health_check))
        assert process.poll() is None, log_file.read_text()
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("name", "number", "code"),
    [
        ("gunicorn", signal.SIGTERM, 0),
        ("waitress", signal.SIGINT, 0),
        ("waitress", signal.SIGTERM, -signal.SIGTERM),  # waitress does not handle it
    ],
)
def test_another_server_serves_the_application_and_ends_without_an_error(
    name: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with start_other_server(name, tmp_path, FEEDSRV_DEMO="true") as server:
        for _ in range(2):  # from the view, then from the response cache
            assert b"causal" in fetch_body(f"{server.url}/papers.atom?q=causal").lower()
        assert server.stop(number) == code
    assert not server.errors()


def test_a_server_that_ends_releases_the_lease_and_fetches_no_queued_pages(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    """Python itself would wait for the upstream thread, which would first empty its queue."""
    requested, may_respond = threading.Event(), threading.Event()

    def wait(_: str) -> None:
        requested.set()
        may_respond.wait(60)

    upstream.intercept = wait
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("history_days = 30\nspacing = 0\n")
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CONFIG": str(settings)}
    with start_other_server("gunicorn", tmp_path, **environ) as server:
        with pytest.raises(OSError, match="503"):
            fetch_body(f"{server.url}/readyz")  # it starts the refresh of all lists
        assert requested.wait(30)
        server.process.send_signal(signal.SIGTERM)
        may_respond.set()
        assert server.process.wait(60) == 0
    assert lease_is_free(tmp_path, upstream.url)
    assert len(upstream.requests) < 5
    assert not server.errors()


@pytest.mark.parametrize("name", SERVERS)
def test_another_server_ends_with_a_line_for_each_invalid_setting(
    name: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            sys.executable,
            *(argument.format(address="127.0.0.1:0") for argument in SERVERS[name]),
            "feedsrv.web.wsgi:app",
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PORT": "x", "FEEDSRV_LOG_FORMAT": "xml"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("feedsrv: ")]
    assert len(lines) == 2
    assert lines[0].startswith("feedsrv: environment: FEEDSRV_LOG_FORMAT: expected one of")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SERVERS)
def test_below_a_prefix_every_url_has_the_prefix(name: str, tmp_path: Path) -> None:
    (tmp_path / "mounted.py").write_text(MOUNT)
    with start_other_server(
        name, tmp_path, "mounted:app", "/daily/healthz", FEEDSRV_DEMO="true"
    ) as server:
        base_url = f"{server.url}/daily/"
        for _ in range(2):  # from the view, then from the response cache
            feed = fetch_body(f"{base_url}papers.atom?q=causal").decode()
            assert f'href="{base_url}papers.atom?q=causal" rel="self"' in feed
        page = fetch_body(f"{base_url}papers?q=causal").decode()
        urls = set(re.findall(rf'(?:href|src)="({server.url}/[^"]*|/[^"]*)"', page))
        assert len(urls) > 5
        assert all(url.startswith(base_url) for url in urls)
        for url in urls:
            if "/static/" in url:
                assert fetch_body(url)
        server.stop(signal.SIGINT)
