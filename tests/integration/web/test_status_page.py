"""The status page."""

import json
from pathlib import Path

from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, RequestLog
from feedsrv.upstream.policy import MAX_REQUESTS
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.html import parse_html, text_of
from tests.support.types import MakeClient, MakeService
from tests.support.upstream import FakeUpstream


def test_status_page_lists_what_was_fetched_and_fetches_nothing(
    make_warm_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_warm_client(history_days=2)
    upstream.requests.clear()
    clock.forward(minutes=50)
    page = parse_html(client.get("/status"))
    assert "Everything works. The newest list was fetched 50 minutes ago." in text_of(page)
    rows = [[text_of(cell) for cell in row.select("th, td")] for row in page.select("tbody tr")]
    assert rows == [
        ["Week 48 of 2026", "5", "fetched 50 minutes ago"],
        ["November 2026", "5", "fetched 50 minutes ago"],
        ["Trending", "5", "fetched 50 minutes ago"],
        ["causal", "3", "fetched 50 minutes ago"],
        ["24 November 2026", "3", "fetched 50 minutes ago, overdue by 30 minutes"],
        ["23 November 2026", "2", "fetched 50 minutes ago"],
    ]
    assert [text_of(summary) for summary in page.select("summary")] == [
        "Lists 3 fresh",
        "Searches of the configured feeds 1 fresh",
        "List days 1 fresh, 1 overdue",
    ]
    assert "60 of 60 left" in text_of(page)
    assert upstream.requests == []


def test_status_page_shows_what_fails_and_since_when(
    outage_client: FlaskClient, clock: Clock
) -> None:
    clock.forward(minutes=5)
    page = parse_html(outage_client.get("/status"))
    assert (
        "Hugging Face is unreachable (HTTP 503): first failure 5 minutes ago."
        " The next request retries. Readers get the last good copy."
    ) in text_of(page)
    status = json.loads(outage_client.get("/status.json").data)
    assert status["failure"]["since"] == "2026-11-25T09:30:00Z"
    rows = page.select("tr.bad")
    assert rows[0].find_parent("details") is None, "what fails is visible without a click"
    assert {text_of(row) for row in rows} == {
        "25 November 2026 – failing since 25 November 2026, 09:30 UTC: HTTP 503"
    }


def test_status_page_of_a_new_server_shows_that_nothing_was_fetched(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    page = parse_html(client.get("/status"))
    assert "Nothing fetched yet." in text_of(page)
    assert "not fetched yet" in text_of(page)
    assert upstream.requests == []


def test_status_page_of_thousands_of_searches_is_small(make_service: MakeService) -> None:
    feeds = {f"t{n}": Feed(name=f"t{n}", title=f"T {n}", query=f"fog{n}") for n in range(2_000)}
    response = create_app(make_service(feeds=feeds)).test_client().get("/status")
    page = text_of(parse_html(response))
    assert len(response.data) < 30_000
    assert "Searches of the configured feeds 2,000 not fetched" in page
    assert "The first 50 of 2,000." in page


def test_status_json_has_the_documented_keys(
    make_warm_client: MakeClient, config: Config, upstream: FakeUpstream
) -> None:
    client = make_warm_client(history_days=2)
    response = client.get("/status.json")
    assert response.content_type == "application/json"
    status = json.loads(response.data)
    assert status.keys() == {
        "version", "at", "failure", "days", "lists", "searches", "allowance", "store",
        "artefacts", "unreadable",
    }  # fmt: skip
    assert status["days"][0].keys() == {
        "page", "state", "papers", "read_at", "stale_since", "source", "skipped", "failure",
    }  # fmt: skip
    assert status["store"].keys() == {"bytes", "where", "trouble", "since"}
    assert status["days"][0]["page"] == {"kind": "day", "key": "2026-11-24"}
    assert status["days"][0]["state"] == "fresh"
    assert status["allowance"] == {"left": 60 - len(upstream.requests), "most": 60}
    assert status["store"]["bytes"] > 10_000
    assert str(config.cache_dir) not in response.text, "the path of the store is private"


def test_status_page_names_the_files_of_unparsed_pages(
    client: FlaskClient, service: Service, upstream: FakeUpstream
) -> None:
    upstream.intercept = lambda path: Response("<html><p>a new layout</html>", mimetype="text/html")
    client.get("/papers.atom")
    page = parse_html(client.get("/status"))
    assert "Has Hugging Face changed its pages?" in text_of(page)
    assert "day.html of 24 November 2026" in text_of(page)
    names = [name for name, _ in client.get("/status.json").get_json()["unreadable"]]
    assert names == ["day.html", "day.json"]


def test_status_page_shows_that_nothing_can_be_stored(
    make_warm_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    client = make_warm_client(cache_dir=tmp_path / "file" / "store")
    assert client.get("/papers.atom").status_code == 200
    page = parse_html(client.get("/status"))
    assert "Nothing can be stored on disk since 24 November 2026" in text_of(page)
    assert "Not a directory" in client.get("/status.json").get_json()["store"]["trouble"]


# --- when no request may be sent ---------------------------------------------------------------


def use_up_budget(service: Service, clock: Clock) -> None:
    service.repository.update_request_log(lambda _: RequestLog((clock.now,) * MAX_REQUESTS))


def test_status_and_error_name_the_list_that_waits_for_the_request_budget(
    service: Service, clock: Clock
) -> None:
    client = create_app(service).test_client()
    assert client.get("/papers.atom").status_code == 200
    use_up_budget(service, clock)
    response = client.get("/papers/trending.atom")
    assert response.status_code == 503
    assert response.get_json()["title"] == "Not fetched yet"
    reason = "the request budget is used up (/papers/trending)"
    assert response.get_json()["detail"] == f"trending not fetched from Hugging Face yet: {reason}"
    assert 0 < response.get_json()["retry_after"] <= 300
    page = parse_html(client.get("/status"))
    assert "Everything works" not in text_of(page)
    assert "The request budget is used up. Readers get what is stored" in text_of(page)
    assert "Trending – waiting for the request budget" in text_of(page)


def test_status_and_error_do_not_mention_stored_lists_if_there_are_none(
    service: Service, clock: Clock
) -> None:
    use_up_budget(service, clock)
    client = create_app(service).test_client()
    detail = client.get("/papers/trending.atom").get_json()["detail"]
    assert (
        detail
        == "nothing fetched from Hugging Face yet: the request budget is used up (/papers/trending)"
    )
    assert "The request budget is used up. Lists that are missing" in text_of(
        parse_html(client.get("/status"))
    )


def test_a_used_up_rate_limit_of_upstream_is_no_outage(
    client: FlaskClient, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.headers["ratelimit"] = '"pages";r=0;t=120'
    client.get("/papers.atom")
    status = text_of(parse_html(client.get("/status")))
    assert "unreachable" not in status
    assert "Everything works" not in status
    assert "The request budget is used up." in status
    clock.forward(minutes=3)
    assert "Everything works." in text_of(parse_html(client.get("/status")))


def test_status_with_only_other_lists_does_not_show_that_nothing_was_fetched(
    client: FlaskClient,
) -> None:
    assert client.get("/papers/trending.atom").status_code == 200
    status = text_of(parse_html(client.get("/status")))
    assert "Nothing fetched yet" not in status
    assert "No list day is fetched yet; the last list was fetched" in status


def test_a_week_is_labelled_with_the_week_of_its_list(
    client: FlaskClient, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.today = lambda: clock.today().replace(day=20)  # this week has no list yet
    assert client.get("/papers/week.atom").status_code == 200
    assert client.get("/status.json").get_json()["lists"][0]["page"]["key"] == "2026-W47"
    assert "Week 47 of 2026" in text_of(parse_html(client.get("/status")))
