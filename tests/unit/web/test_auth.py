"""Access keys: which key opens which URL, and which keys a response may contain."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import UnauthorizedError
from feedsrv.web.auth import Credentials, authenticate, feed_key

KEY = "k3y-of/the+lighthouse"


def is_admitted(key: str, path: str, query: str = "", password: str | None = None) -> bool:
    try:
        authenticate(KEY, path=path, query=query, key=key, password=password)
    except UnauthorizedError:
        return False
    return True


def test_only_the_access_key_gives_access_to_everything() -> None:
    assert is_admitted(KEY, "/papers.atom")
    assert is_admitted("", "/papers.atom", password=KEY)
    for wrong in ("", "k", KEY[:-1], KEY + " ", KEY.upper(), "schlüssel", "\ud800", "\x00"):
        assert not is_admitted(wrong, "/papers.atom")
        assert not is_admitted("", "/papers.atom", password=wrong)


def test_a_public_server_needs_no_key() -> None:
    assert authenticate("", path="/", query="", key="anything", password="x") == Credentials()
    assert Credentials().key_for("/papers") == ""


@pytest.mark.parametrize("suffix", ["", ".atom", ".rss", ".json"])
def test_a_feed_key_gives_access_to_its_feed_in_every_format(suffix: str) -> None:
    key = feed_key(KEY, "/papers", "world model")
    assert is_admitted(key, f"/papers{suffix}", " world  model ")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/papers.atom", ""),
        ("/papers.atom", "world"),
        ("/papers.atom", "world modelx"),
        ("/papers/week.atom", "world model"),
        ("/papers\nworld model", ""),
        ("/", "world model"),
        ("/feeds.opml", ""),
        ("/papers.opml", "world model"),
        ("/papers.atom.rss", "world model"),
    ],
)
def test_a_feed_key_gives_access_to_nothing_else(path: str, query: str) -> None:
    assert not is_admitted(feed_key(KEY, "/papers", "world model"), path, query)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_different_feeds_have_different_keys(
    path: str, query: str, other: str, another: str
) -> None:
    same = feed_key(KEY, f"/{path}", query) == feed_key(KEY, f"/{other}", another)
    alike = (re.sub(r"\.(atom|rss|json)$", "", f"/{path}"), query.split()) == (
        re.sub(r"\.(atom|rss|json)$", "", f"/{other}"),
        another.split(),
    )
    assert same == alike


def test_feed_keys_of_another_server_give_no_access() -> None:
    assert not is_admitted(feed_key("another", "/papers"), "/papers.atom")


def test_which_keys_a_response_may_contain() -> None:
    by_url = authenticate(KEY, path="/papers", query="fog", key=KEY, password=None)
    assert by_url.key_for("/feeds/causal") == KEY
    by_password = authenticate(KEY, path="/papers", query="fog", key="", password=KEY)
    assert by_password.key_for("/feeds/causal") == feed_key(KEY, "/feeds/causal")
    key = feed_key(KEY, "/papers", "fog")
    by_feed_key = authenticate(KEY, path="/papers.rss", query="fog", key=key, password=None)
    assert by_feed_key.key_for("/papers", "fog") == key
    assert by_feed_key.key_for("/static/icon.png") == feed_key(KEY, "/static/icon.png")
    assert by_feed_key.key_for("/papers") == by_feed_key.key_for("/feeds/causal") == ""
