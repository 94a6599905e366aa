"""What can go wrong upstream: each fault by its name, as an answer in place of the right one."""

from __future__ import annotations

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


def _status(status: int, body: str | bytes = "Sorry", **headers: str) -> _Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda right: Response(body, status, named)


# --- faults of the connection ------------------------------------------------------------------


def _hang(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """Say nothing until the other side gives up."""
    select.select([environ["werkzeug.socket"]], [], [], 60)
    return _reset_connection(environ, start)


def _reset_connection(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def _drip(right: Response) -> Response:
    def drip() -> Iterator[bytes]:
        while True:
            yield b"<!-- wait -->"
            time.sleep(0.02)

    return Response(drip(), headers={"Content-Length": "1000000"})


def _truncate(right: Response) -> Response:
    whole = right.get_data()
    answer = Response(whole[: len(whole) // 3], mimetype=right.mimetype)
    answer.headers["Content-Length"] = str(len(whole))
    return answer


def _endless_body(right: Response) -> Response:
    return Response(b"x" * 100_000 for _ in range(2000))  # 200 MB if nobody stops it


@lru_cache
def _bomb() -> bytes:
    """Return 0.3 MB that unpack to 300 MB."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    blocks = [
        packer.compress(b"\0" * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    ]
    return blocks[0] + blocks[1] * 299  # nothing refers back over a full flush


# --- faults of the list ------------------------------------------------------------------------


def _first_paper_only(right: Response) -> Response:
    """Give the first paper alone."""
    if right.is_json:
        return _json(right.get_json()[:1])

    def first(props: Json) -> Json:
        return props | {"dailyPapers": props["dailyPapers"][:1]}

    return _replace_data(right, lambda data: json.dumps(first(json.loads(data))))


def _bad_json(right: Response) -> Response:
    if right.is_json:
        return Response(b"[{{" + right.get_data(), mimetype="application/json")
    return _replace_data(right, lambda data: data.replace("[", "[{{", 1))


def _cards_only(right: Response) -> Response:
    """Give a page without its data; the API, which has no cards, fails."""
    if right.is_json:
        return Response("", 500)
    return Response(_PROPS.sub("", right.get_data(as_text=True)))


def _replace_data(page: Response, change: Callable[[str], str]) -> Response:
    text = page.get_data(as_text=True)
    props = _PROPS.search(text)
    assert props
    return Response(text.replace(props[1], escape(change(unescape(props[1])))))


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, mimetype="application/json")


_Fault = Callable[[Response], WSGIApplication]

#: By name: makes what is said of what should have been said, by a page or by the API.
FAULTS: dict[str, _Fault] = {
    "500": _status(500),
    "503": _status(503),
    "403": _status(403),
    "404": _status(404),
    "429": _status(429),
    "429-retry-after": _status(429, "slow down", Retry_After="2"),
    "waf": _status(202, "<script src='/challenge.js'></script>", x_amzn_waf_action="challenge"),
    "timeout": lambda right: _hang,
    "slow": _drip,
    "reset": lambda right: _reset_connection,
    "truncate": _truncate,
    "empty": _status(200, ""),
    "nolist": _status(200, "<!doctype html><html><body><main>Redesigned.</main></body></html>"),
    "badjson": _bad_json,
    "badutf8": _status(200, b"<html><body>\xff\xfe\xfa" + b"\xc3" * 400 + b"</body></html>"),
    "huge": _endless_body,
    "bomb": lambda right: Response(_bomb(), headers={"Content-Encoding": "gzip"}),
    "redirect-out": _status(302, "", Location="http://outside.invalid/latest/meta-data/"),
    "login": _status(302, "", Location="/login?next=%2Fpapers"),
    "shrunk": _first_paper_only,
    "cards-only": _cards_only,
    "api-down": lambda right: _json({"error": "Internal error"}, 500),
}
#: Those that end by the deadline alone.
HANGING = {"timeout", "slow"}


#: The paths that a fault applies to.
SCOPES = {"the page": "/papers", "the API": "/api", "both": "/"}


class Outcome(NamedTuple):
    """What comes of a fault where nothing is stored: papers and their source, or the reason."""

    page_fails: str
    api_fails: str
    both_fail: str


#: With a listing stored, each of these serves the stored listing.
FAULT_OUTCOMES = {
    "500": Outcome("3 from api", "3 from data", "status 500"),
    "503": Outcome("3 from api", "3 from data", "status 503"),
    "403": Outcome("3 from api", "3 from data", "status 403"),
    "404": Outcome("3 from api", "3 from data", "status 404"),
    "429": Outcome("3 from api", "3 from data", "too many requests"),
    "429-retry-after": Outcome("3 from api", "3 from data", "too many requests"),
    "waf": Outcome("3 from api", "3 from data", "a wall against bots"),
    "timeout": Outcome("3 from api", "3 from data", "no answer (in time|within)"),
    "slow": Outcome("3 from api", "3 from data", "no (whole )?answer (in time|within)"),
    "reset": Outcome("3 from api", "3 from data", "no answer: "),
    "truncate": Outcome("3 from api", "3 from data", "no answer: peer closed connection"),
    "empty": Outcome("3 from api", "3 from data", "an empty answer"),
    "nolist": Outcome("3 from api", "3 from data", "no data of a list of papers"),
    "badjson": Outcome("3 from api", "3 from data", "3 from cards"),
    "badutf8": Outcome("3 from api", "3 from data", "no data of a list of papers"),
    "huge": Outcome("3 from api", "3 from data", "over 8 MB"),
    "bomb": Outcome("3 from api", "3 from data", "over 8 MB"),
    "redirect-out": Outcome("3 from api", "3 from data", "sends to another server"),
    "login": Outcome("3 from api", "3 from data", "asks to log in"),
    "shrunk": Outcome("1 from data", "3 from data", "1 from data"),
    "cards-only": Outcome("3 from api", "3 from data", "3 from cards"),
    "api-down": Outcome("3 from api", "3 from data", "status 500"),
}
#: One fault of each class: an error status, a wait that upstream asks for, no answer in time, a
#: broken connection, an unreadable page, a page of cards alone, a listing that lost papers.
OUTCOMES = {
    name: FAULT_OUTCOMES[name]
    for name in ("503", "429-retry-after", "timeout", "reset", "nolist", "cards-only", "shrunk")
}
