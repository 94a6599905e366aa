"""Private servers: what opens what, and which keys stand in an answer."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import UnauthorizedError
from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from feedsrv.web.auth import Credentials, authenticate, feed_key
from tests.support.clock import Clock
from tests.support.loopback import Loopback

KEY = "k3y-of/the+lighthouse"
PATHS = (
    *("/", "/papers.atom", "/papers.rss?q=causal", "/papers.json?q=causal", "/papers?q=causal"),
    *("/papers/week.atom", "/feeds/causal.atom", "/feeds/causal", "/feeds.opml"),
    *("/static/style.css", "/favicon.ico", "/nothing/here", "/feeds/none.atom"),
)

# --- values in, values out -------------------------------------------------------------------


def opens(key: str, path: str, query: str = "", password: str | None = None) -> bool:
    try:
        authenticate(KEY, path=path, query=query, key=key, password=password)
    except UnauthorizedError:
        return False
    return True


def test_the_access_key_opens_everything_and_nothing_else_does() -> None:
    assert opens(KEY, "/papers.atom")
    assert opens("", "/papers.atom", password=KEY)
    for wrong in ("", "k", KEY[:-1], KEY + " ", KEY.upper(), "schlüssel", "\ud800", "\x00"):
        assert not opens(wrong, "/papers.atom")
        assert not opens("", "/papers.atom", password=wrong)


def test_an_open_server_asks_for_nothing() -> None:
    assert authenticate("", path="/", query="", key="anything", password="x") == Credentials()
    assert Credentials().key_for("/papers") == ""


@pytest.mark.parametrize("suffix", ["", ".atom", ".rss", ".json"])
def test_an_own_key_opens_its_feed_in_every_format(suffix: str) -> None:
    key = feed_key(KEY, "/papers", "world model")
    assert opens(key, f"/papers{suffix}", " world  model ")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/papers.atom", ""),
        ("/papers.atom", "world"),
        ("/papers.atom", "world modelx"),
        ("/papers/week.atom", "world model"),
        ("/papers\nworld model", ""),
        ("/", "world model"),
        ("/feeds.opml", ""),
        ("/papers.opml", "world model"),
        ("/papers.atom.rss", "world model"),
    ],
)
def test_an_own_key_opens_nothing_else(path: str, query: str) -> None:
    assert not opens(feed_key(KEY, "/papers", "world model"), path, query)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_two_addresses_have_two_keys(path: str, query: str, other: str, another: str) -> None:
    same = feed_key(KEY, f"/{path}", query) == feed_key(KEY, f"/{other}", another)
    alike = (re.sub(r"\.(atom|rss|json)$", "", f"/{path}"), query.split()) == (
        re.sub(r"\.(atom|rss|json)$", "", f"/{other}"),
        another.split(),
    )
    assert same == alike


def test_another_servers_own_keys_open_nothing() -> None:
    assert not opens(feed_key("another", "/papers"), "/papers.atom")


def test_which_keys_an_answer_may_hold() -> None:
    by_key = authenticate(KEY, path="/papers", query="fog", key=KEY, password=None)
    assert by_key.key_for("/feeds/causal") == KEY
    by_login = authenticate(KEY, path="/papers", query="fog", key="", password=KEY)
    assert by_login.key_for("/feeds/causal") == feed_key(KEY, "/feeds/causal")
    own = feed_key(KEY, "/papers", "fog")
    by_own = authenticate(KEY, path="/papers.rss", query="fog", key=own, password=None)
    assert by_own.key_for("/papers", "fog") == own
    assert by_own.key_for("/static/icon.png") == feed_key(KEY, "/static/icon.png")
    assert by_own.key_for("/papers") == by_own.key_for("/feeds/causal") == ""


# --- over HTTP -------------------------------------------------------------------------------


@pytest.fixture
def private(make_service: Callable[..., Service]) -> FlaskClient:
    return create_app(make_service(access_key=KEY)).test_client()


@pytest.mark.parametrize("path", PATHS)
def test_without_a_key_nothing_is_said_but_how_to_give_one(
    private: FlaskClient, upstream: Loopback, path: str
) -> None:
    for headers in (
        {},
        {"Authorization": "Basic !!"},
        {"Authorization": "Basic \xe9"},
        {"Authorization": "Bearer " + KEY},
    ):
        answer = private.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="feedsrv"')
        assert answer.mimetype == "application/problem+json"
        assert "key=" in answer.get_json()["detail"]
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert upstream.log == []


def test_whether_the_process_lives_is_told_to_everybody(private: FlaskClient) -> None:
    assert private.get("/healthz").status_code == 200


def with_key(path: str, key: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(path)
    return parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()} | {"key": key}


@pytest.mark.parametrize("path", PATHS[:11])
def test_the_key_opens_it_in_the_address_and_as_a_password(private: FlaskClient, path: str) -> None:
    where, asked = with_key(path, KEY)
    # Buffered: a static file is an open one until its answer is read or closed.
    assert private.get(where, query_string=asked, buffered=True).status_code == 200
    assert private.get(path, auth=("anybody", KEY), buffered=True).status_code == 200
    assert private.get(path, auth=("anybody", "wrong")).status_code == 401


def addresses(private: FlaskClient, path: str, **asked: str) -> set[str]:
    """Return each address of this server that an answer holds, in its body or its headers."""
    answer = private.get(path, query_string=asked)
    assert answer.status_code == 200
    text = unescape(answer.text).replace("\\u0026", "&") + " ".join(answer.headers.getlist("Link"))
    return set(re.findall(r"http://localhost[^\s\"<>]*", text))


@pytest.mark.parametrize("path", ["/papers.atom", "/papers.rss", "/papers.json", "/feeds.opml"])
def test_readers_keep_working_with_the_addresses_that_a_feed_gives(
    private: FlaskClient, path: str
) -> None:
    found = addresses(private, path, q="causal", key=KEY)
    assert found
    for url in found:
        assert parse_qs(urlsplit(url).query)["key"] == [KEY]
        assert private.get(url, buffered=True).status_code == 200


def test_who_logs_in_gets_addresses_that_work_without(private: FlaskClient) -> None:
    opml = private.get("/feeds.opml", auth=("me", KEY)).text
    assert KEY not in opml
    (url,) = re.findall(r'xmlUrl="([^"]+)"', opml)
    assert private.get(unescape(url)).status_code == 200
    assert private.get(unescape(url).replace("/feeds/causal", "/papers")).status_code == 401


def test_a_shared_feed_gives_away_itself_alone(private: FlaskClient) -> None:
    own = feed_key(KEY, "/papers", "causal")
    for path in ("/papers.atom", "/papers.rss", "/papers.json"):
        for url in addresses(private, path, q="causal", key=own):
            assert KEY not in url
            assert private.get(url, buffered=True).status_code == 200
    assert private.get("/papers.atom", query_string={"key": own}).status_code == 401
    other = private.get("/papers.atom", query_string={"q": "fog", "key": own})
    assert other.status_code == 401
    some = private.get("/papers.atom", query_string={"q": "causal", "limit": 1, "key": own})
    assert some.status_code == 200


def test_no_shared_cache_keeps_a_private_feed(private: FlaskClient, client: FlaskClient) -> None:
    answer = private.get("/papers.atom", query_string={"key": KEY})
    assert answer.headers["Cache-Control"].startswith("private, max-age=")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.get("/papers.atom").headers["Cache-Control"].startswith("public, max-age=")


def test_keys_stand_in_no_log_and_in_no_file(
    private: FlaskClient, upstream: Loopback, caplog: pytest.LogCaptureFixture, service: Service
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.down("/api")
    for path in PATHS:
        where, asked = with_key(path, KEY)
        private.get(where, query_string=asked, buffered=True)
        private.get(where, query_string=asked | {"key": KEY + "x"})
        private.get(path, auth=("me", KEY), buffered=True)
    assert KEY not in caplog.text
    assert KEY not in json.dumps([record.__dict__ for record in caplog.records], default=str)
    files = [file for file in service.config.cache_dir.rglob("*") if file.is_file()]
    assert files
    assert not any(KEY.encode() in file.read_bytes() for file in files)


# --- browsers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/papers.atom", "/papers.rss?q=causal", "/feeds/causal.json", "/feeds.opml"]
)
def test_readers_that_run_in_a_browser_may_read_an_open_server(
    client: FlaskClient, path: str
) -> None:
    for answer in (client.get(path), client.head(path), client.get("/papers.atom?q=(")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]


def test_pages_are_for_this_server_alone(client: FlaskClient) -> None:
    answer = client.get("/papers?q=causal")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


# --- one client's share of new keywords ------------------------------------------------------


@pytest.fixture
def scarce(make_service: Callable[..., Service]) -> FlaskClient:
    return create_app(make_service(new_keywords=8)).test_client()  # two at once


def test_one_client_gets_its_share_of_new_keywords(scarce: FlaskClient, clock: Clock) -> None:
    assert scarce.get("/papers.atom?q=fog").status_code == 200
    assert scarce.get("/papers.atom?q=ferry").status_code == 200
    refused = scarce.get("/papers.atom?q=tide")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "450"
    assert refused.get_json()["title"] == "Too many new keywords"
    clock.forward(seconds=450)
    assert scarce.get("/papers.atom?q=tide").status_code == 200
    assert scarce.get("/papers.atom?q=mole").status_code == 429


def test_known_feeds_are_never_refused(scarce: FlaskClient, clock: Clock) -> None:
    for query in ("fog", "ferry", "tide"):
        scarce.get(f"/papers.atom?q={query}")
    for path in ("/papers.atom?q=fog", "/feeds/causal.atom", "/papers.atom", "/papers/week.atom"):
        assert scarce.get(path).status_code == 200, path
    assert scarce.get("/papers/week.atom?q=harbour").status_code == 200, "no search, no cost"
    assert scarce.get("/papers.atom?q=-harbour").status_code == 200, "nothing to search for"
    clock.forward(days=2)
    assert scarce.get("/papers.atom?q=fog").status_code == 200, "stale, but known"


def test_another_client_has_a_share_of_its_own(scarce: FlaskClient) -> None:
    for query in ("fog", "ferry", "tide"):
        scarce.get(f"/papers.atom?q={query}")
    other = {"REMOTE_ADDR": "10.1.2.3"}
    assert scarce.get("/papers.atom?q=tide", environ_base=other).status_code == 200


def test_a_private_server_trusts_its_readers(make_service: Callable[..., Service]) -> None:
    app = create_app(make_service(access_key=KEY, new_keywords=4)).test_client()
    for number in range(6):
        asked = {"q": f"word{number}", "key": KEY}
        assert app.get("/papers.atom", query_string=asked).status_code == 200


def test_zero_is_no_limit(make_service: Callable[..., Service]) -> None:
    app = create_app(make_service(new_keywords=0)).test_client()
    for number in range(6):
        assert app.get(f"/papers.atom?q=word{number}").status_code == 200
