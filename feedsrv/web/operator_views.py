"""The views for operators and programs; none of them makes a request to upstream."""

import json
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask, jsonify
from werkzeug.wrappers import Response

from feedsrv import __version__
from feedsrv.errors import NoDataYetError
from feedsrv.feeds.formats import FORMATS
from feedsrv.feeds.service import Service
from feedsrv.monitoring.incidents import incident_feed
from feedsrv.monitoring.metrics import CONTENT_TYPE, Metrics
from feedsrv.monitoring.status import build_status
from feedsrv.web.base_views import BaseViews
from feedsrv.web.pages import page_title
from feedsrv.web.responses import set_no_store

#: Paths that begin so are feeds and pages of keywords, of which there is no end.
_NOT_FOR_CRAWLERS = ("/papers", "/feeds", "/preview", "/status", "/metrics", "/?q=")
#: Names of feeds in the OpenAPI description.
_MAX_EXAMPLES = 50
#: Rows of a table of the status page.
_MAX_STATUS_ROWS = 50
_INCIDENT_FEED_LIFETIME = timedelta(minutes=5)
#: Seconds after which to ask again whether the server is ready.
_READY_RETRY_AFTER = 5


class OperatorViews(BaseViews):
    """The views for operators and programs."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        super().__init__(service)
        self._metrics = metrics

    def register(self, app: Flask) -> None:
        """Add the routes to the application."""
        app.add_url_rule("/status", view_func=self.status_page)
        app.add_url_rule("/status.json", view_func=self.status_json)
        app.add_url_rule("/status.atom", view_func=self.status_feed)
        app.add_url_rule("/healthz", view_func=self.healthz)
        app.add_url_rule("/readyz", view_func=self.readyz)
        app.add_url_rule("/metrics", view_func=self.metrics)
        app.add_url_rule("/openapi.json", view_func=self.openapi)
        app.add_url_rule("/robots.txt", view_func=self.robots)

    def status_page(self) -> Response:
        """Return the status of the server as a page."""
        return self._html_response(
            "status.html",
            status=build_status(self._service),
            page_title=page_title,
            max_rows=_MAX_STATUS_ROWS,
        )

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
        media_type, link = FORMATS["atom"].media_type, ("Link", f'<{self_url}>; rel="self"')
        return self._document_response(
            document, media_type, self_url, _INCIDENT_FEED_LIFETIME, [link]
        )

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
        return self._require_revalidation(jsonify(_describe_api(self._config.feeds)))

    def robots(self) -> Response:
        """Return what crawlers may read: of a public server, the front page without a query."""
        disallowed = ["/"] if self._config.access_key else _NOT_FOR_CRAWLERS
        prefix = self.path_prefix()
        lines = ["User-agent: *", *(f"Disallow: {prefix}{path}" for path in disallowed), ""]
        return self._require_revalidation(Response("\n".join(lines), mimetype="text/plain"))


def _describe_api(feed_names: Iterable[str]) -> dict[str, Any]:
    """Return the OpenAPI description, with some of the configured feeds as examples."""
    text = Path(__file__).with_name("openapi.json").read_text("utf-8")
    description: dict[str, Any] = json.loads(text)
    description["info"]["version"] = __version__
    description["components"]["parameters"]["name"]["examples"] = {
        name: {"value": name} for name in islice(feed_names, _MAX_EXAMPLES)
    }
    return description
