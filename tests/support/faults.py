"""Faults of upstream: each replaces a correct response with a faulty one."""

import json
import re
import select
import socket
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from html import escape, unescape
from typing import NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wrappers import Response

from tests.support.builders import Json

_PROPS = re.compile(r'data-target="DailyPapers" data-props="([^"]*)"')


def _respond(status: int, body: str | bytes = "Sorry", **headers: str) -> "_Fault":
    header_fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda correct: Response(body, status, header_fields)


# --- faults of the connection ------------------------------------------------------------------


def _hang(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """Send nothing until the client gives up."""
    select.select([environ["werkzeug.socket"]], [], [], 60)
    return _reset(environ, start)


def _reset(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def _drip_body(correct: Response) -> Response:
    def drip() -> Iterator[bytes]:
        while True:
            yield b"<!-- wait -->"
            time.sleep(0.02)

    return Response(drip(), headers={"Content-Length": "1000000"})


def _truncate(correct: Response) -> Response:
    body = correct.get_data()
    response = Response(body[: len(body) // 3], mimetype=correct.mimetype)
    response.headers["Content-Length"] = str(len(body))
    return response


def _send_huge_body(correct: Response) -> Response:
    return Response(b"x" * 100_000 for _ in range(2000))  # 200 MB unless the client stops reading


@lru_cache
def _gzip_bomb() -> bytes:
    """Return 0.3 MB of gzip that decompress to 300 MB."""
    compressor = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    blocks = [
        compressor.compress(b"\0" * 1_000_000) + compressor.flush(zlib.Z_FULL_FLUSH)
        for _ in range(2)
    ]
    return blocks[0] + blocks[1] * 299  # no back-references across a full flush


# --- faults of the list ------------------------------------------------------------------------


def _drop_papers(correct: Response) -> Response:
    """Return only the first paper."""
    if correct.is_json:
        return _json(correct.get_json()[:1])

    def first(props: Json) -> Json:
        return props | {"dailyPapers": props["dailyPapers"][:1]}

    return _change_props(correct, lambda data: json.dumps(first(json.loads(data))))


def _break_json(correct: Response) -> Response:
    if correct.is_json:
        return Response(b"[{{" + correct.get_data(), mimetype="application/json")
    return _change_props(correct, lambda data: data.replace("[", "[{{", 1))


def _keep_only_cards(correct: Response) -> Response:
    """Return a page with rendered cards instead of its props; the API, which has none, fails."""
    if correct.is_json:
        return Response("", 500)
    if correct.status_code != 200:  # a redirect
        return correct
    found = _PROPS.search(correct.get_data(as_text=True))
    assert found
    props = json.loads(unescape(found[1]))
    cards = "".join(map(_card, props.get("searchResults", props["dailyPapers"])))
    label = props.get("dateString", "")
    return Response(f'<!doctype html><html><time datetime="{label}">{label}</time>{cards}</html>')


def _card(entry: Json) -> str:
    paper = entry["paper"]
    return (
        f'<article><h3><a href="/papers/{paper["id"]}">{escape(entry["title"])}</a></h3>'
        f"<p>{escape(paper['summary'])}</p></article>"
    )


def _change_props(page: Response, change: Callable[[str], str]) -> Response:
    text = page.get_data(as_text=True)
    props = _PROPS.search(text)
    assert props
    return Response(text.replace(props[1], escape(change(unescape(props[1])))))


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, mimetype="application/json")


_Fault = Callable[[Response], WSGIApplication]

#: By name: functions that turn the correct response, of a page or of the API, into a faulty one.
FAULTS: dict[str, _Fault] = {
    "500": _respond(500),
    "503": _respond(503),
    "403": _respond(403),
    "404": _respond(404),
    "429": _respond(429),
    "429-retry-after": _respond(429, "slow down", Retry_After="2"),
    "waf": _respond(202, "<script src='/challenge.js'></script>", x_amzn_waf_action="challenge"),
    "timeout": lambda correct: _hang,
    "slow": _drip_body,
    "reset": lambda correct: _reset,
    "truncate": _truncate,
    "empty": _respond(200, ""),
    "nolist": _respond(200, "<!doctype html><html><body><main>Redesigned.</main></body></html>"),
    "badjson": _break_json,
    "badutf8": _respond(200, b"<html><body>\xff\xfe\xfa" + b"\xc3" * 400 + b"</body></html>"),
    "huge": _send_huge_body,
    "bomb": lambda correct: Response(_gzip_bomb(), headers={"Content-Encoding": "gzip"}),
    "redirect-out": _respond(302, "", Location="http://outside.invalid/latest/meta-data/"),
    "login": _respond(302, "", Location="/login?next=%2Fpapers"),
    "shrunk": _drop_papers,
    "cards-only": _keep_only_cards,
    "api-down": lambda correct: _json({"error": "Internal error"}, 500),
}
#: The faults that end only at the deadline.
HANGING = {"timeout", "slow"}


#: The paths that a fault applies to.
SCOPES = {"the page": "/papers", "the API": "/api", "both": "/"}


class Outcome(NamedTuple):
    """The outcome of a fault without stored data: papers and their origin, or the reason."""

    page_fails: str
    api_fails: str
    both_fail: str


#: With a listing stored, each of these serves the stored listing.
FAULT_OUTCOMES = {
    "500": Outcome("3 from api", "3 from data", "HTTP 500"),
    "503": Outcome("3 from api", "3 from data", "HTTP 503"),
    "403": Outcome("3 from api", "3 from data", "HTTP 403"),
    "404": Outcome("3 from api", "3 from data", "HTTP 404"),
    "429": Outcome("3 from api", "3 from data", "HTTP 429, too many requests"),
    "429-retry-after": Outcome("3 from api", "3 from data", "HTTP 429, too many requests"),
    "waf": Outcome("3 from api", "3 from data", "blocked by a bot challenge"),
    "timeout": Outcome("3 from api", "3 from data", "timed out|no response within"),
    "slow": Outcome("3 from api", "3 from data", "timed out|no response within"),
    "reset": Outcome("3 from api", "3 from data", "request failed: "),
    "truncate": Outcome("3 from api", "3 from data", "request failed: peer closed connection"),
    "empty": Outcome("3 from api", "3 from data", "the response is empty"),
    "nolist": Outcome("3 from api", "3 from data", "the page has no data of a list of papers"),
    "badjson": Outcome("3 from api", "3 from data", "2 from data"),
    "badutf8": Outcome("3 from api", "3 from data", "the page has no data of a list of papers"),
    "huge": Outcome("3 from api", "3 from data", "the response is larger than 8 MB"),
    "bomb": Outcome("3 from api", "3 from data", "the response is larger than 8 MB"),
    "redirect-out": Outcome("3 from api", "3 from data", "redirect to another server"),
    "login": Outcome("3 from api", "3 from data", "redirect to the login page"),
    "shrunk": Outcome("1 from data", "3 from data", "1 from data"),
    "cards-only": Outcome("3 from api", "3 from data", "3 from cards"),
    "api-down": Outcome("3 from api", "3 from data", "HTTP 500"),
}
#: One fault of each class: an error status, a Retry-After, a timeout, a
#: broken connection, an unreadable page, a page of cards alone, a listing that lost papers.
OUTCOMES = {
    name: FAULT_OUTCOMES[name]
    for name in ("503", "429-retry-after", "timeout", "reset", "nolist", "cards-only", "shrunk")
}
