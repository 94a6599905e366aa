"""Update the screenshots in this directory from the demo's papers: ``make screenshots``.

Needs Chromium at /usr/bin/chromium. The screenshots look best with the fonts Inter and P052
(Debian: fonts-inter, fonts-urw-base35), and need one with Chinese (fonts-droid-fallback).
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from playwright.sync_api import Page, sync_playwright
from werkzeug.serving import make_server

from feedsrv.config import load_config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.mail.messages import Envelope, Footer, digest_message
from feedsrv.models import Feed
from feedsrv.web.app import create_app

CHROMIUM = "/usr/bin/chromium"
DOCS = Path(__file__).parent
#: A Tuesday; the demo's newest papers are of this day.
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
#: File name, path, width, height, color scheme.
SCREENSHOTS = (
    ("page-light", "/?q=diffusion+models", 1000, 1400, "light"),
    ("page-dark", "/", 1000, 1195, "dark"),
    ("page-phone", "/?q=world+model", 390, 844, "light"),
    ("feed", "/papers?q=causal&limit=4", 1000, 1100, "light"),
    ("status", "/status", 1000, 800, "dark"),
)


#: Of a weekly mail.
MAIL_SCREENSHOTS = (("mail", 700, 1000, "light"), ("mail-phone", 390, 844, "dark"))
MAIL_FEED = Feed(
    name="models",
    title="Diffusion and language models",
    query="diffusion OR language",
    digest="week",
)


@contextmanager
def run_server(directory: Path) -> Iterator[tuple[str, Service]]:
    """Serve the demo with all lists fetched, at a fixed time; yield its URL and service."""
    config = load_config(
        DOCS.parent / "config" / "feedsrv.toml", {}, {"cache_dir": directory / "store"}
    )
    config = msgspec.structs.replace(
        config, demo=True, spacing=0.0, history_days=10, public_url="http://localhost:8000"
    )
    service = create_service(config, now=lambda: NOW, chance=lambda: 0.5)
    for _ in service.refresh_stale():
        pass
    httpd = make_server("127.0.0.1", 8000, create_app(service), threaded=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield "http://localhost:8000", service
    finally:
        httpd.shutdown()
        service.close()


def main() -> None:
    """Take every screenshot."""
    with (
        tempfile.TemporaryDirectory() as directory,
        run_server(Path(directory)) as (url, service),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, path, width, height, scheme in SCREENSHOTS:
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(url + path)
            take_screenshot(page, name)
        for name, width, height, scheme in MAIL_SCREENSHOTS:
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.set_content(weekly_mail(service))
            take_screenshot(page, name)
        browser.close()


def take_screenshot(page: Page, name: str) -> None:
    """Write a screenshot of the page, and close it."""
    page.screenshot(path=DOCS / f"{name}.png")
    page.close()
    sys.stdout.write(f"docs/{name}.png\n")


def weekly_mail(service: Service) -> str:
    """Return the HTML of the latest weekly mail."""
    digest = service.get_digests(MAIL_FEED).digests[0]
    envelope = Envelope(sender="papers@example.org", recipient="ada@example.org", date=NOW)
    footer = Footer(
        id="sample",
        title=MAIL_FEED.title,
        period="week",
        page_url="http://localhost:8000/feeds/models",
        unsubscribe_url="http://localhost:8000/mail/unsubscribe",
    )
    html = digest_message(digest, "urn:uuid:sample", envelope, footer).get_body(("html",))
    return str(html.get_content()) if html is not None else ""


if __name__ == "__main__":
    main()
