"""Events of the refresher, for listeners such as metrics and the incident log."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from feedsrv.errors import UpstreamError
from feedsrv.models import Failure, Listing, Page


class RequestSent(msgspec.Struct, frozen=True):
    """One HTTP request to upstream; each redirect is another one."""


class ListingFetched(msgspec.Struct, frozen=True):
    """A page was fetched, parsed and stored."""

    page: Page
    listing: Listing


class FetchFailed(msgspec.Struct, frozen=True):
    """A page could not be fetched or parsed.

    Attributes:
        page: The page.
        error: What went wrong.
        failure: How the page fails, with this failure counted.
        outage: How upstream as a whole fails; None while other pages can be fetched.

    """

    page: Page
    error: UpstreamError
    failure: Failure
    outage: Failure | None


class LayoutChanged(msgspec.Struct, frozen=True):
    """A page came without the data that it should hold."""

    page: Page
    reason: str


Event = RequestSent | ListingFetched | FetchFailed | LayoutChanged
Listener = Callable[[Event], None]
