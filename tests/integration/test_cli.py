"""The commands, run in-process and as processes."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import feedparser
import pytest
from click.testing import CliRunner, Result
from werkzeug.wrappers import Response

from feedsrv import __version__
from feedsrv.cli import main
from tests.support.servers import serve_wsgi
from tests.support.stores import disk_store
from tests.support.upstream import FakeUpstream, make_raw_paper

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in an empty directory, with its own store."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **environ: str) -> Result:
        environment = {"FEEDSRV_CACHE_DIR": str(tmp_path / "store")} | environ
        return CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)

    return invoke


# --- get, check, explain -----------------------------------------------------------------------


def test_get_prints_the_feed(run: Run, upstream: FakeUpstream) -> None:
    result = run("get", "/papers.atom?q=causal", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    feed = feedparser.parse(result.stdout_bytes)
    assert not feed.bozo
    assert feed.feed.links[0].href == "http://localhost:8000/papers.atom?q=causal"


def test_get_prints_status_and_headers_on_request(run: Run) -> None:
    result = run("get", "--demo", "-i", "/healthz")
    assert result.stdout_bytes.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
    assert result.stdout_bytes.endswith(b"\r\n\r\nok\n")


@pytest.mark.parametrize(
    ("path", "code"), [("/papers.atom?q=%28", 2), ("/feeds/none.atom", 2), ("/papers.atom", 1)]
)
def test_the_exit_code_of_get_separates_client_and_server_errors(
    run: Run, path: str, code: int
) -> None:
    result = run("get", path, FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1")
    assert result.exit_code == code
    assert '"status"' in result.stdout


def test_check_succeeds_when_settings_store_and_upstream_work(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "settings   OK, 0 feeds (no file, defaults)"
    assert f"store      OK, {tmp_path / 'store'}" in result.stdout
    assert re.search(r"upstream   OK, 3 papers on \d{4}-\d\d-\d\d\n", result.stdout)


def test_a_settings_check_needs_neither_store_nor_upstream(run: Run, tmp_path: Path) -> None:
    unused = {"FEEDSRV_UPSTREAM_URL": "http://127.0.0.1:1", "FEEDSRV_CACHE_DIR": "/proc/none"}
    result = run("check", "--settings", **unused)
    assert result.exit_code == 0
    assert result.stdout == "settings   OK, 0 feeds (no file, defaults)\n"
    (tmp_path / "my.toml").write_text("port = 'x'\n")
    assert run("--config", "my.toml", "check", "--settings", **unused).exit_code == 2


def test_check_reports_a_list_that_was_read_from_the_cards(
    run: Run, upstream: FakeUpstream
) -> None:
    def cards_only(path: str) -> Response:
        return Response(
            '<time datetime="2026-11-24"></time>'
            '<article><h3><a href="/papers/2611.00001">A title</a></h3></article>'
        )

    upstream.intercept = cards_only
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert "1 papers on 2026-11-24, read from the rendered cards" in result.stdout


def test_check_reports_skipped_papers(run: Run, upstream: FakeUpstream) -> None:
    upstream.papers += [make_raw_paper(number) for number in range(10, 21)]
    upstream.papers.append(make_raw_paper(99, title=17))
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert re.search(
        r"^layout     CHANGED\?: skipped a paper of day \S+: 2611.00099: Expected `str`",
        result.stdout,
        re.MULTILINE,
    )


@pytest.mark.parametrize(("prefix", "code"), [("/papers", 0), ("/", 1)])
def test_check_reports_an_unparsed_page_until_its_file_is_deleted(
    run: Run, upstream: FakeUpstream, tmp_path: Path, prefix: str, code: int
) -> None:
    upstream.inject_fault("nolist", prefix)
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == code
    assert ("OK, 3 papers" in result.stdout) is (code == 0)
    assert ("read from the JSON API" in result.stdout) is (code == 0)
    file = tmp_path / "store" / "unreadable" / "day.html"
    today = datetime.now(UTC).date()
    report = (
        f"layout     CHANGED?: unparsed day page of {today} saved at {file};"
        " please report it, then delete it\n"
    )
    assert report in result.stdout
    upstream.recover()
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert report in result.stdout
    for saved in file.parent.iterdir():
        saved.unlink()
    assert "layout" not in run("check", FEEDSRV_UPSTREAM_URL=upstream.url).stdout


def test_check_reports_each_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run(
        "check",
        FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1",
        FEEDSRV_CACHE_DIR=str(tmp_path / "file"),
    )
    assert result.exit_code == 1
    assert "store      FAILED: the store at" in result.stdout
    assert "upstream   FAILED: request failed" in result.stdout


@pytest.mark.parametrize("status", [200, 401])
def test_check_fetches_without_the_token_first_and_then_with_it(
    run: Run, upstream: FakeUpstream, status: int
) -> None:
    tokens: list[str] = []

    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        tokens.append(environ.get("HTTP_AUTHORIZATION", ""))
        respond = Response("", status) if tokens[-1] and status != 200 else upstream
        return respond(environ, start)

    with serve_wsgi(app) as url:
        result = run("check", FEEDSRV_UPSTREAM_URL=url, FEEDSRV_HF_TOKEN="hf_old")
    assert tokens.index("") < tokens.index("Bearer hf_old")
    assert "upstream   OK, 3 papers" in result.stdout
    accepted = "token      OK, FEEDSRV_HF_TOKEN is accepted\n"
    rejected = "token      FAILED: FEEDSRV_HF_TOKEN is invalid or has expired (HTTP 401)\n"
    assert result.stdout.endswith(accepted if status == 200 else rejected)
    assert result.exit_code == (0 if status == 200 else 1)
    assert "hf_old" not in result.output


def test_pages_are_served_although_the_token_has_expired(run: Run, upstream: FakeUpstream) -> None:
    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        respond = Response("", 401) if "HTTP_AUTHORIZATION" in environ else upstream
        return respond(environ, start)

    with serve_wsgi(app) as url:
        result = run(
            "get", "/papers.atom?q=causal", FEEDSRV_UPSTREAM_URL=url, FEEDSRV_HF_TOKEN="hf_old"
        )
    assert result.exit_code == 0
    assert b"Causal lighthouses" in result.stdout_bytes


# --- check --upstream ------------------------------------------------------------------------


def test_an_upstream_check_succeeds_when_the_layout_is_as_expected(
    run: Run, upstream: FakeUpstream
) -> None:
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert result.stdout == (
        f"upstream   OK, {upstream.url}\n"
        "layout     as expected\n"
        f"papers     3 on {result.stdout.split()[-1]}\n"
    )
    assert all(path.startswith("/papers/date/") for path in upstream.requests)


def test_an_upstream_check_fails_when_the_layout_changed(run: Run, upstream: FakeUpstream) -> None:
    upstream.inject_fault("nolist", "/papers")
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    assert "CHANGED: page data not found, read from the JSON API instead\n" in result.stdout
    assert "papers     3 on " in result.stdout


def test_an_upstream_check_fails_when_papers_are_skipped(run: Run, upstream: FakeUpstream) -> None:
    upstream.papers += [make_raw_paper(number) for number in range(10, 21)]
    upstream.papers.append(make_raw_paper(99, title=17))
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    assert "layout     CHANGED: skipped a paper: 2611.00099: Expected `str`" in result.stdout


def test_an_upstream_check_fails_when_no_paper_has_keywords(
    run: Run, upstream: FakeUpstream
) -> None:
    upstream.papers = [make_raw_paper(number, keywords=[]) for number in range(5)]
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    changed = "no paper has keywords; keyword: looks in titles and abstracts instead"
    assert f"layout     CHANGED: {changed}\n" in result.stdout


def test_an_upstream_check_fails_when_upstream_fails(run: Run) -> None:
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "feedsrv: request failed" in result.stderr
    assert result.stdout == ""


def test_an_upstream_check_respects_the_rate_limit_and_the_lease(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("deadline = 2\n")
    store = disk_store(tmp_path / "store", upstream.url)
    assert store.acquire_lease("somebody else", datetime.now(UTC), timedelta(seconds=8))
    result = run("--config", "my.toml", "check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    store.close()
    assert result.exit_code == 1
    assert "another process is fetching" in result.stderr
    assert upstream.requests == []


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
        assert "\n(a\n" in result.stderr.replace("feedsrv: (a", "(a"), "a caret marks the position"


def test_explain_draws_the_query_and_lists_the_matches_with_their_locations(
    run: Run, upstream: FakeUpstream
) -> None:
    result = run(
        "explain",
        "causal (upvotes:>=20 OR has:code OR title:light*) -ferries",
        FEEDSRV_UPSTREAM_URL=upstream.url,
    )
    assert result.exit_code == 0
    tree, _, matches = result.stdout.partition("\n\n")
    assert tree.splitlines() == [
        "all of",
        "├── “causal” in any form, in title, abstract or keywords",
        "├── any of",
        "│   ├── upvotes >= 20",
        "│   ├── links code",
        "│   └── words that begin with “light”, in title",
        "└── none of",
        "    └── “ferries” in any form, in title, abstract or keywords",
    ]
    assert "Hugging Face search: causal light\n" in matches
    assert "2611.00001  Causal lighthouses\n" in matches
    for location in (
        "title: causal",
        "title: light*",
        "upvotes: 30",
        "code: https://github.com/e/x",
    ):
        assert f"            {location}\n" in matches
    assert "2611.00003" not in matches


def test_explain_reports_a_query_without_search_terms(run: Run) -> None:
    result = run("explain", "--demo", "-hallucination", "--limit", "2")
    assert "Hugging Face search: none" in result.stdout


def test_explain_marks_the_position_of_a_syntax_error(run: Run) -> None:
    result = run("explain", "--demo", "causal (a")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-2:] == ["causal (a", "         ^"]


def test_refresh_fetches_stale_lists_and_prints_a_line_for_each(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 2\n[feeds.a]\nquery = 'fog'\n")
    command = ("--config", str(tmp_path / "my.toml"), "refresh")
    result = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.rpartition(":")[0].split()[0] for line in lines[:-1]] == [
        "day",
        "day",
        "trending",
        "week",
        "month",
        "search",
    ]
    assert lines[0].endswith(": 3 papers")
    assert lines[-1] == "All lists are up to date."
    second_run = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert second_run.stdout == "All lists are up to date.\n"


def test_refresh_exits_with_1_when_a_fetch_failed(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 1\n")
    upstream.intercept = lambda path: Response("", 500) if "month" in path else None
    command = ("--config", str(tmp_path / "my.toml"), "refresh")
    result = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    assert re.search(r"^month \S+: FAILED: HTTP 500", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("1 list could not be fetched.\n")
    assert "trending: 5 papers" in result.stdout


def test_refresh_shows_a_bar_on_a_terminal(upstream: FakeUpstream, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 2\n")
    terminal, process_end = os.openpty()
    environment = os.environ | {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_CONFIG": str(tmp_path / "my.toml"),
        "TERM": "xterm",
        "COLUMNS": "100",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "refresh"],
        stdout=process_end,
        stderr=process_end,
        env=environment,
    )
    os.close(process_end)
    output = b""
    with contextlib.suppress(OSError):  # EIO on Linux when the process has exited
        while part := os.read(terminal, 65536):
            output += part
    assert process.wait(20) == 0
    os.close(terminal)
    assert b"5/5" in output
    assert b"All lists are up to date." in output


def test_the_version_is_printed_by_the_command_and_the_module(run: Run) -> None:
    assert run("--version").stdout == f"feedsrv {__version__}\n"
    done = subprocess.run(
        [sys.executable, "-m", "feedsrv", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout == f"feedsrv {__version__}\n"
