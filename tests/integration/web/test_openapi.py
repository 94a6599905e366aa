"""The description for machines, and what a machine that takes it at its word finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv.feeds.formats import FORMATS
from feedsrv.web.app import create_app
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream

#: By the contract, unknown parameters are ignored; and no schema can say what a query may be.
LEFT_OUT = "negative_data_rejection,positive_data_acceptance"


def test_every_route_for_readers_is_described(client: FlaskClient) -> None:
    described = client.get("/openapi.json").get_json()["paths"]
    routes = {
        str(rule)
        .replace("<suffix>", "{format}")
        .replace("<names>", "{name}")
        .replace("<any(trending,week,month):listing>", "{listing}")
        for rule in client.application.url_map.iter_rules()
    }
    assert routes - {"/static/<path:filename>", "/favicon.ico"} == set(described)


def test_what_it_says_of_formats_and_feeds_is_so(client: FlaskClient) -> None:
    described = client.get("/openapi.json").get_json()
    named = described["paths"]["/feeds/{name}.{format}"]["get"]
    assert set(named["responses"]["200"]["content"]) == {
        each.media_type for each in FORMATS.values()
    }
    assert "causal" in named["parameters"][0]["examples"]


@pytest.mark.parametrize(
    ("state", "phases", "examples"),
    [
        ("healthy", "coverage,fuzzing", 25),
        ("upstream is down", "fuzzing", 8),
        ("upstream sends rubbish", "fuzzing", 8),
    ],
)
def test_schemathesis_finds_no_error_of_ours(
    make_service: MakeService,
    upstream: FakeUpstream,
    tmp_path: Path,
    state: str,
    phases: str,
    examples: int,
) -> None:
    if state == "upstream is down":
        upstream.fail()
    if state == "upstream sends rubbish":
        upstream.intercept = lambda path: Response("<html><p>hello", mimetype="text/html")
    # 503 is what is described for these; 500 is not.
    left_out = LEFT_OUT if state == "healthy" else f"{LEFT_OUT},not_a_server_error"
    with serve_wsgi(create_app(make_service(new_keywords=0))) as url:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *(
                "--phases",
                phases,
                "--max-examples",
                str(examples),
                "--generation-deterministic",
                "--no-color",
            ),
            *("--exclude-checks", left_out),
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "generated" in done.stdout


@pytest.mark.parametrize("path", ["/papers.atom", "/feeds/causal.rss", "/feeds.opml", "/healthz"])
def test_what_is_described_is_what_is_answered(client: FlaskClient, path: str) -> None:
    described = client.get("/openapi.json").get_json()["paths"]
    template = path.replace("atom", "{format}").replace("causal.rss", "{name}.{format}")
    content = described[template]["get"]["responses"]["200"]["content"]
    assert client.get(path).mimetype in content
