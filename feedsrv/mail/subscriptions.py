"""Who gets which digest: addresses in the settings, and people who subscribed on the pages."""

import hashlib
from base64 import b32encode
from collections.abc import Iterator
from datetime import date

import msgspec

from feedsrv.config import Config
from feedsrv.errors import QueryError, UnknownFeedError
from feedsrv.feeds.adhoc import adhoc_feed
from feedsrv.feeds.service import Service
from feedsrv.models import Feed, Period
from feedsrv.storage.repository import Repository

#: Bytes of an id: enough that no two are the same.
_ID_BYTES = 10


class Subscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One address and one feed."""

    address: str
    period: Period
    #: Names of configured feeds; none for an ad-hoc query.
    names: tuple[str, ...] = ()
    query: str = ""
    #: The day of the confirmation; None for an address in the settings.
    since: date | None = None

    @property
    def id(self) -> str:
        """The same for an address and a feed, whatever the period."""
        text = "\n".join([self.address.lower(), *self.names, "", self.query])
        digest = hashlib.sha256(text.encode()).digest()[:_ID_BYTES]
        return b32encode(digest).decode().lower()

    @property
    def path(self) -> str:
        """The path of the feed's page."""
        return f"/feeds/{'+'.join(self.names)}" if self.names else "/papers"


class Unsubscribed(msgspec.Struct, frozen=True):
    """The day when somebody whose address is in the settings unsubscribed."""

    since: date


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was sent of one subscription."""

    #: The key of the last digest that was sent or rejected.
    last_delivered_key: str = ""
    #: How the last message was rejected, and how many were in a row.
    last_rejection: str = ""
    rejection_count: int = 0
    #: The process that is sending, and until when others leave it alone (seconds since 1970).
    owner: str = ""
    owned_until: float = 0.0


class Subscriptions:
    """The subscriptions of one server. Safe for threads and processes.

    All methods may raise StoreError.
    """

    def __init__(self, config: Config, repository: Repository) -> None:
        self._config = config
        self._subscribers = repository.permanent_values("subscribers", Subscription)
        self._unsubscribed = repository.permanent_values("unsubscribed", Unsubscribed)
        #: By the id of the subscription.
        self.deliveries = repository.permanent_values("deliveries", DeliveryRecord)

    def active(self) -> Iterator[Subscription]:
        """Yield each subscription once, without those that ended."""
        configured = {each.id: each for each in self._configured()}
        subscribed = {each.id: each for _, each in self._subscribers.scan()}
        for name, subscription in {**configured, **subscribed}.items():
            if self._unsubscribed.get(name) is None:
                yield subscription

    def get(self, name: str) -> Subscription | None:
        """Return the subscription with that id; None where there is none or it ended."""
        return next((each for each in self.active() if each.id == name), None)

    def add(self, subscription: Subscription) -> None:
        """Add the subscription of somebody who confirmed it."""
        self._unsubscribed.delete(subscription.id)
        self._subscribers.set(subscription.id, subscription)

    def remove(self, name: str, today: date) -> None:
        """End the subscription with that id, and delete what is stored of it."""
        self._subscribers.delete(name)
        self.deliveries.delete(name)
        if any(each.id == name for each in self._configured()):
            self._unsubscribed.set(name, Unsubscribed(today))

    def remove_address(self, address: str, today: date) -> int:
        """End all subscriptions of the address; return how many there were."""
        found = [each for each in self.active() if each.address.lower() == address.lower()]
        for each in found:
            self.remove(each.id, today)
        return len(found)

    def _configured(self) -> Iterator[Subscription]:
        for feed in self._config.feeds.values():
            for address in feed.mail:
                period: Period = "day" if feed.digest == "day" else "week"
                yield Subscription(address=address, period=period, names=(feed.name,))


def subscribed_feeds(service: Service, subscription: Subscription) -> tuple[Feed, ...]:
    """Return the feeds of a subscription, as digests; none where the settings have them no more."""
    try:
        feeds = (
            [service.get_configured_feed(name) for name in subscription.names]
            if subscription.names
            else [adhoc_feed(subscription.query)]
        )
    except (UnknownFeedError, QueryError):
        return ()
    return tuple(msgspec.structs.replace(feed, digest=subscription.period) for feed in feeds)
