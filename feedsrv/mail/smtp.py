"""Send messages over SMTP (RFC 5321), one connection for many."""

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from typing import Self

from feedsrv.config import MailConfig
from feedsrv.errors import (
    MailDeferredError,
    MailError,
    MailRejectedError,
    MailServerError,
    MailUnreachableError,
)

#: Seconds to wait for the connection and for each reply.
_TIMEOUT = 30.0
#: Seconds before each new attempt to send a message.
_RETRY_DELAYS = (2.0, 10.0)
_PERMANENT = 500
_CLOSING = 421


class SMTPSender:
    """Sends messages through the mail server of the settings. Use it in a ``with`` statement.

    ``sleep`` waits for a number of seconds before a new attempt; None for one attempt only.
    """

    def __init__(
        self, config: MailConfig, password: str, *, sleep: Callable[[float], object] | None
    ) -> None:
        self._config = config
        self._password = password
        self._sleep = sleep
        self._connection: smtplib.SMTP | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, smtplib.SMTPException):
                connection.quit()
            connection.close()

    def check(self) -> None:
        """Connect and log in; raise MailError if that fails."""
        try:
            self._connect().noop()
        except (OSError, smtplib.SMTPException) as error:
            raise MailServerError(self._config.host, _describe(error)) from error

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Send the message to one recipient; return when the mail server has taken it.

        Attempts that fail for now are repeated.

        Raises:
            MailRejectedError: The mail server will never take it.
            MailDeferredError: It does not take it now.
            MailError: The mail server cannot be used at all.
        """
        for delay in _RETRY_DELAYS:
            if self._sleep is None:
                break
            try:
                return self._send_once(message, recipient)
            except (MailUnreachableError, MailDeferredError):
                self._sleep(delay)
        return self._send_once(message, recipient)

    def _send_once(self, message: EmailMessage, recipient: str) -> None:
        host = self._config.host
        try:
            connection = self._connect()
        except (
            smtplib.SMTPAuthenticationError,
            smtplib.SMTPNotSupportedError,
            ssl.SSLError,
        ) as error:
            raise MailServerError(host, _describe(error)) from error
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnreachableError(host, _describe(error)) from error
        try:
            connection.send_message(message, self._config.sender, [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            raise self._reply_error(*error.recipients[recipient]) from error
        except smtplib.SMTPSenderRefused as error:
            if error.smtp_code >= _PERMANENT:  # it refuses the sender, so every message
                raise MailServerError(host, _describe(error)) from error
            raise self._reply_error(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPResponseException as error:
            raise self._reply_error(error.smtp_code, error.smtp_error) from error
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise MailDeferredError(host, _describe(error)) from error

    def _reply_error(self, code: int, reply: bytes | str) -> MailError:
        """Return the error for a reply that refuses one message (RFC 5321 4.2.1)."""
        if code == _CLOSING:
            self.close()
        kind = MailRejectedError if code >= _PERMANENT else MailDeferredError
        return kind(self._config.host, f"{code} {_decode_reply(reply)}")

    def _connect(self) -> smtplib.SMTP:
        if self._connection is None:
            config = self._config
            # The domain of the sender as our name: looking up our own can take many seconds.
            address = config.host, config.port, config.sender.rpartition("@")[2]
            if config.tls == "tls":
                context = ssl.create_default_context()
                connection: smtplib.SMTP = smtplib.SMTP_SSL(
                    *address, timeout=_TIMEOUT, context=context
                )
            else:
                connection = smtplib.SMTP(*address, timeout=_TIMEOUT)
            try:
                if config.tls == "starttls":
                    connection.starttls(context=ssl.create_default_context())
                if config.user:
                    connection.login(config.user, self._password)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _describe(error: Exception) -> str:
    """Return what went wrong, without the password."""
    match error:
        case smtplib.SMTPAuthenticationError():
            reason = "it does not accept the user or the password"
        case smtplib.SMTPNotSupportedError():
            reason = 'it does not offer STARTTLS or a login; see "tls" and "user" in the settings'
        case smtplib.SMTPServerDisconnected():
            reason = "it closed the connection"
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            reason = f"{code} {_decode_reply(reply)}"
        case ssl.SSLCertVerificationError(verify_message=message):
            reason = f"its certificate is not valid: {message}"
        case OSError(strerror=str() as message):
            reason = message
        case _:
            reason = str(error) or type(error).__name__
    return reason


def _decode_reply(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(text.split())
