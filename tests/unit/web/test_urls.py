"""The server's own address, and the client's, from settings and headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from werkzeug.datastructures import Headers

from feedsrv.config import Config
from feedsrv.errors import ParameterError
from feedsrv.web.urls import base_url, build_url
from feedsrv.web.urls import client_address as asker

PROXY, STRANGER = "10.0.0.7", "203.0.113.9"


FORWARDED = {
    "Host": "127.0.0.1:8000",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "papers.example.org",
    "X-Forwarded-Prefix": "/feeds-of/papers",
}


def base_url_of(
    headers: Mapping[str, str], *, peer: str = PROXY, scheme: str = "http", **settings: Any
) -> str:
    return base_url(Config(**settings), scheme=scheme, peer=peer, headers=Headers(dict(headers)))


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
def test_without_settings_the_address_is_the_one_that_was_asked(
    host: str, scheme: str, expected: str
) -> None:
    assert base_url_of({"Host": host}, scheme=scheme) == expected


@pytest.mark.parametrize(
    "host",
    [
        "", "a b", "a/b", "user@host", 'x"><script>', "a:port", "a:", ":80", "a:123456", "[::1",
        "::1", "[::g]", "[]", "ä.example", "a\r\nb", "a?b", "a#b", "a,b", "a" * 254, "a\n",
    ],
)  # fmt: skip
def test_a_malformed_host_is_refused(host: str) -> None:
    headers = Headers()
    headers._list = [("Host", host)]  # werkzeug refuses line breaks itself
    with pytest.raises(ParameterError, match="Host"):
        base_url(Config(), scheme="http", peer=STRANGER, headers=headers)


def test_a_request_without_a_host_is_refused() -> None:
    with pytest.raises(ParameterError, match="Host"):
        base_url_of({})


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
def test_public_url_beats_all_that_a_request_says(
    public: str, expected: str, headers: dict[str, str]
) -> None:
    for proxies in ((), (PROXY,)):
        assert base_url_of(headers, public_url=public, trusted_proxies=proxies) == expected


BEHIND = "https://papers.example.org/feeds-of/papers"


DIRECT = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("peer", "proxies", "expected"),
    [
        (PROXY, (), DIRECT),
        (PROXY, ("10.0.0.7",), BEHIND),
        (PROXY, ("10.0.0.0/8",), BEHIND),
        (PROXY, ("10.0.0.7/8",), BEHIND),
        (PROXY, ("192.168.0.0/16", "10.0.0.7"), BEHIND),
        (PROXY, ("10.0.0.8",), DIRECT),
        (PROXY, ("10.0.0.0/30",), DIRECT),
        (STRANGER, ("10.0.0.0/8",), DIRECT),
        (STRANGER, ("0.0.0.0/0",), BEHIND),
        ("::1", ("::1",), BEHIND),
        ("fd00::7", ("fd00::/8",), BEHIND),
        ("2001:db8::7", ("fd00::/8", "10.0.0.0/8"), DIRECT),
        # How a server that listens on both families sees one that came by the older.
        ("::ffff:10.0.0.7", ("10.0.0.0/8",), BEHIND),
        ("::ffff:203.0.113.9", ("10.0.0.0/8",), DIRECT),
        ("", ("10.0.0.0/8",), DIRECT),
        ("unix:", ("10.0.0.0/8",), DIRECT),
    ],
)
def test_forwarded_headers_are_believed_from_trusted_proxies_alone(
    peer: str, proxies: tuple[str, ...], expected: str
) -> None:
    assert base_url_of(FORWARDED, peer=peer, trusted_proxies=proxies) == expected


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
        ({"Forwarded": "host=evil.example;proto=https"}, "http://127.0.0.1:8000"),
        ({"X-Forwarded-For": STRANGER, "X-Forwarded-Port": "81"}, "http://127.0.0.1:8000"),
    ],
)
def test_of_what_a_trusted_proxy_says_the_last_value_counts(
    headers: dict[str, str], expected: str
) -> None:
    given = {"Host": "127.0.0.1:8000"} | headers
    assert base_url_of(given, trusted_proxies=(PROXY,)) == expected


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
    ],
)
def test_what_is_malformed_is_refused_from_a_trusted_proxy_and_not_seen_from_others(
    name: str, value: str
) -> None:
    headers = {"Host": "a.example", name: value}
    with pytest.raises(ParameterError, match=r"Host|X-Forwarded"):
        base_url_of(headers, trusted_proxies=(PROXY,))
    assert base_url_of(headers, peer=STRANGER, trusted_proxies=(PROXY,)) == "http://a.example"


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
def test_parameters_stand_in_one_order_and_are_quoted(
    query: str, limit: int | None, expected: str
) -> None:
    assert build_url("http://a", "/papers", q=query, limit=limit) == f"http://a/papers{expected}"


@pytest.mark.parametrize(
    ("peer", "forwarded", "who"),
    [
        (STRANGER, "", STRANGER),
        (STRANGER, "198.51.100.4", STRANGER),  # anybody may write that
        (PROXY, "", PROXY),
        (PROXY, "198.51.100.4", "198.51.100.4"),
        (PROXY, "1.2.3.4, 198.51.100.4", "198.51.100.4"),  # the proxy adds behind
        (PROXY, "198.51.100.4, 10.0.0.8", "198.51.100.4"),  # two proxies of ours
        (PROXY, "nonsense", PROXY),
        (PROXY, "198.51.100.4,", "198.51.100.4"),
        (f"::ffff:{STRANGER}", "", STRANGER),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),  # a household has a whole network
        (PROXY, "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("unknown", "", "unknown"),
    ],
)
def test_who_asks_is_the_last_address_that_can_be_believed(
    peer: str, forwarded: str, who: str
) -> None:
    config = Config(trusted_proxies=("10.0.0.0/8",))
    headers = Headers({"X-Forwarded-For": forwarded})
    assert asker(config, peer=peer, headers=headers) == who
