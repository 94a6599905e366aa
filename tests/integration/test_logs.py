"""The log: its format follows the settings, and an outage is logged once."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from tests.support.clock import Clock
from tests.support.upstream import FakeUpstream
from tests.support.waiting import wait_until


def test_the_log_format_follows_the_settings(upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.fail()
    environment = os.environ | {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_LOG_FORMAT": "json",
    }
    command = [sys.executable, "-m", "feedsrv", "get", "/papers/trending.atom"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert [record["message"].split(",")[0] for record in records] == ["trending: fetch failed"]


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    service: Service,
    upstream: FakeUpstream,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    client = create_app(service).test_client()
    upstream.fail()
    for _ in range(12):
        client.get("/papers/trending.atom")
        client.get("/papers/week.atom")
        clock.forward(hours=1)
    failures = [message for message in caplog.messages if "fetch failed" in message]
    assert len(upstream.requests) > 20
    assert len(failures) == 2, failures
    upstream.recover()
    client.get("/papers/trending.atom")
    client.get("/papers/trending.atom")
    wait_until(service._scheduler.is_idle)
    recoveries = [message for message in caplog.messages if "recovered" in message]
    assert recoveries == ["trending: recovered, had failed since 2026-11-24 09:30:00 UTC"]
