"""Events of fetching, for listeners such as metrics and the incident log."""

from collections.abc import Callable

import msgspec

from feedsrv.errors import UpstreamError
from feedsrv.models import Failure, Listing, Page


class RequestSent(msgspec.Struct, frozen=True):
    """An HTTP request was sent to upstream; following a redirect sends another one."""


class ListingFetched(msgspec.Struct, frozen=True):
    """A page was fetched, parsed and stored."""

    page: Page
    listing: Listing


class FetchFailed(msgspec.Struct, frozen=True):
    """A page could not be fetched or parsed."""

    page: Page
    error: UpstreamError
    #: The page's consecutive failures, including this one.
    failure: Failure
    #: Those of upstream as a whole; None while other pages succeed.
    outage: Failure | None


class LayoutChanged(msgspec.Struct, frozen=True):
    """A page was fetched, but its data was missing or invalid."""

    page: Page
    reason: str


Event = RequestSent | ListingFetched | FetchFailed | LayoutChanged
Listener = Callable[[Event], None]


class EventEmitter:
    """Calls listeners for each event."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call the listener for each event from now on, in the thread where it happens."""
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        """Call all listeners."""
        for listener in self._listeners:
            listener(event)
