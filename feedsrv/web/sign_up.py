"""Subscriptions by mail: the form, the confirmation, and the end of a subscription.

Nothing is stored before somebody presses the button on the page that the confirmation links to, and
no answer tells whether an address is known.
"""

from contextlib import suppress
from typing import cast, get_args

import msgspec
from flask import Flask, request
from werkzeug.wrappers import Response

from feedsrv.errors import ParameterError, QuotaExceededError, SignUpQuotaError
from feedsrv.feeds.adhoc import adhoc_feed
from feedsrv.feeds.client_quota import ClientQuota
from feedsrv.feeds.metadata import feeds_title
from feedsrv.feeds.service import Service
from feedsrv.mail.links import CONFIRM_PATH, SUBSCRIBE_PATH, UNSUBSCRIBE_PATH, MailLinks
from feedsrv.mail.messages import ADVERBS, Footer, confirmation_message
from feedsrv.mail.smtp import SMTPSender
from feedsrv.mail.subscriptions import Subscription, Subscriptions, subscribed_feeds
from feedsrv.mail_address import parse_mail_address
from feedsrv.models import Period
from feedsrv.web.base_views import BaseViews
from feedsrv.web.params import choice_value
from feedsrv.web.responses import set_no_store
from feedsrv.web.urls import client_address, public_url_builder

#: Bytes of a form, and characters of a value that an error repeats.
_MAX_FORM_SIZE = 10_000
_MAX_SHOWN = 100
#: Attempts to subscribe in an hour for each client and for each address, a quarter of them at once.
#: They are counted in memory, because nothing is stored of an address that did not confirm.
_CLIENT_QUOTA, _ADDRESS_QUOTA = 12, 4


class SignUpViews(BaseViews):
    """The views of subscriptions by mail."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._subscriptions = Subscriptions(service.config, service.repository)
        self._links = MailLinks(service.repository, public_url_builder(service.config))
        self._client_quota = ClientQuota(_CLIENT_QUOTA)
        self._address_quota = ClientQuota(_ADDRESS_QUOTA)

    def register(self, app: Flask) -> None:
        """Add the routes that the settings ask for."""
        if self._config.mail.host:
            app.add_url_rule(UNSUBSCRIBE_PATH, "unsubscribe", self.unsubscribe_page)
            app.add_url_rule(UNSUBSCRIBE_PATH, "unsubscribed", self.unsubscribe, methods=["POST"])
        if self._config.mail.sign_up:
            app.add_url_rule(SUBSCRIBE_PATH, "subscribe", self.subscribe, methods=["POST"])
            app.add_url_rule(CONFIRM_PATH, "confirm", self.confirm_page)
            app.add_url_rule(CONFIRM_PATH, "confirmed", self.confirm, methods=["POST"])

    def subscribe(self) -> Response:
        """Send a message that asks whether its recipient wants the digests."""
        request.max_content_length = _MAX_FORM_SIZE
        subscription = self._requested_subscription()
        now = self._service.now()
        try:
            self._client_quota.consume(client_address(self._config, request), now)
        except QuotaExceededError as error:
            raise SignUpQuotaError(error.client, error.retry_after) from error
        # The same answer if the address had too many messages: it says nothing about the address.
        with suppress(QuotaExceededError):
            self._address_quota.consume(subscription.address.lower(), now)
            self._send_confirmation(subscription)
        return self._page(
            "Check your mail",
            f"A message is on its way to {subscription.address}. Its link leads to a page with a"
            " button, which subscribes you. The link works for 48 hours.",
        )

    def confirm_page(self) -> Response:
        """Return the page with the button that subscribes: mail scanners follow links too."""
        subscription = self._confirmed_subscription()
        adverb, title = ADVERBS[subscription.period], self._title(subscription)
        text = f"Press the button to get the papers of {title} at {subscription.address}, {adverb}."
        return self._page("Confirm", text, button="Subscribe")

    def confirm(self) -> Response:
        """Store the subscription."""
        subscription = self._confirmed_subscription()
        today = self._service.now().date()
        self._subscriptions.add(msgspec.structs.replace(subscription, since=today))
        text = f"{subscription.address} now gets the papers of {self._title(subscription)}"
        return self._page(
            "Subscribed",
            f"{text}, {ADVERBS[subscription.period]}. Each message has a link to unsubscribe.",
        )

    def unsubscribe_page(self) -> Response:
        """Return the page with the button that ends a subscription."""
        subscription = self._subscriptions.get(self._unsubscribe_id())
        if subscription is None:
            return self._page("Unsubscribed", "This subscription has ended.")
        title = self._title(subscription)
        text = f"Press the button to stop the mail about {title} to {subscription.address}."
        return self._page("Unsubscribe?", text, button="Unsubscribe")

    def unsubscribe(self) -> Response:
        """End a subscription; for the button, and for mail programs (RFC 8058)."""
        self._subscriptions.remove(self._unsubscribe_id(), self._service.now().date())
        return self._page("Unsubscribed", "This subscription has ended.")

    def _requested_subscription(self) -> Subscription:
        """Return the subscription that the form asks for; a wrong field raises a ClientError."""
        form = request.form
        names = tuple(dict.fromkeys(name for name in form.get("feed", "").split("+") if name))
        for name in names:
            self._service.get_configured_feed(name)
        query = "" if names else " ".join(form.get("q", "").split())
        adhoc_feed(query)
        period = choice_value("period", form.get("period", "week"), get_args(Period))
        return Subscription(
            address=_parse_address(form.get("address", "")),
            period=cast("Period", period),
            names=names,
            query=query,
        )

    def _confirmed_subscription(self) -> Subscription:
        token = request.args.get("token", "")
        return self._links.read_confirm_token(token, self._service.now())

    def _unsubscribe_id(self) -> str:
        return self._links.read_unsubscribe_token(request.args.get("token", ""))

    def _send_confirmation(self, subscription: Subscription) -> None:
        """Send the message that has the link to `confirm_page`."""
        now, mail = self._service.now(), self._config.mail
        message = confirmation_message(
            self._links.confirm_url(subscription, now),
            Footer(
                subscription=subscription,
                title=self._title(subscription),
                page_url=self._links.page_url(subscription),
                unsubscribe_url="",
            ),
            sender=mail.sender,
            date=now,
        )
        password = self._config.mail_password
        # Whoever waits for the page can try again.
        with SMTPSender(mail, password, sleep=None) as sender:
            sender.send(message, subscription.address)

    def _title(self, subscription: Subscription) -> str:
        feeds = subscribed_feeds(self._service, subscription)
        return feeds_title(feeds, demo=self._config.demo)

    def _page(self, title: str, text: str, button: str = "") -> Response:
        page = self.render_page("mail.html", title=title, text=text, button=button)
        return set_no_store(Response(page, mimetype="text/html"))


def _parse_address(text: str) -> str:
    """Return the address; raise ParameterError if it is not that of somebody on the internet."""
    try:
        address = parse_mail_address(text)
    except ValueError as error:
        raise ParameterError("address", text[:_MAX_SHOWN], f"is not valid: {error}") from error
    if "." not in address.rpartition("@")[2]:
        raise ParameterError("address", text, "must be a mail address such as ada@example.org")
    return address
