"""Run nginx with deploy/nginx.conf: for the tests, and for a benchmark."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.http import free_port

DEPLOYED_CONFIG = Path(__file__).parents[1] / "deploy" / "nginx.conf"
MAIN_CONFIG = """
daemon off; pid {directory}/pid; error_log {directory}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {directory}/1; proxy_temp_path {directory}/2;
  fastcgi_temp_path {directory}/3; uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
  include {directory}/feedsrv.conf;
}}
"""


@contextmanager
def run_nginx(server: str, directory: Path, prefix: str = "") -> Iterator[str]:
    """Run nginx in front of a server, and yield its URL.

    Args:
        server: URL of the server.
        directory: Directory to create for configuration, cache and ``access.log``.
        prefix: Serve below this path, as a part of a site; empty for the whole site.

    """
    directory.mkdir()
    port = free_port()
    text = DEPLOYED_CONFIG.read_text("utf-8")
    if prefix:
        text = _enable_prefix(text)
    for deployed, local in {
        "127.0.0.1:8000": server.removeprefix("http://"),
        "listen 80;": f"listen 127.0.0.1:{port};",
        "/var/cache/nginx/feedsrv": f"{directory}/cache",
        "/var/log/nginx/feedsrv.log": f"{directory}/access.log",
        "/daily": prefix or "/daily",
    }.items():
        if deployed not in text:
            sys.exit(f"{DEPLOYED_CONFIG} lacks {deployed}")
        text = text.replace(deployed, local)
    (directory / "feedsrv.conf").write_text(text)
    user = "" if os.geteuid() else "user root;"  # the owner of the directory
    (directory / "nginx.conf").write_text(MAIN_CONFIG.format(directory=directory, user=user))
    command = ["nginx", "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for_port(process, port, directory)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _enable_prefix(text: str) -> str:
    """Return the configuration with the location of a prefix enabled in place of the other."""
    whole, part = re.findall(
        r"^ {4}(?:# )?location .*?^ {4}(?:# )?\}\n", text, re.MULTILINE | re.DOTALL
    )
    comment = re.sub(r"^ {4}", "    # ", whole, flags=re.MULTILINE)
    return text.replace(whole, comment).replace(part, part.replace("    # ", "    "))


def _wait_for_port(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"nginx did not start:\n{(directory / 'error.log').read_text()}")
            time.sleep(0.01)
        else:
            return
