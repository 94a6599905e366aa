"""The views of feeds, one for each route: in a feed format, or as a page."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from flask import Flask, request
from msgspec.structs import replace
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from feedsrv.errors import ParameterError
from feedsrv.feeds.adhoc import adhoc_feed
from feedsrv.feeds.formats import ALL_FORMATS, FORMATS, link_headers
from feedsrv.feeds.metadata import feed_metadata
from feedsrv.feeds.opml import render_opml
from feedsrv.feeds.results import DigestResult, FeedResult
from feedsrv.feeds.service import Service
from feedsrv.models import MAX_ENTRIES, DigestPeriod, Feed, Page
from feedsrv.search.parser import URL_LIMITS, parse_query
from feedsrv.web.base_views import BaseViews, redirect_response
from feedsrv.web.content_encoding import encode_body
from feedsrv.web.pages import page_title
from feedsrv.web.paper_cards import paper_cards
from feedsrv.web.params import FeedParams, choice_param, feed_params, page_number_param, page_param
from feedsrv.web.pasted_query import list_path
from feedsrv.web.rendering import FeedRenderer, feed_document
from feedsrv.web.responses import preconditions_allow_body, with_body
from feedsrv.web.routing import PERIODS, PaperIdConverter, parse_period
from feedsrv.web.urls import client_address

_LISTING_FEEDS = {
    "trending": Feed(name="trending", title="Trending papers", sources=("trending",)),
    "week": Feed(name="week", title="Daily Papers of the week", sources=("week",)),
    "month": Feed(name="month", title="Daily Papers of the month", sources=("month",)),
}
_MAX_UNITED_FEEDS = 50
_OPML_LIFETIME = timedelta(hours=1)


class FeedViews(BaseViews):
    """The views of feeds."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
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

    def papers(self, suffix: str = "") -> Response:
        """Return the ad-hoc feed of the query; every paper of the window without one."""
        for period, kind in PERIODS.items():
            if key := request.args.get(period):  # as in Hugging Face's own addresses
                return self._redirect(f"/papers/{period}/{parse_period(kind, key).key}", suffix)
        params = feed_params()
        if path := list_path(params.q):
            return self._redirect(path, suffix, q="")
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
        feeds = [_filter_by_query(feed, params.q, "narrowed_by") for feed in feeds]
        return self._feed_response(feeds, suffix, params)

    def opml(self) -> Response:
        """Return the configured feeds as a list of subscriptions."""
        suffix = choice_param("format", FORMATS) or "atom"
        url = self._url_builder()
        return self._document_response(
            render_opml(self._config.feeds.values(), suffix, url),
            "text/x-opml",
            url("/feeds.opml", format=suffix if suffix != "atom" else None),
            _OPML_LIFETIME,
            [("Content-Disposition", "attachment; filename=feedsrv.opml")],
        )

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
        page = None if suffix else page_number_param()
        result = self._get_result(feeds, params.limit, page)
        url, path = self._url_builder(), request.path.removesuffix(f".{suffix}")
        feed_url = partial(url, path, **params._asdict())
        format_urls = {name: feed_url(suffix=f".{name}") for name in FORMATS}
        page_url = feed_url(page=page_param(page))
        metadata = feed_metadata(
            [_with_period_title(feed, result.pages) for feed in feeds],
            demo=self._config.demo,
            self_url=feed_url(suffix=f".{suffix}") if suffix else page_url,
            page_url=page_url,
            icon_url=url("/static/icon.png"),
        )
        respond = partial(
            self._build_cacheable_response,
            url=metadata.self_url,
            poll_after=result.poll_after,
            cacheable_until=result.cacheable_until,
            headers=link_headers(metadata, suffix, format_urls),
        )
        if not suffix:
            context = {
                "metadata": metadata,
                "query": "" if request.endpoint == "configured_feeds" else params.q,
                "digest": feeds[0].digest,
                **self._subscribe_context(path, default_digest, **params._asdict()),
            }
            text = self._feed_page(feeds, result, feed_url, page or 1, **context)
            body = encode_body(text.encode())
            return self._respond(with_body(respond(body.etag, media_type="text/html"), body))
        document = feed_document(suffix, metadata, result, feeds)
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
                *feeds, limit=limit, page_number=page, client=client, is_preview=page is not None
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
        if isinstance(result, FeedResult):
            template = "feed.html"
            artefacts = self._service.artefacts.table()
            cards = paper_cards(result.matches, result.queries, artefacts)
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
            newer_url=feed_url(page=page_param(page - 1)) if page > 1 else "",
            older_url=feed_url(page=page + 1) if has_older else "",
            page_number=page,
            near_misses=self._service.window().near_misses(feeds[0]) if has_near_misses else (),
            **context,
        )

    def _redirect(self, path: str, suffix: str, **parameters: str) -> Response:
        """Return a permanent redirect to a feed, with the other parameters of the request."""
        _check_format(suffix)
        params = feed_params()._asdict() | parameters
        url = self._url_builder()(path, f".{suffix}" if suffix else "", **params)
        return redirect_response(url)


def _common_digest(feeds: Sequence[Feed]) -> DigestPeriod:
    """Return the digest period of the feeds, if the settings have the same for all."""
    periods = {feed.digest for feed in feeds}
    return periods.pop() if len(periods) == 1 else "none"


def _check_format(suffix: str) -> None:
    """Raise NotFound if there is no format with the suffix of a feed's path; a page has none."""
    if suffix and suffix not in ALL_FORMATS:
        known = ", ".join(f".{name}" for name in ALL_FORMATS)
        raise NotFound(f"Unknown format .{suffix}; use one of {known}.")


def _filter_by_query(feed: Feed, query: str, field: str = "query") -> Feed:
    """Return the feed with the query in a field of it, which its title then ends with."""
    if not query:
        return feed
    parse_query(query, URL_LIMITS)
    return replace(feed, title=f"{feed.title}: {query}", **{field: query})


def _with_period_title(feed: Feed, pages: Sequence[Page]) -> Feed:
    """Return the feed with the day, week or month of its list in its title.

    It is that of the list that upstream returned, perhaps in place of the requested one.
    """
    if feed.page is None:
        return feed
    title = f"Daily Papers of {page_title(next(iter(pages), feed.page)).replace('Week', 'week')}"
    return replace(feed, title=f"{title}: {feed.query}" if feed.query else title)
