"""Routes: an address to a feed or a page, and that to an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial

import msgspec
from flask import Flask, Response, jsonify, render_template, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as Answer

from feedsrv import __version__
from feedsrv.errors import (
    NoDataYetError,
    ParameterError,
)
from feedsrv.feeds.formats import FORMATS, link_headers
from feedsrv.feeds.metadata import feed_metadata
from feedsrv.feeds.opml import render_subscriptions
from feedsrv.feeds.service import FeedResult, Service
from feedsrv.models import MAX_ENTRIES, Feed
from feedsrv.monitoring.incidents import incident_feed
from feedsrv.monitoring.metrics import CONTENT_TYPE, Metrics
from feedsrv.monitoring.status import build_status
from feedsrv.search.parser import parse_query
from feedsrv.web.auth import credentials
from feedsrv.web.openapi import build_description
from feedsrv.web.pages import build_preview, feed_card, page_title, paper_cards, subscribe_links
from feedsrv.web.params import int_param, query_param
from feedsrv.web.rendering import render_cached
from feedsrv.web.responses import (
    STANDING,
    EncodedBody,
    build_cached_response,
    encode_body,
    no_store,
    respond_conditionally,
)
from feedsrv.web.urls import client_id, relative_url, url_builder

log = logging.getLogger(__name__)


_LIST_FEEDS = {
    "trending": Feed(name="trending", title="Trending papers", sources=("trending",)),
    "week": Feed(name="week", title="Daily Papers of the week", sources=("week",)),
    "month": Feed(name="month", title="Daily Papers of the month", sources=("month",)),
}
#: Seconds after which who asks whether there is anything to serve may ask again.
_READY_RETRY_AFTER = 5
#: For how long word of what fails may be kept.
_INCIDENT_FEED_MAX_AGE = timedelta(minutes=5)
#: Pages of a feed that people can leaf through.
_MAX_PAGES = 999


def _register_feed_routes(app: Flask, service: Service) -> None:
    @app.get("/papers", defaults={"suffix": ""})
    @app.get("/papers.<suffix>")
    def papers(suffix: str) -> Answer:
        query = query_param()
        return _feed_response(service, [_adhoc_feed(query)], suffix, query)

    @app.get(f"/papers/<any({','.join(_LIST_FEEDS)}):listing>", defaults={"suffix": ""})
    @app.get(f"/papers/<any({','.join(_LIST_FEEDS)}):listing>.<suffix>")
    def listing(listing: str, suffix: str) -> Answer:
        query = query_param()
        return _feed_response(service, [_narrow(_LIST_FEEDS[listing], query)], suffix, query)

    @app.get("/feeds/<names>", defaults={"suffix": ""})
    @app.get("/feeds/<names>.<suffix>")
    def named(names: str, suffix: str) -> Answer:
        united = dict.fromkeys(names.split("+"))
        return _feed_response(
            service, [service.get_configured_feed(name) for name in united], suffix
        )

    @app.get("/feeds.opml")
    def opml() -> Answer:
        return _opml_response(service)


def _register_page_routes(app: Flask, service: Service) -> None:
    @app.get("/")
    def index() -> Answer:
        window, today = service.window(), service.now().date()
        feeds = service.config.feeds.values()
        cards = [feed_card(feed, window, service.get_failure(feed), today) for feed in feeds]
        return _html_response(
            _render_page(service, "index.html", **_preview_context(service), cards=cards)
        )

    @app.get("/preview")
    def preview() -> Answer:
        return _html_response(_render_page(service, "preview.html", **_preview_context(service)))

    @app.get("/status")
    def status_page() -> Answer:
        named = page_title
        return _html_response(
            _render_page(service, "status.html", status=build_status(service), list_name=named)
        )

    @app.get("/favicon.ico")
    def favicon() -> Answer:
        return app.send_static_file("favicon.ico")


def _register_machine_routes(app: Flask, service: Service, metrics: Metrics) -> None:
    @app.get("/status.json")
    def status_data() -> Answer:
        data = msgspec.json.format(msgspec.json.encode(build_status(service)), indent=1)
        return no_store(Response(data, mimetype="application/json"))

    @app.get("/status.atom")
    def status_feed() -> Answer:
        return _incident_feed_response(service)

    @app.get("/healthz")
    def healthz() -> Answer:
        return no_store(Response("ok\n", mimetype="text/plain"))

    @app.get("/readyz")
    def readyz() -> Answer:
        if not service.is_ready():
            raise NoDataYetError("the first lists are being asked for", _READY_RETRY_AFTER)
        return no_store(Response("ready\n", mimetype="text/plain"))

    @app.get("/metrics")
    def measured() -> Answer:
        text = metrics.render(build_status(service))
        return no_store(Response(text, content_type=CONTENT_TYPE))

    @app.get("/openapi.json")
    def openapi() -> Answer:
        types = {suffix: each.media_type for suffix, each in FORMATS.items()}
        return jsonify(build_description(__version__, types, _LIST_FEEDS, service.config.feeds))


# --- one feed --------------------------------------------------------------------------------


def _feed_response(service: Service, feeds: Sequence[Feed], suffix: str, query: str = "") -> Answer:
    """Answer with the feeds, united, in the format of the suffix, or as a page without one.

    The query is the one that stands in the address.
    """
    if suffix and suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise NotFound(f"There is no format .{suffix}; feeds end in one of {known}.")
    limit = int_param("limit", MAX_ENTRIES)
    part = 1 if suffix else int_param("page", _MAX_PAGES) or 1
    path = request.path.removesuffix(f".{suffix}")
    url = partial(url_builder(service.config), path, q=query, limit=limit)
    links = {name: url(suffix=f".{name}") for name in FORMATS}
    own = url(page=_page_number(part))
    icon = url_builder(service.config)("/static/icon.png")
    about = feed_metadata(
        feeds,
        demo=service.config.demo,
        self_url=links.get(suffix, own),
        page_url=own,
        icon_url=icon,
    )
    client = "" if service.was_served(about.self_url) else client_id(service.config)
    reading = service.get_feed(*feeds, limit=limit, page=part, client=client)
    if suffix:
        # If-Match asks for more than whether it is held (RFC 9110 13.1.1).
        held = None if "If-Match" in request.headers else request.if_none_match
        ready = render_cached(suffix, about, reading.matches, held)
        media_type = FORMATS[suffix].media_type
    else:
        twin = _html_page(service, reading, url, part, head=about, links=links, query=query)
        ready, media_type = encode_body(twin.encode()), "text/html"
    return _cacheable_response(
        service,
        ready,
        here=about.self_url,
        media_type=media_type,
        fresh_until=reading.fresh_until,
        until=reading.expires_at,
        links=link_headers(about, suffix, links),
    )


def _html_page(
    service: Service, reading: FeedResult, url: Callable[..., str], number: int, **values: object
) -> str:
    """Return a part of the feed as a page for people."""
    is_last = reading.offset + len(reading.matches) >= reading.total
    return _render_page(
        service,
        "feed.html",
        cards=paper_cards(reading.matches),
        reading=reading,
        newer=url(page=_page_number(number - 1)) if number > 1 else "",
        older="" if is_last or service.config.static_export else url(page=number + 1),
        number=number,
        **values,
    )


def _page_number(number: int) -> int | None:
    """Return how an address names that part of a feed: the first has the feed's own address."""
    return number if number > 1 else None


def _adhoc_feed(query: str) -> Feed:
    if not query:
        return Feed(name="all", title="Daily Papers", sources=("daily",))
    return Feed(name=str(parse_query(query)), title=f"Daily Papers: {query}", query=query)


def _narrow(feed: Feed, query: str) -> Feed:
    if not query:
        return feed
    parse_query(query)
    return msgspec.structs.replace(feed, title=f"{feed.title}: {query}", query=query)


def _opml_response(service: Service) -> Answer:
    """Answer with the configured feeds, for a reader to subscribe to all of them."""
    name = request.args.get("format", "atom")
    if name not in FORMATS:
        raise ParameterError("format", name, f"must be one of {', '.join(FORMATS)}")
    url = url_builder(service.config)
    here = url("/feeds.opml", format=name if name != "atom" else None)
    ready = encode_body(render_subscriptions(service.config.feeds.values(), name, url))
    saved = ("Content-Disposition", "attachment; filename=feedsrv.opml")
    later = service.now() + timedelta(hours=1)
    return _cacheable_response(
        service,
        ready,
        here=here,
        media_type="text/x-opml",
        fresh_until=later,
        until=later,
        links=[saved],
    )


def _incident_feed_response(service: Service) -> Answer:
    """Answer with what failed for long, for the reader of whoever runs this server."""
    url = url_builder(service.config)
    here, now = url("/status", ".atom"), service.now()
    document = incident_feed(
        service.repository.get_incidents(),
        # Its key and the host that was asked make it no other feed.
        server=service.config.public_url,
        self_url=here,
        page_url=url("/status"),
        icon_url=url("/static/icon.png"),
    )
    return _cacheable_response(
        service,
        encode_body(document),
        here=here,
        media_type=FORMATS["atom"].media_type,
        fresh_until=now + _INCIDENT_FEED_MAX_AGE,
        until=now + _INCIDENT_FEED_MAX_AGE,
        links=[("Link", f'<{here}>; rel="self"')],
    )


def _cacheable_response(
    service: Service,
    ready: EncodedBody,
    *,
    here: str,
    media_type: str,
    fresh_until: datetime,
    until: datetime,
    links: Iterable[tuple[str, str]],
) -> Answer:
    """Answer with what caches and readers keep, and leave it for who asks the same again."""
    standing = build_cached_response(
        ready,
        media_type=media_type,
        modified=service.last_modified(here, ready.etag),
        fresh_until=fresh_until,
        until=until,
        private=bool(service.config.access_key),
        links=links,
    )
    request.environ[STANDING] = standing
    said = respond_conditionally(standing, request.environ, service.now())
    # In a list: of mere bytes Response would say the length itself, which for HEAD is 0.
    response = Response([said.body], said.status)
    response.headers = Headers(said.headers)  # and none of those that Response makes up
    return response


def _preview_context(service: Service) -> dict[str, object]:
    """Return what a feed of the query in the address would hold, and where it is."""
    shown = build_preview(query_param(), service.window(), service.count_older)
    query = "" if shown.problem else shown.query
    url = url_builder(service.config)
    return {
        "shown": shown,
        "links": {name: url("/papers", f".{name}", q=query) for name in FORMATS},
    }


def _render_page(service: Service, template: str, **values: object) -> str:
    """Return a page for people."""
    return render_template(
        template,
        url=relative_url() if service.config.static_export else url_builder(service.config),
        static=service.config.static_export,
        key=credentials().master_key(),
        subscribe=partial(subscribe_links, service.config.readers),
        demo=service.config.demo,
        formats=FORMATS,
        version=__version__,
        now=service.now(),
        **values,
    )


def _html_response(text: str) -> Answer:
    """Answer with a page that tells how things are at this moment."""
    return no_store(Response(text, mimetype="text/html"))
