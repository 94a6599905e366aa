"""``feedsrv serve``: the server."""

from pathlib import Path

import click
import msgspec

from feedsrv import __version__
from feedsrv.cli.settings import ENVIRON, load_settings
from feedsrv.config import Config
from feedsrv.errors import FeedsrvError
from feedsrv.models import Feed
from feedsrv.web.server import run_server


@click.command("serve")
@click.option("--host", help="Address to listen on; 0.0.0.0 for all interfaces.")
@click.option("--port", type=int, help="Port to listen on; 0 for any free port.")
@click.option("--demo", is_flag=True, help="Serve bundled sample papers; needs no network.")
@click.option("--or-demo", is_flag=True, help="Use --demo if upstream is unreachable.")
@click.pass_obj
def serve_command(
    config_file: Path | None, host: str | None, port: int | None, demo: bool, or_demo: bool
) -> None:
    """Serve the feeds."""
    config = load_settings(config_file, host=host, port=port, demo=demo or None)
    if or_demo and not demo and not _upstream_is_reachable(config):
        config = msgspec.structs.replace(config, demo=True)
    # The worker process reads its settings from the environment, again after each SIGHUP.
    if config_file is not None:
        ENVIRON["FEEDSRV_CONFIG"] = str(config_file.absolute())
    if config.demo:
        ENVIRON["FEEDSRV_DEMO"] = "true"
    run_server(config, ENVIRON, lambda port: _print_address(config, port))


def _upstream_is_reachable(config: Config) -> bool:
    """Return whether there are papers to serve: fetched now, or stored earlier."""
    from feedsrv.cli.service import open_service  # noqa: PLC0415  # the worker has the service

    with open_service(config) as service:
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
