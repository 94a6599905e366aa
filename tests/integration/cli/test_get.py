"""`feedsrv get`."""

from collections.abc import Callable, Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import feedparser
import pytest
from click.testing import Result
from werkzeug.wrappers import Response

from tests.support.servers import serve_wsgi
from tests.support.upstream import FakeUpstream

Run = Callable[..., Result]


@pytest.mark.parametrize("host", ["", "http://localhost:8000", "https://huggingface.co"])
def test_get_prints_the_feed(run: Run, upstream: FakeUpstream, host: str) -> None:
    result = run("get", f"{host}/papers.atom?q=causal", FEEDSRV_UPSTREAM_URL=upstream.url)
    assert result.exit_code == 0
    feed = feedparser.parse(result.stdout_bytes)
    assert not feed.bozo
    assert feed.feed.links[0].href == "http://localhost:8000/papers.atom?q=causal"


def test_get_prints_status_and_headers_on_request(run: Run) -> None:
    result = run("get", "--demo", "-i", "/healthz")
    assert result.stdout_bytes.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
    assert result.stdout_bytes.endswith(b"\r\n\r\nok\n")


@pytest.mark.parametrize(
    ("path", "code"), [("/papers.atom?q=%28", 2), ("/feeds/none.atom", 2), ("/papers.atom", 1)]
)
def test_the_exit_code_of_get_separates_client_and_server_errors(
    run: Run, path: str, code: int
) -> None:
    result = run("get", path, FEEDSRV_UPSTREAM_URL="http://127.0.0.1:1")
    assert result.exit_code == code
    assert '"status"' in result.stdout


def test_pages_are_served_although_the_token_has_expired(run: Run, upstream: FakeUpstream) -> None:
    def app(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        respond = Response("", 401) if "HTTP_AUTHORIZATION" in environ else upstream
        return respond(environ, start)

    with serve_wsgi(app) as url:
        result = run(
            "get", "/papers.atom?q=causal", FEEDSRV_UPSTREAM_URL=url, FEEDSRV_HF_TOKEN="hf_old"
        )
    assert result.exit_code == 0
    assert b"Causal lighthouses" in result.stdout_bytes
