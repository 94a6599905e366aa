"""Titles, names and abstracts are untrusted: their markup is shown, not interpreted."""

import json
from collections.abc import Iterator
from itertools import cycle
from urllib.parse import urlsplit

import feedparser
import pytest
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient

from tests.support.upstream import Json, make_raw_paper

PAYLOADS = {
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
TITLES = {f"Causal {payload} end" for payload in PAYLOADS.values()}
LINKS = (
    *("javascript:pwned=1", "JaVaScRiPt:pwned=1", "data:text/html,<script>pwned=1</script>"),
    *("//evil.example/", "java\nscript:pwned=1", 'https://x.example/" onclick="pwned=1'),
    *("vbscript:x",),
)
#: The elements of our own pages; there must be no others.
PAGE_ELEMENTS = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "nav", "main", "footer"),
    *("h1", "h2", "h3", "p", "a", "b", "img", "span", "strong", "mark", "small", "code", "pre"),
    *("form", "label", "div", "input", "button", "details", "summary", "section", "article"),
    *("dl", "dt", "dd", "ul", "li", "svg", "rect", "path", "figure", "figcaption", "time"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}
CONTENT_ELEMENTS = {"p", "a", "br", "em", "strong", "ul", "li"}


def make_hostile_paper(number: int, payload: str, link: str) -> Json:
    """Return a paper with the payload in each text and the link in each URL."""
    return make_raw_paper(
        number,
        title=f"Causal {payload} end",
        summary=f"Fog {payload}\n\n{payload} fog",
        authors=[f"Ada {payload}", payload],
        keywords=[f"fog {payload}", payload],
        organization=f"Lab {payload}",
        ai_summary=f"In short {payload}",
        github=link,
        project=link,
        media=[link],
    )


@pytest.fixture
def upstream_papers() -> list[Json]:
    """Return a paper for each payload, with each of the links in turn."""
    payloads = zip(PAYLOADS.values(), cycle(LINKS), strict=False)
    return [make_hostile_paper(number, *each) for number, each in enumerate(payloads, 1)]


def links_of(tag: Tag) -> Iterator[str]:
    for name, value in tag.attrs.items():
        assert not name.startswith("on"), tag
        assert name not in {"style", "srcdoc", "formaction"}, tag
        if name in {"href", "src", "action"}:
            yield str(value)


def check_markup(html: str, allowed: set[str]) -> None:
    """Fail for each element, attribute and URL that a document must not contain."""
    for tag in BeautifulSoup(html, "html.parser").find_all(True):
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
def test_a_page_has_only_our_own_elements_and_shows_titles_unchanged(
    client: FlaskClient, path: str
) -> None:
    client.get("/papers.atom")
    response = client.get(path)
    assert response.status_code == 200
    page = BeautifulSoup(response.text, "html.parser")
    titles = {" ".join(title.get_text().split()) for title in page.select(".paper h3")}
    assert titles
    assert titles <= TITLES
    if "q=causal" in path:
        assert {mark.get_text() for mark in page.select(".paper h3 mark")} == {"Causal"}
    check_markup(response.text, PAGE_ELEMENTS)


@pytest.mark.parametrize("format_", ["atom", "rss"])
def test_content_has_only_paragraphs_and_links(client: FlaskClient, format_: str) -> None:
    found = feedparser.parse(client.get(f"/papers.{format_}").data, sanitize_html=False)
    assert {entry.title for entry in found.entries} == TITLES
    for entry in found.entries:
        for content in entry.content:
            check_markup(content.value, CONTENT_ELEMENTS)
        for link in entry.links:
            assert urlsplit(link.href).scheme in {"http", "https"}


def test_json_has_the_text_unchanged_and_content_without_its_markup(client: FlaskClient) -> None:
    items: list[Json] = json.loads(client.get("/papers.json").data)["items"]
    assert {item["title"] for item in items} == TITLES
    for item in items:
        check_markup(item["content_html"], CONTENT_ELEMENTS)


@pytest.mark.parametrize("path", ["/papers", "/papers.atom", "/", "/preview", "/feeds/x", "/x"])
def test_parameters_are_shown_as_text(client: FlaskClient, path: str) -> None:
    for payload in PAYLOADS.values():
        for parameters in (
            {"q": f"{payload} ("},
            {"q": payload},
            {"limit": payload, payload: payload},
            {"page": payload},
        ):
            response = client.get(path, query_string=parameters, headers={"Accept": "text/html"})
            assert response.status_code < 500
            if response.mimetype == "text/html":
                check_markup(response.text, PAGE_ELEMENTS)
            if path == "/" and "q" in parameters:
                (field,) = BeautifulSoup(response.text, "html.parser").select("input[name=q]")
                assert field["value"] == parameters["q"]
