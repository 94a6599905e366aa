"""The Flask application: routes, hooks, error handlers, and the response cache in front of them."""

from __future__ import annotations

import logging
import time

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException, InternalServerError
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.errors import FeedsrvError, ParameterError, QueryError, UnknownFeedError
from feedsrv.feeds.digest import format_period
from feedsrv.feeds.digest_documents import period_page_url
from feedsrv.feeds.entry import paper_page_url
from feedsrv.feeds.service import Service
from feedsrv.logs import configure_access_log, configure_logging
from feedsrv.monitoring.incidents import subscribe_incident_recorder
from feedsrv.monitoring.metrics import Metrics
from feedsrv.web.access_log import AccessLog
from feedsrv.web.auth import authenticate_request, credentials
from feedsrv.web.cache import ResponseCache
from feedsrv.web.filters import FILTERS
from feedsrv.web.load_shedding import LoadShedder
from feedsrv.web.pages import query_problem
from feedsrv.web.responses import (
    NOT_MODIFIED,
    OK,
    PRECONDITION_FAILED,
    CacheableFlaskResponse,
    Problem,
    prefers_html,
    problem_from_error,
    problem_from_http_error,
    problem_response,
    security_headers,
)
from feedsrv.web.views import Views

log = logging.getLogger(__name__)

_STATIC_MAX_AGE = 86_400  # seconds
_CACHED_STATUSES = (OK, NOT_MODIFIED, PRECONDITION_FAILED)


def open_app(config: Config) -> Flask:
    """Return the application for these settings, with logging, store and upstream client.

    ``app.extensions["feedsrv"]`` is its service; closing it is up to the caller.
    """
    secrets = [config.access_key, config.hf_token]
    configure_logging(config.log_format, secrets)
    configure_access_log(secrets)
    service = Service.open(config)
    subscribe_incident_recorder(service)
    return create_app(service)


def create_app(service: Service) -> Flask:
    """Return the WSGI application that serves the feeds of the service."""
    app = Flask("feedsrv.web")
    app.extensions["feedsrv"] = service
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = _STATIC_MAX_AGE
    # Flask's redirects respect neither public_url nor trusted proxies, but any Host.
    app.url_map.merge_slashes = False
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    for template_filter in (format_period, paper_page_url, period_page_url, *FILTERS):
        app.add_template_filter(template_filter)
    metrics = Metrics()
    service.subscribe(metrics.handle)
    views = Views(service, metrics)
    views.register(app)
    shedder = LoadShedder(app.wsgi_app, service.config.threads, time.monotonic)  # noqa: TID251  # the edge
    cache = ResponseCache(
        shedder,
        is_overloaded=shedder.is_overloaded,
        version=service.store_version,
        now=service.now,
        max_bytes=service.config.response_cache_bytes,
        trusted_proxies=service.config.trusted_proxies,
    )
    _register_hooks(app, service, metrics, cache)
    _register_error_handlers(app, views)
    access_log = (
        AccessLog(cache, service.config, service.now) if service.config.access_log else cache
    )
    app.wsgi_app = access_log  # type: ignore[method-assign]  # as Flask documents it
    return app


def _register_hooks(app: Flask, service: Service, metrics: Metrics, cache: ResponseCache) -> None:
    """Authenticate each request; count, secure and store each response."""
    private = bool(service.config.access_key)

    @app.before_request
    def before_request() -> None:
        # Before anything is read: what is stored meanwhile makes the response stale.
        g.version = service.store_version()
        if request.path != "/healthz":
            authenticate_request(service.config)

    @app.after_request
    def after_request(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "none"
        metrics.count_response(route, response.status)
        if isinstance(response, CacheableFlaskResponse):
            counters = metrics.cached_response_counters(route, _CACHED_STATUSES)
            cache.store(request.environ, response.cached, g.version, counters)
        else:
            media_type = response.mimetype or ""
            response.headers.update(security_headers(media_type, private=private))
            if private and not response.cache_control.no_store:
                response.cache_control.public = False
                response.cache_control["private"] = None
        return response


def _register_error_handlers(app: Flask, views: Views) -> None:
    """Turn errors into problems (RFC 9457), by `feedsrv.errors.ERROR_MAP`."""

    @app.errorhandler(UnknownFeedError)
    def unknown_feed(error: UnknownFeedError) -> Response:
        try:
            instead = views.unknown_feed_url(error.name)
        except ParameterError as parameter_error:  # no handler sees an error of a handler
            return respond(problem_from_error(parameter_error))
        # The key of a feed does not tell which others there are.
        known = [] if credentials().scope else list(error.known)
        return respond(problem_from_error(error, feeds=known, instead=instead))

    @app.errorhandler(FeedsrvError)
    def feedsrv_error(error: FeedsrvError) -> Response:
        return respond(problem_from_error(error), error)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        return respond(problem_from_http_error(error))

    @app.errorhandler(Exception)
    def internal_error(error: Exception) -> Response:
        log.error("Unhandled exception in %s %s", request.method, request.path, exc_info=error)
        return respond(problem_from_http_error(InternalServerError()))

    def respond(problem: Problem, error: FeedsrvError | None = None) -> Response:
        """Return the problem as a page for browsers, as problem+json for other clients."""
        if not prefers_html(request):
            return problem_response(problem)
        try:
            page = views.render_page(
                "error.html",
                problem=problem,
                query_problem=query_problem(error) if isinstance(error, QueryError) else None,
                # Not query_param: that it is not UTF-8 may be the error.
                query=" ".join(request.args.get("q", "").split()),
            )
        except ParameterError:  # the Host is what is wrong: no page without URLs
            return problem_response(problem)
        return problem_response(problem, page)
