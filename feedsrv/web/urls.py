"""What the request at hand asks for, by whom, and where this server is for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, urlencode

from flask import request
from werkzeug.datastructures import Headers

from feedsrv.config import Config
from feedsrv.errors import ParameterError
from feedsrv.web.auth import credentials


def client_id(config: Config) -> str:
    """Return who asks."""
    peer = request.remote_addr or "unknown"
    return client_address(config, peer=peer, headers=request.headers)


def url_builder(config: Config) -> Callable[..., str]:
    """Return the function that makes every address of this server, with the key that opens it.

    It takes what `feedsrv.address.url` takes behind the base.

    Raises:
        ParameterError: The request came to no host.

    """
    headers = request.headers
    peer = request.remote_addr or ""
    base = base_url(config, scheme=request.scheme, peer=peer, headers=headers)
    seen = credentials()

    def made(path: str, suffix: str = "", **parameters: object) -> str:
        key = seen.key_for(path, str(parameters.get("q") or ""))
        return build_url(base, path, suffix, **parameters, key=key)

    return made


def relative_url() -> Callable[..., str]:
    """Return the function that makes addresses as seen from the page asked for, once it is a file.

    They hold wherever the files are put, under any host and prefix. Pages are folders there.
    """
    base = "/".join(".." for part in request.path.split("/") if part) or "."

    def made(path: str, suffix: str = "", **parameters: object) -> str:
        is_file = suffix or "." in path or path == "/"
        return build_url(base, path if is_file else f"{path}/", suffix, **parameters)

    return made


_HOST_HEADER = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_PATH_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.~-]+)*/?")


def base_url(config: Config, *, scheme: str, peer: str, headers: Headers) -> str:
    """Return the address of this server without a slash at its end.

    It is ``public_url`` where that is set, else what the request came to: its Host, or what a
    trusted proxy says that was.

    Args:
        config: The settings.
        scheme: How the request came, http or https.
        peer: The address at the other end of the connection.
        headers: The request's.

    Raises:
        ParameterError: The host is none.

    """
    if config.public_url:
        return config.public_url.rstrip("/")
    host, prefix = headers.get("Host", ""), ""
    if is_trusted_proxy(config.trusted_proxies, peer):
        # A proxy adds its value behind what came with the request, so the last one is its own.
        scheme = _last_value(headers, "X-Forwarded-Proto") or scheme
        host = _last_value(headers, "X-Forwarded-Host") or host
        prefix = _last_value(headers, "X-Forwarded-Prefix")
    if not _HOST_HEADER.fullmatch(host):
        raise ParameterError("Host", host, "must be a name or an address with an optional port")
    if scheme not in {"http", "https"} or not _PATH_PREFIX.fullmatch(prefix):
        raise ParameterError("X-Forwarded-Proto or -Prefix", f"{scheme} {prefix}", "must be plain")
    return f"{scheme}://{host}{prefix}".rstrip("/")


def client_address(config: Config, *, peer: str, headers: Headers) -> str:
    """Return who asks: an address of IPv4, or a network of IPv6 as one household has it.

    Behind trusted proxies it is the last address that they say and that is not their own.

    Args:
        config: The settings.
        peer: The address at the other end of the connection.
        headers: The request's.

    """
    asker = peer
    for hop in reversed(headers.get("X-Forwarded-For", "").split(",")):
        if not is_trusted_proxy(config.trusted_proxies, asker):
            break
        asker = hop.strip() or asker
    found = _parse_ip(asker)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return str(found or peer)


def build_url(base: str, path: str, suffix: str = "", **parameters: object) -> str:
    """Return an address of this server: the only function that makes one.

    Args:
        base: Where this server is, without a slash at its end.
        path: The path, unquoted.
        suffix: Of a feed's format, with its dot.
        parameters: In the order in which they are to stand; those that are empty do not.

    """
    return f"{base}{quote(path, safe='/+')}{suffix}{_query_string(parameters)}"


def _query_string(parameters: Mapping[str, object]) -> str:
    given = {name: value for name, value in parameters.items() if value}
    return f"?{urlencode(given)}" if given else ""


@lru_cache(maxsize=1024)
def is_trusted_proxy(proxies: tuple[str, ...], peer: str) -> bool:
    """Tell whether the address is one of the proxies, or in one of their networks."""
    found = _parse_ip(peer)
    networks = (ip_network(each, strict=False) for each in proxies)
    return found is not None and any(found in network for network in networks)


def _parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    # A server that listens on both families sees ::ffff:10.0.0.7 for 10.0.0.7.
    return getattr(found, "ipv4_mapped", None) or found


def _last_value(headers: Headers, name: str) -> str:
    return headers.get(name, "").rpartition(",")[2].strip()
