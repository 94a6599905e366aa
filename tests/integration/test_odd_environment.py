"""Odd environments, arguments and streams: one line of message and an exit code, no traceback."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from feedsrv.cli import main
from feedsrv.config import Config
from tests.support.server_process import ServerProcess
from tests.support.waiting import wait_until

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in an empty directory, with its own store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEEDSRV_CACHE_DIR", str(tmp_path / "store"))
    monkeypatch.setenv("FEEDSRV_UPSTREAM_URL", "http://127.0.0.1:1")

    def invoke(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(main, arguments, env=environ, catch_exceptions=False)

    return invoke


@pytest.mark.parametrize("command", [("check",), ("serve",), ("get", "/healthz")])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks4://127.0.0.1:1080"),
        ("HTTP_PROXY", "http://[::1"),
        ("SSL_CERT_FILE", "/none"),
        ("SSL_CERT_DIR", "/none"),
        ("SSLKEYLOGFILE", "/none/keys"),
        ("PORT", "tcp://10.0.0.1:8000"),
        ("FEEDSRV_CACHE_DIR", "~nobody-here/x"),
        ("FEEDSRV_CACHE_DIR", "/dev/null/x"),
        ("FEEDSRV_CACHE_DIR", "/dev/null"),
        ("FEEDSRV_PUBLIC_URL", "http://\udcff"),
        ("FEEDSRV_STORE_URL", "rediss://a.b?ssl_ca_certs=/none"),
    ],
)
def test_each_command_names_an_invalid_variable(
    run: Run, command: tuple[str, ...], variable: str, value: str
) -> None:
    result = run(*command, **{variable: value})
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"feedsrv: environment: {variable}: ")


def test_an_endless_file_of_settings_exits_with_2(run: Run) -> None:
    result = run("--config", "/dev/zero", "check")
    assert result.exit_code == 2
    assert result.stderr == "feedsrv: /dev/zero: cannot be read: File too large\n"


@pytest.mark.parametrize("host", ["a..b", "", "[::1]", "127.0.0.1:80", "fe80::1%lo"])
def test_a_malformed_host_exits_with_2(run: Run, host: str) -> None:
    result = run("serve", "--host", host)
    assert result.exit_code == 2
    assert result.stderr.startswith("feedsrv: command line: host: expected a host name")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "http://[::1]:8301/"),
        ("fd00::2", "http://[fd00::2]:8301/"),
        ("::", "http://localhost:8301/"),
        ("10.0.0.1", "http://10.0.0.1:8301/"),
    ],
)
def test_the_printed_address_is_a_valid_url(
    run: Run, monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    def run_server(_: Config, __: object, on_started: Callable[[int], None]) -> None:
        on_started(8301)

    monkeypatch.setattr("feedsrv.cli.serve.run_server", run_server)
    result = run("serve", "--host", host)
    assert f"at {url}\n" in result.stderr
    assert f"{url}papers.atom?q=causal" in result.stderr


@pytest.mark.parametrize(
    ("target", "code", "body"),
    [
        ("/\udcff", 2, '"status":404'),
        ("/papers.atom?q=\udcff", 2, "must be encoded as UTF-8"),
        ("http://[", 2, '"status":404'),
        ("//[", 2, '"status":404'),
        ("/healthz#x[", 0, "ok"),
        ("healthz", 0, "ok"),
        ("/healthz?a=%zz&\x01=\n", 0, "ok"),
        ("/feeds.opml?format=\udc80", 2, '"status":400'),
        ("/a b\n\0c", 2, '"status":404'),
    ],
)
def test_odd_bytes_in_a_requested_path_are_percent_encoded(
    run: Run, target: str, code: int, body: str
) -> None:
    result = run("get", "--demo", target)
    assert result.exit_code == code
    assert body in result.stdout


def test_a_query_of_odd_bytes_is_a_query_error(run: Run) -> None:
    result = run("explain", "--demo", "fog \udcff")
    assert result.exit_code == 2
    assert "this character is not allowed" in result.stderr


@pytest.mark.parametrize(
    ("command", "code", "stderr"),
    [
        ("get --demo /healthz >/dev/full", 1, "feedsrv: [Errno 28] No space left on device\n"),
        ("check --settings >&-", 0, ""),
        ("--config /none check 2>/dev/full", 2, ""),
    ],
)
def test_streams_that_cannot_be_written_change_no_exit_code(
    command: str, code: int, stderr: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        f"exec {sys.executable} -m feedsrv {command}",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr == stderr


def test_text_that_the_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "pätze-\udcff.toml"
    file.write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "feedsrv", "--config", str(file), "check", "--settings"],
        env=os.environ | {"PYTHONIOENCODING": "latin-1:strict"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"p\xe4tze-\\udcff.toml" in done.stdout


def test_a_server_survives_a_reload_right_after_its_start() -> None:
    server = ServerProcess("--demo", "--port", "0")
    try:
        status = Path(f"/proc/{server.process.pid}/status")
        # The mask of ignored signals, of which SIGHUP is the first.
        wait_until(lambda: re.search(r"SigIgn:\s+\w*[13579bdf]\n", status.read_text()) is not None)
        server.process.send_signal(signal.SIGHUP)
        server.wait_until_started()
        assert not server.errors()
    finally:
        server.process.kill()
        server.wait()
