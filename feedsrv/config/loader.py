"""Settings from the command line, the environment and a file."""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NamedTuple

import msgspec

from feedsrv.config.conversion import convert, table_problems
from feedsrv.config.feed_tables import build_feeds
from feedsrv.config.settings import HUGGING_FACE, Config, MailConfig, StoreConfig, default_cache_dir
from feedsrv.config.toml_file import read_toml
from feedsrv.config.validation import (
    address_problems,
    quote_key,
    quote_value,
    unknown_setting_message,
    validate_host,
    validate_networks,
    validate_readers,
    validate_store_url,
    validate_url,
)
from feedsrv.errors import ConfigError
from feedsrv.mail_address import parse_mail_address
from feedsrv.network import read_network_settings
from feedsrv.search.parser import parse_query
from feedsrv.search.query import has_artefact_condition

#: The included settings file, relative to a clone.
_DEFAULT_FILE = Path("config/feedsrv.toml")
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


def load_config(
    file: Path | None, environ: Mapping[str, str], arguments: Mapping[str, object] | None = None
) -> Config:
    """Return the settings from the command line, the environment and a file.

    Without a file, it is that of `find_config_file`. The arguments are the settings from the
    command line, by name; None for an option that was not given.

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
        return _DEFAULT_FILE if _DEFAULT_FILE.exists() else None
    except OSError:  # its directory cannot be entered; an attempt to read the file says so
        return _DEFAULT_FILE


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

    See `load_config`; here, the file is its name, for messages.

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
            value = convert(each.value, types[each.setting], is_text=each.is_text)
            _validate(each.setting, value)
            if isinstance(value, MailConfig):
                sender = parse_mail_address(value.sender)
                value = msgspec.structs.replace(value, sender=sender)
            settings[each.setting] = value
            locations[each.setting] = each.location
        except ValueError as error:
            shown = "" if each.setting in _SECRET_SETTINGS else f", not {quote_value(each.value)}"
            problems.append(f"{each.location}: {error}{shown}")
    settings["feeds"] = dict(build_feeds(data.get("feeds", {}), file, problems))
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
        upstream_url = settings.get("upstream_url", HUGGING_FACE)
        settings["network"] = read_network_settings(environ, upstream_url)
    except ConfigError as error:
        yield from error.problems
    try:
        directory = settings["cache_dir"] = settings.get("cache_dir") or default_cache_dir()
        uses_disk = not settings.get("store", StoreConfig()).url
        if uses_disk and not S_ISDIR(directory.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except RuntimeError:
        yield "environment: HOME: there is no home directory; set it, or FEEDSRV_CACHE_DIR"
    except OSError as error:
        if error.errno in _UNUSABLE_PATH:  # others may be over by the time that it is used
            location = locations.get("cache_dir", "environment: HOME")
            yield f"{location}: cannot be used: {error.strerror}, {quote_value(directory)}"


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
    """Yield what is wrong with the table ``[mail]``, as `table_problems` does."""
    found = list(table_problems(MailConfig, table))
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
    yield from address_problems(".from", [table.get("from", "")])
