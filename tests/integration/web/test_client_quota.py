"""The quota of new keywords for each client."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService

KEY = "k3y-of/the+lighthouse"


@pytest.fixture
def limited_client(make_service: MakeService) -> FlaskClient:
    return create_app(make_service(new_keywords=8)).test_client()  # two at once


def test_a_client_that_exceeds_its_quota_gets_429(
    limited_client: FlaskClient, clock: Clock
) -> None:
    assert limited_client.get("/papers.atom?q=fog").status_code == 200
    assert limited_client.get("/papers.atom?q=ferry").status_code == 200
    refused = limited_client.get("/papers.atom?q=tide")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "450"
    assert refused.get_json()["title"] == "Too many new keywords"
    clock.forward(seconds=450)
    assert limited_client.get("/papers.atom?q=tide").status_code == 200
    assert limited_client.get("/papers.atom?q=mole").status_code == 429


def test_known_feeds_are_not_limited(limited_client: FlaskClient, clock: Clock) -> None:
    for query in ("fog", "ferry", "tide"):
        limited_client.get(f"/papers.atom?q={query}")
    for path in ("/papers.atom?q=fog", "/feeds/causal.atom", "/papers.atom", "/papers/week.atom"):
        assert limited_client.get(path).status_code == 200, path
    assert limited_client.get("/papers/week.atom?q=harbour").status_code == 200, (
        "it needs no search"
    )
    assert limited_client.get("/papers.atom?q=-harbour").status_code == 200, "nothing to search for"
    clock.forward(days=2)
    assert limited_client.get("/papers.atom?q=fog").status_code == 200, "stale, but known"


def test_each_client_has_its_own_quota(limited_client: FlaskClient) -> None:
    for query in ("fog", "ferry", "tide"):
        limited_client.get(f"/papers.atom?q={query}")
    other = {"REMOTE_ADDR": "10.1.2.3"}
    assert limited_client.get("/papers.atom?q=tide", environ_base=other).status_code == 200


def test_a_private_server_has_no_quota(make_service: MakeService) -> None:
    client = create_app(make_service(access_key=KEY, new_keywords=4)).test_client()
    for number in range(6):
        parameters = {"q": f"word{number}", "key": KEY}
        assert client.get("/papers.atom", query_string=parameters).status_code == 200


def test_zero_means_no_limit(make_service: MakeService) -> None:
    client = create_app(make_service(new_keywords=0)).test_client()
    for number in range(6):
        assert client.get(f"/papers.atom?q=word{number}").status_code == 200
