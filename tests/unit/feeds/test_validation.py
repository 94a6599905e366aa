"""Feeds of dirty data follow the important rules of the W3C feed validator."""

from datetime import UTC, datetime

import msgspec
import pytest

from feedsrv.feeds.deduplication import merge_feeds
from feedsrv.feeds.entry import build_entries
from feedsrv.feeds.formats import FORMATS
from feedsrv.models import Feed
from feedsrv.upstream.parser import parse_page
from tests.support.builders import (
    DAY,
    FETCHED_AT,
    Json,
    html_page,
    json_entry,
    page_props,
    page_url,
)
from tests.support.documents import FEED, METADATA, PAPER, make_entries, paper_with
from tests.support.validation import READERS, find_problems

NOW = datetime(2026, 8, 7, 12, tzinfo=UTC)

DIRTY_URLS = (
    "https://a.example/b c",
    " https://a.example/\nb ",
    "https://a.example/{b}|c^d`e\\f",
    '"https://a.example/"',
    "https://a.example/<b>?c=<d>#e f",
    "https://ada:fog@a.example/",
    "https://bücher.example/ä?ö=ü#ß",
    "https://a.example/100%",
    "https://a.example:99999/",
    "https://a..example/",
    "https://[::1",
    "javascript:alert(1)",
    "a.example/b",
    "https://a.example/\x00\ud800\uffff",
    "https://a.example/[b](c)",
    "https://",
)
DIRTY_TEXTS = (
    "p < 0.05 & <script>alert(1)</script>",
    "]]> <!-- --> <![CDATA[ &amp; &nbsp; &#0;",
    "\x00\x08\x0b\ufffe\ud800 control",
    "\u202eright to left\u2028lines",
    '<a href="javascript:alert(1)" onclick="x">here</a>',
    "$F_{max}$ and \\textbf{bold",
    " \n\n ",
)


def dirty_entries() -> list[Json]:
    """Return an entry for each URL and each text."""
    with_urls = [
        json_entry(f"2608.{number:05}", projectPage=url, githubRepo=url, mediaUrls=[url])
        for number, url in enumerate(DIRTY_URLS)
    ]
    with_texts = [
        json_entry(
            f"2608.{number:05}",
            title=text,
            summary=text,
            ai_summary=text,
            ai_keywords=[text, text, ""],
            authors=[{"name": text}, {"name": ""}],
            organization={"name": text, "fullname": text},
        )
        for number, text in enumerate(DIRTY_TEXTS, 17_000)
    ]
    return [*with_urls, *with_texts]


@pytest.mark.parametrize("link", ["huggingface", "pdf"])
@pytest.mark.parametrize("suffix", READERS)
def test_dirty_data_makes_a_valid_feed(suffix: str, link: str) -> None:
    body = html_page(page_props(DAY, dirty_entries()))
    listing = parse_page(body, page_url(DAY), requested=DAY, fetched_at=FETCHED_AT)
    assert (len(listing.papers), listing.skipped) == (len(DIRTY_URLS) + len(DIRTY_TEXTS), ())
    feed = msgspec.convert({"name": "<x>", "title": "& <x>", "link": link}, Feed)
    entries = build_entries(merge_feeds([(feed, listing.papers)]))
    assert len(entries) == len(listing.papers)
    assert find_problems(FORMATS[suffix].render(METADATA, entries), suffix, NOW) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"project": "https://a.example/b c"}, "InvalidUriChar"),
        ({"project": "https://ada:fog@a.example/"}, "InvalidUriChar"),
        ({"project": "javascript:alert(1)"}, "InvalidUriChar"),
        ({"id": "2611.04834"}, "DuplicateUpdated"),
        ({"revised": datetime(2027, 1, 1, tzinfo=UTC)}, "ImplausibleDate"),
    ],
    ids=str,
)
@pytest.mark.parametrize("suffix", ["atom", "json"])
def test_the_validator_finds_what_is_wrong(
    suffix: str, fields: dict[str, object], problem: str
) -> None:
    entries = make_entries(paper_with(**({"id": "2611.01235"} | fields)), PAPER, feed=FEED)
    problems = find_problems(
        FORMATS[suffix].render(METADATA, entries), suffix, datetime(2026, 12, 1, tzinfo=UTC)
    )
    assert any(problem in each for each in problems)
