"""The pages for people, as HTML: what they say, and that nobody's words become markup."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.errors import QueryError
from feedsrv.feeds.service import Service
from feedsrv.feeds.window import ListDay, Window
from feedsrv.models import Kind, Page, Paper
from feedsrv.search.index import Index
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Query, matches
from feedsrv.web.app import create_app
from feedsrv.web.pages import (
    build_chart,
    config_snippet,
    page_title,
    paper_card,
    query_problem,
    subscribe_links,
)
from tests.support.builders import DAY, make_listing, make_paper
from tests.support.clock import Clock
from tests.support.feed_readers import require_program, run_program
from tests.support.strategies import papers, queries, query_texts
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
    """Return a function that opens a server whose lists have all been read."""

    def make(**changes: Any) -> FlaskClient:
        service = make_service(**changes)
        for _ in service.refresh_stale():
            pass
        return create_app(service).test_client()

    return make


def soup(answer: TestResponse, status: int = 200) -> BeautifulSoup:
    assert answer.status_code == status
    assert answer.content_type == "text/html; charset=utf-8"
    return BeautifulSoup(answer.data, "lxml")


def said(tag: BeautifulSoup | Tag) -> str:
    return " ".join(tag.get_text().split())


def one(page: BeautifulSoup, selector: str) -> Tag:
    (found,) = page.select(selector)
    return found


# --- the preview -------------------------------------------------------------------------------


def test_the_front_page_shows_what_a_feed_would_hold_without_any_script(
    make_client: MakeClient,
) -> None:
    page = soup(make_client(history_days=2).get("/?q=causal"))
    assert one(page, "input[name=q]")["value"] == "causal"
    assert "3 of 5 papers match" in said(one(page, ".tally"))
    assert "in the last 2 list days · about 8 a week" in said(one(page, ".tally"))
    titles = [said(found) for found in page.select(".paper h3")]
    assert titles == [
        "A study of lighthouse number 3",
        "Causal lighthouses",
        "Causality by the sea",
    ]
    assert [mark.text for mark in page.select(".paper mark")] == ["causally", "Causal", "Causality"]
    facts = [said(found) for found in page.select(".facts")]
    assert facts[0] == "24 November 2026 · matched in abstract"
    assert facts[2] == "23 November 2026 · matched in title"


def test_the_preview_is_the_same_part_of_the_same_page(make_client: MakeClient) -> None:
    client = make_client()
    part = client.get("/preview?q=causal").get_data(as_text=True)
    assert part in client.get("/?q=causal").get_data(as_text=True)
    assert "<html" not in part


def test_the_chart_says_in_words_what_it_shows(make_client: MakeClient) -> None:
    page = soup(make_client(history_days=2).get("/?q=causal"))
    chart = one(page, "figure svg")
    assert chart["role"] == "img"
    assert chart["aria-label"] == (
        "Papers on each of 2 list days from 23 November to 24 November 2026:"
        " at most 2 a day, on 24 November."
    )
    assert [said(bar) for bar in chart.select("title")] == [
        "23 November 2026: 1 paper",
        "24 November 2026: 2 papers",
    ]


@pytest.mark.parametrize(
    ("days", "said_of_it"),
    [
        ({}, "No list day has been read."),
        (
            {4: None, 5: 0, 6: 0},
            "Papers on each of 3 list days from 4 August to 6 August 2026: none.",
        ),
        (
            {4: None, 5: 0, 6: 2},
            (
                "Papers on each of 3 list days from 4 August to 6 August 2026: at most 2 a day,"
                " on 6 August, none on 1 day."
            ),
        ),
    ],
)
def test_a_chart_in_words_tells_none_from_not_read(
    days: dict[int, int | None], said_of_it: str
) -> None:
    shown = [ListDay(date(2026, 8, day), many is not None) for day, many in days.items()]
    found = [
        make_paper(listed=date(2026, 8, day))
        for day, many in days.items()
        for _ in range(many or 0)
    ]
    made = build_chart(found, shown)
    assert made.description == said_of_it
    assert [bar.height for bar in made.bars if bar.height] == [26.7] * (len(found) // 2)
    assert all(bar.label.endswith("not read yet") != bar.is_fetched for bar in made.bars)


def test_the_addresses_are_there_atom_first_and_work(make_client: MakeClient) -> None:
    client = make_client()
    page = soup(client.get('/?q="world+model"+C%2B%2B'))
    addresses = [str(field["value"]) for field in page.select(".address input")]
    assert [urlsplit(url).path for url in addresses] == [
        "/papers.atom",
        "/papers.rss",
        "/papers.json",
    ]
    for url, link in zip(addresses, page.select(".address a"), strict=True):
        assert parse_qs(urlsplit(url).query) == {"q": ['"world model" C++']}
        assert link["href"] == url
        assert client.get(url).mimetype == link["type"]
    for field in page.select(".address input"):
        assert page.select(f"label[for={field['id']}]")
        assert page.select(f"button[data-copy={field['id']}]")


def test_readers_are_one_click_away_and_ones_own_is_the_first(make_client: MakeClient) -> None:
    own = {"My FreshRSS": "https://rss.example.org/i/?c=feed&a=add&url_rss={url}"}
    page = soup(make_client(readers=own).get("/?q=causal"))
    links = {said(link): str(link["href"]) for link in page.select(".readers a")}
    assert list(links) == ["My FreshRSS", "Feedly", "Inoreader", "NewsBlur", "The Old Reader"]
    address = "http%3A%2F%2Flocalhost%2Fpapers.atom%3Fq%3Dcausal"
    assert links["My FreshRSS"].endswith(f"&url_rss={address}")
    assert all(url.endswith(address) for url in links.values())


def test_a_query_that_cannot_be_read_is_shown_with_the_place_marked(client: FlaskClient) -> None:
    for path in ("/", "/preview"):
        page = soup(client.get(path, query_string={"q": "causal (fog OR) sea"}))
        note = one(page, ".note.bad")
        assert "expected a word or quoted words before this parenthesis" in said(note).lower()
        assert one(page, ".query").decode_contents().strip() == (
            "<code>causal (fog OR<mark>)</mark> sea</code>"
        )


@given(query_texts())
def test_a_place_is_marked_in_the_query_as_it_was_typed(text: str) -> None:
    error = refusal(text)
    if error is not None:
        _, before, place, after = query_problem(error)
        assert len(place) == 1
        assert f"{before}{place}{after}" in {error.query, f"{error.query} "}
        assert len(before) == min(error.position, len(error.query))


def refusal(text: str) -> QueryError | None:
    try:
        parse_query(text)
    except QueryError as error:
        return error
    return None


@pytest.fixture
def crowd(upstream: FakeUpstream) -> FakeUpstream:
    """Thirty papers of today: all on fog, some of them on ferries, by keyword or in the title."""
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
    ("query", "hint", "tries"),
    [
        ("fog", "100 %", {"title:fog": 20, 'fog keyword:"harbour walls"': 30}),
        ("fog OR rain", "100 %", {'(fog OR rain) keyword:"tides"': 7}),
        ("-rain", "100 %", {'-rain keyword:"fog"': 30}),
        ("fog whale", "No paper", {"fog": 30}),
        ("ferry fog whale", "No paper", {"ferry fog": 10}),
        ('"grey fog"', "No paper", {"grey fog": 30}),
        ("title:grey", "No paper", {"grey": 30}),
        ("harb", "No paper", {"harb*": 30}),
        ("ferry harb", "No paper", {"ferry harb*": 10, "ferry": 10}),
        ("whale -fog", "No paper", {}),
        ("whale", "a feed asks Hugging Face's search for older ones too", {}),
        ("title:ferry tides", None, {}),
    ],
)
def test_a_query_too_wide_or_empty_has_a_hint(
    crowd: FakeUpstream,
    make_client: MakeClient,
    query: str,
    hint: str | None,
    tries: dict[str, int],
) -> None:
    client = make_client()
    page = soup(client.get("/preview", query_string={"q": query}))
    notes = [said(note).replace("\u202f", " ") for note in page.select(".note")]
    if hint is None:
        assert notes == []
        return
    assert hint in notes[0]
    shown = {said(each.select("code")[0]): said(each) for each in page.select(".tries li")}
    assert all(shown[text] == f"{text} {many} papers" for text, many in tries.items())
    for link in page.select(".tries a"):
        url = urlsplit(str(link["href"]))
        again = soup(client.get(f"/preview?{url.query}"))
        many = said(link.parent or link).split()[-2]
        assert said(one(again, ".tally strong")) == many


def test_older_papers_that_a_kept_search_knows_are_counted(
    upstream: FakeUpstream, make_client: MakeClient
) -> None:
    upstream.papers.append(make_raw_paper(9, day=5, title="Whales of old"))
    client = make_client()
    client.get("/papers.atom?q=whales")
    hint = said(one(soup(client.get("/preview?q=whales")), ".note"))
    assert (
        hint == "No paper of the last 1 list day matches; Hugging Face's search knows 1 older one."
    )


def test_typing_asks_upstream_for_the_window_and_for_no_keyword(
    client: FlaskClient, service: Service, upstream: FakeUpstream
) -> None:
    answers = Event()

    def late(path: str) -> None:
        answers.wait(10)

    upstream.intercept = late  # else the list may be there before the page is written
    first = soup(client.get("/?q=causal"))
    assert "The papers are being read for the first time" in said(first)
    assert first.select("[data-again]")
    answers.set()
    wait_until(service._scheduler.is_idle)
    asked = list(upstream.requests)
    for length in range(1, 7):
        page = soup(client.get(f"/preview?q={'causal'[:length]}"))
        assert "The papers are being read for the first time" not in said(page)
    wait_until(service._scheduler.is_idle)
    assert upstream.requests == asked == ["/papers/date/2026-11-24"]


def test_the_front_page_waits_for_nothing_while_upstream_is_down(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    upstream.fail()
    page = soup(client.get("/?q=causal"))
    assert "The papers are being read" in said(page)


@pytest.mark.parametrize("path", ["/", "/preview", "/status", "/status.json"])
def test_what_tells_of_this_moment_is_not_kept(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.head(path).status_code == 200
    assert client.head(path).data == b""


@pytest.mark.parametrize("path", ["/", "/papers?q=causal", "/status", "/nothing"])
def test_a_page_asks_nobody_else_for_anything(make_client: MakeClient, path: str) -> None:
    answer = make_client().get(path, headers={"Accept": BROWSER})
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    page = soup(answer, answer.status_code)
    for tag in page.select("[src], link[rel=stylesheet], link[rel=icon]"):
        assert str(tag.get("src") or tag["href"]).startswith("http://localhost/static/")
    assert not page.select("[style], style, script:not([src]), [onclick]")


def test_a_page_is_small(client: FlaskClient) -> None:
    for name, most in (("style.css", 8192), ("page.js", 4000)):
        with client.get(f"/static/{name}") as answer:
            assert answer.status_code == 200
            assert len(answer.data) < most


# --- feeds ---------------------------------------------------------------------------------------


def test_configured_feeds_are_cards(make_client: MakeClient) -> None:
    page = soup(make_client(history_days=2).get("/"))
    feed = one(page, ".feed")
    assert said(one(page, ".feed h3")) == "Causal matters"
    assert said(one(page, ".feed code")) == "causal"
    assert "3 papers this week read just now" in said(feed)
    assert "at most 2 a day" in str(one(page, ".feed svg")["aria-label"])
    assert [link["href"] for link in page.select(".formats a")] == [
        f"http://localhost/feeds/causal.{name}" for name in ("atom", "rss", "json")
    ]
    assert page.select('a[href="http://localhost/feeds.opml"]')


def test_a_card_tells_since_when_its_feed_cannot_be_read(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client()
    upstream.fail()
    clock.forward(days=1)
    client.get("/papers.atom")
    wait_until(lambda: b"cannot be read since" in client.get("/").data)
    clock.forward(minutes=5)
    assert "cannot be read since 25 November 2026, 09:30 UTC" in said(soup(client.get("/")))


@given(query_texts())
def test_the_lines_for_the_settings_make_the_query_a_feed(text: str) -> None:
    query = " ".join(text.split())
    ((name, table),) = tomllib.loads(config_snippet(query))["feeds"].items()
    assert table["query"] == query
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        (
            "diffusion language models",
            """[feeds.diffusion-language-models]
title = 'Diffusion language models'
query = 'diffusion language models'""",
        ),
        ("李", "[feeds.my-feed]\ntitle = '李'\nquery = '李'"),
        ("o'brien", '[feeds.o-brien]\ntitle = "O\'brien"\nquery = "o\'brien"'),
    ],
)
def test_the_lines_for_the_settings_read_well(query: str, lines: str) -> None:
    assert config_snippet(query) == lines


# --- twins ---------------------------------------------------------------------------------------


def test_a_twin_shows_all_of_a_paper(upstream: FakeUpstream, make_client: MakeClient) -> None:
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
    page = soup(make_client().get("/papers?q=causal"))
    assert "and 665 other authors" in said(one(page, ".crowd summary"))
    assert "Ada Quill 5 · Harbour AI Lab" in said(one(page, ".who"))
    assert said(one(page, ".facts")) == (
        "24 November 2026 · 1,512 votes · 1 comment · 1 star · matched in title, abstract"
    )
    assert [said(each) for each in page.select(".paper details:not(.crowd) p")] == [
        "One paragraph.",
        "Causal, the other.",
    ]
    assert said(one(page, ".summary")) == "Lighthouses, in short."
    assert [said(link) for link in page.select(".links a")] == [
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


def test_an_author_that_is_asked_for_is_shown_however_long_the_list() -> None:
    crowd = make_paper(authors=tuple(f"Ada Quill {place}" for place in range(671)))
    shown = paper_card(crowd, parse_query('author:"quill 400"'))
    assert len(shown.authors) == 7
    assert shown.authors[-1] == "Ada <mark>Quill 400</mark>"
    assert len(shown.authors) + len(shown.more_authors) == 671


def test_one_can_leaf_through_a_twin(make_client: MakeClient) -> None:
    client = make_client(history_days=2)
    path, seen = "/papers?limit=2", []
    for heading in ("Papers 1 to 2 of 5", "Papers 3 to 4 of 5", "Papers 5 to 5 of 5"):
        page = soup(client.get(path))
        assert said(one(page, "#papers")) == heading
        seen += [said(title) for title in page.select(".paper h3")]
        assert one(page, "link[rel=canonical]")["href"] == f"http://localhost{path}"
        older = page.select("a[rel=next]")
        path = str(older[0]["href"]).removeprefix("http://localhost") if older else ""
    assert path == ""
    assert len(set(seen)) == 5
    assert one(page, "a[rel=prev]")["href"] == "http://localhost/papers?limit=2&page=2"
    page = soup(client.get("/papers?limit=2&page=2"))
    assert one(page, "a[rel=prev]")["href"] == "http://localhost/papers?limit=2"
    assert "There are no papers this far back." in said(soup(client.get("/papers?page=9")))


@pytest.mark.parametrize("number", ["0", "-1", "1000", "two", "", "1.5"])
def test_a_page_that_is_none_is_refused(client: FlaskClient, number: str) -> None:
    answer = client.get("/papers", query_string={"page": number}, headers={"Accept": BROWSER})
    assert f"Page must be a number from 1 to 999, not '{number}'." in said(soup(answer, 400))


def test_a_feed_knows_no_pages(make_client: MakeClient) -> None:
    client = make_client(history_days=2)
    assert client.get("/papers.atom?page=2").data == client.get("/papers.atom").data
    assert client.get("/papers.atom?page=none").data == client.get("/papers.atom").data


def test_a_twin_is_the_same_bytes_for_the_same_papers(
    make_client: MakeClient, clock: Clock
) -> None:
    client = make_client()
    first = client.get("/papers?q=causal")
    clock.forward(minutes=10)
    again = client.get("/papers?q=causal", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["/", "/?q=causal", "/papers?q=causal", "/feeds/causal"])
def test_a_reader_finds_every_format_from_a_page(
    client: FlaskClient, tmp_path: Path, path: str
) -> None:
    links = soup(client.get(path)).select("head link[rel=alternate]")[:3]
    assert [link["type"] for link in links] == [
        "application/atom+xml",
        "application/rss+xml",
        "application/feed+json",
    ]
    for link in links:
        assert client.get(str(link["href"])).mimetype == link["type"]
    require_program("sfeed_web", "sfeed")
    found = run_program(
        "sfeed_web", "http://localhost/", given=client.get(path).data, folder=tmp_path
    )
    # sfeed_web 1.7 knows no JSON Feed.
    assert [line.split("\t") for line in found.splitlines()][:2] == [
        [link["href"], link["type"]] for link in links[:2]
    ]


# --- status --------------------------------------------------------------------------------------


def test_the_status_tells_what_was_read_and_never_asks(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client(history_days=2)
    upstream.requests.clear()
    clock.forward(minutes=50)
    page = soup(client.get("/status"))
    assert "All is well. The newest list was read 50 minutes ago." in said(page)
    rows = [[said(cell) for cell in row.select("th, td")] for row in page.select("tbody tr")]
    assert rows == [
        ["Week 48 of 2026", "5", "50 minutes ago", "fresh"],
        ["November 2026", "5", "50 minutes ago", "fresh"],
        ["Trending", "5", "50 minutes ago", "fresh"],
        ["causal", "3", "50 minutes ago", "fresh"],
        ["24 November 2026", "3", "50 minutes ago", "due since 30 minutes ago"],
        ["23 November 2026", "2", "50 minutes ago", "fresh"],
    ]
    assert "60 of 60 in five minutes" in said(page)
    assert upstream.requests == []


def test_the_status_tells_what_fails_and_since_when(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client()
    upstream.fail()
    clock.forward(days=1)
    client.get("/papers.atom")
    wait_until(lambda: b"cannot be read" in client.get("/status").data)
    clock.forward(minutes=5)
    page = soup(client.get("/status"))
    assert (
        "Hugging Face cannot be read: HTTP 503. It failed first 5 minutes ago; it is asked again"
        " in a moment, when a reader comes."
    ) in said(page)
    assert json.loads(client.get("/status.json").data)["failure"]["since"] == "2026-11-25T09:30:00Z"
    (row,) = page.select("tr.bad")
    assert said(row) == (
        "25 November 2026 – never cannot be read since 25 November 2026, 09:30 UTC: HTTP 503"
    )


def test_the_status_of_a_server_that_read_nothing_yet(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    page = soup(client.get("/status"))
    assert "Nothing has been read yet." in said(page)
    assert "never" in said(page)
    assert upstream.requests == []


def test_the_status_is_there_as_data(
    make_client: MakeClient, config: Config, upstream: FakeUpstream
) -> None:
    client = make_client(history_days=2)
    answer = client.get("/status.json")
    assert answer.content_type == "application/json"
    found = json.loads(answer.data)
    assert found.keys() == {
        "version", "at", "failure", "days", "lists", "searches", "allowance", "store",
        "unreadable",
    }  # fmt: skip
    assert found["days"][0]["page"] == {"kind": "day", "key": "2026-11-24"}
    assert found["days"][0]["state"] == "fresh"
    assert found["allowance"] == {"left": 60 - len(upstream.requests), "most": 60}
    assert found["store"]["bytes"] > 10_000
    assert str(config.cache_dir) not in answer.text, "where it lies is nobody's business"


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (Page(Kind.DAY, "2026-11-04"), "4 November 2026"),
        (Page(Kind.WEEK, "2026-W08"), "Week 8 of 2026"),
        (Page(Kind.MONTH, "2026-11"), "November 2026"),
        (Page(Kind.TRENDING), "Trending"),
        (Page(Kind.SEARCH, "sea fog"), "sea fog"),
    ],
)
def test_a_list_has_a_name(page: Page, name: str) -> None:
    assert page_title(page) == name


def test_the_status_tells_of_pages_that_could_not_be_read(
    client: FlaskClient, service: Service, upstream: FakeUpstream
) -> None:
    upstream.intercept = lambda path: Response("<html><p>a new layout</html>", mimetype="text/html")
    client.get("/papers.atom")
    page = soup(client.get("/status"))
    assert "Has Hugging Face changed its pages?" in said(page)
    assert "day.html of 24 November 2026" in said(page)
    names = [name for name, _ in client.get("/status.json").get_json()["unreadable"]]
    assert names == ["day.html", "day.json"]


def test_the_status_tells_of_a_disk_that_fails(make_client: MakeClient, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    client = make_client(cache_dir=tmp_path / "file" / "store")
    assert client.get("/papers.atom").status_code == 200
    page = soup(client.get("/status"))
    assert "Nothing can be kept on disk since 24 November 2026" in said(page)
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
def test_people_are_told_of_errors_in_sentences_and_programs_in_data(
    client: FlaskClient, path: str, status: int, sentence: str, accept: str
) -> None:
    answer = client.get(path, headers={"Accept": accept})
    page = soup(answer, status)
    assert sentence in said(one(page, "main"))
    assert one(page, "input[name=q]")
    assert answer.headers["Cache-Control"] == "no-store"
    for other in ("", "*/*", "application/atom+xml", MINIFLUX, "application/rss+xml,text/html"):
        data = client.get(path, headers={"Accept": other})
        assert data.status_code == status
        assert data.content_type == "application/problem+json"


def test_an_error_page_helps_on(client: FlaskClient) -> None:
    page = soup(client.get("/feeds/fog%20banks", headers={"Accept": BROWSER}), 404)
    links = [link["href"] for link in page.select("main a")]
    assert links == ["http://localhost/papers.atom?q=fog+banks", "http://localhost/feeds/causal"]
    bad = soup(client.get("/papers?q=fog+OR", headers={"Accept": BROWSER}), 400)
    assert one(bad, "input[name=q]")["value"] == "fog OR"
    assert one(bad, ".query mark")


def test_with_nothing_read_a_person_is_told_when_to_come_back(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    upstream.fail()
    answer = client.get("/papers", headers={"Accept": BROWSER})
    page = soup(answer, 503)
    assert answer.headers["Retry-After"] == "60"
    assert "Please try again in 60 seconds." in said(page)


def test_an_error_of_ours_has_a_page_that_tells_nothing_of_our_insides(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Service, "get_feed", lambda *args, **kwargs: 1 / 0)
    page = soup(client.get("/papers", headers={"Accept": BROWSER}), 500)
    assert "Internal Server Error" in said(page)
    assert "division" not in said(page)


def test_a_host_that_is_none_gets_no_page(client: FlaskClient) -> None:
    """Its addresses would lead anywhere."""
    headers = {"Host": "a b", "Accept": BROWSER}
    assert client.get("/", headers=headers).content_type == "application/problem+json"
    assert client.get("/feeds/none", headers=headers).status_code == 400


# --- strangers' words ----------------------------------------------------------------------------


@given(papers(), queries(), st.booleans())
def test_a_card_has_no_markup_but_marks(one_of: Paper, query: Query, is_brief: bool) -> None:
    shown = paper_card(one_of, query, is_brief=is_brief)
    texts = [shown.title, shown.organization, *shown.abstract, *shown.authors, *shown.more_authors]
    texts += [keyword.text for keyword in shown.keywords]
    for text in texts:
        bare = text.replace("<mark>", "").replace("</mark>", "")
        assert not set(bare) & set("<>\"'")
    assert BeautifulSoup(f"<p>{shown.title}</p>", "html.parser").get_text() == one_of.title
    for keyword in shown.keywords:
        assert matches(parse_query(keyword.query), one_of)


HOSTILE = (
    "<script>alert(1)</script> causal",
    '"onmouseover="alert(1) causal',
    "</mark><img src=x onerror=alert(1)> causal",
    "&lt;script&gt; causal &amp;",
)


@pytest.mark.parametrize("title", HOSTILE)
@pytest.mark.parametrize("path", ["/?q=causal", "/papers?q=causal", "/preview?q=causal"])
def test_a_hostile_title_stays_text(
    upstream: FakeUpstream, make_client: MakeClient, path: str, title: str
) -> None:
    upstream.papers = [make_raw_paper(1, title=title, keywords=[title], authors=[title])]
    page = soup(make_client().get(path))
    assert said(one(page, ".paper h3")) == title
    assert [said(mark) for mark in page.select(".paper h3 mark")] == ["causal"]
    assert not page.select("main script, main img, [onmouseover], [onerror]")


@pytest.mark.parametrize("query", ['"><script>alert(1)</script>', '"onfocus="alert(1)', "<b> OR"])
def test_a_hostile_query_stays_text(make_client: MakeClient, query: str) -> None:
    client = make_client()
    for path in ("/", "/papers", "/preview"):
        answer = client.get(path, query_string={"q": query}, headers={"Accept": BROWSER})
        page = BeautifulSoup(answer.data, "lxml")
        assert not page.select("main script, main b, [onfocus]")
        if path == "/":
            assert one(page, "input[name=q]")["value"] == query


def test_a_readers_address_is_quoted_whole() -> None:
    address = "http://a.example/papers.atom?q=%22a+b%22&limit=3"
    (name, url), *_ = subscribe_links({"Mine": "https://r.example/?u={url}&x=1"}, address)
    assert name == "Mine"
    assert parse_qs(urlsplit(url).query) == {"u": [address], "x": ["1"]}


# --- what is remembered --------------------------------------------------------------------------


def test_a_window_remembers_as_long_as_its_listings_are_the_same() -> None:
    held = make_listing()
    window = Window(((DAY, held), (Page(Kind.DAY, "2026-08-06"), None)), Index(held.papers))
    assert [(day.date.isoformat(), day.is_fetched) for day in window.days] == [
        ("2026-08-06", False),
        ("2026-08-07", True),
    ]
    other = Page(Kind.DAY, "2026-08-06")
    assert window.is_current(((DAY, held), (other, None)))
    assert not window.is_current(((DAY, held),))
    assert not window.is_current(((DAY, msgspec.structs.replace(held)), (other, None)))
    assert not window.is_current(((DAY, held), (Page(Kind.DAY, "2026-08-05"), None)))


def test_new_papers_are_in_the_next_preview(
    make_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_client()
    assert "2 of 3 papers match" in said(soup(client.get("/preview?q=causal")))
    upstream.papers.append(make_raw_paper(8, title="Causal buoys"))
    clock.now += timedelta(minutes=21)
    wait_until(
        lambda: b"<strong>3</strong> of 4 papers match" in client.get("/preview?q=causal").data
    )
