"""Upstream responses for an attack on a server: correct ones, and random damage to them."""

import gzip
import json
from collections.abc import Callable, Iterable
from datetime import date
from random import Random
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.wrappers import Request, Response

from tests.support.builders import html_page, json_entry

_PAPERS = 20
_INSERTIONS = (
    *(b"\0", b"\xff\xfe", b"\xed\xa0\xbd", b"\\ud83d", b"&#xD83D;", b'"', b"'", b"\\", b"<", b">"),
    *(b"{", b"}", b"[", b"]", b"9" * 5000, b"[" * 5000, b"<div " * 5000, b"&amp;" * 5000),
    *(b"NaN", b"1e999", b"<script>alert(1)</script>", b"]]>", b"<!--", b"\x1b[2J", b"\r\n\r\n"),
    *(b"0001-01-01T00:00:00.000Z", b"9999-12-31T23:59:59.999Z", b'"dailyPapers": []'),
)
_STATUSES = (
    *(201, 202, 203, 206, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405),
    *(407, 408, 410, 413, 418, 421, 425, 429, 451, 500, 501, 502, 503, 504, 507, 520, 525, 599),
)
_LOCATIONS = (
    *("", "/", "//", "///x", "/papers", "/papers/date/2023-05-04", "/papers/date/9999-12-31"),
    *("http://", "http://[", "http://[::1", "https://huggingface.co/", "javascript:alert(1)"),
    *("/login", "/login?next=%2F", "/papers/%00", "/papers/\xff", "?", "#", "/" + "x" * 9000),
    *("http://127.0.0.1:99999/", "http://127.0.0.1:-1/", "http://user:pw@127.0.0.1/", "data:,x"),
)
_HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Set-Cookie", ("a=b", "a=" + "x" * 40_000, "=", ";", "a=b; Domain=.; Max-Age=9" + "9" * 99)),
    ("ETag", ("", '"', 'W/"a"', '"\xff"', '"' + "x" * 300 + '"', "a\tb", '"a", "b"')),
    ("Last-Modified", ("", "now", "Thu, 01 Jan 1970 00:00:00 GMT", "\xff", "x" * 300)),
    ("Retry-After", ("", "-1", "0", "1e9", "9" * 40, "Fri, 31 Dec 9999 23:59:59 GMT", "\xb2")),
    ("RateLimit", ('"pages";r=0;t=99999999999', '"pages";r=0;t=-5', ";r=0;", "r=x;t=y", "\xff")),
    ("Link", ("<", '<>; rel="next"', '<a>; rel="next"' * 500, "<//[>; rel=next", "\xff")),
    ("Content-Type", ("", "text/html; charset=utf-7", "application/pdf", "x", "text/html; =")),
    ("Content-Encoding", ("gzip", "x-gzip, gzip", "br", "identity", "", "gzip;q=1", "\xff")),
    ("Content-Length", ("0", "1", "99999999", "-1", "x")),
    ("Content-Range", ("bytes 0-1/2", "x")),
    ("Date", ("Fri, 31 Dec 9999 23:59:59 GMT", "")),
    ("Connection", ("keep-alive, close, upgrade", "")),
    ("X-Amzn-Waf-Action", ("challenge", "")),
)


class Site:
    """Upstream as a WSGI application: a list for each address, or what replaces it.

    Attributes:
        replace: Called with each correct response; returns the response to send.
        requests: Number of requests.

    """

    def __init__(self) -> None:
        self.replace: Callable[[Response], Response] = lambda correct: correct
        self.requests = 0

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        self.requests += 1
        response = self.replace(_correct_response(Request(environ)))
        start(response.status, list(response.headers))  # as they are: werkzeug would mend them
        return [response.get_data()]


def _correct_response(request: Request) -> Response:
    """Return the page or the API response with the same papers for the same address."""
    name = request.args.get("date") or request.path.rpartition("/")[2]
    query = request.args.get("q", "")
    is_date = len(name) == len("2026-11-24") and name[:2] == "20"
    day = date.fromisoformat(name) if is_date else date(2026, 11, 24)
    start = day.day * 1000 + (500 if query else 0)
    entries = [
        json_entry(
            f"{day:%y%m}.{start + number:05d}",
            submittedOnDailyAt=f"{day}T00:00:00.000Z",
            publishedAt=f"{day}T00:00:00.000Z",
            title=f"Kite {number} of {day} {query}",
        )
        for number in range(_PAPERS)
    ]
    if request.path.startswith("/api"):
        return Response(json.dumps(entries), mimetype="application/json")
    props: dict[str, Any] = {"dailyPapers": entries, "dateString": name}
    if query:
        props |= {"searchResults": entries, "query": {"q": query}}
    elif "-W" in name or not is_date:
        props |= {"periodType": "week" if "-W" in name else "month"}
    else:
        props |= {"periodType": "day"}
    if name == "trending":
        props = {"dailyPapers": entries, "isTrending": True}
    return Response(html_page(props), mimetype="text/html")


def corrupt(chance: Random, correct: Response) -> Response:
    """Return the response with a damaged body and, more rarely, damaged headers and status."""
    body = correct.get_data()
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        body = _corrupt_body(chance, body)
    response = Response(body, content_type=correct.content_type)
    if chance.random() < 0.3:
        response.data = _compress(chance, body)
        response.headers["Content-Encoding"] = chance.choice(("gzip", "GZIP", "x-gzip"))
    if chance.random() < 0.2:
        response.status_code = chance.choice(_STATUSES)
        response.headers["Location"] = chance.choice(_LOCATIONS)
    for _ in range(chance.choice((0, 0, 1, 3))):
        name, values = chance.choice(_HEADERS)
        response.headers[name] = chance.choice(values)
    for number in range(chance.choice((0, 0, 0, 0, 50))):
        response.headers.add("Set-Cookie", f"cookie{number}={'x' * 300}")
    return response


def _corrupt_body(chance: Random, body: bytes) -> bytes:
    """Return the body with a part cut off, left out, repeated, moved, or replaced."""
    start, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    length = min(end - start, chance.choice((0, 1, 4, 400, 40_000)))
    insertion = chance.choice(_INSERTIONS)
    return chance.choice(
        (
            body[:start],
            body[:start] + body[end:],
            body[:start] + body[start:end] * 3 + body[end:],
            body[end:] + body[start:end] + body[:start],
            body[:start] + chance.randbytes(length) + body[start + length :],
            body.replace(chance.choice(_INSERTIONS), insertion, 3),
            body.decode("utf-8", "replace").encode(chance.choice(("utf-16", "utf-7"))),
            body[:start] + insertion + body[start:],
            body[:start] + insertion + body[start + length :],
        )
    )


def _compress(chance: Random, body: bytes) -> bytes:
    """Return the body as gzip: whole, in two members, with a bad checksum, padded or doubled."""
    half = len(body) // 2
    whole = gzip.compress(body)
    return chance.choice(
        (
            whole,
            gzip.compress(body[:half]) + gzip.compress(body[half:]),
            whole[:-8] + chance.randbytes(8),
            whole[: len(whole) // 2],
            whole + b"\0" * 512,
            whole + b"\x1f\x8b",
            gzip.compress(whole),
            body,
        )
    )
