"""Sending over sockets: TLS, logins, and mail servers that refuse."""

import socket
from contextlib import closing
from email.message import EmailMessage

import pytest

from feedsrv.errors import (
    MailDeferredError,
    MailRejectedError,
    MailServerError,
    MailUnreachableError,
)
from feedsrv.mail.smtp import SMTPSender
from tests.integration.mail.conftest import mail_config
from tests.support.mail_server import (
    PASSWORD,
    USER,
    Certificate,
    MailServer,
    make_certificate,
    serve_mail,
)

ADA = "ada@example.org"


def no_sleep(seconds: float) -> None:
    """Do not wait."""


def make_message() -> EmailMessage:
    message = EmailMessage()
    message["To"] = ADA
    message.set_content("Ahoy.\n.\nA dot on its line.\n")
    return message


def send(
    server: MailServer, delays: list[float] | None = None, password: str = "", **changes: object
) -> None:
    sleep = no_sleep if delays is None else delays.append
    with SMTPSender(mail_config(server, **changes), password, sleep=sleep) as sender:
        sender.send(make_message(), ADA)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))


# --- success -----------------------------------------------------------------------------------


def test_a_message_arrives_whole(mail_server: MailServer) -> None:
    send(mail_server)
    (received,) = mail_server.messages
    assert received.recipient == ADA
    assert received.parsed.get_content().splitlines() == ["Ahoy.", ".", "A dot on its line."]


def test_one_connection_is_for_many_messages(mail_server: MailServer) -> None:
    with SMTPSender(mail_config(mail_server), "", sleep=no_sleep) as sender:
        for _ in range(3):
            sender.send(make_message(), ADA)
    assert len(mail_server.messages) == 3
    assert mail_server.client_names == ["example.org"]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_message_goes_over_tls_with_a_login(
    certificate: Certificate, trusted: None, tls: str
) -> None:
    with serve_mail(certificate, tls=tls, login=True) as server:
        send(server, tls=tls, user=USER, password=PASSWORD)
        assert server.recipients() == [ADA]


# --- servers that cannot be used ---------------------------------------------------------------


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_certificate_that_nobody_signed_is_refused(certificate: Certificate, tls: str) -> None:
    with serve_mail(certificate, tls=tls) as server:
        delays: list[float] = []
        with pytest.raises(MailServerError, match="its certificate is not valid: self"):
            send(server, delays, tls=tls)
        assert delays == []
        assert server.messages == []


def test_a_server_without_starttls_gets_nothing(mail_server: MailServer) -> None:
    with pytest.raises(MailServerError, match="does not offer STARTTLS"):
        send(mail_server, tls="starttls")
    assert mail_server.messages == []


def test_a_wrong_password_is_in_no_message() -> None:
    with serve_mail(login=True) as server:
        with pytest.raises(
            MailServerError, match="does not accept the user or the password"
        ) as caught:
            send(server, user=USER, password="wrong-secret")
        assert "wrong-secret" not in str(caught.value)


def test_an_unreachable_server_is_tried_three_times() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        server = MailServer()
        server.port = free.getsockname()[1]
    delays: list[float] = []
    with pytest.raises(MailUnreachableError, match="Connection refused"):
        send(server, delays)
    assert delays == [2.0, 10.0]


# --- refusals of one message -------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["421 closing", "450 busy", "451 later", "452 full"])
def test_a_temporary_failure_is_tried_again(mail_server: MailServer, reply: str) -> None:
    mail_server.replies[ADA] = [reply, reply]
    delays: list[float] = []
    send(mail_server, delays)
    assert mail_server.recipients() == [ADA]
    assert delays == [2.0, 10.0]


def test_a_message_that_is_not_taken_now_is_deferred(mail_server: MailServer) -> None:
    mail_server.replies[ADA] = ["450 greylisted"] * 3
    with pytest.raises(MailDeferredError, match="450 greylisted"):
        send(mail_server)


@pytest.mark.parametrize("reply", ["550 no such user", "553 no", "554 spam"])
def test_a_permanent_failure_is_not_tried_again(mail_server: MailServer, reply: str) -> None:
    mail_server.replies[ADA] = [reply]
    delays: list[float] = []
    with pytest.raises(MailRejectedError, match=reply):
        send(mail_server, delays)
    assert delays == []


@pytest.mark.parametrize("step", ["sender_replies", "data_replies"])
def test_a_temporary_failure_may_come_at_any_step(mail_server: MailServer, step: str) -> None:
    setattr(mail_server, step, ["451 later"])
    send(mail_server)
    assert mail_server.recipients() == [ADA]


def test_a_message_that_is_taken_for_spam_is_rejected(mail_server: MailServer) -> None:
    mail_server.data_replies = ["554 looks like spam"]
    with pytest.raises(MailRejectedError, match="554 looks like spam"):
        send(mail_server)


def test_a_sender_that_is_refused_concerns_all_messages(mail_server: MailServer) -> None:
    mail_server.sender_replies = ["550 unknown sender"]
    with pytest.raises(MailServerError, match="550 unknown sender"):
        send(mail_server)


def test_a_connection_that_is_cut_is_made_again(mail_server: MailServer) -> None:
    mail_server.cuts = 1
    send(mail_server)
    assert mail_server.recipients() == [ADA]
    assert len(mail_server.client_names) == 2


def test_a_check_sends_nothing(mail_server: MailServer) -> None:
    with SMTPSender(mail_config(mail_server), "", sleep=no_sleep) as sender:
        sender.check()
    with (
        pytest.raises(MailServerError, match="STARTTLS"),
        SMTPSender(mail_config(mail_server, tls="starttls"), "", sleep=no_sleep) as sender,
    ):
        sender.check()
    assert mail_server.messages == []
