"""The command, in the process and as the processes that people start."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feedparser
import pytest
from click.testing import CliRunner, Result
from werkzeug.wrappers import Response

from feedsrv import __version__
from feedsrv.cli import main
from tests.support.stores import disk_store
from tests.support.upstream import FakeUpstream, make_raw_paper

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in a folder without settings, with a store of its own."""
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


def test_get_shows_status_and_headers_when_asked(run: Run) -> None:
    result = run("get", "--demo", "-i", "/healthz")
    assert result.stdout_bytes.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
    assert result.stdout_bytes.endswith(b"\r\n\r\nok\n")


@pytest.mark.parametrize(
    ("path", "code"), [("/papers.atom?q=%28", 2), ("/feeds/none.atom", 2), ("/papers.atom", 1)]
)
def test_get_tells_by_its_exit_code_whose_fault_it_was(run: Run, path: str, code: int) -> None:
    result = run("get", path, FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1")
    assert result.exit_code == code
    assert '"status"' in result.stdout


def test_check_says_that_all_is_well(run: Run, upstream: FakeUpstream, tmp_path: Path) -> None:
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "settings   good, 0 feeds (none found, defaults)"
    assert f"store      good, {tmp_path / 'store'}" in result.stdout
    assert re.search(r"upstream   good, 3 papers on \d{4}-\d\d-\d\d\n", result.stdout)


def test_check_tells_when_upstream_is_read_from_its_cards(run: Run, upstream: FakeUpstream) -> None:
    def cards_only(path: str) -> Response:
        return Response(
            '<time datetime="2026-11-24"></time>'
            '<article><h3><a href="/papers/2611.00001">A title</a></h3></article>'
        )

    upstream.intercept = cards_only
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert "1 papers on 2026-11-24, but from its cards" in result.stdout


def test_check_names_papers_that_were_left_out(run: Run, upstream: FakeUpstream) -> None:
    upstream.papers += [make_raw_paper(number) for number in range(10, 21)]
    upstream.papers.append(make_raw_paper(99, title=17))
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert re.search(
        r"^layout     CHANGED\?: left out of day \S+: 2611.00099: Expected `str`",
        result.stdout,
        re.MULTILINE,
    )


@pytest.mark.parametrize(("prefix", "code"), [("/papers", 0), ("/", 1)])
def test_check_names_the_page_that_could_not_be_read_until_it_is_deleted(
    run: Run, upstream: FakeUpstream, tmp_path: Path, prefix: str, code: int
) -> None:
    upstream.inject_fault("nolist", prefix)
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == code
    assert ("good, 3 papers" in result.stdout) is (code == 0)
    assert ("but from the JSON API" in result.stdout) is (code == 0)
    file = tmp_path / "store" / "unreadable" / "day.html"
    today = datetime.now(UTC).date()
    told = (
        f"layout     CHANGED?: an unreadable day page of {today} is kept at {file};"
        " please report it, then delete it\n"
    )
    assert told in result.stdout
    upstream.recover()
    result = run("check", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert told in result.stdout
    for kept in file.parent.iterdir():
        kept.unlink()
    assert "layout" not in run("check", FEEDSRV_UPSTREAM_URL=upstream.url).stdout


def test_check_names_each_thing_that_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run(
        "check",
        FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1",
        FEEDSRV_CACHE_DIR=str(tmp_path / "file"),
    )
    assert result.exit_code == 1
    assert "store      FAILS: the store at" in result.stdout
    assert "upstream   FAILS: request failed" in result.stdout


# --- check --upstream, the canary --------------------------------------------------------------


def test_the_canary_says_that_all_is_as_expected(run: Run, upstream: FakeUpstream) -> None:
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    assert result.stdout == (
        f"upstream   reachable, {upstream.url}\n"
        "layout     as expected\n"
        f"papers     3 on {result.stdout.split()[-1]}\n"
    )
    assert all(path.startswith("/papers/date/") for path in upstream.requests)


def test_the_canary_fails_when_the_layout_changed(run: Run, upstream: FakeUpstream) -> None:
    upstream.inject_fault("nolist", "/papers")
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    assert "CHANGED: its data cannot be read, but from the JSON API\n" in result.stdout
    assert "papers     3 on " in result.stdout


def test_the_canary_fails_when_papers_are_left_out(run: Run, upstream: FakeUpstream) -> None:
    upstream.papers += [make_raw_paper(number) for number in range(10, 21)]
    upstream.papers.append(make_raw_paper(99, title=17))
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    assert "layout     CHANGED: left out: 2611.00099: Expected `str`" in result.stdout


def test_the_canary_fails_when_upstream_does(run: Run) -> None:
    result = run("check", "--upstream", FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "feedsrv: request failed" in result.stderr
    assert result.stdout == ""


def test_the_canary_keeps_to_the_allowance_and_the_lease(
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


def test_settings_that_cannot_be_used_are_all_named_and_exit_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('port = "x"\ncolour = 1\n[feeds.a]\nquery = "(a"\n')
    for command in (("check",), ("serve",), ("get", "/healthz"), ("explain", "a")):
        result = run("--config", str(tmp_path / "my.toml"), *command)
        assert result.exit_code == 2
        for fragment in ("port: Expected `int`", "colour: there is no such", "feeds.a.query"):
            assert fragment in result.stderr
        assert "\n(a\n" in result.stderr.replace("feedsrv: (a", "(a"), "the place is pointed at"


def test_explain_shows_how_a_query_is_read_and_what_matches_where(
    run: Run, upstream: FakeUpstream
) -> None:
    result = run(
        "explain",
        "causal (upvotes:>=20 OR has:code OR title:light*) -ferries",
        FEEDSRV_UPSTREAM_URL=upstream.url,
    )
    assert result.exit_code == 0
    drawn, _, found = result.stdout.partition("\n\n")
    assert drawn.splitlines() == [
        "all of",
        "├── “causal” in any form, in title, abstract or keywords",
        "├── any of",
        "│   ├── upvotes >= 20",
        "│   ├── links code",
        "│   └── words that begin “light”, in title",
        "└── none of",
        "    └── “ferries” in any form (stem “ferri”), in title, abstract or keywords",
    ]
    assert "searched for at Hugging Face: causal light\n" in found
    assert "2611.00001  Causal lighthouses\n" in found
    for place in ("title: causal", "title: light*", "upvotes: 30", "code: https://github.com/e/x"):
        assert f"            {place}\n" in found
    assert "2611.00003" not in found


def test_explain_says_when_there_is_nothing_to_search_for(run: Run) -> None:
    result = run("explain", "--demo", "-hallucination", "--limit", "2")
    assert "nothing, it has no words" in result.stdout


def test_explain_points_at_what_cannot_be_read(run: Run) -> None:
    result = run("explain", "--demo", "causal (a")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-2:] == ["causal (a", "         ^"]


def test_refresh_reads_what_is_not_fresh_and_says_so_in_lines(
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
    assert lines[-1] == "Everything is fresh."
    again = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert again.stdout == "Everything is fresh.\n"


def test_refresh_tells_by_its_exit_code_that_something_failed(
    run: Run, upstream: FakeUpstream, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 1\n")
    upstream.intercept = lambda path: Response("", 500) if "month" in path else None
    command = ("--config", str(tmp_path / "my.toml"), "refresh")
    result = run(*command, FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 1
    assert re.search(r"^month \S+: FAILED: HTTP 500", result.stdout, re.MULTILINE)
    assert result.stdout.endswith("1 could not be read.\n")
    assert "trending: 5 papers" in result.stdout


def test_refresh_shows_a_bar_on_a_terminal(upstream: FakeUpstream, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("spacing = 0\nhistory_days = 2\n")
    mine, theirs = os.openpty()
    environment = os.environ | {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_CONFIG": str(tmp_path / "my.toml"),
        "TERM": "xterm",
        "COLUMNS": "100",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "refresh"], stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO when the other side has closed
        while part := os.read(mine, 65536):
            shown += part
    assert process.wait(20) == 0
    os.close(mine)
    assert b"5/5" in shown
    assert b"Everything is fresh." in shown


def test_the_version_is_told_by_the_command_and_as_a_module(run: Run) -> None:
    assert run("--version").stdout == f"feedsrv {__version__}\n"
    found = subprocess.run(
        [sys.executable, "-m", "feedsrv", "--version"], check=True, capture_output=True, text=True
    )
    assert found.stdout == f"feedsrv {__version__}\n"
