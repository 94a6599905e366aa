"""The pages in Chromium, driven by Playwright."""

import shutil
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from feedsrv.config import MailConfig
from feedsrv.feeds.service import Service
from feedsrv.mail.links import MailLinks
from feedsrv.mail.subscriptions import Subscriptions
from feedsrv.web.app import create_app
from feedsrv.web.urls import public_url_builder
from tests.integration.web.test_escaping import LINKS, PAYLOADS, make_hostile_paper
from tests.support.mail_server import serve_mail
from tests.support.paths import ROOT
from tests.support.servers import serve_wsgi
from tests.support.types import MakeService
from tests.support.upstream import FakeUpstream, make_raw_paper

AXE = ROOT / "tests" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
PATHS = (
    "/",
    "/?q=causal",
    "/?q=nothing+like+it",
    "/?q=causal+OR",
    "/papers?q=causal&limit=1",
    "/feeds/causal",
    "/status",
    "/nothing",
    "/papers?q=causal+OR",
)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("install chromium")
    with sync_playwright() as play:
        # Root, as in a container, has no sandbox.
        browser = play.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def site(make_service: MakeService, upstream: FakeUpstream) -> Iterator[str]:
    """Serve the application with all lists fetched; return its URL."""
    upstream.papers[0] |= {"authors": [f"Ada Quill {number}" for number in range(671)], "stars": 3}
    upstream.papers.append(
        make_raw_paper(6, title=f"Causal {'x' * 200}", keywords=["y" * 90, "causal"])
    )
    service = make_service(history_days=2)
    for _ in service.refresh_stale():
        pass
    with serve_wsgi(create_app(service)) as url:
        yield url


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Return a function that opens a page. Errors in the console fail the test."""
    contexts = []
    errors: list[str] = []

    def open_url(url: str, *, grants: tuple[str, ...] = (), **options: Any) -> Page:
        context = browser.new_context(permissions=list(grants), **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(url)
        return page

    yield open_url
    for context in contexts:
        context.close()
    # Error statuses that the tests expect, and connections closed by the test server.
    expected = "Failed to load resource: "
    assert [error for error in errors if not error.startswith(expected)] == []


def test_type_a_query_preview_the_feed_and_copy_its_address(open_page: Open, site: str) -> None:
    page = open_page(site, grants=("clipboard-read", "clipboard-write"))
    page.get_by_label("What are you looking for?").press_sequentially("fog delaying ferries")
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    expect(page.locator(".paper mark")).to_have_text(["fog", "delays", "ferries"])
    expect(page.locator("#live")).to_have_text("1 of 6 papers match.")
    assert page.url == f"{site}/?q=fog+delaying+ferries"
    assert page.title() == "fog delaying ferries – feedsrv"
    button = page.locator(".copy").first
    box = button.bounding_box()
    button.click()
    expect(page.locator("#live")).to_have_text("Copied.")
    expect(page.get_by_role("button", name="Copied the Atom address")).to_be_visible()
    assert button.bounding_box() == box, "the row keeps its layout"
    address = page.evaluate("navigator.clipboard.readText()")
    assert address == f"{site}/papers.atom?q=fog+delaying+ferries"
    response = page.request.get(address)
    assert response.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert "<title>A study of lighthouse number 3</title>" in response.text()
    expect(button).to_have_text("Copy the Atom address")


@pytest.mark.parametrize(
    ("button", "expected"),
    [
        ("Copy the RSS address", "/papers.rss?q=causal"),
        ("Copy the lines for the settings file", "query = 'causal'"),
    ],
)
def test_copying_works_without_the_clipboard_api(
    open_page: Open, site: str, button: str, expected: str
) -> None:
    """navigator.clipboard is missing over plain HTTP, as on a home network."""
    page = open_page(f"{site}/?q=causal")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_text("RSS, JSON Feed, BibTeX").click()
    page.get_by_text("Save as a named feed").click()
    page.get_by_role("button", name=button).click()
    expect(page.locator("#live")).to_have_text("Copied.")
    page.locator("#q").fill("")
    page.locator("#q").press("Control+V")
    assert page.locator("#q").input_value().endswith(expected)


def test_pasting_the_address_of_a_list_opens_that_list(open_page: Open, site: str) -> None:
    page = open_page(site)
    page.locator("#q").fill("https://huggingface.co/papers/date/2026-11-24")
    page.wait_for_url(f"{site}/papers/date/2026-11-24")


def test_preview_shows_the_last_query_and_keeps_it_after_a_reload(
    open_page: Open, site: str
) -> None:
    page = open_page(site)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    field = page.locator("#q")
    field.press_sequentially("causally delays", delay=5)
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    assert 1 <= len(requests) < 8
    field.fill("")
    expect(page.locator("#preview")).to_contain_text("6 papers from the last 2 days")
    assert page.url == f"{site}/"
    field.fill("causal OR")
    expect(page.locator(".query")).to_have_text("causal OR ")
    expect(page.locator("#live")).to_contain_text("Invalid query.")
    field.fill("sea")
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    page.reload()
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    expect(page.locator("#q")).to_have_value("sea")


def test_a_new_query_aborts_the_pending_request(open_page: Open, site: str) -> None:
    page = open_page(site)
    page.route("**/preview?q=causal", lambda route: None)  # never gets a response
    with page.expect_event("request", lambda request: request.url.endswith("/preview?q=causal")):
        page.locator("#q").fill("causal")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("q=causal")):
        page.locator("#q").fill("sea")
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    page.unroute_all(behavior="ignoreErrors")


def test_without_javascript_enter_shows_the_preview(open_page: Open, site: str) -> None:
    page = open_page(site, java_script_enabled=False)
    page.locator("#q").fill("causal")
    page.locator("#q").press("Enter")
    assert page.url == f"{site}/?q=causal"
    expect(page.locator(".tally")).to_contain_text("4 of 6 papers match")
    expect(page.locator(".copy").first).to_be_hidden()
    expect(page.locator("#address-atom")).to_have_text(f"{site}/papers.atom?q=causal")
    page.get_by_role("link", name="See all 4 with abstracts").click()
    expect(page.locator("h1")).to_have_text("Daily Papers: causal")
    page.locator(".paper details:not(.more-authors) summary").first.click()
    expect(page.locator(".paper details:not(.more-authors) p").first).to_be_visible()


def test_everything_works_with_the_keyboard(open_page: Open, site: str) -> None:
    page = open_page(site, grants=("clipboard-read", "clipboard-write"))
    keyboard = page.keyboard
    focused = "document.activeElement.innerText || document.activeElement.id"
    keyboard.press("Tab")
    assert page.evaluate(focused) == "Skip to content"
    keyboard.press("Enter")
    assert page.evaluate(focused).startswith("A feed of new papers")
    keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"
    keyboard.type("causal")
    expect(page.locator(".tally")).to_contain_text("papers match")
    for _ in range(20):
        keyboard.press("Tab")
        if page.evaluate(focused) == "RSS, JSON Feed, BibTeX":
            keyboard.press("Enter")
        if page.evaluate("document.activeElement.dataset.copy") == "address-json":
            break
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{site}/papers.json?q=causal"


@pytest.mark.parametrize("width", [320, 390])
def test_narrow_screens_need_no_horizontal_scrolling_and_show_the_address(
    open_page: Open, site: str, width: int
) -> None:
    page = open_page(site, viewport={"width": width, "height": 700})
    for path in PATHS:
        page.goto(site + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if path in {"/", "/?q=causal", "/papers?q=causal&limit=1", "/feeds/causal"}:
            expect(page.locator(".copy").first).to_be_in_viewport(ratio=1)


def test_dark_mode_follows_the_system(open_page: Open, site: str) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        page = open_page(site, color_scheme=scheme)
        colors[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colors == {"light": "rgb(252, 250, 247)", "dark": "rgb(22, 20, 18)"}


def test_pages_make_no_third_party_requests(open_page: Open, site: str) -> None:
    page = open_page(site)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for path in PATHS:
        page.goto(site + path)
    assert all(url.startswith(f"{site}/") for url in requests)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_accessibility_violation(open_page: Open, site: str, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip("install axe-core: npm ci --prefix tests/npm")
    page = open_page(site, color_scheme=scheme)
    for path in PATHS:
        page.goto(site + path)
        page.evaluate(
            "document.querySelectorAll('details').forEach(details => { details.open = true; })"
        )
        page.evaluate(AXE.read_text("utf-8"))
        violations = page.evaluate("axe.run().then(results => results.violations)")
        assert [
            (rule["id"], [node["html"] for node in rule["nodes"]]) for rule in violations
        ] == [], path


def test_page_of_a_new_server_loads_the_preview_by_itself(
    open_page: Open, service: Service
) -> None:
    with serve_wsgi(create_app(service)) as url:
        page = open_page(f"{url}/?q=causal")
        expect(page.locator(".tally")).to_contain_text("2 of 3 papers match", timeout=10_000)


def test_page_announces_that_the_server_is_unreachable(open_page: Open, service: Service) -> None:
    with serve_wsgi(create_app(service)) as url:
        page = open_page(url)
        page.route("**/preview*", lambda route: route.fulfill(status=500))
        page.locator("#q").fill("causal")
        expect(page.locator("#live")).to_contain_text("Cannot reach the server.")
        page.unroute("**/preview*")


def test_malicious_text_is_not_executed(
    open_page: Open, make_service: MakeService, upstream: FakeUpstream
) -> None:
    """A script that the Content-Security-Policy blocks is an error in the console."""
    upstream.papers[:] = [
        make_hostile_paper(number, payload, link)
        for number, (payload, link) in enumerate(
            zip(PAYLOADS.values(), cycle(LINKS), strict=False), 1
        )
    ]
    service = make_service()
    for _ in service.refresh_stale():
        pass
    with serve_wsgi(create_app(service)) as url:
        for path in ("/papers", "/?q=causal", "/papers?q=%3Cscript%3Epwned%3D1%3C%2Fscript%3E+("):
            page = open_page(f"{url}{path}")
            for details in page.locator("details").all():
                details.evaluate("details => details.open = true")
            assert page.evaluate("typeof pwned") == "undefined"
            assert page.locator("script").count() == 1
            assert page.locator("main img, main style, iframe, base").count() == 0


def test_links_of_a_private_server_carry_the_access_key(
    open_page: Open, make_service: MakeService
) -> None:
    service = make_service(access_key="k3y")
    for _ in service.refresh_stale():
        pass
    with serve_wsgi(create_app(service)) as url:
        page = open_page(f"{url}/?key=k3y")
        page.get_by_label("What are you looking for?").press_sequentially("causal")
        expect(page.locator(".tally")).to_contain_text("papers match")
        assert "key=k3y" in page.url
        address = page.locator("#address-atom").inner_text()
        assert page.request.get(address).status == 200
        links = page.locator(f"a[href^='{url}'], link[href^='{url}'], img[src^='{url}']").all()
        urls = {link.get_attribute("href") or link.get_attribute("src") or "" for link in links}
        assert len(urls) > 10
        assert [link for link in urls if page.request.get(link).status >= 400] == []
        page = open_page(f"{url}/?key=k3y", java_script_enabled=False)
        page.get_by_label("What are you looking for?").fill("causal")
        page.get_by_label("What are you looking for?").press("Enter")
        expect(page.locator(".tally")).to_contain_text("papers match")
        assert page.request.get(f"{url}/").status == 401


# --- mail --------------------------------------------------------------------------------------


def test_a_visitor_subscribes_confirms_and_unsubscribes(
    make_service: MakeService, open_page: Open
) -> None:
    apps: list[Any] = []

    def app(*request: Any) -> Any:  # the application needs its own URL
        return apps[0](*request)

    with serve_mail() as mail_server, serve_wsgi(app) as url:
        mail = MailConfig(host="127.0.0.1", port=mail_server.port, tls="none", sender="a@b.example")
        service = make_service(mail=msgspec.structs.replace(mail, sign_up=True), public_url=url)
        apps.append(create_app(service))
        page = open_page(f"{url}/feeds/causal")
        page.get_by_text("Get it by mail").click()
        page.get_by_label("Mail address").fill("ada@example.org")
        page.get_by_label("daily").check()
        page.get_by_role("button", name="Subscribe", exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Check your mail")
        body = mail_server.messages[0].parsed.get_body(("plain",))
        assert body is not None
        page.goto(next(line for line in body.get_content().split() if "/mail/confirm" in line))
        page.get_by_role("button", name="Subscribe").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Subscribed")
        (subscription,) = Subscriptions(service.config, service.repository).active()
        assert (subscription.address, subscription.period) == ("ada@example.org", "day")
        links = MailLinks(service.repository, public_url_builder(service.config))
        page.goto(links.unsubscribe_url(subscription))
        page.get_by_role("button", name="Unsubscribe").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Unsubscribed")
        assert list(Subscriptions(service.config, service.repository).active()) == []
