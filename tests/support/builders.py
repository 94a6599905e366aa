"""Builders of upstream's JSON entries and pages, and of papers and listings."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from html import escape
from typing import Any, Literal

import msgspec

from feedsrv.models import Kind, Listing, Page, Paper

Json = dict[str, Any]
Source = Literal["data", "cards", "api"]

FETCHED_AT = datetime(2026, 8, 7, 12, tzinfo=UTC)
DAY = Page(Kind.DAY, "2026-08-07")
#: One page of each kind, with its path and the minimal props that identify it.
PAGES: dict[Page, tuple[str, Json]] = {
    DAY: ("/papers/date/2026-08-07", {"dateString": "2026-08-07", "periodType": "day"}),
    Page(Kind.WEEK, "2026-W32"): (
        "/papers/week/2026-W32",
        {"dateString": "2026-W32", "periodType": "week"},
    ),
    Page(Kind.MONTH, "2026-08"): (
        "/papers/month/2026-08",
        {"dateString": "2026-08", "periodType": "month"},
    ),
    Page(Kind.TRENDING): ("/papers/trending", {"isTrending": True}),
    Page(Kind.SEARCH, "pear tree"): (
        "/papers?q=pear+tree",
        {"dateString": "2026-08-07", "periodType": "day", "query": {"q": "pear tree"}},
    ),
}


def page_url(page: Page) -> str:
    return f"https://huggingface.co{PAGES[page][0]}"


def json_entry(name: str = "2608.99001", **details: Any) -> Json:
    """Return an entry with the required keys. In ``details`` of the paper, None removes a key."""
    paper = {
        "id": name,
        "authors": [{"_id": "0", "name": "Odalys Brandt", "hidden": False}],
        "publishedAt": "2026-08-05T00:00:00.000Z",
        "submittedOnDailyAt": "2026-08-07T00:00:00.000Z",
        "title": "Kite",
        "summary": "A kite listens.",
        "upvotes": 3,
    } | details
    made: Json = {"paper": {key: value for key, value in paper.items() if value is not None}}
    return made | {"publishedAt": "2026-08-04T20:00:00.000Z", "title": "Kite", "numComments": 1}


def page_props(page: Page, entries: Sequence[Json]) -> Json:
    """Return the props of a page that lists the entries."""
    key = "searchResults" if page.kind is Kind.SEARCH else "dailyPapers"
    return {"canSubmit": False, "dailyPapers": [], "query": {}} | PAGES[page][1] | {key: entries}


def html_page(data: object, inside: str = "") -> bytes:
    """Return a page with the props as JSON, and with the markup inside the element."""
    return html_page_with_raw_props(json.dumps(data, ensure_ascii=False), inside)


def html_page_with_raw_props(data: str, inside: str = "") -> bytes:
    """Return a page with any text as its props."""
    body = (
        '<!doctype html>\n<html class=""><head><meta charset="utf-8" /></head><body><!--[--><main>'
        '<div class="SVELTE_HYDRATER contents" data-target="MainHeader" data-props="{}"></div>'
        '<div class="SVELTE_HYDRATER contents" data-target="DailyPapers"'
        f' data-props="{escape(data)}">{inside}</div></main><!--]--></body></html>'
    )
    return body.encode("utf-8", "surrogatepass")


def card_html(
    name: str = "2608.99002", *, votes: str = "7", authors: str = "2", extra: str = ""
) -> str:
    """Return a minimal rendered card."""
    return (
        f'<article><a href="/login?next=%2Fpapers%2F{name}"><div>{votes}</div></a>'
        f'<h3><a href="/papers/{name}">A card</a></h3><ul><li>{authors} authors</li></ul>'
        f"{extra}</article>"
    )


def make_paper(name: str = "2608.99001", **details: Any) -> Paper:
    known: Json = {
        "title": "Kite",
        "abstract": "A kite listens.",
        "authors": ("Odalys Brandt",),
        "author_count": 1,
        "submitted": date(2026, 8, 5),
        "listed": date(2026, 8, 7),
    }
    return Paper(id=name, **(known | details))


def make_listing(
    *papers: Paper,
    page: Page = DAY,
    fetched_at: datetime = FETCHED_AT,
    parsed_from: Source = "data",
    **details: Any,
) -> Listing:
    return Listing(
        page=page, papers=papers, fetched_at=fetched_at, parsed_from=parsed_from, **details
    )


def listing_to_json(listing: Listing) -> Json:
    """Return a listing as JSON data, without the tokens of its papers."""
    found: Json = json.loads(msgspec.json.encode(listing))
    for paper in found["papers"]:
        paper.pop("tokens", None)
    return found


def page_from_json(of: Mapping[str, str]) -> Page:
    return Page(Kind(of["kind"]), of["key"])


def make_card_paper(name: str = "2608.99001", **details: Any) -> Paper:
    """Return a paper with only the fields of a card."""
    return make_paper(name, **({"authors": (), "abstract": ""} | details))
