"""The settings and the service that the commands use."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from feedsrv.config import Config, load_config
from feedsrv.feeds.service import Service
from feedsrv.feeds.service_factory import create_service
from feedsrv.logs import configure_logging
from feedsrv.monitoring.incidents import subscribe_incident_recorder

sleep = time.sleep  # noqa: TID251  # the edge
ENVIRON = os.environ  # noqa: TID251  # the environment is read here and passed on


def load_settings(config_file: Path | None, **arguments: object) -> Config:
    """Return the settings, with logging configured by them."""
    config = load_config(config_file, ENVIRON, arguments)
    configure_logging(config.log_format, [config.access_key, config.hf_token, config.mail_password])
    return config


@contextmanager
def open_service(config: Config) -> Iterator[Service]:
    """Open a service that records incidents, and close it afterwards."""
    with closing(create_service(config)) as service:
        subscribe_incident_recorder(service)
        yield service
