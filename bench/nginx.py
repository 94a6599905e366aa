"""nginx with the file that deploy/ ships for it, as a process: for the tests, and for a bench."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "deploy" / "nginx.conf"
AROUND = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  include {folder}/feedsrv.conf;
}}
"""


@contextmanager
def nginx_before(server: str, folder: Path, prefix: str = "") -> Iterator[str]:
    """Put nginx in front of a server, and give the address of its root.

    Its log is at ``access.log`` in the folder. With a prefix it is set up as a part of a site.
    """
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    text = SHIPPED.read_text("utf-8")
    if prefix:
        text = _swapped(text)
    for shipped, here in {
        "127.0.0.1:8000": server.removeprefix("http://"),
        "listen 80;": f"listen 127.0.0.1:{port};",
        "/var/cache/nginx/feedsrv": f"{folder}/cache",
        "/var/log/nginx/feedsrv.log": f"{folder}/access.log",
        "/daily": prefix or "/daily",
    }.items():
        if shipped not in text:
            sys.exit(f"{SHIPPED} has lost its {shipped}")
        text = text.replace(shipped, here)
    (folder / "feedsrv.conf").write_text(text)
    user = "" if os.geteuid() else "user root;"  # whose folder it is
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(process, port, folder)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _swapped(text: str) -> str:
    """Return the file with the whole site as a comment, and the part of one as what counts."""
    whole, part = re.findall(
        r"^ {4}(?:# )?location .*?^ {4}(?:# )?\}\n", text, re.MULTILINE | re.DOTALL
    )
    comment = re.sub(r"^ {4}", "    # ", whole, flags=re.MULTILINE)
    return text.replace(whole, comment).replace(part, part.replace("    # ", "    "))


def _wait(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"nginx does not start:\n{(folder / 'error.log').read_text()}")
            time.sleep(0.01)
        else:
            return
