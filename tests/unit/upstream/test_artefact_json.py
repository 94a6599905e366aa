"""Which artefacts an API response has."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from feedsrv.errors import ParseError
from feedsrv.models import ArtefactRecord, LinkedArtefacts
from feedsrv.upstream.artefact_json import parse_artefacts

NOW = datetime(2026, 8, 24, 12, tzinfo=UTC)
URL = "https://huggingface.co/api/papers/2608.99001"


def parse(body: object) -> ArtefactRecord:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_artefacts(data, URL, paper_id="2608.99001", checked_at=NOW)


def models(linked: Any, total: Any = None) -> LinkedArtefacts:
    return parse({"id": "2608.99001", "linkedModels": linked, "numTotalModels": total}).model


def test_a_response_has_the_number_of_artefacts_of_each_kind_and_one_of_them() -> None:
    record = parse(
        {
            "id": "2608.99001",
            "title": "Kite",
            "linkedModels": [{"id": "ada/kite-7b", "likes": 3}, {"id": "bo/kite"}],
            "numTotalModels": 14,
            "linkedDatasets": [{"id": "ada/winds"}],
            "numTotalDatasets": 1,
            "linkedSpaces": [],
            "numTotalSpaces": 0,
        }
    )
    assert record == ArtefactRecord(
        NOW, model=LinkedArtefacts(14, "ada/kite-7b"), dataset=LinkedArtefacts(1, "ada/winds")
    )


def test_a_paper_without_artefacts_has_none() -> None:
    assert parse({"id": "2608.99001v2"}) == ArtefactRecord(NOW)


@pytest.mark.parametrize(
    ("linked", "total", "expected"),
    [
        ([{"id": "kite"}], None, LinkedArtefacts(1, "kite")),
        ([{"id": "a/b"}, {"id": "c/d"}], 1, LinkedArtefacts(2, "a/b")),
        ([], 3, LinkedArtefacts(3)),
        (None, 3, LinkedArtefacts(3)),
        ([{"id": "a/b"}], -1, LinkedArtefacts(1, "a/b")),
        ([{"id": "a/b"}], 10**40, LinkedArtefacts(1, "a/b")),
        ([{"id": "a/b"}], "many", LinkedArtefacts(1, "a/b")),
        ([{"id": "a/b/c"}, {"id": "c/d"}], 2, LinkedArtefacts(2, "c/d")),
        ([{"id": "javascript:alert(1)"}], 1, LinkedArtefacts(1)),
        ([{"id": 7}, None, "a/b"], None, LinkedArtefacts(1, "7")),
        ({"id": "a/b"}, None, LinkedArtefacts()),
        ([{"id": "ada/secret", "private": True}], 1, LinkedArtefacts()),
        ([{"id": "ada/secret", "private": True}, {"id": "a/b"}], 5, LinkedArtefacts(4, "a/b")),
    ],
    ids=ascii,
)
def test_whatever_is_unexpected_counts_as_absent(
    linked: Any, total: Any, expected: LinkedArtefacts
) -> None:
    assert models(linked, total) == expected


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"x"', b"{}", b'{"id": "2608.99002"}', b"[" * 100_000]
)
def test_a_response_about_no_or_another_paper_is_an_error(body: bytes) -> None:
    with pytest.raises(ParseError):
        parse(body)
