"""URL rewriting: addresses that programs have changed become what they were.

Mail programs, chat clients, proxies and readers encode a question mark, escape an ampersand, add a
parameter with a second question mark, or drop the query string. For the last there is a form of
each address without one: ``/papers/q/causal.atom`` is ``/papers.atom?q=causal``. A redirect would
not help: the same program would change its target too.
"""

import html
import re
from urllib.parse import quote, unquote
from wsgiref.types import WSGIEnvironment

from feedsrv.feeds.formats import ALL_FORMATS
from feedsrv.web.params import PATH_PARAMETERS

_NAMES = "|".join(PATH_PARAMETERS)
#: What few canonical addresses have. Nearly all requests stop here.
_UNUSUAL_PATH = re.compile(rf"[?&\s\\]|/(?:{_NAMES})/", re.ASCII)
_UNUSUAL_QUERY = re.compile(
    r"[?;\\%+/](?:(?<=[?;\\])|(?<=%)(?:26|5[Cc]|3[Dd]|20$|0[9AaDd]$)|(?<=[+/])$)"
)
_PATH_PARAMETER = re.compile(rf"/({_NAMES})/")
_SUFFIX = re.compile(rf"\.(?:{'|'.join(ALL_FORMATS)}|opml)$", re.IGNORECASE)
#: A query string in a path: its question mark was percent-encoded, or is an ampersand.
_QUERY_IN_PATH = re.compile(r"[?&](?=[a-z_]+=)")
#: A plus sign between words; one that belongs to a word, as in C++, is not.
_PLUS_AS_SPACE = re.compile(r"(?<=[^ +])\+(?=[^ +])")
#: An encoded parameter within the value of another one: all but the first were encoded once more.
_ENCODED_PARAMETER = re.compile(rf"%26(?:amp%3b)?({_NAMES})(?:=|%3d)", re.IGNORECASE)
#: Encoded characters that separate parameters, where nothing else does.
_ENCODED_SEPARATOR = re.compile("%(?:3d|26|25)", re.IGNORECASE)
_AMPERSAND = re.compile(r"(?:^|&)(?:amp;|#38;|#x26;)+|(?:\\|%5c)u0026", re.IGNORECASE)
_OTHER_ENTITY = re.compile(r"&(?:quot|apos|lt|gt|#\d+|#x[0-9a-f]+);", re.IGNORECASE)
#: What a shell or a Markdown editor puts before a character of a URL.
_BACKSLASH = re.compile(r"(?:\\|%5c)(?=[=&?])", re.IGNORECASE)
#: A question mark within a query string that begins one more parameter.
_SECOND_QUESTION_MARK = re.compile(r"\?(?=[a-z_]\w*(?:=|&|$))", re.IGNORECASE | re.ASCII)
_TRAILING_SPACE = re.compile(r"(?:\+|%20|%0[9ad])+$", re.IGNORECASE)
#: Slashes that were put behind the whole address. They may be a part of a key.
_TRAILING_SLASH = re.compile(r"((?:^|&)(?!key=)\w+=[^&]*?)/+$")
_SAFE = "%/:?@!$&'()*+,;=~"


def rewrite_environ(environ: WSGIEnvironment) -> WSGIEnvironment:
    """Return the request with the address that was meant; the same request if it has that."""
    path, query_string = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    if (
        _UNUSUAL_PATH.search(path)
        or _UNUSUAL_QUERY.search(query_string)
        or not query_string.isascii()
    ):
        rewritten = rewrite_url(path, query_string)
        if rewritten != (path, query_string):
            path, query_string = rewritten
            return {**environ, "PATH_INFO": path, "QUERY_STRING": query_string}
    return environ


def rewrite_url(path: str, query_string: str) -> tuple[str, str]:
    """Return the path and query string that were meant, in WSGI's encoding: bytes as Latin-1."""
    path = path.rstrip(" \t\r\n\\")  # and no byte of another character
    parameters: list[str] = []
    if _PATH_PARAMETER.search(path):
        path, parameters = _split_path_parameters(path)
    elif _QUERY_IN_PATH.search(path):
        path, rest = _QUERY_IN_PATH.split(path, maxsplit=1)
        parameters = [quote(rest.encode("latin-1"), safe=_SAFE)]
    return path, "&".join(filter(None, [*parameters, _repair_query_string(query_string)]))


def _split_path_parameters(path: str) -> tuple[str, list[str]]:
    """Return the path without the parameters in it, and the parameters, encoded."""
    path = path.rstrip("/")
    suffix = _SUFFIX.search(path)
    stem = path[: suffix.start()] if suffix else path
    # A value may contain slashes, so it ends where the next name begins.
    base, *parts = _PATH_PARAMETER.split(stem)
    parameters = []
    for name, value in zip(parts[::2], parts[1::2], strict=True):
        text = _PLUS_AS_SPACE.sub(" ", value) if name == "q" else value
        parameters.append(f"{name}={quote(text.encode('latin-1'), safe='')}")
    return f"{base}{suffix[0].lower() if suffix else ''}" or "/", parameters


def _repair_query_string(query_string: str) -> str:
    if not query_string.isascii():  # werkzeug fails on bytes that are not UTF-8
        query_string = quote(query_string.encode("latin-1"), safe=_SAFE)
    if "=" not in query_string:
        query_string = _ENCODED_SEPARATOR.sub(lambda found: unquote(found[0]), query_string)
    query_string = _AMPERSAND.sub("&", query_string).lstrip("&")
    query_string = _OTHER_ENTITY.sub(lambda found: quote(html.unescape(found[0])), query_string)
    query_string = _BACKSLASH.sub("", query_string)
    query_string = _ENCODED_PARAMETER.sub(r"&\1=", query_string)
    query_string = _SECOND_QUESTION_MARK.sub("&", query_string)
    return _TRAILING_SLASH.sub(r"\1", _TRAILING_SPACE.sub("", query_string))
