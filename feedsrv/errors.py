"""The exceptions that feedsrv raises, and what each becomes for the user.

::

    FeedsrvError
    ├── ConfigError              the configuration is invalid
    ├── ClientError              the request is at fault
    │   ├── QueryError           the query is invalid
    │   ├── ParameterError       another URL parameter is invalid
    │   ├── UnauthorizedError    the server is private, and the request has no valid key
    │   ├── QuotaExceededError   one client requests too many new keywords
    │   │   └── SignUpQuotaError one client subscribes too many mail addresses
    │   ├── TokenError           a link of a message is damaged or too old
    │   └── UnknownFeedError     no feed has that name
    ├── UpstreamError            Hugging Face failed; handled inside the service
    │   ├── FetchError           no usable response
    │   ├── RequestNotSentError  no request was sent: no budget, no lease, or shutting down
    │   └── ParseError           the response has no list of papers that can be parsed
    ├── NoDataYetError           upstream fails, and nothing is stored that could be served
    ├── StoreError               the disk or Redis failed; handled inside the service
    ├── MailError                a message was not sent
    │   ├── MailUnreachableError there is no connection to the mail server
    │   ├── MailServerError      the mail server cannot be used with these settings
    │   ├── MailDeferredError    it does not take one message now
    │   └── MailRejectedError    it will never take one message
    ├── ListenError              the server cannot listen on its address
    └── ExportError              the files of an export could not be written

`ERROR_MAP` gives the HTTP status and the exit code of each error that reaches the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

#: Characters of an invalid query that an error repeats: the longest query of a settings file.
_MAX_QUERY_LENGTH = 4_000
#: Characters shown on each side of the position of an error.
_CARET_CONTEXT = 60


class FeedsrvError(Exception):
    """Base class of all exceptions that feedsrv raises."""


class ConfigError(FeedsrvError):
    """The configuration is invalid."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(tuple(problems))
        #: All problems found, one message each.
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ClientError(FeedsrvError):
    """The request is at fault."""


@dataclass(eq=False)
class QueryError(ClientError):
    """The query is invalid."""

    #: As received, cut to 4000 characters.
    query: str
    #: Offset of the problem, in characters from 0.
    position: int
    #: What is wrong there, and how to fix it.
    reason: str

    def __post_init__(self) -> None:
        self.query = self.query[:_MAX_QUERY_LENGTH]

    def __str__(self) -> str:
        return f"{self.reason} (at character {self.position + 1})"

    def with_caret(self) -> str:
        """Return two lines: the query around the problem, and a caret below its position."""
        start = max(0, self.position - _CARET_CONTEXT)
        end = self.position + _CARET_CONTEXT
        before, after = "…" if start else "", "…" if end < len(self.query) else ""
        line = "".join(
            each if each.isprintable() else " " if each.isspace() else "\ufffd"
            for each in self.query[start:end]
        )
        return f"{before}{line}{after}\n{' ' * (len(before) + self.position - start)}^"


@dataclass(eq=False)
class ParameterError(ClientError):
    """A URL parameter other than the query is invalid."""

    name: str
    #: As received.
    value: str
    #: What it must be, continuing a sentence that begins with the name.
    reason: str

    def __str__(self) -> str:
        return f"{self.name} {self.reason}, not {self.value!r}"


class UnauthorizedError(ClientError):
    """The server is private, and the request has no key that is valid for its path."""

    def __str__(self) -> str:
        return (
            "this server is private: add the key to the URL as key=…, or use it as the password"
            " with any user name"
        )


@dataclass(eq=False)
class QuotaExceededError(ClientError):
    """One client requests more new keywords than its quota allows."""

    client: str
    #: Seconds until the next one is allowed.
    retry_after: float

    def __str__(self) -> str:
        return "too many new keywords; existing feeds are not limited"


class SignUpQuotaError(QuotaExceededError):
    """One client subscribes more mail addresses than its quota allows."""

    def __str__(self) -> str:
        return "too many subscriptions from your address for now; try again later"


@dataclass(eq=False)
class TokenError(ClientError):
    """A link of a message is damaged, or a confirmation came too late."""

    #: What to do.
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class UnknownFeedError(ClientError):
    """No feed has that name."""

    name: str
    #: Names of configured feeds: all of them if they are few, else similar ones.
    known: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"there is no feed called {self.name!r}"


@dataclass(eq=False)
class UpstreamError(FeedsrvError):
    """Hugging Face failed."""

    #: The requested URL or path.
    url: str
    #: What went wrong, for logs and error messages.
    reason: str
    #: Seconds until a request is allowed again. None if upstream does not say.
    retry_after: float | None = None
    #: Whether there was no response in time.
    timed_out: bool = field(default=False, kw_only=True)
    #: Whether upstream says that there is no such page.
    is_not_found: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        return f"{self.reason} ({self.url})"


class FetchError(UpstreamError):
    """There is no usable response."""


@dataclass(eq=False)
class RequestNotSentError(UpstreamError):
    """No request was sent: the budget is used up, another process is fetching, or we shut down."""

    retry_after: float = 0.0


class ParseError(UpstreamError):
    """The response has no list of papers that can be parsed."""


@dataclass(eq=False)
class NoDataYetError(FeedsrvError):
    """Upstream fails, and nothing is stored that could be served instead."""

    #: What went wrong, in plain words.
    reason: str
    #: Whole seconds until a new attempt makes sense.
    retry_after: int
    #: What was not fetched.
    subject: str = "nothing"

    def __str__(self) -> str:
        was_not = "" if self.subject == "nothing" else "not "
        return f"{self.subject} {was_not}fetched from Hugging Face yet: {self.reason}"


@dataclass(eq=False)
class StoreError(FeedsrvError):
    """The disk or Redis failed."""

    #: The store's directory, or the URL of Redis without its password.
    location: str
    reason: str

    def __str__(self) -> str:
        return f"the store at {self.location} cannot be used: {self.reason}"


@dataclass(eq=False)
class MailError(FeedsrvError):
    """A message was not sent."""

    #: The mail server.
    host: str
    reason: str

    def __str__(self) -> str:
        return f"mail cannot be sent through {self.host}: {self.reason}"


class MailUnreachableError(MailError):
    """There is no connection to the mail server."""


class MailServerError(MailError):
    """The mail server cannot be used with these settings, or files cannot be written."""


class MailDeferredError(MailError):
    """The mail server does not take one message now (RFC 5321 4.2.1: 4yz)."""


class MailRejectedError(MailError):
    """The mail server will never take one message (RFC 5321 4.2.1: 5yz)."""


@dataclass(eq=False)
class ListenError(FeedsrvError):
    """The server cannot listen on its address."""

    host: str
    port: int
    #: Empty if the port is in use.
    reason: str

    def __str__(self) -> str:
        if not self.reason:
            return f"port {self.port} is in use; choose another with --port"
        return f"cannot listen on {self.host} port {self.port}: {self.reason}"


@dataclass(eq=False)
class ExportError(FeedsrvError):
    """The files of an export could not be written."""

    directory: str
    reason: str

    def __str__(self) -> str:
        return f"the export to {self.directory} cannot be written: {self.reason}"


class ErrorMapping(NamedTuple):
    """The HTTP status of an error, the title of its error page, and the exit code."""

    status: int
    title: str
    exit_code: int


ERROR_MAP: dict[type[FeedsrvError], ErrorMapping] = {
    ConfigError: ErrorMapping(500, "Invalid settings", 2),
    QueryError: ErrorMapping(400, "Invalid query", 2),
    ParameterError: ErrorMapping(400, "Invalid parameter", 2),
    UnauthorizedError: ErrorMapping(401, "Key required", 2),
    QuotaExceededError: ErrorMapping(429, "Too many new keywords", 1),
    SignUpQuotaError: ErrorMapping(429, "Too many subscriptions", 1),
    TokenError: ErrorMapping(400, "Link not valid", 2),
    UnknownFeedError: ErrorMapping(404, "Feed not found", 2),
    NoDataYetError: ErrorMapping(503, "Not fetched yet", 1),
    StoreError: ErrorMapping(503, "Store unavailable", 1),
    MailUnreachableError: ErrorMapping(503, "Mail server unavailable", 1),
    MailServerError: ErrorMapping(503, "Mail server unusable", 1),
    MailDeferredError: ErrorMapping(503, "Mail server busy", 1),
    MailRejectedError: ErrorMapping(400, "Address not accepted", 1),
    ListenError: ErrorMapping(500, "The server cannot listen", 1),
    ExportError: ErrorMapping(500, "Export failed", 1),
    FetchError: ErrorMapping(503, "Hugging Face is unreachable", 1),
    RequestNotSentError: ErrorMapping(503, "No request was sent to Hugging Face", 1),
    ParseError: ErrorMapping(503, "Hugging Face's page could not be parsed", 1),
}
