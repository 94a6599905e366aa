"""The URLs of this server in its responses."""

import json
import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from feedsrv.config import Config
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Feed
from feedsrv.web.app import create_app
from tests.support.clock import Clock

PROXY, STRANGER = "10.0.0.7", "203.0.113.9"
FORWARDED_TO = "https://papers.example.org/feeds-of/papers"
FORWARDED = {
    "Host": "127.0.0.1:8000",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "papers.example.org",
    "X-Forwarded-Prefix": "/feeds-of/papers",
}


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
    service = create_service(config, now=Clock())
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
def test_a_response_for_one_host_never_contains_the_url_of_another(
    client: FlaskClient, path: str
) -> None:
    hosts = ["nas.local:8000", "papers.example.org", "[2001:db8::5]:8000"]
    seen = set()
    for host in [*hosts, *hosts]:
        response = client.get(path, headers={"Host": host})
        text = response.get_data(as_text=True) + str(response.headers)
        assert f"http://{host}/" in text
        assert not [other for other in hosts if other != host and other in text]
        seen.add((host, response.headers.get("ETag"), response.data))
    assert len(seen) == len(hosts), "the same host gets the same bytes again"


@pytest.mark.parametrize("path", PATHS)
def test_headers_forwarded_by_an_untrusted_peer_are_ignored(client: FlaskClient, path: str) -> None:
    response = client.get(path, headers=FORWARDED, environ_base={"REMOTE_ADDR": STRANGER})
    text = response.get_data(as_text=True) + str(response.headers)
    assert "papers.example.org" not in text
    assert "feeds-of" not in text


@pytest.mark.parametrize("path", PATHS)
def test_behind_a_trusted_proxy_every_url_is_the_forwarded_one(
    client: FlaskClient, path: str
) -> None:
    response = client.get(path, headers=FORWARDED, environ_base={"REMOTE_ADDR": PROXY})
    text = response.get_data(as_text=True) + str(response.headers)
    assert "127.0.0.1" not in text
    urls = re.findall(r"https?://papers\.example\.org[^\s\"<>]*", text)
    assert urls
    assert all(url.startswith(f"{FORWARDED_TO}/") for url in urls)


@pytest.mark.parametrize("path", [*PATHS, "/feeds/none.atom"])
@pytest.mark.parametrize("host", ["a b", 'x"><script>'])
def test_a_malformed_host_is_a_problem_without_urls(
    client: FlaskClient, path: str, host: str
) -> None:
    response = client.get(path, headers={"Host": host})
    assert response.status_code == 400
    assert response.content_type == "application/problem+json"
    assert "Host" in json.loads(response.data)["detail"]


@pytest.mark.parametrize("path", [*PATHS, "/papers/q/causal.atom", "/feeds/causal?q=causal"])
def test_a_mounted_application_has_the_mount_point_in_every_url(
    client: FlaskClient, path: str
) -> None:
    """SCRIPT_NAME of WSGI: set by a dispatcher or by the server."""
    mounted = Client(DispatcherMiddleware(NotFound(), {"/papers-of/lab": client.application}))
    response = mounted.get(f"/papers-of/lab{path}", headers={"Host": "a.example"})
    assert response.status_code == 200
    text = response.get_data(as_text=True) + str(response.headers)
    urls = re.findall(r"http://a\.example[^\s\"<>]*", text)
    assert urls
    assert all(url.startswith("http://a.example/papers-of/lab/") for url in urls)


def test_redirects_robots_and_problem_types_have_the_mount_point(client: FlaskClient) -> None:
    mounted = Client(DispatcherMiddleware(NotFound(), {"/lab": client.application}))
    redirect = mounted.get("/lab/papers.ATOM", headers={"Host": "a.example"})
    assert redirect.headers["Location"] == "http://a.example/lab/papers.atom"
    assert "Disallow: /lab/papers" in mounted.get("/lab/robots.txt").text
    assert mounted.get("/lab/papers.atom?q=%28").get_json()["type"] == "/lab/problems#invalid-query"


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Port": "8080"}, "http://a.example:8080"),
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Proto": "HTTPS"}, "https://a.example"),
        ({"Forwarded": 'for=192.0.2.1;host="b.example:81";proto=https'}, "https://b.example:81"),
        ({"Forwarded": "for=192.0.2.2;host=c.example"}, "http://c.example"),
    ],
)
def test_a_response_for_one_forwarded_url_is_never_sent_for_another(
    client: FlaskClient, headers: dict[str, str], url: str
) -> None:
    for _ in range(2):
        response = client.get(
            "/papers.atom?q=causal", headers=headers, environ_base={"REMOTE_ADDR": PROXY}
        )
        assert f"<{url}/papers.atom?q=causal>" in response.headers["Link"]
