"""Titles, names, abstracts are strangers' words: whatever stands in them is shown, not run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import feedparser
import pytest
from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient

from tests.support.upstream import FakeUpstream, make_raw_paper

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
IN_CONTENT = {"p", "a", "br", "em", "strong", "ul", "li"}


def hostile(number: int, bad: str, link: str) -> dict[str, Any]:
    """Return a paper with the words and the link wherever there may be any."""
    return make_raw_paper(
        number,
        title=f"Causal {bad} end",
        summary=f"Fog {bad}\n\n{bad} fog",
        authors=[f"Ada {bad}", bad],
        keywords=[f"fog {bad}", bad],
        organization=f"Lab {bad}",
        ai_summary=f"In short {bad}",
        github=link,
        project=link,
        media=[link],
    )


@pytest.fixture(params=WORDS, ids=lambda name: name.replace(" ", "-"))
def words(request: pytest.FixtureRequest, upstream: FakeUpstream) -> str:
    """Put the words wherever upstream has any."""
    bad = WORDS[request.param]
    upstream.papers[:] = [hostile(number, bad, link) for number, link in enumerate(LINKS, 1)]
    return bad


def links_of(tag: Tag) -> Iterator[str]:
    for name, value in tag.attrs.items():
        assert not name.startswith("on"), tag
        assert name not in {"style", "srcdoc", "formaction"}, tag
        if name in {"href", "src", "action"}:
            yield str(value)


def look_at(html: str, allowed: set[str]) -> None:
    """Fail where a document has anything but what it may have."""
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
def test_a_page_is_made_of_our_own_parts(client: FlaskClient, words: str, path: str) -> None:
    client.get("/papers.atom")
    answer = client.get(path)
    assert answer.status_code == 200
    shown = BeautifulSoup(answer.text, "html.parser").get_text()
    assert " ".join(f"Causal {words} end".split()) in " ".join(shown.split())
    look_at(answer.text, OURS)


@pytest.mark.parametrize("format_", ["atom", "rss"])
def test_content_is_made_of_paragraphs_and_links(
    client: FlaskClient, words: str, format_: str
) -> None:
    found = feedparser.parse(client.get(f"/papers.{format_}").data, sanitize_html=False)
    assert len(found.entries) == len(LINKS)
    for entry in found.entries:
        assert entry.title == f"Causal {words} end"
        for content in entry.content:
            look_at(content.value, IN_CONTENT)
        for link in entry.links:
            assert urlsplit(link.href).scheme in {"http", "https"}


def test_json_has_the_words_as_they_are_and_content_without_markup_of_theirs(
    client: FlaskClient, words: str
) -> None:
    items: list[dict[str, Any]] = json.loads(client.get("/papers.json").data)["items"]
    assert [item["title"] for item in items] == [f"Causal {words} end"] * len(LINKS)
    for item in items:
        look_at(item["content_html"], IN_CONTENT)


@pytest.mark.parametrize("bad", WORDS.values())
@pytest.mark.parametrize("path", ["/papers", "/papers.atom", "/", "/preview", "/feeds/x", "/x"])
def test_what_is_asked_for_is_said_back_as_text(client: FlaskClient, bad: str, path: str) -> None:
    for asked in ({"q": f"{bad} ("}, {"q": bad}, {"limit": bad}, {"page": bad}, {bad: bad}):
        answer = client.get(path, query_string=asked, headers={"Accept": "text/html"})
        assert answer.status_code < 500
        if answer.mimetype == "text/html":
            look_at(answer.text, OURS)
