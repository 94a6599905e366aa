"""Access log: one line for each response, in the combined log format (WSGI middleware).

::

    203.0.113.9 - - [24/Nov/2026:09:30:00 +0000] "GET /papers.atom?q=causal HTTP/1.1" 200 60304
    "-" "NetNewsWire (RSS Reader; https://netnewswire.com/)"

Log analyzers such as GoAccess read it (``--log-format=COMBINED``). A request that the HTTP server
refuses itself, such as a malformed one, is not logged.
"""

import logging
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wrappers import Request

from feedsrv.config import Config
from feedsrv.logs import ACCESS_LOGGER
from feedsrv.web.urls import client_address

_LOGGER = logging.getLogger(ACCESS_LOGGER)
#: Characters that are not percent-encoded. Quotation marks are: they would end the field, and
#: `feedsrv.logs` would take them for the end of an access key.
_PATH, _QUERY = "/:@!$&()*+,;=~", "/:@!$&()*+,;=~?%"
_UNPRINTABLE = re.compile(r'[^\x20-\x7e]|["\\]')
#: Statuses of responses without a body, whatever their Content-Length.
_NO_BODY = {"204", "304"}


class AccessLog:
    """WSGI middleware that logs each response."""

    def __init__(self, app: WSGIApplication, config: Config, now: Callable[[], datetime]) -> None:
        self._app = app
        self._config = config
        self._now = now

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start_and_log(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            _LOGGER.info("%s", self._line(environ, status, headers))
            return start_response(status, headers, *error)

        return self._app(environ, start_and_log)

    def _line(self, environ: WSGIEnvironment, status: str, headers: list[tuple[str, str]]) -> str:
        code = status[:3]
        length = "-"
        if environ["REQUEST_METHOD"] != "HEAD" and code not in _NO_BODY:
            length = next((text for name, text in headers if name == "Content-Length"), "-")
        client = client_address(self._config, Request(environ))
        referrer, agent = (
            _printable(environ.get(name) or "-") for name in ("HTTP_REFERER", "HTTP_USER_AGENT")
        )
        return (
            f"{client or '-'} - - [{self._now():%d/%b/%Y:%H:%M:%S %z}]"
            f' "{_printable(_request_line(environ))}" {code} {length} "{referrer}" "{agent}"'
        )


def _request_line(environ: WSGIEnvironment) -> str:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    target = quote(path.encode("latin-1", "replace"), safe=_PATH)
    if query := environ.get("QUERY_STRING"):
        target += f"?{quote(query.encode('latin-1', 'replace'), safe=_QUERY)}"
    return f"{environ['REQUEST_METHOD']} {target} {environ.get('SERVER_PROTOCOL', '')}"


def _printable(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
