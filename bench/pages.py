"""Measure how the pages load in Chromium, as Lighthouse does for a phone.

    .venv/bin/python bench/pages.py [--dry]

1,500 invented papers on thirty list days are in the store of `feedsrv serve`. Each load is a new
browser context without a cache, in a window of 360 by 780 pixels, with a quarter of the CPU, 150 ms
of latency and 1.6 Mbit/s. Paints and layout shifts are from Chromium's trace. *Typed* is the front
page while a query is typed. Without Chromium, nothing is measured.
"""

import shutil
import sys
from collections.abc import Iterator
from statistics import median
from typing import Any, NamedTuple

import msgspec
from playwright.sync_api import Browser, Page, expect, sync_playwright

from report import describe_run, format_table, write_section
from start import full_store, get
from tests.support.paths import ROOT
from tests.support.server_process import ServerProcess, start_server

#: The included feeds.
SETTINGS = ROOT / "config" / "feedsrv.toml"
LOADS = 5
PATHS = ("/", "/?q=model", "/papers?q=model&limit=50", "/papers?q=model&digest=week", "/status")
TYPED = "typed"
TRACE_CATEGORIES = ["loading", "blink.user_timing", "devtools.timeline"]
NETWORK = {
    "offline": False,
    "latency": 150,  # milliseconds
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 0.75e6 / 8,
}
CPU_SLOWDOWN = 4
#: What a page and the files that it loads weigh, without and with compression.
COUNT_BYTES = """() => {
    const [page] = performance.getEntriesByType("navigation");
    const all = [page, ...performance.getEntriesByType("resource")];
    return [page.decodedBodySize, page.transferSize, all.length,
        all.reduce((sum, each) => sum + each.transferSize, 0)];
}"""


class PageLoad(NamedTuple):
    """One load of a page."""

    #: Bytes of the HTML, decoded and as transferred with its headers.
    plain: int
    transferred: int
    requests: int
    #: Bytes of the HTML and all that it loads, as transferred.
    total: int
    #: Milliseconds from the start of the navigation to the first contentful paint.
    first_paint: float
    #: Cumulative layout shift without those that follow an input.
    shift: float


def measure_load(browser: Browser, url: str, *, typed: str = "") -> PageLoad:
    context = browser.new_context(viewport={"width": 360, "height": 780})
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", NETWORK)
    session.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWDOWN})
    browser.start_tracing(page=page, categories=TRACE_CATEGORIES)
    page.goto(url, wait_until="networkidle")
    if typed:
        type_query(page, typed)
    plain, transferred, requests, total = page.evaluate(COUNT_BYTES)
    events = msgspec.json.decode(browser.stop_tracing())["traceEvents"]
    context.close()
    start = max(each["ts"] for each in events_named(events, "navigationStart") if is_of(each, url))
    paint = max(each["ts"] for each in events_named(events, "firstContentfulPaint"))
    shifts = (each["args"]["data"] for each in events_named(events, "LayoutShift"))
    return PageLoad(
        plain=plain,
        transferred=transferred,
        requests=requests,
        total=total,
        first_paint=(paint - start) / 1000,
        shift=sum(shift["score"] for shift in shifts if not shift["had_recent_input"]),
    )


def type_query(page: Page, query: str) -> None:
    """Type the query as a person does, and wait for its preview."""
    page.locator("#q").press_sequentially(query, delay=120)
    expect(page.locator(".tally")).to_contain_text("match", timeout=30_000)
    page.wait_for_load_state("networkidle")


def events_named(events: list[dict[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    return (event for event in events if event["name"] == name)


def is_of(event: dict[str, Any], url: str) -> bool:
    return bool(event["args"].get("data", {}).get("documentLoaderURL") == url)


def measure_pages(server: ServerProcess, chromium: str) -> dict[str, list[PageLoad]]:
    origin = f"http://127.0.0.1:{server.port}"
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        measure_load(browser, f"{origin}/")  # starts Chromium's processes
        loads = {
            path: [measure_load(browser, origin + path) for _ in range(LOADS)] for path in PATHS
        }
        loads[TYPED] = [measure_load(browser, f"{origin}/", typed="model") for _ in range(LOADS)]
        browser.close()
    return loads


def format_row(name: str, loads: list[PageLoad]) -> list[str]:
    middle = PageLoad(*(median(values) for values in zip(*loads, strict=True)))
    # The bytes of a typed query are those of several previews.
    is_page = name != TYPED
    return [
        f"`{name}`" if is_page else name,
        f"{middle.plain / 1000:.1f}" if is_page else "",
        f"{middle.transferred / 1000:.1f}" if is_page else "",
        f"{middle.requests:.0f}" if is_page else "",
        f"{middle.total / 1000:.1f}" if is_page else "",
        f"**{middle.first_paint:,.0f}**" if is_page else "",
        f"**{max(load.shift for load in loads):.3f}**",
    ]


def main() -> None:
    """Measure, and write the table."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.stdout.write("Pages not measured: install chromium\n")
        return
    with (
        full_store(SETTINGS.read_text("utf-8")) as environ,
        start_server(environ=environ) as server,
    ):
        for path in PATHS:
            get(server, path)
        loads = measure_pages(server, chromium)
    rows = (format_row(name, each) for name, each in loads.items())
    header = (
        *("page", "kB plain, target 30 for /", "kB compressed", "requests", "kB in all"),
        *("ms to first contentful paint, target 1,800", "layout shift, target 0"),
    )
    introduction = (
        f"{describe_run()}: {LOADS} loads of each page; medians, of layout shifts the maximum."
    )
    write_section("pages", f"{introduction}\n\n{format_table(header, rows)}")


if __name__ == "__main__":
    main()
