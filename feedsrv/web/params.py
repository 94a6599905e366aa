"""Parameters of the current request's query string."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal
from urllib.parse import parse_qsl

from flask import request

from feedsrv.errors import ParameterError

#: Values of ``digest``: one entry for each paper, or for each day or week.
DIGEST_CHOICES: tuple[Literal["none", "day", "week"], ...] = ("none", "day", "week")


def query_param() -> str:
    """Return the query ``q`` with its white space normalized; empty where there is none.

    Raises:
        ParameterError: It is not UTF-8.

    """
    # Werkzeug leaves bytes that are not UTF-8 percent-encoded, as if they had been typed so.
    pairs = parse_qsl(request.query_string.decode("latin-1"), encoding="latin-1")
    raw = next((value for name, value in pairs if name == "q"), "")
    try:
        query = raw.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise ParameterError("q", raw, "must be encoded as UTF-8") from error
    return " ".join(query.split())


def int_param(name: str, maximum: int) -> int | None:
    """Return the value of the parameter as a number; None where it is absent.

    Raises:
        ParameterError: It is not a number from 1 to the maximum.

    """
    value = request.args.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,2}", value, re.ASCII) or int(value) > maximum:
        raise ParameterError(name, value, f"must be a number from 1 to {maximum}")
    return int(value)


def digest_param() -> Literal["none", "day", "week"] | None:
    """Return the period of the digest that the request asks for; None where it says nothing.

    Raises:
        ParameterError: There is no such period.

    """
    if "digest" not in request.args:
        return None
    value = choice_param("digest", DIGEST_CHOICES, default="none")
    return next(choice for choice in DIGEST_CHOICES if choice == value)


def choice_param(name: str, choices: Collection[str], default: str) -> str:
    """Return the value of the parameter; the default where it is absent.

    Raises:
        ParameterError: It is not one of the choices.

    """
    value = request.args.get(name, default)
    if value not in choices:
        raise ParameterError(name, value, f"must be one of {', '.join(choices)}")
    return value
