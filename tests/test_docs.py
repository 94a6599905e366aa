"""What README and docs show is what happens."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import ROOT
from feedsrv.cli import main

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown() -> list[tuple[str, str]]:
    """Return each command that a page shows, with the output it shows below."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append((command, output))
    return found


@pytest.mark.parametrize(("command", "output"), shown(), ids=[command for command, _ in shown()])
def test_a_command_does_what_the_page_shows(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert program == "feedsrv"
    if arguments[0] in {"get", "check", "explain"}:
        arguments.insert(1, "--demo")
    result = CliRunner().invoke(main, arguments, env={"FEEDSRV_CACHE_DIR": str(tmp_path)})
    begin, _, _ = output.partition("...")
    assert result.exit_code == (2 if "feedsrv:" in output else 0), result.output
    assert result.output.startswith(begin)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_links_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_counts_the_libraries_that_feedsrv_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = re.findall(
        r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE
    )
    said = re.search(r"(\d+) libraries from PyPI, (\d+) with all", (ROOT / "README.md").read_text())
    assert said is not None
    assert said.groups() == (str(len(project["dependencies"])), str(len(set(locked))))
