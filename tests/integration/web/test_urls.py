"""Where the server says that it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from feedsrv.config import Config
from feedsrv.errors import ParameterError
from feedsrv.feeds.service import Service
from feedsrv.models import Feed
from feedsrv.web.app import create_app
from feedsrv.web.urls import base_url, build_url
from feedsrv.web.urls import client_address as asker
from tests.support.clock import Clock

PROXY, STRANGER = "10.0.0.7", "203.0.113.9"
FORWARDED = {
    "Host": "127.0.0.1:8000",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "papers.example.org",
    "X-Forwarded-Prefix": "/feeds-of/papers",
}


def where(
    headers: Mapping[str, str], *, peer: str = PROXY, scheme: str = "http", **settings: Any
) -> str:
    return base_url(Config(**settings), scheme=scheme, peer=peer, headers=Headers(dict(headers)))


# --- the address that a request came to ----------------------------------------------------------


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
    assert where({"Host": host}, scheme=scheme) == expected


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
        where({})


# --- public_url ----------------------------------------------------------------------------------


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
        assert where(headers, public_url=public, trusted_proxies=proxies) == expected


# --- proxies -------------------------------------------------------------------------------------

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
    assert where(FORWARDED, peer=peer, trusted_proxies=proxies) == expected


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
    assert where(given, trusted_proxies=(PROXY,)) == expected


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
        where(headers, trusted_proxies=(PROXY,))
    assert where(headers, peer=STRANGER, trusted_proxies=(PROXY,)) == "http://a.example"


# --- parameters ----------------------------------------------------------------------------------


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


# --- in answers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    config = Config(
        spacing=0.0,
        history_days=1,
        demo=True,
        cache_dir=tmp_path_factory.mktemp("store"),
        trusted_proxies=(PROXY,),
        feeds={"causal": Feed(name="causal", title="Causal matters", query="causal")},
    )
    service = Service.open(config, now=Clock())
    yield create_app(service).test_client()
    service.close()


PATHS = [
    "/papers.atom?q=causal",
    "/papers.rss",
    "/papers.json",
    "/papers",
    "/feeds/causal.atom",
    "/feeds.opml",
    "/",
]


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_for_one_host_never_holds_the_address_of_another(
    client: FlaskClient, path: str
) -> None:
    """Nor does what was kept for one serve the other."""
    hosts = ["nas.local:8000", "papers.example.org", "[2001:db8::5]:8000"]
    seen = set()
    for host in [*hosts, *hosts]:
        answer = client.get(path, headers={"Host": host})
        text = answer.get_data(as_text=True) + str(answer.headers)
        assert f"http://{host}/" in text
        assert not [other for other in hosts if other != host and other in text]
        seen.add((host, answer.headers.get("ETag"), answer.data))
    assert len(seen) == len(hosts), "the same host gets the same bytes again"


@pytest.mark.parametrize("path", PATHS)
def test_what_a_stranger_forwards_is_nowhere_in_an_answer(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers=FORWARDED, environ_base={"REMOTE_ADDR": STRANGER})
    text = answer.get_data(as_text=True) + str(answer.headers)
    assert "papers.example.org" not in text
    assert "feeds-of" not in text


@pytest.mark.parametrize("path", PATHS)
def test_behind_a_trusted_proxy_every_address_of_ours_is_the_proxys(
    client: FlaskClient, path: str
) -> None:
    answer = client.get(path, headers=FORWARDED, environ_base={"REMOTE_ADDR": PROXY})
    text = answer.get_data(as_text=True) + str(answer.headers)
    assert "127.0.0.1" not in text
    ours = re.findall(r"https?://papers\.example\.org[^\s\"<>]*", text)
    assert ours
    assert all(url.startswith(f"{BEHIND}/") for url in ours)


@pytest.mark.parametrize("path", [*PATHS, "/feeds/none.atom"])
@pytest.mark.parametrize("host", ["a b", 'x"><script>'])
def test_a_malformed_host_gets_a_problem_and_no_address(
    client: FlaskClient, path: str, host: str
) -> None:
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert "Host" in json.loads(answer.data)["detail"]


# --- who asks --------------------------------------------------------------------------------


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
