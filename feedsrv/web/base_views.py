"""What all views share: pages, redirects and cacheable responses, with the URLs of this server."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import get_args
from urllib.parse import quote, urlsplit

from flask import g, render_template, request
from werkzeug.wrappers import Response

from feedsrv import __version__
from feedsrv.errors import ParameterError
from feedsrv.feeds.formats import FORMATS
from feedsrv.feeds.service import Service
from feedsrv.models import DigestPeriod
from feedsrv.web.auth import credentials
from feedsrv.web.content_encoding import encode_body
from feedsrv.web.pages import subscribe_links
from feedsrv.web.responses import (
    CacheableFlaskResponse,
    CacheableResponse,
    Header,
    build_cacheable_response,
    set_no_store,
    with_body,
)
from feedsrv.web.routing import quote_query_string
from feedsrv.web.urls import RelativeURLBuilder, URLBuilder, base_url


class BaseViews:
    """The methods that views call to build their responses."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._config = service.config

    def render_page(self, template: str, **context: object) -> str:
        """Return a page as HTML; raise ParameterError if the request has no well-formed host."""
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

    def _html_response(self, template: str, **context: object) -> Response:
        response = Response(self.render_page(template, **context), mimetype="text/html")
        return self._require_revalidation(response)

    def _require_revalidation(self, response: Response) -> Response:
        """Return the response with the header that has caches ask each time whether it changed."""
        private = "private, " if self._config.access_key else ""
        response.headers["Cache-Control"] = f"{private}no-cache"
        return response

    def _url_builder(self) -> URLBuilder:
        return URLBuilder(base_url(self._config, request), credentials())

    def adhoc_feed_url(self, query: str) -> str:
        """Return the URL of the ad-hoc feed for the name of an unknown feed, or for other words."""
        return self._url_builder()("/papers", ".atom", q=query)

    def path_prefix(self) -> str:
        """Return the path that all URLs of this server begin with; mostly an empty string."""
        try:
            return urlsplit(base_url(self._config, request)).path
        except ParameterError:
            return request.root_path

    def redirect_to(self, path: str) -> Response:
        """Return a permanent redirect of the request to another path, with its query string."""
        url = f"{base_url(self._config, request)}{quote(path)}"
        return redirect_response(f"{url}{quote_query_string(request.query_string)}")

    def _build_cacheable_response(
        self,
        etag: str,
        *,
        url: str,
        media_type: str,
        poll_after: datetime,
        cacheable_until: datetime,
        headers: Iterable[Header],
    ) -> CacheableResponse:
        return build_cacheable_response(
            etag,
            media_type=media_type,
            modified=self._service.repository.last_modified(
                url, etag, self._service.now(), version=g.version
            ),
            poll_after=poll_after,
            cacheable_until=cacheable_until,
            private=bool(self._config.access_key),
            headers=headers,
        )

    def _document_response(
        self, document: bytes, media_type: str, url: str, lifetime: timedelta, headers: list[Header]
    ) -> Response:
        """Return the response for a document that is cached for its lifetime."""
        body, expires_at = encode_body(document), self._service.now() + lifetime
        cached = self._build_cacheable_response(
            body.etag,
            url=url,
            media_type=media_type,
            poll_after=expires_at,
            cacheable_until=expires_at,
            headers=headers,
        )
        return self._respond(with_body(cached, body))

    def _respond(self, cached: CacheableResponse) -> Response:
        return CacheableFlaskResponse(cached, request.environ, self._service.now())

    def _subscribe_context(
        self, path: str, default_digest: DigestPeriod = "none", *, q: str, **params: object
    ) -> dict[str, object]:
        """Return what pages show to subscribe to the feed at the path."""
        url = self._url_builder()
        return {
            "links": {name: url(path, f".{name}", q=q, **params) for name in FORMATS},
            "bib_url": url(path, ".bib", q=q, **params),
            "path_url": url.without_query_string(path, ".atom", q=q, **params),
            "digest_urls": {
                choice: url(path, q=q, digest=choice if choice != default_digest else None)
                for choice in get_args(DigestPeriod)
            },
            "sign_up_fields": self._sign_up_fields(path, q),
        }

    def _sign_up_fields(self, path: str, query: str) -> dict[str, str]:
        """Return the fields of the sign-up form that name the feed; none where there is no form."""
        if not self._config.mail.sign_up or self._config.static_export:
            return {}
        if path.startswith("/feeds/"):
            return {} if query else {"feed": path.removeprefix("/feeds/")}
        return {"q": query} if path == "/papers" else {}


def redirect_response(url: str) -> Response:
    """Return a permanent redirect to the URL."""
    # Without a body: one in HTML would not be for pages of other origins.
    response = Response(status=HTTPStatus.PERMANENT_REDIRECT, mimetype="text/plain")
    response.headers["Location"] = url
    return set_no_store(response)
