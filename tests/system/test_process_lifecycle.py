"""How processes end, and how they take up other settings, with requests under way."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import msgspec
import pytest
from feedsrv.web.current import Current
from werkzeug.test import Client, create_environ

from feedsrv.config import Config
from feedsrv.errors import ConfigError
from feedsrv.feeds.service import Service
from feedsrv.models import Feed
from tests.support.http import fetch_body
from tests.support.servers import run_feedsrv
from tests.support.stores import disk_store
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its signals are others")


class SlowUpstream:
    """An upstream that has been asked, and answers when it is let."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.was_asked, self.may_answer = Event(), Event()
        upstream.papers += [make_raw_paper(7, title="Causal fog")]
        upstream.intercept = self._wait

    def _wait(self, _: str) -> None:
        self.was_asked.set()
        self.may_answer.wait(60)


@pytest.fixture
def slow(upstream: FakeUpstream) -> Iterator[SlowUpstream]:
    found = SlowUpstream(upstream)
    yield found
    found.may_answer.set()


def is_free(folder: Path, upstream: FakeUpstream) -> bool:
    """Tell whether nobody holds the right to ask upstream."""
    store = disk_store(folder, upstream.url)
    try:
        found = store.acquire_lease("somebody else", datetime.now(UTC), timedelta(seconds=12))
        store.release_lease("somebody else")
    finally:
        store.close()
    return found


def refuses(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port or 80, timeout=30)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return True
    finally:
        connection.close()
    return False


# --- the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_end_finishes_its_requests_and_leaves_no_lease(
    upstream: FakeUpstream, slow: SlowUpstream, tmp_path: Path, number: signal.Signals
) -> None:
    environ = {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)}
    with (
        run_feedsrv(**environ) as (process, url, _),
        ThreadPoolExecutor(1) as threads,
    ):
        answer = threads.submit(fetch_body, f"{url}/papers.atom?q=causal")
        assert slow.was_asked.wait(30)
        assert not is_free(tmp_path, upstream)
        process.send_signal(number)
        wait_until(lambda: refuses(url))
        slow.may_answer.set()
        assert b"Causal fog" in answer.result(30)
        assert process.wait(30) == 0
    assert is_free(tmp_path, upstream)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command", [("get", "/papers.atom?q=causal"), ("refresh",), ("check",)], ids=" ".join
)
def test_a_command_told_to_end_leaves_no_lease_and_says_by_its_exit_code_why(
    upstream: FakeUpstream,
    slow: SlowUpstream,
    tmp_path: Path,
    command: tuple[str, ...],
    number: signal.Signals,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)},
    )
    with process:
        assert slow.was_asked.wait(30)
        process.send_signal(number)
        slow.may_answer.set()
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert b"Traceback" not in said
    assert is_free(tmp_path, upstream)


# --- other settings ----------------------------------------------------------------------------


@contextmanager
def asking(url: str) -> Iterator[Callable[[], int]]:
    """Ask a server all the time, on connections kept and new; give the number of answers so far.

    Any answer but a 200, and any connection that breaks, is raised at the end.
    """
    end, answers = Event(), count()
    port = urlsplit(url).port
    told = [0]

    def ask(keeps: bool, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not end.is_set():
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            assert connection.sock is not None, "it was closed"
            told[0] = next(answers)
            if not keeps:
                connection.close()
        connection.close()

    with ThreadPoolExecutor(4) as threads:
        asked = [
            threads.submit(ask, keeps, path)
            for keeps in (True, False)
            for path in ("/feeds/old.atom", "/?q=lighthouse")
        ]
        try:
            yield lambda: told[0]
        finally:
            end.set()
        for each in asked:
            each.result(30)


def has(url: str, name: str) -> bool:
    try:
        return b"<feed" in fetch_body(f"{url}/feeds/{name}.atom")
    except urllib.error.HTTPError as error:
        error.close()
        return False


def read_stderr_until(process: subprocess.Popen[str], word: str) -> str:
    assert process.stderr is not None
    said = ""
    while word not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_sighup_takes_up_the_settings_without_losing_a_request(
    upstream: FakeUpstream, tmp_path: Path
) -> None:
    file = tmp_path / "feedsrv.toml"
    settings = "spacing = 0\nhistory_days = 1\n[feeds.old]\nquery = 'causal'\n"
    file.write_text(settings)
    environ = {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_CONFIG": str(file),
    }
    with run_feedsrv(**environ) as (process, url, _):
        assert not has(url, "new0")
        with asking(url) as answers:
            for number in range(5):
                settings += f"[feeds.new{number}]\nquery = 'fog'\n"
                file.write_text(settings)
                before = answers()
                process.send_signal(signal.SIGHUP)
                wait_until(lambda: has(url, f"new{number}"))  # noqa: B023  # called in this round
                wait_until(lambda: answers() > before + 20)  # noqa: B023  # likewise
            file.write_text("port = 'x'\ncolour = 1\n")
            process.send_signal(signal.SIGHUP)
            said = read_stderr_until(process, "colour")
            assert "the settings stay as they were" in said
            assert "port: expected a whole number" in said
            assert has(url, "new4")
            file.write_text(settings.replace("spacing", "host = '127.0.0.2'\nspacing"))
            process.send_signal(signal.SIGHUP)
            said += read_stderr_until(process, "until the server is started again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert "Traceback" not in said
    assert is_free(tmp_path / "store", upstream)


def test_a_server_on_a_terminal_ends_when_that_is_closed() -> None:
    mine, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "serve", "--demo", "--port", "0"],
        stdin=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        read_stderr_until(process, "reader: http://")
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == 0
    os.close(mine)
    os.close(theirs)


def test_a_request_under_way_ends_on_the_old_settings_whose_lease_is_given_back(
    upstream: FakeUpstream, slow: SlowUpstream, config: Config
) -> None:
    opened: list[Service] = []
    settings = [config]

    @contextmanager
    def open_one() -> Iterator[Service]:
        service = Service.open(settings[-1])
        opened.append(service)
        yield service
        opened.remove(service)
        service.close()

    with Current(open_one) as current, ThreadPoolExecutor(2) as threads:
        client = Client(current)
        first = threads.submit(client.get, "/papers.atom?q=causal")
        assert slow.was_asked.wait(30)
        fog = Feed(name="fog", title="Fog", query="fog")
        settings.append(msgspec.structs.replace(config, feeds={"fog": fog}))
        reloading = threads.submit(current.reload)
        wait_until(lambda: "fog" in current.config.feeds)
        assert Client(current).get("/feeds/causal").status_code == 404
        assert len(opened) == 2, "the old one is needed"
        slow.may_answer.set()
        answer = first.result(30)
        assert (answer.status_code, b"Causal fog" in answer.data) == (200, True)
        answer.close()
        reloading.result(30)
        assert len(opened) == 1
        assert Client(current).get("/feeds/fog.atom").status_code == 200
        assert current.ready(create_environ("/none")) is None
    assert not opened
    assert is_free(config.cache_dir, upstream)


@pytest.mark.parametrize("error", [ConfigError(["colour: no such"]), OSError("no such luck")])
def test_whatever_is_wrong_with_new_settings_the_old_ones_stay(
    service: Service, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    @contextmanager
    def open_one() -> Iterator[Service]:
        yield service

    answers = iter([open_one()])

    def opened() -> object:
        try:
            return next(answers)
        except StopIteration:
            raise error from None

    with Current(opened) as current:  # type: ignore[arg-type]  # it is one, or raises
        current.reload()
        assert Client(current).get("/healthz").status_code == 200
    assert "the settings stay as they were" in caplog.text
    assert str(error) in caplog.text


def test_a_request_that_breaks_is_no_longer_under_way(service: Service) -> None:
    @contextmanager
    def open_one() -> Iterator[Service]:
        yield service

    with Current(open_one) as current:
        with pytest.raises(KeyError):
            current({}, lambda *_: lambda _: None)
        current.reload()  # which waits for what is under way
