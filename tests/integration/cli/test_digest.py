"""`feedsrv digest`: the new papers of a feed, printed once."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from feedsrv.cli import main
from tests.support.servers import serve_wsgi
from tests.support.upstream import FakeUpstream, make_raw_paper

Run = Callable[..., Result]


@pytest.fixture
def site() -> Iterator[FakeUpstream]:
    papers = [
        make_raw_paper(1, title="Causal lighthouses", upvotes=3),
        make_raw_paper(2, title="Causal tides", upvotes=30),
        make_raw_paper(3),
    ]
    site = FakeUpstream(papers, lambda: datetime.now(UTC).date())
    with serve_wsgi(site) as site.url:
        yield site


@pytest.fixture
def run(tmp_path: Path, site: FakeUpstream) -> Run:
    settings = tmp_path / "feedsrv.toml"
    settings.write_text(
        'history_days = 1\nspacing = 0\n[feeds.causal]\ntitle = "Causal"\nquery = "causal"\n'
        'sources = ["daily"]\n[feeds.fog]\nquery = "fog"\nsources = ["daily"]\n'
    )
    environ = {"FEEDSRV_UPSTREAM_URL": site.url, "FEEDSRV_CACHE_DIR": str(tmp_path / "store")}

    def invoke(*arguments: str, **changes: str) -> Result:
        arguments = ("--config", str(settings), "digest", *arguments)
        return CliRunner().invoke(main, arguments, env=environ | changes)

    return invoke


def test_new_papers_are_printed_once(run: Run) -> None:
    first = run("causal")
    assert first.exit_code == 0
    assert first.stdout.startswith(
        "Causal: 2 new papers\n====================\n\n1. Causal tides\n"
    )
    second = run("causal")
    assert (second.exit_code, second.stdout) == (0, "")


def test_a_feed_without_papers_prints_nothing(run: Run) -> None:
    assert (run("fog").exit_code, run("fog").stdout) == (0, "")


def test_since_prints_papers_again_and_does_not_change_the_next_report(run: Run) -> None:
    today = datetime.now(UTC).date()
    assert "2 new papers" in run("causal", "--since", "7d").stdout
    assert "2 new papers" in run("causal").stdout
    assert "2 new papers" in run("causal", "--since", str(today - timedelta(days=4))).stdout
    assert run("causal", "--since", str(today + timedelta(days=1))).stdout == ""


def test_a_report_can_be_printed_as_json(run: Run) -> None:
    report = json.loads(run("causal", "--format", "json").stdout)
    assert report["title"] == "Causal: 2 new papers"
    assert [paper["title"] for paper in report["papers"]] == ["Causal tides", "Causal lighthouses"]
    assert report["papers"][0]["url"] == "https://huggingface.co/papers/2611.00002"


def test_a_report_can_be_printed_as_markdown_or_html(run: Run) -> None:
    markdown = run("causal", "--format", "md").stdout
    assert markdown.startswith("**Causal: 2 new papers**\n\n- [Causal tides](https://")
    assert run("causal+fog", "--format", "html").stdout.startswith("<h2>Causal + fog: 2 new papers")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["none"], "there is no feed called 'none'"),
        (["causal", "--since", "soon"], "expected a day such as 2026-11-20"),
        (["causal", "--since", "99999999d"], "expected a day"),
        (["causal", "--since", "9999d", "--format", "xml"], "is not one of"),
    ],
)
def test_wrong_arguments_are_errors(run: Run, arguments: list[str], reason: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stdout == ""


def test_without_papers_and_upstream_it_fails(run: Run) -> None:
    result = run("causal", FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "nothing fetched from Hugging Face yet" in result.stderr
