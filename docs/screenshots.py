"""Update the screenshots in this directory from the demo's papers: ``make screenshots``.

Needs Chromium at /usr/bin/chromium. The screenshots look best with the fonts Inter and P052
(Debian: fonts-inter, fonts-urw-base35).
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from feedsrv.config import load_config
from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app

CHROMIUM = "/usr/bin/chromium"
DOCS = Path(__file__).parent
#: A Tuesday; the demo's newest papers are of this day.
NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
#: File name, path, width, height, color scheme.
SCREENSHOTS = (
    ("page-light", "/?q=diffusion+models", 1000, 1480, "light"),
    ("page-dark", "/", 1000, 1195, "dark"),
    ("page-phone", "/?q=world+model", 390, 844, "light"),
    ("feed", "/papers?q=causal&limit=4", 1000, 1100, "light"),
    ("status", "/status", 1000, 800, "dark"),
)


@contextmanager
def run_server(directory: Path) -> Iterator[str]:
    """Serve the demo with all lists fetched, at a fixed time, and yield its URL."""
    config = load_config(
        DOCS.parent / "config" / "feedsrv.toml", {}, {"cache_dir": directory / "store"}
    )
    config = msgspec.structs.replace(
        config, demo=True, spacing=0.0, history_days=10, public_url="http://localhost:8000"
    )
    service = Service.open(config, now=lambda: NOW, chance=lambda: 0.5)
    for _ in service.refresh_stale():
        pass
    httpd = make_server("127.0.0.1", 8000, create_app(service), threaded=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield "http://localhost:8000"
    finally:
        httpd.shutdown()
        service.close()


def main() -> None:
    """Take every screenshot."""
    with (
        tempfile.TemporaryDirectory() as directory,
        run_server(Path(directory)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name, path, width, height, scheme in SCREENSHOTS:
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page.goto(url + path)
            page.screenshot(path=DOCS / f"{name}.png")
            page.close()
            sys.stdout.write(f"docs/{name}.png\n")
        browser.close()


if __name__ == "__main__":
    main()
