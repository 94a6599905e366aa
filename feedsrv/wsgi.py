"""The application for a WSGI server of your own: ``gunicorn feedsrv.wsgi:app``."""

from __future__ import annotations

import os

from feedsrv.config import load
from feedsrv.front import Front
from feedsrv.service import Service
from feedsrv.web import create_app

_service = Service.open(load(None, os.environ))  # noqa: TID251  # the process's edge
app = Front(create_app(_service), _service)
