"""The HTML pages: what they show, and that no text of others becomes markup."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.feed_readers import require_program, run_program
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
MINIFLUX = (
    "application/xml, application/atom+xml, application/rss+xml, application/rdf+xml,"
    " application/feed+json, text/html, */*;q=0.9"
)

MakeClient = Callable[..., FlaskClient]


@pytest.fixture
def make_client(make_service: MakeService) -> MakeClient:
    """Return a function that makes a client of a server with all lists fetched."""

    def make(**changes: Any) -> FlaskClient:
        service = make_service(**changes)
        for _ in service.refresh_stale():
            pass
        return create_app(service).test_client()

    return make


def parse_page(response: TestResponse, status: int = 200) -> BeautifulSoup:
    assert response.status_code == status
    assert response.content_type == "text/html; charset=utf-8"
    return BeautifulSoup(response.data, "lxml")


def text_of(tag: BeautifulSoup | Tag) -> str:
    return " ".join(tag.get_text().split())


def select_one(page: BeautifulSoup, selector: str) -> Tag:
    (tag,) = page.select(selector)
    return tag


# --- the preview -------------------------------------------------------------------------------


def test_front_page_has_the_preview_without_javascript(
    make_client: MakeClient,
) -> None:
    page = parse_page(make_client(history_days=2).get("/?q=causal"))
    assert select_one(page, "input[name=q]")["value"] == "causal"
    assert "3 of 5 papers match" in text_of(select_one(page, ".tally"))
    assert "from the last 2 days of lists · about 8 per week" in text_of(select_one(page, ".tally"))
    titles = [text_of(title) for title in page.select(".paper h3")]
    assert titles == [
        "A study of lighthouse number 3",
        "Causal lighthouses",
        "Causality by the sea",
    ]
    assert [mark.text for mark in page.select(".paper mark")] == ["causally", "Causal", "Causality"]
    facts = [text_of(line) for line in page.select(".facts")]
    assert facts[0] == "24 November 2026 · matched in abstract"
    assert facts[2] == "23 November 2026 · matched in title"


def test_preview_route_returns_the_preview_of_the_front_page(make_client: MakeClient) -> None:
    client = make_client()
    preview = client.get("/preview?q=causal").text
    assert preview in client.get("/?q=causal").text
    assert "<html" not in preview


def test_chart_has_a_description_and_labels(make_client: MakeClient) -> None:
    page = parse_page(make_client(history_days=2).get("/?q=causal"))
    chart = select_one(page, "figure svg")
    assert chart["role"] == "img"
    assert chart["aria-label"] == (
        "Papers on each of 2 list days from 23 November to 24 November 2026:"
        " max. 2 per day, on 24 November."
    )
    assert [text_of(bar) for bar in chart.select("title")] == [
        "23 November 2026: 1 paper",
        "24 November 2026: 2 papers",
    ]


def test_feed_addresses_are_listed_atom_first_and_work(make_client: MakeClient) -> None:
    client = make_client()
    page = parse_page(client.get('/?q="world+model"+C%2B%2B'))
    urls = [str(field["value"]) for field in page.select(".address input")]
    assert [urlsplit(url).path for url in urls] == [
        "/papers.atom",
        "/papers.rss",
        "/papers.json",
    ]
    for url, link in zip(urls, page.select(".address a"), strict=True):
        assert parse_qs(urlsplit(url).query) == {"q": ['"world model" C++']}
        assert link["href"] == url
        assert client.get(url).mimetype == link["type"]
    for field in page.select(".address input"):
        assert page.select(f"label[for={field['id']}]")
        assert page.select(f"button[data-copy={field['id']}]")


def test_subscribe_links_list_configured_readers_first(make_client: MakeClient) -> None:
    readers = {"My FreshRSS": "https://rss.example.org/i/?c=feed&a=add&url_rss={url}"}
    page = parse_page(make_client(readers=readers).get("/?q=causal"))
    links = {text_of(link): str(link["href"]) for link in page.select(".readers a")}
    assert list(links) == ["My FreshRSS", "Feedly", "Inoreader", "NewsBlur", "The Old Reader"]
    quoted_url = "http%3A%2F%2Flocalhost%2Fpapers.atom%3Fq%3Dcausal"
    assert links["My FreshRSS"].endswith(f"&url_rss={quoted_url}")
    assert all(url.endswith(quoted_url) for url in links.values())


def test_an_invalid_query_is_shown_with_the_error_marked(client: FlaskClient) -> None:
    for path in ("/", "/preview"):
        page = parse_page(client.get(path, query_string={"q": "causal (fog OR) sea"}))
        note = select_one(page, ".note.bad")
        assert "expected a word or quoted words before this parenthesis" in text_of(note).lower()
        assert select_one(page, ".query").decode_contents().strip() == (
            "<code>causal (fog OR<mark>)</mark> sea</code>"
        )


@pytest.fixture
def thirty_papers(upstream: FakeUpstream) -> FakeUpstream:
    """List thirty papers on fog today, some with ferry in the title or tides as a keyword."""
    upstream.papers = [
        make_raw_paper(
            number,
            title=f"Ferry {number}" if number % 3 == 0 else f"Fog {number}",
            summary="Fog by the harbour wall. It is grey.",
            keywords=["fog", "harbour walls"] + ["tides"] * (number % 4 == 0),
        )
        for number in range(1, 31)
    ]
    return upstream


@pytest.mark.parametrize(
    ("query", "hint", "suggestions"),
    [
        ("fog", "100 %", {"title:fog": 20, 'fog keyword:"harbour walls"': 30}),
        ("fog OR rain", "100 %", {'(fog OR rain) keyword:"tides"': 7}),
        ("-rain", "100 %", {'-rain keyword:"fog"': 30}),
        ("fog whale", "No papers", {"fog": 30}),
        ("ferry fog whale", "No papers", {"ferry fog": 10}),
        ('"grey fog"', "No papers", {"grey fog": 30}),
        ("title:grey", "No papers", {"grey": 30}),
        ("harb", "No papers", {"harb*": 30}),
        ("ferry harb", "No papers", {"ferry harb*": 10, "ferry": 10}),
        ("whale -fog", "No papers", {}),
        ("whale", "The feed also includes older ones that Hugging Face's search finds.", {}),
        ("title:ferry tides", None, {}),
    ],
)
def test_a_query_that_matches_nothing_or_too_much_has_suggestions(
    thirty_papers: FakeUpstream,
    make_client: MakeClient,
    query: str,
    hint: str | None,
    suggestions: dict[str, int],
) -> None:
    client = make_client()
    page = parse_page(client.get("/preview", query_string={"q": query}))
    notes = [text_of(note).replace("\u202f", " ") for note in page.select(".note")]
    if hint is None:
        assert notes == []
        return
    assert hint in notes[0]
    shown = {
        text_of(item.select("code")[0]): text_of(item) for item in page.select(".suggestions li")
    }
    assert all(shown[text] == f"{text} {count} papers" for text, count in suggestions.items())
    for link in page.select(".suggestions a"):
        url = urlsplit(str(link["href"]))
        suggested = parse_page(client.get(f"/preview?{url.query}"))
        count = text_of(link.parent or link).split()[-2]
        assert text_of(select_one(suggested, ".tally strong")) == count


def test_hint_counts_older_papers_of_a_stored_search(
    upstream: FakeUpstream, make_client: MakeClient
) -> None:
    upstream.papers.append(make_raw_paper(9, day=5, title="Whales of old"))
    client = make_client()
    client.get("/papers.atom?q=whales")
    hint = text_of(select_one(parse_page(client.get("/preview?q=whales")), ".note"))
    assert hint == (
        "No papers from the last 1 day of lists match."
        " The feed also includes 1 older paper from Hugging Face's search."
    )


def test_previews_fetch_the_window_but_no_search(
    client: FlaskClient, service: Service, upstream: FakeUpstream
) -> None:
    may_respond = Event()

    def wait_for_permission(path: str) -> None:
        may_respond.wait(10)

    upstream.intercept = wait_for_permission  # else the first page may already have the list
    first = parse_page(client.get("/?q=causal"))
    assert "Loading papers for the first time" in text_of(first)
    assert first.select("[data-reload-seconds]")
    may_respond.set()
    wait_until(service._scheduler.is_idle)
    requests = list(upstream.requests)
    for length in range(1, 7):
        page = parse_page(client.get(f"/preview?q={'causal'[:length]}"))
        assert "Loading papers for the first time" not in text_of(page)
    wait_until(service._scheduler.is_idle)
    assert upstream.requests == requests == ["/papers/date/2026-11-24"]


def test_front_page_does_not_wait_for_upstream(client: FlaskClient, upstream: FakeUpstream) -> None:
    upstream.fail()
    page = parse_page(client.get("/?q=causal"))
    assert "Loading papers" in text_of(page)


@pytest.mark.parametrize("path", ["/", "/preview", "/status", "/status.json"])
def test_pages_about_the_current_state_are_not_cached(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.headers["Cache-Control"] == "no-store"
    assert client.head(path).status_code == 200
    assert client.head(path).data == b""


@pytest.mark.parametrize("path", ["/", "/papers?q=causal", "/status", "/nothing"])
def test_pages_make_no_third_party_requests(make_client: MakeClient, path: str) -> None:
    response = make_client().get(path, headers={"Accept": BROWSER})
    assert response.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    page = parse_page(response, response.status_code)
    for tag in page.select("[src], link[rel=stylesheet], link[rel=icon]"):
        assert str(tag.get("src") or tag["href"]).startswith("http://localhost/static/")
    assert not page.select("[style], style, script:not([src]), [onclick]")


def test_static_files_are_small(client: FlaskClient) -> None:
    for name, max_bytes in (("style.css", 8192), ("page.js", 4000)):
        with client.get(f"/static/{name}") as response:
            assert response.status_code == 200
            assert len(response.data) < max_bytes


# --- feeds ---------------------------------------------------------------------------------------


def test_front_page_has_a_card_for_each_configured_feed(make_client: MakeClient) -> None:
    page = parse_page(make_client(history_days=2).get("/"))
    feed = select_one(page, ".feed")
    assert text_of(select_one(page, ".feed h3")) == "Causal matters"
    assert text_of(select_one(page, ".feed code")) == "causal"
    assert "3 papers this week updated just now" in text_of(feed)
    assert "max. 2 per day" in str(select_one(page, ".feed svg")["aria-label"])
    assert [link["href"] for link in page.select(".formats a")] == [
        f"http://localhost/feeds/causal.{name}" for name in ("atom", "rss", "json")
    ]
    assert page.select('a[href="http://localhost/feeds.opml"]')


def test_a_feed_card_shows_since_when_upstream_is_failing(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client()
    upstream.fail()
    clock.forward(days=1)
    client.get("/papers.atom")
    wait_until(lambda: b"failing since" in client.get("/").data)
    clock.forward(minutes=5)
    assert "failing since 25 November 2026, 09:30 UTC" in text_of(parse_page(client.get("/")))


# --- pages of feeds ------------------------------------------------------------------------------


def test_a_feed_page_shows_every_field_of_a_paper(
    upstream: FakeUpstream, make_client: MakeClient
) -> None:
    upstream.papers = [
        make_raw_paper(
            1,
            title="Causal lighthouses",
            summary="One paragraph.\n\nCausal, the other.",
            authors=[f"Ada Quill {place}" for place in range(671)],
            organization="Harbour AI Lab",
            ai_summary="Lighthouses, in short.",
            keywords=["sea fog", 'so "called"'],
            upvotes=1512,
            stars=1,
            github="https://github.com/e/x",
            project="https://e.example/",
        )
    ]
    page = parse_page(make_client().get("/papers?q=causal"))
    assert "and 665 other authors" in text_of(select_one(page, ".more-authors summary"))
    assert "Ada Quill 5 · Harbour AI Lab" in text_of(select_one(page, ".who"))
    assert text_of(select_one(page, ".facts")) == (
        "24 November 2026 · 1,512 votes · 1 comment · 1 star · matched in title, abstract"
    )
    assert [
        text_of(paragraph) for paragraph in page.select(".paper details:not(.more-authors) p")
    ] == [
        "One paragraph.",
        "Causal, the other.",
    ]
    assert text_of(select_one(page, ".summary")) == "Lighthouses, in short."
    assert [text_of(link) for link in page.select(".links a")] == [
        "Paper page",
        "arXiv",
        "PDF",
        "Code",
        "Project",
    ]
    queries = [
        parse_qs(urlsplit(str(link["href"])).query)["q"] for link in page.select(".keywords a")
    ]
    assert queries == [['keyword:"sea fog"'], ['keyword:"so called"']]


def test_a_feed_page_links_to_newer_and_older_papers(make_client: MakeClient) -> None:
    client = make_client(history_days=2)
    path, seen = "/papers?limit=2", []
    for heading in ("Papers 1 to 2 of 5", "Papers 3 to 4 of 5", "Papers 5 to 5 of 5"):
        page = parse_page(client.get(path))
        assert text_of(select_one(page, "#papers")) == heading
        seen += [text_of(title) for title in page.select(".paper h3")]
        assert select_one(page, "link[rel=canonical]")["href"] == f"http://localhost{path}"
        older = page.select("a[rel=next]")
        path = str(older[0]["href"]).removeprefix("http://localhost") if older else ""
    assert path == ""
    assert len(set(seen)) == 5
    assert select_one(page, "a[rel=prev]")["href"] == "http://localhost/papers?limit=2&page=2"
    page = parse_page(client.get("/papers?limit=2&page=2"))
    assert select_one(page, "a[rel=prev]")["href"] == "http://localhost/papers?limit=2"
    assert "There are no papers this far back." in text_of(parse_page(client.get("/papers?page=9")))


@pytest.mark.parametrize("number", ["0", "-1", "1000", "two", "", "1.5"])
def test_an_invalid_page_number_is_a_client_error(client: FlaskClient, number: str) -> None:
    response = client.get("/papers", query_string={"page": number}, headers={"Accept": BROWSER})
    assert f"Page must be a number from 1 to 999, not '{number}'." in text_of(
        parse_page(response, 400)
    )


def test_feeds_ignore_the_page_parameter(make_client: MakeClient) -> None:
    client = make_client(history_days=2)
    assert client.get("/papers.atom?page=2").data == client.get("/papers.atom").data
    assert client.get("/papers.atom?page=none").data == client.get("/papers.atom").data


def test_a_feed_page_is_unchanged_while_its_papers_are(
    make_client: MakeClient, clock: Clock
) -> None:
    client = make_client()
    first = client.get("/papers?q=causal")
    clock.forward(minutes=10)
    second = client.get("/papers?q=causal", headers={"If-None-Match": first.headers["ETag"]})
    assert second.status_code == 304


@pytest.mark.parametrize("path", ["/", "/?q=causal", "/papers?q=causal", "/feeds/causal"])
def test_feed_discovery_finds_every_format(client: FlaskClient, tmp_path: Path, path: str) -> None:
    links = parse_page(client.get(path)).select("head link[rel=alternate]")[:3]
    assert [link["type"] for link in links] == [
        "application/atom+xml",
        "application/rss+xml",
        "application/feed+json",
    ]
    for link in links:
        assert client.get(str(link["href"])).mimetype == link["type"]
    require_program("sfeed_web", "sfeed")
    discovered = run_program(
        "sfeed_web", "http://localhost/", given=client.get(path).data, folder=tmp_path
    )
    # sfeed_web 1.7 does not know JSON Feed.
    assert [line.split("\t") for line in discovered.splitlines()][:2] == [
        [link["href"], link["type"]] for link in links[:2]
    ]


# --- status --------------------------------------------------------------------------------------


def test_status_page_lists_what_was_fetched_and_fetches_nothing(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client(history_days=2)
    upstream.requests.clear()
    clock.forward(minutes=50)
    page = parse_page(client.get("/status"))
    assert "Everything works. The newest list was fetched 50 minutes ago." in text_of(page)
    rows = [[text_of(cell) for cell in row.select("th, td")] for row in page.select("tbody tr")]
    assert rows == [
        ["Week 48 of 2026", "5", "50 minutes ago", "fresh"],
        ["November 2026", "5", "50 minutes ago", "fresh"],
        ["Trending", "5", "50 minutes ago", "fresh"],
        ["causal", "3", "50 minutes ago", "fresh"],
        ["24 November 2026", "3", "50 minutes ago", "overdue by 30 minutes"],
        ["23 November 2026", "2", "50 minutes ago", "fresh"],
    ]
    assert "60 of 60 left" in text_of(page)
    assert upstream.requests == []


def test_status_page_shows_what_fails_and_since_when(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client()
    upstream.fail()
    clock.forward(days=1)
    client.get("/papers.atom")
    wait_until(lambda: b"unreachable" in client.get("/status").data)
    clock.forward(minutes=5)
    page = parse_page(client.get("/status"))
    assert (
        "Hugging Face is unreachable (HTTP 503): first failure 5 minutes ago."
        " The next request retries. Readers get the last good copy."
    ) in text_of(page)
    assert json.loads(client.get("/status.json").data)["failure"]["since"] == "2026-11-25T09:30:00Z"
    (row,) = page.select("tr.bad")
    assert text_of(row) == (
        "25 November 2026 – never failing since 25 November 2026, 09:30 UTC: HTTP 503"
    )


def test_status_page_of_a_new_server_says_that_nothing_was_fetched(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    page = parse_page(client.get("/status"))
    assert "Nothing fetched yet." in text_of(page)
    assert "never" in text_of(page)
    assert upstream.requests == []


def test_status_json_has_the_documented_keys(
    make_client: MakeClient, config: Config, upstream: FakeUpstream
) -> None:
    client = make_client(history_days=2)
    response = client.get("/status.json")
    assert response.content_type == "application/json"
    status = json.loads(response.data)
    assert status.keys() == {
        "version", "at", "failure", "days", "lists", "searches", "allowance", "store",
        "unreadable",
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
    page = parse_page(client.get("/status"))
    assert "Has Hugging Face changed its pages?" in text_of(page)
    assert "day.html of 24 November 2026" in text_of(page)
    names = [name for name, _ in client.get("/status.json").get_json()["unreadable"]]
    assert names == ["day.html", "day.json"]


def test_status_page_shows_that_nothing_can_be_stored(
    make_client: MakeClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    client = make_client(cache_dir=tmp_path / "file" / "store")
    assert client.get("/papers.atom").status_code == 200
    page = parse_page(client.get("/status"))
    assert "Nothing can be stored on disk since 24 November 2026" in text_of(page)
    assert "Not a directory" in client.get("/status.json").get_json()["store"]["trouble"]


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/nothing", 404, "Not Found"),
        ("/papers.pdf", 404, "There is no format .pdf"),
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
    page = parse_page(response, status)
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


def test_an_error_page_links_to_feeds_and_repeats_the_query(client: FlaskClient) -> None:
    page = parse_page(client.get("/feeds/fog%20banks", headers={"Accept": BROWSER}), 404)
    links = [link["href"] for link in page.select("main a")]
    assert links == ["http://localhost/papers.atom?q=fog+banks", "http://localhost/feeds/causal"]
    invalid = parse_page(client.get("/papers?q=fog+OR", headers={"Accept": BROWSER}), 400)
    assert select_one(invalid, "input[name=q]")["value"] == "fog OR"
    assert select_one(invalid, ".query mark")


def test_an_error_page_without_data_says_when_to_try_again(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    upstream.fail()
    response = client.get("/papers", headers={"Accept": BROWSER})
    page = parse_page(response, 503)
    assert response.headers["Retry-After"] == "60"
    assert "Please try again in 60 seconds." in text_of(page)


def test_an_internal_error_page_reveals_no_details(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Service, "get_feed", lambda *args, **kwargs: 1 / 0)
    page = parse_page(client.get("/papers", headers={"Accept": BROWSER}), 500)
    assert "Internal Server Error" in text_of(page)
    assert "division" not in text_of(page)


def test_an_invalid_host_header_gets_no_page(client: FlaskClient) -> None:
    """Its links would point to an invalid host."""
    headers = {"Host": "a b", "Accept": BROWSER}
    assert client.get("/", headers=headers).content_type == "application/problem+json"
    assert client.get("/feeds/none", headers=headers).status_code == 400


# --- escaping ------------------------------------------------------------------------------------


MALICIOUS_TITLES = (
    "<script>alert(1)</script> causal",
    '"onmouseover="alert(1) causal',
    "</mark><img src=x onerror=alert(1)> causal",
    "&lt;script&gt; causal &amp;",
)


@pytest.mark.parametrize("title", MALICIOUS_TITLES)
@pytest.mark.parametrize("path", ["/?q=causal", "/papers?q=causal", "/preview?q=causal"])
def test_a_malicious_title_is_escaped(
    upstream: FakeUpstream, make_client: MakeClient, path: str, title: str
) -> None:
    upstream.papers = [make_raw_paper(1, title=title, keywords=[title], authors=[title])]
    page = parse_page(make_client().get(path))
    assert text_of(select_one(page, ".paper h3")) == title
    assert [text_of(mark) for mark in page.select(".paper h3 mark")] == ["causal"]
    assert not page.select("main script, main img, [onmouseover], [onerror]")


@pytest.mark.parametrize("query", ['"><script>alert(1)</script>', '"onfocus="alert(1)', "<b> OR"])
def test_a_malicious_query_is_escaped(make_client: MakeClient, query: str) -> None:
    client = make_client()
    for path in ("/", "/papers", "/preview"):
        response = client.get(path, query_string={"q": query}, headers={"Accept": BROWSER})
        page = BeautifulSoup(response.data, "lxml")
        assert not page.select("main script, main b, [onfocus]")
        if path == "/":
            assert select_one(page, "input[name=q]")["value"] == query


# --- freshness -----------------------------------------------------------------------------------


def test_preview_has_new_papers_after_a_refresh(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client()
    assert "2 of 3 papers match" in text_of(parse_page(client.get("/preview?q=causal")))
    upstream.papers.append(make_raw_paper(8, title="Causal buoys"))
    clock.now += timedelta(minutes=21)
    wait_until(
        lambda: b"<strong>3</strong> of 4 papers match" in client.get("/preview?q=causal").data
    )
