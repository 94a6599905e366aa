"""The OpenAPI description, compared with the application that it describes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from feedsrv import __version__
from feedsrv.feeds.formats import ALL_FORMATS, FORMATS
from feedsrv.models import MAX_ENTRIES, MatchMode
from feedsrv.search.parser import URL_LIMITS
from feedsrv.web.app import create_app
from feedsrv.web.feed_views import _LISTING_FEEDS
from feedsrv.web.params import MAX_PAGE, FeedParams
from feedsrv.web.routing import PERIODS
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream

#: The contract ignores unknown parameters, and no schema can describe the query language.
EXCLUDED_CHECKS = "negative_data_rejection,positive_data_acceptance"


@pytest.fixture
def description(client: FlaskClient) -> Any:
    return client.get("/openapi.json").get_json()


def resolve(description: Any, value: Any) -> Any:
    """Return the value with each reference replaced by what it refers to."""
    if isinstance(value, list):
        return [resolve(description, item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target = description
        for key in value["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        return resolve(description, target)
    return {key: resolve(description, item) for key, item in value.items()}


def test_every_route_is_described(client: FlaskClient, description: Any) -> None:
    routes = {
        re.sub(r"<(?:\w+(?:\(.*?\))?:)?(\w+)>", r"{\1}", str(rule))
        .replace("{suffix}", "{format}")
        .replace("{names}", "{name}")
        .replace("{paper_id}", "{paper}")
        for rule in client.application.url_map.iter_rules()
    }
    assert routes - {"/static/{filename}", "/favicon.ico"} == set(description["paths"])


def test_every_reference_and_every_parameter_of_a_path_is_defined(description: Any) -> None:
    for path, item in resolve(description, description["paths"]).items():
        parameters = item["get"]["parameters"]
        in_path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))


def test_formats_listings_and_limits_are_those_of_the_server(description: Any) -> None:
    parameters = description["components"]["parameters"]
    assert parameters["format"]["schema"]["enum"] == sorted(ALL_FORMATS)
    assert parameters["opml"]["schema"]["enum"] == sorted(FORMATS)
    assert parameters["listing"]["schema"]["enum"] == sorted(_LISTING_FEEDS)
    assert parameters["period"]["schema"]["enum"] == sorted(PERIODS)
    assert parameters["match"]["schema"]["enum"] == list(get_args(MatchMode))
    assert parameters["limit"]["schema"]["maximum"] == MAX_ENTRIES
    assert parameters["page"]["schema"]["maximum"] == MAX_PAGE
    assert parameters["q"]["schema"]["maxLength"] == URL_LIMITS.length
    media_types = {each.media_type for each in ALL_FORMATS.values()}
    for path, item in description["paths"].items():
        if path.endswith(".{format}") and "200" in item["get"]["responses"]:
            assert set(item["get"]["responses"]["200"]["content"]) == media_types


def test_every_parameter_of_a_feed_is_described(description: Any) -> None:
    for path, item in resolve(description, description["paths"]).items():
        if path.startswith(("/papers", "/feeds/")) and "200" in item["get"]["responses"]:
            names = [each["name"] for each in item["get"]["parameters"] if each["in"] == "query"]
            assert [name for name in names if name != "page"] == list(FeedParams._fields), path


def test_the_version_is_ours_and_the_examples_are_the_configured_feeds(description: Any) -> None:
    assert description["info"]["version"] == __version__
    examples = description["components"]["parameters"]["name"]["examples"]
    assert examples == {"causal": {"value": "causal"}}


@pytest.mark.hypothesis  # which generates the requests, so coverage is not measured
@pytest.mark.parametrize(
    ("state", "phases", "examples"),
    [
        ("upstream works", "coverage,fuzzing", "12"),
        ("upstream is down", "fuzzing", "5"),
        ("upstream sends garbage", "fuzzing", "5"),
    ],
)
def test_no_generated_request_causes_an_error_of_the_server(
    make_service: MakeService,
    upstream: FakeUpstream,
    tmp_path: Path,
    state: str,
    phases: str,
    examples: str,
) -> None:
    if state == "upstream is down":
        upstream.fail()
    if state == "upstream sends garbage":
        upstream.intercept = lambda path: Response("<html><p>hello", mimetype="text/html")
    excluded = EXCLUDED_CHECKS
    if state != "upstream works":
        excluded += ",not_a_server_error"  # allows 503; 500 is not described
    with serve_wsgi(create_app(make_service(new_keywords=0))) as url:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--phases", phases, "--max-examples", examples, "--generation-deterministic"),
            *("--no-color", "--exclude-checks", excluded),
            *("--suppress-health-check", "too_slow"),  # which a busy machine fails
        ]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "generated" in result.stdout


@pytest.mark.parametrize("path", ["/papers.atom", "/feeds/causal.rss", "/feeds.opml", "/healthz"])
def test_responses_have_a_media_type_that_is_described(
    client: FlaskClient, description: Any, path: str
) -> None:
    template = path.replace("atom", "{format}").replace("causal.rss", "{name}.{format}")
    content = description["paths"][template]["get"]["responses"]["200"]["content"]
    assert client.get(path).mimetype in content
