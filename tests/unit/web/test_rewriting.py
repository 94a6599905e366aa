"""URLs as programs change them, and the intended URLs."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.web.auth import Credentials
from feedsrv.web.rewriting import rewrite_url
from feedsrv.web.urls import URLBuilder


def rewrite(address: str) -> tuple[str, dict[str, str]]:
    """Return the intended path and parameters of a URL as a client sends it."""
    path, _, query_string = address.partition("?")
    path, query_string = rewrite_url(unquote(path, "latin-1"), query_string)
    return path, dict(parse_qsl(query_string, keep_blank_values=True))


@pytest.mark.parametrize(
    ("address", "path", "parameters"),
    [
        # A parameter appended with a second question mark.
        ("/papers.atom?q=causal?null", "/papers.atom", {"q": "causal", "null": ""}),
        ("/papers.atom?q=causal?undefined", "/papers.atom", {"q": "causal", "undefined": ""}),
        ("/papers.atom?q=causal?_=17", "/papers.atom", {"q": "causal", "_": "17"}),
        ("/papers.atom?q=causal?utm_source=x&utm_medium=y", "/papers.atom",
         {"q": "causal", "utm_source": "x", "utm_medium": "y"}),
        ("/papers.atom?q=causal&limit=5?null", "/papers.atom",
         {"q": "causal", "limit": "5", "null": ""}),
        ("/papers.atom?limit=5?q=causal?key=K", "/papers.atom",
         {"q": "causal", "limit": "5", "key": "K"}),
        # Escaped as in HTML or XML, once or twice.
        ("/papers.atom?q=causal&amp;limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?q=causal&amp;amp;limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?q=causal&#38;limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?q=causal&#x26;limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?amp;q=causal", "/papers.atom", {"q": "causal"}),
        ("/papers.atom?q=&quot;world+model&quot;&limit=5", "/papers.atom",
         {"q": '"world model"', "limit": "5"}),
        ("/papers.atom?q=upvotes:&gt;=20", "/papers.atom", {"q": "upvotes:>=20"}),
        # The question mark or the equals sign is percent-encoded, or is another character.
        ("/papers.atom%3Fq=causal", "/papers.atom", {"q": "causal"}),
        ("/papers.atom%3Fq=causal%26limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom&q=causal", "/papers.atom", {"q": "causal"}),
        ("/papers%3Fq=world%20model", "/papers", {"q": "world model"}),
        ("/papers.atom?q%3Dcausal", "/papers.atom", {"q": "causal"}),
        ("/papers.atom?q%3Dcausal%26limit%3D5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom%20", "/papers.atom", {}),
        ("/papers.atom%0A?q=causal", "/papers.atom", {"q": "causal"}),
        # Not encoded at all.
        ("/papers.atom?q=caf\xc3\xa9", "/papers.atom", {"q": "café"}),
        # All but the first parameter are encoded once more.
        ("/papers.atom?q=causal%26limit%3D5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?q=causal%26amp%3Blimit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        # Escaped as in JSON, by a shell or by a Markdown editor.
        ("/papers.atom?q=causal\\u0026limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?q=causal%5Cu0026limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom%5C?q%5C=causal%5C&limit%5C=5", "/papers.atom",
         {"q": "causal", "limit": "5"}),
        # Text after the URL.
        ("/papers.atom?q=causal/", "/papers.atom", {"q": "causal"}),
        ("/papers.atom?q=causal&limit=5/", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?q=causal&limit=5%20", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers.atom?q=causal&key=K%0D%0A", "/papers.atom", {"q": "causal", "key": "K"}),
        # The form without a question mark.
        ("/papers/q/causal.atom", "/papers.atom", {"q": "causal"}),
        ("/papers/q/causal", "/papers", {"q": "causal"}),
        ("/papers/q/causal/", "/papers", {"q": "causal"}),
        ("/papers/q/causal.RSS", "/papers.rss", {"q": "causal"}),
        ("/papers/q/world%20model.json", "/papers.json", {"q": "world model"}),
        ("/papers/q/world+model.atom", "/papers.atom", {"q": "world model"}),
        ("/papers/q/C%2B%2B.atom", "/papers.atom", {"q": "C++"}),
        ("/papers/q/caf%C3%A9.atom", "/papers.atom", {"q": "café"}),
        ("/papers/q/voil%C3%A0", "/papers", {"q": "voilà"}),
        ("/papers/q/TCP%2FIP.atom", "/papers.atom", {"q": "TCP/IP"}),
        ("/papers/q/why%3F.atom", "/papers.atom", {"q": "why?"}),
        ("/papers/q/a%26b.atom", "/papers.atom", {"q": "a&b"}),
        ("/papers/q/node.js", "/papers", {"q": "node.js"}),
        ("/papers/q/node.js.atom", "/papers.atom", {"q": "node.js"}),
        ("/papers/q/causal/limit/5/key/K-1.atom", "/papers.atom",
         {"q": "causal", "limit": "5", "key": "K-1"}),
        ("/papers/week/q/causal.atom", "/papers/week.atom", {"q": "causal"}),
        ("/papers/date/2026-11-24/q/causal.atom", "/papers/date/2026-11-24.atom", {"q": "causal"}),
        ("/feeds/sea/key/k3y-of/the+lighthouse.atom", "/feeds/sea.atom",
         {"key": "k3y-of/the+lighthouse"}),
        ("/feeds/key/K.opml", "/feeds.opml", {"key": "K"}),
        ("/key/K", "/", {"key": "K"}),
        ("/papers/q/causal.atom?limit=5", "/papers.atom", {"q": "causal", "limit": "5"}),
        ("/papers/q/causal.atom?limit=5?null", "/papers.atom",
         {"q": "causal", "limit": "5", "null": ""}),
    ],
)  # fmt: skip
def test_a_changed_url_is_rewritten_to_the_intended_one(
    address: str, path: str, parameters: dict[str, str]
) -> None:
    assert rewrite(address) == (path, parameters)


@pytest.mark.parametrize(
    "address",
    [
        "/",
        "/papers.atom?q=causal&limit=5&key=K",
        "/papers.atom?q=why%3F",
        "/papers.atom?q=TCP/IP",
        "/papers.atom?q=a%5Cb",
        "/papers.atom?q=causal&key=K/",
        "/papers.atom?q=R%26D+AT%26T",
        "/papers.atom?q=what+is+it?",
        "/papers.atom?q=is+it+so?+A+study",
        "/papers.atom?q=a%26b%3Dc",
        "/papers.atom?q=100%25",
        "/papers.atom?q=%26amp%3B",
        "/papers.atom?q=C%2B%2B",
        "/papers.atom?q=AT%26T&limit=5",
        "/feeds/a+b.atom",
        "/feeds/q.atom",
        "/feeds/key.atom",
        "/papers/date/2026-11-24.atom",
        "/static/style.css?v=1",
    ],
)
def test_a_correct_url_is_unchanged(address: str) -> None:
    path, _, query_string = address.partition("?")
    assert rewrite_url(path, query_string) == (path, query_string)


@given(
    query=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40),
    limit=st.none() | st.integers(1, 200),
    key=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
)
def test_the_form_without_a_question_mark_is_equivalent(
    query: str, limit: int | None, key: str
) -> None:
    query = " ".join(query.split()) or "x"
    # This form cannot contain a value with the name of a parameter between slashes.
    names = ("/q/", "/limit/", "/match/", "/key/")
    if any(name in f"/{query}//{key}/" for name in names) or query.endswith("/"):
        return
    url = URLBuilder("", Credentials(key, key))
    path, parameters = rewrite(url.without_query_string("/papers", ".atom", q=query, limit=limit))
    canonical = urlsplit(url("/papers", ".atom", q=query, limit=limit))
    assert path == canonical.path
    if "+" not in query:  # in this form, a plus sign between words is a space
        assert parameters == dict(parse_qsl(canonical.query))


@given(st.text(st.characters(max_codepoint=255)), st.text(st.characters(max_codepoint=255)))
def test_no_url_raises_an_error(path: str, query_string: str) -> None:
    rewritten = rewrite_url(f"/{path}", query_string)
    assert rewritten[0].startswith("/") or not path.strip(" ")
