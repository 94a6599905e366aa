"""The log: a line for each thing that happened, upstream's trouble once, and no secrets."""

from __future__ import annotations

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


def test_the_settings_say_what_the_log_is_for(upstream: FakeUpstream, tmp_path: Path) -> None:
    upstream.fail()
    environment = os.environ | {
        "FEEDSRV_UPSTREAM_URL": upstream.url,
        "FEEDSRV_CACHE_DIR": str(tmp_path / "store"),
        "FEEDSRV_LOG_FORMAT": "json",
    }
    asked = [sys.executable, "-m", "feedsrv", "get", "/papers/trending.atom"]
    done = subprocess.run(
        asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert [each["message"].split(",")[0] for each in told] == ["trending: fetch failed"]


def test_trouble_with_upstream_is_told_once_and_so_is_its_end(
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
    told = [each for each in caplog.messages if "fetch failed" in each]
    assert len(upstream.requests) > 20
    assert len(told) == 2, told
    upstream.recover()
    client.get("/papers/trending.atom")
    client.get("/papers/trending.atom")
    wait_until(service._scheduler.is_idle)
    told = [each for each in caplog.messages if "recovered" in each]
    assert told == ["trending: recovered, had failed since 2026-11-24 09:30:00 UTC"]
