"""The searchable window of list days."""

import msgspec

from feedsrv.feeds.window import Window
from feedsrv.models import Kind, Page
from feedsrv.search.index import Index
from tests.support.builders import DAY, make_listing


def test_window_is_current_while_it_has_the_same_listings() -> None:
    listing = make_listing()
    day_before = Page(Kind.DAY, "2026-08-06")
    window = Window(((DAY, listing), (day_before, None)), Index(listing.papers))
    assert [(day.date.isoformat(), day.is_fetched) for day in window.days] == [
        ("2026-08-06", False),
        ("2026-08-07", True),
    ]
    assert window.is_current(((DAY, listing), (day_before, None)))
    assert not window.is_current(((DAY, listing),))
    assert not window.is_current(((DAY, msgspec.structs.replace(listing)), (day_before, None)))
    assert not window.is_current(((DAY, listing), (Page(Kind.DAY, "2026-08-05"), None)))
