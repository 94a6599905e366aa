"""The HTML page of a feed."""

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from tests.support.clock import Clock
from tests.support.documents import MarkupCollector, get_body, parse_atom
from tests.support.feed_readers import require_program, run_program
from tests.support.html import BROWSER, parse_html, select_one, text_of
from tests.support.samples import FEED_PAGES
from tests.support.types import MakeClient
from tests.support.upstream import FakeUpstream, make_raw_paper


def page(client: FlaskClient, path: str) -> MarkupCollector:
    response = client.get(path)
    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    found = MarkupCollector()
    found.feed(response.get_data(as_text=True))
    found.close()
    return found


@pytest.mark.parametrize("path", FEED_PAGES)
def test_a_page_advertises_each_format_atom_first(sample_client: FlaskClient, path: str) -> None:
    links = [link for tag, link in page(sample_client, path).tags if tag == "link"]
    found = [link for link in links if link["rel"] == "alternate"]
    assert [link["type"] for link in found] == [
        "application/atom+xml",
        "application/rss+xml",
        "application/feed+json",
    ]
    assert all(link["title"] for link in found)
    base_path, separator, query = path.partition("?")
    for link, suffix in zip(found, ("atom", "rss", "json"), strict=True):
        assert link["href"] == f"http://localhost{base_path}.{suffix}{separator}{query}"
        assert sample_client.get(link["href"]).content_type == f"{link['type']}; charset=utf-8"


def test_a_page_shows_the_entries_of_a_feed_and_the_counters(sample_client: FlaskClient) -> None:
    shown = " ".join("".join(page(sample_client, "/papers?q=causal").texts).split())
    assert "Causal lighthouses" in shown
    assert "Ada Quill, Bo Lantern" in shown
    assert "We count the steps of lighthouse 1 and find them even." in shown
    assert "24 November 2026" in shown
    assert "30 votes · 1 comment" in shown
    assert "lighthouse number 2" not in shown


def test_a_page_and_its_feed_have_the_same_papers_in_the_same_order(
    sample_client: FlaskClient,
) -> None:
    for path in FEED_PAGES:
        hrefs = [tag.get("href", "") for _, tag in page(sample_client, path).tags]
        shown = list(dict.fromkeys(re.findall(r"https://arxiv.org/abs/\S+", " ".join(hrefs))))
        assert shown == [entry.id for entry in parse_atom(get_body(sample_client, path, "atom"))]


def test_the_page_of_an_empty_feed_shows_that_no_papers_match_yet(
    sample_client: FlaskClient,
) -> None:
    found = page(sample_client, "/papers?q=nothing+like+it")
    assert "No papers match yet." in " ".join(found.texts)
    assert [tag for tag, _ in found.tags if tag == "article"] == []
    assert "No papers match yet." not in " ".join(page(sample_client, "/papers").texts)


def test_a_feed_page_shows_every_field_of_a_paper(
    upstream: FakeUpstream, make_warm_client: MakeClient
) -> None:
    upstream.papers = [
        make_raw_paper(
            1,
            title="Causal lighthouses",
            summary="One paragraph.\n\nCausal, the other.",
            authors=[f"Ada Quill {number}" for number in range(671)],
            organization="Harbour AI Lab",
            ai_summary="Lighthouses, in short.",
            keywords=["sea fog", 'so "called"'],
            upvotes=1512,
            stars=1,
            github="https://github.com/e/x",
            project="https://e.example/",
        )
    ]
    page = parse_html(make_warm_client().get("/papers?q=causal"))
    assert "and 665 other authors" in text_of(select_one(page, ".more-authors summary"))
    assert text_of(select_one(page, ".who")).endswith(", Ada Quill 4, Ada Quill 5")
    assert text_of(select_one(page, ".facts")) == (
        "24 November 2026 · Harbour AI Lab · 1,512 votes · 1 comment · 1 star"
        " · matched in title, abstract"
    )
    assert [
        text_of(paragraph) for paragraph in page.select(".paper details:not(.more-authors) p")
    ] == [
        "One paragraph.",
        "Causal, the other.",
    ]
    assert text_of(select_one(page, ".summary")) == ("AI-generated summary: Lighthouses, in short.")
    assert [text_of(link) for link in page.select(".links a")] == [
        "Paper page",
        "arXiv",
        "PDF",
        "Code",
        "Project",
        "More like this",
    ]
    queries = [
        parse_qs(urlsplit(str(link["href"])).query)["q"] for link in page.select(".keywords a")
    ]
    assert queries == [['keyword:"sea fog"'], ['keyword:"so called"']]


def test_a_feed_page_links_to_newer_and_older_papers(make_warm_client: MakeClient) -> None:
    client = make_warm_client(history_days=2)
    path, seen = "/papers?limit=2", []
    for heading in ("Papers 1 to 2 of 5", "Papers 3 to 4 of 5", "Papers 5 to 5 of 5"):
        page = parse_html(client.get(path))
        assert text_of(select_one(page, "#papers")) == heading
        seen += [text_of(title) for title in page.select(".paper h3")]
        assert select_one(page, "link[rel=canonical]")["href"] == f"http://localhost{path}"
        older = page.select("a[rel=next]")
        path = str(older[0]["href"]).removeprefix("http://localhost") if older else ""
    assert path == ""
    assert len(set(seen)) == 5
    assert select_one(page, "a[rel=prev]")["href"] == "http://localhost/papers?limit=2&page=2"
    page = parse_html(client.get("/papers?limit=2&page=2"))
    assert select_one(page, "a[rel=prev]")["href"] == "http://localhost/papers?limit=2"
    assert "There are no papers this far back." in text_of(parse_html(client.get("/papers?page=9")))


@pytest.mark.parametrize("number", ["0", "-1", "1000", "two", "", "1.5"])
def test_an_invalid_page_number_is_a_client_error(client: FlaskClient, number: str) -> None:
    response = client.get("/papers", query_string={"page": number}, headers={"Accept": BROWSER})
    assert f"Page must be a number from 1 to 999, not '{number}'." in text_of(
        parse_html(response, 400)
    )


def test_feeds_ignore_the_page_parameter(make_warm_client: MakeClient) -> None:
    client = make_warm_client(history_days=2)
    assert client.get("/papers.atom?page=2").data == client.get("/papers.atom").data
    assert client.get("/papers.atom?page=none").data == client.get("/papers.atom").data


def test_a_feed_page_is_unchanged_while_its_papers_are(
    make_warm_client: MakeClient, clock: Clock
) -> None:
    client = make_warm_client()
    first = client.get("/papers?q=causal")
    clock.forward(minutes=10)
    second = client.get("/papers?q=causal", headers={"If-None-Match": first.headers["ETag"]})
    assert second.status_code == 304


@pytest.mark.parametrize("path", ["/", "/?q=causal", "/papers?q=causal", "/feeds/causal"])
def test_feed_discovery_finds_every_format(client: FlaskClient, tmp_path: Path, path: str) -> None:
    links = parse_html(client.get(path)).select("head link[rel=alternate]")[:3]
    assert [link["type"] for link in links] == [
        "application/atom+xml",
        "application/rss+xml",
        "application/feed+json",
    ]
    for link in links:
        assert client.get(str(link["href"])).mimetype == link["type"]
    require_program("sfeed_web", "sfeed")
    discovered = run_program(
        "sfeed_web", "http://localhost/", stdin=client.get(path).data, folder=tmp_path
    )
    # sfeed_web 1.7 does not know JSON Feed.
    assert [line.split("\t") for line in discovered.splitlines()][:2] == [
        [link["href"], link["type"]] for link in links[:2]
    ]


def test_the_page_of_a_configured_feed_shows_near_misses(
    make_client: MakeClient, upstream: FakeUpstream
) -> None:
    upstream.papers = [
        make_raw_paper(1, title="Causal tides", summary="Fragile harbours with tactile quays."),
        make_raw_paper(2, title="Tides", summary="Fragile harbours with tactile quays."),
    ]
    client = make_client()
    page = parse_html(client.get("/feeds/causal"))
    (miss,) = page.select(".near-misses li")
    title, addition = miss.select("a")
    assert text_of(title) == "Tides"
    assert "Tides" in client.get(str(addition["href"])).text
    assert "causal OR " in text_of(parse_html(client.get(str(addition["href"]))).select("title")[0])
    assert not parse_html(client.get("/papers?q=causal")).select(".near-misses")
