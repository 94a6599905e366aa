"""Every URL gives the same papers in Atom, RSS and JSON Feed."""

import json

import pytest
from flask.testing import FlaskClient

from tests.support.documents import (
    ATOM_NAMESPACES,
    get_body,
    parse_atom,
    parse_json_feed,
    parse_rss,
    parse_xml,
)


@pytest.mark.parametrize(
    ("path", "numbers"),
    [
        ("/papers", [3, 2, 1]),
        ("/papers?q=causal", [3, 1, 5]),
        ("/papers?q=causal&limit=2", [3, 1]),
        ("/papers?q=-causal", [2]),
        ("/papers?q=nothing+like+it", []),
        ("/papers/trending", [3, 2, 1, 5, 4]),
        ("/papers/trending?q=causal", [3, 1, 5]),
        ("/papers/week", [3, 2, 1, 5, 4]),
        ("/papers/month?limit=4", [3, 2, 1, 5]),
        ("/feeds/causal", [3, 1, 5]),
        ("/feeds/sea", [3, 2, 1]),
        ("/feeds/empty", []),
        ("/feeds/causal+sea", [3, 2, 1, 5, 4]),
        ("/feeds/sea+causal?limit=1", [3]),
    ],
)
def test_a_url_returns_the_same_papers_in_each_format(
    sample_client: FlaskClient, path: str, numbers: list[int]
) -> None:
    in_atom = parse_atom(get_body(sample_client, path, "atom"))
    assert [entry.id for entry in in_atom] == [
        f"https://arxiv.org/abs/2611.{number:05d}" for number in numbers
    ]
    assert parse_rss(get_body(sample_client, path, "rss")) == in_atom
    assert parse_json_feed(get_body(sample_client, path, "json")) == in_atom


@pytest.mark.parametrize("path", ["/papers?q=causal", "/papers/week", "/feeds/sea+causal"])
def test_a_url_returns_the_same_title_in_each_format(sample_client: FlaskClient, path: str) -> None:
    in_atom = parse_xml(get_body(sample_client, path, "atom")).findtext(
        "a:title", namespaces=ATOM_NAMESPACES
    )
    in_rss = parse_xml(get_body(sample_client, path, "rss")).findtext("channel/title")
    assert in_atom == in_rss == json.loads(get_body(sample_client, path, "json"))["title"]
