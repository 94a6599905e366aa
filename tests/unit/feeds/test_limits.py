"""How many papers a feed has."""

from datetime import date, timedelta

import pytest

from feedsrv.feeds.deduplication import merge_feeds, newest_first
from feedsrv.feeds.limits import default_limit
from feedsrv.models import Feed
from tests.support.builders import make_paper


@pytest.mark.parametrize(
    ("papers_per_day", "limit"),
    [
        ([], 50),
        ([10], 50),
        ([62], 62),
        ([62, 1], 63),
        ([20, 20, 20, 20], 60),
        ([1, 1, 1, 90], 50),
        ([92, 92, 92, 92], 276),
    ],
    ids=str,
)
def test_a_feed_has_fifty_papers_or_its_three_newest_list_days(
    papers_per_day: list[int], limit: int
) -> None:
    papers = [
        make_paper(f"2608.{day}{number:04d}", listed=date(2026, 8, 7) - timedelta(days=day))
        for day, count in enumerate(papers_per_day)
        for number in range(count)
    ]
    matches = merge_feeds([(Feed(name="x", title="x"), papers)])
    assert default_limit(matches) == limit


def test_search_hits_without_a_list_day_do_not_count_as_list_days() -> None:
    listed = [make_paper(f"2608.{n:05d}", listed=date(2026, 8, 4)) for n in range(60)]
    hits = [
        make_paper(f"2607.{n:05d}", listed=None, submitted=date(2026, 8, 5 + n)) for n in range(5)
    ]
    assert (
        default_limit(merge_feeds([(Feed(name="x", title="x"), newest_first([*listed, *hits]))]))
        == 65
    )
