"""The command, run in-process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from feedsrv.cli import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in an empty directory, with its own store."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **environ: str) -> Result:
        environment = {"FEEDSRV_CACHE_DIR": str(tmp_path / "store")} | environ
        return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)

    return invoke
