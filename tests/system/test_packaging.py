"""The built packages can be installed and run outside a clone."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from feedsrv import __version__
from tests.support.feed_readers import require_program
from tests.support.http import fetch_body
from tests.support.paths import ROOT

UV = Path(sys.executable).with_name("uv")


def run_command(*command: str | Path, **environ: str) -> str:
    """Run a program and return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FEEDSRV_")}
    completed = subprocess.run(
        command,
        env=clean | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout
    return completed.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run_command(UV, "build", "--quiet", "--out-dir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def constraints(built: Path) -> Path:
    """Return a file of locked versions, so that a new release of a library breaks no test."""
    locked = (ROOT / "requirements.txt").read_text("utf-8")
    file = built / "constraints.txt"
    # With environment markers, but without hashes, which pip would then require for the wheel.
    file.write_text("\n".join(re.findall(r"^[\w.-]+==[^\\\n]+", locked, re.MULTILINE)))
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, constraints: Path) -> Path:
    """Return the command, installed from the wheel into an empty venv."""
    venv = wheel.parent / "venv"
    run_command(UV, "venv", "--quiet", "--python", sys.executable, venv)
    python = venv / "bin" / "python"
    run_command(UV, "pip", "install", "--quiet", "--python", python, "-c", constraints, wheel)
    return venv / "bin" / "feedsrv"


def is_serving(program: Path, folder: Path) -> None:
    """Check that the program serves the sample papers outside a clone."""
    with subprocess.Popen(
        [program, "serve", "--demo", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.defpath},
    ) as process:
        try:
            assert process.stderr is not None
            log = ""
            while not (found := re.search(r"reader: http://localhost:(\d+)/", log)):
                line = process.stderr.readline()
                assert line, log
                log += line
            server = f"http://127.0.0.1:{found[1]}"
            assert b"<entry>" in fetch_body(f"{server}/papers.atom?q=causal")
            assert b"static/style.css" in fetch_body(f"{server}/")
            assert fetch_body(f"{server}/static/page.js")
        finally:
            process.kill()


def test_the_version_is_the_same_in_files_and_command(built: Path, installed: Path) -> None:
    names = {file.name for file in built.iterdir() if file.suffix in {".gz", ".whl"}}
    assert names == {f"feedsrv-{__version__}.tar.gz", f"feedsrv-{__version__}-py3-none-any.whl"}
    assert run_command(installed, "--version") == f"feedsrv {__version__}\n"


def test_the_wheel_contains_only_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        tops = {name.split("/")[0] for name in opened.namelist()}
        packaged = {name for name in opened.namelist() if name.startswith("feedsrv/")}
    assert tops == {"feedsrv", f"feedsrv-{__version__}.dist-info"}
    tracked = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "feedsrv").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert packaged == tracked


def test_the_sdist_contains_the_files_that_the_tests_need(built: Path) -> None:
    (file,) = built.glob("*.tar.gz")
    with tarfile.open(file) as opened:
        packaged = {name.partition("/")[2] for name in opened.getnames()}
    expected = {*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "tests" / "support").glob("*.py")}
    expected |= {path for name in ("bench", "scripts") for path in (ROOT / name).glob("*.py")}
    expected.add(ROOT / "tests" / "unit" / "search" / "data" / "forms.tsv")
    expected |= {
        *(ROOT / "deploy").iterdir(),
        ROOT / "Dockerfile",
        ROOT / "config" / "feedsrv.toml",
    }
    missing = {each.relative_to(ROOT).as_posix() for each in expected} - packaged
    assert not missing


def test_the_wheel_has_the_word_families_and_their_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    assert "feedsrv/search/word_families.txt" in names
    assert any(name.endswith("licenses/feedsrv/search/word_families.LICENSE.txt") for name in names)


def test_the_wheel_runs_in_an_empty_venv(installed: Path, tmp_path: Path) -> None:
    is_serving(installed, tmp_path)


@pytest.mark.slow
def test_pipx_installs_the_wheel(wheel: Path, constraints: Path, tmp_path: Path) -> None:
    require_program("pipx")
    homes = {"PIPX_HOME": f"{tmp_path}/pipx", "PIPX_BIN_DIR": f"{tmp_path}/bin"}
    chosen = f"--pip-args=--constraint={constraints} --no-compile"  # half of the time
    run_command("pipx", "install", "--python", sys.executable, chosen, str(wheel), **homes)
    assert run_command(tmp_path / "bin" / "feedsrv", "--version") == f"feedsrv {__version__}\n"
    is_serving(tmp_path / "bin" / "feedsrv", tmp_path)
