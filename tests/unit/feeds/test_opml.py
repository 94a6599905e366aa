"""OPML 2.0 documents."""

from __future__ import annotations

from feedsrv.feeds.opml import Outline, render_opml
from tests.support.documents import parse_opml


def test_titles_and_urls_in_opml_are_escaped() -> None:
    title = 'Fog & "ferries" <b>'
    outline = Outline(
        title=title, description="", feed_url="http://a/?q=1&l=2", page_url="http://a/"
    )
    (found,) = parse_opml(render_opml(title, [outline]))
    assert (found["text"], found["xmlUrl"]) == (title, "http://a/?q=1&l=2")
