"""``feedsrv refresh``: bring the stored lists up to date."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from feedsrv.cli.progress import refresh_display
from feedsrv.cli.service import open_service
from feedsrv.cli.settings import load_settings
from feedsrv.errors import UpstreamError
from feedsrv.feeds.service import Service
from feedsrv.models import Feed


@click.command("refresh")
@click.pass_obj
def refresh_command(config_file: Path | None) -> None:
    """Refresh stale lists; safe alongside a running server. For cron.

    Then checks up to twenty papers for models, datasets and Spaces that cite them.
    """
    with open_service(load_settings(config_file)) as service:
        failed = refresh_stale(service)
        service.artefacts.refresh_batch()
    if failed:
        click.echo(f"{failed} {'list' if failed == 1 else 'lists'} could not be fetched.")
        sys.exit(1)
    click.echo("All lists are up to date.")


def refresh_stale(service: Service) -> int:
    """Refresh every stale list, show the progress, and return the number of failures."""
    logging.getLogger().setLevel(logging.ERROR)  # failures are shown here, not logged too
    failed = 0
    with refresh_display() as show:
        for page, result, remaining in service.refresh_stale():
            failed += isinstance(result, UpstreamError)
            show(page, result, remaining)
    return failed


def refresh_feeds(service: Service, feeds: Sequence[Feed]) -> int:
    """Refresh the stale lists of the feeds, and return the number of failures."""
    logging.getLogger().setLevel(logging.ERROR)  # what fails is served from the store
    results = service.refresh_stale(*feeds) if feeds else ()
    return sum(isinstance(result, UpstreamError) for _, result, _ in results)
