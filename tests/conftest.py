"""Fixtures: a settable clock, an upstream on loopback, and a service that uses both."""

import gc
import logging
import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.models import Feed
from feedsrv.monitoring.incidents import subscribe_incident_recorder
from feedsrv.network import NetworkSettings
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.coverage import measuring
from tests.support.flask_caches import CachingEnvironment, CachingRule
from tests.support.paths import NO_CERTIFICATES, ROOT
from tests.support.redis_server import RedisServer, run_redis
from tests.support.samples import FEEDS, PAPERS
from tests.support.servers import serve_wsgi
from tests.support.types import MakeClient, MakeService
from tests.support.upstream import FakeUpstream, Json, make_raw_paper

#: To collect all tests for the few serial ones would take longer than some of them.
SERIAL_DIRECTORIES = ("system", "replay")

# Few random examples; in CI the same ones each time. For many:
# pytest --hypothesis-profile=thorough tests/unit
settings.register_profile("quick", max_examples=100, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile("ci" if os.environ.get("FEEDSRV_NO_SKIPS") else "quick")

# Many tests open an application; to compile its templates and rules takes 70 ms each time.
Flask.jinja_environment = CachingEnvironment
Flask.url_rule_class = CachingRule
# httpcore searches for this module, which is not installed, ten times a request.
sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _restore_log_levels() -> Iterator[None]:
    """Undo changes of log levels by a command."""
    levels = {name: logging.getLogger(name).level for name in ("", "httpx")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(autouse=True)
def _clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate tests from the settings of the user."""
    names = ("CONFIG", "UPSTREAM_URL", "CACHE_DIR", "PUBLIC_URL", "HF_TOKEN", "ACCESS_KEY")
    for name in (*names, "LOG_FORMAT", "STORE_URL"):
        monkeypatch.delenv(f"FEEDSRV_{name}", raising=False)
    monkeypatch.delenv("PORT", raising=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def upstream_papers() -> list[Json]:
    """Return three papers of today and two of yesterday, two of them causal."""
    return [
        make_raw_paper(1, title="Causal lighthouses", upvotes=30, github="https://github.com/e/x"),
        make_raw_paper(2),
        make_raw_paper(3, summary="Whether fog causally delays ferries."),
        make_raw_paper(4, day=1),
        make_raw_paper(5, day=1, title="Causality by the sea"),
    ]


@pytest.fixture
def upstream(clock: Clock, upstream_papers: list[Json]) -> Iterator[FakeUpstream]:
    """A running upstream that lists ``upstream_papers``, which a module may override."""
    site = FakeUpstream(upstream_papers, clock.today)
    with serve_wsgi(site) as url:
        site.url = url
        yield site


@pytest.fixture
def config(upstream: FakeUpstream, tmp_path: Path) -> Config:
    causal = Feed(
        name="causal", title="Causal matters", query="causal", sources=("daily", "search")
    )
    return Config(
        upstream_url=upstream.url,
        cache_dir=tmp_path / "store",
        deadline=20.0,  # enough for tests in which nothing hangs, also on a busy machine
        spacing=0.0,
        history_days=1,  # tests of the window make it longer
        network=NetworkSettings(ca_directory=str(NO_CERTIFICATES)),
        feeds={"causal": causal},
    )


@pytest.fixture
def make_service(config: Config, clock: Clock) -> Iterator[MakeService]:
    """Return a function that opens a service on the same store; all are closed at the end."""
    opened: list[Service] = []

    def make(**changes: object) -> Service:
        service = create_service(
            msgspec.structs.replace(config, **changes), now=clock, chance=lambda: 0.5
        )
        subscribe_incident_recorder(service)
        opened.append(service)
        return service

    yield make
    for service in opened:
        service.close()


@pytest.fixture
def service(make_service: MakeService) -> Service:
    return make_service()


@pytest.fixture
def make_client(make_service: MakeService) -> MakeClient:
    """Return a function that opens a service and returns a client of its application."""
    return lambda **changes: create_app(make_service(**changes)).test_client()


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


@pytest.fixture(scope="session")
def sample_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Return a client of an application whose papers and feeds (`samples`) never change."""
    clock, folder = Clock(), tmp_path_factory.mktemp("store")
    with serve_wsgi(FakeUpstream(PAPERS, clock.today)) as url:
        config = Config(
            upstream_url=url, cache_dir=folder, feeds=FEEDS, spacing=0.0, history_days=1
        )
        service = create_service(config, now=clock)
        yield create_app(service).test_client()
        service.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with run_redis(tmp_path) as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        directory = item.path.relative_to(ROOT / "tests").parts[0]
        if item.get_closest_marker("serial") and directory not in SERIAL_DIRECTORIES:
            raise pytest.UsageError(f"make test runs no serial tests of tests/{directory}")
    gc.freeze()  # no garbage collection looks at the tests themselves


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with measuring(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """With FEEDSRV_NO_SKIPS, turn skips for missing programs into failures."""
    if report.skipped and os.environ.get("FEEDSRV_NO_SKIPS") and "install" in str(report.longrepr):
        report.outcome = "failed"
