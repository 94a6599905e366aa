"""The workflow of deploy/github-pages.yml: what it runs, and what a failed run leaves."""

import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.upstream import FakeUpstream

WORKFLOW = (ROOT / "deploy/github-pages.yml").read_text("utf-8")
SETTINGS = """
history_days = 2
spacing = 0
[feeds.causal]
query = "causal"
"""


def workflow_environ() -> dict[str, str]:
    """Return the environment variables that the workflow sets for its steps."""
    return dict(re.findall(r"^  (FEEDSRV_\w+): (.+)$", WORKFLOW, re.MULTILINE))


@pytest.fixture
def upstream(upstream: FakeUpstream) -> FakeUpstream:
    """An upstream in the time of the process that exports."""
    upstream.today = lambda: datetime.now(UTC).date()
    return upstream


def run_export_step(directory: Path, upstream: FakeUpstream) -> subprocess.CompletedProcess[str]:
    """Run the step that exports, in a checked-out repository."""
    (command,) = re.findall(r"^ {8}run: (feedsrv .+)$", WORKFLOW, re.MULTILINE)
    environ = os.environ | workflow_environ() | {"FEEDSRV_UPSTREAM_URL": upstream.url}
    arguments = [sys.executable, "-m", *shlex.split(command)]
    return subprocess.run(
        arguments, cwd=directory, env=environ, capture_output=True, text=True, check=False
    )


def test_the_store_that_the_workflow_keeps_is_the_one_that_feedsrv_uses() -> None:
    paths = re.findall(r"^ {10}path: (\w+)$", WORKFLOW, re.MULTILINE)
    assert paths == [workflow_environ()["FEEDSRV_CACHE_DIR"]] * 2 + ["site"]


def test_a_run_with_the_store_of_the_last_fetches_nothing_again_and_gives_the_same_files(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    (tmp_path / "feedsrv.toml").write_text(SETTINGS)
    result = run_export_step(tmp_path, upstream)
    assert result.returncode == 0, result.stderr
    feed = (tmp_path / "site/feeds/causal.atom").read_bytes()
    requests = len(upstream.requests)
    assert run_export_step(tmp_path, upstream).returncode == 0
    assert (tmp_path / "site/feeds/causal.atom").read_bytes() == feed
    assert requests > 0
    assert len(upstream.requests) == requests


def test_a_run_without_hugging_face_fails_so_that_nothing_is_published(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    (tmp_path / "feedsrv.toml").write_text(SETTINGS)
    upstream.fail()
    result = run_export_step(tmp_path, upstream)
    assert result.returncode == 1, result.stderr
