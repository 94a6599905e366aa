"""What failed for long, from when to when, and what an operator's reader is told of it.

Values in, values out. What is known of outages is a tuple of them, the latest first; each function
returns the same tuple where nothing is new.

::

    failing for six hours ──┐                      ┌── read
                            ├── an outage begins ──┤── and it is over
    the layout has drifted ─┘                      └── an entry each; neither's id ever changes
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape

import msgspec

from feedsrv.entry import Entry, Link
from feedsrv.freshness import Failure
from feedsrv.paper import Page

#: How long a list fails before it is told of. Most failures are shorter, and readers see nothing.
LONG = timedelta(hours=6)
#: Outages remembered.
_MOST = 50
#: What fails where all of upstream does.
EVERYTHING = "Hugging Face"


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that failed for long, or whose layout is not what it was."""

    #: What could not be read: a page, all of upstream, the layout of a kind.
    subject: str
    reason: str
    #: When it failed first.
    since: datetime
    #: When it was long enough to be told of.
    told_at: datetime
    #: When it was over; None while it is not.
    until: datetime | None = None


Outages = tuple[Outage, ...]


def failing(
    known: Outages, page: Page, failure: Failure, of_all: Failure | None, now: datetime
) -> Outages:
    """Return the outages after a page failed again.

    Args:
        known: Those before.
        page: The page.
        failure: How it fails.
        of_all: How upstream as a whole fails, if it does: then the page is one of many, and there
            is one outage for them all.
        now: The moment.

    """
    if of_all is not None and now - _since(of_all) >= LONG:
        return _begun(known, EVERYTHING, _reason(of_all), _since(of_all), now)
    if now - _since(failure) >= LONG:
        return _begun(known, str(page), _reason(failure), _since(failure), now)
    return known


def drifted(known: Outages, page: Page, reason: str, now: datetime) -> Outages:
    """Return the outages after a page came without what should be in it."""
    return _begun(known, _layout(page), reason, now, now)


def read(known: Outages, page: Page, *, whole: bool, now: datetime) -> Outages:
    """Return the outages after a page was read; ``whole`` if from where it should be."""
    mended = {str(page), EVERYTHING} | ({_layout(page)} if whole else set())
    if not any(each.subject in mended for each in known if each.until is None):
        return known
    return tuple(
        msgspec.structs.replace(each, until=now)
        if each.until is None and each.subject in mended
        else each
        for each in known
    )


def _since(failure: Failure) -> datetime:
    return failure.since or failure.at


def _reason(failure: Failure) -> str:
    """Return the reason without the address, which is for logs."""
    return failure.reason.partition(" (http")[0]


def _layout(page: Page) -> str:
    return f"layout of {page.kind}"


def _begun(known: Outages, subject: str, reason: str, since: datetime, now: datetime) -> Outages:
    if any(each.subject == subject and each.until is None for each in known):
        return known
    begun = Outage(subject=subject, reason=reason, since=since, told_at=now)
    return (begun, *known)[:_MOST]


# --- what is told of it ----------------------------------------------------------------------


def entries(known: Outages, page_url: str) -> tuple[Entry, ...]:
    """Return an entry for each outage and one for the end of each, the latest first.

    Args:
        known: The outages.
        page_url: Where more is told.

    """
    made = (entry for outage in known for entry in _entries(outage, page_url))
    return tuple(sorted(made, key=_order, reverse=True))


def _order(entry: Entry) -> tuple[datetime, str]:
    return entry.published, entry.id


def _entries(outage: Outage, page_url: str) -> Iterator[Entry]:
    is_layout = outage.subject.startswith("layout of ")
    what = f"The {outage.subject}" if is_layout else outage.subject
    begun = f"{what} has changed" if is_layout else f"{what} cannot be read"
    ended = f"{what} can be read again" if not is_layout else f"{what} is as it was"
    facts = [f"Since {_moment(outage.since)}: {outage.reason}."]
    facts.append(
        "Papers are taken from what else can be read, and readers may get fewer details."
        if is_layout
        else "Readers get what was read before."
    )
    if outage.until is not None:
        facts.append(f"It was over at {_moment(outage.until)}.")
        over = [f"It lasted from {_moment(outage.since)} to {_moment(outage.until)}."]
        yield _entry(
            outage, ":over", ended, over, when=(outage.until, outage.until), page_url=page_url
        )
    last = outage.until or outage.told_at
    yield _entry(outage, "", begun, facts, when=(outage.told_at, last), page_url=page_url)


def _entry(
    outage: Outage,
    suffix: str,
    title: str,
    facts: Sequence[str],
    *,
    when: tuple[datetime, datetime],
    page_url: str,
) -> Entry:
    published, updated = (moment.replace(microsecond=0) for moment in when)
    return Entry(
        id=f"{_id(outage)}{suffix}",
        title=title,
        published=published,
        updated=updated,
        authors=("feedsrv",),
        keywords=(),
        feeds=("status",),
        links=(Link("alternate", page_url, "text/html"),),
        summary="",
        abstract=" ".join(facts),
        content="\n".join(f"<p>{escape(fact)}</p>" for fact in facts),
    )


def _id(outage: Outage) -> str:
    """Return an id of letters that a tag has (RFC 4151), whatever somebody searched for."""
    named = hashlib.sha256(outage.subject.encode()).hexdigest()[:12]
    return f"tag:feedsrv,2026:outage:{named}:{outage.since:%Y%m%dT%H%M%SZ}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
