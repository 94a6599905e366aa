"""Where the server says that it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.models import Feed
from feedsrv.web.app import create_app
from tests.support.clock import Clock

PROXY, STRANGER = "10.0.0.7", "203.0.113.9"
BEHIND = "https://papers.example.org/feeds-of/papers"
FORWARDED = {
    "Host": "127.0.0.1:8000",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "papers.example.org",
    "X-Forwarded-Prefix": "/feeds-of/papers",
}


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
