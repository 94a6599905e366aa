"""The application for a WSGI server: ``feedsrv.web.wsgi:app``, configured by the environment.

It starts no thread before the first request: a server that forks after the import would leave its
children without that thread.
"""

import os
import sys
import threading

from flask import Flask

from feedsrv.config import load_config
from feedsrv.errors import FeedsrvError
from feedsrv.web.app import open_app

#: The exit code after which gunicorn starts no other worker: the application cannot be loaded.
_APP_LOAD_ERROR = 4


def _open_app() -> Flask:
    """Return the application; if it cannot be loaded, end the process with a line for each problem.

    A server that imports this module would print a traceback.
    """
    try:
        return open_app(load_config(None, os.environ))  # noqa: TID251  # it is read here
    except (FeedsrvError, OSError) as error:  # invalid settings, no disk
        lines = [f"feedsrv: {line}\n" for line in str(error).splitlines()]
        sys.stderr.writelines(lines)
        sys.exit(_APP_LOAD_ERROR)


app = _open_app()
# Close the service when the process ends, before Python waits for the threads: the upstream thread
# would first work off its queue. atexit is too late, and never runs in a granian worker, which is a
# child of multiprocessing.
threading._register_atexit(app.extensions["feedsrv"].close)  # type: ignore[attr-defined]  # noqa: SLF001
