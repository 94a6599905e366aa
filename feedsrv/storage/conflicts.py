"""Which of two records for one key wins.

Conflicts arise when the backend failed and processes changed a record independently.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import msgspec

from feedsrv.models import DigestLog, Failure, IncidentLog, Listing, RequestLog
from feedsrv.storage.artefact_buckets import ArtefactBucket
from feedsrv.storage.clock_skew import is_future
from feedsrv.storage.last_modified import LastModifiedBucket
from feedsrv.storage.lease import Lease


def resolve_conflict(
    ours: msgspec.Struct, theirs: msgspec.Struct, now: datetime, *, was_ours_stored: bool
) -> msgspec.Struct:
    """Return the later record.

    Where both are of one time, or have none, ours wins unless it was stored once: then it is what
    the other process read and changed.

    Request logs, Last-Modified values and artefacts are merged. Of leases and logs of digests the
    stored one wins: other processes obey the one, and have served the others.
    """
    match ours, theirs:
        case RequestLog(), RequestLog():
            return RequestLog(
                _merge_times(ours.times, theirs.times),
                _merge_times(ours.adhoc_times, theirs.adhoc_times),
            )
        case LastModifiedBucket(), LastModifiedBucket():
            return ours.merge(theirs)
        case ArtefactBucket(), ArtefactBucket():
            return ours.merge(theirs, now)
        case (Lease(), Lease()) | (DigestLog(), DigestLog()):
            return theirs
    our_time, their_time = _timestamp(ours, now), _timestamp(theirs, now)
    if our_time == their_time:
        return theirs if was_ours_stored else ours
    return ours if our_time > their_time else theirs


def _merge_times(one: Iterable[datetime], other: Iterable[datetime]) -> tuple[datetime, ...]:
    """Return the times of both; those in both count once."""
    return tuple(sorted((Counter(one) | Counter(other)).elements()))


def _timestamp(record: msgspec.Struct, now: datetime) -> float:
    """Return the time of the record, 0 where it has none or where a wrong clock wrote it."""
    match record:
        case Listing(fetched_at=time) | Failure(at=time):
            pass
        case IncidentLog(incidents=[latest, *_]):
            time = latest.ended_at or latest.reported_at
        case _:
            return 0.0
    return 0.0 if is_future(time, now) else time.timestamp()
