"""Titles, names, abstracts are strangers' words: whatever stands in them is shown, not run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle
from urllib.parse import urlsplit

import feedparser
import pytest
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient

from tests.support.upstream import Json, make_raw_paper

WORDS = {
    "a script": "<script>pwned=1</script>",
    "a script in capitals": "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "a picture": '<img src=x onerror="pwned=1">',
    "a drawing": "<svg/onload=pwned=1>",
    "the end of an attribute": '" onmouseover="pwned=1" autofocus onfocus="pwned=1',
    "the end of a title": "</title></head><body onload=pwned=1>",
    "the end of a section": "]]><script>pwned=1</script>",
    "the end of content": "</content></entry><entry><title>pwned</title></entry>",
    "escaped once": "&lt;script&gt;pwned=1&lt;/script&gt;",
    "escaped twice": "&amp;lt;script&amp;gt;pwned=1",
    "a template": "{{ 7 * 7 }}{% raw %}${7*7}",
    "a style": "<style>@import '//evil.example';</style>",
    "a frame": "<iframe srcdoc='<script>pwned=1</script>'></iframe>",
    "a form": "<form action=//evil.example><input name=q autofocus>",
    "a base": "<base href=//evil.example>",
    "a comment": "<!-- --!><script>pwned=1</script>",
}
LINKS = (
    *("javascript:pwned=1", "JaVaScRiPt:pwned=1", "data:text/html,<script>pwned=1</script>"),
    *(
        "//evil.example/",
        "java\nscript:pwned=1",
        'https://x.example/" onclick="pwned=1',
        "vbscript:x",
    ),
)
#: What our own pages are made of; nothing else may be there.
OURS = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "nav", "main", "footer"),
    *("h1", "h2", "h3", "p", "a", "img", "span", "strong", "mark", "small", "code", "pre", "time"),
    *("form", "label", "div", "input", "button", "details", "summary", "section", "article"),
    *("dl", "dt", "dd", "ul", "li", "svg", "rect", "figure", "figcaption"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}
IN_CONTENT = {"html", "body", "p", "a", "br", "em", "strong", "ul", "li"}


def hostile_paper(number: int, text: str, link: str) -> Json:
    """Return a paper with the text and the link wherever there may be any."""
    return make_raw_paper(
        number,
        title=f"Causal {text} end",
        summary=f"Fog {text}\n\n{text} fog",
        authors=[f"Ada {text}", text],
        keywords=[f"fog {text}", text],
        organization=f"Lab {text}",
        ai_summary=f"In short {text}",
        github=link,
        project=link,
        media=[link],
    )


@pytest.fixture
def upstream_papers() -> list[Json]:
    """One paper for each text, with each of the links in turn."""
    return [
        hostile_paper(number, text, link)
        for number, (text, link) in enumerate(zip(WORDS.values(), cycle(LINKS), strict=False), 1)
    ]


def links_of(tag: Tag) -> Iterator[str]:
    for name, value in tag.attrs.items():
        assert not name.startswith("on"), tag
        assert name not in {"style", "srcdoc", "formaction"}, tag
        if name in {"href", "src", "action"}:
            yield str(value)


def assert_only_allowed_markup(html: str, allowed: set[str]) -> None:
    for tag in BeautifulSoup(html, "lxml").find_all(True):
        assert isinstance(tag, Tag)
        assert tag.name in allowed, tag
        if tag.name == "script":
            assert urlsplit(str(tag["src"])).path == "/static/page.js"
            assert not tag.get_text()
        for link in links_of(tag):
            assert not link.startswith("//"), tag
            assert urlsplit(link).scheme in {"", "http", "https"}, tag
            assert urlsplit(link).netloc != "evil.example", tag


@pytest.mark.parametrize("path", ["/papers", "/papers?q=causal", "/preview?q=fog", "/?q=causal"])
def test_a_page_shows_texts_as_written_within_our_own_markup(
    client: FlaskClient, path: str
) -> None:
    client.get("/papers.atom")
    response = client.get(path)
    assert response.status_code == 200
    page = BeautifulSoup(response.text, "lxml")
    titles = {" ".join(title.get_text().split()) for title in page.select(".paper h3")}
    assert titles
    assert titles <= {f"Causal {text} end" for text in WORDS.values()}
    if "q=causal" in path:
        assert {mark.get_text() for mark in page.select(".paper h3 mark")} == {"Causal"}
    assert_only_allowed_markup(response.text, OURS)


@pytest.mark.parametrize("suffix", ["atom", "rss"])
def test_feed_content_is_made_of_paragraphs_and_links(client: FlaskClient, suffix: str) -> None:
    found = feedparser.parse(client.get(f"/papers.{suffix}").data, sanitize_html=False)
    assert {entry.title for entry in found.entries} == {
        f"Causal {text} end" for text in WORDS.values()
    }
    for entry in found.entries:
        for content in entry.content:
            assert_only_allowed_markup(content.value, IN_CONTENT)
        for link in entry.links:
            assert urlsplit(link.href).scheme in {"http", "https"}


def test_json_has_titles_as_written_and_content_of_paragraphs_and_links(
    client: FlaskClient,
) -> None:
    items: list[Json] = json.loads(client.get("/papers.json").data)["items"]
    assert {item["title"] for item in items} == {f"Causal {text} end" for text in WORDS.values()}
    for item in items:
        assert_only_allowed_markup(item["content_html"], IN_CONTENT)


@pytest.mark.parametrize("path", ["/papers", "/papers.atom", "/", "/preview", "/feeds/x", "/x"])
def test_parameters_are_shown_as_text(client: FlaskClient, path: str) -> None:
    for text in WORDS.values():
        for query in ({"q": f"{text} ("}, {"q": text}, {"limit": text, "page": text, text: text}):
            response = client.get(path, query_string=query, headers={"Accept": "text/html"})
            assert response.status_code < 500
            if response.mimetype == "text/html":
                assert_only_allowed_markup(response.text, OURS)
            if path == "/" and "q" in query:
                (field,) = BeautifulSoup(response.text, "lxml").select("input[name=q]")
                assert field["value"] == query["q"]
