"""The application for a WSGI server: ``feedsrv.web.wsgi:app``, configured by the environment.

It starts no thread before the first request: a server that forks after the import would leave its
children without that thread.
"""

from __future__ import annotations

import os
import threading

from feedsrv.config import load_config
from feedsrv.web.app import open_app

app = open_app(load_config(None, os.environ))  # noqa: TID251  # the environment is read here
# Close the service when the process ends, before Python waits for the threads: the upstream thread
# would first work off its queue. atexit is too late, and never runs in a granian worker, which is a
# child of multiprocessing.
threading._register_atexit(app.extensions["feedsrv"].close)  # type: ignore[attr-defined]  # noqa: SLF001
