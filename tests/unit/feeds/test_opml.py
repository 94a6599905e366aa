"""OPML 2.0."""

from __future__ import annotations

from feedsrv.feeds.opml import Outline, render_opml
from tests.support.documents import parse_opml


def test_titles_in_a_list_arrive_as_written() -> None:
    title = 'Fog & "ferries" <b>'
    one = Outline(title=title, description="", feed_url="http://a/?q=1&l=2", page_url="http://a/")
    (found,) = parse_opml(render_opml(title, [one]))
    assert (found["text"], found["xmlUrl"]) == (title, "http://a/?q=1&l=2")
