"""``feedsrv check``: whether settings, store, upstream and mail server work."""

import sys
from contextlib import closing
from pathlib import Path

import click
import msgspec

from feedsrv.cli.service import open_service, sleep
from feedsrv.cli.settings import ENVIRON, load_settings
from feedsrv.config import Config, find_config_file
from feedsrv.errors import MailError, StoreError, UpstreamError
from feedsrv.feeds.service import Service
from feedsrv.mail.smtp import SMTPSender
from feedsrv.models import Listing
from feedsrv.storage.repository import open_repository
from feedsrv.web.filters import format_count, format_file_size

#: Where a listing came from, if not from the data embedded in the page.
_FALLBACK_SOURCE_LABELS = {"cards": "the rendered cards", "api": "the JSON API"}
#: Papers of a list that cannot all lack keywords by chance: a list is short in the morning.
_MIN_PAPERS = 5


@click.command("check")
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.option("--settings", is_flag=True, help="Check the settings only, before a reload.")
@click.option(
    "--upstream",
    is_flag=True,
    help="Check upstream only, and fail if its page layout changed; for cron.",
)
@click.pass_obj
def check_command(config_file: Path | None, demo: bool, settings: bool, upstream: bool) -> None:
    """Check settings, store, upstream and mail server."""
    config = load_settings(config_file, demo=demo or None)
    if upstream:
        with open_service(config) as service:
            listing = service.refresh_page(service.newest_day())
        sys.exit(0 if _report_layout(listing, config) else 1)
    origin = find_config_file(config_file, ENVIRON) or "no file, defaults"
    click.echo(f"settings   OK, {len(config.feeds)} feeds ({origin})")
    if settings:
        return
    # Without the token first: that it has expired is no failure of upstream.
    with open_service(msgspec.structs.replace(config, hf_token="")) as service:
        checks = [_check_store(service), _check_upstream(service)]
        for unparsed in service.repository.unparsed_pages.list_all():
            click.echo(
                f"layout     CHANGED?: unparsed {unparsed.kind} page of"
                f" {unparsed.received_at:%Y-%m-%d} saved at {unparsed.path};"
                " please report it, then delete it"
            )
    if config.hf_token and checks[-1]:
        with open_service(config) as service:
            checks.append(_check_token(service))
    checks.append(_check_mail(config))
    sys.exit(0 if all(checks) else 1)


def _check_store(service: Service) -> bool:
    """Print whether the store can be written to, and return it."""
    try:
        with closing(open_repository(service.config, (), now=service.now)) as repository:
            click.echo(f"store      OK, {repository.check()}")
            count, size = repository.permanent_size()
            click.echo(f"permanent  {format_count(count, 'value')}, {format_file_size(size)}")
    except StoreError as error:
        click.echo(f"store      FAILED: {error}")
        return False
    return True


def _check_upstream(service: Service) -> bool:
    """Fetch the newest list, print the result, and return whether it succeeded."""
    try:
        listing = service.refresh_page(service.newest_day())
    except UpstreamError as error:
        click.echo(f"upstream   FAILED: {error}")
        return False
    fallback = _FALLBACK_SOURCE_LABELS.get(listing.parsed_from)
    note = f", read from {fallback}" if fallback else ""
    click.echo(f"upstream   OK, {len(listing.papers)} papers on {listing.page.key}{note}")
    for skipped in listing.skipped:
        click.echo(f"layout     CHANGED?: skipped a paper of {listing.page}: {skipped}")
    return True


def _check_token(service: Service) -> bool:
    """Fetch the newest list with the token, print whether it is accepted, and return it."""
    try:
        service.refresh_page(service.newest_day())
    except UpstreamError as error:
        click.echo(f"token      FAILED: with FEEDSRV_HF_TOKEN: {error}")
        return False
    if service.token_was_rejected():
        click.echo("token      FAILED: FEEDSRV_HF_TOKEN is invalid or has expired (HTTP 401)")
        return False
    click.echo("token      OK, FEEDSRV_HF_TOKEN is accepted")
    return True


def _check_mail(config: Config) -> bool:
    """Print whether the mail server can be used, and return it; true where none is configured."""
    if not config.mail.host:
        return True
    try:
        with SMTPSender(config.mail, config.mail_password, sleep=sleep) as sender:
            sender.check()
    except MailError as error:
        click.echo(f"mail       FAILED: {error}")
        return False
    click.echo(f"mail       OK, {config.mail.host}")
    return True


def _report_layout(listing: Listing, config: Config) -> bool:
    """Print what the newest list looks like, and return whether its layout is as expected."""
    click.echo(f"upstream   OK, {config.upstream_url}")
    changes = [f"skipped a paper: {skipped}" for skipped in listing.skipped]
    if fallback := _FALLBACK_SOURCE_LABELS.get(listing.parsed_from):
        changes.insert(0, f"page data not found, read from {fallback} instead")
    elif len(listing.papers) >= _MIN_PAPERS and not any(p.keywords for p in listing.papers):
        changes.append("no paper has keywords; keyword: looks in titles and abstracts instead")
    for change in changes:
        click.echo(f"layout     CHANGED: {change}")
    if not changes:
        click.echo("layout     as expected")
    click.echo(f"papers     {len(listing.papers)} on {listing.page.key}")
    return not changes
