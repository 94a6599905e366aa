"""Feeds, errors and probes over HTTP."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import feedparser
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from feedsrv.config import Config
from feedsrv.errors import ERROR_MAP, ClientError, FeedsrvError, MailError, UpstreamError
from feedsrv.feeds.service import Service
from tests.support.types import MakeClient
from tests.support.upstream import FakeUpstream, make_raw_paper


def parse_atom(response: TestResponse) -> Any:
    assert response.status_code == 200
    assert response.content_type == "application/atom+xml; charset=utf-8"
    feed = feedparser.parse(response.data)
    assert not feed.bozo
    return feed


def parse_problem(response: TestResponse, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = json.loads(response.data)
    assert body["status"] == status
    assert body["title"]
    return body


def self_url(feed: Any) -> str:
    (url,) = [link.href for link in feed.feed.links if link.rel == "self"]
    return str(url)


# --- feeds -------------------------------------------------------------------------------------


def test_a_keyword_has_a_feed(client: FlaskClient) -> None:
    feed = parse_atom(client.get("/papers.atom?q=causal"))
    assert feed.feed.title == "Daily Papers: causal"
    assert [entry.title for entry in feed.entries] == [
        "A study of lighthouse number 3",
        "Causal lighthouses",
        "Causality by the sea",
    ]
    assert feed.entries[1].published == "2026-11-24T00:46:41+00:00"


@pytest.mark.parametrize(
    ("path", "title", "count"),
    [
        ("/papers.atom", "Daily Papers", 3),
        ("/papers.atom?q=", "Daily Papers", 3),
        ("/papers/trending.atom", "Trending papers", 5),
        ("/papers/week.atom", "Daily Papers of the week", 5),
        ("/papers/month.atom", "Daily Papers of the month", 5),
        ("/papers/trending.atom?q=causal", "Trending papers: causal", 3),
        ("/papers.atom?q=causal&limit=2", "Daily Papers: causal", 2),
        ("/papers.atom?q=nothing+like+it", "Daily Papers: nothing like it", 0),
        ("/papers.atom?q=-causal", "Daily Papers: -causal", 1),
        ("/feeds/causal.atom", "Causal matters", 3),
        ("/feeds/causal.atom?limit=1", "Causal matters", 1),
    ],
)
def test_each_url_has_its_feed(client: FlaskClient, path: str, title: str, count: int) -> None:
    feed = parse_atom(client.get(path))
    assert feed.feed.title == title
    assert len(feed.entries) == count


def test_a_configured_feed_and_the_same_query_ad_hoc_have_one_id(client: FlaskClient) -> None:
    configured, adhoc = (
        parse_atom(client.get(path)) for path in ("/feeds/causal.atom", "/papers.atom?q=causal")
    )
    assert configured.feed.id == adhoc.feed.id
    assert [entry.id for entry in configured.entries] == [entry.id for entry in adhoc.entries]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/papers.atom", "/papers.atom"),
        ("/papers.atom?q=Causal", "/papers.atom?q=Causal"),
        ("/papers.atom?limit=7&q=causal", "/papers.atom?q=causal&limit=7"),
        ("/papers.atom?q=causal&utm_source=x&_=1", "/papers.atom?q=causal"),
        ("/papers.atom?q=%22world+model%22+-survey", "/papers.atom?q=%22world+model%22+-survey"),
        ("/papers.atom?q=C%2B%2B", "/papers.atom?q=C%2B%2B"),
        ("/papers.atom?q=%20a%20%20b%09", "/papers.atom?q=a+b"),
        ("/papers.atom?q=caf%C3%A9", "/papers.atom?q=caf%C3%A9"),
        ("/papers.atom?q=first&q=second", "/papers.atom?q=first"),
        ("/feeds/causal.atom?unknown=ignored", "/feeds/causal.atom"),
        ("/papers/week.atom?limit=3", "/papers/week.atom?limit=3"),
    ],
)
def test_self_is_the_url_with_the_known_parameters_in_order(
    client: FlaskClient, path: str, expected: str
) -> None:
    """Readers update their subscription from it: without the query they would get every paper."""
    assert self_url(parse_atom(client.get(path))) == f"http://localhost{expected}"


def test_self_has_the_host_of_the_request(client: FlaskClient) -> None:
    for host in ("raspberrypi.local:8000", "192.168.1.7:8000", "[fd00::7]:8000", "papers"):
        feed = parse_atom(client.get("/papers.atom", headers={"Host": host}))
        assert self_url(feed) == f"http://{host}/papers.atom"


@pytest.mark.parametrize("public", ["https://lab.example/papers-feeds", "https://lab.example/"])
def test_self_has_the_public_url_where_one_is_set(make_client: MakeClient, public: str) -> None:
    client = make_client(public_url=public)
    feed = parse_atom(client.get("/papers.atom?q=causal", headers={"Host": "evil.example"}))
    assert self_url(feed) == f"{public.rstrip('/')}/papers.atom?q=causal"


@pytest.mark.parametrize("host", ["a b", 'x"><script>', "a/b", "user@host", "[::1", "a:port", "ä"])
def test_a_malformed_host_is_refused(client: FlaskClient, host: str) -> None:
    parse_problem(client.get("/papers.atom", headers={"Host": host}), 400)


def test_head_is_get_without_a_body(client: FlaskClient) -> None:
    got, head = client.get("/papers.atom?q=causal"), client.head("/papers.atom?q=causal")
    assert head.status_code == 200
    assert head.data == b""
    assert head.headers["ETag"] == got.headers["ETag"]
    assert head.headers["Content-Length"] == got.headers["Content-Length"]


# --- validators --------------------------------------------------------------------------------


def test_a_reader_whose_copy_is_current_gets_304(client: FlaskClient) -> None:
    first = client.get("/papers.atom?q=causal")
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    for value in (etag, etag.removeprefix("W/"), f'"other", {etag}', "*"):
        response = client.get("/papers.atom?q=causal", headers={"If-None-Match": value})
        assert response.status_code == 304, value
        assert response.data == b""
        assert response.headers["ETag"] == etag
        assert response.headers["Cache-Control"] == first.headers["Cache-Control"]
    other = client.get("/papers.atom?q=causal", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_changed_votes_do_not_change_the_etag(
    client: FlaskClient, service: Service, upstream: FakeUpstream
) -> None:
    etag = client.get("/papers.atom?q=causal").headers["ETag"]
    for paper in upstream.papers:
        paper["upvotes"] += 100
    service.refresh_page(service.newest_day())
    response = client.get("/papers.atom?q=causal", headers={"If-None-Match": etag})
    assert response.status_code == 304
    upstream.papers.append(make_raw_paper(8, title="Causal buoys"))
    service.refresh_page(service.newest_day())
    assert client.get("/papers.atom?q=causal", headers={"If-None-Match": etag}).status_code == 200


def test_max_age_is_the_time_until_the_next_poll(client: FlaskClient) -> None:
    assert client.get("/papers/week.atom").headers["Cache-Control"] == (
        "public, max-age=3600, stale-while-revalidate=3600, stale-if-error=86400"
    )
    assert "max-age=1200," in client.get("/papers.atom").headers["Cache-Control"]


# --- errors ------------------------------------------------------------------------------------


def test_a_malformed_query_is_a_problem_with_its_position(client: FlaskClient) -> None:
    body = parse_problem(client.get("/papers.atom?q=causal+%28a+OR"), 400)
    assert body["position"] == 12
    assert body["pointer"] == "causal (a OR\n            ^"
    assert "expected a word" in body["detail"]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "many", "1.5", "", "1e2", "٣x"])
def test_a_malformed_limit_is_refused(client: FlaskClient, limit: str) -> None:
    body = parse_problem(client.get("/papers.atom", query_string={"limit": limit}), 400)
    assert body["detail"] == f"limit must be a number from 1 to 200, not {limit!r}"


def test_an_unknown_feed_is_404_with_the_url_of_the_ad_hoc_feed(client: FlaskClient) -> None:
    body = parse_problem(client.get("/feeds/diffusion%20models.atom"), 404)
    assert body["feeds"] == ["causal"]
    assert body["instead"] == "http://localhost/papers.atom?q=diffusion+models"
    assert client.get(body["instead"]).status_code == 200


@pytest.mark.parametrize("path", ["/papers.pdf", "/papers/week.XML", "/feeds/causal.xml"])
def test_an_unknown_format_is_404_with_the_known_ones(client: FlaskClient, path: str) -> None:
    assert ".atom" in parse_problem(client.get(path), 404)["detail"]


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/papers/year.atom", "/feeds/", "/papers/2611.1", "/%00", "/papers/date"],
)
def test_an_unknown_path_is_404(client: FlaskClient, path: str) -> None:
    parse_problem(client.get(path), 404)


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_only_get_and_head_are_allowed(client: FlaskClient, method: str) -> None:
    response = getattr(client, method)("/papers.atom")
    parse_problem(response, 405)
    assert "GET" in response.headers["Allow"]


def test_without_a_stored_listing_a_failure_is_503_with_reason_and_retry_after(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    upstream.fail()
    response = client.get("/papers.atom?q=causal")
    body = parse_problem(response, 503)
    assert response.headers["Retry-After"] == "60"
    assert body["retry_after"] == 60
    assert "HTTP 503" in body["detail"]


def test_a_stored_feed_is_200_with_the_same_bytes_while_upstream_fails(
    client: FlaskClient, upstream: FakeUpstream, clock: Any
) -> None:
    before = client.get("/feeds/causal.atom")
    upstream.fail()
    clock.forward(days=2)
    after = client.get("/feeds/causal.atom")
    assert after.status_code == 200
    assert after.data == before.data


def test_an_unhandled_exception_is_500_without_details(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Service, "get_feed", lambda *args, **kwargs: 1 / 0)
    body = parse_problem(client.get("/papers.atom"), 500)
    assert body.keys() == {"type", "title", "status", "detail"}
    assert "Unhandled exception in GET /papers.atom" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def all_errors(kind: type[FeedsrvError]) -> set[type[FeedsrvError]]:
    """Return the class and its subclasses, without those that are only raised as another one."""
    found = {kind}.union(*map(all_errors, kind.__subclasses__()))
    return found - {FeedsrvError, ClientError, MailError, UpstreamError}


def test_every_error_has_a_status() -> None:
    assert all_errors(FeedsrvError) == ERROR_MAP.keys()
    assert all(400 <= ERROR_MAP[kind].status < 500 for kind in all_errors(ClientError))
    assert all(ERROR_MAP[kind].status == 503 for kind in all_errors(UpstreamError))


@pytest.mark.parametrize(
    "query",
    [
        "\x00", "%", "\ud7ff\U0010ffff", "a\r\nSet-Cookie: x=y", "<script>alert(1)</script>",
        "'; DROP TABLE Cache; --", "../../etc/passwd", "((((((((((", "a" * 5000, "*" * 250,
        '"' * 99, "🤗", "\u202eabc", "-" * 250,
    ],
)  # fmt: skip
def test_a_hostile_query_gets_a_feed_or_a_problem(client: FlaskClient, query: str) -> None:
    response = client.get("/papers.atom", query_string={"q": query})
    if response.status_code == 200:
        url = self_url(parse_atom(response))
        assert parse_qs(urlsplit(url).query)["q"] == [" ".join(query.split())]
    else:
        parse_problem(response, 400)
    assert "Set-Cookie" not in response.headers


def test_a_query_that_is_not_utf8_causes_no_internal_error(client: FlaskClient) -> None:
    response = client.get("/papers.atom?q=%ff%fe%80")
    assert response.status_code in {200, 400}


# --- other ------------------------------------------------------------------------------------


def test_healthz_does_not_need_upstream(client: FlaskClient, upstream: FakeUpstream) -> None:
    upstream.fail()
    response = client.get("/healthz")
    assert (response.status_code, response.data) == (200, b"ok\n")
    assert response.headers["Cache-Control"] == "no-store"
    assert upstream.requests == []


def test_the_demo_marks_every_feed_as_a_sample(make_client: MakeClient, config: Config) -> None:
    client = make_client(demo=True, upstream_url="https://huggingface.co")
    for path in (
        "/papers.atom",
        "/papers.atom?q=causal",
        "/feeds/causal.atom",
        "/papers/week.atom",
    ):
        feed = parse_atom(client.get(path))
        assert feed.feed.title.startswith("Sample papers: ")
        assert feed.entries
        assert not any("arxiv.org" in str(entry) for entry in feed.entries)
    assert "sample papers" in client.get("/").get_data(as_text=True)


@pytest.mark.parametrize("suffix", [".atom", ".rss", ".json", ""])
@pytest.mark.parametrize("query", ["a\x00b", "model\x01", "a\uffff"])
def test_a_query_that_xml_cannot_contain_is_refused_in_each_format(
    client: FlaskClient, suffix: str, query: str
) -> None:
    parse_problem(client.get(f"/papers{suffix}", query_string={"q": query}), 400)


@pytest.mark.parametrize(
    ("path", "minutes"),
    [
        ("/papers.rss", 20),
        ("/feeds/causal.rss", 20),
        ("/papers/week.rss", 60),
        ("/papers/trending.rss", 60),
        ("/papers/date/2026-11-23.rss", 60),
    ],
)
def test_the_rss_ttl_is_in_minutes(client: FlaskClient, path: str, minutes: int) -> None:
    """The element is for readers that ignore max-age; other formats have none."""
    assert f"<ttl>{minutes}</ttl>" in client.get(path).text
