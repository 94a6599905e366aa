"""A paper on two list days: the date that it was served with first, the facts of the later day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from feedsrv.feeds.selection import unite_listings
from feedsrv.models import Kind, Listing, Page, Paper
from feedsrv.storage.repository import Repository
from feedsrv.upstream.refresh import keep_list_days, merge_refresh
from tests.support.builders import make_listing, make_paper
from tests.support.stores import disk_store

OLDER, NEWER = Page(Kind.DAY, "2026-08-04"), Page(Kind.DAY, "2026-08-10")
FIRST = make_listing(make_paper(listed=date(2026, 8, 4), upvotes=2), page=OLDER)
AGAIN = make_listing(make_paper(listed=date(2026, 8, 10), upvotes=42), page=NEWER)


@pytest.fixture
def store(tmp_path: Path) -> Repository:
    return disk_store(tmp_path, "https://huggingface.co")


def save(store: Repository, fresh: Listing) -> None:
    """Store the listing as the refresher does."""
    days = (store.get_listing(page) for page in (NEWER, OLDER))
    dated = keep_list_days(fresh, (each for each in days if each is not None))
    store.save_listing(merge_refresh(store.get_listing(fresh.page), dated), fresh.page)


def served(store: Repository) -> Paper:
    """Return the paper as a feed of the window has it, the newest day first."""
    listings = (store.get_listing(page) for page in (NEWER, OLDER))
    (paper,) = unite_listings(tuple(each for each in listings if each is not None))
    return paper


def test_the_first_day_dates_a_paper_and_the_later_one_has_its_facts(store: Repository) -> None:
    save(store, FIRST)
    assert (served(store).listed, served(store).upvotes) == (date(2026, 8, 4), 2)
    save(store, AGAIN)
    assert (served(store).listed, served(store).upvotes) == (date(2026, 8, 4), 42)


def test_a_date_that_was_served_does_not_move_when_an_older_day_is_read(store: Repository) -> None:
    save(store, AGAIN)
    assert (served(store).listed, served(store).upvotes) == (date(2026, 8, 10), 42)
    save(store, FIRST)
    assert (served(store).listed, served(store).upvotes) == (date(2026, 8, 10), 42)
    for fresh in (AGAIN, FIRST, AGAIN):
        save(store, fresh)
        assert (served(store).listed, served(store).upvotes) == (date(2026, 8, 10), 42)


def test_copies_that_disagree_have_the_earlier_day_and_the_facts_of_the_later() -> None:
    (paper,) = unite_listings((AGAIN, FIRST))
    assert (paper.listed, paper.upvotes) == (date(2026, 8, 4), 42)
