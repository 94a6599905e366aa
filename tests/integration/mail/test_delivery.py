"""Who gets which digest, once."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from feedsrv.errors import MailServerError, StoreError
from feedsrv.feeds.service import Service
from feedsrv.mail.delivery import DeliveryResult, hold_run_lock
from feedsrv.mail.subscriptions import DeliveryRecord, Subscription, Subscriptions
from tests.integration.mail.conftest import ADDRESSES, Deliver, causal_feed, mail_config
from tests.support.clock import Clock
from tests.support.mail_server import MailServer
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper

ADA, BO = ADDRESSES


def next_day(service: Service, upstream: FakeUpstream, clock: Clock) -> None:
    """Have a day pass, with a list of one paper."""
    clock.forward(days=1)
    for paper in upstream.papers:
        paper["day"] += 1
    number = len(upstream.papers) + 100
    upstream.papers.append(make_raw_paper(number, title="Causal news"))


def subscriptions_of(service: Service) -> Subscriptions:
    return Subscriptions(service.config, service.repository)


def outcomes(results: list[DeliveryResult]) -> list[tuple[str, str]]:
    return [(result.address, result.outcome) for result in results]


@pytest.fixture
def later_service(
    mail_service: Service, deliver: Deliver, upstream: FakeUpstream, clock: Clock
) -> Service:
    """Return the service, with digests of two days since the last message."""
    deliver(mail_service)
    for _ in range(2):
        next_day(mail_service, upstream, clock)
    return mail_service


# --- once --------------------------------------------------------------------------------------


def test_the_first_message_is_the_latest_digest(
    mail_service: Service, mail_server: MailServer, deliver: Deliver
) -> None:
    assert outcomes(deliver(mail_service)) == [(ADA, "sent"), (BO, "sent")]
    assert mail_server.recipients() == [ADA, BO]
    message = mail_server.messages[0].parsed
    assert message["Subject"] == "Causal matters: 2 papers, 23 November"
    assert "/feeds/causal?digest=day" in message.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_digest_is_sent_once(
    mail_service: Service, mail_server: MailServer, deliver: Deliver
) -> None:
    deliver(mail_service)
    assert deliver(mail_service) == []
    assert len(mail_server.messages) == 2


def test_each_digest_follows_when_its_day_is_closed(
    later_service: Service, mail_server: MailServer, deliver: Deliver
) -> None:
    deliver(later_service)
    subjects = [each.parsed["Subject"] for each in mail_server.messages if each.recipient == ADA]
    assert [subject.partition(", ")[2] for subject in subjects] == [
        "23 November",
        "24 November",
        "25 November",
    ]


def test_a_day_without_matches_brings_no_mail(
    make_service: MakeService, mail_server: MailServer, deliver: Deliver
) -> None:
    feed = causal_feed(ADA, query="walrus")
    service = make_service(history_days=2, feeds={"causal": feed}, mail=mail_config(mail_server))
    assert deliver(service) == []


def test_a_feed_without_a_digest_is_sent_weekly(
    make_service: MakeService, mail_server: MailServer, deliver: Deliver
) -> None:
    feed = causal_feed(ADA, digest="none")
    service = make_service(history_days=8, feeds={"causal": feed}, mail=mail_config(mail_server))
    deliver(service)
    assert "16\u201322 November" in mail_server.messages[0].parsed["Subject"]


def test_an_address_in_two_feeds_gets_both(
    make_service: MakeService, mail_server: MailServer, deliver: Deliver
) -> None:
    feeds = {name: causal_feed(ADA, name=name, query=name) for name in ("causal", "tides")}
    service = make_service(history_days=2, feeds=feeds, mail=mail_config(mail_server))
    deliver(service)
    messages = [each.parsed for each in mail_server.messages]
    assert len({message["List-Id"] for message in messages}) == 2
    assert len({message["Message-ID"] for message in messages}) == 2


def test_between_two_messages_there_is_a_pause(mail_service: Service, deliver: Deliver) -> None:
    delays: list[float] = []
    deliver(mail_service, delays.append)
    assert delays == [mail_service.config.mail.pause]


# --- failures ----------------------------------------------------------------------------------


def test_a_rejected_message_is_recorded_and_not_sent_again(
    mail_service: Service, mail_server: MailServer, deliver: Deliver
) -> None:
    mail_server.replies[ADA] = ["550 no such user"]
    assert outcomes(deliver(mail_service)) == [(ADA, "rejected"), (BO, "sent")]
    (record,) = [
        record
        for _, record in subscriptions_of(mail_service).deliveries.scan()
        if record.last_rejection
    ]
    assert record.last_rejection == "550 no such user"
    assert deliver(mail_service) == []


def test_a_deferred_message_is_sent_by_the_next_run(
    mail_service: Service, mail_server: MailServer, deliver: Deliver
) -> None:
    mail_server.replies[ADA] = ["450 greylisted"] * 3
    assert outcomes(deliver(mail_service)) == [(ADA, "deferred"), (BO, "sent")]
    assert outcomes(deliver(mail_service)) == [(ADA, "sent")]


def test_a_later_digest_waits_for_a_deferred_one(
    later_service: Service, mail_server: MailServer, deliver: Deliver
) -> None:
    mail_server.replies[ADA] = ["450 greylisted"] * 3
    assert outcomes(deliver(later_service)) == [(ADA, "deferred"), (BO, "sent"), (BO, "sent")]
    assert outcomes(deliver(later_service)) == [(ADA, "sent"), (ADA, "sent")]


def test_a_visitor_whose_mailbox_is_gone_is_unsubscribed_after_three_rejections(
    mail_service: Service,
    mail_server: MailServer,
    deliver: Deliver,
    upstream: FakeUpstream,
    clock: Clock,
) -> None:
    visitor = Subscription(
        address="cy@example.org", period="day", names=("causal",), since=clock.today()
    )
    subscriptions_of(mail_service).add(visitor)
    mail_server.replies[visitor.address] = ["550 gone"] * 9
    for _ in range(3):
        assert (visitor.address, "rejected") in outcomes(deliver(mail_service))
        next_day(mail_service, upstream, clock)
    assert subscriptions_of(mail_service).get(visitor.id) is None
    assert len(mail_server.replies[visitor.address]) == 6


def test_what_cannot_be_recorded_is_not_sent(
    mail_service: Service,
    mail_server: MailServer,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError("disk", "full")

    feed = mail_service.config.feeds["causal"]
    for _ in mail_service.refresh_stale(feed):
        pass
    mail_service.get_digests(feed)
    monkeypatch.setattr(mail_service.repository._records.backend, "replace", fail)
    with pytest.raises(StoreError):
        deliver(mail_service)
    assert mail_server.messages == []


def test_an_unreachable_mail_server_ends_the_run_and_the_next_one_sends(
    mail_service: Service, mail_server: MailServer, deliver: Deliver, make_service: MakeService
) -> None:
    wrong = make_service(
        feeds=mail_service.config.feeds,
        mail=mail_config(mail_server, tls="starttls"),
        history_days=3,
    )
    with pytest.raises(MailServerError, match="STARTTLS"):
        deliver(wrong)
    assert outcomes(deliver(mail_service)) == [(ADA, "sent"), (BO, "sent")]


def test_a_visitor_of_a_feed_that_was_removed_gets_nothing(
    mail_service: Service, mail_server: MailServer, deliver: Deliver
) -> None:
    for names, query in ((("removed",), ""), ((), "a (")):
        subscription = Subscription(
            address="cy@example.org",
            period="day",
            names=names,
            query=query,
            since=date(2026, 11, 1),
        )
        subscriptions_of(mail_service).add(subscription)
    assert outcomes(deliver(mail_service)) == [(ADA, "sent"), (BO, "sent")]


def test_a_store_that_cannot_be_locked_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError), hold_run_lock(tmp_path / "file" / "store"):
        pass


# --- several processes -------------------------------------------------------------------------


def test_on_one_machine_one_process_sends(mail_service: Service) -> None:
    directory = mail_service.config.cache_dir
    with hold_run_lock(directory) as first, hold_run_lock(directory) as second:
        assert (first, second) == (True, False)
    with hold_run_lock(directory) as third:
        assert third


def test_another_machine_leaves_a_message_alone_while_it_is_sent(
    mail_service: Service, mail_server: MailServer, deliver: Deliver, clock: Clock
) -> None:
    subscriptions = subscriptions_of(mail_service)
    for subscription in subscriptions.active():
        record = subscriptions.deliveries.update(
            subscription.id,
            lambda _: DeliveryRecord(owner="other", owned_until=clock().timestamp() + 300),
        )
        assert record
    assert deliver(mail_service) == []
    clock.forward(minutes=6)
    assert Counter(outcomes(deliver(mail_service))) == {(ADA, "sent"): 1, (BO, "sent"): 1}


def test_a_claim_of_a_clock_that_was_ahead_keeps_no_message(
    mail_service: Service, mail_server: MailServer, deliver: Deliver, clock: Clock
) -> None:
    subscriptions, next_year = subscriptions_of(mail_service), clock() + timedelta(days=400)
    for subscription in subscriptions.active():
        subscriptions.deliveries.update(
            subscription.id,
            lambda _: DeliveryRecord(owner="other", owned_until=next_year.timestamp()),
        )
    assert Counter(outcomes(deliver(mail_service))) == {(ADA, "sent"): 1, (BO, "sent"): 1}
