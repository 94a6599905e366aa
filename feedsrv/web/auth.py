"""What the request at hand asks for, by whom, and where this server is for it."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from typing import NamedTuple

from flask import g, request

from feedsrv.config import Config
from feedsrv.errors import UnauthorizedError
from feedsrv.web.params import query_param


def authenticate_request(config: Config) -> None:
    """Note what the request has shown to get in.

    Raises:
        AccessError: Nothing that opens what it asks for.

    """
    g.shown = authenticate(
        config.access_key,
        path=request.path,
        query=query_param(),
        key=request.args.get("key", ""),
        password=_basic_password(),
    )


def _basic_password() -> str | None:
    # Werkzeug breaks on letters that no base64 has.
    login = request.authorization if request.headers.get("Authorization", "").isascii() else None
    return login.password if login and login.type == "basic" else None


def credentials() -> Credentials:
    """Return what the request has shown to get in; nothing where it did not."""
    found: Credentials = g.get("shown", Credentials())
    return found


_FORMAT_SUFFIX = re.compile(r"\.(?:atom|rss|json)$")
#: Bytes of an own key: more than anybody guesses, and 24 letters in an address.
_FEED_KEY_BYTES = 18


class Credentials(NamedTuple):
    """What a request has shown: it says which keys may stand in its answer."""

    #: The server's; empty for one that is open to all.
    access_key: str = ""
    #: As it stood in the address.
    key: str = ""
    #: What the key opens, where that is one address alone.
    scope: str = ""

    def master_key(self) -> str:
        """Return the key of the address if it opens every other too."""
        return "" if self.scope else self.key

    def key_for(self, path: str, query: str = "") -> str:
        """Return the key that goes into an address of this server, so that its readers get in.

        The access key is kept where the request had it in its address. Who gave it as a password
        gets the own key of each address. A request with an own key learns no other but those of
        static files, which its page needs.
        """
        if not self.access_key or self.master_key():
            return self.master_key()
        if not self.scope or self.scope == _resource(path, query) or path.startswith("/static/"):
            return feed_key(self.access_key, path, query)
        return ""


def feed_key(access_key: str, path: str, query: str = "") -> str:
    """Return the key that opens one path and query alone, whatever the format and the limit."""
    made = hmac.digest(access_key.encode(), _resource(path, query).encode(), "sha256")
    return urlsafe_b64encode(made[:_FEED_KEY_BYTES]).decode()


def authenticate(
    access_key: str, *, path: str, query: str, key: str, password: str | None
) -> Credentials:
    """Return what a request has shown.

    Args:
        access_key: The server's; empty for one that is open to all.
        path: What is asked for.
        query: The query that stands in the address.
        key: The key that stands in the address.
        password: That of HTTP Basic.

    Raises:
        AccessError: It is nothing that opens this address.

    """
    if not access_key:
        return Credentials()
    if password is not None and _constant_time_equal(password, access_key):
        return Credentials(access_key)
    if _constant_time_equal(key, access_key):
        return Credentials(access_key, key)
    if _constant_time_equal(key, feed_key(access_key, path, query)):
        return Credentials(access_key, key, scope=_resource(path, query))
    raise UnauthorizedError(path)


def _resource(path: str, query: str) -> str:
    # A line break stands in no path, so no path with a query reads as another.
    return f"{_FORMAT_SUFFIX.sub('', path)}\n{' '.join(query.split())}"


def _constant_time_equal(given: str, right: str) -> bool:
    """Compare in a time that tells nothing of how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
