"""The application for a WSGI server of your own: ``gunicorn feedsrv.web.wsgi:app``.

It reads nothing before it is asked for something, if only /readyz: a server that forks after it has
this would leave its children without the thread that reads.
"""

from __future__ import annotations

import os

from feedsrv.config import load_config
from feedsrv.feeds.service import Service
from feedsrv.logs import configure_logging
from feedsrv.monitoring.incidents import record_incidents
from feedsrv.monitoring.metrics import Metrics
from feedsrv.web.app import create_app
from feedsrv.web.cache import ResponseCache

_config = load_config(None, os.environ)  # noqa: TID251  # the process's edge
configure_logging(_config.log_format, [_config.access_key, _config.hf_token])
_service = Service.open(_config)
record_incidents(_service)
_metrics = Metrics()
_service.subscribe(_metrics.handle)
app = ResponseCache(create_app(_service, _metrics), _service, _metrics)
