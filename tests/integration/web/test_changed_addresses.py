"""URLs that programs have changed, and the form of a URL without a question mark."""

from collections import Counter
from typing import Any

import feedparser
import pytest
from bs4 import BeautifulSoup
from flask.testing import FlaskClient

from feedsrv.web.app import create_app
from feedsrv.web.auth import feed_key
from tests.support.types import MakeClient, MakeService
from tests.support.waiting import wait_until

KEY = "k3y-of/the+lighthouse"
#: https://huggingface.co/papers?q=causal+sea
HF_SEARCH = "https%3A%2F%2Fhuggingface.co%2Fpapers%3Fq%3Dcausal%2Bsea"
#: https://huggingface.co/papers?q=%22R%26D%20sea%22
HF_PHRASE = "https%3A%2F%2Fhuggingface.co%2Fpapers%3Fq%3D%2522R%2526D%2520sea%2522"
HF = "https://huggingface.co/papers"
FEED = "/papers.atom?q=causal"


def self_url(data: bytes) -> str:
    feed: Any = feedparser.parse(data)
    (url,) = [link.href for link in feed.feed.links if link.rel == "self"]
    return str(url)


@pytest.mark.parametrize(
    "address",
    [
        "/papers.atom?q=causal?null",
        "/papers.atom?q=causal%3Fnull",
        "/papers.atom?q=causal?_=1764000000",
        "/papers.atom?utm_source=x&amp;q=causal",
        "/papers.atom?q=causal&amp;utm_source=x",
        "/papers.atom%3Fq=causal",
        "/papers.atom?q%3Dcausal",
        "/papers.atom&q=causal",
        "/papers/q/causal.atom",
        "/papers/q/causal.atom?null",
        "/papers/q/%20causal%20.atom",
    ],
)
def test_a_changed_url_has_the_same_feed_byte_for_byte(
    sample_client: FlaskClient, address: str
) -> None:
    expected, response = sample_client.get(FEED), sample_client.get(address)
    assert response.status_code == 200
    assert response.data == expected.data
    assert response.headers["ETag"] == expected.headers["ETag"]
    assert self_url(response.data) == f"http://localhost{FEED}"


@pytest.mark.parametrize(
    ("address", "canonical"),
    [
        ("/papers.atom?q=causal%2520sea", "/papers.atom?q=causal+sea"),
        (f"/papers.atom?q={HF_SEARCH}", "/papers.atom?q=causal+sea"),
        (f"/papers.atom?q={HF}?q=causal+sea", "/papers.atom?q=causal+sea"),
        (f"/papers.atom?q={HF_PHRASE}", "/papers.atom?q=%22R%26D+sea%22"),
        ("/papers.atom?q=1.%20Causal%20sea", "/papers.atom?q=Causal+sea"),
        ("/papers.atom?q=%2522by%2520the%2520sea%2522", "/papers.atom?q=%22by+the+sea%22"),
        ("/papers.atom?q=causal&amp;limit=1", "/papers.atom?q=causal&limit=1"),
        (
            "/papers.atom?q=&quot;by+the+sea&quot;&limit=1",
            "/papers.atom?q=%22by+the+sea%22&limit=1",
        ),
        ("/papers/q/causal/limit/1.atom", "/papers.atom?q=causal&limit=1"),
        ("/papers/week/q/causal.atom", "/papers/week.atom?q=causal"),
        ("/feeds/sea/q/causal.atom", "/feeds/sea.atom?q=causal"),
        ("/papers.atom?q=100%25", "/papers.atom?q=100%25"),
        ("/papers.atom?q=why%3F+causal", "/papers.atom?q=why%3F+causal"),
    ],
)
def test_self_is_the_canonical_url(
    sample_client: FlaskClient, address: str, canonical: str
) -> None:
    assert self_url(sample_client.get(address).data) == f"http://localhost{canonical}"


def test_a_changed_url_and_the_correct_one_share_a_cached_response(
    make_service: MakeService,
) -> None:
    app = create_app(make_service())
    client = app.test_client()
    view, calls = app.view_functions["papers"], Counter[str]()

    def count_call(**arguments: str) -> Any:
        calls["papers"] += 1
        return app.ensure_sync(view)(**arguments)

    def are_cached_after_one() -> bool:
        client.get("/papers/q/causal.atom")
        before = calls.total()
        responses = [client.get(url) for url in (FEED, "/papers.atom?q%3Dcausal")]
        assert [response.status_code for response in responses] == [200, 200]
        return calls.total() == before

    app.view_functions["papers"] = count_call
    wait_until(are_cached_after_one)  # a refresh in the background may change the store first


@pytest.mark.parametrize("path", ["/?q=by+the+sea", "/papers?q=by+the+sea", "/feeds/sea?q=fog"])
def test_pages_show_the_url_without_a_question_mark(sample_client: FlaskClient, path: str) -> None:
    page = BeautifulSoup(sample_client.get(path).text, "html.parser")
    (field,) = page.select("details a#path-address-atom")
    (canonical,) = page.select("a#address-atom")
    assert "?" not in field.text
    feed = sample_client.get(field.text)
    assert self_url(feed.data) == canonical.text


def test_pages_without_parameters_do_not_show_that_url(sample_client: FlaskClient) -> None:
    for path in ("/papers", "/feeds/sea"):
        assert "path-address" not in sample_client.get(path).text


@pytest.mark.parametrize("key", [KEY, feed_key(KEY, "/papers", "causal")])
def test_a_key_can_be_in_the_path(make_client: MakeClient, key: str) -> None:
    client = make_client(access_key=KEY)
    page = BeautifulSoup(
        client.get("/papers", query_string={"q": "causal", "key": key}).text, "html.parser"
    )
    address = page.select("#path-address-atom")[0].text
    assert "?" not in address
    response = client.get(address)
    assert response.status_code == 200
    assert "private" in response.headers["Cache-Control"]
    assert self_url(response.data) == page.select("#address-atom")[0].text
    assert client.get("/papers/q/causal/key/wrong.atom").status_code == 401


@pytest.mark.parametrize("query_string", ["q=\xff", "q=causal&x=\xff", "\xff", "\xff=\xfe&q=a"])
def test_bytes_that_are_not_utf8_cause_no_internal_error(
    sample_client: FlaskClient, query_string: str
) -> None:
    response = sample_client.get("/papers.atom", environ_overrides={"QUERY_STRING": query_string})
    assert response.status_code == (400 if query_string == "q=\xff" else 200)


# --- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/papers.atom?match=upstream&q=causal", "/papers.atom?q=causal&match=upstream"),
        ("/papers.atom?q=causal&match=strict", "/papers.atom?q=causal"),
        ("/feeds/sea.atom?match=upstream", "/feeds/sea.atom?match=upstream"),
        ("/feeds/sea.atom?match=strict", "/feeds/sea.atom"),
        ("/feeds/sea.atom?limit=2&q=fog", "/feeds/sea.atom?q=fog&limit=2"),
        ("/feeds/sea+causal.atom?q=fog", "/feeds/sea+causal.atom?q=fog"),
    ],
)
def test_known_parameters_are_part_of_self(
    sample_client: FlaskClient, address: str, expected: str
) -> None:
    assert self_url(sample_client.get(address).data) == f"http://localhost{expected}"


@pytest.mark.parametrize("match", ["", "loose", "Upstream", "up stream"])
def test_an_unknown_match_is_refused(sample_client: FlaskClient, match: str) -> None:
    response = sample_client.get("/papers.atom", query_string={"q": "causal", "match": match})
    assert response.status_code == 400
    assert response.get_json()["detail"] == (
        f"match must be one of strict, upstream, not {match!r}"
    )


def entry_titles(client: FlaskClient, address: str) -> set[str]:
    feed: Any = feedparser.parse(client.get(address).data)
    return {entry.title for entry in feed.entries}


@pytest.mark.parametrize(
    "form", ["/papers.atom?q={}&match=upstream", "/papers/q/{}/match/upstream.atom"]
)
def test_match_upstream_trusts_the_hits_of_the_search(
    sample_client: FlaskClient, form: str
) -> None:
    """The fake search finds papers that have any of the words."""
    strict = entry_titles(sample_client, "/papers.atom?q=causal+ferries")
    trusted = entry_titles(sample_client, form.format("causal ferries"))
    assert strict < trusted
    assert "Causal lighthouses" in trusted - strict


def test_a_query_narrows_a_configured_feed(sample_client: FlaskClient) -> None:
    assert entry_titles(sample_client, "/feeds/causal.atom?q=ferries") == {
        "A study of lighthouse number 3"
    }
    assert entry_titles(sample_client, "/feeds/causal+sea.atom?q=ferries") == {
        "A study of lighthouse number 3"
    }
    assert entry_titles(sample_client, "/feeds/causal.atom?q=walrus") == set()
    narrowed: Any = feedparser.parse(sample_client.get("/feeds/causal.atom?q=ferries").data)
    whole: Any = feedparser.parse(sample_client.get("/feeds/causal.atom").data)
    assert narrowed.feed.title == "Causal matters: ferries"
    assert narrowed.feed.id != whole.feed.id
    page = sample_client.get("/feeds/causal?q=ferries").text
    assert "<mark>ferries</mark>" in page


def test_the_query_of_a_configured_feed_is_checked(
    sample_client: FlaskClient,
) -> None:
    assert sample_client.get("/feeds/causal.atom?q=%28").get_json()["position"] == 1
    assert sample_client.get(f"/feeds/causal.atom?q={'x' * 251}").status_code == 400


def discovered(client: FlaskClient, address: str) -> list[str]:
    page = BeautifulSoup(client.get(address).text, "html.parser")
    return [str(link["href"]) for link in page.select("link[rel=alternate]")]


def test_the_front_page_advertises_only_the_feeds_of_its_query(
    sample_client: FlaskClient,
) -> None:
    formats = ("atom", "rss", "json")
    expected = [f"http://localhost/papers.{name}?q=causal" for name in formats]
    assert discovered(sample_client, "/?q=causal") == expected
    assert discovered(sample_client, "/?q=%28") == []
    everything = discovered(sample_client, "/")
    assert everything[:3] == [f"http://localhost/papers.{name}" for name in formats]
    assert "http://localhost/feeds/sea.atom" in everything


@pytest.mark.parametrize(
    ("query", "location"),
    [(HF, "/papers.rss?limit=5"), (f"{HF}/week/2026-W48", "/papers/week/2026-W48.rss?limit=5")],
)
def test_the_feed_of_the_address_of_a_list_is_that_list(
    sample_client: FlaskClient, query: str, location: str
) -> None:
    response = sample_client.get("/papers.rss", query_string={"q": query, "limit": "5"})
    assert response.status_code == 308
    assert response.headers["Location"] == f"http://localhost{location}"
