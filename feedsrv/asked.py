"""What the request at hand asks for, by whom, and where this server is for it."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import g, request

from feedsrv import address
from feedsrv.access import Pass, admitted
from feedsrv.config import Config
from feedsrv.errors import ParameterError


def query() -> str:
    """Return the query as it stands in the address, white space evened; empty for none."""
    return " ".join(request.args.get("q", "").split())


def number(name: str, most: int) -> int | None:
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


def client(config: Config) -> str:
    """Return who asks."""
    peer = request.remote_addr or "unknown"
    return address.client(config, peer=peer, headers=request.headers)


def admit(config: Config) -> None:
    """Note what the request has shown to get in.

    Raises:
        AccessError: Nothing that opens what it asks for.

    """
    g.shown = admitted(
        config.access_key,
        path=request.path,
        query=query(),
        key=request.args.get("key", ""),
        password=_password(),
    )


def _password() -> str | None:
    # Werkzeug breaks on letters that no base64 has.
    login = request.authorization if request.headers.get("Authorization", "").isascii() else None
    return login.password if login and login.type == "basic" else None


def shown() -> Pass:
    """Return what the request has shown to get in; nothing where it did not."""
    found: Pass = g.get("shown", Pass())
    return found


def url(config: Config) -> Callable[..., str]:
    """Return the function that makes every address of this server, with the key that opens it.

    It takes what `feedsrv.address.url` takes behind the base.

    Raises:
        ParameterError: The request came to no host.

    """
    headers = request.headers
    peer = request.remote_addr or ""
    base = address.base(config, scheme=request.scheme, peer=peer, headers=headers)
    seen = shown()

    def made(path: str, suffix: str = "", **parameters: object) -> str:
        key = seen.key_for(path, str(parameters.get("q") or ""))
        return address.url(base, path, suffix, **parameters, key=key)

    return made


def near() -> Callable[..., str]:
    """Return the function that makes addresses as seen from the page asked for, once it is a file.

    They hold wherever the files are put, under any host and prefix. Pages are folders there.
    """
    base = "/".join(".." for part in request.path.split("/") if part) or "."

    def made(path: str, suffix: str = "", **parameters: object) -> str:
        is_file = suffix or "." in path or path == "/"
        return address.url(base, path if is_file else f"{path}/", suffix, **parameters)

    return made
