"""Every fault that the stand-in for the site can arm, with real papers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import feedparser
import pytest

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from tests.integration.upstream.test_faults import FEED, SCOPES, TABLE
from tests.support.clock import Clock
from tests.support.faults import HANGING
from tests.support.paths import SHARED

REPLAY = SHARED / "replay" / "hf_replay.py"
pytestmark = pytest.mark.skipif(not REPLAY.exists(), reason="needs the replay in ../shared/replay")

#: Its bomb says that it is packed twice, which is refused before it is unpacked.
OTHERWISE = {"bomb": "packed as 'gzip, gzip'"}

Make = Callable[..., Service]
Until = Callable[[Callable[[], bool]], None]
Arm = Callable[..., None]


def names() -> list[str]:
    """Return the faults that the stand-in says it has."""
    if not REPLAY.exists():
        return []
    found = re.search(r"^Faults +(.*?)\(", REPLAY.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found
    return found[1].split()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    command = [sys.executable, str(REPLAY), "--port", "0", "--as-of", "2026-08-21", "--hang", "9"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().rsplit(" ", 1)[1].strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def order(site: str) -> Callable[..., None]:
    """Return a function that tells the site what to do; it begins without a fault."""

    def tell(**what: object) -> None:
        body = json.dumps(what).encode()
        urllib.request.urlopen(f"{site}/__control__", body, timeout=30).close()

    tell(reset=True)
    return tell


@pytest.fixture
def clock() -> Clock:
    """Return a clock on the newest day that the site has."""
    clock = Clock()
    clock.now = datetime(2026, 8, 21, 12, tzinfo=UTC)
    return clock


def test_the_table_knows_every_fault() -> None:
    assert set(names()) == TABLE.keys()


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("fault", names())
def test_real_pages_fail_as_the_table_says_and_what_is_kept_stays(
    make_service: Make, site: str, order: Arm, clock: Clock, until: Until, fault: str, scope: str
) -> None:
    deadline = 3.0 if fault in HANGING else 10.0
    service = make_service(upstream_url=site, deadline=deadline)
    client = create_app(service).test_client()
    order(fault=fault, times=1_000_000, path=SCOPES[scope])
    cold = client.get(FEED)
    expected = TABLE[fault][list(SCOPES).index(scope)]
    if expected[0].isdigit():
        assert cold.status_code == 200
        assert feedparser.parse(cold.data).entries
    else:
        assert cold.status_code == 503
        assert cold.json is not None
        assert re.search(OTHERWISE.get(fault, expected), cold.json["detail"])
    order(reset=True)
    clock.forward(minutes=31)
    service.refresh_page(service.newest_day())
    kept = client.get(FEED)
    order(fault=fault, times=1_000_000, path=SCOPES[scope])
    clock.forward(minutes=31)
    answer = client.get(FEED)
    until(service._scheduler.is_idle)
    assert (answer.status_code, answer.data) == (200, kept.data)
    assert client.get(FEED).data == kept.data
