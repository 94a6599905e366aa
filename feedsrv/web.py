"""Routes: an address to a feed, and the feed to an answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import quote

import msgspec
from flask import Flask, Response, g, jsonify, render_template, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound
from werkzeug.wrappers import Response as Answer

from feedsrv import __version__, address, answer
from feedsrv.access import Pass, admitted
from feedsrv.answer import Ready
from feedsrv.entry import Entry, definition, entries, feed_id, home
from feedsrv.errors import FeedsrvError, ParameterError, UnknownFeedError
from feedsrv.grammar import parse
from feedsrv.openapi import description
from feedsrv.paper import MOST_ENTRIES, Feed, Found
from feedsrv.query import canonical
from feedsrv.render import Head, Outline, atom, json_feed, opml, rss
from feedsrv.service import Service

log = logging.getLogger(__name__)


class Format(NamedTuple):
    """One way of writing a feed."""

    media_type: str
    title: str
    write: Callable[[Head, Sequence[Entry]], bytes]


#: By suffix. Atom first, everywhere.
FORMATS = {
    "atom": Format("application/atom+xml", "Atom", atom),
    "rss": Format("application/rss+xml", "RSS", rss),
    "json": Format("application/feed+json", "JSON Feed", json_feed),
}
_LISTINGS = {
    "trending": Feed(name="trending", title="Trending papers", sources=("trending",)),
    "week": Feed(name="week", title="Daily Papers of the week", sources=("week",)),
    "month": Feed(name="month", title="Daily Papers of the month", sources=("month",)),
}
_DAY = 86400


def create_app(service: Service) -> Flask:
    """Return the WSGI application that serves the service's feeds."""
    app = Flask("feedsrv")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _DAY
    app.add_template_filter(home)

    @app.get("/papers", defaults={"suffix": ""})
    @app.get("/papers.<suffix>")
    def papers(suffix: str) -> Answer:
        query = _asked_query()
        return _feed(service, [_adhoc(query)], suffix, query)

    @app.get(f"/papers/<any({','.join(_LISTINGS)}):listing>", defaults={"suffix": ""})
    @app.get(f"/papers/<any({','.join(_LISTINGS)}):listing>.<suffix>")
    def listing(listing: str, suffix: str) -> Answer:
        query = _asked_query()
        return _feed(service, [_narrowed(_LISTINGS[listing], query)], suffix, query)

    @app.get("/feeds/<names>", defaults={"suffix": ""})
    @app.get("/feeds/<names>.<suffix>")
    def named(names: str, suffix: str) -> Answer:
        united = dict.fromkeys(names.split("+"))
        return _feed(service, [service.named(name) for name in united], suffix)

    @app.get("/feeds.opml")
    def subscriptions() -> Answer:
        return _subscriptions(service)

    @app.get("/")
    def index() -> str:
        return _page(service, "index.html", feeds=service.config.feeds.values())

    @app.get("/healthz")
    def healthz() -> Answer:
        return answer.uncached(Response("ok\n", mimetype="text/plain"))

    @app.get("/openapi.json")
    def openapi() -> Answer:
        types = {suffix: each.media_type for suffix, each in FORMATS.items()}
        return jsonify(description(__version__, types, _LISTINGS, service.config.feeds))

    @app.get("/favicon.ico")
    def favicon() -> Answer:
        return app.send_static_file("favicon.ico")

    _surround(app, service)
    return app


def _surround(app: Flask, service: Service) -> None:
    """Have done what is done around every request: who may ask, what errors become."""
    private = bool(service.config.access_key)

    @app.before_request
    def admit() -> None:
        g.shown = _admitted(service) if request.path != "/healthz" else Pass()

    @app.after_request
    def harden(response: Answer) -> Answer:
        if answer.STANDING not in request.environ:  # such a one has them already
            response.headers.update(answer.hardening(response.mimetype or "", private=private))
        return response

    app.register_error_handler(UnknownFeedError, partial(_unknown, service))
    app.register_error_handler(FeedsrvError, answer.problem)
    app.register_error_handler(HTTPException, answer.http_problem)
    app.register_error_handler(Exception, _broken)


# --- one feed --------------------------------------------------------------------------------


def _feed(service: Service, feeds: Sequence[Feed], suffix: str, query: str = "") -> Answer:
    """Answer with the feeds, united, in the format of the suffix, or as a page without one.

    The query is the one that stands in the address.
    """
    if suffix and suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise NotFound(f"There is no format .{suffix}; feeds end in one of {known}.")
    limit = _asked_limit()
    path = request.path.removesuffix(f".{suffix}")
    here = _base(service) + quote(path, safe="/+")
    tail = address.parameters(query, limit, _shown().key_for(path, query))
    links = {name: f"{here}.{name}{tail}" for name in FORMATS}
    head = _head(service, feeds, self_url=links.get(suffix, here + tail), page_url=here + tail)
    client = "" if service.is_known(head.self_url) else _client(service)
    reading = service.read(*feeds, limit=limit, client=client)
    if suffix:
        ready, media_type = _written(suffix, head, reading.found), FORMATS[suffix].media_type
    else:
        page = _page(service, "feed.html", head=head, found=reading.found, links=links)
        ready, media_type = answer.ready(page.encode()), "text/html"
    return _kept(
        service,
        ready,
        here=head.self_url,
        media_type=media_type,
        fresh_until=reading.fresh_until,
        until=reading.until,
        links=_link_headers(head, suffix, links),
    )


def _head(service: Service, feeds: Sequence[Feed], *, self_url: str, page_url: str) -> Head:
    title = " + ".join(feed.title for feed in feeds)
    return Head(
        id=feed_id(_definition(feed) for feed in feeds),
        title=f"Sample papers: {title}" if service.config.demo else title,
        subtitle="; ".join(dict.fromkeys(map(_described, feeds))),
        self_url=self_url,
        page_url=page_url,
        icon_url=_url(service, "/static/icon.png"),
        version=__version__,
    )


def _definition(feed: Feed) -> str:
    return definition(feed, canonical(parse(feed.query)) if feed.query else "")


def _described(feed: Feed) -> str:
    about = f" that match: {feed.query}" if feed.query else ""
    return f"Papers from Hugging Face Daily Papers{about}"


def _adhoc(query: str) -> Feed:
    if not query:
        return Feed(name="all", title="Daily Papers", sources=("daily",))
    return Feed(name=str(parse(query)), title=f"Daily Papers: {query}", query=query)


def _narrowed(feed: Feed, query: str) -> Feed:
    if not query:
        return feed
    parse(query)
    return msgspec.structs.replace(feed, title=f"{feed.title}: {query}", query=query)


def _subscriptions(service: Service) -> Answer:
    """Answer with the configured feeds, for a reader to subscribe to all of them."""
    name = request.args.get("format", "atom")
    if name not in FORMATS:
        raise ParameterError("format", name, f"must be one of {', '.join(FORMATS)}")
    outlines = (
        Outline(
            title=feed.title,
            description=_described(feed),
            feed_url=_url(service, f"/feeds/{feed.name}", f".{name}"),
            page_url=_url(service, f"/feeds/{feed.name}"),
        )
        for feed in service.config.feeds.values()
    )
    here = f"{_url(service, '/feeds.opml')} {name}"
    ready = answer.ready(opml("Daily Papers", outlines))
    saved = ("Content-Disposition", "attachment; filename=feedsrv.opml")
    later = service.now() + timedelta(hours=1)
    return _kept(
        service,
        ready,
        here=here,
        media_type="text/x-opml",
        fresh_until=later,
        until=later,
        links=[saved],
    )


def _kept(
    service: Service,
    ready: Ready,
    *,
    here: str,
    media_type: str,
    fresh_until: datetime,
    until: datetime,
    links: Iterable[tuple[str, str]],
) -> Answer:
    """Answer with what caches and readers keep, and leave it for who asks the same again."""
    standing = answer.standing(
        ready,
        media_type=media_type,
        modified=service.stamp(here, ready.etag),
        fresh_until=fresh_until,
        until=until,
        private=bool(service.config.access_key),
        links=links,
    )
    request.environ[answer.STANDING] = standing
    said = answer.reply(standing, request.environ, service.now())
    # In a list: of mere bytes Response would say the length itself, which for HEAD is 0.
    response = Response([said.body], said.status)
    response.headers = Headers(said.headers)  # and none of those that Response makes up
    return response


@lru_cache(maxsize=32)
def _written(suffix: str, head: Head, found: tuple[Found, ...]) -> Ready:
    """Return the feed, written once for each change of what it holds."""
    return answer.ready(FORMATS[suffix].write(head, entries(found)))


def _link_headers(head: Head, suffix: str, links: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield Link headers (RFC 8288 3): the feed itself, and what says the same in other forms."""
    yield "Link", f'<{head.self_url}>; rel="self"'
    if suffix:
        yield "Link", f'<{head.page_url}>; rel="alternate"; type="text/html"'
    for name, url in links.items():
        if name != suffix:
            media_type = FORMATS[name].media_type
            yield "Link", f'<{url}>; rel="alternate"; type="{media_type}"'


def _page(service: Service, template: str, **values: object) -> str:
    """Return a page for people."""
    return render_template(
        template,
        base=_base(service),
        demo=service.config.demo,
        formats=FORMATS,
        version=__version__,
        **values,
    )


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


def _base(service: Service) -> str:
    peer = request.remote_addr or ""
    return address.base(service.config, scheme=request.scheme, peer=peer, headers=request.headers)


def _url(
    service: Service, path: str, suffix: str = "", *, q: str = "", limit: int | None = None
) -> str:
    """Return an address of this server, with the key that opens it."""
    tail = address.parameters(q, limit, _shown().key_for(path, q))
    return f"{_base(service)}{quote(path, safe='/+')}{suffix}{tail}"


def _client(service: Service) -> str:
    return address.client(
        service.config, peer=request.remote_addr or "unknown", headers=request.headers
    )


def _shown() -> Pass:
    """Return what the request has shown to get in."""
    shown: Pass = g.get("shown", Pass())
    return shown


def _admitted(service: Service) -> Pass:
    login = request.authorization
    return admitted(
        service.config.access_key,
        path=request.path,
        query=_asked_query(),
        key=request.args.get("key", ""),
        password=login.password if login and login.type == "basic" else None,
    )


# --- errors: what they become is told in the table of feedsrv.errors -------------------------


def _unknown(service: Service, error: UnknownFeedError) -> Answer:
    """Answer with how to ask for the same without the settings."""
    try:
        instead = _url(service, "/papers", ".atom", q=error.name)
    except ParameterError as wrong:  # what is raised here, no other handler takes
        return answer.problem(wrong)
    return answer.problem(error, feeds=list(error.known), instead=instead)


def _broken(error: Exception) -> Answer:
    """Answer 500 without a word about our insides, which go to the log."""
    log.error("%s %s broke", request.method, request.path, exc_info=error)
    return answer.http_problem(InternalServerError())
