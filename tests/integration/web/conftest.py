"""Fixtures of the web tests."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from feedsrv.web.app import create_app
from tests.support.types import MakeClient, MakeService


@pytest.fixture
def make_warm_client(make_service: MakeService) -> MakeClient:
    """Return a function that makes a client of a server with all lists fetched."""

    def make(**changes: Any) -> FlaskClient:
        service = make_service(**changes)
        for _ in service.refresh_stale():
            pass
        return create_app(service).test_client()

    return make
