"""Times that only a wrong clock can have recorded: those in the future.

A clock that was ahead must not keep anything fresh, blocked or dated in the future once it is right
again. So what is read from the store is corrected here.
"""

from datetime import datetime, timedelta

import msgspec

from feedsrv.models import Incident, Incidents, Listing, Paper, RequestLog

#: How far ahead the clocks of other machines may be.
MAX_CLOCK_SKEW = timedelta(minutes=5)
#: The age of a corrected listing: that of one which is due, whatever it lists.
_DUE_AGE = timedelta(days=8)


def is_future(time: datetime, now: datetime) -> bool:
    """Return whether only a clock that was wrong can have recorded the time."""
    return time > now + MAX_CLOCK_SKEW


def correct_listing(listing: Listing, now: datetime) -> Listing:
    """Return the listing as one that is due; the same object if it was not fetched in the future.

    Nobody knows when it was fetched.
    """
    if not is_future(listing.fetched_at, now):
        return listing
    papers = tuple(_correct_paper(paper, now) for paper in listing.papers)
    return msgspec.structs.replace(
        listing, papers=papers, fetched_at=now - _DUE_AGE, first_fetched_at=None
    )


def _correct_paper(paper: Paper, now: datetime) -> Paper:
    if paper.revised is None or not is_future(paper.revised, now):
        return paper
    return msgspec.structs.replace(paper, revised=now)


def correct_incidents(incidents: Incidents, now: datetime) -> Incidents:
    """Return the incidents without those of the future; the same object if there are none.

    One that ended in the future ended when it was last known to last.
    """
    if not any(is_future(each.ended_at or each.reported_at, now) for each in incidents):
        return incidents
    return tuple(
        _correct_incident(each, now) for each in incidents if not is_future(each.reported_at, now)
    )


def _correct_incident(incident: Incident, now: datetime) -> Incident:
    if incident.ended_at is None or not is_future(incident.ended_at, now):
        return incident
    return msgspec.structs.replace(incident, ended_at=incident.reported_at)


def correct_request_log(request_log: RequestLog, now: datetime) -> RequestLog:
    """Return the log without requests of the future."""
    times, adhoc_times = (
        tuple(time for time in each if not is_future(time, now))
        for each in (request_log.times, request_log.adhoc_times)
    )
    return RequestLog(times, adhoc_times)
