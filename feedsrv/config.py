"""TOML and environment to settings, all problems at once.

``config/feedsrv.toml`` documents each setting. A value on the command line beats the environment,
which beats the file, which beats the default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
import platformdirs

from feedsrv.errors import ConfigError, QueryError
from feedsrv.models import XML_FORBIDDEN, Feed
from feedsrv.search.parser import parse_query
from feedsrv.search.query import positive_terms

#: Where the shipped file lies, seen from a clone.
DEFAULT_FILE = Path("config/feedsrv.toml")
ENVIRONMENT_VARIABLES = {
    "FEEDSRV_UPSTREAM_URL": "upstream_url",
    "FEEDSRV_CACHE_DIR": "cache_dir",
    "FEEDSRV_PUBLIC_URL": "public_url",
    "FEEDSRV_ACCESS_KEY": "access_key",
    "FEEDSRV_HF_TOKEN": "hf_token",
    "FEEDSRV_STORE_URL": "store",
    "FEEDSRV_LOG_FORMAT": "log_format",
    "PORT": "port",
}
#: Names of settings before version 0.2; files that use them still work.
_RENAMED_SETTINGS = {"ready_bytes": "response_cache_bytes"}
#: No user, password, fragment or foreign letters: it is shown to readers, and followed by them.
_BASE_URL = re.compile(
    r"https?://(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9_.~-]+)*/?"
)
#: Settings that stand in no message.
_SECRET_SETTINGS = {"access_key", "hf_token", "store"}
#: Of a store's address, what it may say beyond where it is: whom to trust, and who asks.
_STORE_URL_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
_STORE_URL_HINT = (
    "url: expected an address such as redis://:PASSWORD@redis.example.org:6379/0, with rediss://"
    " for TLS, or unix:///run/redis.sock; in a password, write : / ? # [ ] @ % as %3A and so on"
)
_FEED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where many machines share one store."""

    #: The Redis or Valkey that it is in; empty for the folder on disk.
    url: str = ""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    #: How readers reach this server; empty for the address that each request came to.
    public_url: str = ""
    #: Addresses or networks of proxies whose X-Forwarded headers are believed.
    trusted_proxies: tuple[str, ...] = ()
    upstream_url: str = "https://huggingface.co"
    cache_dir: Path = Path(platformdirs.user_cache_dir("feedsrv", appauthor=False))
    store: StoreConfig = StoreConfig()
    #: A mail address or page at which Hugging Face can reach the operator.
    contact: str = ""
    #: Seconds that a reader waits at most for a page that was never read.
    deadline: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    #: Seconds between two requests to upstream, after a burst of four.
    spacing: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    #: List days that a keyword feed covers.
    history_days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 30
    #: What readers must show; empty for a server that is open to all.
    access_key: str = ""
    #: Keywords never asked for before that one client of an open server may ask for in an hour.
    new_keywords: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 120
    #: Bytes of stored records, mostly listings, that each process has in memory.
    memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 48_000_000
    #: Bytes of answers that each process keeps ready.
    response_cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 16_000_000
    #: What a line of the log is for: people, or programs.
    log_format: Literal["text", "json"] = "text"
    #: From the environment alone, so that it stands in no file.
    hf_token: str = ""
    #: Readers that can be led to a feed from its page: name to address, with {url} for the feed's.
    readers: dict[str, str] = {}
    feeds: dict[str, Feed] = {}
    #: Serve sample papers; from the command line alone.
    demo: bool = False
    #: Make pages for a host that runs nothing; for an export alone.
    static_export: bool = False


def load_config(
    file: Path | None, environ: Mapping[str, str], arguments: Mapping[str, object] | None = None
) -> Config:
    """Return the settings of a file, the environment and the command line.

    Args:
        file: The file; without one, that of ``FEEDSRV_CONFIG``, else ``config/feedsrv.toml`` where
            there is one.
        environ: The environment.
        arguments: Settings from the command line, by name; None is "not given".

    Raises:
        ConfigError: Something is wrong, all of it named at once.

    """
    file = find_config_file(file, environ)
    if file is None:
        return build_config({}, "", environ, arguments or {})
    try:
        return build_config(
            tomllib.loads(file.read_text("utf-8")), str(file), environ, arguments or {}
        )
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: is no TOML: {error}"]) from error


def find_config_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read: the one given, the environment's, the default one if it is there."""
    if file is not None:
        return file
    if environ.get("FEEDSRV_CONFIG"):
        return Path(environ["FEEDSRV_CONFIG"])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def build_config(
    data: Mapping[str, Any], file: str, environ: Mapping[str, str], arguments: Mapping[str, object]
) -> Config:
    """Return the settings of parsed TOML, the environment and the command line.

    Raises:
        ConfigError: Something is wrong, all of it named at once.

    """
    problems: list[str] = []
    found: dict[str, Any] = {}
    fields = {field.name: field for field in msgspec.structs.fields(Config)}
    in_file = fields.keys() - {"feeds", "demo", "static_export", "hf_token"}
    for origin, name, value in _iter_values(data, file, environ, arguments):
        if origin == file and name not in in_file:
            problems.append(f"{origin}: {name}: there is no such setting")
            continue
        try:
            # The environment knows text only.
            found[name] = msgspec.convert(
                value, fields[name].type, strict=origin == file, dec_hook=_decode_path
            )
            _validate(name, found[name])
        except ValueError as error:
            shown = "" if name in _SECRET_SETTINGS else f", not {value!r}"
            problems.append(f"{origin}: {name}: {error}{shown}")
    found["feeds"] = dict(_build_feeds(data.get("feeds", {}), file, problems))
    if problems:
        raise ConfigError(problems)
    return Config(**found)


def _iter_values(
    data: Mapping[str, Any], file: str, environ: Mapping[str, str], arguments: Mapping[str, object]
) -> Iterator[tuple[str, str, object]]:
    """Yield (origin, setting, value), the stronger origin later."""
    for name, value in data.items():
        if name != "feeds":
            yield file, _RENAMED_SETTINGS.get(name, name), value
    for variable, name in ENVIRONMENT_VARIABLES.items():
        if environ.get(variable):
            value = environ[variable].strip()
            yield f"environment: {variable}", name, {"url": value} if name == "store" else value
    for name, value in arguments.items():
        if value is not None:
            yield "command line", name, value


def _decode_path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str | Path):
        raise ValueError("expected a path")
    return Path(value).expanduser()


def _validate(name: str, value: object) -> None:
    match name, value:
        case "trusted_proxies", tuple():
            for each in value:
                ip_network(each, strict=False)
        case "public_url" | "upstream_url", str() if value:
            _validate_url(name, value)
        case "store", StoreConfig(url=str() as url) if url:
            _validate_store_url(url)
        case "readers", dict():
            _validate_readers(value)
        case "contact" | "hf_token", str() if not re.fullmatch(r"[\x20-\x7e]*", value):
            raise ValueError("expected plain letters and signs: it goes into a header")
        case "access_key", str() if not re.fullmatch(r"[\x21-\x7e]+", value):
            raise ValueError(
                "expected plain letters and signs, without spaces; leave it out to be open to all"
            )


def _validate_url(name: str, value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query:
        raise ValueError("expected an address such as https://papers.example.org")
    if not _BASE_URL.fullmatch(value):
        raise ValueError("expected plain letters, as in https://papers.example.org/feeds")
    if name == "upstream_url" and parts.path.strip("/"):
        raise ValueError("expected scheme and host alone")


def _validate_store_url(url: str) -> None:
    """Refuse an address that is none, in words that do not say it back: it may hold a password."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError(_STORE_URL_HINT) from error
    if parts.scheme == "unix":
        is_address = parts.path.startswith("/") and not host
    else:
        is_numbered = re.fullmatch(r"(/\d{0,4})?", parts.path) is not None
        is_server = parts.scheme in {"redis", "rediss"} and bool(host) and port != 0
        is_address = is_server and is_numbered
    options = {each.partition("=")[0] for each in parts.query.split("&") if each}
    if not is_address or parts.fragment or options - _STORE_URL_OPTIONS:
        raise ValueError(_STORE_URL_HINT)


def _validate_readers(readers: Mapping[str, str]) -> None:
    for address in readers.values():
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.netloc or "{url}" not in address:
            raise ValueError('expected addresses such as "https://rss.example.org/add?url={url}"')


def _build_feeds(tables: object, file: str, problems: list[str]) -> Iterator[tuple[str, Feed]]:
    """Yield the feeds of the ``[feeds]`` tables, and note what is wrong with the others."""
    if not isinstance(tables, Mapping):
        problems.append(f"{file}: feeds: expected tables such as [feeds.causal]")
        return
    for name, table in tables.items():
        try:
            yield name, _build_feed(name, table)
        except QueryError as error:
            problems.append(f"{file}: feeds.{name}.query: {error}\n{error.pointer()}")
        except ValueError as error:
            problems.append(f"{file}: feeds.{name}: {error}")


def _build_feed(name: str, table: object) -> Feed:
    if not _FEED_NAME.fullmatch(name):
        raise ValueError("a feed's name is of letters, digits, - and _")
    if not isinstance(table, Mapping) or "name" in table:
        raise ValueError("expected a table of query, title, sources, limit, link and match")
    feed = msgspec.convert({**table, "title": table.get("title") or name, "name": name}, Feed)
    if XML_FORBIDDEN.search(feed.title):
        raise ValueError("its title has a character that no feed can hold")
    words = positive_terms(parse_query(feed.query)) if feed.query else ""
    if feed.sources == ("search",) and not words:
        raise ValueError('nothing to search for without words; add "daily" to its sources')
    return feed
