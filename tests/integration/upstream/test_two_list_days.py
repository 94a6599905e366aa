"""A paper on two list days: the date of the first, unless the later was served; later data."""

from datetime import date

import pytest

from feedsrv.feeds.deduplication import unite_listings
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Kind, Page
from feedsrv.web.app import create_app
from tests.support.builders import make_listing, make_paper
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper
from tests.support.waiting import wait_until

OLDER, NEWER = Page(Kind.DAY, "2026-08-04"), Page(Kind.DAY, "2026-08-10")
EARLIER_LISTING = make_listing(make_paper(listed=date(2026, 8, 4), upvotes=2), page=OLDER)
LATER_LISTING = make_listing(make_paper(listed=date(2026, 8, 10), upvotes=42), page=NEWER)


@pytest.fixture
def upstream_papers() -> list[Json]:
    """Return one paper on two list days, six days apart."""
    return [
        make_raw_paper(1, day=0, title="Causal tides", upvotes=42),
        make_raw_paper(1, day=4, title="Causal tides", upvotes=2),
        *(make_raw_paper(number, day=number - 10) for number in range(11, 14)),
    ]


def served_paper(service: Service) -> tuple[date | None, int]:
    """Return the list day and votes of the paper in feeds."""
    matches = service.get_feed(Feed(name="x", title="x", query="tides", sources=("daily",))).matches
    (paper,) = (match.paper for match in matches)
    return paper.listed, paper.upvotes


def test_a_paper_has_the_date_of_its_first_day_and_the_data_of_the_later_one(
    make_service: MakeService,
) -> None:
    service = make_service(history_days=6)
    list(service.refresh_stale())  # the newest day first
    assert served_paper(service) == (date(2026, 11, 18), 42)
    later = service.repository.get_listing(service.newest_day())
    assert later is not None
    assert later.papers[0].listed == date(2026, 11, 18), "also when the first day has left"


def test_a_served_date_does_not_change_while_the_window_fills(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = make_service(history_days=6)
    upstream.fail("/papers/date/2026-11-18")
    client = create_app(service).test_client()
    service.refresh_page(service.newest_day())
    clock.forward(minutes=1)
    first = client.get("/papers.atom")
    assert b"<published>2026-11-24T" in first.data
    upstream.recover()
    for _ in range(2):
        clock.forward(minutes=30)
        wait_until(service.scheduler.is_idle)
        list(service.refresh_stale())
        assert Page(Kind.DAY, "2026-11-18") in {
            page for page, stored in service.list_days.get() if stored
        }
        assert served_paper(service) == (date(2026, 11, 24), 42)


def test_differing_copies_have_the_earlier_day_and_the_data_of_the_later_one() -> None:
    (paper,) = unite_listings((LATER_LISTING, EARLIER_LISTING))
    assert (paper.listed, paper.upvotes) == (date(2026, 8, 4), 42)
