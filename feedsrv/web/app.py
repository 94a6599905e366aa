"""Routes: an address to a feed or a page, and that to an answer."""

from __future__ import annotations

from functools import partial

from flask import Flask, request
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response as Answer

from feedsrv.errors import (
    FeedsrvError,
    ParameterError,
    QueryError,
    UnknownFeedError,
)
from feedsrv.feeds.entry import paper_page_url
from feedsrv.feeds.service import Service
from feedsrv.monitoring.metrics import Metrics
from feedsrv.web.auth import authenticate_request
from feedsrv.web.filters import FILTERS
from feedsrv.web.pages import query_problem
from feedsrv.web.params import query_param
from feedsrv.web.responses import (
    ROUTE,
    STANDING,
    Problem,
    prefers_html,
    problem_from_error,
    problem_from_http_error,
    problem_response,
    security_headers,
)
from feedsrv.web.urls import url_builder
from feedsrv.web.views import (
    _register_feed_routes,
    _register_machine_routes,
    _register_page_routes,
    _render_page,
    log,
)

_DAY = 86400


def create_app(service: Service, metrics: Metrics | None = None) -> Flask:
    """Return the WSGI application that serves the service's feeds."""
    app = Flask("feedsrv.web")
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _DAY
    # Its redirects know neither public_url nor trusted proxies, and name whatever host was asked.
    app.url_map.merge_slashes = False
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    for each in (paper_page_url, *FILTERS):
        app.add_template_filter(each)
    _register_feed_routes(app, service)
    _register_page_routes(app, service)
    _register_machine_routes(app, service, metrics or Metrics())
    _register_hooks(app, service)
    return app


def _register_hooks(app: Flask, service: Service) -> None:
    """Have done what is done around every request: who may ask, what errors become."""
    private = bool(service.config.access_key)

    @app.before_request
    def admit() -> None:
        rule = request.url_rule
        request.environ[ROUTE] = rule.rule if rule is not None else "none"
        if request.path != "/healthz":
            authenticate_request(service.config)

    @app.after_request
    def harden(response: Answer) -> Answer:
        if STANDING not in request.environ:  # such a one has them already
            response.headers.update(security_headers(response.mimetype or "", private=private))
        return response

    app.register_error_handler(UnknownFeedError, partial(_unknown_feed_response, service))
    app.register_error_handler(
        FeedsrvError, lambda e: _error_response(service, problem_from_error(e), e)
    )
    app.register_error_handler(
        HTTPException, lambda e: _error_response(service, problem_from_http_error(e))
    )
    app.register_error_handler(Exception, partial(_internal_error, service))


# --- errors: what they become is told in the table of feedsrv.errors -------------------------


def _error_response(service: Service, problem: Problem, error: Exception | None = None) -> Answer:
    """Answer with what went wrong: a page for browsers, data for everything else."""
    if not prefers_html(request):
        return problem_response(problem)
    try:
        text = _render_page(
            service,
            "error.html",
            problem=problem,
            query_problem=query_problem(error) if isinstance(error, QueryError) else None,
            query=query_param(),
        )
    except ParameterError:  # the address of this server is what is wrong
        return problem_response(problem)
    return problem_response(problem, text)


def _unknown_feed_response(service: Service, error: UnknownFeedError) -> Answer:
    """Answer with how to ask for the same without the settings."""
    try:
        instead = url_builder(service.config)("/papers", ".atom", q=error.name)
    except ParameterError as wrong:  # what is raised here, no other handler takes
        return _error_response(service, problem_from_error(wrong))
    return _error_response(
        service, problem_from_error(error, feeds=list(error.known), instead=instead)
    )


def _internal_error(service: Service, error: Exception) -> Answer:
    """Answer 500 without a word about our insides, which go to the log."""
    log.error("%s %s broke", request.method, request.path, exc_info=error)
    return _error_response(service, problem_from_http_error(InternalServerError()))
