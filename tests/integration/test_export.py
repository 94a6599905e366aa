"""Static exports: the files, what happens when upstream fails, and the command."""

import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from click.testing import CliRunner, Result
from werkzeug.wrappers import Response

from feedsrv.cli import main
from feedsrv.config import Config
from feedsrv.errors import ConfigError, ExportError
from feedsrv.export import ExportResult, export_config, export_site
from feedsrv.models import Feed
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper

BASE = "https://papers.example.org/daily"
SETTINGS = """
history_days = 1
spacing = 0
[feeds.causal]
title = "Causal matters"
query = "causal"
[feeds.sea]
query = "sea"
"""
FILES = {
    *("feeds/causal.atom", "feeds/causal.rss", "feeds/causal.json", "feeds/causal/index.html"),
    *("feeds/causal.bib", "feeds/sea.atom", "feeds/sea.rss", "feeds/sea.json"),
    *("feeds/sea/index.html", "feeds/sea.bib", "index.html", "feeds.opml", "favicon.ico"),
    *(".feedsrv-export", "static/page.js", "static/style.css", "static/icon.png"),
    *("static/favicon.ico",),
}
Write = Callable[..., list[ExportResult]]
Run = Callable[..., Result]


@pytest.fixture
def config(config: Config) -> Config:
    sea = Feed(name="sea", title="By the sea", query="sea", sources=("daily",))
    feeds = config.feeds | {"sea": sea}
    return msgspec.structs.replace(config, feeds=feeds, public_url=BASE, access_key="locked")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "site" / "public"


@pytest.fixture
def write(config: Config, make_service: MakeService, directory: Path) -> Write:
    """Return a function that exports with a new service, as a new process would."""

    def export(**changes: object) -> list[ExportResult]:
        settings = export_config(msgspec.structs.replace(config, **changes))
        with_these = {name: getattr(settings, name) for name in settings.__struct_fields__}
        service = make_service(**with_these)
        for _ in service.refresh_stale():
            pass
        return list(export_site(create_app(service), tuple(settings.feeds), directory))

    return export


def files(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return each file with its content, mtime and inode."""
    found = (file for file in directory.rglob("*") if file.is_file())
    return {
        file.relative_to(directory).as_posix(): (
            file.read_bytes(),
            file.stat().st_mtime_ns,
            file.stat().st_ino,
        )
        for file in found
    }


# --- what is written -------------------------------------------------------------------------


def test_an_export_has_every_feed_in_each_format_with_pages_opml_and_assets(
    write: Write, directory: Path
) -> None:
    assert write() == [
        ExportResult("causal", 5),
        ExportResult("sea", 5),
        ExportResult("front page", 7),
    ]
    assert set(files(directory)) == FILES


@pytest.mark.parametrize("suffix", ["atom", "rss", "json"])
def test_an_exported_feed_equals_the_servers_response(
    write: Write, make_service: MakeService, directory: Path, suffix: str
) -> None:
    write()
    server = create_app(make_service(access_key="")).test_client()
    response = server.get(f"/feeds/causal.{suffix}")
    assert (directory / f"feeds/causal.{suffix}").read_bytes() == response.data
    assert f"{BASE}/feeds/causal.{suffix}" in response.text
    assert (directory / "feeds.opml").read_bytes() == server.get("/feeds.opml").data


def test_no_file_contains_an_access_key(write: Write, directory: Path) -> None:
    write()
    assert set(files(directory)) == FILES
    assert not [name for name, (body, *_) in files(directory).items() if b"key=" in body]


@pytest.mark.parametrize("page", ["index.html", "feeds/causal/index.html"])
def test_links_of_a_page_resolve_under_any_host_and_prefix(
    write: Write, directory: Path, page: str
) -> None:
    write()
    text = unescape((directory / page).read_text("utf-8"))
    links = set(re.findall(r'(?:href|src|action)="([^"#]+)"', text))
    local = {urlsplit(each).path for each in links if not urlsplit(each).scheme}
    assert local
    for path in local:
        target = posixpath.join("prefix", posixpath.dirname(page), unquote(path))
        target = posixpath.normpath(target) + ("/index.html" if path.endswith("/") else "")
        assert target.startswith("prefix/"), path
        assert (directory / target.removeprefix("prefix/")).is_file(), path
    absolute = {urlsplit(each).path for each in links if each.startswith(BASE)}
    for path in absolute:
        file = directory / path.removeprefix("/daily/")
        assert file.is_file() or (file / "index.html").is_file(), path


def test_pages_link_to_nothing_that_needs_a_server(write: Write, directory: Path) -> None:
    write(feeds={"all": Feed(name="all", title="All", limit=2, sources=("daily",))})
    for page in ("index.html", "feeds/all/index.html"):
        text = (directory / page).read_text("utf-8")
        text = text.replace("https://huggingface.co/papers", "").replace(BASE, "")
        for word in ("<form", "/status", "/papers", "?q=", "page=2", "/preview", "just now"):
            assert word not in text, (page, word)
    assert "Papers 1 to 2 of " in text
    assert "<span>lighthouses</span>" in text


# --- what stays unchanged -------------------------------------------------------------------


def test_a_second_export_without_changes_writes_no_file(
    write: Write, clock: Clock, directory: Path
) -> None:
    write()
    before = files(directory)
    clock.forward(hours=3)  # everything is fetched again
    assert {part.written for part in write()} == {0}
    assert files(directory) == before


def test_a_new_paper_changes_the_files_that_list_it(
    write: Write, clock: Clock, upstream: FakeUpstream, directory: Path
) -> None:
    write()
    before = files(directory)
    upstream.papers.append(make_raw_paper(8, title="Causal gulls"))
    clock.forward(hours=3)
    write()
    changed = {name for name, state in files(directory).items() if state != before[name]}
    causal = {name for name in FILES if "causal" in name}
    assert changed == causal | {"index.html"}  # the page counts papers
    assert "Causal gulls" in (directory / "feeds/causal.atom").read_text("utf-8")


def test_files_are_readable_by_a_web_server(write: Write, directory: Path) -> None:
    old = os.umask(0o022)
    try:
        write()
    finally:
        os.umask(old)
    assert {(directory / name).stat().st_mode & 0o777 for name in FILES} == {0o644}


def test_files_of_a_removed_feed_are_deleted_and_foreign_files_stay(
    write: Write, config: Config, directory: Path
) -> None:
    write()
    (directory / "CNAME").write_text("papers.example.org")
    (directory / "feeds" / "mine.atom").write_text("mine")
    parts = write(feeds={"causal": config.feeds["causal"]})
    assert parts[-1].removed == 5
    remaining = {name for name in FILES if "sea" not in name}
    assert set(files(directory)) == remaining | {"CNAME", "feeds/mine.atom"}
    assert not (directory / "feeds" / "sea").exists()


def test_a_manifest_cannot_delete_files_outside_the_directory(
    write: Write, directory: Path
) -> None:
    write()
    outside = directory.parent / "precious"
    outside.write_text("precious")
    with (directory / ".feedsrv-export").open("a") as manifest:
        manifest.write(f"../precious\n{outside}\nfeeds/gone.atom\n\n")
    assert write()[-1].removed == 0
    assert outside.read_text() == "precious"


def test_foreign_files_are_not_overwritten(write: Write, directory: Path) -> None:
    directory.mkdir(parents=True)
    (directory / "index.html").write_text("my home page")
    with pytest.raises(ExportError, match=r"index\.html was not written by an export"):
        write()
    assert list(directory.iterdir()) == [directory / "index.html"]


def test_an_unwritable_directory_is_named_in_the_error(write: Write, directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("a file")
    with pytest.raises(ExportError, match=r"public.*cannot be written"):
        write()


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(
    write: Write, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    before = files(directory)
    (directory / "feeds/causal.atom").write_bytes(b"damaged")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left"):
        write()
    monkeypatch.undo()
    assert set(files(directory)) == set(before)
    assert write()[0].written == 1
    assert (directory / "feeds/causal.atom").read_bytes() == before["feeds/causal.atom"][0]


def full(_: int) -> None:
    raise OSError(28, "No space left on device")


# --- when upstream fails ---------------------------------------------------------------------


def test_stored_papers_are_exported_while_upstream_is_down(
    write: Write, clock: Clock, upstream: FakeUpstream, directory: Path
) -> None:
    write()
    before = files(directory)
    upstream.fail()
    clock.forward(hours=3)
    assert not any(part.error for part in write())
    assert files(directory) == before


def test_without_stored_papers_nothing_is_written(
    write: Write, upstream: FakeUpstream, directory: Path
) -> None:
    upstream.fail()
    parts = write()
    assert all("nothing fetched" in part.error for part in parts[:2])
    assert parts[2].error == "feeds failed: causal, sea"
    assert set(files(directory)) == {".feedsrv-export"}


def test_a_failing_feed_keeps_its_files_and_the_others_are_updated(
    write: Write, upstream: FakeUpstream, config: Config, directory: Path, tmp_path: Path
) -> None:
    gulls = Feed(name="gulls", title="Gulls", query="gulls", sources=("search",))
    write(feeds=config.feeds | {"gulls": gulls})
    before = files(directory)
    upstream.papers.append(make_raw_paper(8, title="Causal gulls"))
    upstream.intercept = lambda path: Response("", 503) if "q=gulls" in path else None
    parts = write(feeds=config.feeds | {"gulls": gulls}, cache_dir=tmp_path / "new store")
    assert [bool(part.error) for part in parts] == [False, False, True, True]
    assert parts[0].written == 5
    after = files(directory)
    assert {name for name in before if before[name] == after[name]} >= {
        *("feeds/gulls.atom", "feeds/gulls.rss", "feeds/gulls.json", "feeds/gulls/index.html"),
    }


def test_no_file_is_removed_while_the_front_page_links_to_it(
    write: Write, upstream: FakeUpstream, config: Config, directory: Path, tmp_path: Path
) -> None:
    write()
    before = files(directory)
    upstream.fail()
    parts = write(feeds={"causal": config.feeds["causal"]}, cache_dir=tmp_path / "new store")
    assert parts[-1] == ExportResult("front page", error="feeds failed: causal")
    assert files(directory) == before


@pytest.mark.parametrize(
    ("changes", "setting"), [({"public_url": ""}, "public_url"), ({"feeds": {}}, "feeds")]
)
def test_an_export_requires_feeds_and_a_public_url(
    config: Config, changes: dict[str, object], setting: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{setting}: "):
        export_config(msgspec.structs.replace(config, **changes))


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "feedsrv.toml").write_text(SETTINGS)

    def invoke(*arguments: str, **environ: str) -> Result:
        environment = {
            "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
            "FEEDSRV_UPSTREAM_URL": upstream.url,
            "FEEDSRV_CONFIG": "feedsrv.toml",
        }
        return CliRunner().invoke(main, ["export", *arguments], env=environment | environ)

    return invoke


def test_the_command_exports_and_prints_a_summary(run: Run, directory: Path) -> None:
    result = run("--public-url", BASE, str(directory))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == (
        f"{directory}: 17 files written, 0 removed, the others unchanged."
    )
    assert set(files(directory)) == FILES
    assert "0 files written" in run(str(directory), FEEDSRV_PUBLIC_URL=BASE).stdout


def test_the_command_exits_with_1_and_names_feeds_that_were_not_updated(
    run: Run, upstream: FakeUpstream, directory: Path
) -> None:
    run("--public-url", BASE, str(directory))
    before = files(directory)
    result = run(
        "--public-url",
        BASE,
        str(directory),
        FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1",
        FEEDSRV_CACHE_DIR=str(directory.parent / "cold"),
    )
    assert result.exit_code == 1
    assert "feedsrv: causal not updated: nothing fetched" in result.stderr
    assert files(directory) == before


def test_the_command_names_a_missing_setting(run: Run, directory: Path) -> None:
    result = run(str(directory))
    assert result.exit_code == 2
    assert result.stderr.startswith("feedsrv: public_url: required for export")
    assert not directory.exists()


def test_a_terminal_shows_progress_bars(run: Run, directory: Path, upstream: FakeUpstream) -> None:
    pty = pytest.importorskip("pty")
    terminal, process_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "export", "--public-url", BASE, str(directory)],
        stdout=process_end,
        stderr=subprocess.DEVNULL,
        env=os.environ
        | {
            "FEEDSRV_CONFIG": str(directory.parents[1] / "feedsrv.toml"),
            "FEEDSRV_CACHE_DIR": str(directory.parents[1] / "store"),
            "FEEDSRV_UPSTREAM_URL": upstream.url,
        },
    )
    os.close(process_end)
    output = b""
    try:
        while part := os.read(terminal, 4096):
            output += part
    except OSError:  # EIO on Linux when the process has exited
        pass
    os.close(terminal)
    assert process.wait(30) == 0
    assert b"Writing" in output
    assert b"3/3" in output
