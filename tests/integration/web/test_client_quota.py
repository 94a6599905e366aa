"""One client's share of new keywords."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService

KEY = "k3y-of/the+lighthouse"


@pytest.fixture
def quota_client(make_service: MakeService) -> FlaskClient:
    return create_app(make_service(new_keywords=8)).test_client()  # two at once


def test_one_client_gets_its_share_of_new_keywords(quota_client: FlaskClient, clock: Clock) -> None:
    assert quota_client.get("/papers.atom?q=fog").status_code == 200
    assert quota_client.get("/papers.atom?q=ferry").status_code == 200
    refused = quota_client.get("/papers.atom?q=tide")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "450"
    assert refused.get_json()["title"] == "Too many new keywords"
    clock.forward(seconds=450)
    assert quota_client.get("/papers.atom?q=tide").status_code == 200
    assert quota_client.get("/papers.atom?q=mole").status_code == 429


def test_known_feeds_are_never_refused(quota_client: FlaskClient, clock: Clock) -> None:
    for query in ("fog", "ferry", "tide"):
        quota_client.get(f"/papers.atom?q={query}")
    for path in ("/papers.atom?q=fog", "/feeds/causal.atom", "/papers.atom", "/papers/week.atom"):
        assert quota_client.get(path).status_code == 200, path
    assert quota_client.get("/papers/week.atom?q=harbour").status_code == 200, "no search, no cost"
    assert quota_client.get("/papers.atom?q=-harbour").status_code == 200, "nothing to search for"
    clock.forward(days=2)
    assert quota_client.get("/papers.atom?q=fog").status_code == 200, "stale, but known"


def test_another_client_has_a_share_of_its_own(quota_client: FlaskClient) -> None:
    for query in ("fog", "ferry", "tide"):
        quota_client.get(f"/papers.atom?q={query}")
    other = {"REMOTE_ADDR": "10.1.2.3"}
    assert quota_client.get("/papers.atom?q=tide", environ_base=other).status_code == 200


def test_a_private_server_trusts_its_readers(make_service: MakeService) -> None:
    app = create_app(make_service(access_key=KEY, new_keywords=4)).test_client()
    for number in range(6):
        asked = {"q": f"word{number}", "key": KEY}
        assert app.get("/papers.atom", query_string=asked).status_code == 200


def test_zero_is_no_limit(make_service: MakeService) -> None:
    app = create_app(make_service(new_keywords=0)).test_client()
    for number in range(6):
        assert app.get(f"/papers.atom?q=word{number}").status_code == 200
