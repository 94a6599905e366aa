"""What caches and readers rely on, byte by byte: the server that users run, over real sockets."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from werkzeug.datastructures import Headers

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Kind, Page
from feedsrv.web.app import create_app
from feedsrv.web.server import Server as Production
from tests.support.clock import Clock
from tests.support.processes import start_function
from tests.support.stores import disk_store
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

FEED = "/papers.atom?q=causal"
FEEDS = [
    FEED,
    "/papers.rss",
    "/papers.json?limit=2",
    "/papers",
    "/papers?q=causal",
    "/papers/trending.atom",
    "/papers/week.rss",
    "/status.atom",
    "/papers/month",
    "/feeds/causal.atom",
    "/feeds/causal.json",
    "/feeds/causal",
    "/feeds.opml",
    "/feeds.opml?format=rss",
]
OTHERS = ["/", "/healthz", "/favicon.ico", "/static/style.css"]
WRONG = ["/papers.atom?q=%28", "/papers.atom?limit=0", "/feeds/none.atom", "/nothing"]
TRENDING = Page(Kind.TRENDING)
TRENDING_FEED = "/papers/trending.atom"

Step = Callable[..., "Answer"]


class Answer(NamedTuple):
    status: int
    headers: Headers
    #: Every byte that came after the headers, whatever they say of it.
    body: bytes

    @property
    def modified(self) -> datetime:
        return parsedate_to_datetime(self.headers["Last-Modified"])


class Server:
    """Asks a running server one question on each connection, and leaves nothing to a library."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, path: str, method: str = "GET", /, **headers: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
        given = {"Host": f"127.0.0.1:{self.port}"} | headers
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in given.items()]
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            with connection.makefile("rb") as answer:
                head, _, body = answer.read().partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        pairs = [field.split(": ", 1) for field in fields]
        return Answer(
            int(status.split()[1]), Headers([(name, value) for name, value in pairs]), body
        )


@contextmanager
def running(service: Service) -> Iterator[Server]:
    server = Production(create_app(service), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Server(server.port)
    finally:
        server.stop()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose papers stay as they are."""
    causal = Feed(name="causal", title="Causal matters", query="causal")
    folder = tmp_path_factory.mktemp("store")
    service = Service.open(
        Config(demo=True, spacing=0.0, history_days=1, cache_dir=folder, feeds={"causal": causal}),
        now=Clock(),
    )
    with running(service) as found:
        yield found
    service.close()


# --- etags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "status"),
    [
        ("W/{tag}", 304),
        ("{tag}", 304),
        ("*", 304),
        ('"other", W/{tag}', 304),
        ('W/"other",{tag},"third"', 304),
        ('"other"', 200),
        ('W/"other", "third"', 200),
        ('"{tag}"', 200),
        ("", 200),
    ],
)
def test_if_none_match_is_held_against_the_weak_etag(
    server: Server, shape: str, status: int
) -> None:
    """RFC 9110 13.1.2: any of a list, compared weakly."""
    first = server(FEED)
    assert first.headers["ETag"].startswith('W/"')
    tag = first.headers["ETag"].removeprefix("W/")
    again = server(FEED, If_None_Match=shape.format(tag=tag))
    assert again.status == status
    assert again.body == (b"" if status == 304 else first.body)


@pytest.mark.parametrize("path", FEEDS)
def test_every_address_has_validators_and_answers_304_to_those_who_send_them(
    server: Server, path: str
) -> None:
    """RFC 9110 15.4.5: a 304 repeats them, and has no body."""
    first = server(path)
    assert first.status == 200
    for again in (
        server(path, If_None_Match=first.headers["ETag"]),
        server(path, If_Modified_Since=first.headers["Last-Modified"]),
        server(path, "HEAD", If_None_Match=first.headers["ETag"]),
    ):
        assert again.status == 304
        assert again.body == b""
        for name in ("ETag", "Cache-Control", "Vary"):
            assert again.headers[name] == first.headers[name]
        assert again.headers.getlist("Link") == first.headers.getlist("Link")


def test_two_formats_and_two_feeds_have_etags_of_their_own(server: Server) -> None:
    tags = {server(path).headers["ETag"] for path in FEEDS}
    assert len(tags) == len(FEEDS)


# --- dates ---------------------------------------------------------------------------------------


def shown(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize(
    ("since", "status"),
    [
        (timedelta(0), 304),
        (timedelta(seconds=1), 304),
        (timedelta(days=400), 304),
        (timedelta(seconds=-1), 200),
        (timedelta(days=-1), 200),
    ],
)
def test_if_modified_since_alone_is_held_against_last_modified(
    server: Server, since: timedelta, status: int
) -> None:
    """Thunderbird sends nothing else."""
    first = server(FEED)
    assert server(FEED, If_Modified_Since=shown(first.modified + since)).status == status


@pytest.mark.parametrize(
    "since",
    [
        "Sat, 01 Jan 2000 00:00:00 GMT",  # what Thunderbird says at its first poll
        "yesterday",
        "",
        "0",
        "Tue, 99 Foo 2026 00:00:00 GMT",
        "2026-11-24T09:30:00Z junk",
    ],
)
def test_a_date_long_ago_or_none_at_all_gets_the_feed(server: Server, since: str) -> None:
    assert server(FEED, If_Modified_Since=since).status == 200


@pytest.mark.parametrize(
    ("tag", "since", "status"),
    [
        ("", timedelta(days=-1), 304),
        ("other", timedelta(days=1), 200),
        ("other", timedelta(0), 200),
        ("", timedelta(0), 304),
    ],
)
def test_if_none_match_beats_if_modified_since(
    server: Server, tag: str, since: timedelta, status: int
) -> None:
    """RFC 9110 13.1.3: with an etag, the date is not looked at."""
    first = server(FEED)
    tag = f'"{tag}"' if tag else first.headers["ETag"]
    date = shown(first.modified + since)
    assert server(FEED, If_None_Match=tag, If_Modified_Since=date).status == status


# --- HEAD ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*FEEDS, *OTHERS, *WRONG])
def test_head_is_get_without_its_body(server: Server, path: str) -> None:
    got, head = server(path), server(path, "HEAD")
    assert head.body == b""
    assert got.body
    assert head.status == got.status
    ignored = {"date", "server", "connection"}  # Date: a second may pass between the two
    kept = [
        [pair for pair in each.headers if pair[0].lower() not in ignored] for each in (got, head)
    ]
    assert kept[0] == kept[1]


# --- packing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        (None, False),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("br", False),
        ("identity, deflate;q=0.5", False),
        ("*", True),
        ("gzip", True),
        ("GZip", True),
        ("gzip, deflate, br", True),
        ("br;q=1, gzip;q=0.1", True),
        ("*;q=0, gzip", True),
    ],
)
@pytest.mark.parametrize("path", [FEED, "/papers.json", "/papers?q=causal"])
def test_a_body_is_packed_for_those_alone_who_take_that(
    server: Server, path: str, accepted: str | None, packed: bool
) -> None:
    plain = server(path)
    headers = {} if accepted is None else {"Accept_Encoding": accepted}
    answer = server(path, **headers)
    assert answer.headers.get("Content-Encoding") == ("gzip" if packed else None)
    assert (gzip.decompress(answer.body) if packed else answer.body) == plain.body
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    assert (len(answer.body) < len(plain.body)) is packed
    # Weak, and of the plain body: one for both forms.
    assert answer.headers["ETag"] == plain.headers["ETag"]
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in plain.headers


def test_whoever_holds_the_packed_body_gets_304_for_the_plain_one_too(server: Server) -> None:
    packed = server(FEED, Accept_Encoding="gzip")
    again = server(FEED, If_None_Match=packed.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    again = server(FEED, If_None_Match=packed.headers["ETag"], Accept_Encoding="gzip")
    assert (again.status, again.body) == (304, b"")


# --- other headers -------------------------------------------------------------------------------


def test_a_feed_of_differences_is_never_answered(server: Server) -> None:
    """A-IM is a hint, and rss2email fails over 226."""
    first = server(FEED, A_IM="feed")
    assert first.status == 200
    assert "IM" not in first.headers
    assert first.body == server(FEED).body
    assert server(FEED, A_IM="feed, gzip", If_None_Match='"other"').status == 200
    assert server(FEED, A_IM="feed", If_None_Match=first.headers["ETag"]).status == 304


@pytest.mark.parametrize("accept", ["application/rss+xml", "text/html", "image/png", "*/*;q=0"])
def test_what_a_reader_says_that_it_accepts_changes_nothing(server: Server, accept: str) -> None:
    """Some ask for RSS alone and take Atom all the same."""
    assert server(FEED, Accept=accept).body == server(FEED).body


@pytest.mark.parametrize("headers", [{"Range": "bytes=0-9"}, {"If_Range": '"x"'}])
def test_a_part_of_a_feed_is_never_answered(server: Server, headers: dict[str, str]) -> None:
    answer = server(FEED, **headers)
    assert (answer.status, answer.body) == (200, server(FEED).body)


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [
        ("", "text/html"),
        (".atom", "application/atom+xml"),
        (".rss", "application/rss+xml"),
        (".json", "application/feed+json"),
    ],
)
def test_link_headers_name_the_feed_itself_and_its_other_forms(
    server: Server, suffix: str, media_type: str
) -> None:
    root = f"http://127.0.0.1:{server.port}/papers"
    answer = server(f"/papers{suffix}?q=causal&utm_source=x")
    assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    links = answer.headers.getlist("Link")
    assert links[0] == f'<{root}{suffix}?q=causal>; rel="self"'
    others = {"": "text/html", ".atom": "application/atom+xml"}
    others |= {".rss": "application/rss+xml", ".json": "application/feed+json"}
    assert set(links[1:]) == {
        f'<{root}{other}?q=causal>; rel="alternate"; type="{its}"'
        for other, its in others.items()
        if other != suffix
    }
    for link in links:
        url = urlsplit(link[1 : link.index(">")])
        assert server(f"{url.path}?{url.query}").status == 200


# --- Last-Modified -------------------------------------------------------------------------------


#: The address is a part of what is stamped: one service has one, wherever its servers listen.
HOST = {"Host": "papers.example.org"}


@pytest.fixture
def changing(service: Service) -> Iterator[Server]:
    with running(service) as found:
        yield found


@pytest.fixture
def steps(changing: Server, service: Service, upstream: FakeUpstream) -> Step:
    """Return a function that lets trending list these papers, and asks for its feed."""

    def step(*titles: str) -> Answer:
        upstream.papers = [
            make_raw_paper(number, title=title) for number, title in enumerate(titles, 1)
        ]
        service.refresh_page(TRENDING)
        return changing(TRENDING_FEED)

    return step


def rises(*answers: Answer) -> bool:
    second = timedelta(seconds=1)
    return all(after.modified >= before.modified + second for before, after in pairwise(answers))


def test_last_modified_rises_with_each_change_within_the_same_second(steps: Step) -> None:
    """newsboat throws a body away whose Last-Modified did not rise."""
    answers = [
        steps("Kelp"),
        steps("Kelp", "Tides"),  # one came
        steps("Kelp"),  # and went: the bytes of before, and still a later date
        steps("Eelgrass"),
        steps("Kelp"),
    ]
    assert rises(*answers)
    assert answers[0].body == answers[2].body
    assert answers[0].headers["ETag"] == answers[2].headers["ETag"]


def test_last_modified_stands_still_while_the_bytes_do(
    steps: Step, changing: Server, clock: Clock
) -> None:
    first = steps("Kelp")
    clock.forward(minutes=50)
    assert steps("Kelp").modified == changing(TRENDING_FEED, "HEAD").modified == first.modified
    assert first.modified == datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def test_last_modified_is_the_time_of_the_change_where_the_clock_has_gone_on(
    steps: Step, clock: Clock
) -> None:
    steps("Kelp")
    clock.forward(minutes=50, microseconds=999)
    assert steps("Tides").modified == datetime(2026, 11, 24, 10, 20, tzinfo=UTC)


def test_last_modified_rises_over_a_clock_that_was_set_back_a_little(
    steps: Step, clock: Clock
) -> None:
    """By more than minutes, it was wrong before: no date lies in the future then."""
    answers = [steps("Kelp")]
    for title in ("Tides", "Eelgrass"):
        clock.forward(minutes=-2)
        answers.append(steps(title))
    assert rises(*answers)


def test_last_modified_rises_over_a_restart(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    answers = []
    for number in range(3):
        upstream.papers = [make_raw_paper(number + 1)]
        clock.forward(seconds=-number)
        service = make_service()
        service.refresh_page(TRENDING)
        with running(service) as server:
            answers.append(server(TRENDING_FEED, **HOST))
            assert server(TRENDING_FEED, **HOST).modified == answers[-1].modified
        service.close()
    assert rises(*answers)


def serves(server: Callable[..., Answer], body: bytes) -> bool:
    return server(TRENDING_FEED, **HOST).body == body


def test_last_modified_is_the_same_for_every_server_on_one_store(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    one, other = make_service(), make_service()
    answers = []
    with running(one) as first, running(other) as second:
        for number, (service, server) in enumerate([(one, first), (other, second)] * 2):
            upstream.papers = [make_raw_paper(number + 1)]
            service.refresh_page(TRENDING)
            answers.append(server(TRENDING_FEED, **HOST))
            for each in (first, second):
                wait_until(partial(serves, each, answers[-1].body))
                again = each(TRENDING_FEED, **HOST)
                assert again.modified == answers[-1].modified
    assert rises(*answers)


def print_last_modified(folder: str, name: str) -> None:
    store = disk_store(Path(folder), "https://huggingface.co")
    for number in range(30):
        moment = store.last_modified(
            "http://a/", f"{name} {number}", datetime(2026, 11, 24, tzinfo=UTC)
        )
        print(moment.isoformat())


def test_several_processes_that_change_one_address_at_once_never_give_a_date_twice(
    tmp_path: Path,
) -> None:
    processes = [start_function(print_last_modified, str(tmp_path), name) for name in "abc"]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert all(lines == sorted(lines) for lines in outputs)
    assert len({line for lines in outputs for line in lines}) == 90


@pytest.mark.parametrize("path", ["/papers/trending", "/feeds.opml"])
def test_last_modified_rises_for_pages_and_lists_too(
    make_service: MakeService,
    service: Service,
    upstream: FakeUpstream,
    path: str,
) -> None:
    with running(service) as server:
        before = server(path, **HOST)
    for paper in upstream.papers:
        paper["upvotes"] += 1
    other = make_service(feeds={})
    other.refresh_page(TRENDING)
    with running(other) as server:
        after = server(path, **HOST)
    assert before.body != after.body
    assert rises(before, after)


def test_dates_never_push_papers_out_of_memory_while_the_disk_fails(
    make_service: MakeService, upstream: FakeUpstream, tmp_path: Path
) -> None:
    """Each address has a date of its own, and memory is bounded."""
    (tmp_path / "file").write_text("in the way")
    with running(make_service(cache_dir=tmp_path / "file")) as server:
        before = server(TRENDING_FEED)
        for limit in range(1, 80):
            assert server(f"/papers.atom?limit={limit}").status == 200
        server("/papers/month.atom")  # what is kept anew makes a server look at what it has
        upstream.fail()
        assert server(TRENDING_FEED).body == before.body
        assert server("/papers.atom").status == 200
