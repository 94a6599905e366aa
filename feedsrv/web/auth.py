"""Access keys of a private server: what a key opens, and which keys a response may contain.

The access key opens everything, as ``key=`` in the URL or as the password of HTTP Basic. A feed key
is derived from it and opens one feed, so that the feed's URL can be shared.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from typing import NamedTuple

from flask import g, request

from feedsrv.config import Config
from feedsrv.errors import UnauthorizedError
from feedsrv.feeds.formats import ALL_FORMATS
from feedsrv.web.params import query_param

_FORMAT_SUFFIX = re.compile(rf"\.(?:{'|'.join(ALL_FORMATS)})$")
#: 144 bits cannot be guessed, and take 24 characters of a URL.
_FEED_KEY_BYTES = 18


class Credentials(NamedTuple):
    """How a request was authenticated, which decides the keys that its response may contain."""

    #: The access key of the server; empty for a public one.
    server_key: str = ""
    #: The key in the URL.
    url_key: str = ""
    #: What the key in the URL opens, if it is a feed key.
    scope: str = ""

    def access_key_in_url(self) -> str:
        """Return the key in the URL if it is the access key, else an empty string."""
        return "" if self.scope else self.url_key

    def key_for(self, path: str, query: str = "") -> str:
        """Return the key that a URL of this server needs to be opened by the response's readers.

        The access key itself goes only into responses to requests that had it in their URL. Clients
        that send it as a password get the feed key of each URL. A request with a feed key gets that
        key and those of static files, which its page needs, but no other.
        """
        if not self.server_key or self.access_key_in_url():
            return self.access_key_in_url()
        if not self.scope or self.scope == _scope(path, query) or path.startswith("/static/"):
            return feed_key(self.server_key, path, query)
        return ""


def authenticate_request(config: Config) -> None:
    """Check the key of the current request, and store its credentials in `flask.g`.

    Raises:
        UnauthorizedError: The request has no key that opens its URL.
    """
    g.credentials = authenticate(
        config.access_key,
        path=request.path,
        query=query_param(),
        key=request.args.get("key", ""),
        password=_basic_password(),
    )


def credentials() -> Credentials:
    """Return the credentials of the current request; empty ones where it was not authenticated."""
    current: Credentials = g.get("credentials", Credentials())
    return current


def authenticate(
    access_key: str, *, path: str, query: str, key: str, password: str | None
) -> Credentials:
    """Return the credentials of a request; raise UnauthorizedError if no key opens its path."""
    if not access_key:
        return Credentials()
    if password is not None and _equal_in_constant_time(password, access_key):
        return Credentials(access_key)
    if _equal_in_constant_time(key, access_key):
        return Credentials(access_key, key)
    if _equal_in_constant_time(key, feed_key(access_key, path, query)):
        return Credentials(access_key, key, scope=_scope(path, query))
    raise UnauthorizedError


def feed_key(access_key: str, path: str, query: str = "") -> str:
    """Return the key that opens this path and query only, in every format and with any limit."""
    digest = hmac.digest(access_key.encode(), _scope(path, query).encode(), "sha256")
    return urlsafe_b64encode(digest[:_FEED_KEY_BYTES]).decode()


def _scope(path: str, query: str) -> str:
    # No path contains a line break, so that no path and query are equal to another path.
    return f"{_FORMAT_SUFFIX.sub('', path)}\n{' '.join(query.split())}"


def _basic_password() -> str | None:
    # Werkzeug raises an exception where the value of the header is not ASCII.
    is_ascii = request.headers.get("Authorization", "").isascii()
    authorization = request.authorization if is_ascii else None
    if authorization is None or authorization.type != "basic":
        return None
    return authorization.password


def _equal_in_constant_time(value: str, expected: str) -> bool:
    return hmac.compare_digest(value.encode("utf-8", "replace"), expected.encode())
