"""Where the benches write down what they measured: between marks, mostly in docs/performance.md."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

REPORT = Path(__file__).parents[1] / "docs" / "performance.md"


def write(name: str, text: str, file: Path = REPORT) -> None:
    """Print a bench's text, and put it between the marks that carry its name."""
    print(text, flush=True)
    if "--dry" in sys.argv:
        return
    before, begin, rest = file.read_text().partition(f"<!-- bench: {name} -->\n")
    _, end, after = rest.partition(f"<!-- end: {name} -->\n")
    if not begin or not end:
        sys.exit(f"{file} has no marks for {name}")
    file.write_text(f"{before}{begin}{text}\n{end}{after}")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table."""
    lines = [list(heads), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def spread(values: list[float], form: str) -> str:
    """Return the median, and the least and the most in brackets."""
    return f"**{median(values):{form}}** ({min(values):{form}} to {max(values):{form}})"


def where() -> str:
    """Return when and on what it is measured."""
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with `make bench` on {os.cpu_count()} cores"
        f" ({platform.machine()}, {platform.system()}, Python {platform.python_version()})"
    )
