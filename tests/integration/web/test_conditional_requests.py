"""Validators, conditional requests, HEAD and compression (RFC 9110), byte by byte over sockets."""

import gzip
import socket
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
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Feed, Kind, Page
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.processes import start_function
from tests.support.servers import serve_wsgi
from tests.support.stores import disk_store
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper
from tests.support.waiting import wait_until

FEED = "/papers.atom?q=causal"
CACHEABLE_PATHS = [
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
OTHER_PATHS = ["/", "/healthz", "/favicon.ico", "/static/style.css"]
ERROR_PATHS = ["/papers.atom?q=%28", "/papers.atom?limit=0", "/feeds/none.atom", "/nothing"]
TRENDING = Page(Kind.TRENDING)
TRENDING_FEED = "/papers/trending.atom"

ListPapers = Callable[..., "HttpResponse"]


class HttpResponse(NamedTuple):
    status: int
    headers: Headers
    #: Every byte after the headers, regardless of Content-Length.
    body: bytes

    @property
    def modified(self) -> datetime:
        return parsedate_to_datetime(self.headers["Last-Modified"])


class Server:
    """Sends requests to a running server, one on each connection, without an HTTP library."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, path: str, method: str = "GET", /, **headers: str) -> HttpResponse:
        lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
        fields = {"Host": f"127.0.0.1:{self.port}"} | headers
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            with connection.makefile("rb") as file:
                head, _, body = file.read().partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return HttpResponse(
            int(status_line.split()[1]), Headers([(name, value) for name, value in pairs]), body
        )


@contextmanager
def run_server(service: Service) -> Iterator[Server]:
    with serve_wsgi(create_app(service)) as url:
        port = urlsplit(url).port
        assert port is not None
        yield Server(port)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server whose papers do not change."""
    causal = Feed(name="causal", title="Causal matters", query="causal")
    folder = tmp_path_factory.mktemp("store")
    service = create_service(
        Config(demo=True, spacing=0.0, history_days=1, cache_dir=folder, feeds={"causal": causal}),
        now=Clock(),
    )
    for _ in service.refresh_stale():
        pass  # otherwise the front page would change during the test
    with run_server(service) as running:
        yield running
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
def test_if_none_match_is_compared_weakly(server: Server, shape: str, status: int) -> None:
    """RFC 9110 13.1.2: any of a list, compared weakly."""
    first = server(FEED)
    assert first.headers["ETag"].startswith('W/"')
    tag = first.headers["ETag"].removeprefix("W/")
    again = server(FEED, If_None_Match=shape.format(tag=tag))
    assert again.status == status
    assert again.body == (b"" if status == 304 else first.body)


@pytest.mark.parametrize("path", CACHEABLE_PATHS)
def test_every_feed_has_validators_and_responds_to_them_with_304(server: Server, path: str) -> None:
    """RFC 9110 15.4.5: a 304 has the validators and no body."""
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


def test_each_feed_and_format_has_its_own_etag(server: Server) -> None:
    tags = {server(path).headers["ETag"] for path in CACHEABLE_PATHS}
    assert len(tags) == len(CACHEABLE_PATHS)


@pytest.mark.parametrize(
    "suffix", ["-gzip", "-br", ";gzip", "--gzip", ":zstd", "-deflate", "-gzip-gzip", "-GZIP"]
)
@pytest.mark.parametrize("form", ['W/"{}{}"', '"{}{}"', 'W/"{}"{}', '"x", "{}{}"'])
@pytest.mark.parametrize("path", [FEED, "/", "/static/style.css"])
def test_an_etag_with_the_suffix_of_a_compressing_proxy_matches(
    server: Server, suffix: str, form: str, path: str
) -> None:
    """Apache adds -gzip to the ETag of a response that it compresses, and never removes it."""
    tag = server(path).headers["ETag"].removeprefix("W/").strip('"')
    assert server(path, If_None_Match=form.format(tag, suffix)).status == 304
    assert server(path, If_None_Match=form.format("other", suffix)).status == 200


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ("*", 200),
        ("{tag}", 200),
        ('"other", {tag}', 200),
        ("W/{tag}", 412),  # RFC 9110 13.1.1: compared strongly
        ('"other"', 412),
        ("", 412),
    ],
)
@pytest.mark.parametrize("path", [FEED, "/papers", "/", "/openapi.json", "/static/style.css"])
def test_if_match_is_true_for_existing_resources(
    server: Server, path: str, if_match: str, status: int
) -> None:
    tag = server(path).headers["ETag"].removeprefix("W/")
    response = server(path, If_Match=if_match.format(tag=tag))
    assert response.status == status
    assert bool(response.body) is (status == 200)


def test_if_match_of_nothing_is_404(server: Server) -> None:
    assert server("/feeds/none.atom", If_Match="*").status == 404


def test_conditions_are_evaluated_in_the_order_of_the_standard(server: Server) -> None:
    """RFC 9110 13.2.2."""
    first = server(FEED)
    etag, modified = first.headers["ETag"], first.modified
    before, after = (http_date(modified + timedelta(days=days)) for days in (-1, 1))
    for status, conditions in [
        (412, {"If_Match": '"other"', "If_None_Match": etag}),
        (304, {"If_Match": "*", "If_None_Match": etag}),
        (200, {"If_Match": "*", "If_Unmodified_Since": before}),
        (412, {"If_Unmodified_Since": before, "If_None_Match": etag}),
        (304, {"If_Unmodified_Since": after, "If_None_Match": etag}),
        (200, {"If_None_Match": '"other"', "If_Modified_Since": after}),
    ]:
        assert server(FEED, **conditions).status == status, conditions


# --- dates ---------------------------------------------------------------------------------------


def http_date(moment: datetime) -> str:
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
def test_if_modified_since_alone_is_compared_with_last_modified(
    server: Server, since: timedelta, status: int
) -> None:
    """Thunderbird sends no other validator."""
    first = server(FEED)
    assert server(FEED, If_Modified_Since=http_date(first.modified + since)).status == status


@pytest.mark.parametrize(
    "since",
    [
        "Sat, 01 Jan 2000 00:00:00 GMT",  # Thunderbird's first poll
        "yesterday",
        "",
        "0",
        "Tue, 99 Foo 2026 00:00:00 GMT",
        "2026-11-24T09:30:00Z junk",
    ],
)
def test_an_old_or_malformed_date_returns_the_feed(server: Server, since: str) -> None:
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
def test_if_none_match_takes_precedence_over_if_modified_since(
    server: Server, tag: str, since: timedelta, status: int
) -> None:
    """RFC 9110 13.1.3: with If-None-Match, the date is ignored."""
    first = server(FEED)
    tag = f'"{tag}"' if tag else first.headers["ETag"]
    date = http_date(first.modified + since)
    assert server(FEED, If_None_Match=tag, If_Modified_Since=date).status == status


@pytest.mark.parametrize(
    ("since", "status"),
    [
        (timedelta(0), 200),
        (timedelta(days=1), 200),
        (timedelta(seconds=-1), 412),
        (timedelta(days=-400), 412),
    ],
)
@pytest.mark.parametrize("path", [FEED, "/papers", "/static/style.css"])
def test_if_unmodified_since_is_compared_with_last_modified(
    server: Server, path: str, since: timedelta, status: int
) -> None:
    date = http_date(server(path).modified + since)
    assert server(path, If_Unmodified_Since=date).status == status
    assert server(path, "HEAD", If_Unmodified_Since=date).status == status


@pytest.mark.parametrize("date", ["yesterday", "", "0", "Tue, 99 Foo 2026 00:00:00 GMT"])
def test_a_malformed_if_unmodified_since_is_ignored(server: Server, date: str) -> None:
    assert server(FEED, If_Unmodified_Since=date).status == 200


# --- HEAD ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*CACHEABLE_PATHS, *OTHER_PATHS, *ERROR_PATHS])
def test_head_is_get_without_its_body(server: Server, path: str) -> None:
    got, head = server(path), server(path, "HEAD")
    assert head.body == b""
    assert got.body
    assert head.status == got.status
    ignored = {"date", "expires", "server", "connection"}  # times may differ by a second
    headers = [
        [pair for pair in response.headers if pair[0].lower() not in ignored]
        for response in (got, head)
    ]
    assert headers[0] == headers[1]


# --- pages, files and descriptions -----------------------------------------------------------

UNSTORED_PATHS = ["/", "/?q=causal", "/preview?q=causal", "/status", "/problems", "/openapi.json"]
FILE_PATHS = ["/static/style.css", "/static/page.js", "/static/icon.png", "/favicon.ico"]


@pytest.mark.parametrize("path", [*UNSTORED_PATHS, *FILE_PATHS, "/robots.txt"])
def test_pages_files_and_the_description_have_validators(server: Server, path: str) -> None:
    first = server(path)
    assert first.status == 200
    etag = first.headers["ETag"]
    again, head = (server(path, method, If_None_Match=etag) for method in ("GET", "HEAD"))
    for response in (again, head):
        assert (response.status, response.body) == (304, b"")
        for name in ("ETag", "Cache-Control", "Vary"):
            assert response.headers[name] == first.headers[name]
        assert "Content-Length" not in response.headers
        assert "Content-Type" not in response.headers
    assert server(path, If_None_Match='"other"').body == first.body
    if path in FILE_PATHS:
        since = first.headers["Last-Modified"]
        assert server(path, If_Modified_Since=since).status == 304
        assert "max-age=86400" in first.headers["Cache-Control"]
    else:
        assert first.headers["Cache-Control"] == "no-cache"
        date = http_date(datetime(2099, 1, 1, tzinfo=UTC))
        for name in ("If_Modified_Since", "If_Unmodified_Since"):
            assert server(path, **{name: date}).body == first.body, "it has no Last-Modified"


@pytest.mark.parametrize("path", [*UNSTORED_PATHS, "/static/style.css", "/metrics", "/status.json"])
def test_pages_files_and_the_description_are_compressed(server: Server, path: str) -> None:
    plain, compressed = server(path), server(path, Accept_Encoding="gzip, br")
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert compressed.headers.get("ETag") == plain.headers.get("ETag")
    assert int(compressed.headers["Content-Length"]) == len(compressed.body)
    assert len(compressed.body) < len(plain.body)
    head = server(path, "HEAD", Accept_Encoding="gzip, br")
    assert head.headers["Content-Encoding"] == "gzip"
    assert head.body == b""
    if path != "/metrics":  # the metrics count requests
        assert gzip.decompress(compressed.body) == plain.body


def test_bodies_that_compression_does_not_shrink_are_not_compressed(server: Server) -> None:
    for path in ("/static/icon.png", "/healthz"):
        assert "Content-Encoding" not in server(path, Accept_Encoding="gzip").headers


@pytest.mark.parametrize("path", [FEED, "/", *FILE_PATHS, "/openapi.json", "/nothing", "/papers/"])
def test_the_application_sends_no_date(sample_client: FlaskClient, path: str) -> None:
    """granian always adds a Date header."""
    for headers in ({}, {"If-None-Match": "*"}, {"Range": "bytes=0-9"}):
        assert "Date" not in sample_client.get(path, headers=headers).headers


def test_a_range_of_a_file_is_the_whole_file(server: Server) -> None:
    response = server("/static/style.css", Range="bytes=0-9")
    assert (response.status, response.body) == (200, server("/static/style.css").body)


# --- compression ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
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
def test_a_body_is_compressed_only_for_clients_that_accept_gzip(
    server: Server, path: str, accept_encoding: str | None, compressed: bool
) -> None:
    plain = server(path)
    headers = {} if accept_encoding is None else {"Accept_Encoding": accept_encoding}
    response = server(path, **headers)
    assert response.headers.get("Content-Encoding") == ("gzip" if compressed else None)
    assert (gzip.decompress(response.body) if compressed else response.body) == plain.body
    assert int(response.headers["Content-Length"]) == len(response.body)
    assert (len(response.body) < len(plain.body)) is compressed
    # Weak, and of the plain body: the same for both encodings.
    assert response.headers["ETag"] == plain.headers["ETag"]
    assert response.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in plain.headers


def test_the_etag_of_the_compressed_body_matches_the_plain_one(server: Server) -> None:
    compressed = server(FEED, Accept_Encoding="gzip")
    response = server(FEED, If_None_Match=compressed.headers["ETag"])
    assert (response.status, response.body) == (304, b"")
    response = server(FEED, If_None_Match=compressed.headers["ETag"], Accept_Encoding="gzip")
    assert (response.status, response.body) == (304, b"")


# --- other headers -------------------------------------------------------------------------------


def test_a_delta_is_never_sent(server: Server) -> None:
    """A-IM is a hint, and rss2email fails over 226."""
    first = server(FEED, A_IM="feed")
    assert first.status == 200
    assert "IM" not in first.headers
    assert first.body == server(FEED).body
    assert server(FEED, A_IM="feed, gzip", If_None_Match='"other"').status == 200
    assert server(FEED, A_IM="feed", If_None_Match=first.headers["ETag"]).status == 304


@pytest.mark.parametrize("accept", ["application/rss+xml", "text/html", "image/png", "*/*;q=0"])
def test_the_accept_header_is_ignored(server: Server, accept: str) -> None:
    """Some readers accept only RSS, but parse Atom."""
    assert server(FEED, Accept=accept).body == server(FEED).body


@pytest.mark.parametrize("headers", [{"Range": "bytes=0-9"}, {"If_Range": '"x"'}])
def test_a_range_of_a_feed_is_never_sent(server: Server, headers: dict[str, str]) -> None:
    response = server(FEED, **headers)
    assert (response.status, response.body) == (200, server(FEED).body)


@pytest.mark.parametrize(
    ("suffix", "media_type"),
    [
        ("", "text/html"),
        (".atom", "application/atom+xml"),
        (".rss", "application/rss+xml"),
        (".json", "application/feed+json"),
    ],
)
def test_link_headers_contain_the_feed_and_its_other_formats(
    server: Server, suffix: str, media_type: str
) -> None:
    root = f"http://127.0.0.1:{server.port}/papers"
    response = server(f"/papers{suffix}?q=causal&utm_source=x")
    assert response.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    links = response.headers.getlist("Link")
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


#: Last-Modified is stored per URL, which must not depend on the port of the server.
HOST = {"Host": "papers.example.org"}


@pytest.fixture
def changing_server(service: Service) -> Iterator[Server]:
    with run_server(service) as running:
        yield running


@pytest.fixture
def list_papers(changing_server: Server, service: Service, upstream: FakeUpstream) -> ListPapers:
    """Return a function that makes upstream list these papers and requests their feed."""

    def list_papers(*titles: str) -> HttpResponse:
        upstream.papers = [
            make_raw_paper(number, title=title) for number, title in enumerate(titles, 1)
        ]
        service.refresh_page(TRENDING)
        return changing_server(TRENDING_FEED)

    return list_papers


def last_modified_increases(*responses: HttpResponse) -> bool:
    second = timedelta(seconds=1)
    return all(after.modified >= before.modified + second for before, after in pairwise(responses))


def test_last_modified_increases_with_each_change_within_the_same_second(
    list_papers: ListPapers,
) -> None:
    """newsboat ignores a body whose Last-Modified did not increase."""
    responses = [
        list_papers("Kelp"),
        list_papers("Kelp", "Tides"),  # one paper more
        list_papers("Kelp"),  # the first body again, with a later date
        list_papers("Eelgrass"),
        list_papers("Kelp"),
    ]
    assert last_modified_increases(*responses)
    assert responses[0].body == responses[2].body
    assert responses[0].headers["ETag"] == responses[2].headers["ETag"]


def test_last_modified_does_not_change_while_the_body_does_not(
    list_papers: ListPapers, changing_server: Server, clock: Clock
) -> None:
    first = list_papers("Kelp")
    clock.forward(minutes=50)
    assert (
        list_papers("Kelp").modified
        == changing_server(TRENDING_FEED, "HEAD").modified
        == first.modified
    )
    assert first.modified == datetime(2026, 11, 24, 9, 30, tzinfo=UTC)


def test_last_modified_is_the_time_of_the_change(list_papers: ListPapers, clock: Clock) -> None:
    list_papers("Kelp")
    clock.forward(minutes=50, microseconds=999)
    assert list_papers("Tides").modified == datetime(2026, 11, 24, 10, 20, tzinfo=UTC)


def test_last_modified_increases_although_the_clock_was_set_back_a_little(
    list_papers: ListPapers, clock: Clock
) -> None:
    responses = [list_papers("Kelp")]
    for title in ("Tides", "Eelgrass"):
        clock.forward(minutes=-2)
        responses.append(list_papers(title))
    assert last_modified_increases(*responses)


@pytest.mark.parametrize("hours", [1, 8, 8760])
def test_last_modified_is_omitted_while_the_clock_is_behind_the_last_value(
    list_papers: ListPapers, changing_server: Server, clock: Clock, hours: int
) -> None:
    """The clock was set back, or had been ahead. No date decreases or is in the future."""
    first = list_papers("Kelp")
    clock.forward(hours=-hours)
    second = list_papers("Tides")
    assert "Last-Modified" not in second.headers
    old = {"If-Modified-Since": first.headers["Last-Modified"]}
    assert changing_server(TRENDING_FEED, **old).body == second.body
    assert changing_server(TRENDING_FEED, If_None_Match=second.headers["ETag"]).status == 304
    clock.forward(hours=hours)
    assert last_modified_increases(first, list_papers("Tides"))


def test_last_modified_increases_after_a_restart(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    responses = []
    for number in range(3):
        upstream.papers = [make_raw_paper(number + 1)]
        clock.forward(seconds=-number)
        service = make_service()
        service.refresh_page(TRENDING)
        with run_server(service) as server:
            responses.append(server(TRENDING_FEED, **HOST))
            assert server(TRENDING_FEED, **HOST).modified == responses[-1].modified
        service.close()
    assert last_modified_increases(*responses)


def serves_body(server: Callable[..., HttpResponse], body: bytes) -> bool:
    return server(TRENDING_FEED, **HOST).body == body


def test_last_modified_is_the_same_for_every_server_on_one_store(
    make_service: MakeService, upstream: FakeUpstream, clock: Clock
) -> None:
    service_a, service_b = make_service(), make_service()
    responses = []
    with run_server(service_a) as server_a, run_server(service_b) as server_b:
        for number, (service, server) in enumerate(
            [(service_a, server_a), (service_b, server_b)] * 2
        ):
            upstream.papers = [make_raw_paper(number + 1)]
            service.refresh_page(TRENDING)
            responses.append(server(TRENDING_FEED, **HOST))
            for each in (server_a, server_b):
                wait_until(partial(serves_body, each, responses[-1].body))
                response = each(TRENDING_FEED, **HOST)
                assert response.modified == responses[-1].modified
    assert last_modified_increases(*responses)


def print_last_modified(folder: str, name: str) -> None:
    store = disk_store(Path(folder), "https://huggingface.co")
    for number in range(30):
        moment = store.last_modified(
            "http://a/", f"{name} {number}", datetime(2026, 11, 24, tzinfo=UTC)
        )
        assert moment is not None
        print(moment.isoformat())


def test_processes_that_change_one_url_at_once_never_use_a_date_twice(
    tmp_path: Path,
) -> None:
    processes = [start_function(print_last_modified, str(tmp_path), name) for name in "abc"]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert all(lines == sorted(lines) for lines in outputs)
    assert len({line for lines in outputs for line in lines}) == 90


@pytest.mark.parametrize("path", ["/papers/trending", "/feeds.opml"])
def test_last_modified_increases_for_pages_and_opml(
    make_service: MakeService,
    service: Service,
    upstream: FakeUpstream,
    path: str,
) -> None:
    with run_server(service) as server:
        before = server(path, **HOST)
    for paper in upstream.papers:
        paper["upvotes"] += 1
    other = make_service(feeds={})
    other.refresh_page(TRENDING)
    with run_server(other) as server:
        after = server(path, **HOST)
    assert before.body != after.body
    assert last_modified_increases(before, after)


def test_dates_never_evict_listings_from_memory_while_the_disk_fails(
    make_service: MakeService, upstream: FakeUpstream, tmp_path: Path
) -> None:
    """Each URL has its own date, and memory is bounded."""
    (tmp_path / "file").write_text("not a directory")
    with run_server(make_service(cache_dir=tmp_path / "file")) as server:
        before = server(TRENDING_FEED)
        for limit in range(1, 80):
            assert server(f"/papers.atom?limit={limit}").status == 200
        server("/papers/month.atom")  # stores a listing, which invalidates the response cache
        upstream.fail()
        assert server(TRENDING_FEED).body == before.body
        assert server("/papers.atom").status == 200
