"""Pages of every era against what they hold, and whatever else may come in their place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import ParseError
from feedsrv.models import Kind, Listing, Page, Paper
from feedsrv.search.analysis import analyze
from feedsrv.upstream.parser import api_path, page_path, parse_api_response, parse_page
from tests.support import builders
from tests.support.builders import (
    DAY,
    PAGES,
    READ_AT,
    Json,
    card_html,
    html_page,
    json_entry,
    listing_to_json,
    page_props,
    page_url,
)
from tests.support.strategies import few_examples

RECORDED = Path(__file__).parent / "pages"
CASES = sorted(
    file.name.removesuffix(".expected.json") for file in RECORDED.glob("*.expected.json")
)

any_page = st.sampled_from(list(PAGES))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.kind))


def page_listing(body: bytes, page: Page = DAY, url: str = "") -> Listing:
    return parse_page(body, url or page_url(page), requested=page, fetched_at=READ_AT)


def api_listing(answer: object, page: Page = DAY) -> Listing:
    return parse_api_response(
        json.dumps(answer).encode(), page_url(page), requested=page, fetched_at=READ_AT
    )


def error_reason(call: Callable[[], Listing]) -> str:
    with pytest.raises(ParseError) as caught:
        call()
    return caught.value.reason


# --- recorded pages --------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_page_gives_what_is_known_to_stand_on_it(name: str) -> None:
    expected = json.loads((RECORDED / f"{name}.expected.json").read_text("utf-8"))
    page, answer = RECORDED / f"{name}.html", RECORDED / f"{name}.json"
    reader, file = (parse_page, page) if page.exists() else (parse_api_response, answer)
    asked, read_at = builders.parse_page(expected["asked"]), expected["fetched_at"]

    def call() -> Listing:
        when = datetime.fromisoformat(read_at)
        return reader(file.read_bytes(), expected["url"], requested=asked, fetched_at=when)

    if "error" in expected:
        assert expected["error"] in error_reason(call)
        return
    listing = call()
    found, wanted = listing_to_json(listing), expected["listing"]
    # Reasons end in words of the JSON library's own, which change with its releases.
    skipped = zip(found.pop("skipped", []), wanted.pop("skipped", []), strict=True)
    assert all(reason.startswith(beginning) for reason, beginning in skipped)
    assert found == wanted
    assert [paper.tokens for paper in listing.papers] == [
        analyze(paper).tokens for paper in listing.papers
    ]


def test_every_recorded_page_has_its_expectation() -> None:
    pages = {
        file.stem
        for file in RECORDED.iterdir()
        if not file.name.endswith(".expected.json") and file.suffix in {".html", ".json"}
    }
    assert pages == set(CASES)
    assert len(CASES) > 30


# --- addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "where"),
    [
        (Page(Kind.DAY, "2026-08-07"), "/papers/date/2026-08-07"),
        (Page(Kind.WEEK, "2026-W01"), "/papers/week/2026-W01"),
        (Page(Kind.MONTH, "2026-08"), "/papers/month/2026-08"),
        (Page(Kind.TRENDING), "/papers/trending"),
        (Page(Kind.SEARCH, "pear tree"), "/papers?q=pear+tree"),
        (Page(Kind.SEARCH, "C++ & 100%/#1?"), "/papers?q=C%2B%2B+%26+100%25%2F%231%3F"),
        (Page(Kind.SEARCH, "世界 é"), "/papers?q=%E4%B8%96%E7%95%8C+%C3%A9"),
    ],
    ids=["day", "week", "month", "trending", "search", "search-signs", "search-unicode"],
)
def test_a_page_stands_at_its_path(page: Page, where: str) -> None:
    assert page_path(page) == where


@pytest.mark.parametrize(
    ("page", "where"),
    [
        (Page(Kind.DAY, "2026-08-06"), "/api/daily_papers?date=2026-08-06&limit=100"),
        (Page(Kind.DAY, "2026-08-07"), "/api/daily_papers?limit=100"),
        (Page(Kind.DAY, "2026-08-08"), "/api/daily_papers?limit=100"),
        (Page(Kind.WEEK, "2026-W32"), "/api/daily_papers?week=2026-W32&limit=100"),
        (Page(Kind.MONTH, "2026-08"), "/api/daily_papers?month=2026-08&limit=100"),
        (Page(Kind.TRENDING), "/api/daily_papers?sort=trending&limit=50"),
        (Page(Kind.SEARCH, "C++ & co"), "/api/papers/search?q=C%2B%2B+%26+co&limit=120"),
    ],
    ids=["past-day", "today", "future-day", "week", "month", "trending", "search"],
)
def test_the_api_knows_the_same_papers_at_its_own_path(page: Page, where: str) -> None:
    assert api_path(page, date(2026, 8, 7)) == where


# --- which list it is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "named", "key"),
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
def test_the_listing_is_of_the_period_that_the_page_names(
    asked: Page, named: str, key: str
) -> None:
    data = {"dailyPapers": [json_entry()], "periodType": asked.kind, "dateString": named}
    assert page_listing(html_page(data), asked, "https://huggingface.co/papers").page == Page(
        asked.kind, key
    )


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (Page(Kind.DAY, "2026-02-27"), "2026-02-30"),
        (Page(Kind.MONTH, "2026-02"), "2026-02-30"),
        (Page(Kind.MONTH, "2026-02"), "2026-W07"),
        (Page(Kind.WEEK, "2026-W07"), "2026-02"),
    ],
    ids=["day", "month", "month-as-week", "week-as-month"],
)
def test_a_name_that_is_no_such_period_is_passed_over(asked: Page, named: str) -> None:
    data = {"dailyPapers": [json_entry()], "dateString": named}
    url = f"https://huggingface.co{page_path(asked)}"
    assert page_listing(html_page(data), asked, url).page == asked


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
def test_the_data_knows_the_day_better_than_the_label_and_the_label_better_than_the_address(
    data: Json, inside: str, url: str, day: str
) -> None:
    label = inside.replace("<time>", '<time datetime="2026-08-06T00:00:00.000Z"></time>')
    body = html_page({"dailyPapers": [json_entry()]} | data, label)
    url = f"https://huggingface.co{url or '/papers/date/2026-08-08'}"
    assert page_listing(body, Page(Kind.DAY, "2026-08-08"), url).page.key == day


def test_only_the_day_that_is_given_dates_a_paper_without_a_list_day() -> None:
    data = {"dailyPapers": [json_entry(submittedOnDailyAt=None)], "dateString": "2026-08-06"}
    assert page_listing(html_page(data)).papers[0].listed == date(2026, 8, 6)


@pytest.mark.parametrize("page", [page for page in PAGES if page.kind is not Kind.DAY], ids=str)
def test_a_paper_never_on_daily_gets_no_list_day_from_another_list(page: Page) -> None:
    data = page_props(page, [json_entry(submittedOnDailyAt=None)])
    assert page_listing(html_page(data), page).papers[0].listed is None
    assert api_listing([json_entry(submittedOnDailyAt=None)], page).papers[0].listed is None


@pytest.mark.parametrize("asked", PAGES, ids=lambda page: f"asked-{page.kind}")
@pytest.mark.parametrize("given", PAGES, ids=lambda page: f"given-{page.kind}")
def test_a_list_of_another_kind_is_refused_cards_and_all(asked: Page, given: Page) -> None:
    body = html_page(page_props(given, [json_entry()]), card_html())
    # The address may be the one asked for: what is shown there depends on what was seen last.
    for url in (page_url(given), page_url(asked)):
        if asked == given:
            assert page_listing(body, asked, url).source == "data"
        else:
            assert "in place of" in error_reason(lambda url=url: page_listing(body, asked, url))  # type: ignore[misc]


def test_search_results_count_even_where_the_data_forgot_what_was_searched_for() -> None:
    page = Page(Kind.SEARCH, "pear tree")
    data = {
        "dailyPapers": [json_entry("2608.99009")],
        "searchResults": [json_entry()],
        "periodType": "month",
    }
    assert [paper.id for paper in page_listing(html_page(data), page).papers] == ["2608.99001"]


# --- when papers or pages are damaged --------------------------------------------------------


@pytest.mark.parametrize(
    ("papers", "bad", "readable"),
    [(10, 1, True), (9, 1, False), (20, 2, True), (20, 3, False), (1, 1, False)],
)
def test_up_to_a_tenth_of_unreadable_papers_is_skipped_and_more_is_a_change_of_layout(
    papers: int, bad: int, readable: bool
) -> None:
    entries = [json_entry(f"2608.{n:05}", title=7 if n < bad else "Kite") for n in range(papers)]
    if readable:
        listing = page_listing(html_page(page_props(DAY, entries)))
        assert len(listing.papers) == papers - bad
        assert [reason.partition(":")[0] for reason in listing.skipped] == [
            f"2608.{n:05}" for n in range(bad)
        ]
    else:
        reason = error_reason(lambda: page_listing(html_page(page_props(DAY, entries))))
        assert f"{bad} of {papers} papers" in reason
        assert "2608.00000: Expected `str`" in reason


#: Each key of a paper, and another type than it has; None for a key that is left out.
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
def test_a_paper_whose_key_vanished_or_changed_its_type_is_left_out_by_name(
    key: str, value: object
) -> None:
    sound = [json_entry(f"2608.{n:05}") for n in range(9)]
    changed = json_entry("2608.99099", **{key: value})
    for listing in (
        page_listing(html_page(page_props(DAY, [*sound, changed]))),
        api_listing([*sound, changed]),
    ):
        assert len(listing.papers) == 9
        (reason,) = listing.skipped
        assert reason.startswith("2608.99099: ")
        assert key in reason


@pytest.mark.parametrize("key", ["paper", "id"])
def test_a_paper_without_a_name_is_left_out_by_its_place(key: str) -> None:
    sound = [json_entry(f"2608.{n:05}") for n in range(9)]
    nameless = {"numComments": 1} if key == "paper" else json_entry(id=None)
    (reason,) = page_listing(html_page(page_props(DAY, [*sound, nameless]))).skipped
    assert reason.startswith("paper 10: ")
    assert key in reason


@pytest.mark.parametrize("changed", [None, 7, "x", {}, {"papers": []}], ids=repr)
def test_a_list_that_vanished_or_changed_its_type_is_refused(changed: object) -> None:
    data = page_props(DAY, []) | {"dailyPapers": changed}
    assert "list" in error_reason(lambda: page_listing(html_page(data)))
    assert "list" in error_reason(lambda: api_listing(changed))


def test_more_than_any_list_or_page_has_is_refused_before_it_takes_memory() -> None:
    assert "1001 papers" in error_reason(lambda: api_listing([json_entry()] * 1001))
    assert "not a page" in error_reason(lambda: page_listing(b"<br>" * 100_000))
    assert (
        page_listing(html_page(page_props(DAY, [json_entry()]), inside="<br>" * 90_000)).source
        == "data"
    )


@pytest.mark.parametrize("bad", [None, 7, "x", [], {}, {"paper": None}], ids=repr)
def test_an_entry_without_an_id_is_named_by_its_place(bad: object) -> None:
    data: Json = {"dailyPapers": [*(json_entry(f"2608.{n:05}") for n in range(11)), bad]}
    (reason,) = page_listing(html_page(data)).skipped
    assert reason.startswith("paper 12: ")


@pytest.mark.parametrize(
    "name", ["", "../2608.99001", "2608.99001/x", "2608 99001", "2608.99001\n", "é", "x" * 65]
)
def test_an_id_that_could_break_an_address_makes_its_paper_unreadable(name: str) -> None:
    assert "is no paper's id" in error_reason(lambda: api_listing([json_entry(name)]))


@pytest.mark.parametrize(
    ("written", "name"),
    [("2608.99001v2", "2608.99001"), ("sample-001", "sample-001"), ("sample-v2", "sample-v2")],
)
def test_an_id_has_no_version(written: str, name: str) -> None:
    assert api_listing([json_entry(written)]).papers[0].id == name


@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"], ids=["first", "last"]
)
@pytest.mark.parametrize("key", ["publishedAt", "submittedOnDailyAt"])
def test_a_date_past_the_ends_of_the_calendar_makes_its_paper_unreadable(
    key: str, stamp: str
) -> None:
    entries = [
        *(json_entry(f"2608.{n:05}") for n in range(11)),
        json_entry("2608.00099", **{key: stamp}),
    ]
    (reason,) = api_listing(entries).skipped
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
def test_a_number_on_a_card_is_read_or_is_nought(inside: str, votes: int, authors: int) -> None:
    (paper,) = page_listing(inside.encode()).papers
    assert (paper.upvotes, paper.author_count) == (votes, authors)


def test_cards_are_no_way_around_the_ids_of_arxiv() -> None:
    body = (card_html("٢٦٠٨.٩٩٠٠١") + card_html("../admin") + card_html("2608.99001v3")).encode()
    assert [paper.id for paper in page_listing(body).papers] == ["2608.99001"]


@pytest.mark.parametrize(
    ("shown", "submitted"),
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
def test_a_card_without_a_readable_date_is_of_the_month_of_its_id(
    shown: str, submitted: date
) -> None:
    assert page_listing(card_html(extra=shown).encode()).papers[0].submitted == submitted


@pytest.mark.parametrize("key", ["title", "summary", "ai_summary", "projectPage", "githubRepo"])
def test_a_text_that_would_take_minutes_makes_its_paper_unreadable(key: str) -> None:
    # Python's normalization of such a text takes the square of its length.
    assert "length" in error_reason(
        lambda: api_listing([json_entry(**{key: "e\u0301\u0316" * 1_000_000})])
    )


def test_a_list_of_far_more_papers_than_any_page_has_is_refused_before_it_is_read() -> None:
    assert "a list of 1001 papers" in error_reason(lambda: api_listing([0] * 1001))
    assert len(api_listing([json_entry(f"2608.{n:05}") for n in range(1000)]).papers) == 1000


def test_cards_that_are_never_closed_are_read_as_far_as_three_deep() -> None:
    unclosed = [card_html(f"2608.{n:05}").removesuffix("</article>") for n in range(50)]
    listing = page_listing("".join(unclosed).encode())
    assert [paper.id for paper in listing.papers] == ["2608.00000", "2608.00001", "2608.00002"]


def test_a_page_of_nothing_but_tags_is_no_list_of_cards() -> None:
    assert len(page_listing((card_html() + "<b></b>" * 20_000).encode()).papers) == 1
    assert error_reason(lambda: page_listing((card_html() + "<b></b>" * 30_000).encode()))
    assert error_reason(lambda: page_listing((card_html() + "<div>" * 200).encode()))


def test_the_text_of_a_card_is_cut_where_no_abstract_goes_on() -> None:
    body = card_html(extra=f"<p>{'a ' * 20_000}</p><span>{'x' * 300} Mar 9</span>").encode()
    (paper,) = page_listing(body).papers
    assert len(paper.abstract) == 19_999
    assert paper.submitted == date(2026, 8, 1)


def test_cards_stand_in_only_where_the_data_cannot_be_read() -> None:
    assert (
        page_listing(html_page(page_props(DAY, [json_entry()]), card_html())).papers[0].id
        == "2608.99001"
    )
    listing = page_listing(html_page(page_props(DAY, []), card_html()))
    assert (listing.papers[0].id, listing.source) == ("2608.99002", "cards")
    assert listing.skipped == ("its data: the list is empty",)


def test_the_first_of_two_copies_counts() -> None:
    cards = page_listing(
        (card_html(votes="1") + card_html("2608.99003") + card_html(votes="2")).encode()
    )
    assert [(paper.id, paper.upvotes) for paper in cards.papers] == [
        ("2608.99002", 1),
        ("2608.99003", 7),
    ]
    listing = api_listing([json_entry(title="First"), json_entry(title="Second")])
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
@every_page
def test_what_is_no_page_is_refused_without_a_warning(body: bytes, page: Page) -> None:
    assert error_reason(lambda: page_listing(body, page))
    assert error_reason(
        lambda: parse_api_response(body, page_url(page), requested=page, fetched_at=READ_AT)
    )


# --- the API ---------------------------------------------------------------------------------


def test_an_answer_of_several_days_is_cut_to_its_newest_day() -> None:
    days = ["2026-08-06", "2026-08-07", "2026-08-05", "2026-08-07"]
    entries = [
        json_entry(f"2608.0000{n}", submittedOnDailyAt=f"{day}T03:00:00.000Z")
        for n, day in enumerate(days)
    ]
    body, url = json.dumps(entries).encode(), "https://huggingface.co/api/daily_papers"
    listing = parse_api_response(
        body, url, requested=Page(Kind.DAY, "2026-08-09"), fetched_at=READ_AT
    )
    assert listing.page == DAY
    assert [paper.id for paper in listing.papers] == ["2608.00001", "2608.00003"]
    assert api_listing(entries, Page(Kind.WEEK, "2026-W32")).papers[0].id == "2608.00000"


def test_an_api_search_may_find_nothing_and_every_other_list_may_not() -> None:
    for page in PAGES:
        if page.kind is Kind.SEARCH:
            assert api_listing([], page).papers == ()
        else:
            assert "empty" in error_reason(lambda page=page: api_listing([], page))  # type: ignore[misc]


# --- whatever may come -----------------------------------------------------------------------


def assert_listing_or_page_error(body: bytes, page: Page) -> None:
    """Both readers give a listing that can be kept, or a PageError, and nothing else."""
    for reader in (parse_page, parse_api_response):
        try:
            listing = reader(body, page_url(page), requested=page, fetched_at=READ_AT)
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


@given(body=st.binary() | st.lists(fragments | st.binary(max_size=8)).map(b"".join), page=any_page)
def test_arbitrary_bytes_give_a_listing_or_a_page_error(body: bytes, page: Page) -> None:
    assert_listing_or_page_error(body, page)


odd_text = st.text(st.characters(exclude_categories=[])) | st.sampled_from(
    ["\ud800", "\x00", "\ufffe", "$\\frac{1}{2}$", "$x^2$", "\\(", "\\'{e}", "{" * 50, "&amp;lt;"]
)
odd_value = st.recursive(
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
    | odd_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_text, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def paths_in(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in the data but its root."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in inside:
        found.append((*at, key))
        if isinstance(inner, dict | list):
            found += paths_in(inner, (*at, key))
    return found


@st.composite
def damaged_documents(draw: st.DrawFn) -> tuple[bytes, Page]:
    """A page's data or an API's answer, with up to four places deleted, replaced or doubled."""
    page, api = draw(any_page), draw(st.booleans())
    full = json_entry(
        githubRepo="https://github.com/example-lab/kite", githubStars=3, ai_summary="Short.",
        ai_keywords=["kites"], mediaUrls=["https://example.org/kite.mp4"],
        organization={"name": "lab", "fullname": "Lab"}, projectPage="https://example.org",
    )  # fmt: skip
    entries = [full, *(json_entry(f"2608.9900{n}") for n in range(2, 4))]
    data: Any = entries if api else page_props(page, entries)
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(0, 4))):
        if not (known := paths_in(data)):
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
                parent[last] = draw(odd_value)
    text = json.dumps(data, ensure_ascii=draw(st.booleans()))
    inside = draw(st.sampled_from(["", card_html(), card_html("2608.99001") * 2]))
    body = (
        text.encode("utf-8", "surrogatepass") if api else builders.html_page_with_data(text, inside)
    )
    if draw(st.booleans()):
        body = body[: draw(st.integers(0, len(body)))]
    return body, page


@given(damaged_documents())
def test_damaged_data_gives_a_listing_or_a_page_error(case: tuple[bytes, Page]) -> None:
    assert_listing_or_page_error(*case)


# --- there and back --------------------------------------------------------------------------

# Dollars and backslashes are TeX's, whose reading has tests of its own.
word = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters="$\\"), min_size=1, max_size=6
)
one_line = st.lists(word, min_size=1, max_size=6).map(" ".join)
web = word.map(lambda name: f"https://example.org/{name}") | st.just("")
stamp = st.datetimes(datetime(1991, 8, 14), datetime(2027, 1, 1)).map(  # noqa: DTZ001
    lambda at: f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
)


@st.composite
def entries_with_papers(draw: st.DrawFn, name: str) -> tuple[Json, Paper]:
    """An entry as upstream would write it, and the paper that it is."""
    made: Json = {
        "title": draw(one_line),
        "abstract": "\n\n".join(draw(st.lists(one_line, max_size=2))),
        "organization": draw(one_line | st.just("")),
        "keywords": tuple(draw(st.lists(one_line, max_size=3, unique=True))),
        "summary": draw(one_line | st.just("")),
        "code": draw(web),
        "project": draw(web),
        "media": tuple(filter(None, draw(st.lists(web, max_size=2)))),
        "upvotes": draw(st.integers(0, 5000)),
        "comments": draw(st.integers(0, 500)),
        "stars": draw(st.integers(0, 200_000)),
    }
    people = draw(st.lists(st.tuples(one_line, st.booleans()), min_size=1, max_size=5))
    shown = tuple(person for person, hidden in people if not hidden)
    published, daily = draw(stamp), draw(st.none() | stamp)
    fold = draw(st.sampled_from([" ", "\n", "\n  ", "  "]))
    optional = {
        "projectPage": made["project"] and draw(st.sampled_from(["", " "])) + made["project"],
        "githubRepo": made["code"].replace("//", draw(st.sampled_from(["//", "//\n"]))),
        "githubStars": made["stars"],
        "ai_summary": made["summary"],
        "ai_keywords": made["keywords"],
        "mediaUrls": made["media"],
        "organization": made["organization"] and {"name": "o", "fullname": made["organization"]},
    }
    written = json_entry(
        name,
        title=made["title"].replace(" ", fold),
        summary=made["abstract"].replace(" ", fold),
        authors=[{"name": person, "hidden": hidden} for person, hidden in people],
        publishedAt=published,
        submittedOnDailyAt=daily,
        upvotes=made["upvotes"],
        **{key: value or None for key, value in optional.items()},
    )
    written["numComments"] = made["comments"]
    listed = date.fromisoformat(daily[:10]) if daily else None
    submitted = date.fromisoformat(published[:10])
    details = made | {"authors": shown, "author_count": len(shown), "submitted": submitted}
    return written, Paper(id=name, listed=listed, **details)


@few_examples
@given(st.data(), any_page, st.lists(st.integers(0, 99_999), min_size=1, max_size=4, unique=True))
def test_papers_written_as_upstream_writes_them_are_read_back_in_order(
    data: st.DataObject, page: Page, numbers: list[int]
) -> None:
    drawn = [data.draw(entries_with_papers(f"2608.{number:05}")) for number in numbers]
    entries = [written for written, _ in drawn]
    day = date(2026, 8, 7) if page == DAY else None
    wanted = [
        analyze(msgspec.structs.replace(paper, listed=paper.listed or day)) for _, paper in drawn
    ]
    listing = page_listing(html_page(page_props(page, entries), card_html()), page)
    assert list(listing.papers) == wanted
    assert (listing.page, listing.skipped, listing.source) == (page, (), "data")
    if page != DAY:
        assert list(api_listing(entries, page).papers) == wanted
