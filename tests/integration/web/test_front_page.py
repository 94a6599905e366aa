"""The HTML pages: their content, and the escaping of untrusted text."""

import gzip
from datetime import timedelta
from threading import Event
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from feedsrv.feeds.service import Service
from feedsrv.models import Feed
from tests.support.clock import Clock
from tests.support.html import BROWSER, parse_html, select_one, text_of
from tests.support.types import MakeClient
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

# --- the preview -------------------------------------------------------------------------------


def test_front_page_has_the_preview_without_javascript(
    make_warm_client: MakeClient,
) -> None:
    page = parse_html(make_warm_client(history_days=2).get("/?q=causal"))
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
    assert facts[0] == "24 November 2026 · matched in abstract · more like this"
    assert facts[2] == "23 November 2026 · matched in title · more like this"


def test_front_page_redirects_from_the_pasted_address_of_a_list(
    make_warm_client: MakeClient,
) -> None:
    response = make_warm_client().get("/?q=https://huggingface.co/papers/date/2026-11-24")
    assert response.status_code == 308
    assert response.headers["Location"] == "http://localhost/papers/date/2026-11-24"


def test_front_page_links_the_bibtex_of_the_query(make_warm_client: MakeClient) -> None:
    client = make_warm_client(history_days=2)
    link = select_one(parse_html(client.get("/?q=causal")), ".bibtex a")
    assert link["href"] == "http://localhost/papers.bib?q=causal"
    assert "@misc" in client.get(str(link["href"])).text


def test_preview_route_returns_the_preview_of_the_front_page(make_warm_client: MakeClient) -> None:
    client = make_warm_client()
    preview = client.get("/preview?q=causal").text
    assert preview in client.get("/?q=causal").text
    assert "<html" not in preview


def test_chart_has_a_description_and_labels(make_warm_client: MakeClient) -> None:
    page = parse_html(make_warm_client(history_days=2).get("/?q=causal"))
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


def test_feed_addresses_are_listed_atom_first_and_work(make_warm_client: MakeClient) -> None:
    client = make_warm_client()
    page = parse_html(client.get('/?q="world+model"+C%2B%2B'))
    links = page.select(".address a:not(#path-address-atom)")
    urls = [link.text for link in links]
    assert [urlsplit(url).path for url in urls] == [
        "/papers.atom",
        "/papers.rss",
        "/papers.json",
    ]
    for url, link in zip(urls, links, strict=True):
        assert parse_qs(urlsplit(url).query) == {"q": ['"world model" C++']}
        assert link["href"] == url
        assert client.get(url).mimetype == link["type"]
        assert page.select(f"button[data-copy={link['id']}]")


def test_subscribe_links_list_configured_readers_first(make_warm_client: MakeClient) -> None:
    readers = {"My FreshRSS": "https://rss.example.org/i/?c=feed&a=add&url_rss={url}"}
    client = make_warm_client(readers=readers)
    page = parse_html(client.get("/?q=causal", base_url="http://papers.example.org"))
    links = {text_of(link): str(link["href"]) for link in page.select(".readers a")}
    assert list(links) == ["My FreshRSS", "Feedly", "Inoreader", "NewsBlur", "The Old Reader"]
    assert "or add it to My FreshRSS, Feedly, Inoreader, NewsBlur or The Old Reader." in text_of(
        page
    )
    quoted_url = "http%3A%2F%2Fpapers.example.org%2Fpapers.atom%3Fq%3Dcausal"
    assert links["My FreshRSS"].endswith(f"&url_rss={quoted_url}")
    assert all(url.endswith(quoted_url) for url in links.values())


def test_web_based_readers_are_not_offered_where_they_cannot_reach_the_server(
    make_warm_client: MakeClient,
) -> None:
    client = make_warm_client(readers={"My FreshRSS": "http://rss.lan/?url={url}"})
    for base_url in ("http://localhost", "http://192.168.1.7:8000", "http://papers.lan"):
        page = parse_html(client.get("/?q=causal", base_url=base_url))
        assert [text_of(link) for link in page.select(".readers a")] == ["My FreshRSS"]


def test_front_page_offers_all_papers_and_digests_of_them(make_warm_client: MakeClient) -> None:
    page = parse_html(make_warm_client(history_days=2).get("/"))
    assert text_of(select_one(page, "#subscribe")) == "Subscribe to all papers"
    assert select_one(page, "#address-atom").text == "http://localhost/papers.atom"
    assert {text_of(link): link["href"] for link in page.select(".choices a")} == {
        "Daily digest": "http://localhost/papers?digest=day",
        "Weekly digest": "http://localhost/papers?digest=week",
    }
    assert "5 papers from the last 2 days of lists" in text_of(page)


def test_preview_says_how_many_older_papers_the_feed_has(make_warm_client: MakeClient) -> None:
    client = make_warm_client(history_days=1)
    assert client.get("/papers.atom?q=causal").status_code == 200  # fetches the search
    page = parse_html(client.get("/?q=causal"))
    assert "1 older from search" in text_of(page)
    assert "2 of 3 papers match" in text_of(page)
    assert "See all 3 with abstracts" in text_of(page)


def test_the_address_of_a_paper_leads_to_papers_like_it(make_warm_client: MakeClient) -> None:
    page = parse_html(make_warm_client().get("/?q=https://arxiv.org/abs/2611.00001"))
    (link,) = page.select(".note a")
    assert link["href"] == "http://localhost/?q=like%3A2611.00001"
    assert text_of(link) == "like:2611.00001"


def test_an_invalid_query_is_shown_with_the_error_marked(client: FlaskClient) -> None:
    for path in ("/", "/preview"):
        page = parse_html(client.get(path, query_string={"q": "causal (fog OR) sea"}))
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
    make_warm_client: MakeClient,
    query: str,
    hint: str | None,
    suggestions: dict[str, int],
) -> None:
    client = make_warm_client()
    page = parse_html(client.get("/preview", query_string={"q": query}))
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
        suggested = parse_html(client.get(f"/preview?{url.query}"))
        count = text_of(link.parent or link).split()[-2]
        assert text_of(select_one(suggested, ".tally strong")) == count


def test_hint_counts_older_papers_of_a_stored_search(
    upstream: FakeUpstream, make_warm_client: MakeClient
) -> None:
    upstream.papers.append(make_raw_paper(9, day=5, title="Whales of old"))
    client = make_warm_client()
    client.get("/papers.atom?q=whales")
    hint = text_of(select_one(parse_html(client.get("/preview?q=whales")), ".note"))
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

    upstream.intercept = wait_for_permission  # otherwise the first page may already have the list
    first = parse_html(client.get("/?q=causal"))
    assert "Loading papers for the first time" in text_of(first)
    assert first.select("[data-reload-seconds]")
    may_respond.set()
    wait_until(service.scheduler.is_idle)
    requests = list(upstream.requests)
    for length in range(1, 7):
        page = parse_html(client.get(f"/preview?q={'causal'[:length]}"))
        assert "Loading papers for the first time" not in text_of(page)
    wait_until(service.scheduler.is_idle)
    assert upstream.requests == requests == ["/papers/date/2026-11-24"]


def test_front_page_does_not_wait_for_upstream(client: FlaskClient, upstream: FakeUpstream) -> None:
    upstream.fail()
    page = parse_html(client.get("/?q=causal"))
    assert "Loading papers" in text_of(page)


@pytest.mark.parametrize(
    ("path", "cache_control"),
    [
        ("/", "no-cache"),
        ("/preview", "no-cache"),
        ("/status", "no-cache"),
        ("/status.json", "no-store"),
    ],
)
def test_pages_about_the_current_state_are_never_served_stale(
    client: FlaskClient, path: str, cache_control: str
) -> None:
    response = client.get(path)
    assert response.headers["Cache-Control"] == cache_control
    assert client.head(path).status_code == 200
    assert client.head(path).data == b""


@pytest.mark.parametrize("path", ["/", "/papers?q=causal", "/status", "/nothing"])
def test_pages_make_no_third_party_requests(make_warm_client: MakeClient, path: str) -> None:
    response = make_warm_client().get(path, headers={"Accept": BROWSER})
    assert response.headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    page = parse_html(response, response.status_code)
    for tag in page.select("[src], link[rel=stylesheet], link[rel=icon]"):
        assert str(tag.get("src") or tag["href"]).startswith("http://localhost/static/")
    assert not page.select("[style], style, script:not([src]), [onclick]")


def test_static_files_are_small(client: FlaskClient) -> None:
    for name, max_bytes in (("style.css", 8192), ("page.js", 4000)):
        with client.get(f"/static/{name}") as response:
            assert response.status_code == 200
            assert len(response.data) < max_bytes


# --- feeds ---------------------------------------------------------------------------------------


def test_front_page_has_a_card_for_each_configured_feed(make_warm_client: MakeClient) -> None:
    page = parse_html(make_warm_client(history_days=2).get("/"))
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
    outage_client: FlaskClient, clock: Clock
) -> None:
    clock.forward(minutes=5)
    page = parse_html(outage_client.get("/"))
    assert "failing since 25 November 2026, 09:30 UTC" in text_of(page)


def test_front_page_mentions_an_outage_of_hours_once(
    outage_client: FlaskClient, clock: Clock
) -> None:
    clock.forward(minutes=59)
    assert "unreachable" not in text_of(parse_html(outage_client.get("/")))
    clock.forward(hours=2)
    page = text_of(parse_html(outage_client.get("/")))
    assert "Hugging Face has been unreachable for 2 hours (HTTP 503)." in page
    assert "failing since" not in page


# --- size ----------------------------------------------------------------------------------------


def test_front_page_is_small_with_many_feeds_long_papers_and_a_key(
    make_warm_client: MakeClient, upstream: FakeUpstream
) -> None:
    sentence = "Whether causal fog delays the ferries of the harbour, and for how long. "
    upstream.papers[:] = [
        make_raw_paper(
            number,
            day=number % 2,
            title=f"Causal lighthouses and other reasons for late ferries, part {number}",
            summary=20 * sentence,
            authors=[f"Ada Augusta Quill {author}" for author in range(60)],
            organization="Institute of Harbours",
            organization_handle="harbour-institute",
            keywords=["causal inference", "causal discovery", "ferry timetables"],
        )
        for number in range(1, 40)
    ]
    feeds = {
        f"feed-{number}": Feed(
            name=f"feed-{number}",
            title=f"Causal topic number {number}",
            query='causal OR counterfactual OR "treatment effect" OR "instrumental variable"',
        )
        for number in range(40)
    }
    client = make_warm_client(history_days=30, feeds=feeds, access_key="k3y" * 10)
    for query in ("", "q=causal&"):
        response = client.get(f"/?{query}key={'k3y' * 10}", headers={"Accept-Encoding": "gzip"})
        assert response.headers["Content-Encoding"] == "gzip"
        assert len(response.data) < 8_000
        assert len(gzip.decompress(response.data)) < 30_000
        response = client.get(f"/?{query}key={'k3y' * 10}")
        assert parse_html(response).select(".feed" if not query else ".paper")


# --- freshness -----------------------------------------------------------------------------------


def test_preview_has_new_papers_after_a_refresh(
    make_warm_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> None:
    client = make_warm_client()
    assert "2 of 3 papers match" in text_of(parse_html(client.get("/preview?q=causal")))
    upstream.papers.append(make_raw_paper(8, title="Causal buoys"))
    clock.now += timedelta(minutes=21)
    wait_until(
        lambda: b"<strong>3</strong> of 4 papers match" in client.get("/preview?q=causal").data
    )
