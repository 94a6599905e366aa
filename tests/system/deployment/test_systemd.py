"""The systemd unit."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.feed_readers import require_program
from tests.support.paths import ROOT


@pytest.fixture(params=["feedsrv.service", "feedsrv-mail.service"])
def unit(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a unit file whose program exists."""
    require_program("systemd-analyze", "systemd")
    file = tmp_path / str(request.param)
    text = (ROOT / "deploy" / file.name).read_text("utf-8")
    program = Path(sys.executable).parent / "feedsrv"
    file.write_text(text.replace("/opt/feedsrv/bin/feedsrv", str(program)))
    return file


def systemd_analyze(*arguments: str) -> str:
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


def test_systemd_analyze_accepts_the_unit(unit: Path) -> None:
    assert str(unit) not in systemd_analyze("verify", "--man=no", str(unit))


def test_systemd_analyze_rates_the_unit_as_hardened(unit: Path) -> None:
    output = systemd_analyze(
        "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)
    )
    assert "OK" in output.splitlines()[-1]


def test_systemd_analyze_parses_the_mail_timer() -> None:
    require_program("systemd-analyze", "systemd")
    text = (ROOT / "deploy" / "feedsrv-mail.timer").read_text("utf-8")
    (schedule,) = (line for line in text.splitlines() if line.startswith("OnCalendar="))
    assert "Normalized form: *-*-* *:20:00" in systemd_analyze(
        "calendar", schedule.partition("=")[2]
    )
