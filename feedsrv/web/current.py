"""The application as the settings are now, and its exchange for another while requests go on.

::

    reload ── the settings, read again ── a service and its routes, opened beside the old ones
                                                        │
              the old service is closed ── its requests end ── new requests go to the new one
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from threading import Event, Lock
from typing import Self
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.wsgi import ClosingIterator

from feedsrv.config import Config
from feedsrv.errors import FeedsrvError
from feedsrv.feeds.service import Service
from feedsrv.web.app import create_app
from feedsrv.web.responses import HttpResponse

log = logging.getLogger(__name__)

Opened = AbstractContextManager[Service]


class _Site:
    """A service with its routes, and how many requests it is answering."""

    def __init__(self, opened: Opened) -> None:
        with ExitStack() as stack:
            self.service = stack.enter_context(opened)
            self.front = create_app(self.service)
            self.service.warm_up()
            self.close = stack.pop_all().close
        self.busy = 0
        self.ended = Event()


class Current:
    """A WSGI application that can be exchanged without losing a request. Safe for threads.

    Args:
        opened: Opens a service by the settings as they are when it is called; raises a
            FeedsrvError where they cannot be used.

    """

    def __init__(self, opened: Callable[[], Opened]) -> None:
        self._opened = opened
        self._lock = Lock()  # and no Condition, whose way in is Python: ready answers come by here
        self._site = _Site(opened())
        #: What an answer that is ready is being taken from.
        self._saying: _Site | None = None

    @property
    def config(self) -> Config:
        """The settings that are in use."""
        return self._site.service.config

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._site.close()

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        site = self._entered()
        try:
            return ClosingIterator(site.front(environ, start), lambda: self._left(site))
        except BaseException:
            self._left(site)
            raise

    def ready(self, _environ: WSGIEnvironment) -> HttpResponse | None:
        """Return the answer if it is ready, without waiting for anything; None if it is not.

        For one thread alone, that of the event loop: to count it as under way would take as long as
        to find the answer.
        """
        site = self._saying = self._site
        while site is not self._site:  # exchanged between the two: it may be closed by now
            site = self._saying = self._site
        try:
            return None  # the cache is a part of the application
        finally:
            self._saying = None

    def reload(self) -> None:
        """Go on with the settings as they are now; with the old ones where they cannot be used.

        It returns when no request is under way on the old ones. One call at a time.
        """
        try:
            new = _Site(self._opened())
        except FeedsrvError as error:
            log.error("the settings stay as they were:\n%s", error)  # noqa: TRY400  # no bug of ours
            return
        except Exception:
            log.exception("the settings stay as they were")
            return
        with self._lock:
            old, self._site = self._site, new
            if not old.busy:
                old.ended.set()
        _tell(old.service.config, new.service.config)
        old.ended.wait()
        while self._saying is old:
            Event().wait(0.001)  # which lets it be said
        old.close()  # which gives back its right to ask upstream

    def _entered(self) -> _Site:
        with self._lock:
            site = self._site
            site.busy += 1
            return site

    def _left(self, site: _Site) -> None:
        with self._lock:
            site.busy -= 1
            if not site.busy and site is not self._site:
                site.ended.set()


def _tell(old: Config, new: Config) -> None:
    log.info("the settings were read again, %d feeds", len(new.feeds))
    if (old.host, old.port) != (new.host, new.port):
        log.warning("host and port stay as they were until the server is started again")
