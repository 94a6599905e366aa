"""Digest feeds in feed readers: one new item per period, without duplicates."""

from pathlib import Path

import pytest

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.feed_readers import FeedReader, Newsboat, ReaderLibrary
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper


def pass_a_day(service: Service, upstream: FakeUpstream, clock: Clock) -> None:
    """Advance a day, change votes and abstracts, add a paper, and refresh."""
    clock.forward(days=1)
    for paper in upstream.papers:
        paper |= {"day": paper["day"] + 1, "upvotes": paper["upvotes"] + 7, "summary": "Rewritten."}
    upstream.papers.append(make_raw_paper(len(upstream.papers), title="Causal news"))
    for _ in service.refresh_stale():
        pass


@pytest.mark.parametrize("kind", [Newsboat, ReaderLibrary])
def test_a_reader_shows_each_daily_digest_once(
    kind: type[FeedReader],
    make_service: MakeService,
    upstream: FakeUpstream,
    clock: Clock,
    tmp_path: Path,
) -> None:
    upstream.papers = [make_raw_paper(n, day=n, title="Causal tides") for n in range(3)]
    service = make_service(history_days=3)
    for _ in service.refresh_stale():
        pass
    with serve_wsgi(create_app(service)) as url:
        reader = kind(tmp_path, f"{url}/papers.atom?q=causal&digest=day")
        reader.poll()
        assert len(reader.rows()) == 2
        for day in ("24", "25"):
            reader.mark_all_read()
            pass_a_day(service, upstream, clock)
            for _ in range(2):
                reader.poll()
                assert len(reader.unread()) == 1
            titles = [title for name, title in reader.rows() if name in reader.unread()]
            assert titles == [f"Daily Papers: causal: 1 paper, {day} November"]
        assert len(reader.rows()) == 4
