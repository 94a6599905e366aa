"""The lease: which process may send requests to upstream, by the clock of who asks."""

from datetime import datetime, timedelta

import msgspec

#: For how long a process that has to wait for the lease has precedence over others.
_PRECEDENCE = timedelta(seconds=1)


class Lease(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which process may send requests to upstream, and until when."""

    owner: str
    until: datetime
    #: The process that is next because a reader waits for it, and until when it has precedence.
    next_owner: str = ""
    next_until: datetime | None = None


def acquire_lease(
    held: Lease | None, owner: str, now: datetime, length: timedelta, *, is_awaited: bool
) -> Lease:
    """Return the lease after a process asked for it; it has the lease if it is the owner then.

    A process for which a reader waits is next: who has the lease cannot take it again before,
    however soon it asks.
    """
    if held is None:
        return Lease(owner, now + length)
    # A lease of twice its length was taken by a clock that was wrong. (Not of a little more than
    # once: another process may have taken it while this one waited for the store.)
    is_held = bool(held.owner) and now < held.until <= now + 2 * length
    if is_held and held.owner == owner:  # extended
        return msgspec.structs.replace(held, until=now + length)
    next_until = held.next_until or now
    has_next = now < next_until <= now + 2 * _PRECEDENCE
    is_next = has_next and held.next_owner == owner
    if not is_held and (is_next or not has_next):
        return Lease(owner, now + length)
    is_due = is_next and next_until < now + _PRECEDENCE / 2
    if is_awaited and (is_due or not has_next):
        return msgspec.structs.replace(held, next_owner=owner, next_until=now + _PRECEDENCE)
    return held


def release_lease(held: Lease | None, owner: str) -> Lease | None:
    """Return the lease after the process gave it back, if it has it."""
    if held is None or held.owner != owner:
        return held
    return msgspec.structs.replace(held, owner="")
