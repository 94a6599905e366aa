"""A real browser drives the pages, over real sockets, as people do: Chromium through Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from tests.integration.web.test_escaping import LINKS, WORDS, hostile_paper
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
    """A server whose lists have all been read."""
    upstream.papers[0] |= {"authors": [f"Ada Quill {place}" for place in range(671)], "stars": 3}
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
    """Return a function that opens a page; what the browser complains of is a failure."""
    contexts = []
    complaints: list[str] = []

    def opened(url: str, *, grants: tuple[str, ...] = (), **options: Any) -> Page:
        context = browser.new_context(permissions=list(grants), **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    # Errors that are answered as such, and connections that the tests' small server has closed.
    refused = "Failed to load resource: "
    assert [said for said in complaints if not said.startswith(refused)] == []


def test_one_types_sees_what_matches_copies_the_address_and_gets_atom(
    open_page: Open, site: str
) -> None:
    page = open_page(site, grants=("clipboard-read", "clipboard-write"))
    page.get_by_label("What do you look for?").press_sequentially("fog delaying ferries")
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    expect(page.locator(".paper mark")).to_have_text(["fog", "delays", "ferries"])
    expect(page.locator("#live")).to_have_text("1 of 6 papers match.")
    assert page.url == f"{site}/?q=fog+delaying+ferries"
    assert page.title() == "fog delaying ferries – feedsrv"
    button = page.get_by_role("button", name="Copy the Atom address")
    button.click()
    expect(page.locator("#live")).to_have_text("Copied.")
    expect(page.locator(".copy.done")).to_have_text("Copied the Atom address")
    address = page.evaluate("navigator.clipboard.readText()")
    assert address == f"{site}/papers.atom?q=fog+delaying+ferries"
    answer = page.request.get(address)
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert "<title>A study of lighthouse number 3</title>" in answer.text()
    expect(button).to_have_text("Copy the Atom address")


@pytest.mark.parametrize(
    ("button", "expected"),
    [
        ("Copy the RSS address", "/papers.rss?q=causal"),
        ("Copy the lines for the settings file", "query = 'causal'"),
    ],
)
def test_where_the_clipboard_is_not_for_pages_copying_works_too(
    open_page: Open, site: str, button: str, expected: str
) -> None:
    """On a home network, at http, there is no navigator.clipboard."""
    page = open_page(f"{site}/?q=causal")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_text("Give it a name on this server").click()
    page.get_by_role("button", name=button).click()
    expect(page.locator("#live")).to_have_text("Copied.")
    page.locator("#q").fill("")
    page.locator("#q").press("Control+V")
    assert page.locator("#q").input_value().endswith(expected)


def test_what_is_typed_last_is_what_is_shown_and_stays_after_a_reload(
    open_page: Open, site: str
) -> None:
    page = open_page(site)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    field = page.locator("#q")
    field.press_sequentially("causally delays", delay=5)
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    assert 1 <= len(asked) < 8
    field.fill("")
    expect(page.locator("#preview")).to_contain_text("It looks through 6 papers")
    assert page.url == f"{site}/"
    field.fill("causal OR")
    expect(page.locator(".query")).to_have_text("causal OR ")
    expect(page.locator("#live")).to_contain_text("This query cannot be read.")
    field.fill("sea")
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    page.reload()
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    expect(page.locator("#q")).to_have_value("sea")


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(open_page: Open, site: str) -> None:
    page = open_page(site)
    page.route("**/preview?q=causal", lambda route: None)  # never answered
    with page.expect_event("request", lambda asked: asked.url.endswith("/preview?q=causal")):
        page.locator("#q").fill("causal")
    with page.expect_event("requestfailed", lambda asked: asked.url.endswith("q=causal")):
        page.locator("#q").fill("sea")
    expect(page.locator(".tally")).to_contain_text("1 of 6 papers match")
    page.unroute_all(behavior="ignoreErrors")


def test_without_scripts_enter_shows_the_same(open_page: Open, site: str) -> None:
    page = open_page(site, java_script_enabled=False)
    page.locator("#q").fill("causal")
    page.locator("#q").press("Enter")
    assert page.url == f"{site}/?q=causal"
    expect(page.locator(".tally")).to_contain_text("4 of 6 papers match")
    expect(page.locator(".copy").first).to_be_hidden()
    expect(page.locator("#address-atom")).to_have_value(f"{site}/papers.atom?q=causal")
    page.get_by_role("link", name="The same as a page").click()
    expect(page.locator("h1")).to_have_text("Daily Papers: causal")
    page.locator(".paper details:not(.crowd) summary").first.click()
    expect(page.locator(".paper details:not(.crowd) p").first).to_be_visible()


def test_a_keyboard_is_enough(open_page: Open, site: str) -> None:
    page = open_page(site, grants=("clipboard-read", "clipboard-write"))
    keys = page.keyboard
    focused = "document.activeElement.innerText || document.activeElement.id"
    keys.press("Tab")
    assert page.evaluate(focused) == "Skip to the content"
    keys.press("Enter")
    assert page.evaluate(focused).startswith("A feed of new papers")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"
    keys.type("causal")
    expect(page.locator(".tally")).to_be_visible()
    for _ in range(20):
        keys.press("Tab")
        if page.evaluate("document.activeElement.dataset.copy") == "address-json":
            break
    style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    keys.press("Enter")
    expect(page.locator("#live")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{site}/papers.json?q=causal"


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_needs_no_scrolling_sideways(open_page: Open, site: str, width: int) -> None:
    page = open_page(site, viewport={"width": width, "height": 700})
    for path in PATHS:
        page.goto(site + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_the_dark_is_dark(open_page: Open, site: str) -> None:
    shown = {}
    for scheme in ("light", "dark"):
        page = open_page(site, color_scheme=scheme)
        shown[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert shown == {"light": "rgb(252, 250, 247)", "dark": "rgb(22, 20, 18)"}


def test_no_page_asks_anybody_else(open_page: Open, site: str) -> None:
    page = open_page(site)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in PATHS:
        page.goto(site + path)
    assert all(url.startswith(f"{site}/") for url in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(open_page: Open, site: str, scheme: str) -> None:
    if not AXE.exists():
        pytest.skip("install axe-core: npm ci --prefix tests/npm")
    page = open_page(site, color_scheme=scheme)
    for path in PATHS:
        page.goto(site + path)
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run().then(found => found.violations)")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], (
            path
        )


def test_a_server_that_has_read_nothing_fills_its_page_by_itself(
    open_page: Open, service: Service
) -> None:
    with serve_wsgi(create_app(service)) as url:
        page = open_page(f"{url}/?q=causal")
        expect(page.locator(".tally")).to_contain_text("2 of 3 papers match", timeout=10_000)


def test_a_server_that_is_gone_is_told_of(open_page: Open, service: Service) -> None:
    with serve_wsgi(create_app(service)) as url:
        page = open_page(url)
        page.route("**/preview*", lambda route: route.fulfill(status=500))
        page.locator("#q").fill("causal")
        expect(page.locator("#live")).to_contain_text("The server cannot be reached.")
        page.unroute("**/preview*")


def test_strangers_words_do_nothing(
    open_page: Open, make_service: MakeService, upstream: FakeUpstream
) -> None:
    """What the browser complains of, such as a script that was not allowed, fails the test."""
    upstream.papers[:] = [
        hostile_paper(number, words, link)
        for number, (words, link) in enumerate(zip(WORDS.values(), cycle(LINKS), strict=False), 1)
    ]
    service = make_service()
    for _ in service.refresh_stale():
        pass
    with serve_wsgi(create_app(service)) as url:
        for path in ("/papers", "/?q=causal", "/papers?q=%3Cscript%3Epwned%3D1%3C%2Fscript%3E+("):
            page = open_page(f"{url}{path}")
            for each in page.locator("details").all():
                each.evaluate("details => details.open = true")
            assert page.evaluate("typeof pwned") == "undefined"
            assert page.locator("script").count() == 1
            assert page.locator("main img, main style, iframe, base").count() == 0


def test_a_private_servers_key_comes_along_wherever_one_goes(
    open_page: Open, make_service: MakeService
) -> None:
    service = make_service(access_key="k3y")
    for _ in service.refresh_stale():
        pass
    with serve_wsgi(create_app(service)) as url:
        page = open_page(f"{url}/?key=k3y")
        page.get_by_label("What do you look for?").press_sequentially("causal")
        expect(page.locator(".tally")).to_contain_text("papers match")
        assert "key=k3y" in page.url
        address = page.locator("#address-atom").input_value()
        assert page.request.get(address).status == 200
        links = page.locator(f"a[href^='{url}'], link[href^='{url}'], img[src^='{url}']").all()
        ours = {each.get_attribute("href") or each.get_attribute("src") or "" for each in links}
        assert len(ours) > 10
        assert [each for each in ours if page.request.get(each).status >= 400] == []
        plain = open_page(f"{url}/?key=k3y", java_script_enabled=False)
        plain.get_by_label("What do you look for?").fill("causal")
        plain.get_by_label("What do you look for?").press("Enter")
        expect(plain.locator(".tally")).to_contain_text("papers match")
        assert plain.request.get(f"{url}/").status == 401
