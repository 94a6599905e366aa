"""The application for a WSGI server: ``feedsrv.web.wsgi:app``, configured by the environment.

It starts no thread before the first request: a server that forks after the import would leave its
children without that thread.
"""

from __future__ import annotations

import os

from feedsrv.config import load_config
from feedsrv.web.app import open_app

app = open_app(load_config(None, os.environ))  # noqa: TID251  # the process's edge
