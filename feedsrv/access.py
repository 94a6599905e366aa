"""Who may read a private server: whoever shows its access key, or the own key of what is asked for.

The own key of an address is made from the access key and the address (an HMAC), so that one feed
can be shared without the access key, in all its formats, and nothing has to be kept for it. Values
in, values out.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from typing import NamedTuple

from feedsrv.errors import AccessError

_SUFFIX = re.compile(r"\.(?:atom|rss|json)$")
#: Bytes of an own key: more than anybody guesses, and 24 letters in an address.
_LENGTH = 18


class Pass(NamedTuple):
    """What a request has shown: it says which keys may stand in its answer."""

    #: The server's; empty for one that is open to all.
    access_key: str = ""
    #: As it stood in the address.
    key: str = ""
    #: What the key opens, where that is one address alone.
    only: str = ""

    def everywhere(self) -> str:
        """Return the key of the address if it opens every other too."""
        return "" if self.only else self.key

    def key_for(self, path: str, query: str = "") -> str:
        """Return the key that goes into an address of this server, so that its readers get in.

        The access key is kept where the request had it in its address. Who gave it as a password
        gets the own key of each address. A request with an own key learns no other but those of
        static files, which its page needs.
        """
        if not self.access_key or self.everywhere():
            return self.everywhere()
        if not self.only or self.only == _name(path, query) or path.startswith("/static/"):
            return own_key(self.access_key, path, query)
        return ""


def own_key(access_key: str, path: str, query: str = "") -> str:
    """Return the key that opens one path and query alone, whatever the format and the limit."""
    made = hmac.digest(access_key.encode(), _name(path, query).encode(), "sha256")
    return urlsafe_b64encode(made[:_LENGTH]).decode()


def admitted(access_key: str, *, path: str, query: str, key: str, password: str | None) -> Pass:
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
        return Pass()
    if password is not None and _same(password, access_key):
        return Pass(access_key)
    if _same(key, access_key):
        return Pass(access_key, key)
    if _same(key, own_key(access_key, path, query)):
        return Pass(access_key, key, only=_name(path, query))
    raise AccessError(path)


def _name(path: str, query: str) -> str:
    # A line break stands in no path, so no path with a query reads as another.
    return f"{_SUFFIX.sub('', path)}\n{' '.join(query.split())}"


def _same(given: str, right: str) -> bool:
    """Compare in a time that tells nothing of how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
