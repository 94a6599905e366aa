"""What all commands have in common."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from feedsrv import __version__

Run = Callable[..., Result]


def test_invalid_settings_are_all_reported_and_exit_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('port = "x"\ncolour = 1\n[feeds.a]\nquery = "(a"\n')
    for command in (("check",), ("serve",), ("get", "/healthz"), ("explain", "a")):
        result = run("--config", str(tmp_path / "my.toml"), *command)
        assert result.exit_code == 2
        for fragment in (
            "port: expected a whole number",
            "colour: unknown setting",
            "feeds.a.query",
        ):
            assert fragment in result.stderr
        assert "\n  (a\n    ^\n" in result.stderr, "a caret marks the position"


def test_the_version_is_printed_by_the_command_and_the_module(run: Run) -> None:
    assert run("--version").stdout == f"feedsrv {__version__}\n"
    done = subprocess.run(
        [sys.executable, "-m", "feedsrv", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout == f"feedsrv {__version__}\n"
