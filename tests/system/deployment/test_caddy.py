"""The Caddyfile."""

import os
import re
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from feedsrv.web.app import create_app
from tests.support.feed_readers import require_program
from tests.support.http import fetch, free_port, is_ready
from tests.support.paths import ROOT
from tests.support.server_process import start_server
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.waiting import wait_until

FEED = "/papers.atom?q=causal"


@contextmanager
def run_caddy(server: str, folder: Path, port: int) -> Iterator[str]:
    text = (ROOT / "deploy" / "Caddyfile").read_text("utf-8")
    text = text.replace("127.0.0.1:8000", server.removeprefix("http://"))
    text = re.sub("^(papers.)?example.org", r"http://\g<0>:" + str(port), text, flags=re.MULTILINE)
    file = folder / "Caddyfile"
    file.write_text(text.replace("{\n\tlog {", "{\n\tadmin off\n\tlog {", 1))
    home = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]
    log = folder / "caddy.log"
    with log.open("wb") as stderr, subprocess.Popen(command, env=home, stderr=stderr) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("host", "prefix"), [("papers.example.org", ""), ("example.org", "/daily")]
)
def test_caddy_forwards_the_requested_url(
    make_service: MakeService, tmp_path: Path, host: str, prefix: str
) -> None:
    require_program("caddy")
    service = make_service(trusted_proxies=("127.0.0.1",))
    port = free_port()
    host_header = f"{host}:{port}"
    with (
        serve_wsgi(create_app(service)) as server,
        run_caddy(server, tmp_path, port) as proxy,
    ):
        wait_until(lambda: is_ready(f"{proxy}{prefix}/healthz", Host=host_header))
        _, _, feed = fetch(proxy + prefix + FEED, Host=host_header, X_Forwarded_Prefix="/evil")
    assert f'href="http://{host_header}{prefix}{FEED}" rel="self"'.encode() in feed


@pytest.mark.parametrize(
    ("host", "prefix"), [("papers.example.org", ""), ("example.org", "/daily")]
)
def test_caddy_removes_headers_that_wsgi_maps_to_forwarded_ones(
    tmp_path: Path, host: str, prefix: str
) -> None:
    require_program("caddy")
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("access_log = true\ntrusted_proxies = ['127.0.0.1']\n")
    port = free_port()
    host_header = f"{host}:{port}"
    with (
        start_server("--demo", environ={"FEEDSRV_CONFIG": str(settings)}) as server,
        run_caddy(server.url.replace("localhost", "127.0.0.1"), tmp_path, port) as proxy,
    ):
        wait_until(lambda: is_ready(f"{proxy}{prefix}/healthz", Host=host_header))
        fields = {
            "Host": host_header,
            "X_Forwarded_For": "192.0.2.66",
            "X_Forwarded_Host": "evil.example",
            "X_FORWARDED_PREFIX": "/evil",
        }
        request = urllib.request.Request(proxy + prefix + FEED, headers=fields)
        with urllib.request.urlopen(request, timeout=30) as response:
            feed = response.read()
        server.stop()
    assert f'href="http://{host_header}{prefix}{FEED}" rel="self"'.encode() in feed
    assert b"evil" not in feed
    assert "192.0.2.66" not in "".join(server.stdout)


def test_a_key_is_not_in_the_log_when_the_server_does_not_respond(tmp_path: Path) -> None:
    require_program("caddy")
    server, port = f"http://127.0.0.1:{free_port()}", free_port()
    host_header = f"papers.example.org:{port}"
    with run_caddy(server, tmp_path, port) as proxy:
        wait_until(lambda: is_listening(port))
        for url in (f"{FEED}&key=sesame", "/papers/q/causal/key/sesame.atom"):
            assert fetch(f"{proxy}{url}", Host=host_header)[0] == 502
        log = tmp_path / "caddy.log"
        wait_until(lambda: "/papers/q/causal" in log.read_text())
    assert "sesame" not in log.read_text()


def is_listening(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
