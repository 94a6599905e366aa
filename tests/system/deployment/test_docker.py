"""Dockerfile, compose.yaml and Procfile."""

import json
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.http import free_port, is_ready
from tests.support.paths import ROOT
from tests.support.server_process import start_server
from tests.support.waiting import wait_until


def parse_dockerfile() -> dict[str, list[str]]:
    """Return the arguments of the Dockerfile's instructions by instruction, with joined lines."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name.isupper():
            found.setdefault(name, []).append(rest.strip())
    return found


def test_files_copied_by_the_dockerfile_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    included = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        part
        for line in parse_dockerfile()["COPY"]
        if not line.startswith("--from")
        for part in line.split()[:-1]
    }
    assert copied == included
    assert all((ROOT / part).exists() for part in copied)


def test_the_container_runs_as_an_unprivileged_user() -> None:
    found = parse_dockerfile()
    assert found["USER"] == ["10001:10001"]
    assert len(found["FROM"]) == 2
    assert json.loads(found["CMD"][-1])[:2] == ["feedsrv", "serve"]


def test_the_health_check_succeeds_only_while_the_server_responds() -> None:
    (line,) = parse_dockerfile()["HEALTHCHECK"]
    command = line.partition("CMD ")[2]
    python = f"{shlex.quote(sys.executable)} {command.partition(' ')[2]}"
    with start_server("--demo") as server:
        port = str(server.port)
        healthy = subprocess.run(python, shell=True, env={"PORT": port}, check=False)
    unhealthy = subprocess.run(
        python, shell=True, env={"PORT": port}, check=False, stderr=subprocess.DEVNULL
    )
    assert (healthy.returncode, unhealthy.returncode) == (0, 1)


def test_compose_uses_existing_extras_and_settings_files() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get(
        "optional-dependencies", {}
    )
    used_extras = re.findall(r"EXTRAS: (\w+)", text)
    if extras:
        assert set(used_extras) <= set(extras)
    volumes = re.findall(r"- \./([^:]+):", text)
    assert volumes
    assert all((ROOT / file).exists() for file in volumes)


def test_the_procfile_serves_on_the_port_of_the_environment(tmp_path: Path) -> None:
    name, _, command = (ROOT / "Procfile").read_text("utf-8").strip().partition(": ")
    assert name == "web"
    port = free_port()
    program, *arguments = shlex.split(command)
    assert program == "python"
    environment = {"PORT": str(port), "FEEDSRV_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)}
    environment["FEEDSRV_UPSTREAM_URL"] = "http://127.0.0.1:1"
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    ) as process:
        wait_until(lambda: is_ready(f"http://127.0.0.1:{port}/healthz"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
