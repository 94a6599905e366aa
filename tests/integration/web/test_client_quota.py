"""The quota of new keywords for each client."""

import pytest
from flask.testing import FlaskClient

from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream

KEY = "k3y-of/the+lighthouse"


@pytest.fixture
def limited_client(make_service: MakeService) -> FlaskClient:
    return create_app(make_service(new_keywords=8)).test_client()  # two at once


def searches(upstream: FakeUpstream) -> list[str]:
    return [path for path in upstream.requests if path.startswith("/papers?q=")]


def test_a_client_over_its_quota_gets_stored_papers_and_the_search_later(
    limited_client: FlaskClient, clock: Clock, upstream: FakeUpstream
) -> None:
    for query in ("fog", "ferry", "tide"):
        assert limited_client.get(f"/papers.atom?q={query}").status_code == 200
    assert searches(upstream) == ["/papers?q=fog", "/papers?q=ferry"]
    clock.forward(seconds=60)
    limited_client.get("/papers.atom?q=tide")
    assert len(searches(upstream)) == 2, "asking again does not help"
    clock.forward(seconds=450)
    limited_client.get("/papers.atom?q=tide")
    assert searches(upstream)[2:] == ["/papers?q=tide"]


def test_sixty_new_keywords_at_once_all_get_their_papers(
    make_service: MakeService, clock: Clock, upstream: FakeUpstream
) -> None:
    client = create_app(make_service(new_keywords=120)).test_client()
    queries = [f"causal OR word{number}" for number in range(60)]
    for query in queries:
        response = client.get("/papers.atom", query_string={"q": query})
        assert response.status_code == 200
        assert b"Causal lighthouses" in response.data
        assert "max-age=" in response.headers["Cache-Control"]
    assert 0 < len(searches(upstream)) <= 30, "the quota, and what upstream allows"
    for _ in range(3):
        clock.forward(hours=1)
        for query in queries:
            assert client.get("/papers.atom", query_string={"q": query}).status_code == 200
    assert len(set(searches(upstream))) == 60, "searches come later"


def test_an_old_list_that_was_never_requested_counts_as_a_new_keyword(
    limited_client: FlaskClient,
) -> None:
    for day in ("2026-03-02", "2026-03-03"):
        assert limited_client.get(f"/papers/date/{day}.atom").status_code == 200
    refused = limited_client.get("/papers/date/2026-03-04.atom")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "450"
    assert limited_client.get("/papers/date/2026-03-02.atom").status_code == 200
    assert limited_client.get("/papers/date/2026-11-23.atom").status_code == 200, "of the window"


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
