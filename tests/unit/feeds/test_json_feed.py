"""JSON Feed 1.1."""

import json
from datetime import UTC, datetime

import jsonschema
import pytest

from feedsrv.feeds.json_feed import render_json_feed
from feedsrv.models import Paper
from tests.support.documents import (
    ARXIV_URL,
    EDGE_CASE_PAPERS,
    METADATA,
    PAPER,
    PAPER_PAGE_URL,
    PDF_URL,
    feed_linking_to,
    json_feed_item,
    make_entries,
    paper_with,
)
from tests.support.paths import SHARED


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    """Return the schema of JSON Feed 1.1, which also checks dates and URLs."""
    file = SHARED / "schemas" / "jsonfeed-1.1.schema.json"
    if not file.exists():
        pytest.skip("needs JSON Feed's schema in ../shared/schemas")
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    assert "date-time" in checker.checkers, "without rfc3339-validator any string is a valid date"
    return jsonschema.Draft7Validator(json.loads(file.read_text("utf-8")), format_checker=checker)


@pytest.mark.parametrize(
    "paper", [PAPER, *EDGE_CASE_PAPERS.values()], ids=["plain", *EDGE_CASE_PAPERS.keys()]
)
@pytest.mark.parametrize("link", ["huggingface", "arxiv", "pdf"])
def test_a_json_feed_is_valid(schema: jsonschema.Draft7Validator, paper: Paper, link: str) -> None:
    document = json.loads(
        render_json_feed(METADATA, make_entries(paper, feed=feed_linking_to(link)))
    )
    assert [str(error) for error in schema.iter_errors(document)] == []


def test_an_empty_json_feed_is_valid(schema: jsonschema.Draft7Validator) -> None:
    document = json.loads(render_json_feed(METADATA, ()))
    schema.validate(document)
    assert document["items"] == []


def test_the_schema_rejects_an_invalid_date(schema: jsonschema.Draft7Validator) -> None:
    document = json.loads(render_json_feed(METADATA, make_entries(PAPER)))
    document["items"][0]["date_published"] = "Fri, 20 Nov 2026"
    assert not schema.is_valid(document)


def test_only_items_have_authors() -> None:
    """Miniflux adds the authors of the feed to each item."""
    assert "authors" not in json.loads(render_json_feed(METADATA, make_entries(PAPER)))
    assert json_feed_item(PAPER)["authors"] == [{"name": name} for name in PAPER.authors]
    assert "authors" not in json_feed_item(paper_with(authors=(), author_count=12))


def test_a_json_feed_has_its_own_url_and_that_of_its_page() -> None:
    found = json.loads(render_json_feed(METADATA, make_entries(PAPER)))
    assert found["version"] == "https://jsonfeed.org/version/1.1"
    assert (found["title"], found["description"]) == (METADATA.title, METADATA.subtitle)
    assert (found["feed_url"], found["home_page_url"]) == (METADATA.self_url, METADATA.page_url)
    assert (found["icon"], found["language"]) == (METADATA.icon_url, "en")


def test_an_item_has_dates_tags_summary_and_content() -> None:
    revised = datetime(2026, 11, 23, 7, 5, 3, 999, tzinfo=UTC)
    found = json_feed_item(paper_with(revised=revised))
    assert found["date_published"] == "2026-11-20T00:07:14Z"
    assert found["date_modified"] == "2026-11-23T06:57:49Z"
    assert found["tags"] == ["causal inference", "ships", "causal"]
    assert found["summary"] == "We ask the ships.\n\nThey say so."
    assert found["_dc"] == {"identifier": "10.48550/arXiv.2611.01234"}
    assert found["content_html"] == make_entries(PAPER)[0].content
    assert "content_text" not in found


def test_a_keyword_with_the_name_of_the_feed_is_one_tag() -> None:
    assert json_feed_item(paper_with(keywords=("causal", "ships")))["tags"] == ["causal", "ships"]


@pytest.mark.parametrize(
    ("link", "url", "external"),
    [
        ("huggingface", PAPER_PAGE_URL, ARXIV_URL),
        ("arxiv", ARXIV_URL, PAPER_PAGE_URL),
        ("pdf", PDF_URL, PAPER_PAGE_URL),
    ],
)
def test_an_item_has_a_url_and_an_external_url(link: str, url: str, external: str) -> None:
    found = json_feed_item(PAPER, feed_linking_to(link))
    assert (found["url"], found["external_url"]) == (url, external)
    assert found["attachments"] == [
        {"url": PDF_URL, "mime_type": "application/pdf", "title": "PDF"}
    ]


def test_a_paper_without_an_arxiv_id_has_no_external_url_and_no_pdf() -> None:
    found = json_feed_item(paper_with(id="sample-001"))
    assert found["url"] == "https://example.org/papers/sample-001"
    assert not found.keys() & {"external_url", "attachments"}
