"""Private servers: which key opens which URL, and which keys a response contains."""

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
from tests.support.html import BROWSER, parse_html, select_one, text_of
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
def test_without_a_key_every_response_is_401_with_instructions(
    private_client: FlaskClient, upstream: FakeUpstream, path: str
) -> None:
    for headers in (
        {},
        {"Authorization": "Basic !!"},
        {"Authorization": "Basic \xe9"},
        {"Authorization": "Bearer " + KEY},
    ):
        response = private_client.get(path, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith('Basic realm="feedsrv"')
        assert response.mimetype == "application/problem+json"
        assert "key=" in response.get_json()["detail"]
        assert "Access-Control-Allow-Origin" not in response.headers
    assert upstream.requests == []


def test_the_page_without_a_key_links_nothing_that_needs_one(private_client: FlaskClient) -> None:
    page = parse_html(private_client.get("/", headers={"Accept": BROWSER}), 401)
    assert text_of(select_one(page, "h1")) == "Key required"
    assert not page.select("[href^='http://localhost'], [src], form")


def test_healthz_needs_no_key(private_client: FlaskClient) -> None:
    assert private_client.get("/healthz").status_code == 200


def add_key(path: str, key: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(path)
    return parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()} | {"key": key}


@pytest.mark.parametrize("path", PATHS[:11])
def test_the_key_works_in_the_url_and_as_a_password(private_client: FlaskClient, path: str) -> None:
    url, parameters = add_key(path, KEY)
    # Buffering closes the file of a static response.
    assert private_client.get(url, query_string=parameters, buffered=True).status_code == 200
    assert private_client.get(path, auth=("anybody", KEY), buffered=True).status_code == 200
    assert private_client.get(path, auth=("anybody", "wrong")).status_code == 401


def urls_in_response(private_client: FlaskClient, path: str, **parameters: str) -> set[str]:
    """Return each URL of this server in the body or the headers of the response."""
    response = private_client.get(path, query_string=parameters)
    assert response.status_code == 200
    text = unescape(response.text).replace("\\u0026", "&") + " ".join(
        response.headers.getlist("Link")
    )
    return set(re.findall(r"http://localhost[^\s\"<>]*", text))


@pytest.mark.parametrize("path", ["/papers.atom", "/papers.rss", "/papers.json", "/feeds.opml"])
def test_the_urls_in_a_feed_work_in_a_reader(private_client: FlaskClient, path: str) -> None:
    urls = urls_in_response(private_client, path, q="causal", key=KEY)
    assert urls
    for url in urls:
        assert parse_qs(urlsplit(url).query)["key"] == [KEY]
        assert private_client.get(url, buffered=True).status_code == 200


def test_a_client_with_a_password_gets_urls_that_work_without_one(
    private_client: FlaskClient,
) -> None:
    opml = private_client.get("/feeds.opml", auth=("me", KEY)).text
    assert KEY not in opml
    (url,) = re.findall(r'xmlUrl="([^"]+)"', opml)
    assert private_client.get(unescape(url)).status_code == 200
    assert private_client.get(unescape(url).replace("/feeds/causal", "/papers")).status_code == 401


def test_a_feed_key_only_gives_access_to_its_feed(private_client: FlaskClient) -> None:
    own = feed_key(KEY, "/papers", "causal")
    for path in ("/papers.atom", "/papers.rss", "/papers.json"):
        for url in urls_in_response(private_client, path, q="causal", key=own):
            assert KEY not in url
            assert private_client.get(url, buffered=True).status_code == 200
    assert private_client.get("/papers.atom", query_string={"key": own}).status_code == 401
    other = private_client.get("/papers.atom", query_string={"q": "fog", "key": own})
    assert other.status_code == 401
    some = private_client.get("/papers.atom", query_string={"q": "causal", "limit": 1, "key": own})
    assert some.status_code == 200


def test_shared_caches_must_not_store_a_private_feed(
    private_client: FlaskClient, client: FlaskClient
) -> None:
    response = private_client.get("/papers.atom", query_string={"key": KEY})
    assert response.headers["Cache-Control"].startswith("private, max-age=")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert client.get("/papers.atom").headers["Cache-Control"].startswith("public, max-age=")


def test_no_log_and_no_file_contains_a_key(
    private_client: FlaskClient,
    upstream: FakeUpstream,
    caplog: pytest.LogCaptureFixture,
    service: Service,
) -> None:
    caplog.set_level(logging.DEBUG)
    upstream.fail("/api")
    for path in PATHS:
        url, parameters = add_key(path, KEY)
        private_client.get(url, query_string=parameters, buffered=True)
        private_client.get(url, query_string=parameters | {"key": KEY + "x"})
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
def test_readers_that_run_in_a_browser_may_read_a_public_server(
    client: FlaskClient, path: str
) -> None:
    for response in (client.get(path), client.head(path), client.get("/papers.atom?q=(")):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in response.headers["Access-Control-Expose-Headers"]


def test_pages_may_not_be_read_by_other_origins(client: FlaskClient) -> None:
    response = client.get("/papers?q=causal")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/static/style.css", "/favicon.ico", "/openapi.json"])
def test_shared_caches_store_nothing_of_a_private_server(
    private_client: FlaskClient, client: FlaskClient, path: str
) -> None:
    with private_client.get(path, auth=("feedsrv", KEY)) as response:
        assert response.status_code == 200
        directives = response.headers["Cache-Control"].split(", ")
        assert "private" in directives
        assert "public" not in directives
    with client.get(path) as response:
        assert "private" not in response.headers.get("Cache-Control", "")
