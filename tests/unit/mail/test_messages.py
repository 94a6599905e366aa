"""Messages: headers, plain text, HTML."""

import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest

from feedsrv.feeds.digest import rank_papers
from feedsrv.mail.messages import Footer, confirmation_message, digest_message
from feedsrv.mail.subscriptions import Subscription
from feedsrv.models import Digest, Feed, Match
from tests.support.builders import make_paper
from tests.support.documents import MarkupCollector

NOW = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
SENDER = "papers@example.org"
SUBSCRIPTION = Subscription(address="ada@example.net", period="week", names=("fog",))
FOOTER = Footer(
    subscription=SUBSCRIPTION,
    title="Küsten & „Nebel“",
    page_url="https://papers.example.org/feeds/fog?digest=week",
    unsubscribe_url=f"https://papers.example.org/mail/unsubscribe?token=abcdefgh.{'x' * 27}",
)


def make_digest(*details: dict[str, Any], title: str = "Küsten & „Nebel“: 2 papers") -> Digest:
    feed = Feed(name="fog", title="Fog")
    papers = [make_paper(f"2611.{n:05d}", **each) for n, each in enumerate(details)]
    return Digest(
        key="2026-W47",
        title=title,
        published=NOW,
        papers=rank_papers(Match(paper, (feed,)) for paper in papers),
    )


def write(digest: Digest, digest_id: str = "urn:uuid:1", footer: Footer = FOOTER) -> EmailMessage:
    return digest_message(digest, digest_id, footer, sender=SENDER, date=NOW)


def sent(digest: Digest | None = None, **changes: Any) -> EmailMessage:
    """Return the message as its recipient parses it."""
    footer = msgspec.structs.replace(FOOTER, **changes)
    digest = digest or make_digest({"title": "Fog <b>on</b> the Ärmelkanal", "upvotes": 9}, {})
    return parse(bytes(write(digest, footer=footer)))


def parse(raw: bytes) -> EmailMessage:
    assert all(len(line) <= 998 for line in raw.splitlines())
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_a_message_has_the_headers_of_a_list() -> None:
    message = sent()
    assert message["List-Id"] == f"Küsten & „Nebel“ <{SUBSCRIPTION.id}.papers.example.org>"
    mailto = f"mailto:papers@example.org?subject=unsubscribe%20{SUBSCRIPTION.id}"
    assert message["List-Unsubscribe"] == f"<{FOOTER.unsubscribe_url}>, <{mailto}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["From"] == "Daily Papers <papers@example.org>"
    assert message["To"] == "ada@example.net"
    assert message["Subject"] == "Küsten & „Nebel“: 2 papers"
    assert parsedate_to_datetime(message["Date"]) == NOW


def test_urls_in_headers_are_neither_encoded_nor_broken() -> None:
    footer = msgspec.structs.replace(FOOTER, unsubscribe_url=f"https://x.example.org/{'y' * 300}")
    raw = bytes(write(make_digest({}), footer=footer))
    assert f"<{footer.unsubscribe_url}>".encode() in raw


def test_long_headers_are_folded() -> None:
    raw = bytes(write(make_digest({}, title="Äpfel " * 60)))
    headers = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert all(len(line) <= 78 for line in headers if b"http" not in line and b"mailto" not in line)
    assert parse(raw)["Subject"] == ("Äpfel " * 60).strip()


def test_the_same_message_has_the_same_id_and_no_other_has() -> None:
    digest = make_digest({})
    subscription = msgspec.structs.replace(SUBSCRIPTION, address="bo@example.net")
    other = msgspec.structs.replace(FOOTER, subscription=subscription)
    ids = [
        write(digest, name, footer)["Message-ID"]
        for name in ("urn:uuid:1", "urn:uuid:2")
        for footer in (FOOTER, other)
    ]
    assert len(set(ids)) == 4
    assert write(digest, "urn:uuid:1", FOOTER)["Message-ID"] == ids[0]
    assert re.fullmatch(r"<[0-9a-f-]{36}@example\.org>", ids[0])


def test_a_server_without_a_url_offers_to_unsubscribe_by_mail() -> None:
    message = sent(page_url="", unsubscribe_url="")
    assert message["List-Unsubscribe"].startswith("<mailto:papers@example.org?")
    assert message["List-Unsubscribe-Post"] is None
    assert message["List-Id"].endswith(f"<{SUBSCRIPTION.id}.example.org>")
    assert "http" not in part(message, "plain").partition("\n-- \n")[2]


def test_a_line_break_in_a_title_adds_no_header() -> None:
    message = sent(make_digest({}, title="Fog\r\nBcc: eve@example.org"), title="Fog\nBcc: x@y.z")
    assert message["Bcc"] is None
    assert message["Subject"] == "Fog Bcc: eve@example.org"


def test_plain_text_comes_first_with_72_columns() -> None:
    message = sent()
    assert message.get_content_type() == "multipart/alternative"
    kinds = [each.get_content_type() for each in message.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    text = part(message, "plain")
    assert all(len(line) <= 72 for line in text.splitlines() if "http" not in line)
    assert "Kite\r\n" in text
    assert FOOTER.unsubscribe_url in text


def test_html_loads_nothing_and_escapes_everything() -> None:
    html = part(sent(), "html")
    collector = MarkupCollector()
    collector.feed(html)
    tags = {tag for tag, _ in collector.tags}
    assert not tags & {"img", "script", "style", "link", "form", "b", "iframe"}
    assert "Fog <b>on</b> the Ärmelkanal" in collector.texts
    assert not re.search(r"(?:src|background|url\()", html)
    links = [attributes["href"] for tag, attributes in collector.tags if tag == "a"]
    assert FOOTER.unsubscribe_url in links
    assert FOOTER.page_url in links


def test_html_leaves_colours_to_the_mail_program() -> None:
    html = part(sent(), "html")
    assert 'content="light dark"' in html
    assert not re.search(r"(?<![-\w])(?:color|background(?:-color)?):", html)


def test_from_the_21st_paper_on_a_message_has_titles_only() -> None:
    message = sent(make_digest(*({"upvotes": 30 - n, "title": f"Kite {n}"} for n in range(30))))
    for kind in ("plain", "html"):
        full, _, brief = part(message, kind).partition("More papers")
        assert "Kite 19" in full
        assert "Odalys Brandt" in full
        assert "Kite 20" in brief
        assert "Odalys Brandt" not in brief


def test_a_confirmation_has_its_link_in_both_parts() -> None:
    url = "https://papers.example.org/mail/confirm?token=" + "z" * 400
    message = parse(bytes(confirmation_message(url, FOOTER, sender=SENDER, date=NOW)))
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"] is None
    assert url in part(message, "plain")
    assert url in part(message, "html")
    assert '"Küsten & „Nebel“"' in part(message, "plain")


@pytest.mark.parametrize("adverb", ["daily", "weekly"])
def test_the_footer_says_how_often_a_message_comes(adverb: str) -> None:
    period = "day" if adverb == "daily" else "week"
    subscription = msgspec.structs.replace(SUBSCRIPTION, period=period)
    assert f"{adverb}, from feedsrv." in part(sent(subscription=subscription), "plain")
