"""Where this server is, as its readers see it.

Readers rewrite their subscription from the address that a feed gives of itself, so it must be one
they can reach, and keep the query. Values in, values out: the request's parts come as arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import quote, urlencode

from werkzeug.datastructures import Headers

from feedsrv.config import Config
from feedsrv.errors import ParameterError

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.~-]+)*/?")


def base(config: Config, *, scheme: str, peer: str, headers: Headers) -> str:
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
    if _trusted(config, peer):
        # A proxy adds its value behind what came with the request, so the last one is its own.
        scheme = _last(headers, "X-Forwarded-Proto") or scheme
        host = _last(headers, "X-Forwarded-Host") or host
        prefix = _last(headers, "X-Forwarded-Prefix")
    if not _HOST.fullmatch(host):
        raise ParameterError("Host", host, "must be a name or an address with an optional port")
    if scheme not in {"http", "https"} or not _PREFIX.fullmatch(prefix):
        raise ParameterError("X-Forwarded-Proto or -Prefix", f"{scheme} {prefix}", "must be plain")
    return f"{scheme}://{host}{prefix}".rstrip("/")


def url(base: str, path: str, suffix: str = "", **parameters: object) -> str:
    """Return an address of this server: the only function that makes one.

    Args:
        base: Where this server is, without a slash at its end.
        path: The path, unquoted.
        suffix: Of a feed's format, with its dot.
        parameters: In the order in which they are to stand; those that are empty do not.

    """
    return f"{base}{quote(path, safe='/+')}{suffix}{_parameters(parameters)}"


def _parameters(parameters: Mapping[str, object]) -> str:
    given = {name: value for name, value in parameters.items() if value}
    return f"?{urlencode(given)}" if given else ""


def _trusted(config: Config, peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    # A server that listens on both families sees ::ffff:10.0.0.7 for 10.0.0.7.
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ip_network(each, strict=False) for each in config.trusted_proxies)


def _last(headers: Headers, name: str) -> str:
    return headers.get(name, "").rpartition(",")[2].strip()
