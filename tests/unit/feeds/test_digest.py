"""Digests: closing of periods, their papers, and their documents."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from feedsrv.feeds.digest import (
    ListedPeriod,
    close_periods,
    format_period,
    listed_periods,
    rank_papers,
)
from feedsrv.feeds.digest_documents import DIGEST_FORMATS, render_digest_html
from feedsrv.models import (
    Digest,
    DigestLog,
    Feed,
    Kind,
    Listing,
    Match,
    Page,
    Paper,
    Period,
    StoredDays,
)
from tests.support.builders import make_listing, make_paper

FEED = Feed(name="kites", title="Kites", query="kite")
#: Two weeks of list days; the Thursday between them had no list.
DAYS = ["2026-11-16", "2026-11-17", "2026-11-18", "2026-11-20", "2026-11-23", "2026-11-24"]


def window(*days: str, early: str = "", unread: str = "") -> StoredDays:
    """Return stored list days, one fetched on its own day and one not fetched at all."""
    return tuple((Page(Kind.DAY, day), listing(day, early, unread)) for day in reversed(days))


def listing(day: str, early: str, unread: str) -> Listing | None:
    at = datetime.fromisoformat(f"{day}T20:00:00+00:00")
    fetched_at = at if day == early else at + timedelta(days=5)
    page = Page(Kind.DAY, day)
    return None if day == unread else make_listing(page=page, fetched_at=fetched_at)


def closed_keys(days: StoredDays, period: Period) -> list[str]:
    return [each.key for each in listed_periods(days, period) if each.closed_by]


def match(number: int, day: str, **details: Any) -> Match:
    listed = date.fromisoformat(day)
    return Match(make_paper(f"2611.{number:05d}", listed=listed, **details), (FEED,))


def digested(log: DigestLog | None) -> dict[str, list[str]]:
    assert log is not None
    return {
        digest.key: [paper.id[-1] for paper in digest.papers]
        for digest in log.digests
        if digest.papers
    }


# --- closing -----------------------------------------------------------------------------------


def test_a_day_is_closed_when_a_later_list_day_was_fetched() -> None:
    assert closed_keys(window(*DAYS), "day") == DAYS[:-1]


def test_a_week_is_closed_when_a_list_day_of_the_next_week_was_fetched() -> None:
    assert closed_keys(window(*DAYS), "week") == ["2026-W47"]
    assert closed_keys(window(*DAYS[:4]), "week") == []


def test_a_period_names_the_list_day_that_closed_it() -> None:
    first = listed_periods(window(*DAYS), "week")[0]
    assert first == ListedPeriod(
        "2026-W47", date(2026, 11, 16), date(2026, 11, 22), date(2026, 11, 23)
    )


@pytest.mark.parametrize("period", ["day", "week"])
def test_a_list_that_was_fetched_on_its_own_day_keeps_its_period_open(period: Period) -> None:
    days = window(*DAYS, early="2026-11-20")
    assert not {"2026-11-20", "2026-W47"} & set(closed_keys(days, period))


@pytest.mark.parametrize("period", ["day", "week"])
def test_a_list_that_was_never_fetched_keeps_its_period_open(period: Period) -> None:
    days = window(*DAYS, unread="2026-11-18")
    assert not {"2026-11-18", "2026-W47"} & set(closed_keys(days, period))


def test_a_list_that_cannot_be_fetched_does_not_delay_a_digest() -> None:
    days = window(*DAYS, unread="2026-11-18")
    unreadable = [Page(Kind.DAY, "2026-11-18")]
    closed = [each.key for each in listed_periods(days, "week", unreadable) if each.closed_by]
    assert closed == ["2026-W47"]


def test_a_week_that_the_window_cuts_stays_open() -> None:
    assert closed_keys(window(*DAYS[1:]), "week") == []


def test_a_week_that_began_after_a_holiday_is_complete() -> None:
    days = window(*DAYS[1:])
    oldest = make_listing(
        page=days[-1][0], fetched_at=datetime(2026, 11, 30, tzinfo=UTC), previous_day="2026-11-13"
    )
    assert closed_keys((*days[:-1], (days[-1][0], oldest)), "week") == ["2026-W47"]


# --- papers ------------------------------------------------------------------------------------


def test_each_paper_is_in_the_digest_of_its_period() -> None:
    matches = [match(1, "2026-11-16"), match(2, "2026-11-20"), match(3, "2026-11-24")]
    periods = listed_periods(window(*DAYS), "week")
    log = close_periods(DigestLog(), matches, periods, "Kites")
    assert digested(log) == {"2026-W47": ["2", "1"]}
    daily = close_periods(DigestLog(), matches, listed_periods(window(*DAYS), "day"), "Kites")
    assert digested(daily) == {"2026-11-16": ["1"], "2026-11-20": ["2"]}


def test_a_closed_period_never_changes() -> None:
    periods = listed_periods(window(*DAYS), "week")
    log = close_periods(DigestLog(), [match(1, "2026-11-16")], periods, "Kites")
    assert log is not None
    assert close_periods(log, [match(1, "2026-11-16", upvotes=99)], periods, "Other") is None


def test_a_paper_that_is_found_too_late_is_in_the_next_digest() -> None:
    early, late = match(1, "2026-11-16"), match(2, "2026-11-16")
    first = close_periods(
        DigestLog(), [early], listed_periods(window(*DAYS[:5]), "day")[:1], "Kites"
    )
    assert first is not None
    second = close_periods(first, [early, late], listed_periods(window(*DAYS), "day"), "Kites")
    assert digested(second) == {"2026-11-16": ["1"], "2026-11-23": ["2"]}


def test_a_paper_of_a_day_without_a_list_is_in_the_digest_of_the_next_list() -> None:
    periods = listed_periods(window(*DAYS), "day")
    log = close_periods(DigestLog(), [match(1, "2026-11-19")], periods, "Kites")
    assert digested(log) == {"2026-11-20": ["1"]}


def test_a_paper_from_before_the_window_is_in_no_digest() -> None:
    periods = listed_periods(window(*DAYS), "week")
    assert digested(close_periods(DigestLog(), [match(1, "2026-11-13")], periods, "Kites")) == {}


def test_a_period_without_matches_stays_closed_when_a_paper_matches_later() -> None:
    periods = listed_periods(window(*DAYS), "week")
    log = close_periods(DigestLog(), [], periods, "Kites")
    assert log is not None
    assert close_periods(log, [match(1, "2026-11-16")], periods, "Kites") is None


@pytest.mark.parametrize(("period", "count"), [("day", 59), ("week", 11)])
def test_over_ten_weeks_each_matching_paper_is_in_exactly_one_digest(
    period: Period, count: int
) -> None:
    """Lists grow between fetches, and some papers are found days later."""
    days = [date(2026, 9, 7) + timedelta(days=n) for n in range(12 * 7) if n % 7 < 5]
    listed: dict[str, date] = {}
    log = DigestLog()
    for number, today in enumerate(days):
        for hour in (8, 20, 32):  # the last time is on the next day, before its list
            if number < 50:
                listed[f"2611.{number:03d}{hour:02d}"] = today
                listed[f"2612.{number:03d}{hour:02d}"] = days[max(0, number - hour % 3)]
            at = datetime.combine(today, time(), UTC) + timedelta(hours=hour)
            recent = days[max(0, number - 14) : number + 1]
            pages = [Page(Kind.DAY, str(day)) for day in reversed(recent)]
            stored = tuple((page, make_listing(page=page, fetched_at=at)) for page in pages)
            matches = [
                match(int(name[:4] + name[5:]), str(day))
                for name, day in listed.items()
                if day in recent
            ]
            log = close_periods(log, matches, listed_periods(stored, period), "Kites") or log
    found = [paper.id for digest in log.digests for paper in digest.papers]
    assert len(found) == len(set(found)) == len(listed)
    assert len(log.digests) == count


def test_papers_are_sorted_by_votes_and_from_the_21st_on_have_titles_only() -> None:
    papers = rank_papers([match(number, "2026-11-16", upvotes=number) for number in range(25)])
    assert [paper.id[-2:] for paper in papers[:3]] == ["24", "23", "22"]
    assert [bool(paper.links) for paper in papers] == [True] * 20 + [False] * 5
    assert papers[20].text == papers[20].byline == ""


@pytest.mark.parametrize(
    ("abstract", "expected"),
    [
        ("One. Two! Three?", "One. Two!"),
        (
            "One, e.g. this, by Quill et al. 2026. Two. Three.",
            "One, e.g. this, by Quill et al. 2026. Two.",
        ),
        ("Only one sentence without an end", "Only one sentence without an end"),
        (
            "In Fig. 3 we see A. Quill. Then more. And more.",
            "In Fig. 3 we see A. Quill. Then more.",
        ),
        ("It costs 3.5 dollars. Good.\n\nNext.", "It costs 3.5 dollars. Good."),
        ("word " * 200, ("word " * 79).strip() + " …"),
        ("", ""),
    ],
)
def test_an_abstract_is_cut_to_two_sentences(abstract: str, expected: str) -> None:
    (paper,) = rank_papers([match(1, "2026-11-16", abstract=abstract)])
    assert paper.text == expected
    assert not paper.is_ai_summary


def test_a_generated_summary_is_marked() -> None:
    (paper,) = rank_papers([match(1, "2026-11-16", ai_summary="Kites listen.")])
    assert (paper.text, paper.is_ai_summary) == ("Kites listen.", True)
    digest = Digest(
        key="", title="T", published=datetime(2026, 11, 23, tzinfo=UTC), papers=(paper,)
    )
    assert "AI-generated summary: Kites listen." in DIGEST_FORMATS["text"](digest)
    assert "<em>AI-generated summary:</em> Kites listen." in render_digest_html(digest)


@pytest.mark.parametrize(
    ("details", "byline"),
    [
        (
            {"authors": ("A", "B", "C", "D", "E"), "organization": "Lab"},
            "A, B, C and 2 others · Lab",
        ),
        ({"authors": ("A", "B", "C", "D")}, "A, B, C and 1 other"),
        ({"authors": (), "author_count": 7, "organization": "Lab"}, "7 authors · Lab"),
        ({"authors": (), "author_count": 0, "organization": "Lab"}, "Lab"),
    ],
)
def test_a_byline_has_the_first_authors_or_the_organization(
    details: dict[str, Any], byline: str
) -> None:
    assert rank_papers([match(1, "2026-11-16", **details)])[0].byline == byline


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("2026-11-24", "24 November"),
        ("2026-W47", "16\u201322 November"),
        ("2026-W49", "30 November \u2013 6 December"),
        ("2026-W53", "28 December 2026 \u2013 3 January 2027"),
    ],
)
def test_a_period_is_formatted_with_its_days(key: str, text: str) -> None:
    assert format_period(key) == text


# --- documents ---------------------------------------------------------------------------------


def hostile_digest() -> Digest:
    papers = [
        match(1, "2026-11-16", title="<b>*x* [y](http://z)</b>", abstract="<script>1</script>."),
        match(2, "2026-11-16", title="Long " * 40, code="https://example.org/?a=1&b=2"),
    ]
    return Digest(
        key="2026-W47",
        title="Kites & <b>: 2 papers",
        published=datetime(2026, 11, 23, tzinfo=UTC),
        papers=rank_papers(papers),
    )


def test_plain_text_has_72_columns() -> None:
    lines = DIGEST_FORMATS["text"](hostile_digest()).splitlines()
    assert all(len(line) <= 72 for line in lines if "http" not in line)
    assert "https://huggingface.co/papers/week/2026-W47" in lines


def test_markup_in_a_title_stays_text_in_every_format() -> None:
    html = DIGEST_FORMATS["html"](hostile_digest())
    assert "<script>" not in html
    assert "<b>" not in html
    assert "a=1&amp;b=2" in html
    assert r"\<b\>\*x\* \[y\](http://z)\</b\>" in DIGEST_FORMATS["md"](hostile_digest())
    papers = json.loads(DIGEST_FORMATS["json"](hostile_digest()))["papers"]
    assert "<b>*x* [y](http://z)</b>" in {paper["title"] for paper in papers}


@pytest.mark.parametrize("name", ["text", "md", "html"])
def test_from_the_21st_paper_on_a_document_has_titles_only(name: str) -> None:
    matches = [
        match(n, "2026-11-16", upvotes=99 - n, title=f"Kite {n}", authors=()) for n in range(25)
    ]
    papers = rank_papers(matches)
    digest = Digest(
        key="2026-W47", title="T", published=datetime(2026, 11, 23, tzinfo=UTC), papers=papers
    )
    full, heading, brief = DIGEST_FORMATS[name](digest).partition("More papers:")
    assert heading
    assert "Kite 19" in full
    assert "A kite listens." not in brief
    assert "Kite 24" in brief


def test_the_paper_of_a_match_may_link_to_arxiv() -> None:
    paper: Paper = make_paper("2611.00001")
    feed = Feed(name="kites", title="Kites", link="arxiv")
    assert rank_papers([Match(paper, (feed,))])[0].url == "https://arxiv.org/abs/2611.00001"
