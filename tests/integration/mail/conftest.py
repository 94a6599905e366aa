"""Fixtures: a mail server, and digests to send through it."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from feedsrv.config import MailConfig
from feedsrv.feeds.service import Service
from feedsrv.mail.delivery import Delivery, DeliveryResult, due_messages
from feedsrv.mail.links import MailLinks
from feedsrv.mail.smtp import SMTPSender
from feedsrv.mail.subscriptions import Subscriptions
from feedsrv.models import Feed
from feedsrv.web.urls import URLBuilder
from tests.support.mail_server import MailServer, serve_mail
from tests.support.types import MakeService
from tests.support.upstream import Json, make_raw_paper

ADDRESSES = ("ada@example.org", "bo@example.org")
Deliver = Callable[..., list[DeliveryResult]]


@pytest.fixture
def upstream_papers() -> list[Json]:
    """Three list days: of this week, and Friday and Thursday of the last."""
    return [
        make_raw_paper(day * 10 + n, day=day, title="Causal tides")
        for day in range(8)
        for n in (0, 1)
    ]


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with serve_mail() as server:
        yield server


def mail_config(server: MailServer, **changes: object) -> MailConfig:
    config = MailConfig(
        host="127.0.0.1", port=server.port, tls="none", sender="papers@example.org", pause=0.0
    )
    return msgspec.structs.replace(config, **changes)


def causal_feed(*addresses: str, **changes: object) -> Feed:
    feed = Feed(
        name="causal",
        title="Causal matters",
        query="causal",
        sources=("daily",),
        digest="day",
        mail=addresses,
    )
    return msgspec.structs.replace(feed, **changes)


@pytest.fixture
def mail_service(make_service: MakeService, mail_server: MailServer) -> Service:
    """Return a service with three list days and two recipients."""
    return make_service(
        history_days=3,
        feeds={"causal": causal_feed(*ADDRESSES)},
        mail=mail_config(mail_server),
        public_url="https://papers.example.org",
    )


@pytest.fixture
def deliver() -> Deliver:
    """Return a function that sends what is due, without pauses."""

    def run(
        service: Service, sleep: Callable[[float], object] = lambda _: None
    ) -> list[DeliveryResult]:
        for _ in service.refresh_stale(*service.config.feeds.values()):
            pass
        subscriptions = Subscriptions(service.config, service.repository)
        due = due_messages(service, subscriptions)
        links = MailLinks(service.repository, URLBuilder(service.config.public_url))
        with SMTPSender(service.config.mail, "", sleep=sleep) as sender:
            delivery = Delivery(service, subscriptions, links, sender, sleep=sleep)
            return list(delivery.send(due))

    return run
