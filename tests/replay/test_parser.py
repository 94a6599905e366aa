"""Parsing of captured pages, if their directory exists. The tests contain none of their text."""

import gzip
import importlib.util
import json
import re
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from feedsrv.models import Kind, Listing, Page, Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.matching import matches
from feedsrv.search.parser import URL_LIMITS, parse_query
from feedsrv.upstream.parser import parse_api_response, parse_page
from feedsrv.upstream.paths import page_path
from tests.support.builders import Json
from tests.support.paths import SHARED

REPLAY = SHARED / "replay"
DAYS = sorted(REPLAY.glob("days/*.json.gz"))
ERAS = sorted(REPLAY.glob("eras/*.json.gz"))
FETCHED_AT = datetime(2026, 8, 21, 12, tzinfo=UTC)
#: The newest captured day, its week and month.
PERIODS = {
    Page(Kind.DAY, "2026-08-21"): "date=2026-08-21",
    Page(Kind.WEEK, "2026-W34"): "week=2026-W34",
    Page(Kind.MONTH, "2026-08"): "month=2026-08",
}

pytestmark = pytest.mark.skipif(not ERAS, reason="no captures: ../shared/replay is not there")


def page_listing(body: bytes, page: Page) -> Listing:
    url = f"https://huggingface.co{page_path(page)}"
    return parse_page(body, url, requested=page, fetched_at=FETCHED_AT)


def api_listing(entries: object, page: Page) -> Listing:
    body = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return parse_api_response(
        body, "https://huggingface.co/api", requested=page, fetched_at=FETCHED_AT
    )


def ids_and_counters(papers: tuple[Paper, ...]) -> list[tuple[str, int, int]]:
    return [(paper.id, paper.upvotes, paper.comments) for paper in papers]


def assert_same_papers(found: tuple[Paper, ...], expected: tuple[Paper, ...]) -> None:
    # Compare ids and numbers: a failure must not print the text of papers.
    assert ids_and_counters(found) == ids_and_counters(expected)
    assert [paper.id for paper, other in zip(found, expected, strict=True) if paper != other] == []


# --- responses of the API --------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", [*ERAS, *DAYS], ids=lambda file: f"{file.parent.name}-{file.name[:10]}"
)
def test_every_paper_of_a_captured_day_is_parsed(file: Path) -> None:
    body, day = gzip.decompress(file.read_bytes()), file.name[:10]
    entries = json.loads(body)
    listing = api_listing(body, Page(Kind.DAY, day))
    assert (listing.page.key, listing.skipped) == (day, ())
    assert ids_and_counters(listing.papers) == [
        (entry["paper"]["id"], entry["paper"]["upvotes"], entry["numComments"]) for entry in entries
    ]
    for paper, entry in zip(listing.papers, entries, strict=True):
        shown = [who for who in entry["paper"]["authors"] if not who["hidden"]]
        assert paper.listed == date.fromisoformat(day)
        assert f"{paper.submitted}" == entry["paper"]["publishedAt"][:10]
        assert len(paper.authors) == paper.author_count == len(shown)
        assert paper.is_arxiv
        assert paper.abstract
        assert not re.search(r"\s\s|\n", paper.title)
        assert bool(paper.code) == ("githubRepo" in entry["paper"])
        assert bool(paper.project) == ("projectPage" in entry["paper"])
        assert not re.search(r"\s", paper.code + paper.project + "".join(paper.media))
        assert bool(paper.media) == bool(entry.get("mediaUrls") or entry.get("mediaUrl"))
        assert bool(paper.organization) == (
            "organization" in entry or "submitterOrganization" in entry
        )


@pytest.mark.parametrize(
    "file", [*ERAS, *DAYS], ids=lambda file: f"{file.parent.name}-{file.name[:10]}"
)
def test_the_title_of_every_captured_paper_is_a_query_that_matches_it(file: Path) -> None:
    listing = api_listing(gzip.decompress(file.read_bytes()), Page(Kind.DAY, file.name[:10]))
    missed = [
        paper.id
        for paper in map(analyze, listing.papers)
        if not matches(parse_query(paper.title, URL_LIMITS), paper)
    ]
    assert missed == []


def test_the_newest_papers_without_a_date_are_cut_to_their_newest_day() -> None:
    body = (REPLAY / "captures" / "api-daily-limit30-2026-06-13.json").read_bytes()
    days = [entry["paper"]["submittedOnDailyAt"][:10] for entry in json.loads(body)]
    listing = api_listing(body, Page(Kind.DAY, "2026-06-13"))
    assert listing.page.key == max(days)
    assert len(listing.papers) == days.count(max(days))


def test_a_captured_search_returns_all_its_papers() -> None:
    body = (REPLAY / "captures" / "api-search-q-kazakh-2025-05.json").read_bytes()
    listing = api_listing(body, Page(Kind.SEARCH, "kazakh"))
    assert len(listing.papers) == len(json.loads(body)) > 0
    assert listing.skipped == ()


# --- the raw page of 2024 --------------------------------------------------------------------


@pytest.fixture(scope="module")
def page_of_2024() -> bytes:
    return (REPLAY / "captures" / "page-daily-2024-08-01-date-query.html").read_bytes()


def read_2024(body: bytes) -> Listing:
    page = Page(Kind.DAY, "2024-08-01")
    return parse_page(
        body, "https://huggingface.co/papers?date=2024-08-01", requested=page, fetched_at=FETCHED_AT
    )


def test_the_raw_page_of_2024_has_thirteen_papers(page_of_2024: bytes) -> None:
    listing = read_2024(page_of_2024)
    assert (listing.page.key, listing.parsed_from, listing.skipped) == ("2024-08-01", "data", ())
    assert (listing.previous_day, listing.next_day) == ("2024-07-31", "2024-08-02")
    assert len(listing.papers) == 13
    assert {paper.listed for paper in listing.papers} == {date(2024, 8, 1)}


def test_the_cards_of_the_raw_page_of_2024_have_the_same_papers(page_of_2024: bytes) -> None:
    without = page_of_2024.replace(b' data-target="DailyPapers"', b"")
    assert without != page_of_2024
    cards, data = read_2024(without), read_2024(page_of_2024)
    assert (cards.page, cards.parsed_from) == (data.page, "cards")
    assert ids_and_counters(cards.papers) == ids_and_counters(data.papers)
    differing = [
        paper.id
        for paper, other in zip(cards.papers, data.papers, strict=True)
        # Cards include hidden authors in the count.
        if paper.title != other.title or not 0 <= paper.author_count - other.author_count <= 1
    ]
    assert differing == []


# --- pages built from the captures -----------------------------------------------------------


@pytest.fixture(scope="module")
def replay() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hf_replay", REPLAY / "hf_replay.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ReplaySite:
    """The pages and responses of the replay, without its server."""

    def __init__(self, replay: ModuleType, *, redirects: bool = True) -> None:
        archive = replay.Archive(
            replay.load_days(REPLAY / "days"), replay.load_days(REPLAY / "eras"), None
        )
        self.archive: Any = archive
        self._handler: Any = replay.Replay.__new__(replay.Replay)
        self._handler.server = SimpleNamespace(archive=archive, redirects=redirects)

    def get(self, path: str, fault: str | None = None) -> Any:
        self._handler.path = path
        kind, value = self._handler.render(fault)
        assert kind in {"html", "json"}
        return value

    @cache  # noqa: B019  # one site lives as long as its module
    def listing(self, page: Page, fault: str | None = None) -> Listing:
        return page_listing(self.get(page_path(page), fault), page)


@pytest.fixture(scope="module")
def site(replay: ModuleType) -> ReplaySite:
    return ReplaySite(replay)


def api_response(site: ReplaySite, page: Page) -> list[Json]:
    """Return the API's entries for the page; the API limits a response to a hundred."""
    if page in PERIODS:
        every: list[Json] = []
        while part := site.get(
            f"/api/daily_papers?{PERIODS[page]}&limit=100&p={len(every) // 100}"
        ):
            every += part
        return every[:105]
    if page.kind is Kind.SEARCH:
        found: list[Json] = site.get(f"/api{page_path(page).replace('?', '/search?')}&limit=120")
        return found
    trending: list[Json] = site.archive.trending()
    return trending


PAGES = [*PERIODS, Page(Kind.TRENDING), *(Page(Kind.SEARCH, q) for q in ("causal", "3D-SIS world"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=str)


@each_page
def test_a_page_and_the_api_have_the_same_papers(site: ReplaySite, page: Page) -> None:
    listing = site.listing(page)
    api = api_listing(api_response(site, page), page)
    assert (listing.page, listing.parsed_from, listing.skipped) == (page, "data", ())
    assert len(listing.papers) > 5
    assert_same_papers(listing.papers, api.papers)


@each_page
def test_cards_have_the_same_ids_and_titles_as_the_data(site: ReplaySite, page: Page) -> None:
    data = site.listing(page)
    cards = site.listing(page, "cards-only")
    assert (cards.page, cards.parsed_from) == (page, "cards")
    differing = [
        (paper.id, other.id)
        for paper, other in zip(cards.papers, data.papers, strict=True)
        if (paper.id, paper.title, paper.upvotes) != (other.id, other.title, other.upvotes)
    ]
    assert differing == []


@each_page
def test_broken_data_loses_only_the_first_paper(site: ReplaySite, page: Page) -> None:
    broken = site.listing(page, "badjson")
    lost = 0 if page.kind is Kind.SEARCH else 1  # the damage is in the daily papers
    assert (broken.parsed_from, len(broken.skipped)) == ("data", lost)
    assert_same_papers(broken.papers, site.listing(page).papers[lost:])


@pytest.mark.parametrize("file", ERAS, ids=lambda file: file.name[:10])
def test_a_page_of_any_era_has_the_papers_of_the_api(replay: ModuleType, file: Path) -> None:
    day = file.name[:10]
    page = Page(Kind.DAY, day)
    entries = json.loads(gzip.decompress(file.read_bytes()))
    props = {"dailyPapers": entries, "dateString": day, "periodType": "day", "query": {}}
    cards = "".join(replay.day_card(entry, int(day[:4])) for entry in entries)
    label = f'<time datetime="{day}"></time>'
    whole = replay.page(props, cards, "Daily Papers", label)
    listing = page_listing(whole, page)
    assert_same_papers(listing.papers, api_listing(entries, page).papers)
    bare = page_listing(whole.replace(b' data-target="DailyPapers"', b""), page)
    assert bare.parsed_from == "cards"
    assert ids_and_counters(bare.papers) == ids_and_counters(listing.papers)


@pytest.mark.parametrize(
    ("requested", "returned"), [("2026-08-20", "2026-08-20"), ("2026-08-22", "2026-08-21")]
)
def test_cards_of_the_site_have_stars_and_the_day(
    replay: ModuleType, monkeypatch: pytest.MonkeyPatch, requested: str, returned: str
) -> None:
    monkeypatch.setattr(replay, "REAL_CARDS", True)
    site = ReplaySite(replay, redirects=False)
    page = Page(Kind.DAY, requested)
    cards, data = site.listing(page, "cards-only"), site.listing(page)
    assert (cards.page.key, cards.previous_day) == (returned, data.previous_day)
    assert {paper.listed for paper in cards.papers} == {date.fromisoformat(returned)}
    assert ids_and_counters(cards.papers) == ids_and_counters(data.papers)
    stars = [
        (shown.stars, paper.stars) for shown, paper in zip(cards.papers, data.papers, strict=True)
    ]
    assert all(shown == pytest.approx(stored, rel=0.01) for shown, stored in stars)
    assert sum(shown for shown, _ in stars) > 0
