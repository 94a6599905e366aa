"""Types of fixtures."""

from __future__ import annotations

from collections.abc import Callable

from feedsrv.feeds.service import Service

#: Opens a service on the test's store; keyword arguments replace settings.
MakeService = Callable[..., Service]
