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
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.wrappers import Response

from tests.support.builders import Json

_PROPS = re.compile(r'data-target="DailyPapers" data-props="([^"]*)"')


def _saying(status: int, body: str | bytes = "Sorry", **headers: str) -> _Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda right: Response(body, status, named)


# --- faults of the connection ------------------------------------------------------------------


def _silent(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """Say nothing until the other side gives up."""
    select.select([environ["werkzeug.socket"]], [], [], 60)
    return _resetting(environ, start)


def _resetting(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def _slow(right: Response) -> Response:
    def drip() -> Iterator[bytes]:
        while True:
            yield b"<!-- wait -->"
            time.sleep(0.02)

    return Response(drip(), headers={"Content-Length": "1000000"})


def _cut_short(right: Response) -> Response:
    whole = right.get_data()
    answer = Response(whole[: len(whole) // 3], mimetype=right.mimetype)
    answer.headers["Content-Length"] = str(len(whole))
    return answer


def _huge(right: Response) -> Response:
    return Response(b"x" * 100_000 for _ in range(2000))  # 200 MB if nobody stops it


@lru_cache
def _bomb() -> bytes:
    """Return 0.3 MB that unpack to 300 MB."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    parts = [packer.compress(b"\0" * 1_000_000) for _ in range(300)]
    return b"".join(parts) + packer.flush()


# --- faults of the list ------------------------------------------------------------------------


def _shrunk(right: Response) -> Response:
    """Give the first paper alone."""
    if right.is_json:
        return _json(right.get_json()[:1])

    def first(props: Json) -> Json:
        return props | {"dailyPapers": props["dailyPapers"][:1]}

    return _changed(right, lambda data: json.dumps(first(json.loads(data))))


def _bad_json(right: Response) -> Response:
    if right.is_json:
        return Response(b"[{{" + right.get_data(), mimetype="application/json")
    return _changed(right, lambda data: data.replace("[", "[{{", 1))


def _cards_only(right: Response) -> Response:
    """Give a page without its data; the API, which has no cards, fails."""
    if right.is_json:
        return Response("", 500)
    return Response(_PROPS.sub("", right.get_data(as_text=True)))


def _changed(page: Response, change: Callable[[str], str]) -> Response:
    text = page.get_data(as_text=True)
    props = _PROPS.search(text)
    assert props
    return Response(text.replace(props[1], escape(change(unescape(props[1])))))


def _json(value: object, status: int = 200) -> Response:
    return Response(json.dumps(value), status, mimetype="application/json")


_Fault = Callable[[Response], WSGIApplication]

#: By name: makes what is said of what should have been said, by a page or by the API.
FAULTS: dict[str, _Fault] = {
    "500": _saying(500),
    "503": _saying(503),
    "403": _saying(403),
    "404": _saying(404),
    "429": _saying(429),
    "429-retry-after": _saying(429, "slow down", Retry_After="2"),
    "waf": _saying(202, "<script src='/challenge.js'></script>", x_amzn_waf_action="challenge"),
    "timeout": lambda right: _silent,
    "slow": _slow,
    "reset": lambda right: _resetting,
    "truncate": _cut_short,
    "empty": _saying(200, ""),
    "nolist": _saying(200, "<!doctype html><html><body><main>Redesigned.</main></body></html>"),
    "badjson": _bad_json,
    "badutf8": _saying(200, b"<html><body>\xff\xfe\xfa" + b"\xc3" * 400 + b"</body></html>"),
    "huge": _huge,
    "bomb": lambda right: Response(_bomb(), headers={"Content-Encoding": "gzip"}),
    "redirect-out": _saying(302, "", Location="http://outside.invalid/latest/meta-data/"),
    "login": _saying(302, "", Location="/login?next=%2Fpapers"),
    "shrunk": _shrunk,
    "cards-only": _cards_only,
    "api-down": lambda right: _json({"error": "Internal error"}, 500),
}
#: Those that end by the deadline alone.
HANGING = {"timeout", "slow"}
