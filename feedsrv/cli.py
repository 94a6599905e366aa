"""The ``feedsrv`` command.

Exit codes: 0 success; 1 an external failure (upstream, disk, port); 2 invalid settings or command
line; 128 + N when signal N ended a command.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import date, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec
from werkzeug.test import Client, EnvironBuilder

from feedsrv import __version__
from feedsrv.config import Config, find_config_file, load_config
from feedsrv.console import draw_query, refresh_display, with_progress_bar
from feedsrv.errors import (
    ERROR_MAP,
    ConfigError,
    FeedsrvError,
    MailError,
    QueryError,
    StoreError,
    UpstreamError,
)
from feedsrv.export import export_config, export_site
from feedsrv.feeds.digest_documents import DIGEST_FORMATS
from feedsrv.feeds.new_papers import build_report, mark_reported
from feedsrv.feeds.service import Service
from feedsrv.logs import configure_logging
from feedsrv.mail.delivery import Delivery, build_message, due_messages
from feedsrv.mail.eml_files import write_eml_files
from feedsrv.mail.links import MailLinks
from feedsrv.mail.run_lock import hold_run_lock
from feedsrv.mail.smtp import SMTPSender
from feedsrv.mail.subscriptions import Subscriptions, subscribed_feeds
from feedsrv.models import MAX_ENTRIES, Feed, Listing
from feedsrv.monitoring.incidents import subscribe_incident_recorder
from feedsrv.search.parser import parse_query
from feedsrv.search.query import iter_positive_terms, match_locations, upstream_search_text
from feedsrv.storage.repository import open_repository
from feedsrv.web.app import create_app
from feedsrv.web.filters import format_count, format_file_size
from feedsrv.web.server import run_server
from feedsrv.web.urls import public_url_builder

#: Where a listing came from, if not from the data embedded in the page.
_FALLBACK_SOURCE_LABELS = {"cards": "the rendered cards", "api": "the JSON API"}
#: Papers of a list that cannot all lack keywords by chance: a list is short in the morning.
_MIN_PAPERS = 5
_sleep = time.sleep  # noqa: TID251  # the edge
_ENVIRON = os.environ  # noqa: TID251  # the environment is read here and passed on


class _ErrorHandlingGroup(click.Group):
    """A command group that turns our errors into messages and the exit codes of `ERROR_MAP`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FeedsrvError as error:
            lines = str(error).splitlines()
            caret = error.with_caret().splitlines() if isinstance(error, QueryError) else []
            _print_error(
                *(f"feedsrv: {each}" if each[0] != " " else each for each in lines), *caret
            )
            ctx.exit(ERROR_MAP[type(error)].exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends the command quietly
            _discard_output()  # it may be what failed, and Python would fail again at the end
            _print_error(f"feedsrv: {error}")
            ctx.exit(1)


def _print_error(*lines: str) -> None:
    """Print the lines on standard error; where it is full, the exit code has to do."""
    with suppress(OSError):
        click.echo("\n".join(lines), err=True)


def _discard_output() -> None:
    """Have nothing more written to standard output."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_ErrorHandlingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="feedsrv %(version)s")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Settings file. Default: $FEEDSRV_CONFIG, else config/feedsrv.toml.",
)
@click.pass_context
def main(ctx: click.Context, config_file: Path | None) -> None:
    """Hugging Face Daily Papers as one feed per keyword."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where the file descriptor is closed
            stream.reconfigure(errors="backslashreplace")  # paths, and locales without UTF-8
    ctx.with_resource(_exit_on_signals())
    ctx.obj = config_file


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGINT raise SystemExit, so that the upstream lease is released."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python sets signal handlers in the main thread only
        return
    signals = (signal.SIGTERM, signal.SIGINT)

    def handle(number: int, _: object) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)  # a second signal ends the process at once
        raise SystemExit(128 + number)

    previous = {number: signal.signal(number, handle) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@main.command()
@click.option("--host", help="Address to listen on; 0.0.0.0 for all interfaces.")
@click.option("--port", type=int, help="Port to listen on; 0 for any free port.")
@click.option("--demo", is_flag=True, help="Serve bundled sample papers; needs no network.")
@click.option("--or-demo", is_flag=True, help="Use --demo if upstream is unreachable.")
@click.pass_obj
def serve(
    config_file: Path | None, host: str | None, port: int | None, demo: bool, or_demo: bool
) -> None:
    """Serve the feeds."""
    config = _load_config(config_file, host=host, port=port, demo=demo or None)
    if or_demo and not demo and not _upstream_is_reachable(config):
        config = msgspec.structs.replace(config, demo=True)
    # The worker process reads its settings from the environment, again after each SIGHUP.
    if config_file is not None:
        _ENVIRON["FEEDSRV_CONFIG"] = str(config_file.absolute())
    if config.demo:
        _ENVIRON["FEEDSRV_DEMO"] = "true"
    run_server(config, _ENVIRON, lambda port: _print_address(config, port))


def _upstream_is_reachable(config: Config) -> bool:
    """Return whether there are papers to serve: fetched now, or stored earlier."""
    with _open_service(config) as service:
        try:
            service.get_feed(Feed(name="probe", title="probe", sources=("daily",)))
        except FeedsrvError as error:
            click.echo(
                f"{config.upstream_url} is unreachable, and no papers are stored.\n  {error}\n"
                "Starting the demo instead, with invented sample papers.\n",
                err=True,
            )
            return False
        return True


def _print_address(config: Config, port: int) -> None:
    is_local = config.host in {"127.0.0.1", "0.0.0.0", "::"}  # noqa: S104  # compared, not bound
    # RFC 3986 3.2.2, and RFC 6874 for the scope of a link-local address.
    host = f"[{config.host.replace('%', '%25')}]" if ":" in config.host else config.host
    url = f"http://{'localhost' if is_local else host}:{port}/"
    # A placeholder and not the key, because this ends up in a log.
    key = "&key=YOUR-ACCESS-KEY" if config.access_key else ""
    click.echo(
        f"feedsrv {__version__} at {url}{' with sample papers' if config.demo else ''}\n"
        f"Add this to your feed reader: {url}papers.atom?q=causal{key}",
        err=True,
    )


@main.command()
@click.argument("urlpath")
@click.option("-i", "--include", is_flag=True, help="Print status and headers too.")
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.pass_obj
def get(config_file: Path | None, urlpath: str, include: bool, demo: bool) -> None:
    """Print the response to one request, such as '/papers.atom?q=causal', without a server."""
    config = _load_config(config_file, demo=demo or None)
    with _open_service(config) as service:
        base_url = config.public_url or f"http://localhost:{config.port}"
        auth = ("feedsrv", config.access_key) if config.access_key else None
        request = EnvironBuilder(base_url=base_url, auth=auth)
        request.path, request.query_string = _split_target(urlpath)
        response = Client(create_app(service)).open(request)
        head = f"HTTP/1.1 {response.status}\r\n{response.headers}" if include else ""
        click.echo(head.encode() + response.data, nl=False)
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        sys.exit(1)
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        sys.exit(2)


def _split_target(urlpath: str) -> tuple[str, str]:
    """Return the path and the query string, with all that a URL cannot hold percent-encoded."""
    # Bytes of the command line that are not UTF-8 stay what they are.
    target = quote(os.fsencode(urlpath.partition("#")[0]), safe="!$%&'()*+,-./:;=?@_~")
    path, _, query = target.partition("?")
    return path if path.startswith("/") else f"/{path}", query


@main.command()
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.option("--settings", is_flag=True, help="Check the settings only, before a reload.")
@click.option(
    "--upstream",
    is_flag=True,
    help="Check upstream only, and fail if its page layout changed; for cron.",
)
@click.pass_obj
def check(config_file: Path | None, demo: bool, settings: bool, upstream: bool) -> None:
    """Check settings, store, upstream and mail server."""
    config = _load_config(config_file, demo=demo or None)
    if upstream:
        with _open_service(config) as service:
            listing = service.refresh_page(service.newest_day())
        sys.exit(0 if _report_layout(listing, config) else 1)
    origin = find_config_file(config_file, _ENVIRON) or "no file, defaults"
    click.echo(f"settings   OK, {len(config.feeds)} feeds ({origin})")
    if settings:
        return
    # Without the token first: that it has expired is no failure of upstream.
    with _open_service(msgspec.structs.replace(config, hf_token="")) as service:
        checks = [_check_store(service), _check_upstream(service)]
        for unparsed in service.repository.unparsed_pages.list_all():
            click.echo(
                f"layout     CHANGED?: unparsed {unparsed.kind} page of"
                f" {unparsed.received_at:%Y-%m-%d} saved at {unparsed.path};"
                " please report it, then delete it"
            )
    if config.hf_token and checks[-1]:
        with _open_service(config) as service:
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
        with SMTPSender(config.mail, config.mail_password, sleep=_sleep) as sender:
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


@main.command()
@click.pass_obj
def refresh(config_file: Path | None) -> None:
    """Refresh stale lists; safe alongside a running server. For cron."""
    with _open_service(_load_config(config_file)) as service:
        failed = _refresh_stale(service)
        service.refresh_artefacts()
    if failed:
        click.echo(f"{failed} {'list' if failed == 1 else 'lists'} could not be fetched.")
        sys.exit(1)
    click.echo("All lists are up to date.")


@main.command("export")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--public-url", help="Public URL of the exported files.")
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.pass_obj
def export_files(
    config_file: Path | None, directory: Path, public_url: str | None, demo: bool
) -> None:
    """Write the configured feeds, their pages, a front page and OPML as static files into DIR.

    Refreshes stale lists first. For static hosting, from cron or a CI job.
    """
    config = export_config(_load_config(config_file, public_url=public_url, demo=demo or None))
    with _open_service(config) as service:
        failed = _refresh_stale(service)
        exported = export_site(create_app(service), tuple(config.feeds), directory)
        results = tuple(with_progress_bar(exported, len(config.feeds) + 1, "Writing"))
    errors = [result for result in results if result.error]
    for result in errors:
        click.echo(f"feedsrv: {result.name} not updated: {result.error}", err=True)
    written = sum(result.written for result in results)
    removed = sum(result.removed for result in results)
    click.echo(f"{directory}: {written} files written, {removed} removed, the others unchanged.")
    sys.exit(1 if failed or errors else 0)


def _refresh_stale(service: Service) -> int:
    """Refresh every stale list, show the progress, and return the number of failures."""
    logging.getLogger().setLevel(logging.ERROR)  # failures are shown here, not logged too
    failed = 0
    with refresh_display() as show:
        for page, result, remaining in service.refresh_stale():
            failed += isinstance(result, UpstreamError)
            show(page, result, remaining)
    return failed


@main.command()
@click.argument("name")
@click.option(
    "--since",
    metavar="DAY",
    help="Print all papers since that day, such as 2026-11-20, or since so many days ago, such as"
    " 7d; the next call prints what it would have printed anyway.",
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
def digest(
    config_file: Path | None, name: str, since: str | None, format_name: str, demo: bool
) -> None:
    """Print what is new in the feed NAME since the last call; nothing if nothing is.

    NAME is the name of a configured feed, or several joined with +.
    """
    config = _load_config(config_file, demo=demo or None)
    with _open_service(config) as service:
        feeds = [service.get_configured_feed(each) for each in dict.fromkeys(name.split("+"))]
        first_day = _parse_since(since, service.now().date()) if since else None
        _refresh_feeds(service, feeds)
        report = build_report(service, feeds, first_day)
        if report.digest.papers:
            click.echo(DIGEST_FORMATS[format_name](report.digest), nl=False)
        if not since:  # after the output, which may fail
            mark_reported(service, feeds, report)


@main.command()
@click.option(
    "--dry-run",
    "directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the messages that are due to files in DIR; send and record nothing.",
)
@click.option("--remove", metavar="ADDRESS", help="End all subscriptions of an address instead.")
@click.pass_obj
def mail(config_file: Path | None, directory: Path | None, remove: str | None) -> None:
    """Send the digests that are due, each once to each address. For cron."""
    config = _load_config(config_file)
    if not config.mail.host:
        raise ConfigError(["mail: needs the table [mail] with host and from"])
    with _open_service(config) as service, hold_run_lock(config.cache_dir) as is_alone:
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
    feeds = {each: subscribed_feeds(service, each) for each in subscriptions.active()}
    failed = _refresh_feeds(service, [feed for found in feeds.values() for feed in found])
    due = due_messages(service, subscriptions)
    links = MailLinks(service.repository, public_url_builder(config))
    if directory is not None:
        count = write_eml_files((build_message(service, links, each) for each in due), directory)
        click.echo(f"{directory}: {count} {'message' if count == 1 else 'messages'} written.")
        return 1 if failed else 0
    with SMTPSender(config.mail, config.mail_password, sleep=_sleep) as sender:
        delivery = Delivery(service, subscriptions, links, sender, sleep=_sleep)
        counts: Counter[str] = Counter()
        for result in with_progress_bar(delivery.send(due), len(due), "Sending"):
            counts[result.outcome] += 1
            if result.reason:
                click.echo(f"{result.address}: {result.title}: {result.reason}", err=True)
    click.echo(
        f"{counts['sent']} sent, {counts['rejected']} rejected, {counts['deferred']} deferred."
    )
    return 1 if failed or counts["rejected"] or counts["deferred"] else 0


def _refresh_feeds(service: Service, feeds: Sequence[Feed]) -> int:
    """Refresh the stale lists of the feeds, and return the number of failures."""
    logging.getLogger().setLevel(logging.ERROR)  # what fails is served from the store
    results = service.refresh_stale(*feeds) if feeds else ()
    return sum(isinstance(result, UpstreamError) for _, result, _ in results)


def _parse_since(text: str, today: date) -> date:
    """Return the day: as given, or so many days ago.

    Raises:
        click.BadParameter: It is neither.

    """
    try:
        if match := re.fullmatch(r"(\d{1,4})d", text, re.ASCII):
            return today - timedelta(days=int(match[1]))
        return date.fromisoformat(text)
    except ValueError as error:
        message = f"expected a day such as 2026-11-20, or a number of days such as 7d, not {text!r}"
        raise click.BadParameter(message, param_hint="--since") from error


# A query may begin with a hyphen, so there are no short options here, not even -h.
@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("query")
@click.option(
    "--limit",
    type=click.IntRange(1, MAX_ENTRIES),
    default=20,
    show_default=True,
    help="Number of papers to list.",
)
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.pass_obj
def explain(config_file: Path | None, query: str, limit: int, demo: bool) -> None:
    """Show how a query is parsed, and which papers match and where."""
    config = _load_config(config_file, demo=demo or None)
    tree = parse_query(query)
    click.echo("\n".join(draw_query(tree)))
    terms = upstream_search_text(tree)
    click.echo(f"\nHugging Face search: {terms or 'none, the query has no words to search for'}")
    feed = Feed(name="explain", title="explain", query=query, limit=limit)
    with _open_service(config) as service:
        result = service.get_feed(feed, is_preview=True)
        index = service.window().index
    for term in iter_positive_terms(tree):
        if term.has_forms:
            forms = (f"{form} ({count})" for form, count in index.matched_forms(term).items())
            click.echo(f"{term} finds: {', '.join(forms) or 'no word of the window'}")
    at_least = "at least " if len(result.matches) == limit else ""
    click.echo(f"{at_least}{len(result.matches)} of {result.papers_searched} papers match\n")
    for match in result.matches:
        paper = match.paper
        click.echo(f"{paper.published:%Y-%m-%d}  {paper.id}  {paper.title}")
        for location in match_locations(result.queries[feed][0], paper):
            click.echo(f"{'':12}{location}")


def _load_config(config_file: Path | None, **arguments: object) -> Config:
    """Return the settings, with logging configured by them."""
    config = load_config(config_file, _ENVIRON, arguments)
    configure_logging(config.log_format, [config.access_key, config.hf_token, config.mail_password])
    return config


@contextmanager
def _open_service(config: Config) -> Iterator[Service]:
    """Open a service that records incidents, and close it afterwards."""
    with closing(Service.open(config)) as service:
        subscribe_incident_recorder(service)
        yield service
