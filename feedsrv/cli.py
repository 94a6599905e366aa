"""The ``feedsrv`` command.

Exit codes: 0 all is well, 1 something outside fails (upstream, disk, a port), 2 the settings or the
command line cannot be used, 128 and the signal's number where a signal ended a command.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from werkzeug.test import Client

from feedsrv import __version__
from feedsrv.config import Config, find_config_file, load_config
from feedsrv.errors import ERROR_MAP, FeedsrvError, QueryError, StoreError, UpstreamError
from feedsrv.export import ExportResult, export_config, export_site
from feedsrv.feeds.service import Service
from feedsrv.logs import configure_logging
from feedsrv.models import Feed, Listing, Page
from feedsrv.monitoring.incidents import record_incidents
from feedsrv.search.parser import parse_query
from feedsrv.search.query import And, Not, Or, Query, match_locations, positive_terms
from feedsrv.storage.repository import open_repository
from feedsrv.web.app import create_app
from feedsrv.web.current import Current
from feedsrv.web.server import Server

_SOURCE_NOTES = {"data": "", "cards": ", but from its cards", "api": ", but from the JSON API"}
_ENVIRON = os.environ  # noqa: TID251  # the process's edge


class _ErrorHandlingGroup(click.Group):
    """A group of commands whose errors become messages and exit codes, by the one table."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FeedsrvError as error:
            for line in str(error).splitlines():
                click.echo(f"feedsrv: {line}" if not line.startswith(" ") else line, err=True)
            if isinstance(error, QueryError):
                click.echo(error.pointer(), err=True)
            ctx.exit(ERROR_MAP[type(error)].exit_code)


@click.group(cls=_ErrorHandlingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="feedsrv %(version)s")
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings file; by default FEEDSRV_CONFIG, else config/feedsrv.toml.",
)
@click.pass_context
def main(ctx: click.Context, file: Path | None) -> None:
    """Hugging Face Daily Papers as one feed per keyword."""
    ctx.with_resource(_exit_on_signals())
    ctx.obj = file


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Have a signal end the command as an error does, so that it lets go of what it holds."""
    if threading.current_thread() is not threading.main_thread():  # others may not ask for signals
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)

    def ended(number: int, _: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)  # a second one ends it at once
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, ended) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@main.command()
@click.option("--host", help="Address to listen on; 0.0.0.0 for the whole network.")
@click.option("--port", type=int, help="Port to listen on; 0 for any that is free.")
@click.option("--demo", is_flag=True, help="Serve bundled sample papers, without any network.")
@click.option("--or-demo", is_flag=True, help="As --demo, but only where upstream cannot be read.")
@click.pass_obj
def serve(file: Path | None, host: str | None, port: int | None, demo: bool, or_demo: bool) -> None:
    """Serve the feeds."""
    demo = demo or (
        or_demo and not _upstream_is_reachable(_load_config(file, host=host, port=port))
    )
    with Current(
        lambda: _open_service(_load_config(file, host=host, port=port, demo=demo or None))
    ) as current:
        _run_server(current)


def _upstream_is_reachable(config: Config) -> bool:
    """Tell whether there is anything to serve: a page that can be read now, or was once."""
    with _open_service(config) as service:
        try:
            service.get_feed(Feed(name="probe", title="probe", sources=("daily",)))
        except FeedsrvError as error:
            click.echo(
                f"{config.upstream_url} cannot be read from here, so there are no real papers to"
                f" show.\n  {error}\nStarting the demo instead: sample papers, invented for it.\n",
                err=True,
            )
            return False
        return True


def _run_server(current: Current) -> None:
    config = current.config
    # To a server on a terminal, SIGHUP says that the terminal was closed.
    reload = None if os.isatty(0) else current.reload
    try:
        server = Server(current, config.host, config.port, current.ready, reload)
    except OSError as error:
        click.echo(
            f"feedsrv: cannot listen on {config.host} port {config.port}:"
            f" {error.strerror or error}; another port can be given with --port",
            err=True,
        )
        sys.exit(1)
    server.run(lambda: _print_address(config, server.port))


def _print_address(config: Config, port: int) -> None:
    shown = "localhost" if config.host in {"127.0.0.1", "0.0.0.0", "::"} else config.host  # noqa: S104  # compared, not bound
    click.echo(
        f"feedsrv {__version__} at http://{shown}:{port}/"
        f"{' with sample papers' if config.demo else ''}\n"
        f"Put this into a feed reader: http://{shown}:{port}/papers.atom?q=causal"
        # Not the key itself: what is written here ends up in a log.
        f"{'&key=YOUR-ACCESS-KEY' if config.access_key else ''}",
        err=True,
    )


@main.command()
@click.argument("urlpath")
@click.option("-i", "--include", is_flag=True, help="Show status and headers too.")
@click.option("--demo", is_flag=True, help="From the bundled sample papers.")
@click.pass_obj
def get(file: Path | None, urlpath: str, include: bool, demo: bool) -> None:
    """Print the answer to one request, such as '/papers.atom?q=causal', without a server."""
    config = _load_config(file, demo=demo or None)
    with _open_service(config) as service:
        base = config.public_url or f"http://localhost:{config.port}"
        auth = ("feedsrv", config.access_key) if config.access_key else None
        answer = Client(create_app(service)).get(urlpath, base_url=base, auth=auth)
        out = sys.stdout.buffer
        if include:
            out.write(f"HTTP/1.1 {answer.status}\r\n{answer.headers}".encode())
        out.write(answer.data)
        out.flush()
    if answer.status_code >= 400:  # noqa: PLR2004  # RFC 9110 15.5: errors begin here
        sys.exit(1 if answer.status_code >= 500 else 2)  # noqa: PLR2004  # ours, or the caller's


@main.command()
@click.option("--demo", is_flag=True, help="Against the bundled sample papers.")
@click.option(
    "--upstream", is_flag=True, help="Upstream alone, for cron: a changed layout fails it too."
)
@click.pass_obj
def check(file: Path | None, demo: bool, upstream: bool) -> None:
    """Tell whether settings, store and upstream work."""
    config = _load_config(file, demo=demo or None)
    if upstream:
        with _open_service(config) as service:
            listing = service.refresh_page(service.newest_day())
        sys.exit(int(not _report_layout(listing, config)))
    named = find_config_file(file, _ENVIRON) or "none found, defaults"
    click.echo(f"settings   good, {len(config.feeds)} feeds ({named})")
    failed = False
    changes: list[str] = []
    with _open_service(config) as service:
        try:
            with closing(open_repository(service.config, (), now=service.now)) as store:
                click.echo(f"store      good, {store.check()}")
        except StoreError as error:
            click.echo(f"store      FAILS: {error}")
            failed = True
        try:
            newest = service.refresh_page(service.newest_day())
            how = _SOURCE_NOTES[newest.source]
            click.echo(f"upstream   good, {len(newest.papers)} papers on {newest.page.key}{how}")
            changes = [f"left out of {newest.page}: {skipped}" for skipped in newest.skipped]
        except UpstreamError as error:
            click.echo(f"upstream   FAILS: {error}")
            failed = True
        changes += [
            f"an unreadable {kept.kind} page of {kept.received_at:%Y-%m-%d} is kept at {kept.path};"
            " please report it, then delete it"
            for kept in service.repository.unparsed_pages.list_all()
        ]
    for change in changes:
        click.echo(f"layout     CHANGED?: {change}")
    sys.exit(int(failed))


def _report_layout(listing: Listing, config: Config) -> bool:
    """Say what upstream's newest list is like, and tell whether that is as it should be."""
    click.echo(f"upstream   reachable, {config.upstream_url}")
    changes = [f"left out: {skipped}" for skipped in listing.skipped]
    if listing.source != "data":
        changes.insert(0, f"its data cannot be read{_SOURCE_NOTES[listing.source]}")
    for change in changes:
        click.echo(f"layout     CHANGED: {change}")
    if not changes:
        click.echo("layout     as expected")
    click.echo(f"papers     {len(listing.papers)} on {listing.page.key}")
    return not changes


@main.command()
@click.pass_obj
def refresh(file: Path | None) -> None:
    """Read every list that is not fresh: for cron, beside a running server or without one."""
    with _open_service(_load_config(file)) as service:
        failed = _refresh_stale(service)
    click.echo("Everything is fresh." if not failed else f"{failed} could not be read.")
    sys.exit(int(failed > 0))


@main.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--public-url", help="Where the files will be, as readers see it.")
@click.option("--demo", is_flag=True, help="From the bundled sample papers.")
@click.pass_obj
def export_files(file: Path | None, folder: Path, public_url: str | None, demo: bool) -> None:
    """Write the configured feeds, their pages, a front page and OPML as files into DIR.

    What is not fresh is read first. For cron, or a CI job with a host of static pages.
    """
    config = export_config(_load_config(file, public_url=public_url, demo=demo or None))
    with _open_service(config) as service:
        failed = _refresh_stale(service)
        parts = export_site(create_app(service), tuple(config.feeds), folder)
        every = tuple(_with_progress_bar(parts, len(config.feeds) + 1))
    for part in every:
        if part.error:
            click.echo(f"feedsrv: {part.name} is left as it was: {part.error}", err=True)
    written, removed = sum(each.written for each in every), sum(each.removed for each in every)
    click.echo(f"{folder}: {written} files written, {removed} removed, the others unchanged.")
    sys.exit(int(failed > 0 or any(part.error for part in every)))


def _with_progress_bar(parts: Iterator[ExportResult], many: int) -> Iterator[ExportResult]:
    """Yield the parts again, with a bar on a terminal."""
    if not sys.stdout.isatty():
        yield from parts
        return
    with click.progressbar(parts, length=many, label="Writing", width=0, show_pos=True) as bar:
        yield from bar


def _refresh_stale(service: Service) -> int:
    """Read every list that is not fresh, show it, and return how many could not be read."""
    logging.getLogger().setLevel(logging.ERROR)  # what happens is shown here
    failed = 0
    with _refresh_progress() as show:
        for page, result, left in service.refresh_stale():
            failed += isinstance(result, UpstreamError)
            show(page, result, left)
    return failed


@contextmanager
def _refresh_progress() -> Iterator[Callable[[Page, Listing | UpstreamError, int], None]]:
    """Give a function that shows each page: as a bar on a terminal, as a line elsewhere."""
    if not sys.stdout.isatty():
        yield lambda page, result, _: click.echo(_result_line(page, result))
        return
    with click.progressbar(length=1, label="Reading", width=0, show_pos=True) as bar:

        def show(page: Page, result: Listing | UpstreamError, left: int) -> None:
            bar.length = bar.pos + 1 + left
            bar.label = f"{page!s:24.24}"
            bar.update(1)

        yield show


def _result_line(page: Page, result: Listing | UpstreamError) -> str:
    if isinstance(result, UpstreamError):
        return f"{page}: FAILED: {result}"
    return f"{page}: {len(result.papers)} papers"


# A query may begin with a hyphen: no short options here, -h included.
@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("query")
@click.option("--limit", type=click.IntRange(1, 200), default=20, show_default=True)
@click.option("--demo", is_flag=True, help="Against the bundled sample papers.")
@click.pass_obj
def explain(file: Path | None, query: str, limit: int, demo: bool) -> None:
    """Show how a query is read, and which papers match it where."""
    config = _load_config(file, demo=demo or None)
    tree = parse_query(query)
    click.echo("\n".join(_query_tree(tree)))
    words = positive_terms(tree)
    click.echo(f"\nsearched for at Hugging Face: {words or 'nothing, it has no words to look for'}")
    with _open_service(config) as service:
        reading = service.get_feed(
            Feed(name="explained", title="explained", query=query, limit=limit)
        )
    most = "at least " if len(reading.matches) == limit else ""
    click.echo(f"{most}{len(reading.matches)} of {reading.papers_searched} papers match\n")
    for paper in (each.paper for each in reading.matches):
        click.echo(f"{paper.published:%Y-%m-%d}  {paper.id}  {paper.title}")
        for place in match_locations(tree, paper):
            click.echo(f"{'':12}{place}")


def _query_tree(query: Query, lead: str = "", child: str = "") -> Iterator[str]:
    """Yield the query as a tree of lines."""
    match query:
        case And(parts) | Or(parts):
            yield f"{lead}{'all of' if isinstance(query, And) else 'any of'}"
            for place, part in enumerate(parts, 1):
                last = place == len(parts)
                branch, below = ("└── ", "    ") if last else ("├── ", "│   ")
                yield from _query_tree(part, f"{child}{branch}", f"{child}{below}")
        case Not(part):
            yield f"{lead}none of"
            yield from _query_tree(part, f"{child}└── ", f"{child}    ")
        case _:
            yield f"{lead}{query.describe()}"


def _load_config(file: Path | None, **arguments: object) -> Config:
    config = load_config(file, _ENVIRON, arguments)
    configure_logging(config.log_format, [config.access_key, config.hf_token])
    return config


@contextmanager
def _open_service(config: Config) -> Iterator[Service]:
    """Open a service; the demo's keeps its sample papers apart and for once."""
    with tempfile.TemporaryDirectory(prefix="feedsrv-demo-") as folder:
        if config.demo:
            config = msgspec.structs.replace(config, cache_dir=Path(folder))
        service = Service.open(config)
        record_incidents(service)
        try:
            yield service
        finally:
            service.close()
