"""Fixtures: a clock to set, an upstream on loopback, a service between them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from flask.testing import FlaskClient
from hypothesis import settings

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.models import Feed
from feedsrv.monitoring.incidents import record_incidents
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.loopback import Loopback, raw_paper, serving
from tests.support.redis_server import RedisServer, redis_server

# Where a landing hangs on it, the same cases are tried each time; at home, chance finds new ones.
settings.register_profile("same", derandomize=True)
if os.environ.get("FEEDSRV_NO_SKIPS"):
    settings.load_profile("same")


@pytest.fixture(autouse=True)
def _same_log() -> Iterator[None]:
    """Undo what a command does to the levels of the log."""
    levels = {name: logging.getLogger(name).level for name in ("", "httpx")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests from the settings of whoever runs them."""
    names = ("CONFIG", "UPSTREAM_URL", "CACHE_DIR", "PUBLIC_URL", "HF_TOKEN", "ACCESS_KEY")
    for name in (*names, "LOG_FORMAT", "STORE_URL"):
        monkeypatch.delenv(f"FEEDSRV_{name}", raising=False)
    monkeypatch.delenv("PORT", raising=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upstream(clock: Clock) -> Iterator[Loopback]:
    """Three papers of today and two of yesterday, among them two on causal matters."""
    papers = [
        raw_paper(1, title="Causal lighthouses", upvotes=30, github="https://github.com/e/x"),
        raw_paper(2),
        raw_paper(3, summary="Whether fog causally delays ferries."),
        raw_paper(4, day=1),
        raw_paper(5, day=1, title="Causality by the sea"),
    ]
    site = Loopback(papers, clock.today)
    with serving(site) as url:
        site.url = url
        yield site


@pytest.fixture
def config(upstream: Loopback, tmp_path: Path) -> Config:
    causal = Feed(
        name="causal", title="Causal matters", query="causal", sources=("daily", "search")
    )
    return Config(
        upstream_url=upstream.url,
        cache_dir=tmp_path / "store",
        deadline=5.0,
        spacing=0.0,
        history_days=1,  # tests of the window make it longer
        feeds={"causal": causal},
    )


@pytest.fixture
def make_service(config: Config, clock: Clock) -> Iterator[Callable[..., Service]]:
    """Return a function that opens a service on the same store; all are closed at the end."""
    opened: list[Service] = []

    def make(**changes: object) -> Service:
        service = Service.open(
            msgspec.structs.replace(config, **changes), now=clock, chance=lambda: 0.5
        )
        record_incidents(service)
        opened.append(service)
        return service

    yield make
    for service in opened:
        service.close()


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    return make_service()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Return a function that waits for a condition, and fails after ten seconds without it."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.01)

    return wait


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Where everything has been installed, a test that says "install …" is a failure."""
    if report.skipped and os.environ.get("FEEDSRV_NO_SKIPS") and "install" in str(report.longrepr):
        report.outcome = "failed"
