"""Messages: a digest, and the question whether somebody wants digests.

Plain text comes first, then the same as HTML with inline styles, which is what mail programs agree
on. Nothing is loaded from anywhere.
"""

from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime
from urllib.parse import urlsplit
from uuid import uuid5

import msgspec
from jinja2 import Environment, PackageLoader

from feedsrv.feeds.digest import MAX_FULL_PAPERS, format_period
from feedsrv.feeds.digest_documents import period_page_url, render_digest_text, wrap_text
from feedsrv.feeds.metadata import UUID_NAMESPACE
from feedsrv.mail.subscriptions import Subscription
from feedsrv.models import Digest

_SENDER_NAME = "Daily Papers"
ADVERBS = {"day": "daily", "week": "weekly"}
_templates = Environment(
    loader=PackageLoader("feedsrv.mail"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


class _MessagePolicy(EmailPolicy):
    """Folds headers that Python 3.11 folds wrongly.

    It encodes long URLs, which mail programs then cannot open, and drops spaces between encoded
    words.
    """

    def fold(self, name: str, value: str) -> str:
        """Return the header as text, folded at the right places."""
        text = str(value)
        match name:
            case "Subject":
                folded = _encode(text, name)
            case "List-Id":
                title, _, identifier = text.rpartition(" ")
                folded = f"{_encode(title, name)}{self.linesep} {identifier}"
            case "List-Unsubscribe":
                folded = text.replace(", ", f",{self.linesep} ")
            case _:
                return str(super().fold(name, value))
        return f"{name}: {folded}{self.linesep}"

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("ascii", "surrogateescape")


def _encode(text: str, name: str) -> str:
    """Return the text in lines, as encoded words where it is not ASCII (RFC 2047)."""
    charset = "us-ascii" if text.isascii() else "utf-8"
    return Header(text, charset, maxlinelen=76, header_name=name).encode(linesep="\r\n")


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """Which subscription a message is of, and how to end it.

    URLs are empty where the server has no public URL.
    """

    subscription: Subscription
    #: The title of the feed.
    title: str
    page_url: str
    unsubscribe_url: str

    @property
    def frequency(self) -> str:
        """``daily`` or ``weekly``."""
        return ADVERBS[self.subscription.period]


def digest_message(
    digest: Digest, digest_id: str, footer: Footer, *, sender: str, date: datetime
) -> EmailMessage:
    """Return the message for a digest, whose id is the same for all recipients."""
    name = footer.subscription.id
    message = _message(digest.title, footer, sender, date, message_key=f"{digest_id} {name}")
    host = urlsplit(footer.page_url).hostname or _domain(sender)
    message["List-Id"] = f"{_phrase(footer.title)} <{name}.{host}>"
    mailto = f"<mailto:{sender}?subject=unsubscribe%20{name}>"
    if footer.unsubscribe_url:
        message["List-Unsubscribe"] = f"<{footer.unsubscribe_url}>, {mailto}"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    else:
        message["List-Unsubscribe"] = mailto
    text = [render_digest_text(digest), "-- ", *_footer_lines(footer)]
    html = _templates.get_template("digest.html").render(
        digest=digest,
        footer=footer,
        full_papers=digest.papers[:MAX_FULL_PAPERS],
        brief_papers=digest.papers[MAX_FULL_PAPERS:],
        period=format_period(digest.key),
        period_url=period_page_url(digest.key),
    )
    return _with_content(message, "\n".join(text), html)


def confirmation_message(
    confirm_url: str, footer: Footer, *, sender: str, date: datetime
) -> EmailMessage:
    """Return the message that asks whether its recipient wants digests."""
    title = f"Confirm: {footer.title} by mail, {footer.frequency}"
    message = _message(title, footer, sender, date, message_key=confirm_url)
    text = _templates.get_template("confirm.txt").render(footer=footer, confirm_url=confirm_url)
    html = _templates.get_template("confirm.html").render(footer=footer, confirm_url=confirm_url)
    return _with_content(message, text, html)


def _message(
    subject: str, footer: Footer, sender: str, date: datetime, *, message_key: str
) -> EmailMessage:
    """Return a message without content. The same key makes the same Message-ID."""
    recipient = footer.subscription.address
    message = EmailMessage(_MessagePolicy(linesep="\r\n"))
    message["From"] = Address(_SENDER_NAME, addr_spec=sender)
    message["To"] = Address(addr_spec=recipient)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = format_datetime(date)
    name = uuid5(UUID_NAMESPACE, f"{message_key} {recipient}")
    message["Message-ID"] = f"<{name}@{_domain(sender)}>"
    message["Auto-Submitted"] = "auto-generated"
    return message


def _with_content(message: EmailMessage, text: str, html: str) -> EmailMessage:
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    return message


def _footer_lines(footer: Footer) -> list[str]:
    lines = wrap_text(f"{footer.title}, {footer.frequency}, from feedsrv.")
    if footer.page_url:
        lines += ["The feed:", footer.page_url]
    if footer.unsubscribe_url:
        lines += ["Unsubscribe:", footer.unsubscribe_url]
    return lines


def _phrase(title: str) -> str:
    """Return the title without marks that end a phrase (RFC 2919 2)."""
    return " ".join("".join(" " if each in '<>"()' else each for each in title).split())


def _domain(address: str) -> str:
    return address.rpartition("@")[2]
