"""What browsers may do with responses: content security policy and other origins (CORS)."""

from http import HTTPStatus

from werkzeug.wrappers import Response

ALLOWED_METHODS = "GET, HEAD, OPTIONS"
_PREFLIGHT_MAX_AGE = 86_400  # seconds


def options_response(path: str, *, private: bool) -> Response:
    """Return the response to OPTIONS, which a browser sends before a conditional request of a page.

    That is a preflight (Fetch standard, 4.8), which `security_headers` permits for the same URLs.
    """
    response = Response(status=HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]
    response.headers["Allow"] = ALLOWED_METHODS
    is_page = "." not in path
    if not private and not is_page:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
        response.headers["Access-Control-Allow-Headers"] = "If-None-Match, If-Modified-Since, *"
        response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_MAX_AGE)
    return response


def security_headers(media_type: str, *, private: bool) -> dict[str, str]:
    """Return the header fields that restrict what a browser does with a response.

    Feeds of a public server may be read by pages of other origins: some readers run in a browser.
    """
    headers = {"X-Content-Type-Options": "nosniff"}
    if media_type == "text/html":
        headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self';"
            " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        headers["Referrer-Policy"] = "no-referrer"
    elif not private:
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Expose-Headers"] = "ETag, Link, Retry-After"
    return headers
