"""The settings that the commands use, from files, the environment and the command line."""

import os
from pathlib import Path

from feedsrv.config import Config, load_config
from feedsrv.logs import configure_logging

ENVIRON = os.environ  # noqa: TID251  # the environment is read here and passed on


def load_settings(config_file: Path | None, **arguments: object) -> Config:
    """Return the settings, with logging configured by them."""
    config = load_config(config_file, ENVIRON, arguments)
    configure_logging(config.log_format, [config.access_key, config.hf_token, config.mail_password])
    return config
