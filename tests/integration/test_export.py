"""An export: files that a host hands out, and that say what a server says."""

from __future__ import annotations

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
    *("feeds/sea.atom", "feeds/sea.rss", "feeds/sea.json", "feeds/sea/index.html"),
    *("index.html", "feeds.opml", "favicon.ico", ".feedsrv-export"),
    *("static/page.js", "static/style.css", "static/icon.png", "static/favicon.ico"),
}
Write = Callable[..., list[ExportResult]]
Run = Callable[..., Result]


@pytest.fixture
def config(config: Config) -> Config:
    sea = Feed(name="sea", title="By the sea", query="sea", sources=("daily",))
    feeds = config.feeds | {"sea": sea}
    return msgspec.structs.replace(config, feeds=feeds, public_url=BASE, access_key="locked")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "site" / "public"


@pytest.fixture
def write(config: Config, make_service: MakeService, folder: Path) -> Write:
    """Return a function that exports, like a process of its own each time."""

    def made(**changes: object) -> list[ExportResult]:
        settings = export_config(msgspec.structs.replace(config, **changes))
        with_these = {name: getattr(settings, name) for name in settings.__struct_fields__}
        service = make_service(**with_these)
        for _ in service.refresh_stale():
            pass
        return list(export_site(create_app(service), tuple(settings.feeds), folder))

    return made


def files(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return each file with its bytes, and with what changes when it is written."""
    found = (file for file in folder.rglob("*") if file.is_file())
    return {
        file.relative_to(folder).as_posix(): (
            file.read_bytes(),
            file.stat().st_mtime_ns,
            file.stat().st_ino,
        )
        for file in found
    }


# --- what is written -------------------------------------------------------------------------


def test_every_feed_is_there_in_each_format_with_pages_opml_and_what_they_need(
    write: Write, folder: Path
) -> None:
    assert write() == [
        ExportResult("causal", 4),
        ExportResult("sea", 4),
        ExportResult("front page", 7),
    ]
    assert set(files(folder)) == FILES


@pytest.mark.parametrize("suffix", ["atom", "rss", "json"])
def test_a_feed_has_the_bytes_of_the_servers_answer(
    write: Write, make_service: MakeService, folder: Path, suffix: str
) -> None:
    write()
    server = create_app(make_service(access_key="")).test_client()
    answer = server.get(f"/feeds/causal.{suffix}")
    assert (folder / f"feeds/causal.{suffix}").read_bytes() == answer.data
    assert f"{BASE}/feeds/causal.{suffix}" in answer.text
    assert (folder / "feeds.opml").read_bytes() == server.get("/feeds.opml").data


def test_no_key_of_a_private_server_stands_in_a_file(write: Write, folder: Path) -> None:
    write()
    assert set(files(folder)) == FILES
    assert not [name for name, (body, *_) in files(folder).items() if b"key=" in body]


@pytest.mark.parametrize("page", ["index.html", "feeds/causal/index.html"])
def test_what_a_page_leads_to_is_there_under_any_host_and_prefix(
    write: Write, folder: Path, page: str
) -> None:
    write()
    text = unescape((folder / page).read_text("utf-8"))
    led = set(re.findall(r'(?:href|src|action)="([^"#]+)"', text))
    own = {urlsplit(each).path for each in led if not urlsplit(each).scheme}
    assert own
    for path in own:
        target = posixpath.join("prefix", posixpath.dirname(page), unquote(path))
        target = posixpath.normpath(target) + ("/index.html" if path.endswith("/") else "")
        assert target.startswith("prefix/"), path
        assert (folder / target.removeprefix("prefix/")).is_file(), path
    named = {urlsplit(each).path for each in led if each.startswith(BASE)}
    for path in named:
        file = folder / path.removeprefix("/daily/")
        assert file.is_file() or (file / "index.html").is_file(), path


def test_pages_offer_nothing_that_needs_a_server(write: Write, folder: Path) -> None:
    write(feeds={"all": Feed(name="all", title="All", limit=2, sources=("daily",))})
    for page in ("index.html", "feeds/all/index.html"):
        text = (folder / page).read_text("utf-8")
        text = text.replace("https://huggingface.co/papers", "").replace(BASE, "")
        for word in ("<form", "/status", "/papers", "?q=", "page=2", "/preview", "just now"):
            assert word not in text, (page, word)
    assert "Papers 1 to 2 of " in text
    assert "<span>lighthouses</span>" in text


# --- what is left as it is -------------------------------------------------------------------


def test_a_second_export_without_news_touches_no_file(
    write: Write, clock: Clock, folder: Path
) -> None:
    write()
    before = files(folder)
    clock.forward(hours=3)  # everything is read again
    assert {part.written for part in write()} == {0}
    assert files(folder) == before


def test_a_new_paper_changes_the_files_that_it_is_in(
    write: Write, clock: Clock, upstream: FakeUpstream, folder: Path
) -> None:
    write()
    before = files(folder)
    upstream.papers.append(make_raw_paper(8, title="Causal gulls"))
    clock.forward(hours=3)
    write()
    changed = {name for name, state in files(folder).items() if state != before[name]}
    causal = {name for name in FILES if "causal" in name}
    assert changed == causal | {"index.html"}  # which counts papers
    assert "Causal gulls" in (folder / "feeds/causal.atom").read_text("utf-8")


def test_files_can_be_read_by_whoever_hands_them_out(write: Write, folder: Path) -> None:
    old = os.umask(0o022)
    try:
        write()
    finally:
        os.umask(old)
    assert {(folder / name).stat().st_mode & 0o777 for name in FILES} == {0o644}


def test_files_of_a_feed_that_is_no_longer_configured_go_and_others_files_stay(
    write: Write, config: Config, folder: Path
) -> None:
    write()
    (folder / "CNAME").write_text("papers.example.org")
    (folder / "feeds" / "mine.atom").write_text("mine")
    parts = write(feeds={"causal": config.feeds["causal"]})
    assert parts[-1].removed == 4
    left = {name for name in FILES if "sea" not in name}
    assert set(files(folder)) == left | {"CNAME", "feeds/mine.atom"}
    assert not (folder / "feeds" / "sea").exists()


def test_a_list_of_files_leads_out_of_no_folder(write: Write, folder: Path) -> None:
    write()
    outside = folder.parent / "precious"
    outside.write_text("precious")
    with (folder / ".feedsrv-export").open("a") as manifest:
        manifest.write(f"../precious\n{outside}\nfeeds/gone.atom\n\n")
    assert write()[-1].removed == 0
    assert outside.read_text() == "precious"


def test_nothing_is_overwritten_that_no_export_wrote(write: Write, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text("my home page")
    with pytest.raises(ExportError, match=r"index\.html is there and no export wrote it"):
        write()
    assert list(folder.iterdir()) == [folder / "index.html"]


def test_a_folder_that_cannot_be_written_is_named(write: Write, folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("a file")
    with pytest.raises(ExportError, match=r"public.*cannot be written"):
        write()


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_half_written(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    before = files(folder)
    (folder / "feeds/causal.atom").write_bytes(b"damaged")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left"):
        write()
    monkeypatch.undo()
    assert set(files(folder)) == set(before)
    assert write()[0].written == 1
    assert (folder / "feeds/causal.atom").read_bytes() == before["feeds/causal.atom"][0]


def full(_: int) -> None:
    raise OSError(28, "No space left on device")


# --- when upstream fails ---------------------------------------------------------------------


def test_what_was_read_once_is_exported_while_upstream_is_down(
    write: Write, clock: Clock, upstream: FakeUpstream, folder: Path
) -> None:
    write()
    before = files(folder)
    upstream.fail()
    clock.forward(hours=3)
    assert not any(part.error for part in write())
    assert files(folder) == before


def test_where_nothing_was_ever_read_nothing_is_written(
    write: Write, upstream: FakeUpstream, folder: Path
) -> None:
    upstream.fail()
    parts = write()
    assert all("nothing fetched" in part.error for part in parts[:2])
    assert parts[2].error == "it waits for causal, sea"
    assert set(files(folder)) == {".feedsrv-export"}


def test_a_feed_that_cannot_be_read_keeps_its_files_and_the_others_go_on(
    write: Write, upstream: FakeUpstream, config: Config, folder: Path, tmp_path: Path
) -> None:
    gulls = Feed(name="gulls", title="Gulls", query="gulls", sources=("search",))
    write(feeds=config.feeds | {"gulls": gulls})
    before = files(folder)
    upstream.papers.append(make_raw_paper(8, title="Causal gulls"))
    upstream.intercept = lambda path: Response("", 503) if "q=gulls" in path else None
    parts = write(feeds=config.feeds | {"gulls": gulls}, cache_dir=tmp_path / "new store")
    assert [bool(part.error) for part in parts] == [False, False, True, True]
    assert parts[0].written == 4
    after = files(folder)
    assert {name for name in before if before[name] == after[name]} >= {
        *("feeds/gulls.atom", "feeds/gulls.rss", "feeds/gulls.json", "feeds/gulls/index.html"),
    }


def test_nothing_goes_that_the_front_page_still_leads_to(
    write: Write, upstream: FakeUpstream, config: Config, folder: Path, tmp_path: Path
) -> None:
    write()
    before = files(folder)
    upstream.fail()
    parts = write(feeds={"causal": config.feeds["causal"]}, cache_dir=tmp_path / "new store")
    assert parts[-1] == ExportResult("front page", error="it waits for causal")
    assert files(folder) == before


@pytest.mark.parametrize(
    ("changes", "told"), [({"public_url": ""}, "public_url"), ({"feeds": {}}, "feeds")]
)
def test_an_export_of_nothing_or_to_nowhere_is_refused(
    config: Config, changes: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{told}: "):
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


def test_the_command_reads_writes_and_says_how_much(run: Run, folder: Path) -> None:
    result = run("--public-url", BASE, str(folder))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == (
        f"{folder}: 15 files written, 0 removed, the others unchanged."
    )
    assert set(files(folder)) == FILES
    assert "0 files written" in run(str(folder), FEEDSRV_PUBLIC_URL=BASE).stdout


def test_the_command_fails_as_refresh_does_and_says_what_is_left(
    run: Run, upstream: FakeUpstream, folder: Path
) -> None:
    run("--public-url", BASE, str(folder))
    before = files(folder)
    result = run(
        "--public-url",
        BASE,
        str(folder),
        FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1",
        FEEDSRV_CACHE_DIR=str(folder.parent / "cold"),
    )
    assert result.exit_code == 1
    assert "feedsrv: causal is left as it was: nothing fetched" in result.stderr
    assert files(folder) == before


def test_the_command_says_what_it_needs(run: Run, folder: Path) -> None:
    result = run(str(folder))
    assert result.exit_code == 2
    assert result.stderr.startswith("feedsrv: public_url: an export needs it")
    assert not folder.exists()


def test_on_a_terminal_there_are_bars(run: Run, folder: Path, upstream: FakeUpstream) -> None:
    pty = pytest.importorskip("pty")
    main_end, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "feedsrv", "export", "--public-url", BASE, str(folder)],
        stdout=other,
        stderr=subprocess.DEVNULL,
        env=os.environ
        | {
            "FEEDSRV_CONFIG": str(folder.parents[1] / "feedsrv.toml"),
            "FEEDSRV_CACHE_DIR": str(folder.parents[1] / "store"),
            "FEEDSRV_UPSTREAM_URL": upstream.url,
        },
    )
    os.close(other)
    said = b""
    try:
        while part := os.read(main_end, 4096):
            said += part
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(main_end)
    assert process.wait(30) == 0
    assert b"Writing" in said
    assert b"3/3" in said
