"""Everything feedsrv raises on purpose, and what each error becomes.

::

    FeedsrvError
    ├── ConfigError             the operator's settings cannot be used
    ├── ReaderError             the reader asked for something that cannot be given
    │   ├── QueryError          the query cannot be read
    │   ├── ParameterError      another part of the address cannot be read
    │   ├── AccessError         the server is private, and no key for this was shown
    │   ├── TooManyError        one client asks for too many new keywords
    │   └── UnknownFeedError    no feed has that name
    ├── UpstreamError           Hugging Face let us down; stays inside the service
    │   ├── FetchError          no usable answer came back
    │   ├── SpentError          our own allowance of requests is spent; nothing was asked
    │   └── PageError           an answer came, without a list that can be read
    ├── NothingReadError        upstream fails, and nothing was ever read
    ├── StoreError              the disk, or Redis, let us down; stays inside the service
    ├── ListenError             the server cannot listen on its address
    └── ExportError             files of an export cannot be written

Errors that leave the service are in `ANSWERS`, the one table of HTTP statuses and exit codes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class FeedsrvError(Exception):
    """Root of every error that feedsrv raises on purpose."""


class ConfigError(FeedsrvError):
    """The operator's settings cannot be used; all problems are named at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ClientError(FeedsrvError):
    """The reader asked for something that cannot be given."""


class QueryError(ClientError):
    """The query cannot be read.

    Attributes:
        query: The text as it came.
        position: Where reading stopped, in characters from 0.
        reason: What is wrong there, and how to mend it.

    """

    def __init__(self, query: str, position: int, reason: str) -> None:
        query = query[:1000]  # a query of a megabyte is not said back
        super().__init__(query, position, reason)
        self.query = query
        self.position = position
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} (at character {self.position + 1})"

    def pointer(self) -> str:
        """Return the query with a caret below the place, as two lines."""
        line = re.sub(r"\s", " ", self.query)
        return f"{line}\n{' ' * self.position}^"


class ParameterError(ClientError):
    """A part of the address other than the query cannot be read."""

    def __init__(self, name: str, value: str, reason: str) -> None:
        super().__init__(name, value, reason)
        self.name = name
        self.value = value
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name} {self.reason}, not {self.value!r}"


class UnauthorizedError(ClientError):
    """The server is private, and the request shows no key that opens what it asks for.

    Attributes:
        path: What was asked for. (The key that was shown is nobody's business.)

    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            "this server is private: add the key to the address as key=…, or give it as the"
            " password, with any name"
        )


class QuotaExceededError(ClientError):
    """One client asks for more keywords that nobody asked for before than is its share.

    Attributes:
        client: Who.
        wait: Seconds until it may ask for the next.

    """

    def __init__(self, client: str, wait: float) -> None:
        super().__init__(client, wait)
        self.client = client
        self.retry_after = wait

    def __str__(self) -> str:
        return (
            "too many keywords that nobody asked for before; feeds that were read once are not"
            " limited"
        )


class UnknownFeedError(ClientError):
    """No feed has that name."""

    def __init__(self, name: str, known: Sequence[str] = ()) -> None:
        super().__init__(name, tuple(known))
        self.name = name
        self.known = tuple(known)

    def __str__(self) -> str:
        return f"there is no feed called {self.name!r}"


class UpstreamError(FeedsrvError):
    """Hugging Face did not give us what we need.

    Attributes:
        url: What was asked for.
        reason: Why it is no use, fit for a log line.

    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason} ({self.url})"


class FetchError(UpstreamError):
    """No usable answer came back.

    Attributes:
        wait: How many seconds upstream wants to be left alone, where it says so.

    """

    def __init__(self, url: str, reason: str, wait: float | None = None) -> None:
        super().__init__(url, reason)
        self.args = (url, reason, wait)
        self.retry_after = wait


class UpstreamBudgetError(UpstreamError):
    """Our own allowance of requests is spent for now, so nothing was asked.

    Attributes:
        wait: Seconds until there is some again.

    """

    def __init__(self, url: str, reason: str, wait: float) -> None:
        super().__init__(url, reason)
        self.args = (url, reason, wait)
        self.retry_after = wait


class ParseError(UpstreamError):
    """An answer came, but holds no list of papers that can be read."""


class NoDataYetError(FeedsrvError):
    """Upstream fails, and nothing was ever read that could be served in its place.

    Attributes:
        reason: What went wrong, in plain words.
        wait: Whole seconds until asking again makes sense.

    """

    def __init__(self, reason: str, wait: int) -> None:
        super().__init__(reason, wait)
        self.reason = reason
        self.retry_after = wait

    def __str__(self) -> str:
        return f"nothing has been read from Hugging Face yet: {self.reason}"


class StoreError(FeedsrvError):
    """The disk, or Redis, let us down.

    Attributes:
        path: The store's folder, or its address without a password.
        reason: Why, fit for a log line.

    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.location = path
        self.reason = reason

    def __str__(self) -> str:
        return f"the store at {self.location} cannot be used: {self.reason}"


class ListenError(FeedsrvError):
    """The server cannot listen on its address.

    Attributes:
        host: The host to listen on.
        port: The port to listen on.
        reason: Why it failed; empty where the port is in use.

    """

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(host, port, reason)
        self.host = host
        self.port = port
        self.reason = reason

    def __str__(self) -> str:
        if not self.reason:
            return f"port {self.port} is in use; choose another with --port"
        return f"cannot listen on {self.host} port {self.port}: {self.reason}"


class ExportError(FeedsrvError):
    """The files of an export cannot be written.

    Attributes:
        folder: Where they were to be.
        reason: Why not, fit for a log line.

    """

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.directory = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"the export to {self.directory} cannot be written: {self.reason}"


class ErrorMapping(NamedTuple):
    """What an error becomes at the edges: an HTTP status with its title, an exit code."""

    status: int
    title: str
    exit_code: int


ERROR_MAP: dict[type[FeedsrvError], ErrorMapping] = {
    ConfigError: ErrorMapping(500, "The server's settings cannot be used", 2),
    QueryError: ErrorMapping(400, "The query cannot be read", 2),
    ParameterError: ErrorMapping(400, "The address cannot be read", 2),
    UnauthorizedError: ErrorMapping(401, "A key is needed", 2),
    QuotaExceededError: ErrorMapping(429, "Too many new keywords", 1),
    UnknownFeedError: ErrorMapping(404, "There is no such feed", 2),
    NoDataYetError: ErrorMapping(503, "Nothing has been read yet", 1),
    StoreError: ErrorMapping(503, "The store cannot be used", 1),
    ListenError: ErrorMapping(500, "The server cannot listen", 1),
    ExportError: ErrorMapping(500, "The export cannot be written", 1),
    FetchError: ErrorMapping(503, "Hugging Face cannot be read", 1),
    UpstreamBudgetError: ErrorMapping(503, "Hugging Face is not asked for now", 1),
    ParseError: ErrorMapping(503, "Hugging Face cannot be read", 1),
}
