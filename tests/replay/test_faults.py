"""Every fault that the replay of the site can inject, with real papers."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import feedparser
import pytest

from feedsrv.web.app import create_app
from tests.integration.upstream.test_faults import fetch_listing
from tests.support.clock import Clock
from tests.support.faults import FAULT_OUTCOMES, HANGING, OUTCOMES, SCOPES
from tests.support.replay import REPLAY, needs_replay, run_replay
from tests.support.types import MakeService
from tests.support.waiting import wait_until

pytestmark = needs_replay

#: The replay's bomb declares two encodings, which are refused before any decompression.
REASONS = {"bomb": "unexpected Content-Encoding 'gzip, gzip'", "api-down": "HTTP 500"}

Control = Callable[..., None]
FEED = "/papers.atom"


def fault_names() -> list[str]:
    """Return the faults that the replay documents."""
    if not REPLAY.exists():
        return []
    found = re.search(r"^Faults +(.*?)\(", REPLAY.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert found
    return found[1].split()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with run_replay("--as-of", "2026-08-21", "--hang", "5.5") as url:
        yield url


@pytest.fixture
def control(site: str) -> Control:
    """Return a function that sets the site's faults; initially none."""

    def send(**settings: object) -> None:
        body = json.dumps(settings).encode()
        urllib.request.urlopen(f"{site}/__control__", body, timeout=30).close()

    send(reset=True)
    return send


@pytest.fixture
def clock() -> Clock:
    """Return a clock at the newest day of the site."""
    clock = Clock()
    clock.now = datetime(2026, 8, 21, 12, tzinfo=UTC)
    return clock


def test_every_fault_has_an_expected_outcome() -> None:
    assert set(fault_names()) == FAULT_OUTCOMES.keys()


@pytest.mark.parametrize("fault", fault_names())
def test_a_fault_on_a_real_page_has_the_expected_outcome(
    site: str, control: Control, clock: Clock, fault: str
) -> None:
    control(fault=fault, times=1_000_000, path="/")
    seconds = 0.3 if fault in HANGING else 30.0
    outcome = fetch_listing(site, clock, api=fault == "api-down", seconds=seconds)
    expected = REASONS.get(fault, FAULT_OUTCOMES[fault].both_fail)
    assert re.match(re.sub(r"^\d+ ", r"\\d+ ", expected), outcome)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, marks=[pytest.mark.slow] * (fault in HANGING)) for fault in OUTCOMES],
)
def test_a_feed_of_real_pages_fails_as_expected_and_a_stored_one_is_served_unchanged(
    make_service: MakeService, site: str, control: Control, clock: Clock, fault: str, scope: str
) -> None:
    service = make_service(upstream_url=site, deadline=2.5 if fault in HANGING else 30.0)
    client = create_app(service).test_client()
    control(fault=fault, times=1_000_000, path=SCOPES[scope])
    response = client.get(FEED)
    expected = OUTCOMES[fault][list(SCOPES).index(scope)]
    if expected[0].isdigit():
        assert response.status_code == 200
        assert feedparser.parse(response.data).entries
    else:
        assert response.status_code == 503
        assert response.json is not None
        assert re.search(expected, response.json["detail"])
    control(reset=True)
    clock.forward(minutes=31)
    service.refresh_page(service.newest_day())
    stored = client.get(FEED).data
    control(fault=fault, times=1_000_000, path=SCOPES[scope])
    clock.forward(minutes=31)
    response = client.get(FEED)
    wait_until(service._scheduler.is_idle)
    assert (response.status_code, response.data) == (200, stored)
    assert client.get(FEED).data == stored
