"""Load the settings from command line, environment and TOML file, and report all problems together.

``config/feedsrv.toml`` documents each setting. The command line takes precedence over the
environment, the environment over the file, and the file over the defaults.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import msgspec.inspect
import platformdirs

from feedsrv.errors import ConfigError, QueryError
from feedsrv.mail_address import parse_mail_address
from feedsrv.models import INTERNAL_FEED_FIELDS, XML_FORBIDDEN, Feed
from feedsrv.network import NetworkSettings, read_network_settings
from feedsrv.search.parser import parse_query
from feedsrv.search.query import has_artefact_condition
from feedsrv.search.search_terms import search_terms
from feedsrv.toml_file import read_toml
from feedsrv.validation import (
    quote_key,
    quote_value,
    quote_values,
    unknown_setting_message,
    validate_host,
    validate_networks,
    validate_readers,
    validate_store_url,
    validate_url,
)

#: The included settings file, relative to a clone.
DEFAULT_FILE = Path("config/feedsrv.toml")
ENVIRONMENT_VARIABLES = {
    "FEEDSRV_UPSTREAM_URL": "upstream_url",
    "FEEDSRV_CACHE_DIR": "cache_dir",
    "FEEDSRV_PUBLIC_URL": "public_url",
    "FEEDSRV_ACCESS_KEY": "access_key",
    "FEEDSRV_HF_TOKEN": "hf_token",
    "FEEDSRV_STORE_URL": "store",
    "FEEDSRV_MAIL_PASSWORD": "mail_password",
    "FEEDSRV_LOG_FORMAT": "log_format",
    "FEEDSRV_DEMO": "demo",
    "PORT": "port",
}
_HUGGING_FACE = "https://huggingface.co"
#: Old setting names, still accepted.
_RENAMED_SETTINGS = {"ready_bytes": "response_cache_bytes"}
#: Settings that a file cannot have: secrets, and modes of the command line.
_NOT_IN_FILE = {"feeds", "demo", "static_export", "hf_token", "mail_password", "network"}
#: Settings whose values never appear in messages.
_SECRET_SETTINGS = {"access_key", "hf_token", "mail_password", "store"}
#: Why no directory could be created at a path, now or later.
_UNUSABLE_PATH = {errno.EACCES, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]*")
_ACCESS_KEY = re.compile(r"[\x21-\x7e]+")
#: An arXiv id in BibTeX: as eprint, in a DOI or URL, or as "arXiv:2510.12345".
_BIBTEX_ARXIV_ID = re.compile(
    r"(?:\barxiv(?:\.org/(?:abs|pdf)/|[.:]\s*)|\beprint\s*=\s*[{\"]\s*)(\d{4}\.\d{4,5})(?!\d)",
    re.IGNORECASE | re.ASCII,
)
#: Papers of a library that others are compared with: the newest.
_MAX_LIBRARY_PAPERS = 200
_FEED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _default_cache_dir() -> Path:
    """Return the directory of this user's caches.

    Raises:
        RuntimeError: The user has no home directory.

    """
    return Path(platformdirs.user_cache_dir("feedsrv", appauthor=False))


class StoreConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[store]``: a store shared by several machines."""

    #: URL of a Redis or Valkey server; empty for a store on disk.
    url: str = ""


class MailConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"sender": "from"}
):
    """The table ``[mail]``: the mail server that sends digests."""

    #: Empty for no mail.
    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    #: TLS after a greeting in plain text (587), from the start (465), or none.
    tls: Literal["starttls", "tls", "none"] = "starttls"
    #: Empty to send without a login.
    user: str = ""
    #: Address of the sender.
    sender: str = ""
    #: Seconds between two messages.
    pause: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    #: Whether visitors can subscribe on the pages.
    sign_up: bool = False


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All settings."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    #: Worker processes, and threads of each.
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    threads: Annotated[int, msgspec.Meta(ge=4, le=512)] = 32
    #: URL at which readers reach this server; empty to use each request's own host.
    public_url: str = ""
    #: Addresses or networks of proxies whose X-Forwarded-* headers are used.
    trusted_proxies: tuple[str, ...] = ()
    upstream_url: str = _HUGGING_FACE
    cache_dir: Path = msgspec.field(default_factory=_default_cache_dir)
    store: StoreConfig = StoreConfig()
    #: Mail address or page of the operator, for the User-Agent header.
    contact: str = ""
    #: Maximum seconds that a request waits for a page that was never fetched.
    deadline: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    #: Seconds between two requests to upstream, after a burst of four.
    spacing: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    #: Number of list days that a keyword feed covers.
    history_days: Annotated[int, msgspec.Meta(ge=1, le=366)] = 30
    #: Whether to ask which models, datasets and Spaces cite the papers of the configured feeds.
    linked_artefacts: bool = True
    #: Key that clients must send; empty for a public server.
    access_key: str = ""
    #: New keywords per hour for each client of a public server; 0 for no limit.
    new_keywords: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 120
    #: Maximum size in bytes of the stored records, mostly listings, that each process has in
    #: memory.
    memory_bytes: Annotated[int, msgspec.Meta(ge=0)] = 48_000_000
    #: Maximum size in bytes of each process's response cache.
    response_cache_bytes: Annotated[int, msgspec.Meta(ge=0)] = 16_000_000
    log_format: Literal["text", "json"] = "text"
    #: Log each request on standard output, in the combined log format.
    access_log: bool = False
    #: Hugging Face token; from the environment only.
    hf_token: str = ""
    mail: MailConfig = MailConfig()
    #: Password of the mail server; from the environment only.
    mail_password: str = ""
    #: More readers to offer on pages: name to subscription URL, with {url} for the feed's URL.
    readers: dict[str, str] = {}
    feeds: dict[str, Feed] = {}
    #: Proxy and certificates; from the environment only.
    network: NetworkSettings = NetworkSettings()
    #: Serve sample papers; from the command line only.
    demo: bool = False
    #: Render pages for static hosting; set by an export only.
    static_export: bool = False


def load_config(
    file: Path | None, environ: Mapping[str, str], arguments: Mapping[str, object] | None = None
) -> Config:
    """Return the settings from the command line, the environment and a file.

    Args:
        file: The settings file; None to use `find_config_file`.
        environ: The environment.
        arguments: Settings from the command line, by name; None for an option that was not given.

    Raises:
        ConfigError: The file or any setting is invalid; the error lists all problems.

    """
    file = find_config_file(file, environ)
    data = {} if file is None else read_toml(file)
    return build_config(data, str(file or ""), environ, arguments or {})


def find_config_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the given file, else ``FEEDSRV_CONFIG``, else the default file if it exists."""
    if file is not None:
        return file
    if environ.get("FEEDSRV_CONFIG"):
        return Path(environ["FEEDSRV_CONFIG"])
    try:
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    except OSError:  # its directory cannot be entered; an attempt to read the file says so
        return DEFAULT_FILE


class _Value(NamedTuple):
    """A value given for a setting."""

    #: Empty for a name that has no meaning where it was found.
    setting: str
    value: object
    #: Where it was found, for messages.
    location: str
    #: Whether numbers come as text, as in the environment.
    is_text: bool = False


def build_config(
    data: Mapping[str, Any], file: str, environ: Mapping[str, str], arguments: Mapping[str, object]
) -> Config:
    """Return the settings from the command line, the environment and parsed TOML.

    Args:
        data: The parsed file.
        file: The file's name, for messages.
        environ: The environment.
        arguments: Settings from the command line, by name; None for an option that was not given.

    Raises:
        ConfigError: Any setting is invalid; the error lists all problems.

    """
    problems: list[str] = []
    settings: dict[str, Any] = {}
    locations: dict[str, str] = {}
    types = {field.name: field.type for field in msgspec.structs.fields(Config)}
    for each in _given_values(data, file, environ, arguments):
        if each.setting not in types:
            known = types.keys() - _NOT_IN_FILE | {"feeds"}
            problems.append(f"{each.location}: {unknown_setting_message(each.setting, known)}")
            continue
        if each.setting == "mail" and (found := list(_mail_problems(each.value))):
            problems += [f"{each.location}{problem}" for problem in found]
            continue
        try:
            value = _convert(each.value, types[each.setting], is_text=each.is_text)
            _validate(each.setting, value)
            if isinstance(value, MailConfig):
                sender = parse_mail_address(value.sender)
                value = msgspec.structs.replace(value, sender=sender)
            settings[each.setting] = value
            locations[each.setting] = each.location
        except ValueError as error:
            shown = "" if each.setting in _SECRET_SETTINGS else f", not {quote_value(each.value)}"
            problems.append(f"{each.location}: {error}{shown}")
    settings["feeds"] = dict(_build_feeds(data.get("feeds", {}), file, problems))
    if settings.get("demo"):
        settings["cache_dir"] = Path()  # it uses neither network nor store
    else:
        problems += _environment_problems(settings, locations, environ)
    if problems:
        raise ConfigError(problems)
    config = Config(**settings)
    if problems := [f"{file}: {problem}" for problem in _missing_settings(config)]:
        raise ConfigError(problems)
    return config


def _missing_settings(config: Config) -> Iterator[str]:
    """Yield which settings others need."""
    if config.mail.sign_up and not config.public_url:
        yield "mail.sign_up: needs public_url, because messages contain links to this server"
    if not config.mail.host:
        for feed in config.feeds.values():
            if feed.mail:
                yield f"feeds.{feed.name}.mail: needs the table [mail] with host and from"
    if not config.linked_artefacts:
        for feed in config.feeds.values():
            if "has:" in feed.query.lower() and has_artefact_condition(parse_query(feed.query)):
                yield f"feeds.{feed.name}.query: needs linked_artefacts = true"


def _given_values(
    data: Mapping[str, Any], file: str, environ: Mapping[str, str], arguments: Mapping[str, object]
) -> Iterator[_Value]:
    """Yield the given values in ascending order of precedence."""
    for name, value in data.items():
        if name != "feeds":
            setting = "" if name in _NOT_IN_FILE else _RENAMED_SETTINGS.get(name, name)
            yield _Value(setting, value, f"{file}: {quote_key(name)}")
    for variable, setting in ENVIRONMENT_VARIABLES.items():
        if text := environ.get(variable, "").strip():
            value = {"url": text} if setting == "store" else text
            yield _Value(setting, value, f"environment: {variable}", is_text=True)
    for setting, value in arguments.items():
        if value is not None:
            yield _Value(setting, value, f"command line: {setting}", is_text=True)


def _environment_problems(
    settings: dict[str, Any], locations: Mapping[str, str], environ: Mapping[str, str]
) -> Iterator[str]:
    """Add the settings that depend on the machine, and yield what is wrong with them."""
    try:
        upstream_url = settings.get("upstream_url", _HUGGING_FACE)
        settings["network"] = read_network_settings(environ, upstream_url)
    except ConfigError as error:
        yield from error.problems
    try:
        directory = settings["cache_dir"] = settings.get("cache_dir") or _default_cache_dir()
        if not settings.get("store", StoreConfig()).url:
            directory.stat()
    except RuntimeError:
        yield "environment: HOME: there is no home directory; set it, or FEEDSRV_CACHE_DIR"
    except OSError as error:
        if error.errno in _UNUSABLE_PATH:  # others may be over by the time that it is used
            location = locations.get("cache_dir", "environment: HOME")
            yield f"{location}: cannot be used: {error.strerror}, {quote_value(directory)}"


# --- values ------------------------------------------------------------------------------------


def _convert(value: object, kind: Any, *, is_text: bool = False) -> Any:
    """Return the value as the type; from text, numbers are parsed.

    Raises:
        ValueError: It has another type or is out of range; the message says what was expected.

    """
    try:
        return msgspec.convert(value, kind, strict=not is_text, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise ValueError(f"expected {_describe_type(msgspec.inspect.type_info(kind))}") from error


def _decode_path(kind: type, value: object) -> Path:
    """Return the path with its ``~`` expanded.

    Raises:
        ValueError: It is no path, or the home directory of that user is unknown.

    """
    if kind is not Path or not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError
    if "\0" in str(value):
        raise ValueError
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError from error


def _describe_type(kind: msgspec.inspect.Type) -> str:
    match kind:
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            description = _describe_number(kind)
        case msgspec.inspect.BoolType():
            description = "true or false"
        case msgspec.inspect.LiteralType(values=choices):
            description = f"one of {quote_values(choices)}"
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.LiteralType(values=choices)):
            description = f"a list of {quote_values(choices)}"
        case msgspec.inspect.VarTupleType():
            description = "a list of texts in quotation marks"
        case msgspec.inspect.StructType(fields=fields):
            description = f"a table with {', '.join(field.name for field in fields)} only"
        case msgspec.inspect.DictType():
            description = "a table of texts in quotation marks"
        case msgspec.inspect.CustomType():
            description = "the path of a directory; after a ~, the name of an existing user"
        case _:
            description = "text in quotation marks"
    return description


def _describe_number(kind: msgspec.inspect.IntType | msgspec.inspect.FloatType) -> str:
    noun = "a whole number" if isinstance(kind, msgspec.inspect.IntType) else "a number"
    if kind.gt is not None:
        return f"{noun} above {kind.gt} and up to {kind.le}"
    return (
        f"{noun}, {kind.ge} or more" if kind.le is None else f"{noun} from {kind.ge} to {kind.le}"
    )


def _validate(name: str, value: object) -> None:
    match name, value:
        case "host", str():
            validate_host(value)
        case "trusted_proxies", tuple():
            validate_networks(value)
        case "public_url" | "upstream_url", str() if value or name == "upstream_url":
            validate_url(name, value)
        case "store", StoreConfig(url=str() as url) if url:
            validate_store_url(url)
        case "readers", dict():
            validate_readers(value)
        case "contact" | "hf_token", str() if not _PRINTABLE_ASCII.fullmatch(value):
            raise ValueError("expected ASCII characters only, because it is sent in a header")
        case "mail_password", str() if not _PRINTABLE_ASCII.fullmatch(value):
            raise ValueError("expected ASCII characters only, because smtplib sends no others")
        case "access_key", str() if not _ACCESS_KEY.fullmatch(value):
            raise ValueError(
                "expected ASCII characters without spaces; for a public server, leave it out"
            )


def _mail_problems(table: object) -> Iterator[str]:
    """Yield what is wrong with the table ``[mail]``, as `_table_problems` does."""
    found = list(_table_problems(MailConfig, table))
    yield from found
    if found or not isinstance(table, Mapping):
        return
    host, user = table.get("host", ""), table.get("user", "")
    try:
        validate_host(host)
    except ValueError:
        yield f".host: expected the name or address of a mail server, not {quote_value(host)}"
    if not _PRINTABLE_ASCII.fullmatch(user):
        yield f".user: expected ASCII characters only, not {quote_value(user)}"
    yield from _address_problems(".from", [table.get("from", "")])


def _address_problems(key: str, addresses: Iterable[str]) -> Iterator[str]:
    for address in addresses:
        try:
            parse_mail_address(address)
        except ValueError as error:
            yield f"{key}: {error}, not {quote_value(address)}"


# --- feeds -------------------------------------------------------------------------------------


def _build_feeds(tables: object, file: str, problems: list[str]) -> Iterator[tuple[str, Feed]]:
    """Yield the feeds of the ``[feeds]`` tables by name, and append the problems of the others."""
    if not isinstance(tables, Mapping):
        problems.append(f"{file}: feeds: expected tables such as [feeds.causal]")
        return
    directory = Path(file).parent
    for name, table in tables.items():
        found = list(_feed_problems(name, table))
        problems += [f"{file}: feeds.{quote_key(name)}{problem}" for problem in found]
        if not found:
            title = table.get("title") or name
            mail = [parse_mail_address(address) for address in table.get("mail", ())]
            feed = msgspec.convert({**table, "title": title, "name": name, "mail": mail}, Feed)
            try:
                yield name, _with_library(feed, directory)
            except ValueError as error:
                problems.append(f"{file}: feeds.{name}.like_file: {error}")


def _feed_problems(name: str, table: object) -> Iterator[str]:
    """Yield what is wrong with a feed's table, each as the key's path below it and a message."""
    if not _FEED_NAME.fullmatch(name):
        yield ": a feed name has at most 64 letters, digits, - and _"
    found = list(_table_problems(Feed, table, hidden=INTERNAL_FEED_FIELDS))
    yield from found
    if not isinstance(table, Mapping):
        return
    if not any(problem.startswith(".mail:") for problem in found):
        yield from _address_problems(".mail", table.get("mail", ()))
    title, query = table.get("title", ""), table.get("query", "")
    if isinstance(title, str) and XML_FORBIDDEN.search(title):
        shown = quote_value(title)
        yield f".title: expected text without the characters that XML forbids, not {shown}"
    if isinstance(query, str):
        yield from _query_problems(query, table.get("sources"))


def _with_library(feed: Feed, directory: Path) -> Feed:
    """Return the feed with the arXiv ids in its BibTeX file, the newest first.

    Raises:
        ValueError: There are none.

    """
    if not feed.like_file:
        return feed
    path: Path = _convert(feed.like_file, Path)
    try:
        text = (directory / path).read_text("utf-8", "replace")
    except OSError as error:
        reason = error.strerror or "not a file"
        raise ValueError(f"{quote_value(feed.like_file)} cannot be read: {reason}") from error
    ids = sorted(set(_BIBTEX_ARXIV_ID.findall(text)), reverse=True)
    if not ids:
        raise ValueError(f"{quote_value(feed.like_file)} has no arXiv id")
    return msgspec.structs.replace(feed, library=tuple(ids[:_MAX_LIBRARY_PAPERS]))


@cache  # a server may have thousands of feeds
def _field_types(kind: type[msgspec.Struct], hidden: frozenset[str]) -> dict[str, Any]:
    return {
        field.encode_name: field.type
        for field in msgspec.structs.fields(kind)
        if field.name not in hidden
    }


def _table_problems(
    kind: type[msgspec.Struct], table: object, hidden: Collection[str] = ()
) -> Iterator[str]:
    """Yield which keys of a table are unknown or invalid, each as the path below it and a message.

    Args:
        kind: The type of the table.
        table: The table.
        hidden: Fields of the type that a table cannot have.

    """
    if not isinstance(table, Mapping):
        yield ": expected a table"
        return
    types = _field_types(kind, frozenset(hidden))
    for key, value in table.items():
        if key not in types:
            yield f".{quote_key(key)}: {unknown_setting_message(key, types)}"
            continue
        try:
            _convert(value, types[key])
        except ValueError as error:
            yield f".{key}: {error}, not {quote_value(value)}"


def _query_problems(query: str, sources: object) -> Iterator[str]:
    try:
        terms = search_terms(query)
    except QueryError as error:
        yield f".query: {error}\n{error.with_caret()}"
        return
    if sources == ["search"] and not terms:
        yield '.query: has no words to search for; add "daily" to sources'
