"""Check values of settings, and quote them in messages.

A check raises ValueError with what was expected; the loader adds the name and the value.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address, ip_network
from urllib.parse import parse_qsl, urlsplit

from feedsrv.mail_address import parse_mail_address

#: Characters of a value that a message repeats.
_MAX_QUOTED_LENGTH = 100
#: A key that TOML allows without quotation marks.
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Without user, password, fragment or non-ASCII characters: it becomes part of feeds and headers.
_BASE_URL = re.compile(
    r"https?://(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9_.~-]+)*/?"
)
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
#: Query parameters allowed in a store URL: TLS certificates.
_STORE_URL_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
_STORE_URL_HINT = (
    "expected a URL such as redis://:PASSWORD@redis.example.org:6379/0, with rediss:// for TLS, or"
    " unix:///run/redis.sock; in a password, write : / ? # [ ] @ % as %3A and so on"
)


def quote_value(value: object) -> str:
    """Return the value for a message: on one line, and cut if it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        text = f"a {type(value).__name__} with many levels"
    except ValueError:  # Python converts no integer of thousands of digits
        text = "a number with too many digits"
    if len(text) > _MAX_QUOTED_LENGTH:
        text = f"{text[:_MAX_QUOTED_LENGTH]}…"
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def quote_key(key: str) -> str:
    """Return the key of a table as TOML writes it, cut if it is long."""
    return key if _BARE_KEY.fullmatch(key) else quote_value(key)


def unknown_setting_message(name: str, known: Iterable[str]) -> str:
    """Return that there is no such setting, and which ones there are."""
    similar = get_close_matches(name, known, n=1)
    expected = f"did you mean {similar[0]}?" if similar else f"expected {', '.join(sorted(known))}"
    return f"unknown setting; {expected}"


def quote_values(values: Iterable[object]) -> str:
    """Return the values for a message, separated by commas."""
    return ", ".join(map(quote_value, values))


def validate_networks(networks: Iterable[str]) -> None:
    """Check addresses and networks."""
    try:
        for network in networks:
            ip_network(network, strict=False)
    except ValueError as error:
        raise ValueError("expected addresses or networks such as 10.0.0.0/8") from error


def validate_host(host: str) -> None:
    """Check the name or the IP address of a host; granian takes no link-local address."""
    try:
        is_valid = "%" not in str(ip_address(host))
    except ValueError:
        is_valid = _HOST_NAME.fullmatch(host) is not None
    if not is_valid:
        raise ValueError("expected a host name or an IP address, without port or scope")


def validate_url(name: str, url: str) -> None:
    """Check the URL of this server or of upstream."""
    expected = ValueError("expected a URL such as https://papers.example.org/feeds")
    try:
        parts = urlsplit(url)
        validate_host(parts.hostname or "")
        is_valid = _BASE_URL.fullmatch(url) is not None and parts.port != 0
    except ValueError as error:
        raise expected from error
    if not is_valid:
        raise expected
    if name == "upstream_url" and parts.path.strip("/"):
        raise ValueError("expected scheme and host only")


def validate_store_url(url: str) -> None:
    """Check the URL; no message repeats it, because it may hold a password."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
        if host:
            validate_host(host)
    except ValueError as error:
        raise ValueError(_STORE_URL_HINT) from error
    if parts.scheme == "unix":
        is_valid = parts.path.startswith("/") and not host
    else:
        is_server = parts.scheme in {"redis", "rediss"} and bool(host) and port != 0
        is_valid = is_server and re.fullmatch(r"(/\d{0,4})?", parts.path) is not None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not is_valid or parts.fragment or options.keys() - _STORE_URL_OPTIONS:
        raise ValueError(_STORE_URL_HINT)
    for option, file in options.items():
        if not os.access(file, os.R_OK):
            raise ValueError(
                f"expected a file that can be read in {option}, not {quote_value(file)}"
            )


def validate_readers(readers: Mapping[str, str]) -> None:
    """Check the URL templates of feed readers."""
    expected = ValueError('expected URLs such as "https://rss.example.org/add?url={url}"')
    for url in readers.values():
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise expected from error
        if parts.scheme not in {"http", "https"} or not parts.netloc or "{url}" not in url:
            raise expected


def address_problems(key: str, addresses: Iterable[str]) -> Iterator[str]:
    """Yield which of the addresses are invalid, each with the key and what was expected."""
    for address in addresses:
        try:
            parse_mail_address(address)
        except ValueError as error:
            yield f"{key}: {error}, not {quote_value(address)}"
