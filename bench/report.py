"""Format the results of a benchmark, and write them into a page of the documentation."""

import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

PERFORMANCE_PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def write_section(name: str, text: str, page: Path = PERFORMANCE_PAGE) -> None:
    """Print the text, and put it between the page's markers of that name, unless run with --dry."""
    print(text, flush=True)
    if "--dry" in sys.argv:
        return
    before, begin, rest = page.read_text().partition(f"<!-- bench: {name} -->\n")
    _, end, after = rest.partition(f"<!-- end: {name} -->\n")
    if not begin or not end:
        sys.exit(f"{page} has no markers for {name}")
    page.write_text(f"{before}{begin}{text}\n{end}{after}")


def format_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(header), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def format_spread(values: list[float], spec: str) -> str:
    """Return the median, with minimum and maximum in brackets."""
    return f"**{median(values):{spec}}** ({min(values):{spec}} to {max(values):{spec}})"


def describe_run() -> str:
    """Return the date and the machine of the measurement."""
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `make bench` on {os.cpu_count()} cores"
        f" ({platform.machine()}, {platform.system()}, Python {platform.python_version()})"
    )
