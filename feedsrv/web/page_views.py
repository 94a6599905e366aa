"""The views of the front page and of its parts."""

from functools import partial

from flask import Flask, request, send_from_directory
from werkzeug.wrappers import Response

from feedsrv.errors import QueryError
from feedsrv.monitoring.status import long_outage
from feedsrv.search.parser import URL_LIMITS, parse_query
from feedsrv.web.base_views import BaseViews, redirect_response
from feedsrv.web.pages import feed_card
from feedsrv.web.params import page_number_param, page_param, query_param
from feedsrv.web.pasted_query import list_path
from feedsrv.web.preview import Preview, build_preview, query_problem
from feedsrv.web.problems import PROBLEM_TYPES_PATH
from feedsrv.web.urls import client_address

#: Feeds on one page of the front page.
_FEEDS_PER_PAGE = 18
_STATIC_MAX_AGE = 86_400  # seconds


class PageViews(BaseViews):
    """The views of the front page and of its parts."""

    def register(self, app: Flask) -> None:
        """Add the routes to the application."""
        app.add_url_rule("/", view_func=self.index)
        app.add_url_rule("/preview", view_func=self.preview)
        app.add_url_rule(PROBLEM_TYPES_PATH, view_func=self.problem_types)
        app.add_url_rule("/favicon.ico", "favicon", partial(self.static_file, "favicon.ico"))
        self._static_folder = app.static_folder
        app.view_functions["static"] = self.static_file

    def index(self) -> Response:
        """Return the front page: a preview of the query, and the configured feeds."""
        query = query_param()
        if path := list_path(query):
            return redirect_response(self._url_builder()(path))
        window, today = self._service.window(), self._service.now().date()
        feeds, page = tuple(self._config.feeds.values()), page_number_param()
        # A static export has no further pages.
        size = len(feeds) if self._config.static_export else _FEEDS_PER_PAGE
        offset = (page - 1) * size
        listed = feeds[offset : offset + size]
        # Beside the preview of a query, only their titles.
        cards = [
            feed_card(feed, window, self._service.get_failure(feed), today)
            for feed in (() if query else listed)
        ]
        url = partial(self._url_builder(), "/", q=query)
        return self._html_response(
            "index.html",
            **self._preview_context(query),
            feeds=listed,
            cards=cards,
            outage=None if self._config.static_export else long_outage(self._service),
            offset=offset,
            feed_count=len(feeds),
            previous_url=url(page=page_param(page - 1)) if page > 1 else "",
            next_url=url(page=page + 1) if offset + size < len(feeds) else "",
        )

    def preview(self) -> Response:
        """Return a part of a page: what a feed of the query would contain."""
        query = query_param()
        if path := list_path(query):
            return redirect_response(self._url_builder()(path))  # page.js goes there
        return self._html_response("preview.html", **self._preview_context(query))

    def _preview_context(self, query: str) -> dict[str, object]:
        try:
            if query:
                tree, client = parse_query(query, URL_LIMITS), client_address(self._config, request)
                self._service.fetch_seeds(tree, query, client)
            preview = build_preview(query, self._service.window(), self._service.count_older(query))
        except QueryError as error:
            preview, query = Preview(query=error.query, problem=query_problem(error)), ""
        return {"preview": preview, **self._subscribe_context("/papers", q=query)}

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
