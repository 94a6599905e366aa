from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedsrv.config import ENVIRONMENT_VARIABLES, Config, StoreConfig, build_config, load_config
from feedsrv.errors import ConfigError
from feedsrv.models import Feed
from feedsrv.search.parser import parse_query
from tests.support.paths import ROOT


def problems(data: dict[str, Any], **environ: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        build_config(data, "my.toml", environ, {})
    return caught.value.problems


def test_nothing_set_is_the_defaults() -> None:
    assert build_config({}, "my.toml", {}, {}) == Config()


def test_the_command_line_beats_the_environment_which_beats_the_file() -> None:
    file, environ, arguments = {"port": 1}, {"PORT": "2"}, {"port": 3}
    assert build_config({}, "f", {}, {}).port == 8000
    assert build_config(file, "f", {}, {}).port == 1
    assert build_config(file, "f", environ, {}).port == 2
    assert build_config(file, "f", environ, arguments).port == 3
    assert build_config(file, "f", environ, {"port": None}).port == 2


@pytest.mark.parametrize(("variable", "setting"), ENVIRONMENT_VARIABLES.items())
def test_each_variable_of_the_environment_is_a_setting(variable: str, setting: str) -> None:
    odd = {"port": "8123", "cache_dir": "/tmp/x", "hf_token": "hf_x", "store": "redis://a.b"}
    odd["log_format"] = "json"
    value = odd.get(setting, "http://a.b")
    found = getattr(build_config({}, "f", {variable: value}, {}), setting)
    assert str(found.url if isinstance(found, StoreConfig) else found) == value


def test_all_problems_are_named_at_once_with_file_and_key() -> None:
    found = problems(
        {
            "prot": 8000,
            "port": "eight",
            "deadline": 0,
            "history_days": 3.5,
            "public_url": "papers.example.org",
            "upstream_url": "https://huggingface.co/papers",
            "hf_token": "hf_secret",
            "demo": True,
            "feeds": {
                "a b": {"query": "x"},
                "open": {"query": '"world'},
                "typo": {"query": "x", "limits": 3},
                "many": {"query": "x", "limit": 500},
                "from": {"query": "x", "sources": ["weekly"]},
                "none": {"query": "x", "sources": []},
                "void": {"query": "-x", "sources": ["search"]},
                "named": {"name": "other"},
                "flat": "causal",
            },
        },
        PORT="70000",
        FEEDSRV_ACCESS_KEY="not so secret",
    )
    text = "\n".join(found)
    assert len(found) == 19
    assert all(line.startswith(("my.toml: ", "environment: ")) for line in found)
    for fragment in (
        "prot: there is no such setting",
        "port: Expected `int`, got `str`, not 'eight'",
        "deadline: Expected",
        "history_days: Expected `int`",
        "public_url: expected an address",
        "upstream_url: expected scheme and host alone",
        "hf_token: there is no such setting",
        "demo: there is no such setting",
        "environment: PORT: port: Expected `int` <= 65535",
        "FEEDSRV_ACCESS_KEY: access_key: expected plain letters and signs, without spaces",
        "feeds.a b: a feed's name is of letters",
        "feeds.open.query: this quotation mark is never closed (at character 1)",
        "feeds.typo: Object contains unknown field `limits`",
        "feeds.many: Expected `int` <= 200",
        "feeds.from: Invalid enum value 'weekly'",
        "feeds.none: Expected `array` of length >= 1",
        "feeds.void: nothing to search for",
        "feeds.named: expected a table",
    ):
        assert fragment in text, fragment
    assert "hf_secret" not in text


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("upstream_url", "http://user:s3cret@127.0.0.1"),
        ("upstream_url", "http://127.0.0.1/#x"),
        ("upstream_url", "ftp://127.0.0.1"),
        ("public_url", "https://é.example"),
        ("public_url", "http://a b/"),
        ("public_url", 'http://a"b'),
        ("public_url", "http://a.b/?q=x"),
        ("public_url", "http://a\x01"),
        ("contact", "Jörg <j@example.org>"),
        ("trusted_proxies", ["10.0.0.0/99"]),
        ("readers", {"Mine": "https://rss.example.org/add"}),
        ("readers", {"Mine": "javascript:{url}"}),
        ("readers", {"Mine": "https:///{url}"}),
        ("readers", "https://rss.example.org/?u={url}"),
    ],
)
def test_what_readers_or_headers_could_not_hold_is_refused(setting: str, value: object) -> None:
    (problem,) = problems({setting: value})
    assert problem.startswith(f"my.toml: {setting}: ")


def test_a_token_is_stripped_and_never_said_back() -> None:
    assert build_config({}, "f", {"FEEDSRV_HF_TOKEN": "hf_x\r"}, {}).hf_token == "hf_x"
    (problem,) = problems({}, FEEDSRV_HF_TOKEN="hf_söcret")
    assert "hf_token" in problem
    assert "söcret" not in problem


@pytest.mark.parametrize("title", ["", None])
def test_a_feed_without_a_title_has_its_name(title: str | None) -> None:
    table = {"query": "x"} | ({} if title is None else {"title": title})
    assert build_config({"feeds": {"fog": table}}, "f", {}, {}).feeds["fog"].title == "fog"


def test_a_title_that_no_feed_can_hold_is_refused() -> None:
    (problem,) = problems({"feeds": {"a": {"query": "x", "title": "a \x01"}}})
    assert "title" in problem


def test_readers_have_a_name_and_an_address() -> None:
    readers = {"Mine": "https://rss.example.org/i/?c=feed&a=add&url_rss={url}"}
    assert build_config({"readers": readers}, "f", {}, {}).readers == readers


@pytest.mark.parametrize("feeds", ["causal", ["causal"], 3])
def test_feeds_must_be_tables(feeds: object) -> None:
    assert problems({"feeds": feeds}) == ("my.toml: feeds: expected tables such as [feeds.causal]",)


def test_a_feed_has_its_options() -> None:
    table = {"query": "a OR b", "limit": 7, "link": "arxiv", "sources": ["daily"]}
    config = build_config({"feeds": {"x": table}}, "f", {}, {})
    assert config.feeds["x"] == Feed(
        name="x", title="x", query="a OR b", limit=7, link="arxiv", sources=("daily",)
    )


def test_a_file_that_is_not_there_or_no_toml_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", {})
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 3")
    with pytest.raises(ConfigError, match="is no TOML"):
        load_config(broken, {})
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is no TOML"):
        load_config(None, {"FEEDSRV_CONFIG": str(broken)})


def test_without_any_file_the_defaults_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}) == Config()


def test_the_shipped_file_is_found_in_a_clone_and_has_useful_feeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(None, {})
    assert "causal" in config.feeds
    assert len(config.feeds) >= 6
    assert all(parse_query(feed.query) for feed in config.feeds.values())


def test_the_shipped_file_documents_every_setting_with_its_default() -> None:
    text = (ROOT / "config" / "feedsrv.toml").read_text("utf-8")
    documented = dict(re.findall(r"^# (\w+) = (.+)$", text, re.MULTILINE))
    fields = {field.name for field in msgspec.structs.fields(Config)}
    fields -= {"feeds", "demo", "static_export", "hf_token"}
    tables = set(re.findall(r"^# \[(\w+)\]$", text, re.MULTILINE))
    assert fields <= documented.keys() | tables
    for name in ("host", "port", "upstream_url", "deadline", "history_days"):
        default = getattr(Config(), name)
        assert documented[name].strip('"') == f"{default:g}" if name == "deadline" else str(default)
    options = {field.name for field in msgspec.structs.fields(Feed)} - {"name"}
    assert all(re.search(rf"^#   {option}\b", text, re.MULTILINE) for option in options)
