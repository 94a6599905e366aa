"""OPML 2.0 documents."""

from feedsrv.feeds.opml import render_opml
from feedsrv.models import Feed
from tests.support.documents import parse_opml


def test_titles_and_urls_in_opml_are_escaped() -> None:
    title = 'Fog & "ferries" <b>'
    feed = Feed(name="a", title=title)
    (found,) = parse_opml(render_opml([feed], "atom", lambda *_: "http://a/?q=1&l=2"))
    assert (found["text"], found["xmlUrl"]) == (title, "http://a/?q=1&l=2")
