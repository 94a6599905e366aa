"""Send the digests that are due, each once to each subscription.

A message is recorded as sent before the next one goes out. So a process that is killed leaves at
most one message whose acceptance nobody recorded, and the next run repeats that one, with the same
Message-ID.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from platform import node
from typing import Literal

import msgspec

from feedsrv.errors import (
    MailDeferredError,
    MailError,
    MailRejectedError,
    NoDataYetError,
    StoreError,
)
from feedsrv.feeds.digest_documents import digest_id
from feedsrv.feeds.limits import ALL_PAPERS
from feedsrv.feeds.metadata import feeds_id, feeds_title
from feedsrv.feeds.service import Service
from feedsrv.mail.links import MailLinks
from feedsrv.mail.messages import Footer, digest_message
from feedsrv.mail.smtp import SMTPSender
from feedsrv.mail.subscriptions import DeliveryRecord, Subscription, Subscriptions, subscribed_feeds
from feedsrv.models import Digest, Feed

log = logging.getLogger(__name__)

#: Seconds for which a process owns a message that it sends; longer than a mail server may take.
_OWNERSHIP = 300.0
#: Rejections in a row after which a visitor's subscription ends.
_MAX_REJECTIONS = 3


class DueMessage(msgspec.Struct, frozen=True):
    """A digest that a subscription has not had."""

    subscription: Subscription
    feeds: tuple[Feed, ...]
    digest: Digest


class DeliveryResult(msgspec.Struct, frozen=True):
    """What became of one message."""

    address: str
    title: str
    outcome: Literal["sent", "rejected", "deferred"]
    reason: str = ""


def due_messages(service: Service, subscriptions: Subscriptions) -> list[DueMessage]:
    """Return the digests that are due, the oldest of each subscription first.

    The first message of a subscription is the latest digest, not all that the window holds.

    Raises:
        StoreError: The store fails, so that nobody knows what was sent.
    """
    digests: dict[str, tuple[Digest, ...]] = {}
    due = []
    for subscription in subscriptions.active():
        feeds = subscribed_feeds(service, subscription)
        if not feeds:
            continue
        name = feeds_id(feeds)
        if name not in digests:
            digests[name] = _closed_digests(service, feeds)
        delivery = subscriptions.deliveries.get(subscription.id)
        if delivery is None or not delivery.last_delivered_key:
            new = digests[name][-1:]
        else:
            new = tuple(each for each in digests[name] if each.key > delivery.last_delivered_key)
        due += [DueMessage(subscription, feeds, digest) for digest in new]
    return due


def _closed_digests(service: Service, feeds: tuple[Feed, ...]) -> tuple[Digest, ...]:
    try:
        return service.get_digests(*feeds, limit=ALL_PAPERS).digests[::-1]
    except NoDataYetError as error:
        log.warning("No mail for %s: %s", feeds_title(feeds, demo=False), error)
        return ()


def build_message(service: Service, links: MailLinks, due: DueMessage) -> EmailMessage:
    """Return the message for a digest that is due."""
    subscription = due.subscription
    return digest_message(
        due.digest,
        digest_id(feeds_id(due.feeds), due.digest.key),
        Footer(
            subscription=subscription,
            title=feeds_title(due.feeds, demo=service.config.demo),
            page_url=links.page_url(subscription),
            unsubscribe_url=links.unsubscribe_url(subscription),
        ),
        sender=service.config.mail.sender,
        date=service.now(),
    )


@contextmanager
def hold_run_lock(directory: Path) -> Iterator[bool]:
    """Return whether no other process of this machine sends from the same store.

    The lock ends with the process, however that ends.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "mail.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(str(directory), error.strerror or str(error)) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


@dataclass(eq=False)
class Delivery:
    """Sends what is due, with a pause between two messages, and records it."""

    service: Service
    subscriptions: Subscriptions
    links: MailLinks
    sender: SMTPSender
    #: Waits for a number of seconds.
    sleep: Callable[[float], object]

    def __post_init__(self) -> None:
        #: With the lock of `hold_run_lock`, no other process has the same name.
        self._owner = f"{node()} {self.service.config.cache_dir}"

    def send(self, due: Iterable[DueMessage]) -> Iterator[DeliveryResult]:
        """Send the messages; yield what became of each, after it was recorded.

        Raises:
            MailError: The mail server cannot be used at all.
            StoreError: What was sent cannot be recorded.
        """
        waiting: set[str] = set()  # subscriptions whose earlier digest could not be sent
        for index, message in enumerate(due):
            name = message.subscription.id
            if name in waiting or not self._claim(message):
                continue
            if index:
                self.sleep(self.service.config.mail.pause)
            result = self._send_one(message)
            if result.outcome == "deferred":
                waiting.add(name)
            yield result

    def _send_one(self, due: DueMessage) -> DeliveryResult:
        address, key = due.subscription.address, due.digest.key
        try:
            message = build_message(self.service, self.links, due)
            self.sender.send(message, address)
        except MailDeferredError as error:
            self._record(due, through="")
            return DeliveryResult(address, due.digest.title, "deferred", error.reason)
        except MailRejectedError as error:
            self._record(due, through=key, rejection=error.reason)
            return DeliveryResult(address, due.digest.title, "rejected", error.reason)
        except MailError:
            self._record(due, through="")
            raise
        self._record(due, through=key)
        return DeliveryResult(address, due.digest.title, "sent")

    def _claim(self, due: DueMessage) -> bool:
        """Return whether this process may send the message, and no other machine until then."""
        now, key = self.service.now().timestamp(), due.digest.key

        def claim(stored: DeliveryRecord | None) -> DeliveryRecord:
            record = stored or DeliveryRecord()
            # A longer time was recorded by a clock that was ahead.
            is_owned = now < record.owned_until <= now + 2 * _OWNERSHIP
            is_taken = record.owner != self._owner and is_owned
            if record.last_delivered_key >= key or is_taken:
                return record
            return msgspec.structs.replace(record, owner=self._owner, owned_until=now + _OWNERSHIP)

        record = self._update(due, claim)
        return record.last_delivered_key < key and record.owner == self._owner

    def _record(self, due: DueMessage, *, through: str, rejection: str = "") -> None:
        """Record what became of a message, and let go of it.

        ``through`` is the key of its digest; empty for a message to send again.
        """

        def record(stored: DeliveryRecord | None) -> DeliveryRecord:
            before = stored or DeliveryRecord()
            if not through:
                return msgspec.structs.replace(before, owner="", owned_until=0.0)
            rejections = before.rejection_count + 1 if rejection else 0
            return DeliveryRecord(
                last_delivered_key=through, last_rejection=rejection, rejection_count=rejections
            )

        after = self._update(due, record)
        is_visitor = due.subscription.since is not None
        if is_visitor and after.rejection_count >= _MAX_REJECTIONS:
            self.subscriptions.remove(due.subscription.id, self.service.now().date())

    def _update(
        self, due: DueMessage, change: Callable[[DeliveryRecord | None], DeliveryRecord]
    ) -> DeliveryRecord:
        """Change the record of a subscription; raise StoreError if it cannot be written."""
        deliveries, name = self.subscriptions.deliveries, due.subscription.id
        record = deliveries.update(name, change)
        if record is None or not deliveries.is_written(name):
            raise StoreError(str(self.service.config.cache_dir), "it cannot be written")
        return record
