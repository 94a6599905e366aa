"""Which requests are refused under overload, and when."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Semaphore
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug.test import Client

from feedsrv.web.load_shedding import MAX_BUSY_SECONDS, MAX_STALL_SECONDS, LoadShedder


class BlockingApp:
    """An application whose requests block until they are released."""

    def __init__(self) -> None:
        self.entered, self.may_return = Semaphore(0), Semaphore(0)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/breaks":
            raise OSError("broken")
        if environ["PATH_INFO"] == "/waits":
            self.entered.release()
            assert self.may_return.acquire(timeout=30)
        start("503 Error" if environ["PATH_INFO"] == "/fails" else "200 OK", [])
        return [b"done"]


class Server:
    """A server with eight threads, one of which stays free."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.app = BlockingApp()
        self.shedder = LoadShedder(self.app, 8, lambda: self.now)
        self.client = Client(self.shedder)

    @contextmanager
    def busy(self, count: int) -> Any:
        with ThreadPoolExecutor(count) as threads:
            responses = [threads.submit(self.client.get, "/waits") for _ in range(count)]
            try:
                for _ in responses:
                    assert self.app.entered.acquire(timeout=30)
                yield
            finally:
                for _ in responses:
                    self.app.may_return.release()
            assert {each.result(30).status_code for each in responses} == {200}

    def status(self, path: str = "/papers.atom") -> int:
        return self.client.get(path).status_code


@pytest.fixture
def server() -> Server:
    return Server()


def test_no_request_is_rejected_while_a_thread_is_free(server: Server) -> None:
    with server.busy(6):
        server.now += 100
        assert not server.shedder.is_overloaded()
        assert server.status() == 200


def test_a_short_queue_is_served(server: Server) -> None:
    with server.busy(7):
        server.now += MAX_STALL_SECONDS - 0.01
        assert server.status() == 200


def test_when_all_threads_are_busy_for_long_only_the_health_check_is_served(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with server.busy(7):
        server.now += MAX_STALL_SECONDS + 0.01
        assert server.shedder.is_overloaded()
        response = server.client.get("/papers.atom")
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "10"
        problem = json.loads(response.data)
        assert (problem["status"], problem["retry_after"]) == (503, 10)
        assert server.status("/healthz") == 200
        assert [server.status() for _ in range(3)] == [503] * 3
    assert server.status() == 200
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "All threads busy for 0.9 seconds, refusing requests"
    ]


def test_a_queue_that_gets_shorter_is_served_for_seconds(server: Server) -> None:
    with server.busy(7):
        for _ in range(3):
            server.now += MAX_BUSY_SECONDS / 3 - 0.01
            assert server.status() == 200
        server.now += 0.05
        assert server.status() == 503
    assert server.status() == 200


def test_errors_do_not_make_a_queue_shorter(server: Server) -> None:
    with server.busy(7):
        server.now += MAX_STALL_SECONDS - 0.1
        assert server.status("/fails") == 503
        server.now += 0.2
        assert server.shedder.is_overloaded()


def test_threads_that_become_free_are_used_during_overload(server: Server) -> None:
    with server.busy(7):
        server.now += MAX_STALL_SECONDS + 0.01
        assert server.status() == 503
        server.app.may_return.release()
        retry_until(lambda: server.status() == 200)
    assert server.status() == 200


def retry_until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
    raise AssertionError


def test_a_request_that_raises_frees_its_thread(server: Server) -> None:
    for _ in range(20):
        with pytest.raises(OSError, match="broken"):
            server.client.get("/breaks")
    server.now += 100
    assert server.status() == 200
