from __future__ import annotations

import re
from datetime import date
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


def test_without_any_setting_the_defaults_apply() -> None:
    assert build_config({}, "my.toml", {}, {}) == Config()


def test_the_command_line_overrides_the_environment_and_that_the_file() -> None:
    file, environ, arguments = {"port": 1}, {"PORT": "2"}, {"port": 3}
    assert build_config({}, "f", {}, {}).port == 8000
    assert build_config(file, "f", {}, {}).port == 1
    assert build_config(file, "f", environ, {}).port == 2
    assert build_config(file, "f", environ, arguments).port == 3
    assert build_config(file, "f", environ, {"port": None}).port == 2


@pytest.mark.parametrize(("variable", "setting"), ENVIRONMENT_VARIABLES.items())
def test_each_environment_variable_sets_its_setting(variable: str, setting: str) -> None:
    samples = {"port": "8123", "cache_dir": "/tmp/x", "hf_token": "hf_x", "store": "redis://a.b"}
    samples |= {"log_format": "json", "demo": "True"}
    text = samples.get(setting, "http://a.b")
    value = getattr(build_config({}, "f", {variable: text}, {}), setting)
    assert str(value.url if isinstance(value, StoreConfig) else value) == text


def test_all_problems_are_reported_together_with_file_and_key() -> None:
    found = problems(
        {
            "prot": 8000,
            "port": "eight",
            "deadline": 0,
            "spacing": 61,
            "response_cache_bytes": -1,
            "log_format": "xml",
            "access_log": "yes",
            "trusted_proxies": [1],
            "readers": {"Mine": 1},
            "store": {"address": "redis://:s3cret@a.b"},
            "contact": date(2026, 11, 24),
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
                "pair": {"query": "x", "limit": "x", "link": 1},
                "flat": "causal",
            },
        },
        PORT="70000",
        FEEDSRV_ACCESS_KEY="not so secret",
    )
    text = "\n".join(found)
    assert len(found) == 29
    assert all(line.startswith(("my.toml: ", "environment: ")) for line in found)
    for fragment in (
        "my.toml: prot: unknown setting",
        'my.toml: port: expected a whole number from 0 to 65535, not "eight"',
        "my.toml: deadline: expected a number above 0 and up to 60, not 0",
        "my.toml: spacing: expected a number from 0 to 60, not 61",
        "my.toml: response_cache_bytes: expected a whole number, 0 or more, not -1",
        "my.toml: history_days: expected a whole number from 1 to 366, not 3.5",
        "my.toml: public_url: expected a URL such as https://",
        "my.toml: upstream_url: expected scheme and host only",
        'my.toml: access_log: expected true or false, not "yes"',
        'my.toml: log_format: expected one of "json", "text", not "xml"',
        "my.toml: trusted_proxies: expected a list of texts in quotation marks, not [1]",
        'my.toml: readers: expected a table of texts in quotation marks, not {"Mine": 1}',
        "my.toml: store: expected a table with url only",
        'my.toml: contact: expected text in quotation marks, not "2026-11-24"',
        "my.toml: hf_token: unknown setting",
        "my.toml: demo: unknown setting",
        'environment: PORT: expected a whole number from 0 to 65535, not "70000"',
        "environment: FEEDSRV_ACCESS_KEY: expected ASCII characters without spaces",
        "my.toml: feeds.a b: a feed name has at most 64 letters",
        "my.toml: feeds.open.query: ",
        "my.toml: feeds.typo.limits: unknown setting",
        "my.toml: feeds.many.limit: expected a whole number from 1 to 200, not 500",
        'my.toml: feeds.from.sources: expected a list of "daily", "month", "search", ',
        '"trending", "week", not ["weekly"]',
        "my.toml: feeds.none.sources: expected a list of",
        "my.toml: feeds.void.query: has no words to search for",
        "my.toml: feeds.named.name: unknown setting",
        'my.toml: feeds.pair.limit: expected a whole number from 1 to 200, not "x"',
        'my.toml: feeds.pair.link: expected one of "arxiv", "huggingface", "pdf", not 1',
        "my.toml: feeds.flat: expected a table",
    ):
        assert fragment in text, fragment
    assert "hf_secret" not in text
    assert "s3cret" not in text


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
def test_values_unfit_for_feeds_or_headers_are_rejected(setting: str, value: object) -> None:
    (problem,) = problems({setting: value})
    assert problem.startswith(f"my.toml: {setting}: ")


def test_a_token_is_stripped_and_not_repeated_in_messages() -> None:
    assert build_config({}, "f", {"FEEDSRV_HF_TOKEN": "hf_x\r"}, {}).hf_token == "hf_x"
    (problem,) = problems({}, FEEDSRV_HF_TOKEN="hf_söcret")
    assert "FEEDSRV_HF_TOKEN" in problem
    assert "söcret" not in problem


@pytest.mark.parametrize("title", ["", None])
def test_a_feed_without_a_title_is_titled_by_its_name(title: str | None) -> None:
    table = {"query": "x"} | ({} if title is None else {"title": title})
    assert build_config({"feeds": {"fog": table}}, "f", {}, {}).feeds["fog"].title == "fog"


def test_a_title_with_characters_that_xml_forbids_is_rejected() -> None:
    (problem,) = problems({"feeds": {"a": {"query": "x", "title": "a \x01"}}})
    assert "title" in problem


def test_readers_map_names_to_subscription_urls() -> None:
    readers = {"Mine": "https://rss.example.org/i/?c=feed&a=add&url_rss={url}"}
    assert build_config({"readers": readers}, "f", {}, {}).readers == readers


@pytest.mark.parametrize("feeds", ["causal", ["causal"], 3])
def test_feeds_must_be_tables(feeds: object) -> None:
    assert problems({"feeds": feeds}) == ("my.toml: feeds: expected tables such as [feeds.causal]",)


def test_the_old_name_of_a_setting_still_works() -> None:
    assert build_config({"ready_bytes": 5}, "f", {}, {}).response_cache_bytes == 5


def test_a_feed_takes_the_options_of_its_table() -> None:
    table = {"query": "a OR b", "limit": 7, "link": "arxiv", "sources": ["daily"]}
    config = build_config({"feeds": {"x": table}}, "f", {}, {})
    assert config.feeds["x"] == Feed(
        name="x", title="x", query="a OR b", limit=7, link="arxiv", sources=("daily",)
    )


def test_a_missing_or_invalid_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", {})
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 3")
    with pytest.raises(ConfigError, match="invalid TOML"):
        load_config(broken, {})
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="invalid TOML"):
        load_config(None, {"FEEDSRV_CONFIG": str(broken)})


def test_without_a_file_the_defaults_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}) == Config()


def test_the_included_file_is_found_in_a_clone_and_has_valid_feeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config(None, {})
    assert "causal" in config.feeds
    assert len(config.feeds) >= 6
    assert all(parse_query(feed.query) for feed in config.feeds.values())


def test_the_included_file_documents_every_setting_with_its_default() -> None:
    text = (ROOT / "config" / "feedsrv.toml").read_text("utf-8")
    documented = dict(re.findall(r"^# (\w+) = (.+)$", text, re.MULTILINE))
    fields = {field.name for field in msgspec.structs.fields(Config)}
    fields -= {"feeds", "demo", "static_export", "hf_token"}
    tables = set(re.findall(r"^# \[(\w+)\]$", text, re.MULTILINE))
    assert fields <= documented.keys() | tables
    for name in ("host", "port", "upstream_url", "deadline", "history_days"):
        default = getattr(Config(), name)
        assert documented[name].strip('"') == f"{default:g}" if name == "deadline" else str(default)
    options = {field.name for field in msgspec.structs.fields(Feed)} - {"name", "library"}
    assert all(re.search(rf"^#   {option}\b", text, re.MULTILINE) for option in options)
