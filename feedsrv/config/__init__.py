"""Load the settings from command line, environment and TOML file, and report all problems together.

``config/feedsrv.toml`` documents each setting. The command line takes precedence over the
environment, the environment over the file, and the file over the defaults.
"""

from feedsrv.config.loader import ENVIRONMENT_VARIABLES, build_config, find_config_file, load_config
from feedsrv.config.settings import Config, MailConfig, StoreConfig

__all__ = [
    "ENVIRONMENT_VARIABLES",
    "Config",
    "MailConfig",
    "StoreConfig",
    "build_config",
    "find_config_file",
    "load_config",
]
