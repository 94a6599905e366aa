"""A Redis server for one test."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.http import free_port

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
PASSWORD = "lighthouse"


class RedisServer:
    """A Redis server without persistence on its own port, empty after each start."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert PROGRAM
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--requirepass", PASSWORD]
        arguments += ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        self.process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while not self.is_ready():
            assert time.monotonic() < end, "redis-server did not start"
            assert self.process.poll() is None, "redis-server ended"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def is_ready(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False

    @contextmanager
    def client(self) -> Iterator[Redis]:
        client = Redis.from_url(self.url)
        try:
            yield client
        finally:
            client.close()

    def all_keys(self) -> set[str]:
        with self.client() as client:
            return {name.decode() for name in client.scan_iter("*")}


@contextmanager
def run_redis(folder: Path) -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.skip("install redis-server")
    server = RedisServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
