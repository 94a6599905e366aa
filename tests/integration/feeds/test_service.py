"""The service: fetching, freshness, failures and the options of feeds."""

import threading
import time

import pytest
from werkzeug.wrappers import Response

from feedsrv.errors import NoDataYetError, ParseError, UnknownFeedError, UpstreamError
from feedsrv.feeds import atom
from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.entry import build_entries
from feedsrv.feeds.metadata import feed_metadata
from feedsrv.feeds.results import FeedResult
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Kind, Match, Page, Source
from tests.support.clock import Clock
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until


def make_feed(query: str = "causal", *sources: Source, limit: int = 50) -> Feed:
    sources = sources or ("daily", "search")
    return Feed(name="x", title="x", query=query, sources=sources, limit=limit)


def paper_numbers(result: FeedResult) -> list[str]:
    return [match.paper.id[-1] for match in result.matches]


def test_a_keyword_feed_fetches_the_newest_day_and_the_search_page(
    service: Service, upstream: FakeUpstream
) -> None:
    result = service.get_feed(make_feed())
    assert paper_numbers(result) == ["3", "1", "5"], "newest first by list day and id"
    assert sorted(upstream.requests)[:2] == ["/papers/date/2026-11-24", "/papers?q=causal"]


def test_a_second_request_sends_nothing_upstream(service: Service, upstream: FakeUpstream) -> None:
    service.get_feed(make_feed())
    request_count = len(upstream.requests)
    assert paper_numbers(service.get_feed(make_feed())) == ["3", "1", "5"]
    assert len(upstream.requests) == request_count


def test_another_server_on_the_same_store_sends_nothing_upstream(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    make_service().get_feed(make_feed())
    request_count = len(upstream.requests)
    assert paper_numbers(make_service().get_feed(make_feed())) == ["3", "1", "5"]
    assert len(upstream.requests) == request_count


def test_a_stale_listing_is_served_and_refreshed(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    daily = make_feed("", "daily")
    service.get_feed(daily)
    upstream.papers.append(make_raw_paper(9))
    clock.forward(minutes=19)
    service.get_feed(daily)
    assert upstream.requests == ["/papers/date/2026-11-24"]
    clock.forward(minutes=2)
    assert "9" not in paper_numbers(service.get_feed(daily)), "the stored listing is served at once"
    wait_until(lambda: "9" in paper_numbers(service.get_feed(daily)))
    assert upstream.requests == ["/papers/date/2026-11-24"] * 2


@pytest.mark.parametrize(
    ("source", "hours"), [("trending", 1), ("week", 1), ("month", 1), ("search", 24)]
)
def test_each_kind_of_page_is_refreshed_after_its_ttl(
    service: Service, upstream: FakeUpstream, clock: Clock, source: Source, hours: int
) -> None:
    source_feed = make_feed("causal", source)
    service.get_feed(source_feed)
    assert len(upstream.requests) == 1
    clock.forward(hours=hours, seconds=-1)
    service.get_feed(source_feed)
    assert len(upstream.requests) == 1
    clock.forward(seconds=2)
    service.get_feed(source_feed)
    wait_until(lambda: len(upstream.requests) == 2)


def test_on_a_weekend_fridays_page_is_fetched_once(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    clock.forward(days=4)  # a Saturday
    daily = make_feed("", "daily")
    before = service.get_feed(daily)
    assert paper_numbers(service.get_feed(daily)) == paper_numbers(before)
    assert upstream.requests == ["/papers/date/2026-11-27"]
    assert {str(each.paper.listed) for each in before.matches} == {"2026-11-27"}


def test_on_a_holiday_the_previous_list_is_stored_under_its_own_day(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.today = lambda: clock.today().replace(day=23)
    daily = make_feed("", "daily")
    before = service.get_feed(daily)
    assert paper_numbers(service.get_feed(daily)) == paper_numbers(before)
    assert upstream.requests == ["/papers/date/2026-11-24", "/papers/date/2026-11-23"]
    assert {str(each.paper.listed) for each in before.matches} == {"2026-11-23"}


def test_last_weeks_list_is_served_until_this_week_has_one(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.today = lambda: clock.today().replace(day=20)
    weekly = make_feed("", "week")
    assert len(service.get_feed(weekly).matches) == 5
    assert upstream.requests == ["/papers/week/2026-W48", "/papers/week/2026-W47"]
    service.get_feed(weekly)
    assert len(upstream.requests) == 2


def test_yesterdays_list_stays_in_the_feed_when_a_new_day_begins(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service = make_service(history_days=2)
    daily = make_feed("", "daily")
    service.get_feed(daily)
    wait_until(lambda: paper_numbers(service.get_feed(daily)) == ["3", "2", "1", "5", "4"])
    upstream.papers = [paper | {"day": paper["day"] + 1} for paper in upstream.papers]
    upstream.papers.append(make_raw_paper(7))
    clock.forward(days=1)
    service.get_feed(daily)
    wait_until(lambda: paper_numbers(service.get_feed(daily)) == ["7", "3", "2", "1"])


def test_a_list_that_shrank_loses_no_papers(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    daily = make_feed("", "daily")
    service.get_feed(daily)
    del upstream.papers[1:3]
    clock.forward(hours=1)
    service.get_feed(daily)
    wait_until(lambda: len(upstream.requests) == 2)
    assert paper_numbers(service.get_feed(daily)) == ["3", "2", "1"]


# --- when upstream fails -----------------------------------------------------------------------


def test_the_last_good_listing_is_served_while_upstream_fails(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    before = paper_numbers(service.get_feed(make_feed()))
    upstream.fail()
    clock.forward(hours=25)
    assert paper_numbers(service.get_feed(make_feed())) == before
    wait_until(lambda: len(upstream.requests) >= 6)
    assert paper_numbers(service.get_feed(make_feed())) == before


def test_a_page_that_cannot_be_parsed_never_replaces_a_listing(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    before = paper_numbers(service.get_feed(make_feed()))
    upstream.intercept = lambda path: Response("<html><main>Redesigned.</main></html>")
    clock.forward(hours=25)
    service.get_feed(make_feed())
    wait_until(lambda: len(upstream.requests) >= 6)
    assert paper_numbers(service.get_feed(make_feed())) == before


def test_without_stored_data_the_error_has_the_reason_and_retry_after(
    service: Service, upstream: FakeUpstream
) -> None:
    upstream.fail()
    with pytest.raises(NoDataYetError, match="HTTP 503") as caught:
        service.get_feed(make_feed())
    assert caught.value.retry_after == 60
    assert isinstance(caught.value.__cause__, UpstreamError)


def test_after_a_failure_no_request_is_sent_during_the_backoff(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.fail()
    with pytest.raises(NoDataYetError):
        make_service().get_feed(make_feed())
    request_count = len(upstream.requests)
    clock.forward(seconds=59)
    with pytest.raises(NoDataYetError) as caught:
        make_service().get_feed(make_feed())
    assert caught.value.retry_after == 1
    assert len(upstream.requests) == request_count
    upstream.recover()
    clock.forward(seconds=2)
    assert paper_numbers(make_service().get_feed(make_feed())) == ["3", "1", "5"]


def test_consecutive_failures_back_off_up_to_half_an_hour(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    upstream.fail()
    waits = []
    for _ in range(7):
        with pytest.raises(NoDataYetError) as caught:
            service.get_feed(make_feed("", "daily"))
        waits.append(caught.value.retry_after)
        clock.forward(seconds=caught.value.retry_after)
    assert waits == [60, 120, 240, 480, 960, 1800, 1800]


def test_the_backoff_is_at_least_retry_after(service: Service, upstream: FakeUpstream) -> None:
    upstream.intercept = lambda path: Response("", 429, {"Retry-After": "200"})
    with pytest.raises(NoDataYetError) as caught:
        service.get_feed(make_feed("", "daily"))
    assert caught.value.retry_after == 200


def test_the_api_is_requested_when_the_page_fails(service: Service, upstream: FakeUpstream) -> None:
    upstream.fail("/papers")
    assert paper_numbers(service.get_feed(make_feed())) == ["3", "1", "5"]
    assert "/api/daily_papers?limit=100" in upstream.requests
    assert "/api/papers/search?q=causal&limit=120" in upstream.requests


def test_one_page_of_two_is_enough_for_a_result(service: Service, upstream: FakeUpstream) -> None:
    upstream.intercept = lambda path: Response("", 503) if "q=" in path else None
    result = service.get_feed(make_feed())
    assert paper_numbers(result) == ["3", "1"]
    assert result.poll_after <= service.now(), "so that readers soon request the rest"


def test_a_reader_waits_no_longer_than_the_deadline(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    gate = threading.Event()

    def hang(path: str) -> Response | None:
        gate.wait(10)
        return None

    upstream.intercept = hang
    service = make_service(deadline=0.3)
    with pytest.raises(NoDataYetError, match=r"0\.3 seconds|timed out"):
        service.get_feed(make_feed())
    gate.set()


def test_a_forced_refresh_fetches_the_page_even_if_it_is_fresh(
    service: Service, upstream: FakeUpstream
) -> None:
    page = service.newest_day()
    assert service.refresh_page(page).page == Page(Kind.DAY, "2026-11-24")
    service.refresh_page(page)
    assert len(upstream.requests) == 2
    upstream.intercept = lambda path: Response("<html></html>")
    with pytest.raises(ParseError):
        service.refresh_page(page)


def test_concurrent_requests_for_one_feed_fetch_each_page_once(
    service: Service, upstream: FakeUpstream
) -> None:
    found: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(paper_numbers(service.get_feed(make_feed()))))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["3", "1", "5"]] * 20
    assert sorted(upstream.requests) == ["/papers/date/2026-11-24", "/papers?q=causal"]


def test_an_unexpected_error_in_a_refresh_is_logged(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("feedsrv.upstream.fetch.parse_page", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(NoDataYetError, match="unexpected error") as caught:
        service.get_feed(make_feed("", "daily"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    wait_until(lambda: "day 2026-11-24: unexpected error" in caplog.text)


def test_a_skipped_paper_is_logged_with_its_id(
    service: Service, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.papers += [make_raw_paper(number) for number in range(10, 21)]
    upstream.papers.append(make_raw_paper(99, title=17))
    assert len(service.get_feed(make_feed("", "daily")).matches) == 14
    assert "2611.00099" in caplog.text


# --- options of feeds --------------------------------------------------------------------------


def test_a_feed_has_as_many_papers_as_its_limit(service: Service) -> None:
    result = service.get_feed(make_feed("", "daily", limit=2))
    assert paper_numbers(result) == ["3", "2"]
    assert result.papers_searched == 3


def test_search_hits_must_match_the_query_unless_the_feed_trusts_upstream(
    service: Service,
) -> None:
    strict = make_feed("causal lake", "search")
    assert paper_numbers(service.get_feed(strict)) == []
    trusted = Feed(name="x", title="x", query=strict.query, sources=("search",), match="upstream")
    assert paper_numbers(service.get_feed(trusted)) == ["3", "1", "5"]


def test_a_query_of_exclusions_only_uses_the_list_days(
    service: Service, upstream: FakeUpstream
) -> None:
    assert paper_numbers(service.get_feed(make_feed("-causal"))) == ["2"]
    assert upstream.requests == ["/papers/date/2026-11-24"]


def test_counters_are_those_of_the_last_fetch(
    service: Service, upstream: FakeUpstream, clock: Clock
) -> None:
    popular = make_feed("upvotes:>=40", "daily")
    assert paper_numbers(service.get_feed(popular)) == []
    upstream.papers[0]["upvotes"] = 41
    clock.forward(hours=1)
    service.get_feed(popular)
    wait_until(lambda: paper_numbers(service.get_feed(popular)) == ["1"])


def test_an_unknown_feed_name_is_an_error_with_the_known_names(service: Service) -> None:
    assert service.get_configured_feed("causal").title == "Causal matters"
    with pytest.raises(UnknownFeedError) as caught:
        service.get_configured_feed("nope")
    assert caught.value.known == ("causal",)


def test_the_api_is_preferred_to_cards(service: Service, upstream: FakeUpstream) -> None:
    def cards(path: str) -> Response | None:
        if path.startswith("/api"):
            return None
        return Response(
            '<time datetime="2026-11-24"></time>'
            '<article><h3><a href="/papers/2611.00001">A title</a></h3></article>'
        )

    upstream.intercept = cards
    listing = service.refresh_page(service.newest_day())
    assert listing.parsed_from == "api"
    assert listing.papers[0].authors


def test_after_a_warm_up_the_entries_of_the_newest_papers_are_rendered(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    papers = service.refresh_page(service.newest_day()).papers
    atom._entry_xml.cache_clear()
    service.warm_up()
    monkeypatch.setattr(atom, "build_entry", None)
    feed = make_feed()
    metadata = feed_metadata([feed], demo=False, self_url="", page_url="", icon_url="")
    document = render_atom(metadata, build_entries([Match(paper, (feed,)) for paper in papers]))
    assert document.count(b"<entry>") == len(papers) > 1


def test_many_new_keywords_do_not_delay_stored_feeds(
    make_service: MakeService, upstream: FakeUpstream
) -> None:
    service = make_service(deadline=8.0)
    before = paper_numbers(service.get_feed(make_feed()))
    gate = threading.Event()

    def hang(path: str) -> None:
        if "q=" in path:
            gate.wait(20)

    upstream.intercept = hang
    started = time.monotonic()
    threads = [
        threading.Thread(target=service.get_feed, args=(make_feed(f"tides OR word{number}"),))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(thread.is_alive() for thread in threads) <= 8)
    assert paper_numbers(service.get_feed(make_feed())) == before
    assert time.monotonic() - started < 7, "well before the deadline of the waiting requests"
    gate.set()
    for thread in threads:
        thread.join()


def test_an_awaited_list_day_is_fetched_before_searches(
    service: Service, upstream: FakeUpstream
) -> None:
    gate, first = threading.Event(), threading.Event()

    def hold(path: str) -> None:
        first.set()
        gate.wait(10)

    upstream.intercept = hold
    keywords = [
        threading.Thread(target=service.get_feed, args=(make_feed(f"word{number}", "search"),))
        for number in range(3)
    ]
    for thread in keywords:
        thread.start()
    first.wait(10)
    day = threading.Thread(target=service.get_feed, args=(make_feed("", "daily"),))
    day.start()
    wait_until(lambda: service.newest_day() in service.scheduler._awaited)
    gate.set()
    for thread in (*keywords, day):
        thread.join()
    assert upstream.requests[1] == "/papers/date/2026-11-24"


def test_a_union_is_served_if_one_of_its_feeds_has_data(
    service: Service, upstream: FakeUpstream
) -> None:
    trending = make_feed("", "trending")
    service.get_feed(trending)
    upstream.fail()
    result = service.get_feed(make_feed("", "month"), trending)
    assert len(result.matches) == 5
    assert result.poll_after <= service.now()
    with pytest.raises(NoDataYetError):
        service.get_feed(make_feed("", "month"), make_feed("", "week"))
