"""The pages for people, as HTML: what they say, and that nobody's words become markup."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from feedsrv.feeds.service import Service
from tests.support.clock import Clock
from tests.support.html import BROWSER, parse_html, select_one, text_of
from tests.support.types import MakeClient
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

# --- the preview -------------------------------------------------------------------------------


def test_the_front_page_shows_what_a_feed_would_hold_without_any_script(
    make_warm_client: MakeClient,
) -> None:
    page = parse_html(make_warm_client(history_days=2).get("/?q=causal"))
    assert select_one(page, "input[name=q]")["value"] == "causal"
    assert "3 of 5 papers match" in text_of(select_one(page, ".tally"))
    assert "in the last 2 list days · about 8 a week" in text_of(select_one(page, ".tally"))
    titles = [text_of(found) for found in page.select(".paper h3")]
    assert titles == [
        "A study of lighthouse number 3",
        "Causal lighthouses",
        "Causality by the sea",
    ]
    assert [mark.text for mark in page.select(".paper mark")] == ["causally", "Causal", "Causality"]
    facts = [text_of(found) for found in page.select(".facts")]
    assert facts[0] == "24 November 2026 · matched in abstract"
    assert facts[2] == "23 November 2026 · matched in title"


def test_the_preview_is_the_same_part_of_the_same_page(make_warm_client: MakeClient) -> None:
    client = make_warm_client()
    part = client.get("/preview?q=causal").get_data(as_text=True)
    assert part in client.get("/?q=causal").get_data(as_text=True)
    assert "<html" not in part


def test_the_chart_says_in_words_what_it_shows(make_warm_client: MakeClient) -> None:
    page = parse_html(make_warm_client(history_days=2).get("/?q=causal"))
    chart = select_one(page, "figure svg")
    assert chart["role"] == "img"
    assert chart["aria-label"] == (
        "Papers on each of 2 list days from 23 November to 24 November 2026:"
        " at most 2 a day, on 24 November."
    )
    assert [text_of(bar) for bar in chart.select("title")] == [
        "23 November 2026: 1 paper",
        "24 November 2026: 2 papers",
    ]


def test_the_addresses_are_there_atom_first_and_work(make_warm_client: MakeClient) -> None:
    client = make_warm_client()
    page = parse_html(client.get('/?q="world+model"+C%2B%2B'))
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


def test_readers_are_one_click_away_and_ones_own_is_the_first(make_warm_client: MakeClient) -> None:
    own = {"My FreshRSS": "https://rss.example.org/i/?c=feed&a=add&url_rss={url}"}
    page = parse_html(make_warm_client(readers=own).get("/?q=causal"))
    links = {text_of(link): str(link["href"]) for link in page.select(".readers a")}
    assert list(links) == ["My FreshRSS", "Feedly", "Inoreader", "NewsBlur", "The Old Reader"]
    address = "http%3A%2F%2Flocalhost%2Fpapers.atom%3Fq%3Dcausal"
    assert links["My FreshRSS"].endswith(f"&url_rss={address}")
    assert all(url.endswith(address) for url in links.values())


def test_a_query_that_cannot_be_read_is_shown_with_the_place_marked(client: FlaskClient) -> None:
    for path in ("/", "/preview"):
        page = parse_html(client.get(path, query_string={"q": "causal (fog OR) sea"}))
        note = select_one(page, ".note.bad")
        assert "expected a word or quoted words before this parenthesis" in text_of(note).lower()
        assert select_one(page, ".query").decode_contents().strip() == (
            "<code>causal (fog OR<mark>)</mark> sea</code>"
        )


@pytest.fixture
def crowded_upstream(upstream: FakeUpstream) -> FakeUpstream:
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
    crowded_upstream: FakeUpstream,
    make_warm_client: MakeClient,
    query: str,
    hint: str | None,
    tries: dict[str, int],
) -> None:
    client = make_warm_client()
    page = parse_html(client.get("/preview", query_string={"q": query}))
    notes = [text_of(note).replace("\u202f", " ") for note in page.select(".note")]
    if hint is None:
        assert notes == []
        return
    assert hint in notes[0]
    shown = {text_of(each.select("code")[0]): text_of(each) for each in page.select(".tries li")}
    assert all(shown[text] == f"{text} {many} papers" for text, many in tries.items())
    for link in page.select(".tries a"):
        url = urlsplit(str(link["href"]))
        again = parse_html(client.get(f"/preview?{url.query}"))
        many = text_of(link.parent or link).split()[-2]
        assert text_of(select_one(again, ".tally strong")) == many


def test_older_papers_that_a_kept_search_knows_are_counted(
    upstream: FakeUpstream, make_warm_client: MakeClient
) -> None:
    upstream.papers.append(make_raw_paper(9, day=5, title="Whales of old"))
    client = make_warm_client()
    client.get("/papers.atom?q=whales")
    hint = text_of(select_one(parse_html(client.get("/preview?q=whales")), ".note"))
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
    first = parse_html(client.get("/?q=causal"))
    assert "The papers are being read for the first time" in text_of(first)
    assert first.select("[data-again]")
    answers.set()
    wait_until(service._scheduler.is_idle)
    asked = list(upstream.requests)
    for length in range(1, 7):
        page = parse_html(client.get(f"/preview?q={'causal'[:length]}"))
        assert "The papers are being read for the first time" not in text_of(page)
    wait_until(service._scheduler.is_idle)
    assert upstream.requests == asked == ["/papers/date/2026-11-24"]


def test_the_front_page_waits_for_nothing_while_upstream_is_down(
    client: FlaskClient, upstream: FakeUpstream
) -> None:
    upstream.fail()
    page = parse_html(client.get("/?q=causal"))
    assert "The papers are being read" in text_of(page)


@pytest.mark.parametrize("path", ["/", "/preview", "/status", "/status.json"])
def test_what_tells_of_this_moment_is_not_kept(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.head(path).status_code == 200
    assert client.head(path).data == b""


@pytest.mark.parametrize("path", ["/", "/papers?q=causal", "/status", "/nothing"])
def test_a_page_asks_nobody_else_for_anything(make_warm_client: MakeClient, path: str) -> None:
    answer = make_warm_client().get(path, headers={"Accept": BROWSER})
    assert answer.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    page = parse_html(answer, answer.status_code)
    for tag in page.select("[src], link[rel=stylesheet], link[rel=icon]"):
        assert str(tag.get("src") or tag["href"]).startswith("http://localhost/static/")
    assert not page.select("[style], style, script:not([src]), [onclick]")


def test_a_page_is_small(client: FlaskClient) -> None:
    for name, most in (("style.css", 8192), ("page.js", 4000)):
        with client.get(f"/static/{name}") as answer:
            assert answer.status_code == 200
            assert len(answer.data) < most


# --- feeds ---------------------------------------------------------------------------------------


def test_configured_feeds_are_cards(make_warm_client: MakeClient) -> None:
    page = parse_html(make_warm_client(history_days=2).get("/"))
    feed = select_one(page, ".feed")
    assert text_of(select_one(page, ".feed h3")) == "Causal matters"
    assert text_of(select_one(page, ".feed code")) == "causal"
    assert "3 papers this week read just now" in text_of(feed)
    assert "at most 2 a day" in str(select_one(page, ".feed svg")["aria-label"])
    assert [link["href"] for link in page.select(".formats a")] == [
        f"http://localhost/feeds/causal.{name}" for name in ("atom", "rss", "json")
    ]
    assert page.select('a[href="http://localhost/feeds.opml"]')


def test_a_card_tells_since_when_its_feed_cannot_be_read(
    make_warm_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_warm_client()
    upstream.fail()
    clock.forward(days=1)
    client.get("/papers.atom")
    wait_until(lambda: b"cannot be read since" in client.get("/").data)
    clock.forward(minutes=5)
    assert "cannot be read since 25 November 2026, 09:30 UTC" in text_of(
        parse_html(client.get("/"))
    )


# --- what is remembered --------------------------------------------------------------------------


def test_new_papers_are_in_the_next_preview(
    make_warm_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_warm_client()
    assert "2 of 3 papers match" in text_of(parse_html(client.get("/preview?q=causal")))
    upstream.papers.append(make_raw_paper(8, title="Causal buoys"))
    clock.now += timedelta(minutes=21)
    wait_until(
        lambda: b"<strong>3</strong> of 4 papers match" in client.get("/preview?q=causal").data
    )
