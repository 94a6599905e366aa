"""Where benches write what they measured: docs/performance.md, between the marks of their name."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

REPORT = Path(__file__).parents[1] / "docs" / "performance.md"


def machine() -> str:
    """Return when and on what this is measured."""
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `make bench` on {os.cpu_count()} cores"
        f" ({platform.machine()}, {platform.system()}, Python {platform.python_version()})"
    )


def spread(values: list[float], form: str) -> str:
    """Return the median, and the least and the most in brackets."""
    return f"**{median(values):{form}}** ({min(values):{form}} to {max(values):{form}})"


def write(name: str, text: str) -> None:
    """Print the text, and put it between the marks with its name unless called with ``--dry``."""
    print(text)
    if "--dry" in sys.argv:
        return
    before, begin, rest = REPORT.read_text("utf-8").partition(f"<!-- bench: {name} -->\n")
    _, end, after = rest.partition(f"<!-- end: {name} -->\n")
    if not begin or not end:
        sys.exit(f"{REPORT} has no marks for {name}")
    REPORT.write_text(f"{before}{begin}{text}\n{end}{after}", "utf-8")
