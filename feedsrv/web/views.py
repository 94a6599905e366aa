"""Views: one method for each route. `feedsrv.web.app` turns errors into responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import msgspec
from flask import Flask, jsonify, render_template, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from feedsrv import __version__
from feedsrv.errors import NoDataYetError, ParameterError, QueryError
from feedsrv.feeds.formats import ALL_FORMATS, FORMATS, link_headers
from feedsrv.feeds.metadata import feed_metadata
from feedsrv.feeds.opml import render_subscriptions
from feedsrv.feeds.service import DigestResult, FeedResult, Service
from feedsrv.models import MAX_ENTRIES, Feed
from feedsrv.monitoring.incidents import incident_feed
from feedsrv.monitoring.metrics import CONTENT_TYPE, Metrics
from feedsrv.monitoring.status import build_status
from feedsrv.search.parser import URL_LIMITS, parse_query
from feedsrv.web.auth import credentials
from feedsrv.web.openapi import load_description
from feedsrv.web.pages import (
    build_preview,
    feed_card,
    invalid_query_preview,
    page_title,
    paper_cards,
    subscribe_links,
)
from feedsrv.web.params import (
    DIGEST_CHOICES,
    choice_param,
    digest_param,
    int_param,
    query_param,
)
from feedsrv.web.rendering import FeedRenderer, digest_document, feed_document
from feedsrv.web.responses import (
    CacheableFlaskResponse,
    CacheableResponse,
    Header,
    build_cacheable_response,
    encode_body,
    preconditions_allow_body,
    set_no_store,
    with_body,
)
from feedsrv.web.urls import RelativeURLBuilder, URLBuilder, client_address

_LISTING_FEEDS = {
    "trending": Feed(name="trending", title="Trending papers", sources=("trending",)),
    "week": Feed(name="week", title="Daily Papers of the week", sources=("week",)),
    "month": Feed(name="month", title="Daily Papers of the month", sources=("month",)),
}
_MAX_PAGE = 999
_MAX_UNITED_FEEDS = 50
#: Feeds on one page of the front page.
_FEEDS_PER_PAGE = 24
_OPML_LIFETIME = timedelta(hours=1)
_INCIDENT_FEED_LIFETIME = timedelta(minutes=5)
#: Seconds after which to ask again whether the server is ready.
_READY_RETRY_AFTER = 5


class Views:
    """The views of one application.

    Args:
        service: Gives the papers of feeds.
        metrics: What ``/metrics`` shows.

    """

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service
        self._config = service.config
        self._metrics = metrics
        self._renderer = FeedRenderer()

    def register(self, app: Flask) -> None:
        """Add the routes to the application."""
        for suffix in ("", ".<suffix>"):
            listing = f"<any({','.join(_LISTING_FEEDS)}):listing>"
            app.add_url_rule(f"/papers{suffix}", view_func=self.papers)
            app.add_url_rule(f"/papers/{listing}{suffix}", view_func=self.listing)
            app.add_url_rule(f"/feeds/<names>{suffix}", view_func=self.configured_feeds)
        app.add_url_rule("/feeds.opml", view_func=self.opml)
        app.add_url_rule("/", view_func=self.index)
        app.add_url_rule("/preview", view_func=self.preview)
        app.add_url_rule("/status", view_func=self.status_page)
        app.add_url_rule("/status.json", view_func=self.status_json)
        app.add_url_rule("/status.atom", view_func=self.status_feed)
        app.add_url_rule("/healthz", view_func=self.healthz)
        app.add_url_rule("/readyz", view_func=self.readyz)
        app.add_url_rule("/metrics", view_func=self.metrics)
        app.add_url_rule("/openapi.json", view_func=self.openapi)
        app.add_url_rule("/favicon.ico", "favicon", partial(app.send_static_file, "favicon.ico"))

    # --- feeds -------------------------------------------------------------------------------

    def papers(self, suffix: str = "") -> Response:
        """Return the ad-hoc feed of the query; every paper of the window without one."""
        query = query_param()
        feed = Feed(name="all", title="Daily Papers", sources=("daily",))
        if query:
            name = str(parse_query(query, URL_LIMITS))
            feed = Feed(name=name, title=f"Daily Papers: {query}", query=query)
        return self._feed_response([feed], suffix, query)

    def listing(self, listing: str, suffix: str = "") -> Response:
        """Return the feed of one listing, filtered by the query."""
        query, feed = query_param(), _LISTING_FEEDS[listing]
        if query:
            parse_query(query, URL_LIMITS)
            feed = msgspec.structs.replace(feed, title=f"{feed.title}: {query}", query=query)
        return self._feed_response([feed], suffix, query)

    def configured_feeds(self, names: str, suffix: str = "") -> Response:
        """Return a configured feed, or several as one."""
        unique_names = dict.fromkeys(names.split("+"))
        if len(unique_names) > _MAX_UNITED_FEEDS:
            count = str(len(unique_names))
            raise ParameterError("a union", count, f"must name at most {_MAX_UNITED_FEEDS} feeds")
        feeds = [self._service.get_configured_feed(name) for name in unique_names]
        return self._feed_response(feeds, suffix)

    def opml(self) -> Response:
        """Return the configured feeds as a list of subscriptions."""
        suffix = choice_param("format", FORMATS, default="atom")
        url = self._url_builder()
        body = encode_body(render_subscriptions(self._config.feeds.values(), suffix, url))
        expires_at = self._service.now() + _OPML_LIFETIME
        cached = self._build_cached_response(
            body.etag,
            url=url("/feeds.opml", format=suffix if suffix != "atom" else None),
            media_type="text/x-opml",
            fresh_until=expires_at,
            expires_at=expires_at,
            headers=[("Content-Disposition", "attachment; filename=feedsrv.opml")],
        )
        return self._respond(with_body(cached, body))

    def _feed_response(self, feeds: Sequence[Feed], suffix: str, query: str = "") -> Response:
        """Return the feeds as one, in the format of the suffix or, without one, as a page.

        Args:
            feeds: The feeds.
            suffix: The suffix of the format.
            query: The query of the request.

        """
        if suffix and suffix not in ALL_FORMATS:
            known = ", ".join(f".{name}" for name in ALL_FORMATS)
            raise NotFound(f"There is no format .{suffix}; feeds end in one of {known}.")
        limit = int_param("limit", MAX_ENTRIES)
        # A reference manager has papers, not digests.
        default_digest, digest = _common_digest(feeds), digest_param()
        if suffix == "bib":
            default_digest, digest = "none", None
        feeds = [msgspec.structs.replace(feed, digest=digest or default_digest) for feed in feeds]
        page = None if suffix else int_param("page", _MAX_PAGE) or 1
        url = self._url_builder()
        path = request.path.removesuffix(f".{suffix}")
        feed_url = partial(url, path, q=query, limit=limit, digest=digest)
        format_urls = {name: feed_url(suffix=f".{name}") for name in FORMATS}
        page_url = feed_url(page=_page_param(page))
        metadata = feed_metadata(
            feeds,
            demo=self._config.demo,
            self_url=feed_url(suffix=f".{suffix}") if suffix else page_url,
            page_url=page_url,
            icon_url=url("/static/icon.png"),
        )
        is_known = self._service.was_served(metadata.self_url)
        client = "" if is_known else client_address(self._config, request)
        result: FeedResult | DigestResult
        if feeds[0].digest == "none":
            result = self._service.get_feed(
                *feeds, limit=limit, page_number=page, client=client, is_preview=not suffix
            )
        else:
            result = self._service.get_digests(
                *feeds, limit=limit, page_number=page or 1, client=client
            )
        respond = partial(
            self._build_cached_response,
            url=metadata.self_url,
            fresh_until=result.poll_after,
            expires_at=result.cacheable_until,
            headers=link_headers(metadata, suffix, format_urls),
        )
        if not suffix:
            context = {
                "metadata": metadata,
                "links": format_urls,
                "bib_url": feed_url(suffix=".bib"),
                "query": query,
                "digest": feeds[0].digest,
                "digest_urls": {
                    choice: url(path, q=query, digest=choice if choice != default_digest else None)
                    for choice in DIGEST_CHOICES
                },
            }
            body = encode_body(self._feed_page(result, feed_url, page or 1, **context).encode())
            return self._respond(with_body(respond(body.etag, media_type="text/html"), body))
        document = (
            feed_document(suffix, metadata, result.matches)
            if isinstance(result, FeedResult)
            else digest_document(suffix, metadata, result.digests, feeds)
        )
        cached = respond(self._renderer.etag(document), media_type=ALL_FORMATS[suffix].media_type)
        if preconditions_allow_body(cached, request.environ):
            cached = with_body(cached, self._renderer.render(document))
        return self._respond(cached)

    def _feed_page(
        self,
        result: FeedResult | DigestResult,
        feed_url: Callable[..., str],
        page: int,
        **context: object,
    ) -> str:
        """Return one page of a feed as HTML."""
        if isinstance(result, FeedResult):
            template, cards = "feed.html", paper_cards(result.matches, result.queries)
            last = result.offset + len(result.matches)
        else:
            template, cards = "digests.html", ()
            last = result.offset + len(result.digests)
        has_older = last < result.total and not self._config.static_export
        return self.render_page(
            template,
            cards=cards,
            result=result,
            newer_url=feed_url(page=_page_param(page - 1)) if page > 1 else "",
            older_url=feed_url(page=page + 1) if has_older else "",
            page_number=page,
            **context,
        )

    # --- pages -------------------------------------------------------------------------------

    def index(self) -> Response:
        """Return the front page: a preview of the query, and the configured feeds."""
        window, today = self._service.window(), self._service.now().date()
        feeds, page = tuple(self._config.feeds.values()), int_param("page", _MAX_PAGE) or 1
        # A static export has no further pages.
        size = len(feeds) if self._config.static_export else _FEEDS_PER_PAGE
        offset = (page - 1) * size
        cards = [
            feed_card(feed, window, self._service.get_failure(feed), today)
            for feed in feeds[offset : offset + size]
        ]
        url = partial(self._url_builder(), "/", q=query_param())
        return self._html_response(
            "index.html",
            **self._preview_context(),
            cards=cards,
            offset=offset,
            feed_count=len(feeds),
            previous_url=url(page=_page_param(page - 1)) if page > 1 else "",
            next_url=url(page=page + 1) if offset + size < len(feeds) else "",
        )

    def preview(self) -> Response:
        """Return a part of a page: what a feed of the query would contain."""
        return self._html_response("preview.html", **self._preview_context())

    def status_page(self) -> Response:
        """Return the status of the server as a page."""
        return self._html_response(
            "status.html", status=build_status(self._service), page_title=page_title
        )

    def _preview_context(self) -> dict[str, object]:
        query = query_param()
        try:
            if query:
                tree, client = parse_query(query, URL_LIMITS), client_address(self._config, request)
                self._service.fetch_seeds(tree, query, client)
            preview = build_preview(query, self._service.window(), self._service.count_older(query))
        except QueryError as error:
            preview, query = invalid_query_preview(error), ""
        url = self._url_builder()
        links = {name: url("/papers", f".{name}", q=query) for name in FORMATS}
        digest_urls = {
            choice: url("/papers", q=query, digest=choice if choice != "none" else None)
            for choice in DIGEST_CHOICES
        }
        bib_url = url("/papers", ".bib", q=query)
        return {"preview": preview, "links": links, "bib_url": bib_url, "digest_urls": digest_urls}

    def _html_response(self, template: str, **context: object) -> Response:
        return set_no_store(Response(self.render_page(template, **context), mimetype="text/html"))

    def render_page(self, template: str, **context: object) -> str:
        """Return a page as HTML.

        Raises:
            ParameterError: The request has no well-formed host.

        """
        is_static = self._config.static_export
        return render_template(
            template,
            url=RelativeURLBuilder(request.path) if is_static else self._url_builder(),
            static_export=is_static,
            access_key=credentials().access_key_in_url(),
            subscribe_links=partial(subscribe_links, self._config.readers),
            demo=self._config.demo,
            formats=FORMATS,
            version=__version__,
            now=self._service.now(),
            **context,
        )

    # --- for operators and programs ----------------------------------------------------------

    def status_json(self) -> Response:
        """Return the status of the server as JSON."""
        body = msgspec.json.format(msgspec.json.encode(build_status(self._service)), indent=1)
        return set_no_store(Response(body, mimetype="application/json"))

    def status_feed(self) -> Response:
        """Return the incidents as an Atom feed, for the operator's feed reader."""
        url = self._url_builder()
        self_url = url("/status", ".atom")
        document = incident_feed(
            self._service.repository.get_incidents(),
            # Neither the access key nor the host of the request makes it another feed.
            server=self._config.public_url,
            self_url=self_url,
            page_url=url("/status"),
            icon_url=url("/static/icon.png"),
        )
        body = encode_body(document)
        expires_at = self._service.now() + _INCIDENT_FEED_LIFETIME
        cached = self._build_cached_response(
            body.etag,
            url=self_url,
            media_type=FORMATS["atom"].media_type,
            fresh_until=expires_at,
            expires_at=expires_at,
            headers=[("Link", f'<{self_url}>; rel="self"')],
        )
        return self._respond(with_body(cached, body))

    def healthz(self) -> Response:
        """Return whether the process can answer."""
        return set_no_store(Response("ok\n", mimetype="text/plain"))

    def readyz(self) -> Response:
        """Return whether there is anything to serve."""
        if not self._service.is_ready():
            raise NoDataYetError("the first lists are being fetched", _READY_RETRY_AFTER)
        return set_no_store(Response("ready\n", mimetype="text/plain"))

    def metrics(self) -> Response:
        """Return metrics for Prometheus."""
        body = self._metrics.render(build_status(self._service))
        return set_no_store(Response(body, content_type=CONTENT_TYPE))

    def openapi(self) -> Response:
        """Return the OpenAPI description of the server."""
        return jsonify(load_description(self._config.feeds))

    # --- shared ------------------------------------------------------------------------------

    def unknown_feed_url(self, name: str) -> str:
        """Return the URL of the ad-hoc feed for the name of a feed that is not configured.

        Raises:
            ParameterError: The request has no well-formed host.

        """
        return self._url_builder()("/papers", ".atom", q=name)

    def _url_builder(self) -> URLBuilder:
        return URLBuilder.from_request(self._config, request, credentials())

    def _build_cached_response(
        self,
        etag: str,
        *,
        url: str,
        media_type: str,
        fresh_until: datetime,
        expires_at: datetime,
        headers: Iterable[Header],
    ) -> CacheableResponse:
        return build_cacheable_response(
            etag,
            media_type=media_type,
            modified=self._service.last_modified(url, etag),
            poll_after=fresh_until,
            cacheable_until=expires_at,
            private=bool(self._config.access_key),
            headers=headers,
        )

    def _respond(self, cached: CacheableResponse) -> Response:
        return CacheableFlaskResponse(cached, request.environ, self._service.now())


def _common_digest(feeds: Sequence[Feed]) -> Literal["none", "day", "week"]:
    """Return the digest period of the feeds, if the settings have the same for all."""
    periods = {feed.digest for feed in feeds}
    return periods.pop() if len(periods) == 1 else "none"


def _page_param(page: int | None) -> int | None:
    """Return the parameter for a page of a feed; the first page has the URL of the feed."""
    return page if page and page > 1 else None
