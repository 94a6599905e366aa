"""Views: one method for each route. `feedsrv.web.app` turns errors into responses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import get_args
from urllib.parse import quote, urlsplit

import msgspec
from flask import Flask, jsonify, render_template, request, send_from_directory
from msgspec.structs import replace
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from feedsrv import __version__
from feedsrv.errors import NoDataYetError, ParameterError, QueryError
from feedsrv.feeds.adhoc import adhoc_feed
from feedsrv.feeds.formats import ALL_FORMATS, FORMATS, link_headers
from feedsrv.feeds.metadata import feed_metadata
from feedsrv.feeds.opml import render_subscriptions
from feedsrv.feeds.service import DigestResult, FeedResult, Service
from feedsrv.models import MAX_ENTRIES, DigestPeriod, Feed, Page
from feedsrv.monitoring.incidents import incident_feed
from feedsrv.monitoring.metrics import CONTENT_TYPE, Metrics
from feedsrv.monitoring.status import build_status, long_outage
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
from feedsrv.web.params import FeedParams, choice_param, feed_params, int_param, query_param
from feedsrv.web.problems import PROBLEM_TYPES_PATH
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
from feedsrv.web.routing import PERIODS, PaperIdConverter, parse_period, quote_query_string
from feedsrv.web.urls import RelativeURLBuilder, URLBuilder, base_url, client_address

_LISTING_FEEDS = {
    "trending": Feed(name="trending", title="Trending papers", sources=("trending",)),
    "week": Feed(name="week", title="Daily Papers of the week", sources=("week",)),
    "month": Feed(name="month", title="Daily Papers of the month", sources=("month",)),
}
_MAX_PAGE = 999
_MAX_UNITED_FEEDS = 50
#: Feeds on one page of the front page.
_FEEDS_PER_PAGE = 18
#: Rows of a table of the status page.
_MAX_STATUS_ROWS = 50
_STATIC_MAX_AGE = 86_400  # seconds
#: Paths that begin so are feeds and pages of keywords, of which there is no end.
_NOT_FOR_CRAWLERS = ("/papers", "/feeds", "/preview", "/status", "/metrics", "/?q=")
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
        app.url_map.converters["paper_id"] = PaperIdConverter
        periods = f"<any({','.join(PERIODS)}):period>"
        for suffix in ("", ".<suffix>"):
            listing = f"<any({','.join(_LISTING_FEEDS)}):listing>"
            app.add_url_rule(f"/papers{suffix}", view_func=self.papers)
            app.add_url_rule(f"/papers/{listing}{suffix}", view_func=self.listing)
            app.add_url_rule(f"/papers/{periods}/<key>{suffix}", view_func=self.period)
            app.add_url_rule(f"/papers/<paper_id:paper_id>{suffix}", view_func=self.paper)
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
        app.add_url_rule("/robots.txt", view_func=self.robots)
        app.add_url_rule(PROBLEM_TYPES_PATH, view_func=self.problem_types)
        app.add_url_rule("/favicon.ico", "favicon", partial(self.static_file, "favicon.ico"))
        self._static_folder = app.static_folder
        app.view_functions["static"] = self.static_file

    # --- feeds -------------------------------------------------------------------------------

    def papers(self, suffix: str = "") -> Response:
        """Return the ad-hoc feed of the query; every paper of the window without one."""
        for period, kind in PERIODS.items():
            if key := request.args.get(period):  # as in Hugging Face's own addresses
                return self._redirect(f"/papers/{period}/{parse_period(kind, key).key}", suffix)
        params = feed_params()
        return self._feed_response([adhoc_feed(params.q)], suffix, params)

    def listing(self, listing: str, suffix: str = "") -> Response:
        """Return the feed of one listing, filtered by the query."""
        params = feed_params()
        feed = _filter_by_query(_LISTING_FEEDS[listing], params.q)
        return self._feed_response([feed], suffix, params)

    def period(self, period: str, key: str, suffix: str = "") -> Response:
        """Return the feed of the list of a day, a week or a month, filtered by the query."""
        page = parse_period(PERIODS[period], key)
        if page.key != key:
            return self._redirect(f"/papers/{period}/{page.key}", suffix)
        params = feed_params()
        feed = Feed(
            name=str(page), title="Daily Papers", sources=("daily",), limit=MAX_ENTRIES, page=page
        )
        return self._feed_response([_filter_by_query(feed, params.q)], suffix, params)

    def paper(self, paper_id: str, suffix: str = "") -> Response:
        """Redirect to the feed that has one paper."""
        return self._redirect("/papers", suffix, q=f"id:{paper_id}")

    def configured_feeds(self, names: str, suffix: str = "") -> Response:
        """Return a configured feed, or several as one, filtered by the query."""
        unique_names = dict.fromkeys(names.split("+"))
        if len(unique_names) > _MAX_UNITED_FEEDS:
            count = str(len(unique_names))
            raise ParameterError("a union", count, f"must name at most {_MAX_UNITED_FEEDS} feeds")
        feeds = [self._service.get_configured_feed(name) for name in unique_names]
        params = feed_params()
        if params.q:
            parse_query(params.q, URL_LIMITS)
            feeds = [
                replace(feed, title=f"{feed.title}: {params.q}", narrowed_by=params.q)
                for feed in feeds
            ]
        return self._feed_response(feeds, suffix, params)

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

    def _feed_response(self, feeds: Sequence[Feed], suffix: str, params: FeedParams) -> Response:
        """Return the feeds as one, in the format of the suffix or, without one, as a page."""
        _check_format(suffix)
        query, _, query_suffix = params.q.rpartition(".")
        if query and not suffix and query_suffix in ALL_FORMATS:  # added at the end of the address
            return self._redirect(request.path, query_suffix, q=query)
        if params.match and all(feed.match == params.match for feed in feeds):
            params = params._replace(match=None)  # as without it
        elif params.match:
            feeds = [replace(feed, match=params.match) for feed in feeds]
        default_digest = _common_digest(feeds)
        if suffix == "bib":  # a reference manager has papers, not digests
            default_digest, params = "none", params._replace(digest=None)
        if params.digest == default_digest:
            params = params._replace(digest=None)
        feeds = [replace(feed, digest=params.digest or default_digest) for feed in feeds]
        page = None if suffix else int_param("page", _MAX_PAGE) or 1
        result = self._get_result(feeds, params.limit, page)
        url, path = self._url_builder(), request.path.removesuffix(f".{suffix}")
        feed_url = partial(url, path, **params._asdict())
        format_urls = {name: feed_url(suffix=f".{name}") for name in FORMATS}
        page_url = feed_url(page=_page_param(page))
        metadata = feed_metadata(
            [_with_period_title(feed, result.pages) for feed in feeds],
            demo=self._config.demo,
            self_url=feed_url(suffix=f".{suffix}") if suffix else page_url,
            page_url=page_url,
            icon_url=url("/static/icon.png"),
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
                "path_url": url.without_query_string(path, ".atom", **params._asdict()),
                "query": "" if request.endpoint == "configured_feeds" else params.q,
                "digest": feeds[0].digest,
                "sign_up_fields": self._sign_up_fields(path, params.q),
                "digest_urls": {
                    choice: url(
                        path, q=params.q, digest=choice if choice != default_digest else None
                    )
                    for choice in get_args(DigestPeriod)
                },
            }
            text = self._feed_page(feeds, result, feed_url, page or 1, **context)
            body = encode_body(text.encode())
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

    def _get_result(
        self, feeds: Sequence[Feed], limit: int | None, page: int | None
    ) -> FeedResult | DigestResult:
        """Return the papers of the feeds, or their digests; without a page, for feed readers."""
        client = client_address(self._config, request)
        if feeds[0].digest == "none":
            return self._service.get_feed(
                *feeds,
                limit=limit,
                page_number=page,
                client=client,
                is_preview=page is not None,
            )
        return self._service.get_digests(*feeds, limit=limit, page_number=page or 1, client=client)

    def _feed_page(
        self,
        feeds: Sequence[Feed],
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
        is_static = self._config.static_export
        is_configured = len(feeds) == 1 and request.endpoint == "configured_feeds"
        has_near_misses = is_configured and page == 1 and not is_static
        return self.render_page(
            template,
            cards=cards,
            result=result,
            newer_url=feed_url(page=_page_param(page - 1)) if page > 1 else "",
            older_url=feed_url(page=page + 1) if has_older else "",
            page_number=page,
            near_misses=self._service.near_misses(feeds[0]) if has_near_misses else (),
            **context,
        )

    # --- pages -------------------------------------------------------------------------------

    def index(self) -> Response:
        """Return the front page: a preview of the query, and the configured feeds."""
        window, today = self._service.window(), self._service.now().date()
        feeds, page = tuple(self._config.feeds.values()), int_param("page", _MAX_PAGE) or 1
        # A static export has no further pages.
        size = len(feeds) if self._config.static_export else _FEEDS_PER_PAGE
        offset, query = (page - 1) * size, query_param()
        listed = feeds[offset : offset + size]
        # Beside the preview of a query, only their titles.
        cards = (
            ()
            if query
            else [
                feed_card(feed, window, self._service.get_failure(feed), today) for feed in listed
            ]
        )
        url = partial(self._url_builder(), "/", q=query)
        return self._html_response(
            "index.html",
            **self._preview_context(),
            feeds=listed,
            cards=cards,
            outage=None if self._config.static_export else long_outage(self._service),
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
            "status.html",
            status=build_status(self._service),
            page_title=page_title,
            max_rows=_MAX_STATUS_ROWS,
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
        path_url = url.without_query_string("/papers", ".atom", q=query)
        digest_urls = {
            choice: url("/papers", q=query, digest=choice if choice != "none" else None)
            for choice in get_args(DigestPeriod)
        }
        return {
            "preview": preview,
            "links": links,
            "bib_url": url("/papers", ".bib", q=query),
            "path_url": path_url,
            "digest_urls": digest_urls,
            "sign_up_fields": self._sign_up_fields("/papers", query),
        }

    def _html_response(self, template: str, **context: object) -> Response:
        response = Response(self.render_page(template, **context), mimetype="text/html")
        return self._revalidated(response)

    def _revalidated(self, response: Response) -> Response:
        """Return the response with the header that has caches ask each time whether it changed."""
        private = "private, " if self._config.access_key else ""
        response.headers["Cache-Control"] = f"{private}no-cache"
        return response

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
        return self._revalidated(jsonify(load_description(self._config.feeds)))

    def robots(self) -> Response:
        """Return what crawlers may read: of a public server, the front page without a query."""
        disallowed = ["/"] if self._config.access_key else _NOT_FOR_CRAWLERS
        prefix = self.path_prefix()
        lines = ["User-agent: *", *(f"Disallow: {prefix}{path}" for path in disallowed), ""]
        return self._revalidated(Response("\n".join(lines), mimetype="text/plain"))

    def problem_types(self) -> Response:
        """Return the page that describes the types of problems."""
        return self._html_response("problems.html")

    def static_file(self, filename: str) -> Response:
        """Return a file of the pages, with validators that `add_validators` replaces."""
        response = send_from_directory(
            str(self._static_folder),
            filename,
            conditional=False,
            etag=False,
            max_age=_STATIC_MAX_AGE,
        )
        response.direct_passthrough = False
        with response:  # closes the file
            response.get_data()
        return response

    # --- shared ------------------------------------------------------------------------------

    def _sign_up_fields(self, path: str, query: str) -> dict[str, str]:
        """Return the fields of the sign-up form that name the feed; none where there is no form."""
        if not self._config.mail.sign_up or self._config.static_export:
            return {}
        if path.startswith("/feeds/"):
            return {} if query else {"feed": path.removeprefix("/feeds/")}
        return {"q": query} if path == "/papers" else {}

    def adhoc_feed_url(self, query: str) -> str:
        """Return the URL of the ad-hoc feed for the name of an unknown feed, or for other words.

        Raises:
            ParameterError: The request has no well-formed host.

        """
        return self._url_builder()("/papers", ".atom", q=query)

    def path_prefix(self) -> str:
        """Return the path that all URLs of this server begin with; mostly an empty string."""
        try:
            return urlsplit(base_url(self._config, request)).path
        except ParameterError:
            return request.root_path

    def redirect_to(self, path: str) -> Response:
        """Return a permanent redirect of the current request to another path of the server.

        The query string stays as it is.

        Raises:
            ParameterError: The request has no well-formed host.

        """
        url = f"{base_url(self._config, request)}{quote(path)}"
        return _redirect_response(f"{url}{quote_query_string(request.query_string)}")

    def _redirect(self, path: str, suffix: str, **parameters: str) -> Response:
        """Return a permanent redirect to a feed, with the other parameters of the request."""
        _check_format(suffix)
        params = feed_params()._asdict() | parameters
        url = self._url_builder()(path, f".{suffix}" if suffix else "", **params)
        return _redirect_response(url)

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


def _common_digest(feeds: Sequence[Feed]) -> DigestPeriod:
    """Return the digest period of the feeds, if the settings have the same for all."""
    periods = {feed.digest for feed in feeds}
    return periods.pop() if len(periods) == 1 else "none"


def _check_format(suffix: str) -> None:
    """Check the suffix of a feed's path; a page has none.

    Raises:
        NotFound: There is no such format.

    """
    if suffix and suffix not in ALL_FORMATS:
        known = ", ".join(f".{name}" for name in ALL_FORMATS)
        raise NotFound(f"There is no format .{suffix}; feeds end in one of {known}.")


def _filter_by_query(feed: Feed, query: str) -> Feed:
    """Return the feed with the query, which its title then ends with.

    Raises:
        QueryError: The query is invalid.

    """
    if not query:
        return feed
    parse_query(query, URL_LIMITS)
    return replace(feed, title=f"{feed.title}: {query}", query=query)


def _with_period_title(feed: Feed, pages: Sequence[Page]) -> Feed:
    """Return the feed with the day, week or month of its list in its title.

    It is that of the list that upstream returned, perhaps in place of the requested one.
    """
    if feed.page is None:
        return feed
    title = f"Daily Papers of {page_title(next(iter(pages), feed.page)).replace('Week', 'week')}"
    return replace(feed, title=f"{title}: {feed.query}" if feed.query else title)


def _redirect_response(url: str) -> Response:
    # Without a body: one in HTML would not be for pages of other origins.
    response = Response(status=HTTPStatus.PERMANENT_REDIRECT, mimetype="text/plain")
    response.headers["Location"] = url
    return set_no_store(response)


def _page_param(page: int | None) -> int | None:
    """Return the parameter for a page of a feed; the first page has the URL of the feed."""
    return page if page and page > 1 else None
