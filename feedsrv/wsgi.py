"""The application for a WSGI server of your own: ``gunicorn feedsrv.wsgi:app``.

It reads nothing before it is asked for something, if only /readyz: a server that forks after it has
this would leave its children without the thread that reads.
"""

from __future__ import annotations

import os

from feedsrv import logs
from feedsrv.config import load
from feedsrv.front import Front
from feedsrv.service import Service
from feedsrv.web import create_app

_config = load(None, os.environ)  # noqa: TID251  # the process's edge
logs.set_up(_config.log_format, [_config.access_key, _config.hf_token])
_service = Service.open(_config)
app = Front(create_app(_service), _service)
