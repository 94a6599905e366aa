"""Requests for an attack on a server: odd ones as raw bytes, and distinct addresses."""

from datetime import date, timedelta
from random import Random
from urllib.parse import quote

_METHODS = (
    *("GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"),
    *("CONNECT", "PRI", "get", "G\0T", "", "PROPFIND", "X" * 9000),
)
_PATHS = (
    *("/", "/papers", "/papers.atom", "/papers.bib", "/papers/week.json", "/papers/trending.rss"),
    *("/feeds/all.atom", "/feeds/all+none", "/feeds.opml", "/status", "/metrics", "/openapi.json"),
    *("/static/page.js", "/static/../app.py", "/static/%2e%2e/x", "/static//etc/passwd"),
    *("/preview", "/papers/date/2026-02-30.atom", "/papers/date/0000-00-00"),
    *("/papers/week/2026-W99.rss", "/papers/month/9999-99", "/papers/2611.00001"),
    *("/papers/q/a/b/c.atom", "/papers/q/%2F", "//", "///etc", "/\\evil", "//evil.example/%2f.."),
    *("/.atom", "/papers.", "/papers.ATOM/", "/%", "/%00", "/%ff", "/%c0%af", "/%zz", "/\xff"),
    *("/" + "a" * 8000, "/" + "a/" * 4000, "*", "http://evil.example/papers.atom", "http://[::1"),
    *("papers.atom", "?q=a", "#", "", "/ x y"),
)
_PARAMETERS = (
    *("q=causal", "q=%22", "q=(((((((((((", "q=%00", "q=%ff", "q=%F0%9F%92%A9", "q=" + "a+" * 200),
    *("q=" + "(" * 250, "q=-a", "q=*", "q=OR", "q=like:2611.00001", "q=like:../..", "q=%0d%0aX:1"),
    *("q=upvotes:>=99999999999999", "q=author:%22", "q=id:", "q=%E2%80%AE", "q[]=a", "q"),
    *("q=a&q=b", "limit=0", "limit=-1", "limit=1e9", "limit=%D9%A3", "limit=200", "page=999"),
    *("page=" + "9" * 99, "digest=day", "digest=week", "digest=x", "match=upstream", "match=%00"),
    *("key=x", "format=rss"),
    *("%", "&&&&", "=", "a=" + "b" * 9000, "&".join(f"p{n}=1" for n in range(2000)), "date=%00"),
)
_HEADERS = (
    *("Host: localhost", "Host: ", "Host: a b", "Host: \xff", "Host: [::1", "Host: a:99999999"),
    *("Host: evil.example", "Host: a/b", "Host: a\tb", "Host: " + "a" * 300, "Host: x@y", "host:a"),
    *("If-None-Match: *", 'If-None-Match: "', "If-None-Match: " + '"a",' * 2000, "If-Match: *"),
    *("If-Modified-Since: x", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT", "If-Match: x"),
    *("If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "Range: bytes=0-0", "Range: bytes=9-1"),
    *("Accept: text/html", "Accept: */*;q=x", "Accept: " + "a/b," * 2000, "Accept-Encoding: gzip"),
    *("Accept-Encoding: *;q=0", "Accept-Encoding: \xff", "Accept-Language: \0", "Cookie: a=b"),
    *("Authorization: Basic", "Authorization: Basic \xff", "Authorization: Basic Og=="),
    *("Expect: x", "Authorization: Bearer \xe9", "Authorization: Basic 4pyT"),
    *("X-Forwarded-For: x, \xff", "X-Forwarded-For: " + "1.2.3.4," * 500, "X-Forwarded-Host: a b"),
    *("X-Forwarded-Proto: gopher", "X-Forwarded-Prefix: //evil.example", "Forwarded: for=\xff"),
    *("Origin: null", "Via: x", "Content-Length: 5", "Content-Length: -1"),
    *("Content-Length: 99999999999999999999", "Transfer-Encoding: chunked", "Transfer-Encoding: x"),
    *("Content-Type: \xff", "Upgrade: h2c", "Connection: upgrade", "Expect: 100-continue"),
    *("no colon", " folded", ": empty", "A\0: b"),
    *("Content-Type: application/x-www-form-urlencoded", "Access-Control-Request-Method: GET"),
)
_VERSIONS = ("HTTP/1.1",) * 9 + ("HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "HTTP/1.1 x", "")
_BODIES = (
    "",
    "",
    "",
    "",
    "5\r\nabcde\r\n0\r\n\r\n",
    "ffffffffffffffff\r\n",
    "q=a",
    "\0" * 5,
    "x" * 9,
)
_WORDS = ("kite", "harbour", "tide", "lantern", "orchard", "violin", "glacier", "compass")
_TEMPLATES = (
    *("/papers.atom?q={word}+{name}", "/papers.rss?q={word}+{name}", "/papers.json?q={name}"),
    *("/papers?q={name}", "/papers.bib?q={word}+OR+{name}", "/?q={word}+{name}"),
    *("/preview?q={name}", "/papers.atom?q={word}&limit={limit}&unknown={name}"),
    *("/papers/week.atom?q={name}", "/feeds/all.atom?q={name}", "/feeds/{name}.atom", "/{name}"),
    *("/papers/date/{day}.atom?q={name}", "/papers.atom?q=upvotes:>={limit}+{name}"),
    *("/papers.atom?q={name}&digest=week", "/papers/q/{name}.atom", "/static/{name}.css"),
    *("/papers.atom?q=like:2611.{limit:05}+{name}", "/papers.atom?q={name}&match=upstream"),
)


def odd_request(chance: Random) -> bytes:
    """Return one request of which several parts are odd."""
    target = chance.choice(_PATHS)
    if chance.random() < 0.6:
        count = chance.choice((1, 1, 2, 5))
        target += "?" + "&".join(chance.choice(_PARAMETERS) for _ in range(count))
    line = f"{chance.choice(_METHODS)} {target} {chance.choice(_VERSIONS)}"
    headers = [chance.choice(_HEADERS) for _ in range(chance.choice((1, 2, 4, 40)))]
    if chance.random() < 0.7:
        headers = ["Host: localhost", *(each for each in headers if "host" not in each.lower())]
    end = chance.choice(("\r\n", "\r\n", "\r\n", "\n"))
    head = end.join([line, *headers, "Connection: close", "", ""])
    request = (head + chance.choice(_BODIES)).encode("latin-1")
    return request if chance.random() < 0.95 else request[: chance.randrange(len(request))]


def distinct_address(chance: Random, number: int) -> str:
    """Return an address that no other number has."""
    return chance.choice(_TEMPLATES).format(
        word=chance.choice(_WORDS),
        name=quote(f"{chance.choice(_WORDS)}{number}"),
        limit=chance.randint(1, 200),
        day=date(2026, 11, 24) - timedelta(days=chance.randrange(400)),
    )
