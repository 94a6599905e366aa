"""Stored records that nothing above the storage sees. See also `lease` and `last_modified`."""

from __future__ import annotations

import msgspec

from feedsrv.models import Incidents, Page


class PageAlias(msgspec.Struct, frozen=True):
    """The page that upstream returned for another one: Friday's list on a Saturday."""

    page: Page


class IncidentLog(msgspec.Struct, frozen=True):
    """Failures that lasted long, the latest first."""

    incidents: Incidents
