"""The files in deploy/ and their like, each tried with the program that it is for."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from email.message import Message
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from feedsrv.web.cache import ResponseCache
from nginx import nginx_before
from tests.support.feed_readers import Logged, needs
from tests.support.loopback import server_process, serving
from tests.support.paths import ROOT

FEED = "/papers.atom?q=causal"
Until = Callable[[Callable[[], bool]], None]


# --- systemd ---------------------------------------------------------------------------------


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    needs("systemd-analyze", "systemd")
    text = (ROOT / "deploy" / "feedsrv.service").read_text("utf-8")
    program = Path(sys.executable).parent / "feedsrv"
    file = tmp_path / "feedsrv.service"
    file.write_text(text.replace("/opt/feedsrv/bin/feedsrv", str(program)))
    return file


def analyzed(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    assert str(unit) not in analyzed("verify", "--man=no", str(unit))


def test_systemd_counts_the_unit_among_the_well_hardened(unit: Path) -> None:
    said = analyzed("security", "--offline=true", "--no-pager", "--threshold=15", str(unit))
    assert "OK" in said.splitlines()[-1]


# --- nginx -----------------------------------------------------------------------------------


class Hurried:
    """An application whose answers may be kept for a second only, if they may be kept at all."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            hurried = [
                (name, re.sub(r"max-age=\d+, .*", "max-age=1", value)) for name, value in headers
            ]
            return start(status, hurried, *error)

        answer: Iterable[bytes] = self._app(environ, begin)
        return answer


def asked(url: str, **headers: str) -> tuple[int, Message, bytes]:
    """Return status, headers and body, whatever the status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=named), timeout=30) as got:
            return got.status, got.headers, got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return a function that puts nginx with the shipped file in front of a server."""
    needs("nginx", "nginx-light")
    with ExitStack() as stack:

        def started(server: str, prefix: str = "") -> str:
            found: str = stack.enter_context(nginx_before(server, tmp_path / "nginx", prefix))
            return found

        yield started


@pytest.fixture
def log(service: Service) -> Logged:
    return Logged(ResponseCache(create_app(service), service))


def test_one_request_of_many_readers_reaches_the_server(
    log: Logged, nginx: Callable[..., str]
) -> None:
    with serving(log) as server:
        front = nginx(server)
        answers = [
            asked(front + FEED, Accept_Encoding=encoding)
            for encoding in ("", "gzip", "gzip, deflate, br", "identity") * 5
        ]
    assert log.statuses() == [200]
    assert {status for status, _, _ in answers} == {200}
    assert {headers["Content-Type"] for _, headers, _ in answers} == {
        "application/atom+xml; charset=utf-8"
    }
    packed = [headers["Content-Encoding"] for _, headers, _ in answers]
    assert packed == [None, "gzip", "gzip", None] * 5
    plain, gzipped = answers[0], answers[1]
    assert b"Causal lighthouses" in plain[2]
    assert plain[1]["ETag"] == gzipped[1]["ETag"]


def test_many_who_ask_at_the_same_time_for_what_nobody_has_make_one_request(
    log: Logged, nginx: Callable[..., str]
) -> None:
    with serving(log) as server, ThreadPoolExecutor(16) as readers:
        front = nginx(server)
        answers = [*readers.map(asked, [front + FEED] * 16)]
    assert {status for status, _, _ in answers} == {200}
    assert log.statuses() == [200]


def test_who_holds_the_feed_is_told_so_without_the_server(
    log: Logged, nginx: Callable[..., str]
) -> None:
    with serving(log) as server:
        front = nginx(server)
        _, headers, _ = asked(front + FEED)
        etag, since = headers["ETag"], headers["Last-Modified"]
        assert asked(front + FEED, If_None_Match=etag)[0] == 304
        assert asked(front + FEED, If_Modified_Since=since)[0] == 304
        assert asked(front + FEED, If_None_Match='"other"')[0] == 200
    assert log.statuses() == [200]


def test_after_its_time_one_request_asks_again_and_is_told_that_nothing_changed(
    service: Service, nginx: Callable[..., str], until: Until
) -> None:
    log = Logged(Hurried(ResponseCache(create_app(service), service)))
    with serving(log) as server:
        front = nginx(server)
        asked(front + FEED)
        begun = time.monotonic()
        until(lambda: asked(front + FEED)[0] == 200 and len(log.seen) > 1)
        assert time.monotonic() - begun > 0.5  # by nginx's clock, which ticks in whole seconds
    assert [seen.status for seen in log.seen] == [200, 304]


def test_the_last_good_answer_bridges_a_server_that_is_gone(
    service: Service, nginx: Callable[..., str], until: Until
) -> None:
    with serving(Hurried(create_app(service))) as server:
        front = nginx(server)
        body = asked(front + FEED)[2]
    until(lambda: asked(front + FEED)[1]["X-Cache"] in {"STALE", "UPDATING"})
    status, _, stale = asked(front + FEED)
    assert (status, stale) == (200, body)
    assert asked(front + "/papers.rss")[0] == 502


def test_nothing_of_a_private_server_is_kept_for_another(
    make_service: Callable[..., Service], nginx: Callable[..., str], tmp_path: Path, until: Until
) -> None:
    with serving(create_app(make_service(access_key="sesame"))) as server:
        front = nginx(server)
        keyed = [asked(f"{front}{FEED}&key=sesame") for _ in range(2)]
        basic = asked(front + FEED, Authorization="Basic eDpzZXNhbWU=")
        without = asked(front + FEED)
    assert [status for status, _, _ in (*keyed, basic, without)] == [200, 200, 200, 401]
    assert {headers["X-Cache"] for _, headers, _ in (*keyed, basic, without)} == {"MISS"}
    access = tmp_path / "nginx" / "access.log"
    until(lambda: access.read_text().count("\n") == 4)
    assert '"GET /papers.atom" 200' in access.read_text()
    assert "sesame" not in access.read_text()


def test_an_error_is_kept_by_nobody(log: Logged, nginx: Callable[..., str]) -> None:
    with serving(log) as server:
        front = nginx(server)
        assert [asked(f"{front}/papers.atom?q=%28")[0] for _ in range(2)] == [400, 400]
    assert log.statuses() == [400, 400]


@pytest.mark.parametrize("prefix", ["", "/daily"])
def test_addresses_are_right_under_a_prefix_without_public_url_too(
    make_service: Callable[..., Service], nginx: Callable[..., str], prefix: str
) -> None:
    service = make_service(trusted_proxies=("127.0.0.1",))
    with serving(create_app(service)) as server:
        front = nginx(server, prefix) + prefix
        made_up = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Prefix": "/evil"}
        _, _, feed = asked(front + FEED, **made_up)
        assert f'href="{front}{FEED}" rel="self"'.encode() in feed
        _, _, page = asked(f"{front}/")
        assert f'href="{front}/static/style.css'.encode() in page
        assert b"evil" not in feed + page
        found = re.search(r'href="([^"]+style\.css[^"]*)"', page.decode())
        assert found
        assert asked(found[1])[0] == 200


# --- Caddy -----------------------------------------------------------------------------------


@contextmanager
def caddy_before(server: str, folder: Path, port: int) -> Iterator[str]:
    text = (ROOT / "deploy" / "Caddyfile").read_text("utf-8")
    text = text.replace("127.0.0.1:8000", server.removeprefix("http://"))
    text = re.sub("^(papers.)?example.org", r"http://\g<0>:" + str(port), text, flags=re.MULTILINE)
    file = folder / "Caddyfile"
    file.write_text("{\n\tadmin off\n}\n" + text)
    home = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]
    with subprocess.Popen(command, env=home, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("host", "prefix"), [("papers.example.org", ""), ("example.org", "/daily")]
)
def test_caddy_hands_on_what_readers_asked_for(
    make_service: Callable[..., Service], tmp_path: Path, until: Until, host: str, prefix: str
) -> None:
    needs("caddy")
    service = make_service(trusted_proxies=("127.0.0.1",))
    port = free_port()
    named = f"{host}:{port}"
    with (
        serving(create_app(service)) as server,
        caddy_before(server, tmp_path, port) as front,
    ):
        until(lambda: answers(f"{front}{prefix}/healthz", Host=named))
        _, _, feed = asked(front + prefix + FEED, Host=named, X_Forwarded_Prefix="/evil")
    assert f'href="http://{named}{prefix}{FEED}" rel="self"'.encode() in feed


def answers(url: str, **headers: str) -> bool:
    try:
        return asked(url, **headers)[0] == 200
    except OSError:
        return False


# --- Docker, dokku and Heroku ----------------------------------------------------------------


def instructions() -> dict[str, list[str]]:
    """Return the Dockerfile's instructions by their names, lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name.isupper():
            found.setdefault(name, []).append(rest.strip())
    return found


def test_what_the_dockerfile_copies_is_there_and_not_left_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        part
        for line in instructions()["COPY"]
        if not line.startswith("--from")
        for part in line.split()[:-1]
    }
    assert copied == kept
    assert all((ROOT / part).exists() for part in copied)


def test_the_container_runs_as_nobody_that_has_rights() -> None:
    found = instructions()
    assert found["USER"] == ["10001:10001"]
    assert len(found["FROM"]) == 2
    assert json.loads(found["CMD"][-1])[:2] == ["feedsrv", "serve"]


def test_the_health_check_tells_a_server_that_answers_from_one_that_is_gone() -> None:
    (line,) = instructions()["HEALTHCHECK"]
    command = line.partition("CMD ")[2]
    python = f"{shlex.quote(sys.executable)} {command.partition(' ')[2]}"
    with server_process("--demo") as (_, url, _said):
        port = url.rpartition(":")[2]
        healthy = subprocess.run(python, shell=True, env={"PORT": port}, check=False)
    gone = subprocess.run(
        python, shell=True, env={"PORT": port}, check=False, stderr=subprocess.DEVNULL
    )
    assert (healthy.returncode, gone.returncode) == (0, 1)


def test_compose_asks_for_an_extra_and_settings_that_exist() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get(
        "optional-dependencies", {}
    )
    asked_for = re.findall(r"EXTRAS: (\w+)", text)
    if extras:
        assert set(asked_for) <= set(extras)
    volumes = re.findall(r"- \./([^:]+):", text)
    assert volumes
    assert all((ROOT / file).exists() for file in volumes)


def test_the_procfile_serves_at_the_port_that_it_is_given(until: Until, tmp_path: Path) -> None:
    name, _, command = (ROOT / "Procfile").read_text("utf-8").strip().partition(": ")
    assert name == "web"
    port = free_port()
    program, *arguments = shlex.split(command)
    assert program == "python"
    environment = {"PORT": str(port), "FEEDSRV_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)}
    environment["FEEDSRV_UPSTREAM_URL"] = "http://127.0.0.1:1"
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port
