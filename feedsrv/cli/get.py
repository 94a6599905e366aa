"""``feedsrv get``: one response on standard output."""

import os
import re
import sys
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import click
from werkzeug.test import Client, EnvironBuilder

from feedsrv.cli.service import open_service
from feedsrv.cli.settings import load_settings
from feedsrv.web.app import create_app

_SCHEME_AND_HOST = re.compile(
    r"^https?://(?:[^/?#@]*@)?(?:[\w.-]+|\[[\da-f:.]+\])(?::\d*)?(?=[/?#]|$)", re.IGNORECASE
)


@click.command("get")
@click.argument("urlpath")
@click.option("-i", "--include", is_flag=True, help="Print status and headers too.")
@click.option("--demo", is_flag=True, help="Use the bundled sample papers.")
@click.pass_obj
def get_command(config_file: Path | None, urlpath: str, include: bool, demo: bool) -> None:
    """Print the response to one request, such as '/papers.atom?q=causal', without a server."""
    config = load_settings(config_file, demo=demo or None)
    with open_service(config) as service:
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
    urlpath = _SCHEME_AND_HOST.sub("", urlpath)  # whatever host a copied URL has
    # Bytes of the command line that are not UTF-8 stay what they are.
    target = quote(os.fsencode(urlpath.partition("#")[0]), safe="!$%&'()*+,-./:;=?@_~")
    path, _, query = target.partition("?")
    return path if path.startswith("/") else f"/{path}", query
