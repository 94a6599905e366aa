"""Errors as problem details (RFC 9457)."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from flask import jsonify
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.wrappers import Request, Response

from feedsrv.errors import (
    ERROR_MAP,
    FeedsrvError,
    NoDataYetError,
    QueryError,
    QuotaExceededError,
    UnauthorizedError,
)
from feedsrv.web.responses import set_no_store
from feedsrv.web.security_headers import ALLOWED_METHODS

#: The page that describes the types of problems.
PROBLEM_TYPES_PATH = "/problems"


class Problem(NamedTuple):
    """An error as RFC 9457 describes it."""

    status: int
    #: The same for every error of a type, which `type_url` names.
    title: str
    headers: Mapping[str, str]
    #: ``detail`` and further members.
    members: Mapping[str, object]

    @property
    def anchor(self) -> str:
        """The type's section of the page of problem types."""
        return self.title.lower().replace(" ", "-").replace("'", "")


def problem_from_error(error: FeedsrvError, **facts: object) -> Problem:
    """Return the problem for one of our errors: its row of the table, and the facts it carries."""
    mapping = ERROR_MAP[type(error)]
    headers: dict[str, str] = {}
    match error:
        case QueryError():
            facts |= {
                "query": error.query,
                "position": error.position,
                "pointer": error.with_caret(),
            }
        case NoDataYetError() | QuotaExceededError():
            # In seconds: NetNewsWire parses numbers only.
            retry_after = math.ceil(error.retry_after)
            headers["Retry-After"] = str(retry_after)
            facts |= {"retry_after": retry_after}
        case UnauthorizedError():
            headers["WWW-Authenticate"] = 'Basic realm="feedsrv", charset="UTF-8"'  # RFC 7617 2
    return Problem(mapping.status, mapping.title, headers, {"detail": str(error), **facts})


def problem_from_http_error(error: HTTPException) -> Problem:
    """Return the problem for an error of the web framework: an unknown path, a wrong method."""
    headers = {}
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ALLOWED_METHODS
    return Problem(error.code or 500, error.name, headers, {"detail": error.description})


def prefers_html(request: Request) -> bool:
    """Return whether the client is a browser: it prefers HTML to every kind of feed.

    Miniflux accepts HTML as much as feeds, to find feeds in it; it is a feed reader all the same.
    """
    accepted = request.accept_mimetypes
    others = ["application/problem+json", "application/atom+xml", "application/rss+xml"]
    return accepted["text/html"] > max(accepted[other] for other in others)


def problem_response(problem: Problem, path_prefix: str, page: str | None) -> Response:
    """Return the response for a problem: problem+json, or the page where one is given.

    The prefix is the path of this server's URL.
    """
    if page is None:
        # A path, and not a URL: the same on every host (RFC 9457 3.1.1).
        type_url = f"{path_prefix}{PROBLEM_TYPES_PATH}#{problem.anchor}"
        response: Response = jsonify(
            type=type_url, title=problem.title, status=problem.status, **problem.members
        )
        response.mimetype = "application/problem+json"
    else:
        response = Response(page, mimetype="text/html")
        response.vary.add("Accept")
    response.status_code = problem.status
    response.headers.extend(problem.headers)
    return set_no_store(response)
