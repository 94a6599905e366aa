"""Pages of all years with their expected listings, and damaged or hostile content."""

import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import ParseError
from feedsrv.models import FIRST_LIST_DAY, FIRST_SUBMISSION_DAY, Kind, Listing, Page, Paper
from feedsrv.search.analysis import analyze
from feedsrv.upstream.normalize import normalize_url
from feedsrv.upstream.parser import parse_api_response, parse_page
from feedsrv.upstream.paths import page_path
from tests.support import builders
from tests.support.builders import (
    DAY,
    FETCHED_AT,
    PAGES,
    Json,
    card_html,
    html_page,
    json_entry,
    listing_to_json,
    page_props,
    page_url,
)
from tests.support.strategies import few_examples

FIXTURES = Path(__file__).parent / "pages"
CASES = sorted(
    file.name.removesuffix(".expected.json") for file in FIXTURES.glob("*.expected.json")
)

pages = st.sampled_from(list(PAGES))
for_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.kind))


def parse_html(body: bytes, page: Page = DAY, url: str = "") -> Listing:
    return parse_page(body, url or page_url(page), requested=page, fetched_at=FETCHED_AT)


def parse_api(response: object, page: Page = DAY) -> Listing:
    return parse_api_response(
        json.dumps(response).encode(), page_url(page), requested=page, fetched_at=FETCHED_AT
    )


def error_reason(call: Callable[[], Listing]) -> str:
    with pytest.raises(ParseError) as caught:
        call()
    return caught.value.reason


# --- page fixtures ---------------------------------------------------------------------------


def read_response(name: str, expected: builders.Json) -> tuple[bytes, Callable[..., Listing]]:
    """Return the response of a fixture, and the function that parses it.

    The expected file may name the page of another fixture, of which only the cards may count.
    """
    page, response = FIXTURES / expected.get("response", f"{name}.html"), FIXTURES / f"{name}.json"
    if not page.exists():
        return response.read_bytes(), parse_api_response
    body = page.read_bytes()
    if expected.get("cards_only"):
        body = re.sub(rb' data-target="DailyPapers" data-props="[^"]*"', b"", body)
    return body, parse_page


@pytest.mark.parametrize("name", CASES)
def test_a_page_fixture_is_parsed_to_the_expected_listing(name: str) -> None:
    expected = json.loads((FIXTURES / f"{name}.expected.json").read_text("utf-8"))
    body, parse = read_response(name, expected)
    page_requested = builders.page_from_json(expected["requested"])
    fetched_at = datetime.fromisoformat(expected["fetched_at"])

    def call() -> Listing:
        return parse(body, expected["url"], requested=page_requested, fetched_at=fetched_at)

    if "error" in expected:
        assert expected["error"] in error_reason(call)
        return
    listing = call()
    found, expected_listing = listing_to_json(listing), expected["listing"]
    # Reasons may end with a message of the JSON library, which depends on its version.
    skipped = zip(found.pop("skipped", []), expected_listing.pop("skipped", []), strict=True)
    assert all(reason.startswith(beginning) for reason, beginning in skipped)
    assert found == expected_listing
    assert [paper.tokens for paper in listing.papers] == [
        analyze(paper).tokens for paper in listing.papers
    ]


def test_every_page_fixture_has_an_expected_listing() -> None:
    pages = {
        file.stem
        for file in FIXTURES.iterdir()
        if not file.name.endswith(".expected.json") and file.suffix in {".html", ".json"}
    }
    assert pages <= set(CASES)
    assert len(CASES) > 30


# --- period and kind -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "label", "key"),
    [
        (Page(Kind.DAY, "2026-08-09"), "2026-08-07", "2026-08-07"),
        (Page(Kind.DAY, "2026-08-09"), "2026-08-07T00:00:00.000Z", "2026-08-07"),
        (Page(Kind.WEEK, "2026-W52"), "2026-W32", "2026-W32"),
        (Page(Kind.WEEK, "2026-W52"), "2026-08-03", "2026-W32"),
        (Page(Kind.WEEK, "2020-W53"), "2021-01-01", "2020-W53"),
        (Page(Kind.MONTH, "2026-09"), "2026-08", "2026-08"),
        (Page(Kind.MONTH, "2026-09"), "2026-08-31T00:00:00.000Z", "2026-08"),
    ],
    ids=["day", "day-stamp", "week", "week-day", "week-53", "month", "month-stamp"],
)
def test_the_listing_has_the_period_that_the_page_names(
    requested: Page, label: str, key: str
) -> None:
    data = {"dailyPapers": [json_entry()], "periodType": requested.kind, "dateString": label}
    assert parse_html(html_page(data), requested, "https://huggingface.co/papers").page == Page(
        requested.kind, key
    )


@pytest.mark.parametrize(
    ("requested", "label"),
    [
        (Page(Kind.DAY, "2026-02-27"), "2026-02-30"),
        (Page(Kind.MONTH, "2026-02"), "2026-02-30"),
        (Page(Kind.MONTH, "2026-02"), "2026-W07"),
        (Page(Kind.WEEK, "2026-W07"), "2026-02"),
    ],
    ids=["day", "month", "month-as-week", "week-as-month"],
)
def test_a_label_of_another_kind_of_period_is_ignored(requested: Page, label: str) -> None:
    data = {"dailyPapers": [json_entry()], "dateString": label}
    url = f"https://huggingface.co{page_path(requested)}"
    assert parse_html(html_page(data), requested, url).page == requested


@pytest.mark.parametrize(
    ("data", "inside", "url", "day"),
    [
        ({"dateString": "2026-08-04", "date": "2026-08-05"}, "<time>", "", "2026-08-04"),
        ({"date": "2026-08-05T00:00:00.000Z"}, "<time>", "", "2026-08-05"),
        ({}, "<time>", "", "2026-08-06"),
        ({}, "", "/papers/date/2026-08-07", "2026-08-07"),
        ({}, "", "/papers?date=2026-08-07", "2026-08-07"),
    ],
    ids=["date-string", "date", "label", "path", "old-address"],
)
def test_the_day_comes_from_the_props_else_the_label_else_the_url(
    data: Json, inside: str, url: str, day: str
) -> None:
    label = inside.replace("<time>", '<time datetime="2026-08-06T00:00:00.000Z"></time>')
    body = html_page({"dailyPapers": [json_entry()]} | data, label)
    url = f"https://huggingface.co{url or '/papers/date/2026-08-08'}"
    assert parse_html(body, Page(Kind.DAY, "2026-08-08"), url).page.key == day


@pytest.mark.parametrize("label", ["0001-01-01", "2023-05-03", "2026-08-09", "9999-12-31"])
def test_a_day_before_the_first_or_after_tomorrow_is_ignored(label: str) -> None:
    data = {"dailyPapers": [json_entry()], "dateString": label}
    with_neighbours = data | {"prevDate": label, "nextDate": label}
    listing = parse_html(html_page(with_neighbours))
    assert (listing.page, listing.previous_day, listing.next_day) == (DAY, "", "")
    url = f"https://huggingface.co/papers/date/{label}"
    cards = card_html().encode()
    linked = day_label("Aug 7", "2026-08-06", label).encode() + cards
    listing = parse_html(linked, DAY, url)
    assert (listing.page, listing.next_day) == (DAY, "")
    for body in (html_page(data), cards):
        assert error_reason(lambda body=body: parse_html(body, DAY, url))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("page", "labels"),
    [
        (Page(Kind.WEEK, "2026-W32"), ["0001-W01", "0001-01-01", "2026-W33", "9999-W52"]),
        (Page(Kind.MONTH, "2026-08"), ["0001-01", "0001-01-01", "2026-09", "9999-12"]),
    ],
)
def test_an_impossible_week_or_month_is_replaced_by_the_requested_one(
    page: Page, labels: list[str]
) -> None:
    for label in labels:
        data = {"dailyPapers": [json_entry()], "periodType": page.kind, "dateString": label}
        assert parse_html(html_page(data), page).page == page


@pytest.mark.parametrize("timestamp", ["0001-01-02T00:00:00Z", "9999-12-30T00:00:00Z"])
def test_impossible_dates_of_a_paper_are_ignored(timestamp: str) -> None:
    dates = {"publishedAt": timestamp, "submittedOnDailyAt": timestamp}
    trending = Page(Kind.TRENDING)
    for entry, submitted in (
        (json_entry("2607.99001", **dates), date(2026, 7, 1)),
        (json_entry("9912.99001", **dates), FIRST_LIST_DAY),
        (json_entry("kite-1", **dates), FIRST_LIST_DAY),
    ):
        for parse in (
            parse_api,
            lambda entries, page: parse_html(html_page(page_props(page, entries)), page),
        ):
            (paper,) = parse([entry], DAY).papers
            assert (paper.listed, paper.submitted) == (date(2026, 8, 7), submitted)
            (paper,) = parse([entry], trending).papers
            assert (paper.listed, paper.submitted) == (None, submitted)


def test_impossible_dates_of_a_card_are_ignored() -> None:
    label = "<span>Published on Sep 26, 9999</span>"
    cards = card_html("2607.99001", extra=label) + card_html("9912.99001")
    papers = parse_html(cards.encode()).papers
    assert [paper.submitted for paper in papers] == [date(2026, 7, 1), FIRST_LIST_DAY]


def test_a_paper_without_a_list_day_gets_the_day_of_the_returned_page() -> None:
    data = {"dailyPapers": [json_entry(submittedOnDailyAt=None)], "dateString": "2026-08-06"}
    assert parse_html(html_page(data)).papers[0].listed == date(2026, 8, 6)


@pytest.mark.parametrize("page", [page for page in PAGES if page.kind is not Kind.DAY], ids=str)
def test_a_paper_without_a_list_day_gets_none_from_other_kinds_of_lists(page: Page) -> None:
    data = page_props(page, [json_entry(submittedOnDailyAt=None)])
    assert parse_html(html_page(data), page).papers[0].listed is None
    assert parse_api([json_entry(submittedOnDailyAt=None)], page).papers[0].listed is None


@pytest.mark.parametrize("requested", PAGES, ids=lambda page: f"requested-{page.kind}")
@pytest.mark.parametrize("returned", PAGES, ids=lambda page: f"returned-{page.kind}")
def test_a_page_of_another_kind_is_an_error_even_if_it_has_cards(
    requested: Page, returned: Page
) -> None:
    body = html_page(page_props(returned, [json_entry()]), card_html())
    # The requested URL may return another kind, depending on the last viewed page.
    for url in (page_url(returned), page_url(requested)):
        if requested == returned:
            assert parse_html(body, requested, url).parsed_from == "data"
        else:
            assert "instead of" in error_reason(lambda url=url: parse_html(body, requested, url))  # type: ignore[misc]


def test_search_results_are_used_even_if_the_props_lack_the_query() -> None:
    page = Page(Kind.SEARCH, "pear tree")
    data = {
        "dailyPapers": [json_entry("2608.99009")],
        "searchResults": [json_entry()],
        "periodType": "month",
    }
    assert [paper.id for paper in parse_html(html_page(data), page).papers] == ["2608.99001"]


# --- invalid papers and pages ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("papers", "invalid", "accepted"),
    [(10, 1, True), (3, 1, True), (9, 2, False), (20, 2, True), (20, 3, False), (1, 1, False)],
)
def test_one_invalid_paper_or_a_tenth_is_skipped_and_more_are_an_error(
    papers: int, invalid: int, accepted: bool
) -> None:
    entries = [
        json_entry(f"2608.{n:05}", title=7 if n < invalid else "Kite") for n in range(papers)
    ]
    if accepted:
        listing = parse_html(html_page(page_props(DAY, entries)))
        assert len(listing.papers) == papers - invalid
        assert [reason.partition(":")[0] for reason in listing.skipped] == [
            f"2608.{n:05}" for n in range(invalid)
        ]
    else:
        reason = error_reason(lambda: parse_html(html_page(page_props(DAY, entries))))
        assert f"{invalid} of {papers} papers are invalid" in reason
        assert "2608.00000: Expected `str`" in reason


#: Keys of a paper, each with a value of a wrong type; None removes the key.
CHANGES = [
    *((key, None) for key in ("title", "summary", "authors", "publishedAt", "upvotes")),
    *((key, 7) for key in ("title", "summary", "authors", "publishedAt", "submittedOnDailyAt")),
    *((key, 7) for key in ("mediaUrls", "projectPage", "githubRepo", "ai_summary")),
    *((key, "x") for key in ("upvotes", "githubStars", "ai_keywords", "organization")),
    ("authors", ["Ada Quill"]),
    ("authors", [{"fullname": "Ada Quill"}]),
    ("organization", {"fullname": "Lighthouse"}),
]


@pytest.mark.parametrize(("key", "value"), CHANGES, ids=str)
def test_a_paper_with_a_missing_or_mistyped_key_is_skipped_with_its_id(
    key: str, value: object
) -> None:
    valid = [json_entry(f"2608.{n:05}") for n in range(9)]
    changed = json_entry("2608.99099", **{key: value})
    for listing in (
        parse_html(html_page(page_props(DAY, [*valid, changed]))),
        parse_api([*valid, changed]),
    ):
        assert len(listing.papers) == 9
        (reason,) = listing.skipped
        assert reason.startswith("2608.99099: ")
        assert key in reason


@pytest.mark.parametrize("key", ["paper", "id"])
def test_a_paper_without_an_id_is_skipped_with_its_position(key: str) -> None:
    valid = [json_entry(f"2608.{n:05}") for n in range(9)]
    without_id = {"numComments": 1} if key == "paper" else json_entry(id=None)
    (reason,) = parse_html(html_page(page_props(DAY, [*valid, without_id]))).skipped
    assert reason.startswith("paper 10: ")
    assert key in reason


@pytest.mark.parametrize("changed", [None, 7, "x", {}, {"papers": []}], ids=repr)
def test_a_missing_or_mistyped_list_is_an_error(changed: object) -> None:
    data = page_props(DAY, []) | {"dailyPapers": changed}
    assert re.search("list|data is invalid", error_reason(lambda: parse_html(html_page(data))))
    assert "list" in error_reason(lambda: parse_api(changed))


def test_too_many_papers_or_tags_are_an_error() -> None:
    assert "1001 papers" in error_reason(lambda: parse_api([json_entry()] * 1001))
    assert "not an HTML page" in error_reason(lambda: parse_html(b"<br>" * 100_000))
    assert (
        parse_html(html_page(page_props(DAY, [json_entry()]), inside="<br>" * 90_000)).parsed_from
        == "data"
    )


@pytest.mark.parametrize("bad", [None, 7, "x", [], {}, {"paper": None}], ids=repr)
def test_an_invalid_entry_without_an_id_is_reported_with_its_position(bad: object) -> None:
    data: Json = {"dailyPapers": [*(json_entry(f"2608.{n:05}") for n in range(11)), bad]}
    (reason,) = parse_html(html_page(data)).skipped
    assert reason.startswith("paper 12: ")


@pytest.mark.parametrize(
    "name", ["", "../2608.99001", "2608.99001/x", "2608 99001", "2608.99001\n", "é", "x" * 65]
)
def test_an_id_that_is_unsafe_in_a_url_makes_the_paper_invalid(name: str) -> None:
    assert "invalid paper id" in error_reason(lambda: parse_api([json_entry(name)]))


@pytest.mark.parametrize(
    ("raw_id", "paper_id"),
    [("2608.99001v2", "2608.99001"), ("sample-001", "sample-001"), ("sample-v2", "sample-v2")],
)
def test_the_version_of_an_id_is_removed(raw_id: str, paper_id: str) -> None:
    assert parse_api([json_entry(raw_id)]).papers[0].id == paper_id


@pytest.mark.parametrize(
    "timestamps", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"], ids=["first", "last"]
)
@pytest.mark.parametrize("key", ["publishedAt", "submittedOnDailyAt"])
def test_a_date_out_of_range_makes_the_paper_invalid(key: str, timestamps: str) -> None:
    entries = [
        *(json_entry(f"2608.{n:05}") for n in range(11)),
        json_entry("2608.00099", **{key: timestamps}),
    ]
    (reason,) = parse_api(entries).skipped
    assert reason.startswith("2608.00099: ")


@pytest.mark.parametrize(
    ("inside", "votes", "authors"),
    [
        (card_html(votes="9" * 400), 0, 2),
        (card_html(votes="1,2.3.4"), 0, 2),
        (card_html(votes="1,024"), 1024, 2),
        (card_html(votes="1.28k"), 1280, 2),
        (card_html(votes="-"), 0, 2),
        (card_html(authors="9" * 5000), 7, 0),
        (card_html(authors="1"), 7, 1),
    ],
    ids=["endless-votes", "odd-votes", "comma", "k", "hyphen", "endless-authors", "one-author"],
)
def test_a_number_on_a_card_is_parsed_or_is_zero(inside: str, votes: int, authors: int) -> None:
    (paper,) = parse_html(inside.encode()).papers
    assert (paper.upvotes, paper.author_count) == (votes, authors)


def test_cards_without_a_valid_arxiv_id_are_ignored() -> None:
    body = (card_html("٢٦٠٨.٩٩٠٠١") + card_html("../admin") + card_html("2608.99001v3")).encode()
    assert [paper.id for paper in parse_html(body).papers] == ["2608.99001"]


@pytest.mark.parametrize(
    ("label", "submitted"),
    [
        ("<span>Published on Sep 26, 2025</span>", date(2025, 9, 26)),
        ("<span>Mar 9</span>", date(2026, 3, 9)),
        ("<span>Feb 30</span>", date(2026, 8, 1)),
        ("<span>in May 12345 people marched</span>", date(2026, 8, 1)),
        ("<p>A memo of <span>May 1, 2020</span></p>", date(2026, 8, 1)),
        ('<a href="/papers/x">Of <span>May 1</span></a><span>Mar 9</span>', date(2026, 3, 9)),
        ('<a href="/may-1"><span>May 1 Lab</span></a><span>Mar 9</span>', date(2026, 3, 9)),
        ("", date(2026, 8, 1)),
    ],
    ids=[
        "year", "this-year", "no-such-day", "no-date", "abstract", "marked", "chip", "none",
    ],
)  # fmt: skip
def test_a_card_without_a_valid_date_gets_the_month_of_its_id(label: str, submitted: date) -> None:
    assert parse_html(card_html(extra=label).encode()).papers[0].submitted == submitted


@pytest.mark.parametrize("key", ["title", "summary", "ai_summary", "projectPage", "githubRepo"])
def test_a_text_over_the_length_limit_makes_the_paper_invalid(key: str) -> None:
    # Unicode normalization of such a text takes quadratic time.
    assert "length" in error_reason(
        lambda: parse_api([json_entry(**{key: "e\u0301\u0316" * 1_000_000})])
    )


def test_a_list_over_the_limit_is_an_error_before_its_entries_are_parsed() -> None:
    assert "1001 papers" in error_reason(lambda: parse_api([0] * 1001))
    assert len(parse_api([json_entry(f"2608.{n:05}") for n in range(1000)]).papers) == 1000


def test_unclosed_cards_are_parsed_up_to_a_depth_of_three() -> None:
    unclosed = [card_html(f"2608.{n:05}").removesuffix("</article>") for n in range(50)]
    listing = parse_html("".join(unclosed).encode())
    assert [paper.id for paper in listing.papers] == ["2608.00000", "2608.00001", "2608.00002"]


def test_cards_are_not_parsed_on_a_page_over_the_tag_limits() -> None:
    assert len(parse_html((card_html() + "<b></b>" * 20_000).encode()).papers) == 1
    assert error_reason(lambda: parse_html((card_html() + "<b></b>" * 30_000).encode()))
    assert error_reason(lambda: parse_html((card_html() + "<div>" * 200).encode()))


def test_long_texts_of_a_card_are_cut() -> None:
    body = card_html(extra=f"<p>{'a ' * 20_000}</p><span>{'x' * 300} Mar 9</span>").encode()
    (paper,) = parse_html(body).papers
    assert len(paper.abstract) == 19_999
    assert paper.submitted == date(2026, 8, 1)


def test_cards_are_used_only_if_the_props_are_invalid() -> None:
    assert (
        parse_html(html_page(page_props(DAY, [json_entry()]), card_html())).papers[0].id
        == "2608.99001"
    )
    listing = parse_html(html_page(page_props(DAY, []), card_html()))
    assert (listing.papers[0].id, listing.parsed_from) == ("2608.99002", "cards")
    assert listing.skipped == ("page data: the list is empty",)


def day_label(label: str, *days: str) -> str:
    """Return the label of a day without a year, between links to other days."""
    links = "".join(f'<a href="/papers/date/{day}" class=""><svg></svg></a>' for day in days)
    return f'<div>{links} <div class="">{label}</div> <a class=""><svg></svg></a></div>'


@pytest.mark.parametrize(
    ("requested", "label", "days"),
    [
        ("2026-08-07", day_label("Aug 7", "2026-08-06"), ("2026-08-07", "2026-08-06", "")),
        ("2026-08-09", day_label("Aug 7", "2026-08-06"), ("2026-08-07", "2026-08-06", "")),
        (
            "2026-08-09",
            day_label("August 6", "2026-08-05", "2026-08-07"),
            ("2026-08-06", "2026-08-05", "2026-08-07"),
        ),
        ("2027-01-01", day_label("Dec 31", "2026-12-30"), ("2026-12-31", "2026-12-30", "")),
        ("2026-12-31", day_label("Jan 4", "2026-12-31"), ("2027-01-04", "2026-12-31", "")),
        ("2026-08-07", day_label("Jul 2", "2024-07-01"), ("2024-07-02", "2024-07-01", "")),
        ("2026-08-07", day_label("Jul 2, 2024", "2024-07-01"), ("2024-07-02", "2024-07-01", "")),
        ("2027-01-02", day_label("Dec 31"), ("2026-12-31", "", "")),
        ("2026-08-09", day_label("Aug 7").replace("Aug", "\n Aug"), ("2026-08-07", "", "")),
        ("2026-02-27", day_label("Feb 30", "2026-02-26"), ("2026-02-27", "", "")),
        ("2026-08-07", day_label("May 2", "2026-08-06"), ("2026-08-07", "", "")),
        ("2026-08-07", day_label("Since Aug 5", "2026-08-06"), ("2026-08-07", "", "")),
        ("2026-08-07", "", ("2026-08-07", "", "")),
    ],
    ids=str,
)
def test_the_label_and_the_links_above_the_cards_give_the_day(
    requested: str, label: str, days: tuple[str, str, str]
) -> None:
    body = (label + card_html(extra="<span>Mar 9</span>")).encode()
    page = Page(Kind.DAY, requested)
    url, now = f"https://huggingface.co{page_path(page)}", datetime(2027, 1, 5, tzinfo=UTC)
    listing = parse_page(body, url, requested=page, fetched_at=now)
    assert (listing.page.key, listing.previous_day, listing.next_day) == days
    assert listing.papers[0].listed == date.fromisoformat(days[0])


@pytest.mark.parametrize(
    ("inside", "stars"),
    [
        ('<a href="/papers/2608.99002"><svg></svg> <span>9</span></a>', 9),
        ('<a href="/papers/2608.99002"><svg></svg><!----> <span>1.28k</span></a>', 1280),
        ('<a href="/papers/2608.99002#community"><svg></svg> 9</a>', 0),
        ('<a href="/papers/2608.99002"><svg></svg> <span>5 authors</span></a>', 0),
        ('<a href="/papers/2608.99002"><img src="x.png"></a>', 0),
        (
            '<a href="https://github.com/e/x"><svg></svg> <b>GitHub</b> <span>62.2k</span></a>',
            62200,
        ),
        ("", 0),
    ],
    ids=str,
)
def test_the_number_beside_an_icon_is_the_number_of_stars(inside: str, stars: int) -> None:
    (paper,) = parse_html(card_html(extra=inside).encode()).papers
    assert (paper.stars, paper.upvotes) == (stars, 7)


def test_a_title_that_is_a_number_is_not_the_number_of_stars() -> None:
    body = card_html().replace("A card", "<svg></svg>2048").encode()
    assert parse_html(body).papers[0].stars == 0


def test_the_first_of_two_copies_of_a_paper_is_used() -> None:
    cards = parse_html(
        (card_html(votes="1") + card_html("2608.99003") + card_html(votes="2")).encode()
    )
    assert [(paper.id, paper.upvotes) for paper in cards.papers] == [
        ("2608.99002", 1),
        ("2608.99003", 7),
    ]
    listing = parse_api([json_entry(title="First"), json_entry(title="Second")])
    assert [paper.title for paper in listing.papers] == ["First"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"https://huggingface.co/papers",
        b"page.html",
        b'<?xml version="1.0"?><rss><channel/></rss>',
        b"<![",
        b"<!DOCTYPE",
        b"\xff\xfe<\0h\0",
        b"<div>" * 20_000,
        b'<div data-target="DailyPapers" data-props>',
        b'<div data-target="DailyPapers" data-props="[]">',
        b'<div data-target="DailyPapers" data-props="' + b"[" * 50_000 + b'">',
        b'<div data-target="DailyPapers" data-props=\'{"dailyPapers":'
        + b'[{"paper":' * 5_000
        + b"'>",
    ],
    ids=[
        "empty", "nul", "address", "filename", "xml", "declaration", "doctype", "utf-16", "deep",
        "no-data", "list", "deep-data", "deep-paper",
    ],
)  # fmt: skip
@for_each_page
def test_other_content_than_a_page_is_an_error_without_a_warning(body: bytes, page: Page) -> None:
    assert error_reason(lambda: parse_html(body, page))
    assert error_reason(
        lambda: parse_api_response(body, page_url(page), requested=page, fetched_at=FETCHED_AT)
    )


# --- the API ---------------------------------------------------------------------------------


def test_an_api_response_of_several_days_is_reduced_to_the_newest_day() -> None:
    days = ["2026-08-06", "2026-08-07", "2026-08-05", "2026-08-07"]
    entries = [
        json_entry(f"2608.0000{n}", submittedOnDailyAt=f"{day}T03:00:00.000Z")
        for n, day in enumerate(days)
    ]
    body, url = json.dumps(entries).encode(), "https://huggingface.co/api/daily_papers"
    listing = parse_api_response(
        body, url, requested=Page(Kind.DAY, "2026-08-09"), fetched_at=FETCHED_AT
    )
    assert listing.page == DAY
    assert [paper.id for paper in listing.papers] == ["2608.00001", "2608.00003"]
    assert parse_api(entries, Page(Kind.WEEK, "2026-W32")).papers[0].id == "2608.00000"


def test_only_a_search_may_have_an_empty_api_response() -> None:
    for page in PAGES:
        if page.kind is Kind.SEARCH:
            assert parse_api([], page).papers == ()
        else:
            assert "empty" in error_reason(lambda page=page: parse_api([], page))  # type: ignore[misc]


# --- arbitrary input -------------------------------------------------------------------------


def assert_listing_or_parse_error(body: bytes, page: Page) -> None:
    """Both parsers return a listing that can be stored, or raise ParseError."""
    for parse in (parse_page, parse_api_response):
        try:
            listing = parse(body, page_url(page), requested=page, fetched_at=FETCHED_AT)
        except ParseError:
            continue
        assert listing.page.kind is page.kind
        assert listing.papers or page.kind is Kind.SEARCH
        ids = [paper.id for paper in listing.papers]
        assert len(set(ids)) == len(ids)
        assert msgspec.json.decode(msgspec.json.encode(listing), type=Listing) == listing


fragments = st.sampled_from(
    [
        card_html().encode(), b"<article>", b"</article>", b"<h3>",
        b'<a href="/papers/2608.99003">',
        b'<a href="/papers/2608.99003#community">', b"</a>", b"<p>", b"</p>", b"<li>", b"<span>",
        b"</span>", b"<label>", b'<a href="https://github.com/x">', b"Upvote", b"Mar 9, 2026",
        b"Feb 30", b"99999 authors", b"1.2k", b"\xff", b"\0", b"&#xD800;", b"<!--[-->", b"<![",
        b'<time datetime="2026-08-05">', b'<div data-target="DailyPapers" data-props="', b'">',
        b"{&quot;dailyPapers&quot;:[", b"]}", b"[", b"{", b"null", b'"paper":',
    ]
)  # fmt: skip


@given(body=st.binary() | st.lists(fragments | st.binary(max_size=8)).map(b"".join), page=pages)
def test_arbitrary_bytes_return_a_listing_or_raise_a_parse_error(body: bytes, page: Page) -> None:
    assert_listing_or_parse_error(body, page)


odd_texts = st.text(st.characters(exclude_categories=[])) | st.sampled_from(
    ["\ud800", "\x00", "\ufffe", "$\\frac{1}{2}$", "$x^2$", "\\(", "\\'{e}", "{" * 50, "&amp;lt;"]
)
odd_values = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(2**70), 10**30, 10**4000, 1.5, 1e308])
    | st.sampled_from([float("nan"), float("inf")])
    | st.sampled_from(
        [
            "2026-08-07", "2026-W32", "2026-13", "2026-02-30", "day", "week", "search", "trending",
            "2026-08-07T00:00:00.000Z", "2026-08-07T25:00:00Z", "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-12:00", "2026-08-07T00:00:00", "2608.99001", "2608.99001v9",
            "javascript:alert(1)", "https://[", "https://example.org/\n x", " http://x", "",
        ]
    )
    | odd_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_texts, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def json_paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in the data except the root."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in inside:
        found.append((*at, key))
        if isinstance(inner, dict | list):
            found += json_paths(inner, (*at, key))
    return found


@st.composite
def damaged_responses(draw: st.DrawFn) -> tuple[bytes, Page]:
    """A page or an API response with up to four values deleted, replaced or duplicated."""
    page, api = draw(pages), draw(st.booleans())
    full = json_entry(
        githubRepo="https://github.com/example-lab/kite", githubStars=3, ai_summary="Short.",
        ai_keywords=["kites"], mediaUrls=["https://example.org/kite.mp4"],
        organization={"name": "lab", "fullname": "Lab"}, projectPage="https://example.org",
    )  # fmt: skip
    entries = [full, *(json_entry(f"2608.9900{n}") for n in range(2, 4))]
    data: Any = entries if api else page_props(page, entries)
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(0, 4))):
        if not (known := json_paths(data)):
            break
        *way, last = draw(st.sampled_from(known))
        parent = data
        for key in way:
            parent = parent[key]
        match draw(st.sampled_from(["delete", "replace", "double"])):
            case "delete":
                del parent[last]
            case "double" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[last]))
            case _:
                parent[last] = draw(odd_values)
    text = json.dumps(data, ensure_ascii=draw(st.booleans()))
    inside = draw(st.sampled_from(["", card_html(), card_html("2608.99001") * 2]))
    body = (
        text.encode("utf-8", "surrogatepass")
        if api
        else builders.html_page_with_raw_props(text, inside)
    )
    if draw(st.booleans()):
        body = body[: draw(st.integers(0, len(body)))]
    return body, page


@given(damaged_responses())
def test_damaged_data_returns_a_listing_or_raises_a_parse_error(case: tuple[bytes, Page]) -> None:
    assert_listing_or_parse_error(*case)


# --- round trip ------------------------------------------------------------------------------

# Without characters of TeX and Markdown, whose tests are in test_normalize.
words = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters="$^\\{}`'\"*~-"),
    min_size=1,
    max_size=6,
)
lines = st.lists(words, min_size=1, max_size=6).map(" ".join)
urls = words.map(lambda name: normalize_url(f"https://example.org/{name}")) | st.just("")
handles = st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True)


def timestamps_since(first: date) -> st.SearchStrategy[str]:
    moments = st.datetimes(datetime(first.year, first.month, first.day), datetime(2026, 8, 8))  # noqa: DTZ001
    return moments.map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z")


@st.composite
def entries_with_papers(draw: st.DrawFn, name: str) -> tuple[Json, Paper]:
    """An entry in upstream's format, and the paper that it describes."""
    made: Json = {
        "title": draw(lines),
        "abstract": "\n\n".join(draw(st.lists(lines, max_size=2))),
        "organization": draw(lines | st.just("")),
        "keywords": tuple(draw(st.lists(lines, max_size=3, unique=True))),
        "ai_summary": draw(lines | st.just("")),
        "code": draw(urls),
        "project": draw(urls),
        "media": tuple(filter(None, draw(st.lists(urls, max_size=2)))),
        "upvotes": draw(st.integers(0, 5000)),
        "comments": draw(st.integers(0, 500)),
        "stars": draw(st.integers(0, 200_000)),
    }
    made["organization_handle"] = draw(handles) if made["organization"] else ""
    made["submitter"] = draw(handles | st.just(""))
    people = draw(
        st.lists(st.tuples(lines, st.booleans(), handles | st.just("")), min_size=1, max_size=5)
    )
    shown = tuple(person for person, hidden, _ in people if not hidden)
    shown_handles = tuple(handle for _, hidden, handle in people if handle and not hidden)
    published = draw(timestamps_since(FIRST_SUBMISSION_DAY))
    daily = draw(st.none() | timestamps_since(FIRST_LIST_DAY))
    fold = draw(st.sampled_from([" ", "\n", "\n  ", "  "]))
    paragraph_mark = draw(st.sampled_from(["\n\n", "\n  "]))
    optional = {
        "projectPage": made["project"] and draw(st.sampled_from(["", " "])) + made["project"],
        "githubRepo": made["code"].replace("//", draw(st.sampled_from(["//", "//\n"]))),
        "githubStars": made["stars"],
        "ai_summary": made["ai_summary"],
        "ai_keywords": made["keywords"],
        "mediaUrls": made["media"],
        "organization": made["organization"]
        and {"name": made["organization_handle"], "fullname": made["organization"]},
    }
    written = json_entry(
        name,
        title=made["title"].replace(" ", fold),
        summary=made["abstract"]
        .replace(" ", fold.rstrip(" ") or fold)
        .replace("\n\n", paragraph_mark),
        authors=[
            {"name": person, "hidden": hidden, "user": {"user": handle} if handle else None}
            for person, hidden, handle in people
        ],
        submittedOnDailyBy={"user": made["submitter"]} if made["submitter"] else None,
        publishedAt=published,
        submittedOnDailyAt=daily,
        upvotes=made["upvotes"],
        **{key: value or None for key, value in optional.items()},
    )
    written["numComments"] = made["comments"]
    listed = date.fromisoformat(daily[:10]) if daily else None
    submitted = date.fromisoformat(published[:10])
    details = made | {
        "authors": shown,
        "author_handles": shown_handles,
        "author_count": len(shown),
        "submitted": submitted,
    }
    return written, Paper(id=name, listed=listed, **details)


@few_examples
@given(st.data(), pages, st.lists(st.integers(0, 99_999), min_size=1, max_size=4, unique=True))
def test_papers_in_upstreams_format_are_parsed_in_order(
    data: st.DataObject, page: Page, numbers: list[int]
) -> None:
    drawn = [data.draw(entries_with_papers(f"2608.{number:05}")) for number in numbers]
    entries = [written for written, _ in drawn]
    day = date(2026, 8, 7) if page == DAY else None
    expected = [
        analyze(msgspec.structs.replace(paper, listed=paper.listed or day)) for _, paper in drawn
    ]
    listing = parse_html(html_page(page_props(page, entries), card_html()), page)
    assert list(listing.papers) == expected
    assert (listing.page, listing.skipped, listing.parsed_from) == (page, (), "data")
    if page != DAY:
        assert list(parse_api(entries, page).papers) == expected
