import re
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedsrv.config import ENVIRONMENT_VARIABLES, Config, StoreConfig, build_config, load_config
from feedsrv.errors import ConfigError
from feedsrv.models import INTERNAL_FEED_FIELDS, Feed
from feedsrv.search.parser import URL_LIMITS, parse_query
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
                "twice": {"query": "like:2601.00001", "sources": ["search", "search"]},
                "named": {"name": "other"},
                "pair": {"query": "x", "limit": "x", "link": 1},
                "flat": "causal",
            },
        },
        PORT="70000",
        FEEDSRV_ACCESS_KEY="not so secret",
    )
    text = "\n".join(found)
    assert len(found) == 30
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
        'my.toml: feeds."a b": a feed name has at most 64 letters',
        "my.toml: feeds.open.query: ",
        "my.toml: feeds.typo.limits: unknown setting",
        "my.toml: feeds.many.limit: expected a whole number from 1 to 200, not 500",
        'my.toml: feeds.from.sources: expected a list of "daily", "month", "search", ',
        '"trending", "week", not ["weekly"]',
        "my.toml: feeds.none.sources: expected a list of",
        "my.toml: feeds.void.query: has no words to search for",
        "my.toml: feeds.twice.query: has no words to search for",
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


def test_a_feed_has_the_options_of_its_table() -> None:
    table = {"query": "a OR b", "limit": 7, "link": "arxiv", "sources": ["daily"]}
    config = build_config({"feeds": {"x": table}}, "f", {}, {})
    assert config.feeds["x"] == Feed(
        name="x", title="x", query="a OR b", limit=7, link="arxiv", sources=("daily",)
    )


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
    fields -= {"feeds", "demo", "static_export", "hf_token", "mail_password", "network"}
    tables = set(re.findall(r"^# \[(\w+)\]$", text, re.MULTILINE))
    assert fields <= documented.keys() | tables
    for name in ("host", "port", "upstream_url", "deadline", "history_days"):
        default = getattr(Config(), name)
        assert documented[name].strip('"') == f"{default:g}" if name == "deadline" else str(default)
    options = {field.name for field in msgspec.structs.fields(Feed)} - INTERNAL_FEED_FIELDS
    assert all(re.search(rf"^#   {option}\b", text, re.MULTILINE) for option in options)


# --- odd values ---------------------------------------------------------------------------------


#: Values that are invalid for any type of setting.
ODD_VALUES: list[object] = [
    *(float("nan"), float("-inf"), -1, 10**4000, -(10**30), [], [[]], [1, "x"], {"a": {"b": 1}}),
    *(date(2026, 11, 24), "\0", "\x1b[31m", "a\nb", "\u2028", "http://[", "~nobody-here/x"),
]
#: Exceptions: text and numbers have few limits, and lists may be empty.
VALID_ODD_VALUES: dict[str, list[object]] = {
    "memory_bytes": [10**4000],
    "response_cache_bytes": [10**4000],
    "trusted_proxies": [[]],
    "cache_dir": ["\x1b[31m", "a\nb", "http://["],
    "contact": ["http://[", "~nobody-here/x"],
    "access_key": ["http://[", "~nobody-here/x"],
}


def nested(levels: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for _ in range(levels):
        table = {"a": table}
    return table


@pytest.mark.parametrize("setting", [field.name for field in msgspec.structs.fields(Config)])
def test_an_odd_value_is_one_line_that_names_the_setting(setting: str) -> None:
    for value in [*ODD_VALUES, nested(3000)]:
        if value in VALID_ODD_VALUES.get(setting, []):
            assert getattr(build_config({setting: value}, "my.toml", {}, {}), setting) is not None
            continue
        found = problems({setting: value})
        assert found
        for problem in found:
            assert problem.startswith(f"my.toml: {setting}")
            assert len(problem.splitlines()) == 1
            assert "\x1b" not in problem
            assert len(problem) < 500


@pytest.mark.parametrize(
    "key", [field.name for field in msgspec.structs.fields(Feed) if field.name != "name"]
)
def test_an_odd_value_in_a_feed_is_named_with_its_path(key: str) -> None:
    for value in [*ODD_VALUES, nested(3000)]:
        if isinstance(value, str) and key in {"title", "query"} and "\0" not in value:
            continue  # any text is a valid title, and nearly any a valid query
        if key == "mail" and value == []:
            continue
        found = problems({"feeds": {"a": {key: value}}})
        assert found[0].startswith(f"my.toml: feeds.a.{key}: ")
        assert len(found[0]) < 500


VARIABLES_WITH_ANY_TEXT = {
    *("FEEDSRV_CACHE_DIR", "FEEDSRV_ACCESS_KEY", "FEEDSRV_HF_TOKEN", "FEEDSRV_MAIL_PASSWORD"),
}


@pytest.mark.parametrize("variable", ENVIRONMENT_VARIABLES)
@pytest.mark.parametrize(
    "text", ["\udcff", "tcp://10.0.0.1:8000", "9" * 5000, "-1", "nan", "a b", "\x1b[31m", "[" * 300]
)
def test_an_odd_variable_is_one_line_that_names_it(variable: str, text: str) -> None:
    try:
        build_config({}, "", {variable: text}, {})
    except ConfigError as error:
        (problem,) = error.problems
        assert problem.startswith(f"environment: {variable}: ")
        assert len(problem) < 500
    else:
        assert variable in VARIABLES_WITH_ANY_TEXT


def test_variables_that_kubernetes_sets_for_a_service_are_not_read() -> None:
    environ = {
        "FEEDSRV_PORT": "tcp://10.0.0.1:8000",
        "FEEDSRV_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "FEEDSRV_PORT_8000_TCP_PORT": "8000",
        "FEEDSRV_SERVICE_HOST": "10.0.0.1",
        "FEEDSRV_SERVICE_PORT": "8000",
    }
    assert build_config({}, "", environ, {}) == Config()


@pytest.mark.parametrize(
    "host",
    ["", " ", "a..b", ".", "-" * 64, "a" * 254, "0.0.0.0:80", "[::1]", "fe80::1%eth0", "ü.example"],
)
def test_a_malformed_host_is_named(host: str) -> None:
    (problem,) = problems({"host": host})
    assert problem.startswith("my.toml: host: expected a host name or an IP address")


@pytest.mark.parametrize("host", ["::", "::1", "0.0.0.0", "localhost", "a.example.", "my_host"])
def test_hosts_are_names_and_addresses(host: str) -> None:
    assert build_config({"host": host}, "f", {}, {}).host == host


@pytest.mark.parametrize(
    "url",
    ["", "http://", "http://a..b", "http://[", "http://[zz]", "http://a:0", "http://a:65536"],
)
def test_a_malformed_upstream_url_is_named(url: str) -> None:
    (problem,) = problems({"upstream_url": url})
    assert problem.startswith("my.toml: upstream_url: expected a URL such as")


def test_odd_names_of_settings_stay_on_one_line() -> None:
    found = problems({"a\nb": 1, "": 1, "x" * 999: 1, "feeds": {"\x1b": {}, "a": {"\n": 1}}})
    assert found == (
        'my.toml: "a\\nb": unknown setting; ' + found[0].partition("; ")[2],
        'my.toml: "": unknown setting; ' + found[1].partition("; ")[2],
        f'my.toml: "{"x" * 99}…: unknown setting; ' + found[2].partition("; ")[2],
        'my.toml: feeds."\\u001b": a feed name has at most 64 letters, digits, - and _',
        f'my.toml: feeds.a."\\n": unknown setting; {found[4].partition("; ")[2]}',
    )


@pytest.mark.parametrize(
    ("name", "similar"), [("feed", "feeds"), ("acces_key", "access_key"), ("cachedir", "cache_dir")]
)
def test_an_unknown_setting_is_reported_with_a_similar_one(name: str, similar: str) -> None:
    assert problems({name: "x"}) == (f"my.toml: {name}: unknown setting; did you mean {similar}?",)


@pytest.mark.parametrize("path", ["/dev/null/x", "x" * 5000])
def test_a_cache_directory_that_can_never_exist_is_named(path: str) -> None:
    (problem,) = problems({}, FEEDSRV_CACHE_DIR=path)
    assert problem.startswith("environment: FEEDSRV_CACHE_DIR: cannot be used: ")
    shared = build_config({"store": {"url": "redis://a.b"}}, "f", {"FEEDSRV_CACHE_DIR": path}, {})
    assert str(shared.cache_dir) == path


def test_a_cache_directory_that_may_not_be_entered_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stat(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", stat)
    assert problems({"cache_dir": "/private/x"}) == (
        'my.toml: cache_dir: cannot be used: Permission denied, "/private/x"',
    )


def test_a_user_without_a_home_directory_has_to_set_the_cache_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getpwuid(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", getpwuid)
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    (problem,) = problems({})
    assert problem.startswith("environment: HOME: there is no home directory; set it, or FEEDSRV_")
    assert build_config({"cache_dir": "/x"}, "f", {}, {}).cache_dir == Path("/x")
    assert build_config({}, "f", {"FEEDSRV_DEMO": "true"}, {}).demo


def test_a_home_directory_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (problem,) = problems({})
    assert problem.startswith("environment: HOME: cannot be used: Not a directory, ")


def test_a_default_file_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", deny)
    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(ConfigError) as caught:
        load_config(None, {})
    assert caught.value.problems == ("config/feedsrv.toml: cannot be read: Permission denied",)


def test_certificates_of_a_store_must_exist() -> None:
    (problem,) = problems({"store": {"url": "rediss://:s3cret@a.b?ssl_ca_certs=/none"}})
    assert problem == (
        'my.toml: store: expected a file that can be read in ssl_ca_certs, not "/none"'
    )


# --- long queries ------------------------------------------------------------------------------


def test_a_query_in_the_file_may_be_longer_than_one_in_a_url() -> None:
    keywords = [f'"keyword number {number}"' for number in range(24)]
    query = " OR ".join(keywords)
    config = build_config({"feeds": {"a": {"query": query}}}, "f", {}, {})
    assert len(query) > URL_LIMITS.length
    assert config.feeds["a"].query == query
    longest = " OR ".join(["fog"] * 400)
    assert build_config({"feeds": {"a": {"query": longest}}}, "f", {}, {}).feeds["a"].query


@pytest.mark.parametrize(
    ("query", "reason", "before_caret"),
    [
        (" OR ".join(["fog"] * 401), "at most 400 terms (at character 2801)", "OR "),
        ("fog " * 100 + "(" + " fog" * 100, "unclosed parenthesis (at character 802)", " fog"),
        ("x" * 4001, "at most 4000 characters (at character 4001)", "x"),
    ],
)
def test_an_error_in_a_long_query_shows_its_surroundings(
    query: str, reason: str, before_caret: str
) -> None:
    (problem,) = problems({"feeds": {"a": {"query": query}}})
    message, line, caret = problem.splitlines()
    assert message.startswith("my.toml: feeds.a.query: ")
    assert message.endswith(reason)
    assert len(line) < 132
    assert line[: len(caret) - 1].endswith(before_caret)


# --- mail --------------------------------------------------------------------------------------

MAIL = {"host": "smtp.example.org", "from": "papers@example.org"}


def test_mail_is_configured_by_a_table_and_a_password_of_the_environment() -> None:
    config = build_config({"mail": MAIL}, "f", {"FEEDSRV_MAIL_PASSWORD": "secret"}, {})
    assert (config.mail.sender, config.mail.port, config.mail.tls) == (
        "papers@example.org",
        587,
        "starttls",
    )
    assert config.mail_password == "secret"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"mail": 1}, "f: mail: expected a table"),
        ({"mail": MAIL | {"port": "x"}}, "f: mail.port: expected a whole number from 1 to 65535"),
        ({"mail": MAIL | {"tls": "ssl"}}, 'f: mail.tls: expected one of "none", "starttls", "tls"'),
        ({"mail": MAIL | {"password": "x"}}, "f: mail.password: unknown setting"),
        (
            {"mail": {"from": "a@b.c"}},
            "f: mail.host: expected the name or address",
        ),
        ({"mail": MAIL | {"host": "a b"}}, "f: mail.host: expected the name or address"),
        ({"mail": MAIL | {"user": "ü"}}, "f: mail.user: expected ASCII characters only"),
        ({"mail": {"host": "a"}}, "f: mail.from: expected a mail address such as ada@example.org"),
        ({"mail": MAIL | {"sign_up": True}}, "f: mail.sign_up: needs public_url"),
        ({"mail_password": "x"}, "f: mail_password: unknown setting"),
        ({"feeds": {"a": {"mail": ["a@b.c"]}}}, "f: feeds.a.mail: needs the table [mail]"),
        ({"feeds": {"a": {"mail": "a@b.c"}}}, "f: feeds.a.mail: expected a list of texts"),
        (
            {"mail": MAIL, "feeds": {"a": {"mail": ["x"]}}},
            "f: feeds.a.mail: expected a mail",
        ),
    ],
)
def test_wrong_settings_of_mail_are_named_by_their_key(data: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(data, "f", {}, {})
    assert caught.value.problems[0].startswith(problem)


@pytest.mark.parametrize("query", ["has:model", "fog -(HAS:space OR tides)", "has: dataset"])
def test_a_feed_cannot_look_for_artefacts_that_nobody_asks_about(query: str) -> None:
    feeds = {"a": {"query": query}, "b": {"query": "has:code fog"}}
    (problem,) = problems({"linked_artefacts": False, "feeds": feeds})
    assert problem == "my.toml: feeds.a.query: needs linked_artefacts = true"
    assert build_config({"feeds": feeds}, "my.toml", {}, {}).linked_artefacts


def test_addresses_of_the_settings_have_ascii_domains() -> None:
    feeds = {"a": {"mail": [" ada@müller.example"]}}
    config = build_config({"mail": MAIL | {"from": "a@ü.org"}, "feeds": feeds}, "f", {}, {})
    assert config.mail.sender == "a@xn--tda.org"
    assert config.feeds["a"].mail == ("ada@xn--mller-kva.example",)


@pytest.mark.parametrize("key", ["host", "port", "tls", "user", "from", "pause", "sign_up"])
def test_an_odd_value_in_the_mail_table_is_named_with_its_path(key: str) -> None:
    for value in [*ODD_VALUES, nested(3000)]:
        if key == "user" and value in ("http://[", "~nobody-here/x"):
            continue
        (problem,) = problems({"mail": MAIL | {key: value}})
        assert problem.startswith(f"my.toml: mail.{key}: expected ")
        assert len(problem.splitlines()) == 1
        assert len(problem) < 500
