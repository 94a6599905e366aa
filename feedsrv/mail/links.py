"""Links in messages: to the feed, to confirm a subscription, to end it. Nobody can forge them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from secrets import token_urlsafe

import msgspec
from itsdangerous import BadData, Signer, URLSafeSerializer

from feedsrv.errors import TokenError
from feedsrv.mail.subscriptions import Subscription
from feedsrv.storage.repository import Repository

SUBSCRIBE_PATH = "/mail/subscribe"
CONFIRM_PATH = "/mail/confirm"
UNSUBSCRIBE_PATH = "/mail/unsubscribe"
#: For how long a subscription can be confirmed.
CONFIRMATION_LIFETIME = timedelta(hours=48)


class Secret(msgspec.Struct, frozen=True):
    """The key that signs links, the same for all processes and for good."""

    value: str


class _Confirmation(msgspec.Struct, frozen=True):
    subscription: Subscription
    expires_at: datetime


class MailLinks:
    """Makes links and reads their tokens.

    Without ``url``, the server has no URL that mail programs could open, and links are empty.
    """

    def __init__(self, repository: Repository, url: Callable[..., str] | None) -> None:
        self._secrets = repository.permanent_values("secrets", Secret)
        self._url = url

    def page_url(self, subscription: Subscription) -> str:
        """Return the URL of the feed's page."""
        path, period = subscription.path, subscription.period
        return self._build_url(path, q=subscription.query, digest=period)

    def unsubscribe_url(self, subscription: Subscription) -> str:
        """Return the URL that ends the subscription."""
        token = self._signer().sign(subscription.id).decode()
        return self._build_url(UNSUBSCRIBE_PATH, token=token)

    def confirm_url(self, subscription: Subscription, now: datetime) -> str:
        """Return the URL that confirms the subscription."""
        confirmation = _Confirmation(subscription, now + CONFIRMATION_LIFETIME)
        token = self._serializer().dumps(msgspec.to_builtins(confirmation))
        return self._build_url(CONFIRM_PATH, token=token)

    def read_unsubscribe_token(self, token: str) -> str:
        """Return the id of the subscription to end; raise TokenError if nobody signed the token."""
        try:
            return self._signer().unsign(token.encode("ascii", "replace")).decode()
        except BadData as error:
            raise TokenError("this link is damaged; copy it whole from the message") from error

    def read_confirm_token(self, token: str, now: datetime) -> Subscription:
        """Return the subscription to add; raise TokenError if the token is not ours, or too old."""
        try:
            data = self._serializer().loads(token)
            confirmation = msgspec.convert(data, _Confirmation)
        except (BadData, msgspec.ValidationError) as error:
            raise TokenError("this link is damaged; copy it whole from the message") from error
        if now > confirmation.expires_at:
            raise TokenError("this link is older than 48 hours; subscribe again")
        return confirmation.subscription

    def _build_url(self, path: str, **parameters: object) -> str:
        return self._url(path, **parameters) if self._url is not None else ""

    def _signer(self) -> Signer:
        return Signer(self._secret(), salt="unsubscribe")

    def _serializer(self) -> URLSafeSerializer:
        return URLSafeSerializer(self._secret(), salt="confirm")

    def _secret(self) -> str:
        if (secret := self._secrets.get("mail")) is None:
            new = Secret(token_urlsafe())
            secret = self._secrets.update("mail", lambda stored: stored or new) or new
        return secret.value
