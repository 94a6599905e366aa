"""HTTP requests to servers on loopback."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from email.message import Message


def fetch(url: str, **headers: str) -> tuple[int, Message, bytes]:
    """Return status, headers and body, whatever the status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=named), timeout=30) as got:
            return got.status, got.headers, got.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def is_ready(url: str, **headers: str) -> bool:
    try:
        return fetch(url, **headers)[0] == 200
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


def fetch_body(url: str) -> bytes:
    """Return what a server that is no mock answers; an error raises."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
    return body
