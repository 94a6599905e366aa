"""Requests of web pages of other origins: OPTIONS and CORS (Fetch standard)."""

import pytest
from flask.testing import FlaskClient

from tests.support.types import MakeClient

PREFLIGHT = {
    "Origin": "https://reader.example",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "if-modified-since,if-none-match",
}


@pytest.mark.parametrize(
    "path",
    [
        "/papers.atom?q=causal",
        "/papers.rss",
        "/papers.json",
        "/papers/q/causal.atom",
        "/papers/week.atom",
        "/papers/date/2026-11-24.atom",
        "/feeds/causal.atom",
        "/feeds/causal+sea.json",
        "/feeds.opml",
        "/status.json",
        "/openapi.json",
    ],
)
def test_a_page_of_another_origin_may_send_validators(
    sample_client: FlaskClient, path: str
) -> None:
    response = sample_client.options(path, headers=PREFLIGHT)
    assert response.status_code == 204
    assert response.data == b""
    assert "Content-Type" not in response.headers
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "GET" in response.headers["Access-Control-Allow-Methods"]
    allowed = response.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    assert {"if-none-match", "if-modified-since"} <= set(allowed)
    assert int(response.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in response.headers


def test_the_request_after_the_preflight_may_be_read(sample_client: FlaskClient) -> None:
    first = sample_client.get("/papers.atom", headers={"Origin": PREFLIGHT["Origin"]})
    not_modified = sample_client.get(
        "/papers.atom", headers={"If-None-Match": first.headers["ETag"]}
    )
    failed = sample_client.get("/papers.atom", headers={"If-Match": '"other"'})
    invalid = sample_client.get("/papers.atom?q=%28")
    statuses = [each.status_code for each in (first, not_modified, failed, invalid)]
    assert statuses == [200, 304, 412, 400]
    for response in (first, not_modified, failed, invalid):
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("path", ["/", "/papers", "/papers?q=causal", "/feeds/causal", "/status"])
def test_options_of_a_page_names_the_methods_and_permits_nothing_else(
    sample_client: FlaskClient, path: str
) -> None:
    response = sample_client.options(path, headers=PREFLIGHT)
    assert response.status_code == 204
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_private_server_permits_nothing(make_client: MakeClient) -> None:
    response = make_client(access_key="the-key").options("/papers.atom", headers=PREFLIGHT)
    assert response.status_code == 204
    assert not [name for name in dict(response.headers) if name.startswith("Access-Control")]


def test_options_of_an_unknown_path_is_404(sample_client: FlaskClient) -> None:
    assert sample_client.options("/nothing", headers=PREFLIGHT).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_get_405_with_the_allowed_ones(
    sample_client: FlaskClient, method: str
) -> None:
    response = sample_client.open("/papers.atom", method=method)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"
