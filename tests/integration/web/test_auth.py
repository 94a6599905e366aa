"""Private servers: what opens what, and which keys stand in an answer."""

from __future__ import annotations

import json
import logging
import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from feedsrv.web.auth import feed_key
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream

KEY = "k3y-of/the+lighthouse"
PATHS = (
    *("/", "/papers.atom", "/papers.rss?q=causal", "/papers.json?q=causal", "/papers?q=causal"),
    *("/papers/week.atom", "/feeds/causal.atom", "/feeds/causal", "/feeds.opml"),
    *("/static/style.css", "/favicon.ico", "/nothing/here", "/feeds/none.atom"),
)

# --- over HTTP -------------------------------------------------------------------------------


@pytest.fixture
def private_client(make_service: MakeService) -> FlaskClient:
    return create_app(make_service(access_key=KEY)).test_client()


@pytest.mark.parametrize("path", PATHS)
def test_without_a_key_nothing_is_said_but_how_to_give_one(
    private_client: FlaskClient, upstream: FakeUpstream, path: str
) -> None:
    for headers in (
        {},
        {"Authorization": "Basic !!"},
        {"Authorization": "Basic \xe9"},
        {"Authorization": "Bearer " + KEY},
    ):
        answer = private_client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="feedsrv"')
        assert answer.mimetype == "application/problem+json"
        assert "key=" in answer.get_json()["detail"]
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert upstream.requests == []


def test_whether_the_process_lives_is_told_to_everybody(private_client: FlaskClient) -> None:
    assert private_client.get("/healthz").status_code == 200


def add_key(path: str, key: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(path)
    return parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()} | {"key": key}


@pytest.mark.parametrize("path", PATHS[:11])
def test_the_key_opens_it_in_the_address_and_as_a_password(
    private_client: FlaskClient, path: str
) -> None:
    where, asked = add_key(path, KEY)
    # Buffered: a static file is an open one until its answer is read or closed.
    assert private_client.get(where, query_string=asked, buffered=True).status_code == 200
    assert private_client.get(path, auth=("anybody", KEY), buffered=True).status_code == 200
    assert private_client.get(path, auth=("anybody", "wrong")).status_code == 401


def feed_urls(private_client: FlaskClient, path: str, **asked: str) -> set[str]:
    """Return each address of this server that an answer holds, in its body or its headers."""
    answer = private_client.get(path, query_string=asked)
    assert answer.status_code == 200
    text = unescape(answer.text).replace("\\u0026", "&") + " ".join(answer.headers.getlist("Link"))
    return set(re.findall(r"http://localhost[^\s\"<>]*", text))


@pytest.mark.parametrize("path", ["/papers.atom", "/papers.rss", "/papers.json", "/feeds.opml"])
def test_readers_keep_working_with_the_addresses_that_a_feed_gives(
    private_client: FlaskClient, path: str
) -> None:
    found = feed_urls(private_client, path, q="causal", key=KEY)
    assert found
    for url in found:
        assert parse_qs(urlsplit(url).query)["key"] == [KEY]
        assert private_client.get(url, buffered=True).status_code == 200


def test_who_logs_in_gets_addresses_that_work_without(private_client: FlaskClient) -> None:
    opml = private_client.get("/feeds.opml", auth=("me", KEY)).text
    assert KEY not in opml
    (url,) = re.findall(r'xmlUrl="([^"]+)"', opml)
    assert private_client.get(unescape(url)).status_code == 200
    assert private_client.get(unescape(url).replace("/feeds/causal", "/papers")).status_code == 401


def test_a_shared_feed_gives_away_itself_alone(private_client: FlaskClient) -> None:
    own = feed_key(KEY, "/papers", "causal")
    for path in ("/papers.atom", "/papers.rss", "/papers.json"):
        for url in feed_urls(private_client, path, q="causal", key=own):
            assert KEY not in url
            assert private_client.get(url, buffered=True).status_code == 200
    assert private_client.get("/papers.atom", query_string={"key": own}).status_code == 401
    other = private_client.get("/papers.atom", query_string={"q": "fog", "key": own})
    assert other.status_code == 401
    some = private_client.get("/papers.atom", query_string={"q": "causal", "limit": 1, "key": own})
    assert some.status_code == 200


def test_no_shared_cache_keeps_a_private_feed(
    private_client: FlaskClient, client: FlaskClient
) -> None:
    answer = private_client.get("/papers.atom", query_string={"key": KEY})
    assert answer.headers["Cache-Control"].startswith("private, max-age=")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert client.get("/papers.atom").headers["Cache-Control"].startswith("public, max-age=")


def test_keys_stand_in_no_log_and_in_no_file(
    private_client: FlaskClient,
    upstream: FakeUpstream,
    caplog: pytest.LogCaptureFixture,
    service: Service,
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.fail("/api")
    for path in PATHS:
        where, asked = add_key(path, KEY)
        private_client.get(where, query_string=asked, buffered=True)
        private_client.get(where, query_string=asked | {"key": KEY + "x"})
        private_client.get(path, auth=("me", KEY), buffered=True)
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
