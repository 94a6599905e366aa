"""A bad character in the JSON of a page or of the API loses one paper at most."""

import json
import re
import time
from collections.abc import Callable

import pytest

from feedsrv.errors import ParseError
from feedsrv.models import Kind, Listing, Page
from feedsrv.upstream.parser import count_api_entries, parse_api_response, parse_page
from tests.support.builders import (
    DAY,
    FETCHED_AT,
    card_html,
    html_page_with_raw_props,
    json_entry,
    page_url,
)

IDS = [f"2608.{number:05}" for number in range(17)]
#: Damaged JSON values that are repaired by replacing characters.
REPAIRED = {
    "lone-high-surrogate": r'"Kite \ud83d"',
    "lone-low-surrogate": r'"\ude00 Kite"',
    "surrogate-before-text": r'"Ki\ud83dte"',
    "two-high-surrogates": r'"Ki\ud83d\ud83dte"',
    "nul-escape": r'"Ki\u0000te"',
    "line-break": '"Ki\nte"',
    "nul": '"Kite\0"',
    "control-character": '"Kite\x01"',
}
#: Damaged JSON values whose paper is lost.
LOST = {
    "unknown-escape": r'"Ki\xte"',
    "cut-escape": r'"Kite \ud83"',
    "cut-behind-a-backslash": r'"Kite \"',
    "bare-quote": '"Ki"te"',
    "single-quotes": "'Kite'",
    "nothing": "",
    "leading-zero": "007",
    "huge-integer": "9" * 5000,
    "huge-float": "1e999",
    "not-a-number": "NaN",
    "nested-arrays": "[" * 50_000 + "]" * 50_000,
    "nested-objects": '{"paper":' * 5_000 + "1" + "}" * 5_000,
    "nested-lists-of-objects": '[{"paper":' * 5_000 + "1" + "}]" * 5_000,
    "unclosed-arrays": "[" * 5_000,
    "closed-too-often": '"Kite"}}',
    "duplicate-key": '"Kite", "title": 7',
}


def entries_with(damage: str, position: int, key: str = "title") -> str:
    """Return the JSON of a list of papers, one of which has the damaged value."""
    entries = [json.dumps(json_entry(paper_id) | {"unread": 1}) for paper_id in IDS]
    old = '"title": "Kite"' if key == "title" else '"unread": 1'
    entries[position] = entries[position].replace(old, f'"{key}": {damage}', 1)
    return f"[{', '.join(entries)}]"


def parse_props(entries: str, before: str = "", inside: str = "") -> Listing:
    props = f'{{{before}"dailyPapers": {entries}, "periodType": "day", "dateString": "2026-08-06"}}'
    body = html_page_with_raw_props(props, inside or card_html())
    return parse_page(body, page_url(DAY), requested=DAY, fetched_at=FETCHED_AT)


def parse_api(entries: str | bytes) -> Listing:
    body = entries if isinstance(entries, bytes) else entries.encode("utf-8", "surrogatepass")
    return parse_api_response(body, page_url(DAY), requested=DAY, fetched_at=FETCHED_AT)


PARSERS = pytest.mark.parametrize("parse", [parse_props, parse_api], ids=["page", "api"])
for_each_position = pytest.mark.parametrize("position", [0, 5, 16], ids=["first", "sixth", "last"])


@PARSERS
@for_each_position
@pytest.mark.parametrize("damage", REPAIRED.values(), ids=REPAIRED)
def test_damage_inside_a_string_loses_no_paper(
    parse: Callable[[str], Listing], damage: str, position: int
) -> None:
    listing = parse(entries_with(damage, position))
    assert [paper.id for paper in listing.papers] == IDS
    assert re.sub(r"[\s\ufffd]", "", listing.papers[position].title) == "Kite"
    assert all(paper.authors and paper.abstract for paper in listing.papers)


@PARSERS
@for_each_position
@pytest.mark.parametrize("damage", LOST.values(), ids=LOST)
def test_other_damage_loses_only_the_damaged_paper(
    parse: Callable[[str], Listing], damage: str, position: int
) -> None:
    started = time.process_time()
    listing = parse(entries_with(damage, position))
    assert time.process_time() - started < 2
    assert [paper.id for paper in listing.papers] == [*IDS[:position], *IDS[position + 1 :]]
    (reason,) = listing.skipped
    assert reason.startswith(f"{IDS[position]}: ")
    assert all(paper.authors and paper.abstract for paper in listing.papers)


@PARSERS
@pytest.mark.parametrize("damage", ["NaN", "-Infinity", "9" * 5000, "1e999", r'"\ud83d"', '"\n"'])
def test_damage_in_an_unused_field_loses_no_paper(
    parse: Callable[[str], Listing], damage: str
) -> None:
    assert [paper.id for paper in parse(entries_with(damage, 3, "unread")).papers] == IDS


@pytest.mark.parametrize("damage", (REPAIRED | LOST).values(), ids=REPAIRED | LOST)
def test_damage_outside_the_list_loses_no_paper(damage: str) -> None:
    listing = parse_props(entries_with('"Kite"', 0), before=f'"unread": {damage}, ')
    assert [paper.id for paper in listing.papers] == IDS
    assert (listing.page.key, listing.parsed_from) == ("2026-08-06", "data")


@PARSERS
def test_damage_in_several_papers_loses_only_these(parse: Callable[[str], Listing]) -> None:
    entries = entries_with("'", 2)
    for paper_id in (IDS[7], IDS[8], IDS[16]):
        entries = entries.replace(f'"{paper_id}"', f'"{paper_id}" x')
    listing = parse(entries)
    assert [paper.id for paper in listing.papers] == [
        paper_id for paper_id in IDS if paper_id not in {IDS[2], IDS[7], IDS[8], IDS[16]}
    ]


def test_bytes_that_are_not_utf_8_are_also_replaced_in_the_api() -> None:
    body = entries_with('"Ki@te"', 4).encode().replace(b"@", b"\xff")
    listing = parse_api(body)
    assert [paper.id for paper in listing.papers] == IDS
    assert listing.papers[4].title == "Ki\N{REPLACEMENT CHARACTER}te"


def test_a_damaged_search_page_returns_only_its_results() -> None:
    page = Page(Kind.SEARCH, "pear tree")
    results = entries_with(r'"\ud83d"', 16)
    props = f'{{"dailyPapers": {entries_with("x", 16)}, "searchResults": {results}, "query": {{}}}}'
    listing = parse_page(
        html_page_with_raw_props(props), page_url(page), requested=page, fetched_at=FETCHED_AT
    )
    assert [paper.id for paper in listing.papers] == IDS


@pytest.mark.parametrize(
    "fields", ['"isTrending": true', '"periodType": "week"', '"query": {"q": "pear"}']
)
def test_a_damaged_page_of_another_kind_is_an_error(fields: str) -> None:
    entries = entries_with(r'"\ud83d"', 16)
    body = html_page_with_raw_props(f'{{"dailyPapers": {entries}, {fields}}}')
    with pytest.raises(ParseError, match="instead of"):
        parse_page(body, page_url(DAY), requested=DAY, fetched_at=FETCHED_AT)


def test_a_list_that_ends_early_is_an_error() -> None:
    entries = entries_with(r'"\ud83d"', 1)
    for text in (entries[:3000], entries[:-2]):
        with pytest.raises(ParseError):
            parse_api(text)
        body = html_page_with_raw_props(f'{{"dailyPapers": {text}')
        with pytest.raises(ParseError):
            parse_page(body, page_url(DAY), requested=DAY, fetched_at=FETCHED_AT)


@pytest.mark.parametrize("unit", ["{", '{"paper":', "{},", '{"paper" {},', '{"x":[', ",{"])
def test_megabytes_of_damage_take_seconds_at_most(unit: str) -> None:
    started = time.process_time()
    with pytest.raises(ParseError):
        parse_api(f"[{unit * (2_000_000 // len(unit))} x]")
    assert time.process_time() - started < 4


def test_a_byte_order_mark_is_ignored() -> None:
    body = b"\xef\xbb\xbf" + json.dumps([json_entry(paper_id) for paper_id in IDS]).encode()
    listing = parse_api_response(body, page_url(DAY), requested=DAY, fetched_at=FETCHED_AT)
    assert [paper.id for paper in listing.papers] == IDS
    assert count_api_entries(body) == len(IDS)
