"""The access log: its fields, and what must never be in it."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from feedsrv.logs import ACCESS_LOGGER, configure_access_log
from feedsrv.web.app import create_app
from tests.support.http import fetch_body
from tests.support.server_process import start_server
from tests.support.types import MakeService

COMBINED = re.compile(
    r'(?P<client>\S+) - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "(?P<request>[^"]*)"'
    r' (?P<status>\d{3}) (?P<length>\d+|-) "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"'
)


class LoggedClient:
    """A test client whose requests are logged to standard output."""

    def __init__(self, client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> None:
        self.client = client
        self._capsys = capsys

    def log_lines(self, path: str, **options: object) -> list[dict[str, str]]:
        """Request the path, and return the fields of each line that this logs."""
        configure_access_log(["sesame"])  # pytest replaces standard output for each test
        options = {"environ_base": {"REMOTE_ADDR": "192.0.2.9"}} | options
        self.client.open(path, **options)  # type: ignore[arg-type]
        return parse_lines(self._capsys.readouterr().out.splitlines())


def parse_lines(lines: list[str]) -> list[dict[str, str]]:
    matches = [COMBINED.fullmatch(line.removesuffix("\n")) for line in lines]
    assert all(matches), lines
    return [match.groupdict() for match in matches if match]


@pytest.fixture
def logged(make_service: MakeService, capsys: pytest.CaptureFixture[str]) -> Iterator[LoggedClient]:
    service = make_service(access_log=True, access_key="sesame", trusted_proxies=("127.0.0.1",))
    yield LoggedClient(create_app(service).test_client(), capsys)
    logging.getLogger(ACCESS_LOGGER).handlers.clear()


def test_each_response_is_one_line_also_if_it_is_cached(logged: LoggedClient) -> None:
    headers = {"User-Agent": "newsboat/2.30", "Referer": "https://example.org/"}
    first, cached = (
        logged.log_lines("/papers.atom?q=causal&key=sesame", headers=headers) for _ in range(2)
    )
    assert first == cached
    (line,) = first
    assert line["request"] == "GET /papers.atom?q=causal&key=*** HTTP/1.1"
    assert (line["client"], line["status"]) == ("192.0.2.9", "200")
    assert int(line["length"]) > 1000
    assert (line["agent"], line["referrer"]) == ("newsboat/2.30", "https://example.org/")


def test_a_response_without_a_body_has_no_length(logged: LoggedClient) -> None:
    path = "/papers.atom?key=sesame"
    etag = logged.client.get(path).headers["ETag"]
    for options in ({"method": "HEAD"}, {"headers": {"If-None-Match": etag}}):
        assert [line["length"] for line in logged.log_lines(path, **options)] == ["-"]


@pytest.mark.parametrize(
    "path",
    [
        "/papers?key=sesame",
        "/papers?q=a&key=sesame&limit=2",
        "/papers?key=%73esame",
        "/papers?KEY=sesame",
        '/papers?key=ses"ame',
        "/papers?key=ses'ame&q=a",
        "/feeds/sesame.atom",
    ],
)
def test_no_access_key_is_in_a_line(logged: LoggedClient, path: str) -> None:
    headers = {"Referer": f"https://example.org{path}", "User-Agent": "reader sesame"}
    (line,) = logged.log_lines(path, headers=headers)
    assert not re.search(r"(?i)sesame|%73esame|ses.{0,4}ame", str(line))


def test_no_character_of_a_request_ends_a_field_or_a_line(logged: LoggedClient) -> None:
    (line,) = logged.log_lines(
        '/papers%0a"%22\u4e2d?q="a" \u4e2d\\', headers={"User-Agent": 'evil" 200 - "\\\x1b[2J\xe9'}
    )
    assert line["status"] == "401"
    assert line["request"].startswith("GET /papers%0A%22%22%E4%B8%AD?q=%22a%22")
    assert line["agent"] == r"evil\x22 200 - \x22\x5c\x1b[2J\xe9"


def test_behind_a_trusted_proxy_the_address_is_the_clients(logged: LoggedClient) -> None:
    (line,) = logged.log_lines(
        "/healthz",
        headers={"X-Forwarded-For": "198.51.100.7"},
        environ_base={"REMOTE_ADDR": "127.0.0.1"},
    )
    assert line["client"] == "198.51.100.7"


def test_the_server_writes_the_access_log_to_standard_output(tmp_path: Path) -> None:
    settings = tmp_path / "feedsrv.toml"
    settings.write_text("access_log = true\n")
    with start_server("--demo", environ={"FEEDSRV_CONFIG": str(settings)}) as server:
        for _ in range(2):
            fetch_body(f"{server.url}/papers.atom")
        server.stop()
    requests = [line["request"] for line in parse_lines(server.stdout)]
    assert requests == ["GET /papers.atom HTTP/1.1"] * 2
    assert "/papers.atom HTTP" not in server.log()


def test_there_is_no_access_log_unless_it_is_enabled() -> None:
    with start_server("--demo") as server:
        fetch_body(f"{server.url}/papers.atom")
        server.stop()
    assert server.stdout == []
