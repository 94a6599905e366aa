"""Parameters of the current request's query string.

`FeedParams` lists the parameters that a feed's URL can have. Whatever else a request has is
ignored, and is not part of the feed's own URL.
"""

import re
from collections.abc import Collection
from typing import NamedTuple, cast, get_args
from urllib.parse import parse_qsl, unquote_plus

from flask import request

from feedsrv.errors import ParameterError
from feedsrv.models import MAX_ENTRIES, DigestPeriod, MatchMode
from feedsrv.web.pasted_query import list_path, query_from_pasted

#: Characters of a value that an error repeats.
_MAX_SHOWN = 100
#: The last page of a feed; `int_param` reads three digits.
MAX_PAGE = 999
#: What programs leave of a missing value where they add it to a URL: ``?q=causal%3Fnull``.
_ADDED_WORD = re.compile(r"\?(?:null|undefined|none|nan)$", re.IGNORECASE)
_ENCODED_BYTE = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)


class FeedParams(NamedTuple):
    """The parameters of a feed's URL, in the order in which its own URL has them."""

    q: str = ""
    limit: int | None = None
    digest: DigestPeriod | None = None
    match: MatchMode | None = None


#: The parameters that can also be parts of a path, such as ``/papers/q/causal.atom``.
PATH_PARAMETERS = (*FeedParams._fields, "key")


def feed_params() -> FeedParams:
    """Return the parameters of the request for a feed; raise ParameterError if one is invalid."""
    return FeedParams(
        digest=cast("DigestPeriod | None", choice_param("digest", get_args(DigestPeriod))),
        match=cast("MatchMode | None", choice_param("match", get_args(MatchMode))),
        q=query_param(),
        limit=int_param("limit", MAX_ENTRIES),
    )


def query_param() -> str:
    """Return the query that ``q`` means, with single spaces; raise ParameterError if not UTF-8."""
    # Werkzeug leaves bytes that are not UTF-8 percent-encoded, as if they had been typed so.
    pairs = parse_qsl(request.query_string.decode("latin-1"), encoding="latin-1")
    queries = [_decode_query(value) for name, value in pairs if name == "q"]
    # The query of an address that was added to this one unencoded is a second parameter.
    is_address_with_query = len(queries) > 1 and list_path(queries[0])
    return queries[1 if is_address_with_query else 0] if queries else ""


def _decode_query(raw: str) -> str:
    try:
        query = raw.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise ParameterError("q", raw, "must be encoded as UTF-8") from error
    return query_from_pasted(" ".join(_undo_encoding(query).split()))


def _undo_encoding(query: str) -> str:
    """Return the query without what programs do to an address: encode it twice, add to it."""
    is_address = "://" in query  # with a query string that is encoded as it should be
    if not is_address and " " not in query and _ENCODED_BYTE.search(query):
        decoded = unquote_plus(query)
        query = query if "\ufffd" in decoded else decoded
    return _ADDED_WORD.sub("", query)


def int_param(name: str, maximum: int) -> int | None:
    """Return the value of the parameter, from 1 to the maximum; None where it is absent.

    Raises:
        ParameterError: It is not a number from 1 to the maximum.
    """
    value = request.args.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,2}", value, re.ASCII) or int(value) > maximum:
        raise ParameterError(name, value, f"must be a number from 1 to {maximum}")
    return int(value)


def page_number_param() -> int:
    """Return the number of the requested page of a feed, from 1."""
    return int_param("page", MAX_PAGE) or 1


def page_param(page: int | None) -> int | None:
    """Return the parameter for a page of a feed; the first page has the URL of the feed."""
    return page if page and page > 1 else None


def choice_param(name: str, choices: Collection[str]) -> str | None:
    """Return the value of the parameter; None where it is absent.

    Raises:
        ParameterError: It is not one of the choices.
    """
    value = request.args.get(name)
    return None if value is None else choice_value(name, value, choices)


def choice_value(name: str, value: str, choices: Collection[str]) -> str:
    """Return the value of a parameter; raise ParameterError if it is not one of the choices."""
    if value not in choices:
        raise ParameterError(name, value[:_MAX_SHOWN], f"must be one of {', '.join(choices)}")
    return value
