"""``feedsrv mail``: digests to subscribers."""

import sys
from collections import Counter
from collections.abc import Iterable
from email.message import EmailMessage
from pathlib import Path

import click

from feedsrv.cli.progress import with_progress_bar
from feedsrv.cli.refresh import refresh_feeds
from feedsrv.cli.service import open_service, sleep
from feedsrv.cli.settings import load_settings
from feedsrv.errors import ConfigError, MailServerError
from feedsrv.feeds.service import Service
from feedsrv.mail.delivery import Delivery, build_message, due_messages, hold_run_lock
from feedsrv.mail.links import MailLinks
from feedsrv.mail.smtp import SMTPSender
from feedsrv.mail.subscriptions import Subscriptions, subscribed_feeds
from feedsrv.web.urls import public_url_builder


@click.command("mail")
@click.option(
    "--dry-run",
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the messages that are due to files in DIR; send and record nothing.",
)
@click.option("--remove", metavar="ADDRESS", help="End all subscriptions of an address instead.")
@click.pass_obj
def mail_command(config_file: Path | None, directory: Path | None, remove: str | None) -> None:
    """Send the digests that are due, each once to each address. For cron."""
    config = load_settings(config_file)
    if not config.mail.host:
        raise ConfigError(["mail: needs the table [mail] with host and from"])
    with open_service(config) as service, hold_run_lock(config.cache_dir) as is_alone:
        service.repository.open()
        subscriptions = Subscriptions(config, service.repository)
        if remove is not None:
            count = subscriptions.remove_address(remove, service.now().date())
            click.echo(f"{count} {'subscription' if count == 1 else 'subscriptions'} ended.")
        elif is_alone:
            sys.exit(_send_due_mail(service, subscriptions, directory))
        else:
            click.echo("Another feedsrv mail is running.")


def _send_due_mail(service: Service, subscriptions: Subscriptions, directory: Path | None) -> int:
    """Send the digests that are due, print what became of them, and return the exit code."""
    config = service.config
    feeds = [feed for each in subscriptions.active() for feed in subscribed_feeds(service, each)]
    failed = refresh_feeds(service, feeds)
    due = due_messages(service, subscriptions)
    links = MailLinks(service.repository, public_url_builder(config))
    if directory is not None:
        count = _write_eml_files((build_message(service, links, each) for each in due), directory)
        click.echo(f"{directory}: {count} {'message' if count == 1 else 'messages'} written.")
        return 1 if failed else 0
    with SMTPSender(config.mail, config.mail_password, sleep=sleep) as sender:
        delivery = Delivery(service, subscriptions, links, sender, sleep=sleep)
        counts: Counter[str] = Counter()
        for result in with_progress_bar(delivery.send(due), len(due), "Sending"):
            counts[result.outcome] += 1
            if result.reason:
                click.echo(f"{result.address}: {result.title}: {result.reason}", err=True)
    click.echo(
        f"{counts['sent']} sent, {counts['rejected']} rejected, {counts['deferred']} deferred."
    )
    return 1 if failed or counts["rejected"] or counts["deferred"] else 0


def _write_eml_files(messages: Iterable[EmailMessage], directory: Path) -> int:
    """Write the messages to files such as ``0001-ada@example.org.eml``; return how many."""
    count = 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for message in messages:
            count += 1
            file = directory / f"{count:04d}-{_file_name(message['To'])}.eml"
            file.write_bytes(bytes(message))
    except OSError as error:
        raise MailServerError(str(directory), error.strerror or str(error)) from error
    return count


def _file_name(address: str) -> str:
    return "".join(each if each.isalnum() or each in "@.-_" else "_" for each in address)
