"""HTTP requests to servers on loopback."""

import socket
import urllib.error
import urllib.request
from email.message import Message


def fetch(url: str, **headers: str) -> tuple[int, Message, bytes]:
    """Return status, headers and body, whatever the status."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=fields), timeout=30
        ) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def is_ready(url: str, **headers: str) -> bool:
    try:
        return fetch(url, **headers)[0] == 200
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def fetch_body(url: str) -> bytes:
    """Return the body of a response; raise for an error status."""
    with urllib.request.urlopen(url, timeout=30) as response:
        body: bytes = response.read()
    return body
