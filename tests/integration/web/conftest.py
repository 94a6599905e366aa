"""Fixtures of the web tests."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.types import MakeClient, MakeService
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until


@pytest.fixture
def make_warm_client(make_service: MakeService) -> MakeClient:
    """Return a function that makes a client of a server with all lists fetched."""

    def make(**changes: Any) -> FlaskClient:
        service = make_service(**changes)
        for _ in service.refresh_stale():
            pass
        return create_app(service).test_client()

    return make


@pytest.fixture
def outage_client(
    make_warm_client: MakeClient, upstream: FakeUpstream, clock: Clock
) -> FlaskClient:
    """Return a client of a server whose upstream fails, for the first time after a day."""
    client = make_warm_client()
    upstream.fail()
    clock.forward(days=1)
    client.get("/papers.atom")
    wait_until(lambda: b"failing since" in client.get("/").data)
    wait_until(lambda: b"unreachable" in client.get("/status").data)
    return client
