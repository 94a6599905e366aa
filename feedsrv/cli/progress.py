"""Progress bars on terminals, lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import click

from feedsrv.errors import UpstreamError
from feedsrv.models import Listing, Page

T = TypeVar("T")
RefreshDisplay = Callable[[Page, Listing | UpstreamError, int], None]


def _is_terminal() -> bool:
    # Python has no stream where the file descriptor was closed.
    return getattr(sys.stdout, "isatty", bool)()


@contextmanager
def refresh_display() -> Iterator[RefreshDisplay]:
    """Return a function that reports each refreshed page.

    On a terminal it moves a progress bar on; elsewhere it prints a line. Its arguments are the
    page, its listing or the error, and the number of pages still to refresh.
    """
    if not _is_terminal():
        yield lambda page, result, _: click.echo(_format_result(page, result))
        return
    with click.progressbar(length=1, label="Fetching", width=0, show_pos=True) as bar:

        def update(page: Page, _: Listing | UpstreamError, remaining: int) -> None:
            bar.length = bar.pos + 1 + remaining
            bar.label = f"{page!s:24.24}"
            bar.update(1)

        yield update


def _format_result(page: Page, result: Listing | UpstreamError) -> str:
    if isinstance(result, UpstreamError):
        return f"{page}: FAILED: {result}"
    return f"{page}: {len(result.papers)} papers"


def with_progress_bar(results: Iterator[T], total: int, label: str) -> Iterator[T]:
    """Yield the results unchanged, and show a progress bar on a terminal."""
    if not _is_terminal():
        yield from results
        return
    with click.progressbar(results, length=total, label=label, width=0, show_pos=True) as bar:
        yield from bar
