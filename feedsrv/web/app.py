"""The Flask application: routes, hooks, error handlers, and the response cache in front of them."""

import codecs
import logging
import re
import time
from http import HTTPStatus

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, NotFound
from werkzeug.wrappers import Response

from feedsrv.config import Config
from feedsrv.errors import FeedsrvError, ParameterError, QueryError, UnknownFeedError
from feedsrv.feeds.digest import format_period
from feedsrv.feeds.digest_documents import period_page_url
from feedsrv.feeds.entry import paper_page_url
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.logs import configure_access_log, configure_logging
from feedsrv.monitoring.incidents import short_reason, subscribe_incident_recorder
from feedsrv.monitoring.metrics import Metrics
from feedsrv.web.access_log import AccessLog
from feedsrv.web.auth import authenticate_request, credentials
from feedsrv.web.base_views import BaseViews
from feedsrv.web.cache import ResponseCache
from feedsrv.web.conditional_requests import NOT_MODIFIED, OK, PRECONDITION_FAILED
from feedsrv.web.feed_views import FeedViews
from feedsrv.web.filters import FILTERS
from feedsrv.web.load_shedding import LoadShedder
from feedsrv.web.operator_views import OperatorViews
from feedsrv.web.page_views import PageViews
from feedsrv.web.preview import query_problem
from feedsrv.web.problems import (
    Problem,
    prefers_html,
    problem_from_error,
    problem_from_http_error,
    problem_response,
)
from feedsrv.web.responses import CacheableFlaskResponse, add_validators
from feedsrv.web.routing import nearest_path
from feedsrv.web.security_headers import options_response, security_headers
from feedsrv.web.sign_up import SignUpViews

log = logging.getLogger(__name__)

#: What an unknown path is answered with.
_ADDRESSES = (
    "There is no such address. A keyword's feed is /papers.atom?q=WORDS, all papers are"
    " /papers.atom, one list is /papers/date/YYYY-MM-DD.atom, /papers/week/YYYY-Wnn.atom or"
    " /papers/month/YYYY-MM.atom, and a feed of this server is /feeds/NAME.atom"
)
#: What needs no access key.
_OPEN_PATHS = {"/healthz", "/robots.txt"}
_CACHED_STATUSES = (OK, NOT_MODIFIED, PRECONDITION_FAILED)


def open_app(config: Config) -> Flask:
    """Return the application for these settings, with logging, store and upstream client.

    ``app.extensions["feedsrv"]`` is its service; closing it is up to the caller.
    """
    secrets = [config.access_key, config.hf_token, config.mail_password]
    configure_logging(config.log_format, secrets)
    configure_access_log(secrets)
    service = create_service(config)
    subscribe_incident_recorder(service)
    service.artefacts.refresh_when_idle()
    return create_app(service)


def create_app(service: Service) -> Flask:
    """Return the WSGI application that serves the feeds of the service."""
    app = Flask("feedsrv.web")
    app.extensions["feedsrv"] = service
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    codecs.lookup("idna")  # or routing would load it at the first request
    # Flask's redirects respect neither public_url nor trusted proxies, but any Host.
    app.url_map.merge_slashes = False
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    for template_filter in (format_period, paper_page_url, period_page_url, short_reason, *FILTERS):
        app.add_template_filter(template_filter)
    metrics = Metrics()
    service.events.subscribe(metrics.handle)
    FeedViews(service).register(app)
    PageViews(service).register(app)
    OperatorViews(service, metrics).register(app)
    SignUpViews(service).register(app)
    views = BaseViews(service)
    shedder = LoadShedder(app.wsgi_app, service.config.threads, time.monotonic)  # noqa: TID251  # the edge
    cache = ResponseCache(
        app=shedder,
        is_overloaded=shedder.is_overloaded,
        version=service.repository.version,
        now=service.now,
        max_bytes=service.config.response_cache_bytes,
        trusted_proxies=service.config.trusted_proxies,
    )
    _register_hooks(app, service, views, metrics, cache)
    _register_error_handlers(app, views)
    app.wsgi_app = (  # type: ignore[method-assign]  # as Flask documents it
        AccessLog(cache, service.config, service.now) if service.config.access_log else cache
    )
    return app


def _register_hooks(
    app: Flask, service: Service, views: BaseViews, metrics: Metrics, cache: ResponseCache
) -> None:
    """Redirect or authenticate each request; count, secure and store each response."""
    private = bool(service.config.access_key)

    @app.before_request
    def before_request() -> Response | None:
        # Before anything is read: what is stored meanwhile makes the response stale.
        g.version = service.repository.version()
        if request.method == "OPTIONS" and isinstance(request.routing_exception, MethodNotAllowed):
            return options_response(request.path, private=private)
        # Werkzeug drops all slashes at the beginning but one.
        path = f"/{request.path}" if request.environ["PATH_INFO"].startswith("//") else request.path
        if meant := nearest_path(path, app.url_map, is_known=bool(request.url_rule)):
            return views.redirect_to(meant)  # a key, if it needs one, stays in the query string
        if request.path not in _OPEN_PATHS:
            authenticate_request(service.config)
        return None

    @app.after_request
    def after_request(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule is not None else "none"
        if isinstance(response, CacheableFlaskResponse):
            counters = metrics.cached_response_counters(route, _CACHED_STATUSES)
            cache.store(request.environ, response.cached, g.version, counters)
        elif request.method != "OPTIONS":
            _add_headers(response, private=private)
        metrics.count_response(route, response.status)
        return response


def _add_headers(response: Response, *, private: bool) -> None:
    """Secure a response that is not a feed, restrict who may cache it, and add its validators."""
    response.headers.update(security_headers(response.mimetype or "", private=private))
    if private and not response.cache_control.no_store:
        response.cache_control.public = False
        response.cache_control["private"] = None
    if response.status_code == HTTPStatus.OK:
        add_validators(response, request.environ)


def _register_error_handlers(app: Flask, views: BaseViews) -> None:
    """Turn errors into problems (RFC 9457), by `feedsrv.errors.ERROR_MAP`."""

    @app.errorhandler(UnknownFeedError)
    def unknown_feed(error: UnknownFeedError) -> Response:
        # The key of a feed does not tell which others there are.
        known = [] if credentials().scope else list(error.known)
        problem = problem_from_error(error, feeds=known)
        return _error_response(views, problem, suggestion=error.name)

    @app.errorhandler(FeedsrvError)
    def feedsrv_error(error: FeedsrvError) -> Response:
        return _error_response(views, problem_from_error(error), error)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        if isinstance(error, NotFound) and error.description == NotFound.description:
            problem = problem_from_http_error(NotFound(_ADDRESSES))
            return _error_response(views, problem, suggestion=_guess_query())
        return _error_response(views, problem_from_http_error(error))

    @app.errorhandler(Exception)
    def internal_error(error: Exception) -> Response:
        log.error("Unhandled exception in %s %s", request.method, request.path, exc_info=error)
        return _error_response(views, problem_from_http_error(InternalServerError()))


def _error_response(
    views: BaseViews,
    problem: Problem,
    error: FeedsrvError | None = None,
    *,
    suggestion: str | None = None,
) -> Response:
    """Return the problem as a page for browsers, as problem+json for other clients.

    A suggestion is the query of the feed that the client may have meant.
    """
    page = None
    try:
        if suggestion is not None:
            instead = views.adhoc_feed_url(suggestion)
            problem = problem._replace(members={**problem.members, "instead": instead})
        if prefers_html(request):
            page = views.render_page(
                "error.html",
                problem=problem,
                query_problem=query_problem(error) if isinstance(error, QueryError) else None,
                # Not query_param: that it is not UTF-8 may be the error.
                query=" ".join(request.args.get("q", "").split()),
            )
    except ParameterError as host_error:  # the Host is malformed: no page, and no URLs
        problem = problem if suggestion is None else problem_from_error(host_error)
    return problem_response(problem, views.path_prefix(), page)


def _guess_query() -> str:
    """Return what a request to an unknown path probably looks for."""
    words = request.args.get("q") or request.path.rstrip("/").rpartition("/")[2]
    return re.sub(r"\.[a-z]{2,4}$", "", words, flags=re.IGNORECASE).replace("-", " ").strip()
