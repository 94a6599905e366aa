"""``feedsrv export``: the responses of the server as static files."""

import sys
from pathlib import Path

import click

from feedsrv.cli.progress import with_progress_bar
from feedsrv.cli.refresh import refresh_stale
from feedsrv.cli.service import open_service
from feedsrv.cli.settings import load_settings
from feedsrv.export import export_config, export_site
from feedsrv.web.app import create_app


@click.command("export")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--public-url", help="Public URL of the exported files.")
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.pass_obj
def export_command(
    config_file: Path | None, directory: Path, public_url: str | None, demo: bool
) -> None:
    """Write the configured feeds, their pages, a front page and OPML as static files into DIR.

    Refreshes stale lists first. For static hosting, from cron or a CI job.
    """
    config = export_config(load_settings(config_file, public_url=public_url, demo=demo or None))
    with open_service(config) as service:
        failed = refresh_stale(service)
        exported = export_site(create_app(service), tuple(config.feeds), directory)
        results = tuple(with_progress_bar(exported, len(config.feeds) + 1, "Writing"))
    errors = [result for result in results if result.error]
    for result in errors:
        click.echo(f"feedsrv: {result.name} not updated: {result.error}", err=True)
    written = sum(result.written for result in results)
    removed = sum(result.removed for result in results)
    click.echo(f"{directory}: {written} files written, {removed} removed, the others unchanged.")
    sys.exit(1 if failed or errors else 0)
