"""All pages of the JSON API's lists, where the HTML page has no list that can be parsed."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.wrappers import Response

from feedsrv.models import Kind, Listing, Page
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, create_upstream, make_raw_paper

TODAY, YESTERDAY = Page(Kind.DAY, "2026-11-24"), Page(Kind.DAY, "2026-11-23")


@pytest.fixture
def upstream_papers() -> list[Json]:
    """Return 92 papers of today and 130 of yesterday."""
    today = [make_raw_paper(number) for number in range(92)]
    return today + [make_raw_paper(number, day=1) for number in range(100, 230)]


def fetch(make_service: MakeService, upstream: FakeUpstream, page: Page) -> Listing:
    upstream.inject_fault("nolist", "/papers")
    return make_service(spacing=0.0).refresh_page(page)


def api_requests(upstream: FakeUpstream) -> list[str]:
    return [path for path in upstream.requests if path.startswith("/api")]


@pytest.mark.parametrize(("page", "count"), [(TODAY, 92), (YESTERDAY, 130)])
def test_a_day_of_more_papers_than_a_page_is_complete(
    make_service: MakeService, upstream: FakeUpstream, page: Page, count: int
) -> None:
    listing = fetch(make_service, upstream, page)
    assert listing.parsed_from == "api"
    assert listing.page == page
    assert len(listing.papers) == len({paper.id for paper in listing.papers}) == count


def test_no_further_page_is_requested_where_another_day_begins(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    fetch(make_service, upstream, TODAY)
    assert api_requests(upstream) == ["/api/daily_papers?limit=100"]


def serve_pages_of_fifty(upstream: FakeUpstream, *, ignores_page: bool = False) -> None:
    """Make the API respond with fifty entries at any limit, and without a Link header."""

    def intercept(path: str) -> Response | None:
        query = parse_qs(urlsplit(path).query)
        if not path.startswith("/api"):
            return None
        number = 0 if ignores_page else int(query.get("p", ["0"])[0])
        start = 92 + 50 * number if "date" in query else 50 * number
        entries = upstream_entries(upstream)[start : start + 50]
        return Response(json.dumps(entries), mimetype="application/json")

    upstream.intercept = intercept


def upstream_entries(upstream: FakeUpstream) -> list[Json]:
    client = create_upstream(upstream.papers, upstream.today).test_client()
    entries: list[Json] = client.get("/api/daily_papers?limit=1000").get_json()
    return entries


@pytest.mark.parametrize(("page", "count"), [(TODAY, 92), (YESTERDAY, 130)])
def test_pages_without_links_are_followed_while_they_are_full(
    make_service: MakeService, upstream: FakeUpstream, page: Page, count: int
) -> None:
    serve_pages_of_fifty(upstream)
    assert len(fetch(make_service, upstream, page).papers) == count


def test_a_page_without_new_papers_is_the_last(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    serve_pages_of_fifty(upstream, ignores_page=True)
    assert len(fetch(make_service, upstream, YESTERDAY).papers) == 50
    assert len(api_requests(upstream)) == 2


def test_a_further_page_that_fails_leaves_the_first(
    make_service: MakeService, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.intercept = lambda path: Response("", 500) if "&p=1" in path else None
    assert len(fetch(make_service, upstream, YESTERDAY).papers) == 100
    assert "page 2 of the JSON API failed: HTTP 500" in caplog.text


def test_a_search_has_one_page(make_service: MakeService, upstream: FakeUpstream) -> None:
    upstream.papers = [make_raw_paper(n, title=f"Fog {n}") for n in range(100)]
    fetch(make_service, upstream, Page(Kind.SEARCH, "fog"))
    assert len(api_requests(upstream)) == 1
