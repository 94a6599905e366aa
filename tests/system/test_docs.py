"""What README and docs show is what happens.

Every fenced block is tried, by the kind that stands behind its fence. One of a kind that `KINDS`
does not know, or with a command that neither `RUN` nor `NOT_RUN` knows, is a failure: say there how
it is to be tried.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from click.testing import CliRunner

from feedsrv.cli import main
from feedsrv.config import ENVIRONMENT_VARIABLES, Config, build_config
from feedsrv.models import Feed
from feedsrv.upstream.demo import load_sample
from tests.support.feed_readers import require_program
from tests.support.paths import ROOT
from tests.support.servers import run_feedsrv, serve_wsgi
from tests.support.upstream import FakeUpstream

PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("config/**/*.md")})


class Block(NamedTuple):
    """What stands between two fences."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks() -> Iterator[Block]:
    fenced = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for page in PAGES:
        text = page.read_text("utf-8")
        for found in fenced.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(page, line, found[2].strip(), found[3])


BLOCKS = list(blocks())


# --- shell -------------------------------------------------------------------------------------

#: Commands that are run, from a clone, with the example's server on another port.
RUN = {"curl", "feedsrv", "export", "echo", "cat", "cd", "mkdir", "python3"}
#: Commands that are not, and why; a block with one of them is read by `bash -n` alone.
NOT_RUN = {
    "git": "a clone of what is here already, or a change to it",
    "make": "its targets are what runs this",
    "sudo": "changes the machine",
    "apt": "changes the machine",
    "apt-get": "changes the machine",
    "docker": "needs a daemon that is not everywhere",
    "podman": "likewise",
    "systemctl": "needs systemd as the first process",
    "journalctl": "likewise",
    "crontab": "changes what the machine does at night",
    "nginx": "needs root and a host's name",
    "caddy": "likewise",
    "pipx": "installs from the network",
    "pip": "likewise",
    "python": "pip's: installs from the network",
    "kill": "ends a process that only the reader has",
    "pkill": "likewise",
    "gunicorn": "is no part of what the suite installs",
}


def commands(text: str) -> list[str]:
    """Return the first words of the commands of a script, variables set before them left out."""
    for quoted, left in ((r"\\\n", " "), (r"'[^']*'", "x"), (r'"[^"]*"', "x"), (r"#.*", "")):
        text = re.sub(quoted, left, text)
    parts = (part.split() for part in re.split(r"\n|&&|\|\||\||;", text))
    words = ([word for word in part if not re.match(r"\w+=", word)] for part in parts)
    return [each[0].rpartition("/")[2] for each in words if each]


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A server as the pages have it: what stands for their places, and a shell's environment."""
    papers = FakeUpstream(load_sample(), lambda: datetime.now(UTC).date())
    folder = tmp_path_factory.mktemp("example")
    with serve_wsgi(papers) as upstream:
        environ = {"FEEDSRV_UPSTREAM_URL": upstream, "FEEDSRV_CACHE_DIR": str(folder / "store")}
        with run_feedsrv(**environ) as (_, url, _said):
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            places = {
                "localhost:8000": url.removeprefix("http://"),
                "/srv/www": str(folder / "www"),
            }
            yield places, os.environ | environ | {"PATH": path}


def run_shell_block(block: Block, request: pytest.FixtureRequest) -> None:
    words = commands(block.text)
    unknown = {word for word in words if word not in RUN | NOT_RUN.keys()}
    assert not unknown, f"{block}: say in test_docs.py how this is tried: {unknown}"
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    if NOT_RUN.keys() & set(words):
        return
    places, environ = request.getfixturevalue("example")
    script = block.text
    for written, meant in places.items():
        script = script.replace(written, meant)
    if "feedsrv serve" in script:  # which does not end by itself
        started_server(
            script.replace("feedsrv serve", "exec feedsrv serve --demo --port 0"), environ
        )
        return
    found = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr


def started_server(script: str, environ: dict[str, str]) -> None:
    """See a server start, and end it."""
    server = subprocess.Popen(
        ["bash", "-euc", script],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stderr is not None
        said = ""
        while "reader: http://" not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
        server.terminate()
        assert server.wait(30) == 0


# --- the others --------------------------------------------------------------------------------


def run_console_block(block: Block, request: pytest.FixtureRequest) -> None:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        program, *arguments = shlex.split(command)
        assert program == "feedsrv"
        if arguments[0] in {"get", "check", "explain"}:
            arguments.insert(1, "--demo")
        store = str(request.getfixturevalue("tmp_path"))
        result = CliRunner().invoke(main, arguments, env={"FEEDSRV_CACHE_DIR": store})
        begin, _, _ = output.partition("...")
        assert result.exit_code == (2 if "feedsrv:" in output else 0), result.output
        assert result.output.startswith(begin)


def check_toml_block(block: Block, _: pytest.FixtureRequest) -> None:
    build_config(tomllib.loads(block.text), block.page.name, {}, {})


def check_json_block(block: Block, _: pytest.FixtureRequest) -> None:
    json.loads(block.text)


def check_ini_block(block: Block, _: pytest.FixtureRequest) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(block.text)


def check_prometheus_block(block: Block, request: pytest.FixtureRequest) -> None:
    require_program("promtool", "prometheus")
    file = request.getfixturevalue("tmp_path") / "prometheus.yml"
    file.write_text(block.text)
    subprocess.run(["promtool", "check", "config", "--syntax-only", str(file)], check=True)


def check_redis_block(block: Block, _: pytest.FixtureRequest) -> None:
    require_program("redis-server")
    command = ["redis-server", "-", "--port", "0"]  # which, once it has read it, has no more to do
    done = subprocess.run(
        command, input=block.text, capture_output=True, text=True, check=False, timeout=30
    )
    assert "Configured to not listen anywhere" in done.stdout, done.stdout


def check_text_block(block: Block, _: pytest.FixtureRequest) -> None:
    """Drawings and the like are looked at by people alone."""


KINDS: dict[str, Callable[[Block, pytest.FixtureRequest], None]] = {
    "sh": run_shell_block,
    "console": run_console_block,
    "toml": check_toml_block,
    "json": check_json_block,
    "ini": check_ini_block,
    "redis": check_redis_block,
    "text": check_text_block,
    "yaml": check_prometheus_block,
}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_a_page_shows_is_what_happens(
    block: Block, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert block.kind in KINDS, f"{block}: say in test_docs.py how a {block.kind!r} is tried"
    KINDS[block.kind](block, request)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_fence_is_missed(page: Path) -> None:
    fences = re.findall(r"^ *```", page.read_text("utf-8"), re.MULTILINE)
    assert len(fences) == 2 * sum(block.page == page for block in BLOCKS)


@pytest.mark.parametrize(
    ("kind", "text"), [("sh", "frobnicate --now\n"), ("sh", "feedsrv get /nothing\n"), ("xyz", "")]
)
def test_a_block_that_nobody_can_try_or_that_fails_is_a_failure(
    kind: str, text: str, request: pytest.FixtureRequest
) -> None:
    block = Block(ROOT / "README.md", 1, kind, text)
    with pytest.raises((AssertionError, KeyError)):
        KINDS[block.kind](block, request)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_links_are_there(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


# --- what must be complete -----------------------------------------------------------------------


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text("utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


#: Settings that no file has: one is a secret, one is for the command line.
NOT_IN_A_FILE = {"hf_token", "demo", "static"}


def documented_names() -> dict[str, str]:
    """Return the rows of the tables of docs/configuration.md, by what their first column names."""
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE))


def test_every_setting_is_described_with_its_default() -> None:
    rows = documented_names()
    for field in msgspec.structs.fields(Config):
        if field.name in {"feeds", "demo", "static"}:
            continue
        assert field.name in rows, f"{field.name} is not in docs/configuration.md"
        if isinstance(field.default, str | int | float) and field.default:
            shown = json.dumps(field.default)
            assert f"`{shown}`" in rows[field.name], f"{field.name}: {shown}"


def test_every_setting_of_a_feed_is_described() -> None:
    rows = documented_names()
    for field in msgspec.structs.fields(Feed):
        assert field.name == "name" or f"feeds.NAME.{field.name}" in rows, field.name


def test_every_variable_is_described() -> None:
    rows = documented_names()
    for variable, name in {**ENVIRONMENT_VARIABLES, "FEEDSRV_CONFIG": "settings file"}.items():
        assert name in rows[variable]


def test_nothing_is_described_that_is_not_there() -> None:
    settings_there = {field.name for field in msgspec.structs.fields(Config)}
    of_feeds = {f"feeds.NAME.{field.name}" for field in msgspec.structs.fields(Feed)}
    there = settings_there | of_feeds | ENVIRONMENT_VARIABLES.keys() | {"FEEDSRV_CONFIG"}
    assert documented_names().keys() <= there


def test_the_shipped_file_names_every_setting() -> None:
    text = (ROOT / "config/feedsrv.toml").read_text("utf-8")
    for field in msgspec.structs.fields(Config):
        if field.name not in {*NOT_IN_A_FILE, "feeds"}:
            named = rf"^# (?:{field.name} = |\[{field.name}\]$)"
            assert re.search(named, text, re.MULTILINE), field.name


def test_the_architecture_names_every_module_and_no_other() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    modules = {path.stem for path in (ROOT / "feedsrv").glob("*.py")} - {"__init__"}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == modules


def test_the_architecture_draws_modules_that_are_there() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    for name in re.findall(r"\(`(\w+)`\)", text):
        assert (ROOT / "feedsrv" / f"{name}.py").exists(), name


def test_the_readme_counts_the_libraries_that_feedsrv_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = re.findall(
        r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE
    )
    said = re.search(r"(\d+) libraries from PyPI, (\d+) with all", (ROOT / "README.md").read_text())
    assert said is not None
    assert said.groups() == (str(len(project["dependencies"])), str(len(set(locked))))
