"""Error responses: pages for browsers, problem+json for other clients."""

import json

import pytest
from flask.testing import FlaskClient
from werkzeug.exceptions import InternalServerError, MethodNotAllowed, NotFound

from feedsrv.errors import (
    FeedsrvError,
    MailError,
    NoDataYetError,
    ParameterError,
    QueryError,
    QuotaExceededError,
    SignUpQuotaError,
    StoreError,
    TokenError,
    UnauthorizedError,
    UnknownFeedError,
)
from feedsrv.feeds.service import Service
from feedsrv.web import load_shedding
from feedsrv.web.problems import problem_from_error, problem_from_http_error
from tests.support.html import BROWSER, parse_html, select_one, text_of
from tests.support.upstream import FakeUpstream

MINIFLUX = (
    "application/xml, application/atom+xml, application/rss+xml, application/rdf+xml,"
    " application/feed+json, text/html, */*;q=0.9"
)


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/nothing", 404, "Not Found"),
        ("/papers.pdf", 404, "Unknown format .pdf"),
        ("/feeds/fog%20banks", 404, "There is no feed called 'fog banks'."),
        ("/papers.atom?limit=0", 400, "Limit must be a number from 1 to 200, not '0'."),
        ("/papers?q=fog+OR", 400, "Expected a word or quoted words here."),
    ],
)
@pytest.mark.parametrize("accept", [BROWSER, "text/html"])
def test_errors_are_pages_for_browsers_and_problem_json_for_other_clients(
    client: FlaskClient, path: str, status: int, sentence: str, accept: str
) -> None:
    response = client.get(path, headers={"Accept": accept})
    page = parse_html(response, status)
    assert sentence in text_of(select_one(page, "main"))
    assert select_one(page, "input[name=q]")
    assert response.headers["Cache-Control"] == "no-store"
    for other_accept in (
        "",
        "*/*",
        "application/atom+xml",
        MINIFLUX,
        "application/rss+xml,text/html",
    ):
        problem = client.get(path, headers={"Accept": other_accept})
        assert problem.status_code == status
        assert problem.content_type == "application/problem+json"


@pytest.mark.parametrize("path", ["/papers.atom", "/papers", "/preview", "/"])
def test_a_query_that_is_not_utf8_gets_a_400_with_the_reason(
    client: FlaskClient, path: str
) -> None:
    problem = client.get(path, query_string="q=caf%E9")
    assert problem.status_code == 400
    assert problem.get_json()["detail"].startswith("q must be encoded as UTF-8")
    page = parse_html(client.get(path, query_string="q=caf%E9", headers={"Accept": BROWSER}), 400)
    assert "Q must be encoded as UTF-8" in text_of(select_one(page, "main"))


def test_a_query_may_contain_a_replacement_character(client: FlaskClient) -> None:
    assert client.get("/papers.atom", query_string="q=caf%EF%BF%BD").status_code == 200


def test_an_error_page_links_to_feeds_and_repeats_the_query(client: FlaskClient) -> None:
    page = parse_html(client.get("/feeds/fog%20banks", headers={"Accept": BROWSER}), 404)
    links = [link["href"] for link in page.select("main a")]
    assert links == ["http://localhost/papers.atom?q=fog+banks", "http://localhost/feeds/causal"]
    invalid = parse_html(client.get("/papers?q=fog+OR", headers={"Accept": BROWSER}), 400)
    assert select_one(invalid, "input[name=q]")["value"] == "fog OR"
    assert select_one(invalid, ".query mark")


def test_an_error_page_without_data_shows_when_to_retry(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    upstream.fail()
    response = client.get("/papers", headers={"Accept": BROWSER})
    page = parse_html(response, 503)
    assert response.headers["Retry-After"] == "60"
    assert "Please try again in 60 seconds." in text_of(page)


def test_an_internal_error_page_reveals_no_details(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Service, "get_feed", lambda *args, **kwargs: 1 / 0)
    page = parse_html(client.get("/papers", headers={"Accept": BROWSER}), 500)
    assert "Internal Server Error" in text_of(page)
    assert "division" not in text_of(page)


def test_an_invalid_host_header_gets_no_page(client: FlaskClient) -> None:
    """Its links would point to an invalid host."""
    headers = {"Host": "a b", "Accept": BROWSER}
    assert client.get("/", headers=headers).content_type == "application/problem+json"
    assert client.get("/feeds/none", headers=headers).status_code == 400


# --- types -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "anchor"),
    [
        ("/papers.atom?q=%28", "invalid-query"),
        ("/papers.atom?limit=0", "invalid-parameter"),
        ("/papers.atom?match=x", "invalid-parameter"),
        ("/feeds/none.atom", "feed-not-found"),
        ("/nothing", "not-found"),
        ("/papers.pdf", "not-found"),
        ("/papers/date/2026-02-30.atom", "not-found"),
        ("/papers/week.atom", "not-fetched-yet"),
    ],
)
def test_each_type_of_problem_is_a_section_of_a_page(
    client: FlaskClient, upstream: FakeUpstream, address: str, anchor: str
) -> None:
    upstream.fail()
    problem = client.get(address).get_json()
    assert problem["type"] == f"/problems#{anchor}"
    page = parse_html(client.get("/problems"), 200)
    section = select_one(page, f"#{anchor}")
    assert text_of(section) == problem["title"]
    assert text_of(select_one(page, f"#{anchor} + dd")).startswith(f"{problem['status']}.")


def test_every_error_of_a_request_has_a_section(client: FlaskClient) -> None:
    page = parse_html(client.get("/problems"), 200)
    sections = {str(section["id"]) for section in page.select("dt[id]")}
    errors: list[FeedsrvError] = [
        QueryError("", 0, ""),
        ParameterError("", "", ""),
        UnauthorizedError(),
    ]
    errors += [QuotaExceededError("", 1), UnknownFeedError(""), NoDataYetError("", 1)]
    errors += [SignUpQuotaError("", 1), TokenError(""), StoreError("", "")]
    errors += [kind("", "") for kind in MailError.__subclasses__()]
    problems = [problem_from_error(error) for error in errors]
    problems += [problem_from_http_error(error()) for error in (NotFound, MethodNotAllowed)]
    problems.append(problem_from_http_error(InternalServerError()))
    anchors = {problem.anchor for problem in problems}
    busy = json.loads(load_shedding._BODY)
    assert sections == anchors | {busy["type"].removeprefix("/problems#")}
