"""Parameters of the current request."""

from __future__ import annotations

import re

from flask import request

from feedsrv.errors import ParameterError


def query_param() -> str:
    """Return the query as it stands in the address, white space evened; empty for none."""
    return " ".join(request.args.get("q", "").split())


def int_param(name: str, most: int) -> int | None:
    """Return the number that stands in the address under that name.

    Raises:
        ParameterError: It is none, or too large.

    """
    text = request.args.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII) or int(text) > most:
        raise ParameterError(name, text, f"must be a number from 1 to {most}")
    return int(text)
