"""Routes: an address to a feed, a feed to an answer, an error to a problem.

Errors become answers in one place, by the table in `feedsrv.errors`, as problem+json (RFC 9457).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from flask import Flask, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as Answer

from feedsrv import __version__
from feedsrv.entry import Entry, entries, feed_id
from feedsrv.errors import (
    ANSWERS,
    FeedsrvError,
    NothingReadError,
    ParameterError,
    QueryError,
    UnknownFeedError,
)
from feedsrv.grammar import parse
from feedsrv.paper import MOST_ENTRIES, Feed
from feedsrv.query import canonical
from feedsrv.render import Head, atom
from feedsrv.service import Service

log = logging.getLogger(__name__)

#: Suffix to media type and writer. Atom first.
FORMATS: dict[str, tuple[str, Callable[[Head, Sequence[Entry]], bytes]]] = {
    "atom": ("application/atom+xml", atom),
}
_LISTINGS: dict[str, Feed] = {
    "trending": Feed(name="trending", title="Trending papers", sources=("trending",)),
    "week": Feed(name="week", title="Daily Papers of the week", sources=("week",)),
    "month": Feed(name="month", title="Daily Papers of the month", sources=("month",)),
}
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


def create_app(service: Service) -> Flask:
    """Return the WSGI application that serves the service's feeds."""
    app = Flask("feedsrv")

    @app.get("/papers.<suffix>")
    def papers(suffix: str) -> Answer:
        query = _asked_query()
        return _feed(service, _adhoc(query), suffix, query)

    @app.get(f"/papers/<any({','.join(_LISTINGS)}):listing>.<suffix>")
    def listing(listing: str, suffix: str) -> Answer:
        query = _asked_query()
        return _feed(service, _narrowed(_LISTINGS[listing], query), suffix, query)

    @app.get("/feeds/<name>.<suffix>")
    def named(name: str, suffix: str) -> Answer:
        return _feed(service, service.named(name), suffix)

    @app.get("/healthz")
    def healthz() -> Answer:
        return _uncached(Response("ok\n", mimetype="text/plain"))

    @app.get("/")
    def index() -> str:
        return render_template(
            "index.html",
            feeds=service.config.feeds.values(),
            demo=service.config.demo,
            base=_base(service),
            version=__version__,
        )

    @app.after_request
    def harden(answer: Answer) -> Answer:
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if answer.mimetype == "text/html":
            answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'self'"
        return answer

    app.register_error_handler(FeedsrvError, lambda error: _problem(service, error))
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _broken)
    return app


# --- one feed --------------------------------------------------------------------------------


def _feed(service: Service, feed: Feed, suffix: str, query: str = "") -> Answer:
    """Answer with the feed in the format of the suffix; the query is the one in the address."""
    if suffix not in FORMATS:
        known = " and ".join(f".{name}" for name in FORMATS)
        raise NotFound(f"There is no format .{suffix}; feeds end in {known}.")
    media_type, write = FORMATS[suffix]
    limit = _asked_limit()
    reading = service.read(msgspec.structs.replace(feed, limit=limit or feed.limit))
    head = Head(
        id=feed_id(feed, canonical(parse(feed.query)) if feed.query else ""),
        title=f"Sample papers: {feed.title}" if service.config.demo else feed.title,
        subtitle=_subtitle(feed),
        self_url=_base(service) + request.path + _parameters(query, limit),
        page_url=_upstream_page(feed),
        version=__version__,
    )
    answer = Response(
        write(head, entries(feed, reading.papers)), content_type=f"{media_type}; charset=utf-8"
    )
    answer.headers["Cache-Control"] = (
        f"public, max-age={reading.max_age}, stale-while-revalidate=3600, stale-if-error=86400"
    )
    # RFC 9110 8.8.1: weak, because a proxy may pack the same feed in another way.
    answer.add_etag(weak=True)
    return answer.make_conditional(request)


def _adhoc(query: str) -> Feed:
    if not query:
        return Feed(name="all", title="Daily Papers", sources=("daily",))
    return Feed(name=str(parse(query)), title=f"Daily Papers: {query}", query=query)


def _narrowed(feed: Feed, query: str) -> Feed:
    if not query:
        return feed
    parse(query)
    return msgspec.structs.replace(feed, title=f"{feed.title}: {query}", query=query)


def _subtitle(feed: Feed) -> str:
    if not feed.query:
        return f"{feed.title} of Hugging Face."
    return f"Papers from Hugging Face Daily Papers that match: {feed.query}"


def _upstream_page(feed: Feed) -> str:
    """Return the page at Hugging Face that shows the same to people."""
    if feed.query:
        return f"https://huggingface.co/papers?{urlencode({'q': feed.query})}"
    tail = "/trending" if feed.sources == ("trending",) else ""
    return f"https://huggingface.co/papers{tail}"


# --- the address -----------------------------------------------------------------------------


def _asked_query() -> str:
    """Return the query as it stands in the address, white space evened; empty for none."""
    return " ".join(request.args.get("q", "").split())


def _asked_limit() -> int | None:
    text = request.args.get("limit")
    if text is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text) or int(text) > MOST_ENTRIES:
        raise ParameterError("limit", text, f"must be a number from 1 to {MOST_ENTRIES}")
    return int(text)


def _parameters(query: str, limit: int | None) -> str:
    """Return the known parameters in canonical order; readers keep the address that we name."""
    known = {"q": query or None, "limit": limit}
    given = {name: value for name, value in known.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _base(service: Service) -> str:
    """Return the address of this server, as readers reach it, without a slash at its end."""
    if service.config.public_url:
        return service.config.public_url.rstrip("/")
    host = request.headers.get("Host", "") or request.host
    if not _HOST.fullmatch(host):
        raise ParameterError("Host", host, "must be a name or an address with an optional port")
    return f"{request.scheme}://{host}"


# --- errors ----------------------------------------------------------------------------------


def _problem(service: Service, error: FeedsrvError) -> Answer:
    """Answer with what the error's row in the table says, and the facts it carries."""
    row = ANSWERS[type(error)]
    facts: dict[str, Any] = {}
    headers: dict[str, str] = {}
    match error:
        case QueryError():
            facts = {"query": error.query, "position": error.position, "pointer": error.pointer()}
        case UnknownFeedError():
            example = f"{_base(service)}/papers.atom?q={quote(error.name)}"
            facts = {"feeds": list(error.known), "instead": example}
        case NothingReadError():
            headers["Retry-After"] = str(error.wait)
            facts = {"retry_after": error.wait}
    answer = jsonify(
        type="about:blank", title=row.title, status=row.status, detail=str(error), **facts
    )
    return _as_problem(answer, row.status, headers)


def _http_problem(error: HTTPException) -> Answer:
    status = error.code or 500
    answer = jsonify(type="about:blank", title=error.name, status=status, detail=error.description)
    kept = {name: value for name, value in error.get_headers() if name in {"Allow", "Location"}}
    return _as_problem(answer, status, kept)


def _broken(error: Exception) -> Answer:
    """Answer 500 without a word about our insides, which go to the log."""
    log.error("%s %s broke", request.method, request.path, exc_info=error)
    answer = jsonify(type="about:blank", title="Internal Server Error", status=500)
    return _as_problem(answer, 500, {})


def _as_problem(answer: Answer, status: int, headers: dict[str, str]) -> Answer:
    answer.status_code = status
    answer.headers.extend(headers)
    answer.mimetype = "application/problem+json"
    return _uncached(answer)


def _uncached(answer: Answer) -> Answer:
    answer.headers["Cache-Control"] = "no-store"
    return answer
