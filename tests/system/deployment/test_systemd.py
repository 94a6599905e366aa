"""The systemd unit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.feed_readers import require_program
from tests.support.paths import ROOT


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    require_program("systemd-analyze", "systemd")
    text = (ROOT / "deploy" / "feedsrv.service").read_text("utf-8")
    program = Path(sys.executable).parent / "feedsrv"
    file = tmp_path / "feedsrv.service"
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


def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    assert str(unit) not in systemd_analyze("verify", "--man=no", str(unit))


def test_systemd_counts_the_unit_among_the_well_hardened(unit: Path) -> None:
    said = systemd_analyze("security", "--offline=true", "--no-pager", "--threshold=15", str(unit))
    assert "OK" in said.splitlines()[-1]
