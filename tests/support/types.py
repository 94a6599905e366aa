"""Types of fixtures."""

from collections.abc import Callable

from flask.testing import FlaskClient

from feedsrv.feeds.service import Service

#: Opens a service on the test's store; keyword arguments replace settings.
MakeService = Callable[..., Service]
#: Opens a service and returns a test client of its application; keyword arguments as above.
MakeClient = Callable[..., FlaskClient]
