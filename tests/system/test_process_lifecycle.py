"""Commands ended by a signal; test_server.py tests the server."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from tests.support.stores import lease_is_free
from tests.support.upstream import FakeUpstream

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command", [("get", "/papers.atom?q=causal"), ("refresh",), ("check",)], ids=" ".join
)
def test_a_command_that_a_signal_ends_releases_the_lease_and_exits_with_128_plus_its_number(
    upstream: FakeUpstream, tmp_path: Path, command: tuple[str, ...], number: signal.Signals
) -> None:
    requested, may_respond = Event(), Event()

    def wait(_: str) -> None:
        requested.set()
        may_respond.wait(60)

    upstream.intercept = wait
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"FEEDSRV_UPSTREAM_URL": upstream.url, "FEEDSRV_CACHE_DIR": str(tmp_path)},
    )
    with process:
        assert requested.wait(30)
        assert not lease_is_free(tmp_path, upstream.url)
        process.send_signal(number)
        may_respond.set()
        stderr = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert b"Traceback" not in stderr
    assert lease_is_free(tmp_path, upstream.url)
