"""The alerts, dashboard and monitoring page in docs/ use existing metrics."""

import json
import re
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from tests.support.feed_readers import require_program
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
NAME = re.compile(r"\bfeedsrv_\w+")
ALERTS = (DOCS / "alerts.yml").read_text("utf-8")
BOARD: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text("utf-8"))
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


@pytest.fixture
def metric_names(service: Service) -> set[str]:
    """Return the names of all metrics of a server that has served a request."""
    client = Client(create_app(service))
    client.get("/papers.atom")
    text = client.get("/metrics").get_data(as_text=True)
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }


def test_each_panel_queries_existing_metrics(metric_names: set[str]) -> None:
    assert len(QUERIES) > 8
    for query in QUERIES:
        named = set(NAME.findall(query))
        assert named, query
        assert named <= metric_names


def test_each_alert_queries_existing_metrics(metric_names: set[str]) -> None:
    rules = re.findall(r"^ +expr: (.*)$", ALERTS, re.MULTILINE)
    assert len(rules) == 3
    for query in rules:
        assert set(NAME.findall(query)) <= metric_names
        assert NAME.search(query)


def test_the_monitoring_page_documents_exactly_the_existing_metrics(
    metric_names: set[str],
) -> None:
    page = (DOCS / "monitoring.md").read_text("utf-8")
    assert set(NAME.findall(page)) == metric_names


def promtool(*arguments: str) -> str:
    require_program("promtool", "prometheus")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_alerts() -> None:
    assert "3 rules found" in promtool("check", "rules", str(DOCS / "alerts.yml"))


@pytest.mark.parametrize("query", QUERIES)
def test_promtool_accepts_the_query_of_each_panel(query: str, tmp_path: Any) -> None:
    plain = query.replace("$__rate_interval", "5m").replace("$instance", ".*")
    rules = {"groups": [{"name": "panel", "rules": [{"record": "panel", "expr": plain}]}]}
    file = tmp_path / "rules.yml"  # JSON is YAML
    file.write_text(json.dumps(rules))
    promtool("check", "rules", str(file))


ALERT_TEST = """
rule_files: [{alerts}]
tests:
  - interval: 1m
    input_series:
      - series: 'feedsrv_upstream_failing_seconds{{instance="a"}}'
        values: '0 60+60x600'
      - series: 'feedsrv_store_failing{{instance="a"}}'
        values: '0x60 1x600'
      - series: 'feedsrv_refreshes_total{{instance="a",kind="day",result="unreadable"}}'
        values: '0x120 1x10 2x10 3x400'
    alert_rule_test:
{expected}
"""


def test_alerts_fire_after_their_delay_and_not_before(tmp_path: Any) -> None:
    cases = [
        ("FeedsrvUpstreamFails", "5h", False),
        ("FeedsrvUpstreamFails", "7h", True),
        ("FeedsrvStoreFails", "50m", False),
        ("FeedsrvStoreFails", "2h", True),
        ("FeedsrvLayoutChanged", "1h", False),
        ("FeedsrvLayoutChanged", "5h", True),
    ]
    for name, at, is_firing in cases:
        expected = f"      - {{eval_time: {at}, alertname: {name}, exp_alerts: []}}\n"
        file = tmp_path / "test.yml"
        file.write_text(ALERT_TEST.format(alerts=DOCS / "alerts.yml", expected=expected))
        if is_firing:
            with pytest.raises(AssertionError, match=name):
                promtool("test", "rules", str(file))
        else:
            promtool("test", "rules", str(file))
