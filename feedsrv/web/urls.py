"""URLs of this server, and the address of a client, from settings and request headers."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit
from urllib.request import parse_http_list
from wsgiref.types import WSGIEnvironment

from werkzeug.wrappers import Request

from feedsrv.config import Config
from feedsrv.errors import ParameterError
from feedsrv.web.auth import Credentials

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
#: An address as proxies forward it: IPv6 in brackets, either with a port (RFC 7239 6).
_ADDRESS_AND_PORT = re.compile(r"\[(?P<ipv6>[^\]]*)\](?::\w*)?|(?P<ipv4>[^:]*):\w+", re.ASCII)
#: A parameter of an element of Forwarded. Werkzeug's parser ends an unquoted value before a port,
#: which the standard wants quoted and some proxies do not quote.
_FORWARDED_PAIR = re.compile(r'(?:^|;)\s*(\w+)\s*=\s*(?:"([^"]*)"|([^;"]*?))\s*(?=;|$)', re.ASCII)
#: Names that only a local network resolves (RFC 6761, 6762, 8375), and those that routers give.
_PRIVATE_DOMAINS = (".localhost", ".local", ".home.arpa", ".internal", ".lan", ".home", ".test")
_PATH_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.~%-]+)*/?")


class URLBuilder:
    """Build URLs of this server. Nothing else does.

    The base has no slash at its end. The credentials decide which access key goes into a URL.
    """

    def __init__(self, base: str, credentials: Credentials | None = None) -> None:
        self._base = base
        self._credentials = credentials or Credentials()

    def __call__(self, path: str, suffix: str = "", **parameters: object) -> str:
        """Return a URL, without empty parameters. The path is unquoted; the suffix has its dot."""
        key = self._credentials.key_for(path, str(parameters.get("q") or ""))
        query = {name: value for name, value in (parameters | {"key": key}).items() if value}
        query_string = f"?{urlencode(query)}" if query else ""
        return f"{self._base}{quote(path, safe='/+')}{suffix}{query_string}"

    def without_query_string(self, path: str, suffix: str = "", **parameters: object) -> str:
        """Return a URL with the parameters in its path, for clients that drop a query string.

        `feedsrv.web.rewriting` reads them there.
        """
        query_string = urlsplit(self(path, suffix, **parameters)).query
        pairs = (f"/{name}/{quote(value, safe='')}" for name, value in parse_qsl(query_string))
        return f"{self._base}{quote(path, safe='/+')}{''.join(pairs)}{suffix}"


class RelativeURLBuilder(URLBuilder):
    """Build URLs relative to a page of a static export, so that they work on any host and path."""

    def __init__(self, path: str) -> None:
        super().__init__("/".join(".." for part in path.split("/") if part) or ".")

    def __call__(self, path: str, suffix: str = "", **parameters: object) -> str:
        is_file = suffix or "." in path or path == "/"
        return super().__call__(path if is_file else f"{path}/", suffix, **parameters)


def public_url_builder(config: Config) -> URLBuilder | None:
    """Return a builder of URLs for messages, which work from anywhere; None without public_url."""
    if not config.public_url:
        return None
    return URLBuilder(config.public_url.rstrip("/"), Credentials(config.access_key))


def base_url(config: Config, request: Request) -> str:
    """Return the URL of this server without a slash at its end.

    It is ``public_url`` where that is set. Otherwise it is what the request was sent to: its Host
    and the path that the application is mounted at (WSGI's SCRIPT_NAME), or what a trusted proxy
    forwards in their place.

    Raises:
        ParameterError: The host, the port, the scheme or the path prefix is not well-formed.
    """
    if config.public_url:
        return config.public_url.rstrip("/")
    scheme, host = request.scheme, request.headers.get("Host", "")
    prefix = quote(request.root_path, safe="/~")
    if is_trusted_proxy(config.trusted_proxies, request.remote_addr or ""):
        forwarded = forwarded_url_parts(request.environ)
        scheme = forwarded.scheme.lower() or scheme
        host = _with_port(forwarded.host or host, forwarded.port, scheme)
        prefix = forwarded.prefix or prefix
    if not _HOST.fullmatch(host):
        raise ParameterError("Host", host, "must be a name or an address with an optional port")
    if scheme not in {"http", "https"}:
        raise ParameterError("X-Forwarded-Proto", scheme, "must be http or https")
    if not _PATH_PREFIX.fullmatch(prefix):
        raise ParameterError("X-Forwarded-Prefix", prefix, "must be a plain path")
    return f"{scheme}://{host}{prefix}".rstrip("/")


def is_public_url(url: str) -> bool:
    """Return whether servers on the internet can probably reach the host of the URL."""
    host = urlsplit(url).hostname or ""
    address = _parse_ip(host)
    if address is not None:
        return address.is_global
    return "." in host and not host.endswith(_PRIVATE_DOMAINS)


class ForwardedURLParts(NamedTuple):
    """What a proxy forwards of the URL that its client used; empty where it says nothing."""

    scheme: str
    host: str
    port: str
    prefix: str


def forwarded_url_parts(environ: WSGIEnvironment) -> ForwardedURLParts:
    """Return what the X-Forwarded-* headers say, or without any of them, Forwarded (RFC 7239).

    A proxy that sets one kind may pass on what a client sends as the other.
    """
    scheme, host, port, prefix = (
        # A proxy appends to the values that it received, so the last one is its own.
        environ.get(f"HTTP_X_FORWARDED_{name}", "").rpartition(",")[2].strip()
        for name in ("PROTO", "HOST", "PORT", "PREFIX")
    )
    is_standard = not (scheme or host or port or environ.get("HTTP_X_FORWARDED_FOR"))
    if is_standard and (elements := _parse_forwarded(environ.get("HTTP_FORWARDED", ""))):
        scheme, host = elements[-1].get("proto", ""), elements[-1].get("host", "")
    return ForwardedURLParts(scheme, host, port, prefix)


def _with_port(host: str, port: str, scheme: str) -> str:
    """Return the host with the forwarded port, unless it has one or the scheme implies it."""
    if not port or re.search(r":\d+$", host) or port == _DEFAULT_PORTS.get(scheme):
        return host
    if not re.fullmatch(r"[1-9]\d{0,4}", port, re.ASCII):
        raise ParameterError("X-Forwarded-Port", port, "must be a port")
    return f"{host}:{port}"


@lru_cache(maxsize=1024)
def _parse_forwarded(header: str) -> tuple[dict[str, str], ...]:
    """Return the parameters of each element of a Forwarded header, the last proxy's last."""
    return tuple(
        {name.lower(): quoted or value for name, quoted, value in _FORWARDED_PAIR.findall(element)}
        for element in parse_http_list(header)
    )


def client_address(config: Config, request: Request) -> str:
    """Return the IPv4 address of the client, or its IPv6 network: a household has a whole /64.

    Behind trusted proxies it is the last forwarded address that is not one of theirs.
    """
    peer = request.remote_addr or "unknown"
    client = peer
    for hop in reversed(_forwarded_addresses(request)):
        if not is_trusted_proxy(config.trusted_proxies, client):
            break
        client = hop or client
    address = _parse_ip(client)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address or peer)


def _forwarded_addresses(request: Request) -> list[str]:
    """Return the addresses that proxies forward, without ports: each the client of the next."""
    header = request.headers.get("X-Forwarded-For")
    if header is None:
        elements = _parse_forwarded(request.headers.get("Forwarded", ""))
        hops = [element.get("for", "") for element in elements]
    else:
        hops = header.split(",")
    return [_without_port(hop.strip().strip('"')) for hop in hops]


def _without_port(node: str) -> str:
    match = _ADDRESS_AND_PORT.fullmatch(node)
    return (match["ipv6"] or match["ipv4"]) if match else node


@lru_cache(maxsize=1024)
def is_trusted_proxy(trusted_proxies: tuple[str, ...], peer: str) -> bool:
    """Return whether the address is one of the proxies, or in one of their networks."""
    address = _parse_ip(peer)
    networks = (ip_network(proxy, strict=False) for proxy in trusted_proxies)
    return address is not None and any(address in network for network in networks)


def _parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A server that listens on both families sees ::ffff:10.0.0.7 for 10.0.0.7.
    return getattr(address, "ipv4_mapped", None) or address
