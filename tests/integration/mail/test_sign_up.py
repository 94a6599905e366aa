"""Subscriptions by mail: double opt-in, one-click unsubscribe, limits."""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.mail.subscriptions import Subscription, Subscriptions
from feedsrv.web.app import create_app
from tests.integration.mail.conftest import ADDRESSES, Deliver, causal_feed, mail_config
from tests.support.clock import Clock
from tests.support.mail_server import MailServer, ReceivedMessage, serve_mail
from tests.support.types import MakeService

Refusing = tuple[FlaskClient, list[ReceivedMessage]]
CY = "cy@example.org"
FORM = {"address": CY, "period": "day", "feed": "causal"}


def settings(server: MailServer) -> dict[str, Any]:
    tides = causal_feed(name="tides", title="Tides", query="tides")
    return {
        "history_days": 2,
        "feeds": {"causal": causal_feed(ADDRESSES[0]), "tides": tides},
        "mail": mail_config(server, sign_up=True),
        "public_url": "https://papers.example.org",
    }


@pytest.fixture(scope="module")
def refusing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Refusing]:
    """Return a client for requests that are refused, and the messages that follow all the same."""
    with serve_mail() as server:
        config = Config(cache_dir=tmp_path_factory.mktemp("store"), **settings(server))
        service = create_service(config, now=Clock())
        yield create_app(service).test_client(), server.messages
        service.close()


@pytest.fixture
def sign_up_service(make_service: MakeService, mail_server: MailServer) -> Service:
    return make_service(**settings(mail_server))


@pytest.fixture
def client(sign_up_service: Service) -> FlaskClient:
    return create_app(sign_up_service).test_client()


def link(received: ReceivedMessage, path: str) -> str:
    """Return path and query of the link to that page."""
    body = received.parsed.get_body(("plain",))
    assert body is not None
    found = re.search(rf"https://papers\.example\.org({path}\S+)", body.get_content())
    assert found
    return found[1]


def subscribe(client: FlaskClient, server: MailServer, **changes: str) -> str:
    """Ask for a subscription, and return the link to confirm it."""
    response = client.post("/mail/subscribe", data=FORM | changes)
    assert response.status_code == 200, response.text
    return link(server.messages[-1], "/mail/confirm")


def active(service: Service) -> list[Subscription]:
    return [
        each
        for each in Subscriptions(service.config, service.repository).active()
        if each.address not in ADDRESSES
    ]


def problem(response: TestResponse, status: int) -> str:
    assert response.status_code == status
    body: dict[str, Any] = response.get_json()
    return str(body["detail"])


# --- double opt-in -----------------------------------------------------------------------------


def test_an_address_is_stored_when_the_button_was_pressed_and_not_before(
    client: FlaskClient, mail_server: MailServer, sign_up_service: Service, clock: Clock
) -> None:
    confirm = subscribe(client, mail_server)
    assert mail_server.recipients() == [CY]
    page = client.get(confirm)
    assert f"get the papers of Causal matters at {CY}, daily." in page.text
    assert active(sign_up_service) == []
    assert "Subscribed" in client.post(confirm).text
    assert active(sign_up_service) == [
        Subscription(address=CY, period="day", names=("causal",), since=clock.today())
    ]


def test_who_subscribed_gets_the_digests(
    client: FlaskClient, mail_server: MailServer, sign_up_service: Service, deliver: Deliver
) -> None:
    client.post(subscribe(client, mail_server))
    client.post(subscribe(client, mail_server, feed="", q="tides -fog", address="di@example.org"))
    deliver(sign_up_service)
    subjects = {each.recipient: each.parsed["Subject"] for each in mail_server.messages}
    assert subjects[CY] == "Causal matters: 2 papers, 23 November"
    assert subjects["di@example.org"] == "Daily Papers: tides -fog: 2 papers, 23 November"


def test_a_second_subscription_of_the_same_feed_replaces_the_first(
    client: FlaskClient, mail_server: MailServer, sign_up_service: Service, clock: Clock
) -> None:
    client.post(subscribe(client, mail_server))
    clock.forward(hours=1)
    client.post(subscribe(client, mail_server, period="week", address="CY@example.org"))
    assert [each.period for each in active(sign_up_service)] == ["week"]


def test_a_link_to_confirm_works_for_48_hours(
    client: FlaskClient, mail_server: MailServer, clock: Clock
) -> None:
    confirm = subscribe(client, mail_server)
    clock.forward(hours=47)
    assert client.get(confirm).status_code == 200
    clock.forward(hours=2)
    for response in (client.get(confirm), client.post(confirm)):
        assert "older than 48 hours" in problem(response, 400)


@pytest.mark.parametrize("days", [400, 1 / 3, -1 / 3, -400])
def test_after_a_wrong_clock_people_can_sign_up_and_unsubscribe(
    client: FlaskClient,
    mail_server: MailServer,
    sign_up_service: Service,
    deliver: Deliver,
    clock: Clock,
    days: float,
) -> None:
    right = clock.now
    clock.forward(days=days)
    confirm = subscribe(client, mail_server)
    subscribe(client, mail_server, address="di@example.org")
    clock.now = right
    if days > -1:
        assert "Subscribed" in client.post(confirm).text
    else:
        assert "older than 48 hours" in problem(client.post(confirm), 400)
    assert "Subscribed" in client.post(subscribe(client, mail_server)).text
    deliver(sign_up_service)
    message = next(each for each in mail_server.messages if "papers," in each.parsed["Subject"])
    assert "Unsubscribed" in client.post(link(message, "/mail/unsubscribe")).text


@pytest.mark.parametrize("path", ["/mail/confirm", "/mail/unsubscribe"])
@pytest.mark.parametrize("token", ["", "x", "abc.def", "é", "e30.x", "a" * 5000])
def test_a_forged_token_is_refused(refusing: Refusing, path: str, token: str) -> None:
    client, _ = refusing
    for response in (
        client.get(path, query_string={"token": token}),
        client.post(path, query_string={"token": token}),
    ):
        assert "this link is damaged" in problem(response, 400)


def test_a_token_is_good_for_one_purpose_only(client: FlaskClient, mail_server: MailServer) -> None:
    token = urlsplit(subscribe(client, mail_server)).query
    assert client.post(f"/mail/unsubscribe?{token}").status_code == 400


# --- unsubscribing -----------------------------------------------------------------------------


@pytest.fixture
def unsubscribe(
    client: FlaskClient, mail_server: MailServer, sign_up_service: Service, deliver: Deliver
) -> str:
    """Return the link of a message to somebody who subscribed."""
    client.post(subscribe(client, mail_server))
    deliver(sign_up_service)
    received = next(each for each in reversed(mail_server.messages) if each.recipient == CY)
    return link(received, "/mail/unsubscribe")


def test_one_click_of_a_mail_program_unsubscribes(
    client: FlaskClient, sign_up_service: Service, unsubscribe: str
) -> None:
    response = client.post(unsubscribe, data={"List-Unsubscribe": "One-Click"})
    assert response.status_code == 200
    assert active(sign_up_service) == []
    assert client.post(unsubscribe).status_code == 200


def test_a_visit_shows_a_button_and_changes_nothing(
    client: FlaskClient, sign_up_service: Service, unsubscribe: str
) -> None:
    page = client.get(unsubscribe)
    assert f"stop the mail about Causal matters to {CY}." in page.text
    assert '<form method="post">' in page.text
    assert len(active(sign_up_service)) == 1
    client.post(unsubscribe)
    assert "This subscription has ended." in client.get(unsubscribe).text


def test_nothing_is_stored_of_who_unsubscribed(
    client: FlaskClient, sign_up_service: Service, unsubscribe: str
) -> None:
    subscriptions = Subscriptions(sign_up_service.config, sign_up_service.repository)
    before = {name for name, _ in subscriptions.deliveries.scan()}
    client.post(unsubscribe)
    after = {name for name, _ in subscriptions.deliveries.scan()}
    assert len(before - after) == 1
    assert list(subscriptions._subscribers.scan()) == []
    assert list(subscriptions._unsubscribed.scan()) == []


def test_an_address_of_the_settings_can_unsubscribe_and_subscribe_again(
    client: FlaskClient, mail_server: MailServer, sign_up_service: Service, deliver: Deliver
) -> None:
    ada = ADDRESSES[0]
    deliver(sign_up_service)
    client.post(link(mail_server.messages[-1], "/mail/unsubscribe"))
    subscriptions = Subscriptions(sign_up_service.config, sign_up_service.repository)
    assert list(subscriptions.active()) == []
    client.post(subscribe(client, mail_server, address=ada))
    assert [each.address for each in subscriptions.active()] == [ada]


def test_an_address_ends_all_its_subscriptions(
    client: FlaskClient, mail_server: MailServer, sign_up_service: Service, clock: Clock
) -> None:
    client.post(subscribe(client, mail_server))
    clock.forward(hours=1)
    client.post(subscribe(client, mail_server, feed="tides"))
    subscriptions = Subscriptions(sign_up_service.config, sign_up_service.repository)
    assert subscriptions.remove_address("Cy@example.org", clock.today()) == 2
    assert active(sign_up_service) == []


# --- wrong forms -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"address": ""}, "address is not valid: expected a mail address"),
        ({"address": "cy"}, "expected a mail address such as ada@example.org"),
        ({"address": "cy@localhost"}, "address must be a mail address"),
        ({"address": "cy@example.org\nBcc: eve@example.org"}, "expected a mail address"),
        ({"address": "cy@example.org,eve@example.org"}, "expected a mail address"),
        ({"address": "çy@example.org"}, "only ASCII letters"),
        ({"address": "c" * 9000 + "@example.org"}, "expected a mail address"),
        ({"period": "month"}, "period must be one of day, week"),
        ({"feed": "", "q": "a OR"}, "expected a word"),
        ({"feed": "", "q": "word " * 200}, "250"),
    ],
)
def test_a_wrong_field_is_an_error_and_sends_nothing(
    refusing: Refusing, changes: dict[str, str], reason: str
) -> None:
    client, messages = refusing
    detail = problem(client.post("/mail/subscribe", data=FORM | changes), 400)
    assert reason in detail
    assert len(detail) < 400
    assert messages == []


def test_an_unknown_feed_is_an_error(refusing: Refusing) -> None:
    client, _ = refusing
    assert problem(client.post("/mail/subscribe", data=FORM | {"feed": "nothing"}), 404)


def test_other_bodies_than_forms_are_errors(refusing: Refusing) -> None:
    client, _ = refusing
    assert problem(client.post("/mail/subscribe", json=FORM), 400)
    assert problem(client.post("/mail/subscribe", data=b"\xff\x00"), 400)
    assert client.post("/mail/subscribe", data=FORM | {"q": "x" * 20_000}).status_code == 413
    assert client.get("/mail/subscribe").status_code == 405


def test_an_address_with_an_international_domain_gets_its_message(
    client: FlaskClient, mail_server: MailServer
) -> None:
    subscribe(client, mail_server, address="cy@müller.example")
    assert mail_server.recipients() == ["cy@xn--mller-kva.example"]


# --- limits ------------------------------------------------------------------------------------


def test_an_address_gets_few_messages_and_the_answer_does_not_tell(
    client: FlaskClient, mail_server: MailServer, clock: Clock
) -> None:
    answers = {client.post("/mail/subscribe", data=FORM).text for _ in range(3)}
    assert len(answers) == 1
    assert mail_server.recipients() == [CY]
    clock.forward(minutes=16)
    client.post("/mail/subscribe", data=FORM)
    assert len(mail_server.messages) == 2


def test_the_answer_for_a_known_address_is_that_for_any_other(
    client: FlaskClient, mail_server: MailServer, clock: Clock
) -> None:
    unknown = client.post("/mail/subscribe", data=FORM)
    client.post(link(mail_server.messages[-1], "/mail/confirm"))
    clock.forward(hours=1)
    known = client.post("/mail/subscribe", data=FORM)
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
    assert len(mail_server.messages) == 2


def test_a_client_may_subscribe_few_addresses(client: FlaskClient, mail_server: MailServer) -> None:
    forms = [FORM | {"address": f"reader{n}@example.org"} for n in range(4)]
    statuses = [client.post("/mail/subscribe", data=form).status_code for form in forms]
    assert statuses == [200, 200, 200, 429]
    assert len(mail_server.messages) == 3


def test_a_mail_server_that_fails_is_an_error_that_says_so(
    client: FlaskClient, mail_server: MailServer
) -> None:
    mail_server.replies[CY] = ["550 no such user"]
    assert "550 no such user" in problem(client.post("/mail/subscribe", data=FORM), 400)
    mail_server.replies["di@example.org"] = ["450 busy"]
    form = FORM | {"address": "di@example.org"}
    assert "450 busy" in problem(client.post("/mail/subscribe", data=form), 503)


# --- pages -------------------------------------------------------------------------------------


def test_the_form_is_on_the_pages_of_feeds_and_on_the_front_page(client: FlaskClient) -> None:
    for path, field in [
        ("/feeds/causal", 'name="feed" value="causal"'),
        ("/feeds/causal+tides?digest=week", 'name="feed" value="causal+tides"'),
        ("/papers?q=tides", 'name="q" value="tides"'),
        ("/?q=tides", 'name="q" value="tides"'),
    ]:
        page = client.get(path).text
        assert 'action="https://papers.example.org/mail/subscribe"' in page
        assert field in page


def test_without_sign_up_there_is_no_form_and_unsubscribing_works(
    make_service: MakeService, mail_server: MailServer, deliver: Deliver
) -> None:
    service = make_service(
        history_days=2,
        feeds={"causal": causal_feed(CY)},
        mail=mail_config(mail_server),
        public_url="https://papers.example.org",
    )
    client = create_app(service).test_client()
    assert "/mail/subscribe" not in client.get("/feeds/causal").text
    assert client.post("/mail/subscribe", data=FORM).status_code == 404
    deliver(service)
    client.post(link(mail_server.messages[0], "/mail/unsubscribe"))
    assert active(service) == []


def test_without_mail_there_is_nothing(make_service: MakeService) -> None:
    client = create_app(make_service()).test_client()
    assert client.post("/mail/unsubscribe").status_code == 404


def test_a_private_server_wants_its_key_for_the_form_and_none_for_links_in_messages(
    make_service: MakeService, mail_server: MailServer, sign_up_service: Service
) -> None:
    config = sign_up_service.config
    service = make_service(
        access_key="lighthouse",
        feeds=config.feeds,
        mail=config.mail,
        public_url=config.public_url,
        history_days=2,
    )
    client = create_app(service).test_client()
    assert client.post("/mail/subscribe", data=FORM).status_code == 401
    basic = {"Authorization": f"Basic {b64encode(b'x:lighthouse').decode()}"}
    page = client.get("/feeds/causal", headers=basic).text
    action = re.search(r'action="https://papers.example.org(/mail/subscribe[^"]*)"', page)
    assert action
    assert client.post(action[1].replace("&amp;", "&"), data=FORM).status_code == 200
    confirm = link(mail_server.messages[-1], "/mail/confirm")
    assert client.get(confirm).status_code == 200
    assert client.post(confirm).status_code == 200
    assert [each.address for each in active(service)] == [CY]
    assert client.post(confirm.partition("&key=")[0]).status_code == 401
