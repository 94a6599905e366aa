"""The service that the commands use."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from feedsrv.config import Config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.monitoring.incidents import subscribe_incident_recorder

sleep = time.sleep  # noqa: TID251  # the edge


@contextmanager
def open_service(config: Config) -> Iterator[Service]:
    """Open a service that records incidents, and close it afterwards."""
    with closing(create_service(config)) as service:
        subscribe_incident_recorder(service)
        yield service
