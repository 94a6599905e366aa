"""The documentation: its examples work, and its tables are complete.

Every fenced block is run or parsed, by the language named after its fence. A language that is not
in `CHECKS`, or a command that is in neither `RUN` nor `NOT_RUN`, is a failure.
"""

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
from werkzeug.wrappers import Response

from feedsrv.cli import main
from feedsrv.config import ENVIRONMENT_VARIABLES, Config, build_config
from feedsrv.models import INTERNAL_FEED_FIELDS, Feed
from feedsrv.upstream.demo import load_sample_papers
from tests.support.feed_readers import require_program
from tests.support.paths import ROOT
from tests.support.server_process import start_server
from tests.support.servers import serve_wsgi
from tests.support.upstream import FakeUpstream

PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("config/**/*.md")})


class Block(NamedTuple):
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def find_blocks() -> Iterator[Block]:
    fence = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in fence.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(page, line, match[2].strip(), match[3])


BLOCKS = list(find_blocks())


# --- shell -------------------------------------------------------------------------------------

#: Commands that are run in the clone, with the example server on another port.
RUN = {"curl", "feedsrv", "export", "echo", "cat", "cd", "mkdir", "python3", "["}
#: Commands that are not run, and why; a block with one of them is only parsed by `bash -n`.
NOT_RUN = {
    "git": "clones or changes the repository",
    "make": "runs the tests itself",
    "sudo": "changes the machine",
    "apt": "changes the machine",
    "apt-get": "changes the machine",
    "docker": "needs a daemon",
    "podman": "likewise",
    "systemctl": "needs systemd as the first process",
    "journalctl": "likewise",
    "crontab": "changes the machine",
    "nginx": "needs root and a host name",
    "caddy": "likewise",
    "pipx": "installs from the network",
    "pip": "likewise",
    "python": "runs pip: likewise",
    "kill": "needs a process of the reader",
    "pkill": "likewise",
    "gunicorn": "is not installed",
}


def command_names(script: str) -> list[str]:
    """Return the names of the commands of a script."""
    replacements = ((r"\\\n", " "), (r"'[^']*'", "x"), (r'"[^"]*"', "x"), (r"#.*", ""))
    for pattern, replacement in replacements:
        script = re.sub(pattern, replacement, script)
    commands = (part.split() for part in re.split(r"\n|&&|\|\||\||;", script))
    without_variables = ([w for w in words if not re.match(r"\w+=", w)] for words in commands)
    return [words[0].rpartition("/")[2] for words in without_variables if words]


@pytest.fixture(scope="module")
def example(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Run the server of the examples; return replacements for its addresses, and an environment."""
    upstream_app = FakeUpstream(load_sample_papers(), lambda: datetime.now(UTC).date())
    directory = tmp_path_factory.mktemp("example")
    settings = directory / "one-day.toml"  # to be read in a second
    settings.write_text("history_days = 1\n[feeds.causal]\nquery = 'paper OR we'\n")
    with serve_wsgi(upstream_app) as upstream, serve_wsgi(Response("ok")) as webhook:
        environ = {"FEEDSRV_UPSTREAM_URL": upstream, "FEEDSRV_CACHE_DIR": str(directory / "store")}
        with start_server(environ=environ) as server:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            replacements = {
                "localhost:8000": server.url.removeprefix("http://"),
                "/srv/www": str(directory / "www"),
                "feedsrv digest": f"feedsrv --config {settings} digest --demo",
                "https://api.telegram.org": webhook,
            }
            environ |= dict.fromkeys(("SLACK_WEBHOOK_URL", "DISCORD_WEBHOOK_URL"), webhook)
            environ |= dict.fromkeys(("BOT_TOKEN", "CHAT_ID"), "1")
            yield replacements, os.environ | environ | {"PATH": path}


def check_shell(block: Block, request: pytest.FixtureRequest) -> None:
    names = command_names(block.text)
    unknown = {name for name in names if name not in RUN | NOT_RUN.keys()}
    assert not unknown, f"{block}: add these commands to RUN or NOT_RUN: {unknown}"
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    if NOT_RUN.keys() & set(names):
        return
    replacements, environ = request.getfixturevalue("example")
    script = block.text
    for shown, actual in replacements.items():
        script = script.replace(shown, actual)
    if "feedsrv serve" in script:
        check_server_start(
            script.replace("feedsrv serve", "exec feedsrv serve --demo --port 0"), environ
        )
        return
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def check_server_start(script: str, environ: dict[str, str]) -> None:
    """Start a server, wait for its address, and stop it."""
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
        output = ""
        while "reader: http://" not in output:
            line = server.stderr.readline()
            assert line, output
            output += line
        server.terminate()
        assert server.wait(30) == 0


# --- other languages ---------------------------------------------------------------------------


def check_console(block: Block, request: pytest.FixtureRequest) -> None:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        program, *arguments = shlex.split(command)
        assert program == "feedsrv"
        if arguments[0] in {"get", "check", "explain"}:
            arguments.insert(1, "--demo")
        store = str(request.getfixturevalue("tmp_path"))
        result = CliRunner().invoke(main, arguments, env={"FEEDSRV_CACHE_DIR": store})
        beginning, _, _ = output.partition("...")
        assert result.exit_code == (2 if "feedsrv:" in output else 0), result.output
        assert result.output.startswith(beginning)


def check_toml(block: Block, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue("tmp_path")
    (folder / "library.bib").write_text("@misc{quill, eprint = {2611.01234}}")
    build_config(tomllib.loads(block.text), str(folder / block.page.name), {}, {})


def check_json(block: Block, _: pytest.FixtureRequest) -> None:
    json.loads(block.text)


def check_ini(block: Block, _: pytest.FixtureRequest) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(block.text)


def check_prometheus(block: Block, request: pytest.FixtureRequest) -> None:
    require_program("promtool", "prometheus")
    file = request.getfixturevalue("tmp_path") / "prometheus.yml"
    file.write_text(block.text)
    subprocess.run(["promtool", "check", "config", "--syntax-only", str(file)], check=True)


def check_redis(block: Block, _: pytest.FixtureRequest) -> None:
    require_program("redis-server")
    command = ["redis-server", "-", "--port", "0"]  # exits after reading its configuration
    done = subprocess.run(
        command, input=block.text, capture_output=True, text=True, check=False, timeout=30
    )
    assert "Configured to not listen anywhere" in done.stdout, done.stdout


def check_text(block: Block, _: pytest.FixtureRequest) -> None:
    """Plain text, such as a diagram, has nothing to run."""


CHECKS: dict[str, Callable[[Block, pytest.FixtureRequest], None]] = {
    "sh": check_shell,
    "console": check_console,
    "toml": check_toml,
    "json": check_json,
    "ini": check_ini,
    "redis": check_redis,
    "text": check_text,
    "yaml": check_prometheus,
}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_examples_work(
    block: Block, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert block.language in CHECKS, f"{block}: add {block.language!r} to CHECKS"
    CHECKS[block.language](block, request)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_belongs_to_a_block(page: Path) -> None:
    fences = re.findall(r"^ *```", page.read_text("utf-8"), re.MULTILINE)
    assert len(fences) == 2 * sum(block.page == page for block in BLOCKS)


@pytest.mark.parametrize(
    ("language", "text"),
    [("sh", "frobnicate --now\n"), ("sh", "feedsrv get /nothing\n"), ("xyz", "")],
)
def test_a_block_that_fails_or_has_no_check_is_a_failure(
    language: str, text: str, request: pytest.FixtureRequest
) -> None:
    block = Block(ROOT / "README.md", 1, language, text)
    with pytest.raises((AssertionError, KeyError)):
        CHECKS[block.language](block, request)


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_and_headings_resolve(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)", page.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


# --- completeness ------------------------------------------------------------------------------


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs/README.md").read_text("utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


#: Settings that belong to commands, not to operators.
INTERNAL_SETTINGS = {"demo", "static_export", "network"}


def documented_settings() -> dict[str, str]:
    """Return the table rows of docs/configuration.md, by the name in their first column."""
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", text, re.MULTILINE))


def test_every_setting_is_documented_with_its_default() -> None:
    rows = documented_settings()
    for field in msgspec.structs.fields(Config):
        if field.name in {"feeds", *INTERNAL_SETTINGS}:
            continue
        assert field.name in rows, f"{field.name} is not in docs/configuration.md"
        if isinstance(field.default, str | int | float) and field.default:
            default = json.dumps(field.default)
            assert f"`{default}`" in rows[field.name], f"{field.name}: {default}"


def test_every_setting_of_a_feed_is_documented() -> None:
    rows = documented_settings()
    for field in msgspec.structs.fields(Feed):
        assert field.name in INTERNAL_FEED_FIELDS or f"feeds.NAME.{field.name}" in rows, field.name


def test_every_environment_variable_is_documented() -> None:
    rows = documented_settings()
    for variable, name in {**ENVIRONMENT_VARIABLES, "FEEDSRV_CONFIG": "settings file"}.items():
        assert name in rows[variable]


def test_only_existing_settings_are_documented() -> None:
    settings = {field.name for field in msgspec.structs.fields(Config)} - INTERNAL_SETTINGS
    feed_settings = {f"feeds.NAME.{field.name}" for field in msgspec.structs.fields(Feed)}
    existing = settings | feed_settings | ENVIRONMENT_VARIABLES.keys() | {"FEEDSRV_CONFIG"}
    assert documented_settings().keys() <= existing


def test_the_included_file_names_every_setting() -> None:
    text = (ROOT / "config/feedsrv.toml").read_text("utf-8")
    for field in msgspec.structs.fields(Config):
        if field.name not in {"feeds", "hf_token", "mail_password", *INTERNAL_SETTINGS}:
            pattern = rf"^# (?:{field.name} = |\[{field.name}\]$)"
            assert re.search(pattern, text, re.MULTILINE), field.name


def architecture_tree() -> set[str]:
    """Return the files and directories of the tree in docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    paths, directory = set(), ""
    for indent, name in re.findall(r"^( {2}| {4})([\w.]+/?) {2,}\S", text, re.MULTILINE):
        if name.endswith("/"):
            directory = name
        paths.add(name if len(indent) == 2 else directory + name)
    return paths


def test_the_architecture_lists_every_module_and_no_other() -> None:
    root = ROOT / "feedsrv"
    modules = {file.relative_to(root).as_posix() for file in root.rglob("*.py")}
    packages = {f"{path.rpartition('/')[0]}/" for path in modules if "/" in path}
    expected = {path for path in modules if not path.endswith("__init__.py")} | packages
    assert architecture_tree() == expected


def test_the_architecture_names_existing_modules() -> None:
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    for name in re.findall(r"`(\w+/\w+)`", text):
        assert (ROOT / "feedsrv" / f"{name}.py").exists(), name


def test_the_readme_counts_the_libraries_that_feedsrv_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    locked = re.findall(
        r"^([\w.-]+)==", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE
    )
    counts = re.search(r"(\d+) libraries from PyPI, (\d+) with", (ROOT / "README.md").read_text())
    assert counts is not None
    assert counts.groups() == (str(len(project["dependencies"])), str(len(set(locked))))
