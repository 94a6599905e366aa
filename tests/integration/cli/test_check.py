"""`feedsrv check`."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from click.testing import Result
from werkzeug.wrappers import Response

from tests.support.servers import serve_wsgi
from tests.support.stores import disk_store
from tests.support.upstream import FakeUpstream, make_raw_paper

Run = Callable[..., Result]


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


def test_check_reports_each_failure(run: Run) -> None:
    result = run("check", FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1", FEEDSRV_CACHE_DIR="/proc/none")
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
