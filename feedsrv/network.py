"""How this server connects to upstream: proxy and TLS certificates, from the environment.

The variables are those of curl, OpenSSL and most programs. httpx reads them too, but refuses an
IPv6 address in ``NO_PROXY``, and its errors do not name the variable.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from feedsrv.errors import ConfigError

_PROXY_KINDS = ("http", "https", "all")
_SOCKS_SCHEMES = {"socks5", "socks5h"}


class NetworkSettings(msgspec.Struct, frozen=True):
    """What a connection to upstream needs beside the address."""

    #: URL of the proxy; empty for a direct connection.
    proxy: str = ""
    #: Trusted certificates: a file, else a directory, else those that httpx brings.
    ca_file: str = ""
    ca_directory: str = ""


def read_network_settings(environ: Mapping[str, str], upstream_url: str) -> NetworkSettings:
    """Return the proxy and the certificates that the environment gives for upstream.

    Raises:
        ConfigError: A variable is invalid; the error lists all problems.
    """
    proxies = dict(_given_proxies(environ))
    found = {variable: _proxy_problem(url) for variable, url in proxies.values()}
    for variable, find_problem in _TLS_CHECKS.items():
        path = environ.get(variable, "")
        found[variable] = find_problem(path) if path else ""
    problems = [f"environment: {name}: {problem}" for name, problem in found.items() if problem]
    if problems:
        raise ConfigError(problems)
    url = urlsplit(upstream_url)
    _, proxy = proxies.get(url.scheme) or proxies.get("all") or ("", "")
    host, no_proxy = url.hostname or "", environ.get("no_proxy") or environ.get("NO_PROXY", "")
    if any(_matches_host(entry.strip().lower(), host) for entry in no_proxy.split(",")):
        proxy = ""
    ca_file = environ.get("SSL_CERT_FILE", "")
    return NetworkSettings(proxy, ca_file, "" if ca_file else environ.get("SSL_CERT_DIR", ""))


def _given_proxies(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the kind of each proxy with its variable and URL; lower case takes precedence."""
    for kind in _PROXY_KINDS:
        for variable in (f"{kind}_proxy", f"{kind}_PROXY".upper()):
            if url := environ.get(variable, "").strip():
                yield kind, (variable, url if "://" in url else f"http://{url}")
                break


def _proxy_problem(url: str) -> str:
    """Return what is wrong with the URL of a proxy, without the URL: it may hold a password."""
    expected = "expected the URL of a proxy, such as http://proxy.example.org:3128"
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https", *_SOCKS_SCHEMES} and bool(parts.hostname)
        is_valid = is_valid and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        return expected
    if not is_valid:
        return expected
    if parts.scheme in _SOCKS_SCHEMES and find_spec("socksio") is None:
        return "a SOCKS proxy requires an extra: pip install 'feedsrv[socks]'"
    return ""


def _ca_file_problem(path: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError):  # OSError includes SSLError
        return f"expected a readable file of certificates in PEM format, not {path!r}"
    return ""


def _ca_directory_problem(path: str) -> str:
    # OpenSSL accepts several directories and ignores those that do not exist.
    if any(os.path.isdir(each) for each in path.split(os.pathsep)):  # noqa: PTH112  # never raises
        return ""
    return f"expected a directory of certificates, not {path!r}"


def _key_log_problem(path: str) -> str:
    try:
        with Path(path).open("ab"):
            return ""
    except (OSError, ValueError):
        return f"expected a file that can be written, not {path!r}"


def _matches_host(entry: str, host: str) -> bool:
    """Return whether an entry of ``NO_PROXY`` is the host, its domain, or a network that has it."""
    with suppress(ValueError):
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    name = entry.partition(":")[0].lstrip("*.")  # some programs want a port
    return entry == "*" or (bool(name) and f".{host}".endswith(f".{name}"))


#: Return what is wrong with the path in a variable; an empty text if nothing is.
_TLS_CHECKS = {
    "SSL_CERT_FILE": _ca_file_problem,
    "SSL_CERT_DIR": _ca_directory_problem,
    "SSLKEYLOGFILE": _key_log_problem,
}
