"""``feedsrv digest``: what is new in a feed, once."""

import re
from datetime import date, timedelta
from pathlib import Path

import click

from feedsrv.cli.refresh import refresh_feeds
from feedsrv.cli.service import open_service
from feedsrv.cli.settings import load_settings
from feedsrv.feeds.digest_documents import DIGEST_FORMATS
from feedsrv.feeds.new_papers import build_report, mark_reported


@click.command("digest")
@click.argument("name")
@click.option(
    "--since",
    metavar="DAY",
    help="Print all papers since a day (2026-11-20), or of the last days (7d). This does not change"
    " what the next call prints.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(DIGEST_FORMATS)),
    default="text",
    show_default=True,
    help="Format of the output.",
)
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.pass_obj
def digest_command(
    config_file: Path | None, name: str, since: str | None, format_name: str, demo: bool
) -> None:
    """Print what is new in the feed NAME since the last call, if anything is.

    NAME is the name of a configured feed, or several joined with +.
    """
    config = load_settings(config_file, demo=demo or None)
    with open_service(config) as service:
        feeds = [service.get_configured_feed(each) for each in dict.fromkeys(name.split("+"))]
        first_day = _parse_since(since, service.now().date()) if since else None
        refresh_feeds(service, feeds)
        report = build_report(service, feeds, first_day)
        if report.digest.papers:
            click.echo(DIGEST_FORMATS[format_name](report.digest), nl=False)
        if not since:  # after the output, which may fail
            mark_reported(service, feeds, report)


def _parse_since(text: str, today: date) -> date:
    """Return the day: as given, or so many days ago; raise BadParameter for anything else."""
    try:
        if match := re.fullmatch(r"(\d{1,4})d", text, re.ASCII):
            return today - timedelta(days=int(match[1]))
        return date.fromisoformat(text)
    except ValueError as error:
        message = f"expected a day such as 2026-11-20, or a number of days such as 7d, not {text!r}"
        raise click.BadParameter(message, param_hint="--since") from error
