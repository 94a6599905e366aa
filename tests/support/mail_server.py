"""A real mail server on loopback, with faults to inject."""

import asyncio
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

USER, PASSWORD = "papers", "lighthouse"


class ReceivedMessage(NamedTuple):
    recipient: str
    raw: bytes

    @property
    def parsed(self) -> EmailMessage:
        message = message_from_bytes(self.raw, policy=default)
        assert isinstance(message, EmailMessage)
        return message


class MailServer:
    """What it received, and how it replies.

    Attributes:
        messages: The accepted messages, in order.
        replies: Replies to RCPT by recipient, each used once, and then none.
        sender_replies: Replies to MAIL, each used once, and then none.
        data_replies: Replies to messages, likewise.
        cuts: How many connections to cut when the next messages have arrived.
        client_names: What the client of each connection called itself.

    """

    def __init__(self) -> None:
        self.port = 0
        self.messages: list[ReceivedMessage] = []
        self.replies: dict[str, list[str]] = {}
        self.sender_replies: list[str] = []
        self.data_replies: list[str] = []
        self.cuts = 0
        self.client_names: list[str] = []

    def recipients(self) -> list[str]:
        return [each.recipient for each in self.messages]

    async def handle_EHLO(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, name: str, replies: list[str]
    ) -> list[str]:
        self.client_names.append(name)
        session.host_name = name
        return replies

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.sender_replies:
            return self.sender_replies.pop(0)
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        waiting = self.replies.get(address, [])
        if waiting:
            return waiting.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.cuts:
            self.cuts -= 1
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]
            return "250 nobody hears this"
        if self.data_replies:
            return self.data_replies.pop(0)
        assert isinstance(envelope.content, bytes)
        self.messages += [ReceivedMessage(each, envelope.content) for each in envelope.rcpt_tos]
        return "250 accepted"


class Certificate(NamedTuple):
    certificate: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """Return a certificate for 127.0.0.1, signed by itself."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made


class _Controller(Controller):
    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]  # it was 0, for any
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def serve_mail(
    certificate: Certificate | None = None, *, tls: str = "none", login: bool = False
) -> Iterator[MailServer]:
    """Run a mail server on a free loopback port.

    Args:
        certificate: For TLS.
        tls: As in the settings.
        login: Whether it wants a login.

    """
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.certificate, certificate.key)
    server = MailServer()

    def authenticate(_: Any, __: Any, ___: Any, mechanism: str, data: Any) -> AuthResult:
        is_known = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_known, handled=False)

    with warnings.catch_warnings():
        # At each connection: of a login without TLS, which is what some tests want.
        warnings.filterwarnings("ignore", module="aiosmtpd")
        controller = _Controller(
            server,
            hostname="127.0.0.1",
            port=0,
            ssl_context=context if tls == "tls" else None,
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            authenticator=authenticate if login else None,
            auth_required=login,
            auth_require_tls=False,
        )
        controller.start()
        server.port = controller.port
        try:
            yield server
        finally:
            controller.stop()
