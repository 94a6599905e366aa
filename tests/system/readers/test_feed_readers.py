"""Feed readers subscribe to a running server, over real sockets."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Kind, Page
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.feed_readers import (
    FEED_READERS,
    Elfeed,
    FeedReader,
    Newsboat,
    ReaderLibrary,
    RequestLog,
    Rss2email,
    Sfeed,
)
from tests.support.servers import serve_wsgi
from tests.support.upstream import FakeUpstream, make_raw_paper

KEYWORD = "/papers.atom?q=causal"
TRENDING = Page(Kind.TRENDING)
ARXIV = "https://arxiv.org/abs"
TITLES = {
    f"{ARXIV}/2611.00001": "Causal lighthouses",
    f"{ARXIV}/2611.00003": "A study of lighthouse number 3",
    f"{ARXIV}/2611.00005": "Causality by the sea",
    f"{ARXIV}/2611.00006": "<i>Fog</i> & p < 0.05: a causal note",
    f"{ARXIV}/2611.00007": 'Zoë’s "causal" 灯台 &amp; more',
}
#: RSS does not define whether a title is text or HTML; rss2email treats it as HTML.
TITLES_AS_HTML: dict[tuple[type[FeedReader], str], dict[str, str]] = {
    (Rss2email, "rss"): {
        f"{ARXIV}/2611.00006": "_Fog_ & p < 0.05: a causal note",
        f"{ARXIV}/2611.00007": 'Zoë’s "causal" 灯台 & more',
    }
}
#: Sent mails do not change; sfeed identifies entries by id, title and link.
TITLES_AFTER_CHANGE: dict[type[FeedReader], set[str]] = {
    Rss2email: {"Causal lighthouses"},
    Sfeed: {"Causal lighthouses", "Causal lighthouses, revised"},
}
STORES_ONE_ENTRY_PER_ID = {Newsboat, Elfeed}
#: Statuses of three polls of an unchanged feed. newsboat 2.21 sends validators from the third poll
#: on, later releases from the second.
POLL_STATUSES = {Newsboat: ([200, 200, 304], [200, 304, 304]), Sfeed: ([200, 200, 200],)}
DEFAULT_POLL_STATUSES = ([200, 304, 304],)

Subscribe = Callable[..., FeedReader]


@pytest.fixture
def config(config: Config) -> Config:
    sea = Feed(name="sea", title="By the sea", query="sea OR lighthouse")
    return msgspec.structs.replace(config, feeds=config.feeds | {"sea": sea})


@pytest.fixture
def log(service: Service, upstream: FakeUpstream) -> RequestLog:
    for number in (6, 7):
        title = TITLES[f"{ARXIV}/2611.0000{number}"]
        upstream.papers.append(make_raw_paper(number, title=title, stars=number))
    return RequestLog(create_app(service))


@pytest.fixture
def server(log: RequestLog) -> Iterator[str]:
    with serve_wsgi(log) as url:
        yield url


@pytest.fixture
def subscribe(server: str, tmp_path: Path) -> Subscribe:
    """Return a function that opens a reader with these subscriptions."""

    def open_reader(kind: type[FeedReader], *paths: str) -> FeedReader:
        folder = tmp_path / kind.__name__
        folder.mkdir()
        return kind(folder, *(server + path for path in paths))

    return open_reader


@pytest.fixture(params=FEED_READERS, ids=[kind.__name__ for kind in FEED_READERS])
def kind(request: pytest.FixtureRequest) -> type[FeedReader]:
    found: type[FeedReader] = request.param
    return found


def expected_titles(suffix: str, kind: type[FeedReader]) -> dict[str, str]:
    return TITLES | TITLES_AS_HTML.get((kind, suffix), {})


@pytest.mark.parametrize("suffix", ["atom", "rss"])
def test_a_reader_has_the_feed_after_each_poll_and_new_votes_change_nothing(
    kind: type[FeedReader],
    suffix: str,
    subscribe: Subscribe,
    log: RequestLog,
    service: Service,
    upstream: FakeUpstream,
) -> None:
    titles = expected_titles(suffix, kind)
    client = subscribe(kind, f"/papers.{suffix}?q=causal")
    for _ in range(3):
        client.poll()
        assert sorted(client.rows()) == sorted(titles.items())
    assert log.statuses() in POLL_STATUSES.get(kind, DEFAULT_POLL_STATUSES)

    for paper in upstream.papers:
        paper |= {"upvotes": paper["upvotes"] + 100, "comments": 9, "stars": 4000}
    service.refresh_page(service.newest_day())
    client.poll()
    assert log.statuses() == ([304] if client.sends_validators else [200])
    assert sorted(client.rows()) == sorted(titles.items())


def test_a_reader_follows_a_feed_whose_papers_are_added_changed_and_removed(
    kind: type[FeedReader], subscribe: Subscribe, service: Service, upstream: FakeUpstream
) -> None:
    """All readers keep removed entries, and show only new entries as unread."""
    client = subscribe(kind, "/papers/trending.atom?q=causal")
    for _ in range(3):
        client.poll()
    assert sorted(client.rows()) == sorted(TITLES.items())
    if client.tracks_read:
        assert client.unread() == TITLES.keys()
        client.mark_all_read()

    first, *remaining = upstream.papers
    upstream.papers = [
        paper | {"upvotes": 0, "stars": 7 - index} for index, paper in enumerate(remaining)
    ]
    upstream.papers[1]["summary"] = "Whether fog causally delays ferries, seen again."
    upstream.papers.append(make_raw_paper(8, title="Causal buoys", authors=[]))
    service.refresh_page(TRENDING)
    service.refresh_page(service.newest_day())
    client.poll()
    expected = TITLES | {f"{ARXIV}/2611.00008": "Causal buoys"}
    assert sorted(client.rows()) == sorted(expected.items())
    if client.tracks_read:
        assert client.unread() == {f"{ARXIV}/2611.00008"}

    upstream.papers.append(first)
    service.refresh_page(TRENDING)
    client.poll()
    assert sorted(client.rows()) == sorted(expected.items()), "what comes back is still the same"
    if client.tracks_read:
        assert client.unread() == {f"{ARXIV}/2611.00008"}


def test_newsboat_sees_a_paper_added_in_the_second_in_which_another_was_removed(
    subscribe: Subscribe, service: Service, upstream: FakeUpstream
) -> None:
    """newsboat discards a body whose Last-Modified did not increase, but stores its ETag."""
    client = subscribe(Newsboat, "/papers/trending.atom?q=causal")
    for _ in range(3):
        client.poll()
    upstream.papers.pop()
    service.refresh_page(TRENDING)
    client.poll()
    upstream.papers.append(make_raw_paper(9, title="Causal gulls"))
    service.refresh_page(TRENDING)  # at the same time
    client.poll()
    expected = TITLES | {f"{ARXIV}/2611.00009": "Causal gulls"}
    assert sorted(client.rows()) == sorted(expected.items())


def test_a_reader_subscribes_to_a_feed_that_is_still_empty(
    kind: type[FeedReader], subscribe: Subscribe, service: Service, upstream: FakeUpstream
) -> None:
    client = subscribe(kind, "/papers.atom?q=walrus")
    client.poll()
    assert client.rows() == []
    upstream.papers.append(make_raw_paper(8, title="Walrus ahoy"))
    service.refresh_page(service.newest_day())
    client.poll()
    assert client.rows() == [(f"{ARXIV}/2611.00008", "Walrus ahoy")]


def test_a_reader_keeps_its_entries_while_upstream_is_down(
    kind: type[FeedReader],
    subscribe: Subscribe,
    log: RequestLog,
    upstream: FakeUpstream,
    clock: Clock,
) -> None:
    client = subscribe(kind, KEYWORD)
    client.poll()
    upstream.fail()
    clock.forward(days=2)
    client.poll()
    assert sorted(client.rows()) == sorted(TITLES.items())
    assert set(log.statuses()) <= {200, 304}


def test_a_changed_title_is_not_a_new_entry(
    kind: type[FeedReader], subscribe: Subscribe, service: Service, upstream: FakeUpstream
) -> None:
    client = subscribe(kind, "/papers/trending.atom?q=causal")
    client.poll()
    if client.tracks_read:
        client.mark_all_read()
    upstream.papers[0]["title"] = "Causal lighthouses, revised"
    service.refresh_page(TRENDING)
    client.poll()
    titles = {title for name, title in client.rows() if name.endswith("00001")}
    assert titles == TITLES_AFTER_CHANGE.get(kind, {"Causal lighthouses, revised"})
    if client.tracks_read:
        assert client.unread() == set()


def test_a_paper_of_two_feeds_is_shown_once_or_twice_depending_on_the_reader(
    kind: type[FeedReader], subscribe: Subscribe
) -> None:
    """RFC 4287 4.2.6 requires one id for a paper; some readers store one entry per id."""
    client = subscribe(kind, "/feeds/causal.atom", "/feeds/sea.atom")
    for _ in range(2):
        client.poll()
    names = [name for name, _ in client.rows()]
    assert set(names) == TITLES.keys() | {f"{ARXIV}/2611.00002", f"{ARXIV}/2611.00004"}
    assert names.count(f"{ARXIV}/2611.00005") == (1 if kind in STORES_ONE_ENTRY_PER_ID else 2)


def test_a_reader_shows_each_paper_of_a_union_once(
    kind: type[FeedReader], subscribe: Subscribe, log: RequestLog
) -> None:
    client = subscribe(kind, "/feeds/causal+sea.atom")
    for _ in range(2):
        client.poll()
    numbers = {
        f"{ARXIV}/2611.{number:05d}": f"A study of lighthouse number {number}" for number in (2, 4)
    }
    assert sorted(client.rows()) == sorted((TITLES | numbers).items())
    assert set(log.statuses()) <= {200, 304}


def test_the_reader_library_parses_the_json_feed(subscribe: Subscribe, log: RequestLog) -> None:
    client = subscribe(ReaderLibrary, "/papers.json?q=causal")
    for _ in range(3):
        client.poll()
        assert sorted(client.rows()) == sorted(TITLES.items())
    assert log.statuses() == [200, 304, 304]
