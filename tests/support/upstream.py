"""A fake upstream on loopback: the demo's pages, a request log, and faults to inject."""

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, request
from werkzeug.wrappers import Request, Response

from feedsrv.upstream.demo import (
    DemoSite,
    create_demo_upstream,
    entries_of_period,
    json_response,
    search_entries,
)
from tests.support.faults import FAULTS

Json = dict[str, Any]


def make_raw_paper(number: int, *, day: int = 0, **fields: Any) -> Json:
    """Return an invented paper in the shape of the bundled samples, with an arXiv id."""
    paper = {
        "id": f"2611.{number:05d}",
        "day": day,
        "title": f"A study of lighthouse number {number}",
        "summary": f"We count the steps of lighthouse {number} and find them even.",
        "authors": ["Ada Quill", "Bo Lantern"],
        "upvotes": number % 50,
        "comments": 1,
        "keywords": ["lighthouses"],
    }
    return paper | fields


def papers_of_twelve_days() -> list[Json]:
    """Return twelve list days of two papers each, one of them causal."""
    return [
        make_raw_paper(day * 10 + n, day=day, title="Causal tides" if n else "Tides")
        for day in range(12)
        for n in range(2)
    ]


def create_upstream(papers: Sequence[Json], today: Callable[[], date]) -> Flask:
    """Return the demo's upstream, with the lists of the JSON API."""
    app = create_demo_upstream(papers, today)
    site: DemoSite = app.extensions["site"]

    @app.get("/api/daily_papers")
    def daily() -> Response:
        args = request.args
        if "date" in args:
            entries = site.days().get(args["date"], [])
        elif period := next((name for name in ("week", "month") if name in args), ""):
            entries = entries_of_period(site.days(), period, args[period])
        else:
            entries = site.entries()
        size, number = args.get("limit", 50, int), args.get("p", 0, int)
        response = json_response(entries[number * size : (number + 1) * size])
        if (number + 1) * size < len(entries):
            url = f"{request.base_url}?{urlencode({**args, 'p': number + 1})}"
            response.headers["Link"] = f'<{url}>; rel="next"'
        return response

    @app.get("/api/papers/search")
    def search() -> Response:
        hits = search_entries(site.entries(), request.args.get("q", ""))
        return json_response(hits[: request.args.get("limit", 20, int)])

    return app


class FakeUpstream:
    """The running upstream: the demo's pages, a log of requests, and faults to inject.

    Attributes:
        papers: The listed papers; may be changed between requests.
        requests: Path and query of each request, in order.
        intercept: Called with each path; a response that it returns replaces the page.
        etag: If set, the ETag of pages; matching conditional requests get 304.
        headers: Added to each response.
        damage: Bytes of a body, their replacement, and the prefix of the affected paths.

    """

    def __init__(self, papers: Sequence[Json], today: Callable[[], date]) -> None:
        self.papers = list(papers)
        self.today = today
        self.url = ""
        self.requests: list[str] = []
        self.user_agents: list[str] = []
        #: If-None-Match of each request, "" if absent.
        self.if_none_match: list[str] = []
        self.etag = ""
        self.headers: dict[str, str] = {}
        self.damage = (b"", b"", "/")
        self.intercept: Callable[[str], Response | None] = lambda path: None
        self._fault = ("", "/")
        self._listed: list[Json] = []
        self._pages = create_upstream(self._listed, self._current_day)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Any:
        request = Request(environ)
        path = request.full_path.rstrip("?")
        self.requests.append(path)
        self.user_agents.append(str(request.user_agent))
        self.if_none_match.append(request.headers.get("If-None-Match", ""))
        response = self.intercept(path)
        if response is None:
            self._listed[:] = self.papers
            response = Response.from_app(self._pages, environ)
            response.headers.extend(self.headers)
            if self.etag and response.status_code == 200:
                response.headers["ETag"] = self.etag
                response.make_conditional(environ)
            old, new, prefix = self.damage
            if old and path.startswith(prefix):
                response.set_data(response.get_data().replace(old, new))
            name, prefix = self._fault
            if name and path.startswith(prefix):
                return FAULTS[name](response)(environ, start)
        return response(environ, start)

    def _current_day(self) -> date:
        return self.today()  # which tests replace

    def inject_fault(self, name: str, prefix: str = "/") -> None:
        """Inject the named fault into responses to paths with the prefix, until `recover`."""
        self._fault = (name, prefix)

    def fail(self, prefix: str = "/", status: int = 503) -> None:
        """Respond to paths with the prefix with an error status, until `recover`."""
        self.intercept = lambda path: Response("", status) if path.startswith(prefix) else None

    def recover(self) -> None:
        """Remove faults."""
        self.intercept = lambda path: None
        self._fault = ("", "/")
