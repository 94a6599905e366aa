"""robots.txt: the paths that crawlers may request."""

from urllib.robotparser import RobotFileParser

import pytest
from flask.testing import FlaskClient

from tests.support.types import MakeClient


def robots_of(client: FlaskClient) -> RobotFileParser:
    response = client.get("/robots.txt")
    assert response.status_code == 200
    assert response.mimetype == "text/plain"
    parser = RobotFileParser()
    parser.parse(response.text.splitlines())
    return parser


@pytest.mark.parametrize(
    ("path", "is_allowed"),
    [
        ("/", True),
        ("/problems", True),
        ("/static/style.css", True),
        ("/?q=causal", False),
        ("/papers", False),
        ("/papers?q=causal", False),
        ("/papers.atom?q=causal", False),
        ("/papers/q/causal.atom", False),
        ("/papers/week", False),
        ("/papers/date/2026-11-24", False),
        ("/feeds/causal", False),
        ("/feeds/causal.atom", False),
        ("/feeds.opml", False),
        ("/preview?q=causal", False),
    ],
)
def test_feeds_and_pages_of_keywords_are_not_for_crawlers(
    sample_client: FlaskClient, path: str, is_allowed: bool
) -> None:
    assert robots_of(sample_client).can_fetch("AnyBot", f"http://localhost{path}") is is_allowed


def test_a_private_server_serves_it_without_a_key_and_allows_nothing(
    make_client: MakeClient,
) -> None:
    robots = robots_of(make_client(access_key="the-key"))
    assert not robots.can_fetch("AnyBot", "http://localhost/")


def test_paths_have_the_prefix_of_the_public_url(make_client: MakeClient) -> None:
    client = make_client(public_url="https://lab.example/papers-of")
    robots = robots_of(client)
    assert not robots.can_fetch("AnyBot", "https://lab.example/papers-of/papers.atom")
    assert robots.can_fetch("AnyBot", "https://lab.example/papers")
