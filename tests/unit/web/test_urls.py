"""URLs of the server and addresses of clients, from settings and request headers."""

from collections.abc import Mapping
from typing import Any

import pytest
from werkzeug.wrappers import Request

from feedsrv.config import Config
from feedsrv.errors import ParameterError
from feedsrv.web.auth import Credentials, feed_key
from feedsrv.web.urls import (
    RelativeURLBuilder,
    URLBuilder,
    base_url,
    client_address,
    is_public_url,
)

PROXY, STRANGER = "10.0.0.7", "203.0.113.9"
DIRECT = "http://127.0.0.1:8000"
FORWARDED_TO = "https://papers.example.org/feeds-of/papers"

FORWARDED = {
    "Host": "127.0.0.1:8000",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "papers.example.org",
    "X-Forwarded-Prefix": "/feeds-of/papers",
}


def make_request(
    headers: Mapping[str, str], *, peer: str = PROXY, scheme: str = "http", mounted_at: str = ""
) -> Request:
    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ = {"REMOTE_ADDR": peer, "wsgi.url_scheme": scheme, "SCRIPT_NAME": mounted_at}
    return Request(environ | fields)


def url_of_server(
    headers: Mapping[str, str], *, peer: str = PROXY, scheme: str = "http", **settings: Any
) -> str:
    return base_url(Config(**settings), make_request(headers, peer=peer, scheme=scheme))


# --- base URL --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("localhost:8000", "http", "http://localhost:8000"),
        ("papers.example.org", "https", "https://papers.example.org"),
        ("raspberrypi.local:8000", "http", "http://raspberrypi.local:8000"),
        ("192.168.1.5:8000", "http", "http://192.168.1.5:8000"),
        ("[::1]:8000", "http", "http://[::1]:8000"),
        ("[2001:db8::5]", "https", "https://[2001:db8::5]"),
        ("[::ffff:192.0.2.1]:80", "http", "http://[::ffff:192.0.2.1]:80"),
        ("my_nas", "http", "http://my_nas"),
    ],
)
def test_without_settings_the_url_is_that_of_the_request(
    host: str, scheme: str, expected: str
) -> None:
    assert url_of_server({"Host": host}, scheme=scheme) == expected


@pytest.mark.parametrize(
    "host",
    [
        "", "a b", "a/b", "user@host", 'x"><script>', "a:port", "a:", ":80", "a:123456", "[::1",
        "::1", "[::g]", "[]", "ä.example", "a\r\nb", "a?b", "a#b", "a,b", "a" * 254, "a\n",
    ],
)  # fmt: skip
def test_a_malformed_host_is_refused(host: str) -> None:
    with pytest.raises(ParameterError, match="Host"):
        url_of_server({"Host": host}, peer=STRANGER)


def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(ParameterError, match="Host"):
        url_of_server({})


@pytest.mark.parametrize(
    ("public", "expected"),
    [
        ("https://papers.example.org", "https://papers.example.org"),
        ("https://papers.example.org/", "https://papers.example.org"),
        ("https://example.org/my/papers/", "https://example.org/my/papers"),
        ("http://[2001:db8::5]:8000", "http://[2001:db8::5]:8000"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Host": "evil.example"}, FORWARDED, {"Host": "a b"}])
def test_public_url_takes_precedence_over_the_request(
    public: str, expected: str, headers: dict[str, str]
) -> None:
    for proxies in ((), (PROXY,)):
        assert url_of_server(headers, public_url=public, trusted_proxies=proxies) == expected


@pytest.mark.parametrize(
    ("peer", "proxies", "expected"),
    [
        (PROXY, (), DIRECT),
        (PROXY, ("10.0.0.7",), FORWARDED_TO),
        (PROXY, ("10.0.0.0/8",), FORWARDED_TO),
        (PROXY, ("10.0.0.7/8",), FORWARDED_TO),
        (PROXY, ("192.168.0.0/16", "10.0.0.7"), FORWARDED_TO),
        (PROXY, ("10.0.0.8",), DIRECT),
        (PROXY, ("10.0.0.0/30",), DIRECT),
        (STRANGER, ("10.0.0.0/8",), DIRECT),
        (STRANGER, ("0.0.0.0/0",), FORWARDED_TO),
        ("::1", ("::1",), FORWARDED_TO),
        ("fd00::7", ("fd00::/8",), FORWARDED_TO),
        ("2001:db8::7", ("fd00::/8", "10.0.0.0/8"), DIRECT),
        # How a server that listens on both families sees an IPv4 address.
        ("::ffff:10.0.0.7", ("10.0.0.0/8",), FORWARDED_TO),
        ("::ffff:203.0.113.9", ("10.0.0.0/8",), DIRECT),
        ("", ("10.0.0.0/8",), DIRECT),
        ("unix:", ("10.0.0.0/8",), DIRECT),
    ],
)
def test_forwarded_headers_are_used_from_trusted_proxies_only(
    peer: str, proxies: tuple[str, ...], expected: str
) -> None:
    assert url_of_server(FORWARDED, peer=peer, trusted_proxies=proxies) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"X-Forwarded-Proto": "https"}, "https://127.0.0.1:8000"),
        ({"X-Forwarded-Host": "a.example:8443"}, "http://a.example:8443"),
        ({"X-Forwarded-Host": "[2001:db8::5]"}, "http://[2001:db8::5]"),
        ({"X-Forwarded-Prefix": "/papers/"}, "http://127.0.0.1:8000/papers"),
        ({"X-Forwarded-Prefix": "/"}, "http://127.0.0.1:8000"),
        ({"X-Forwarded-Prefix": ""}, "http://127.0.0.1:8000"),
        # The last value is the proxy's own; those before it came with the request.
        ({"X-Forwarded-Host": "evil.example, a.example"}, "http://a.example"),
        ({"X-Forwarded-Host": "evil.example,b.example,a.example "}, "http://a.example"),
        ({"X-Forwarded-Proto": "http, https"}, "https://127.0.0.1:8000"),
        ({"X-Forwarded-Prefix": "/evil, /papers"}, "http://127.0.0.1:8000/papers"),
        # In capitals, as some proxies send it.
        ({"X-Forwarded-Proto": "HTTPS"}, "https://127.0.0.1:8000"),
        ({"X-Forwarded-Proto": "Http"}, "http://127.0.0.1:8000"),
        # The port, where the host has none and the scheme does not imply it.
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "8080"}, "http://a.example:8080"),
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "80"}, "http://a.example"),
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "443", "X-Forwarded-Proto": "HTTPS"},
         "https://a.example"),
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "80", "X-Forwarded-Proto": "https"},
         "https://a.example:80"),
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "1, 8443",
          "X-Forwarded-Proto": "https"}, "https://a.example:8443"),
        ({"X-Forwarded-Host": "a.example:8443", "X-Forwarded-Port": "80"}, "http://a.example:8443"),
        ({"X-Forwarded-Host": "[2001:db8::5]", "X-Forwarded-Port": "8080"},
         "http://[2001:db8::5]:8080"),
        ({"X-Forwarded-Host": "[2001:db8::5]:81", "X-Forwarded-Port": "80"},
         "http://[2001:db8::5]:81"),
        ({"Host": "a.example", "X-Forwarded-Port": "8080"}, "http://a.example:8080"),
        ({"X-Forwarded-For": STRANGER, "X-Forwarded-Port": "81"}, "http://127.0.0.1:8000"),
        # RFC 7239, where there is no X-Forwarded-* header.
        ({"Forwarded": "host=a.example;proto=https"}, "https://a.example"),
        ({"Forwarded": 'for=192.0.2.1; Proto=HTTPS ;host="a.example:8443"'},
         "https://a.example:8443"),
        ({"Forwarded": 'host="[2001:db8::5]:81"'}, "http://[2001:db8::5]:81"),
        ({"Forwarded": "host=a.example:8443"}, "http://a.example:8443"),  # which should be quoted
        ({"Forwarded": "proto=https"}, "https://127.0.0.1:8000"),
        ({"Forwarded": "for=192.0.2.1"}, "http://127.0.0.1:8000"),
        ({"Forwarded": "host=evil.example;proto=http, host=a.example;proto=https"},
         "https://a.example"),
        ({"Forwarded": 'for="a, b";host=evil.example,for=x;host=a.example'}, "http://a.example"),
        ({"Forwarded": ""}, "http://127.0.0.1:8000"),
        ({"Forwarded": ";;,,=;"}, "http://127.0.0.1:8000"),
        ({"Forwarded": "host=evil.example", "X-Forwarded-Proto": "https"},
         "https://127.0.0.1:8000"),
        ({"Forwarded": "host=evil.example", "X-Forwarded-For": "192.0.2.1"},
         "http://127.0.0.1:8000"),
    ],
)  # fmt: skip
def test_the_last_forwarded_value_is_used(headers: dict[str, str], expected: str) -> None:
    headers = {"Host": "127.0.0.1:8000"} | headers
    assert url_of_server(headers, trusted_proxies=(PROXY,)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Forwarded-Host", "a b"),
        ("X-Forwarded-Host", "a.example/x"),
        ("X-Forwarded-Host", 'a"onload="x'),
        ("X-Forwarded-Proto", "ftp"),
        ("X-Forwarded-Proto", "javascript"),
        ("X-Forwarded-Proto", "https://evil.example/?"),
        ("X-Forwarded-Prefix", "//evil.example"),
        ("X-Forwarded-Prefix", "papers"),
        ("X-Forwarded-Prefix", "/a b"),
        ("X-Forwarded-Prefix", "/<script>"),
        ("X-Forwarded-Prefix", "/a?b"),
        ("X-Forwarded-Prefix", "/a\\b"),
        ("X-Forwarded-Port", "http"),
        ("X-Forwarded-Port", "0"),
        ("X-Forwarded-Port", "123456"),
        ("X-Forwarded-Port", "-1"),
        ("X-Forwarded-Port", "80/evil"),
        ("Forwarded", "host=a/b"),
        ("Forwarded", 'host="a b"'),
        ("Forwarded", "proto=javascript"),
    ],
)
def test_malformed_values_are_refused_from_a_trusted_proxy_and_ignored_from_others(
    name: str, value: str
) -> None:
    headers = {"Host": "a.example", name: value}
    with pytest.raises(ParameterError, match=r"Host|X-Forwarded"):
        url_of_server(headers, trusted_proxies=(PROXY,))
    assert url_of_server(headers, peer=STRANGER, trusted_proxies=(PROXY,)) == "http://a.example"


@pytest.mark.parametrize(
    ("mounted_at", "expected"),
    [
        ("/feeds-of", "http://a.example/feeds-of"),
        ("/feeds-of/", "http://a.example/feeds-of"),
        ("/caf\xc3\xa9 ~x", "http://a.example/caf%C3%A9%20~x"),  # WSGI: UTF-8 as Latin-1
    ],
)
def test_the_mount_point_of_the_application_is_part_of_the_url(
    mounted_at: str, expected: str
) -> None:
    headers = {"Host": "a.example"}
    assert base_url(Config(), make_request(headers, mounted_at=mounted_at)) == expected
    public = Config(public_url="https://b.example")
    assert base_url(public, make_request(headers, mounted_at=mounted_at)) == "https://b.example"


def test_a_forwarded_prefix_replaces_the_mount_point() -> None:
    config = Config(trusted_proxies=(PROXY,))
    assert base_url(config, make_request(FORWARDED, mounted_at="/internal")) == FORWARDED_TO
    headers = {"Host": "a.example"}
    assert base_url(config, make_request(headers, mounted_at="/x")) == "http://a.example/x"


# --- URLs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "limit", "expected"),
    [
        ("", None, ""),
        ("causal", None, "?q=causal"),
        ("", 7, "?limit=7"),
        ("causal", 7, "?q=causal&limit=7"),
        ("world model", None, "?q=world+model"),
        ('"world model" -survey', None, "?q=%22world+model%22+-survey"),
        ("C++ & C#", 200, "?q=C%2B%2B+%26+C%23&limit=200"),
        ("naïve 李", None, "?q=na%C3%AFve+%E6%9D%8E"),
        ("100%", None, "?q=100%25"),
    ],
)
def test_parameters_keep_their_order_and_are_quoted(
    query: str, limit: int | None, expected: str
) -> None:
    url = URLBuilder("http://a")
    assert url("/papers", q=query, limit=limit) == f"http://a/papers{expected}"
    assert url("/papers", ".rss", q=query, limit=limit) == f"http://a/papers.rss{expected}"


def test_paths_are_quoted() -> None:
    assert URLBuilder("http://a")("/feeds/a+b/ü?") == "http://a/feeds/a+b/%C3%BC%3F"


def test_each_url_has_the_required_key() -> None:
    by_url = URLBuilder("http://a", Credentials("secret", url_key="secret"))
    assert by_url("/papers", q="fog", limit=3) == "http://a/papers?q=fog&limit=3&key=secret"
    by_password = URLBuilder("http://a", Credentials("secret"))
    assert by_password("/papers", q="fog").endswith(feed_key("secret", "/papers", "fog"))


@pytest.mark.parametrize(
    ("page", "path", "expected"),
    [
        ("/", "/feeds/sea", "./feeds/sea/"),
        ("/", "/", "./"),
        ("/feeds/sea", "/", "../../"),
        ("/feeds/sea", "/feeds/fog", "../../feeds/fog/"),
        ("/feeds/sea", "/static/style.css", "../../static/style.css"),
    ],
)
def test_urls_of_a_static_export_are_relative_to_the_page(
    page: str, path: str, expected: str
) -> None:
    assert RelativeURLBuilder(page)(path) == expected


def test_a_feed_of_a_static_export_is_a_file() -> None:
    assert RelativeURLBuilder("/feeds/sea")("/feeds/fog", ".atom") == "../../feeds/fog.atom"


# --- clients ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        (STRANGER, "", STRANGER),
        (STRANGER, "198.51.100.4", STRANGER),  # not a trusted proxy
        (PROXY, "", PROXY),
        (PROXY, "198.51.100.4", "198.51.100.4"),
        (PROXY, "1.2.3.4, 198.51.100.4", "198.51.100.4"),  # proxies append
        (PROXY, "198.51.100.4, 10.0.0.8", "198.51.100.4"),  # two trusted proxies
        (PROXY, "nonsense", PROXY),
        (PROXY, "198.51.100.4,", "198.51.100.4"),
        (f"::ffff:{STRANGER}", "", STRANGER),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),  # a household has a whole network
        (PROXY, "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "", "unknown"),
        # With a port, and IPv6 in brackets.
        (PROXY, "198.51.100.4:54321", "198.51.100.4"),
        (PROXY, "1.2.3.4:1, 198.51.100.4:2, 10.0.0.8:3", "198.51.100.4"),
        (PROXY, "[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        (PROXY, "[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        (PROXY, '"[2001:db8:1:2::9]:443"', "2001:db8:1:2::/64"),
        (PROXY, "[::ffff:198.51.100.4]:80", "198.51.100.4"),
        (PROXY, "198.51.100.4:port:port", PROXY),
        (PROXY, "unknown", PROXY),
    ],
)
def test_the_client_is_the_last_address_that_is_no_trusted_proxy(
    peer: str, forwarded: str, expected: str
) -> None:
    config = Config(trusted_proxies=("10.0.0.0/8",))
    request = make_request({"X-Forwarded-For": forwarded}, peer=peer)
    assert client_address(config, request) == expected


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        (PROXY, "for=198.51.100.4", "198.51.100.4"),
        (PROXY, "For=198.51.100.4:80;proto=https", "198.51.100.4"),
        (PROXY, 'for="198.51.100.4:80"', "198.51.100.4"),
        (PROXY, 'for="[2001:db8:1:2::9]:4711"', "2001:db8:1:2::/64"),
        (PROXY, 'proto=https;for="[2001:db8:1:2::9]"', "2001:db8:1:2::/64"),
        (PROXY, "for=1.2.3.4, for=198.51.100.4", "198.51.100.4"),
        (PROXY, "for=198.51.100.4, for=10.0.0.8", "198.51.100.4"),
        (PROXY, "for=unknown", PROXY),
        (PROXY, "for=_hidden", PROXY),
        (PROXY, "proto=https", PROXY),
        (PROXY, "", PROXY),
        (STRANGER, "for=198.51.100.4", STRANGER),
    ],
)
def test_the_forwarded_header_also_names_the_client(
    peer: str, forwarded: str, expected: str
) -> None:
    config = Config(trusted_proxies=("10.0.0.0/8",))
    assert client_address(config, make_request({"Forwarded": forwarded}, peer=peer)) == expected
    both = {"Forwarded": forwarded, "X-Forwarded-For": "192.0.2.77"}
    if peer == PROXY:
        assert client_address(config, make_request(both, peer=peer)) == "192.0.2.77"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("papers.example.org", True), ("8.8.8.8", True), ("[2606:4700::1]:8000", True)),
        *(("localhost:8000", False), ("127.0.0.1", False), ("[::1]:8000", False)),
        *(("10.1.2.3", False), ("192.168.1.7:8000", False), ("[fd00::7]", False)),
        *(("169.254.0.1", False), ("100.64.0.1", False), ("[::ffff:10.0.0.7]", False)),
        *(("raspberrypi", False), ("raspberrypi.local", False), ("PAPERS.LAN", False)),
        *(("localhost.example.org", True), ("lan.example.org", True)),
    ],
)
def test_servers_on_the_internet_reach_public_hosts_only(host: str, expected: bool) -> None:
    assert is_public_url(f"http://{host}/papers.atom?q=causal") is expected
