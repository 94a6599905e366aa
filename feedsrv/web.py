"""Routes: an address to a feed or a page, and that to an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec
from flask import Flask, Response, jsonify, render_template, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound
from werkzeug.wrappers import Response as Answer

from feedsrv import __version__, answer, asked, metrics, page, prose
from feedsrv.answer import Problem, Ready
from feedsrv.entry import home
from feedsrv.errors import (
    FeedsrvError,
    NothingReadError,
    ParameterError,
    QueryError,
    UnknownFeedError,
)
from feedsrv.formats import FORMATS, bulletin, head, link_headers, subscriptions, written
from feedsrv.grammar import parse
from feedsrv.openapi import description
from feedsrv.paper import MOST_ENTRIES, Feed
from feedsrv.service import Reading, Service

log = logging.getLogger(__name__)


_LISTINGS = {
    "trending": Feed(name="trending", title="Trending papers", sources=("trending",)),
    "week": Feed(name="week", title="Daily Papers of the week", sources=("week",)),
    "month": Feed(name="month", title="Daily Papers of the month", sources=("month",)),
}
_PROSE = (
    *(prose.ago, prose.count, prose.day, prose.moment),
    *(prose.number, prose.sentence, prose.size, prose.until),
)
_DAY = 86400
#: Seconds after which who asks whether there is anything to serve may ask again.
_NOT_YET = 5
#: For how long word of what fails may be kept.
_NEWS = timedelta(minutes=5)
#: Pages of a feed that people can leaf through.
_MOST_PAGES = 999


def create_app(service: Service) -> Flask:
    """Return the WSGI application that serves the service's feeds."""
    app = Flask("feedsrv")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _DAY
    # Its redirects know neither public_url nor trusted proxies, and name whatever host was asked.
    app.url_map.merge_slashes = False
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    for each in (home, *_PROSE):
        app.add_template_filter(each)
    _route_feeds(app, service)
    _route_pages(app, service)
    _route_programs(app, service)
    _surround(app, service)
    return app


def _route_feeds(app: Flask, service: Service) -> None:
    @app.get("/papers", defaults={"suffix": ""})
    @app.get("/papers.<suffix>")
    def papers(suffix: str) -> Answer:
        query = asked.query()
        return _feed(service, [_adhoc(query)], suffix, query)

    @app.get(f"/papers/<any({','.join(_LISTINGS)}):listing>", defaults={"suffix": ""})
    @app.get(f"/papers/<any({','.join(_LISTINGS)}):listing>.<suffix>")
    def listing(listing: str, suffix: str) -> Answer:
        query = asked.query()
        return _feed(service, [_narrowed(_LISTINGS[listing], query)], suffix, query)

    @app.get("/feeds/<names>", defaults={"suffix": ""})
    @app.get("/feeds/<names>.<suffix>")
    def named(names: str, suffix: str) -> Answer:
        united = dict.fromkeys(names.split("+"))
        return _feed(service, [service.named(name) for name in united], suffix)

    @app.get("/feeds.opml")
    def opml() -> Answer:
        return _subscriptions(service)


def _route_pages(app: Flask, service: Service) -> None:
    @app.get("/")
    def index() -> Answer:
        window, today = service.overview.window(), service.now().date()
        feeds = service.config.feeds.values()
        cards = [
            page.feed_card(feed, window, service.overview.failure(feed), today) for feed in feeds
        ]
        return _now(_page(service, "index.html", **_previewed(service), cards=cards))

    @app.get("/preview")
    def preview() -> Answer:
        return _now(_page(service, "preview.html", **_previewed(service)))

    @app.get("/status")
    def status_page() -> Answer:
        named = page.list_name
        return _now(
            _page(service, "status.html", status=service.overview.status(), list_name=named)
        )

    @app.get("/favicon.ico")
    def favicon() -> Answer:
        return app.send_static_file("favicon.ico")


def _route_programs(app: Flask, service: Service) -> None:
    @app.get("/status.json")
    def status_data() -> Answer:
        data = msgspec.json.format(msgspec.json.encode(service.overview.status()), indent=1)
        return answer.uncached(Response(data, mimetype="application/json"))

    @app.get("/status.atom")
    def status_feed() -> Answer:
        return _bulletin(service)

    @app.get("/healthz")
    def healthz() -> Answer:
        return answer.uncached(Response("ok\n", mimetype="text/plain"))

    @app.get("/readyz")
    def readyz() -> Answer:
        if not service.is_ready():
            raise NothingReadError("the first lists are being asked for", _NOT_YET)
        return answer.uncached(Response("ready\n", mimetype="text/plain"))

    @app.get("/metrics")
    def measured() -> Answer:
        text = service.metrics.text(service.overview.status())
        return answer.uncached(Response(text, content_type=metrics.CONTENT_TYPE))

    @app.get("/openapi.json")
    def openapi() -> Answer:
        types = {suffix: each.media_type for suffix, each in FORMATS.items()}
        return jsonify(description(__version__, types, _LISTINGS, service.config.feeds))


def _surround(app: Flask, service: Service) -> None:
    """Have done what is done around every request: who may ask, what errors become."""
    private = bool(service.config.access_key)

    @app.before_request
    def admit() -> None:
        rule = request.url_rule
        request.environ[answer.ROUTE] = rule.rule if rule is not None else "none"
        if request.path != "/healthz":
            asked.admit(service.config)

    @app.after_request
    def harden(response: Answer) -> Answer:
        if answer.STANDING not in request.environ:  # such a one has them already
            response.headers.update(answer.hardening(response.mimetype or "", private=private))
        return response

    app.register_error_handler(UnknownFeedError, partial(_unknown, service))
    app.register_error_handler(FeedsrvError, lambda e: _refused(service, answer.problem(e), e))
    app.register_error_handler(HTTPException, lambda e: _refused(service, answer.http_problem(e)))
    app.register_error_handler(Exception, partial(_broken, service))


# --- one feed --------------------------------------------------------------------------------


def _feed(service: Service, feeds: Sequence[Feed], suffix: str, query: str = "") -> Answer:
    """Answer with the feeds, united, in the format of the suffix, or as a page without one.

    The query is the one that stands in the address.
    """
    if suffix and suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise NotFound(f"There is no format .{suffix}; feeds end in one of {known}.")
    limit = asked.number("limit", MOST_ENTRIES)
    part = 1 if suffix else asked.number("page", _MOST_PAGES) or 1
    path = request.path.removesuffix(f".{suffix}")
    url = partial(asked.url(service.config), path, q=query, limit=limit)
    links = {name: url(suffix=f".{name}") for name in FORMATS}
    own = url(page=_part(part))
    icon = asked.url(service.config)("/static/icon.png")
    about = head(
        feeds,
        demo=service.config.demo,
        self_url=links.get(suffix, own),
        page_url=own,
        icon_url=icon,
    )
    client = "" if service.is_known(about.self_url) else asked.client(service.config)
    reading = service.read(*feeds, limit=limit, page=part, client=client)
    if suffix:
        # If-Match asks for more than whether it is held (RFC 9110 13.1.1).
        held = None if "If-Match" in request.headers else request.if_none_match
        ready = written(suffix, about, reading.found, held)
        media_type = FORMATS[suffix].media_type
    else:
        twin = _twin(service, reading, url, part, head=about, links=links, query=query)
        ready, media_type = answer.ready(twin.encode()), "text/html"
    return _kept(
        service,
        ready,
        here=about.self_url,
        media_type=media_type,
        fresh_until=reading.fresh_until,
        until=reading.until,
        links=link_headers(about, suffix, links),
    )


def _twin(
    service: Service, reading: Reading, url: Callable[..., str], number: int, **values: object
) -> str:
    """Return a part of the feed as a page for people."""
    is_last = reading.before + len(reading.found) >= reading.matching
    return _page(
        service,
        "feed.html",
        cards=page.cards(reading.found),
        reading=reading,
        newer=url(page=_part(number - 1)) if number > 1 else "",
        older="" if is_last or service.config.static else url(page=number + 1),
        number=number,
        **values,
    )


def _part(number: int) -> int | None:
    """Return how an address names that part of a feed: the first has the feed's own address."""
    return number if number > 1 else None


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
    url = asked.url(service.config)
    here = url("/feeds.opml", format=name if name != "atom" else None)
    ready = answer.ready(subscriptions(service.config, name, url))
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


def _bulletin(service: Service) -> Answer:
    """Answer with what failed for long, for the reader of whoever runs this server."""
    url = asked.url(service.config)
    here, now = url("/status", ".atom"), service.now()
    ready = bulletin(
        service.overview.outages(),
        # Its key and the host that was asked make it no other feed.
        server=service.config.public_url,
        self_url=here,
        page_url=url("/status"),
        icon_url=url("/static/icon.png"),
    )
    return _kept(
        service,
        ready,
        here=here,
        media_type=FORMATS["atom"].media_type,
        fresh_until=now + _NEWS,
        until=now + _NEWS,
        links=[("Link", f'<{here}>; rel="self"')],
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


def _previewed(service: Service) -> dict[str, object]:
    """Return what a feed of the query in the address would hold, and where it is."""
    shown = page.shown(asked.query(), service.overview.window(), service.overview.older)
    query = "" if shown.problem else shown.query
    url = asked.url(service.config)
    return {
        "shown": shown,
        "links": {name: url("/papers", f".{name}", q=query) for name in FORMATS},
    }


def _page(service: Service, template: str, **values: object) -> str:
    """Return a page for people."""
    return render_template(
        template,
        url=asked.near() if service.config.static else asked.url(service.config),
        static=service.config.static,
        key=asked.shown().everywhere(),
        subscribe=partial(page.subscribe, service.config.readers),
        demo=service.config.demo,
        formats=FORMATS,
        version=__version__,
        now=service.now(),
        **values,
    )


def _now(text: str) -> Answer:
    """Answer with a page that tells how things are at this moment."""
    return answer.uncached(Response(text, mimetype="text/html"))


# --- errors: what they become is told in the table of feedsrv.errors -------------------------


def _refused(service: Service, problem: Problem, error: Exception | None = None) -> Answer:
    """Answer with what went wrong: a page for browsers, data for everything else."""
    if not answer.is_for_people(request):
        return answer.refused(problem)
    try:
        trouble = page.problem(error) if isinstance(error, QueryError) else None
        query = asked.query()
        text = _page(service, "error.html", problem=problem, trouble=trouble, query=query)
    except ParameterError:  # the address of this server is what is wrong
        return answer.refused(problem)
    return answer.refused(problem, text)


def _unknown(service: Service, error: UnknownFeedError) -> Answer:
    """Answer with how to ask for the same without the settings."""
    try:
        instead = asked.url(service.config)("/papers", ".atom", q=error.name)
    except ParameterError as wrong:  # what is raised here, no other handler takes
        return _refused(service, answer.problem(wrong))
    return _refused(service, answer.problem(error, feeds=list(error.known), instead=instead))


def _broken(service: Service, error: Exception) -> Answer:
    """Answer 500 without a word about our insides, which go to the log."""
    log.error("%s %s broke", request.method, request.path, exc_info=error)
    return _refused(service, answer.http_problem(InternalServerError()))
