"""URL routing: path converters, and redirects from addresses that are nearly right."""

import re
from datetime import date
from urllib.parse import quote

from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter, Map

from feedsrv.feeds.formats import ALL_FORMATS
from feedsrv.models import Kind, Page

#: The kinds of lists by the word in their addresses, which are those of Hugging Face.
PERIODS = {"date": Kind.DAY, "week": Kind.WEEK, "month": Kind.MONTH}
#: The key of a list as people write it, which may lack a separator or a leading zero.
_PERIOD_KEYS = {
    Kind.DAY: re.compile(r"(\d{4})-(\d\d?)-(\d\d?)|(\d{4})(\d\d)(\d\d)", re.ASCII),
    Kind.WEEK: re.compile(r"(\d{4})-?W?(\d\d?)", re.ASCII | re.IGNORECASE),
    Kind.MONTH: re.compile(r"(\d{4})-(\d\d?)|(\d{4})(\d\d)", re.ASCII),
}
_PERIOD_FORMS = {
    Kind.DAY: "/papers/date/YYYY-MM-DD",
    Kind.WEEK: "/papers/week/YYYY-Wnn",
    Kind.MONTH: "/papers/month/YYYY-MM",
}
_MAX_WEEK = 53
#: What to put in place of the beginning of a path that nearly has the key of a list.
_NEARLY_PERIODS = (
    (re.compile(r"^/papers/(?:day/)?(?=\d{4}-\d\d?-\d)"), "/papers/date/"),
    (re.compile(r"^/papers/(?=\d{4}-?W\d)", re.IGNORECASE), "/papers/week/"),
    (re.compile(r"^/papers/(?=\d{4}-\d\d?(?:\.|$))"), "/papers/month/"),
)
_SUFFIXES = {*ALL_FORMATS, "opml"}
#: The words of addresses that are the same on every server; names of feeds are not.
_FIXED_WORDS = re.compile(
    r"^/(?:papers(?:/(?:date|week|month|trending))?|feeds)(?![^/.])", re.IGNORECASE
)
#: Characters of a query string that are not percent-encoded in a redirect.
_QUERY_STRING = "%/:?@!$&'()*+,;=~"


class PaperIdConverter(BaseConverter):
    """Matches an arXiv id, with or without a version; gives it without."""

    regex = r"\d{4}\.\d{4,5}(?:v\d+)?"

    def to_python(self, value: str) -> str:
        return value.partition("v")[0]


def parse_period(kind: Kind, text: str) -> Page:
    """Return the page of a day, week or month; raise NotFound if there is no such period."""
    match = _PERIOD_KEYS[kind].fullmatch(text)
    try:
        numbers = [int(group) for group in match.groups() if group] if match else []
        match kind, numbers:
            case Kind.DAY, [year, month, day]:
                return Page.of_date(kind, date(year, month, day))
            case Kind.MONTH, [year, month]:
                return Page.of_date(kind, date(year, month, 1))
            case Kind.WEEK, [year, week] if year and 1 <= week <= _MAX_WEEK:
                return Page(kind, f"{year:04d}-W{week:02d}")
    except ValueError:
        pass
    raise NotFound(f"There is no {kind} {text}; the address is {_PERIOD_FORMS[kind]}.FORMAT.")


def nearest_path(path: str, url_map: Map, *, is_known: bool) -> str | None:
    """Return the path that was probably meant, if the path is nearly one of the application's.

    Several slashes become one, one at the end is dropped, and the suffix of a format and the fixed
    words are in small letters.
    """
    meant = re.sub("//+", "/", path).rstrip("/") or "/"
    stem, dot, suffix = meant.rpartition(".")
    if suffix.lower() in _SUFFIXES:
        meant = f"{stem}{dot}{suffix.lower()}"
    if not is_known:
        for pattern, beginning in _NEARLY_PERIODS:
            meant = pattern.sub(beginning, meant)
        meant = _FIXED_WORDS.sub(lambda words: words[0].lower(), meant)
    return meant if meant != path and url_map.bind("").test(meant, "GET") else None


def quote_query_string(query_string: bytes) -> str:
    """Return a query string as part of a URL, with its question mark; empty for an empty one."""
    return f"?{quote(query_string, safe=_QUERY_STRING)}" if query_string else ""
