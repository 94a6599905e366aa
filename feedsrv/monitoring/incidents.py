"""The ways of writing a feed, and what a feed says of itself in each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from html import escape

import msgspec

from feedsrv import __version__
from feedsrv.errors import FetchError
from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.entry import Entry, Link
from feedsrv.feeds.metadata import FeedMetadata, feed_id
from feedsrv.feeds.service import Service
from feedsrv.models import Failure, Incident, Incidents, Page
from feedsrv.storage.repository import Repository
from feedsrv.upstream.events import Event, FetchFailed, LayoutChanged, ListingFetched


def incident_feed(
    outages: Incidents, *, server: str, self_url: str, page_url: str, icon_url: str
) -> bytes:
    """Return the feed, as Atom, of what failed for long and when it was over.

    Args:
        outages: The outages.
        server: What tells the server from others; its id is made of it.
        self_url: Where the feed is.
        page_url: Where more is told.
        icon_url: Where its icon is.

    """
    about = FeedMetadata(
        id=feed_id([f"status of {server}"]),
        title="feedsrv: status",
        subtitle="When Hugging Face could not be read for hours, or had changed its pages",
        self_url=self_url,
        page_url=page_url,
        icon_url=icon_url,
        version=__version__,
    )
    return render_atom(about, incident_entries(outages, page_url))


#: How long a list fails before it is told of. Most failures are shorter, and readers see nothing.
MIN_DURATION = timedelta(hours=6)
#: Outages remembered.
_MAX_INCIDENTS = 50
#: What fails where all of upstream does.
ALL_UPSTREAM = "Hugging Face"


def record_failure(
    known: Incidents, page: Page, failure: Failure, of_all: Failure | None, now: datetime
) -> Incidents:
    """Return the outages after a page failed again.

    Args:
        known: Those before.
        page: The page.
        failure: How it fails.
        of_all: How upstream as a whole fails, if it does: then the page is one of many, and there
            is one outage for them all.
        now: The moment.

    """
    if of_all is not None and now - of_all.since >= MIN_DURATION:
        return _open_incident(known, ALL_UPSTREAM, _short_reason(of_all), of_all.since, now)
    if now - failure.since >= MIN_DURATION:
        return _open_incident(known, str(page), _short_reason(failure), failure.since, now)
    return known


def record_layout_change(known: Incidents, page: Page, reason: str, now: datetime) -> Incidents:
    """Return the outages after a page came without what should be in it."""
    return _open_incident(known, _layout_subject(page), reason, now, now)


def record_success(known: Incidents, page: Page, *, whole: bool, now: datetime) -> Incidents:
    """Return the outages after a page was read; ``whole`` if from where it should be."""
    mended = {str(page), ALL_UPSTREAM} | ({_layout_subject(page)} if whole else set())
    if not any(each.subject in mended for each in known if each.ended_at is None):
        return known
    return tuple(
        msgspec.structs.replace(each, ended_at=now)
        if each.ended_at is None and each.subject in mended
        else each
        for each in known
    )


def _short_reason(failure: Failure) -> str:
    """Return the reason without the address, which is for logs."""
    return failure.reason.partition(" (http")[0]


def _layout_subject(page: Page) -> str:
    return f"layout of {page.kind}"


def _open_incident(
    known: Incidents, subject: str, reason: str, since: datetime, now: datetime
) -> Incidents:
    if any(each.subject == subject and each.ended_at is None for each in known):
        return known
    begun = Incident(subject=subject, reason=reason, started_at=since, reported_at=now)
    return (begun, *known)[:_MAX_INCIDENTS]


# --- what is told of it ----------------------------------------------------------------------


def incident_entries(known: Incidents, page_url: str) -> tuple[Entry, ...]:
    """Return an entry for each outage and one for the end of each, the latest first.

    Args:
        known: The outages.
        page_url: Where more is told.

    """
    made = (entry for outage in known for entry in _entries_for(outage, page_url))
    return tuple(sorted(made, key=_entry_order, reverse=True))


def _entry_order(entry: Entry) -> tuple[datetime, str]:
    return entry.published, entry.id


def _entries_for(outage: Incident, page_url: str) -> Iterator[Entry]:
    is_layout = outage.subject.startswith("layout of ")
    what = f"The {outage.subject}" if is_layout else outage.subject
    begun = f"{what} has changed" if is_layout else f"{what} cannot be read"
    ended = f"{what} can be read again" if not is_layout else f"{what} is as it was"
    facts = [f"Since {_format_time(outage.started_at)}: {outage.reason}."]
    facts.append(
        "Papers are taken from what else can be read, and readers may get fewer details."
        if is_layout
        else "Readers get what was read before."
    )
    if outage.ended_at is not None:
        facts.append(f"It was over at {_format_time(outage.ended_at)}.")
        over = [
            f"It lasted from {_format_time(outage.started_at)} to {_format_time(outage.ended_at)}."
        ]
        yield _build_entry(
            outage, ":over", ended, over, when=(outage.ended_at, outage.ended_at), page_url=page_url
        )
    last = outage.ended_at or outage.reported_at
    yield _build_entry(outage, "", begun, facts, when=(outage.reported_at, last), page_url=page_url)


def _build_entry(
    outage: Incident,
    suffix: str,
    title: str,
    facts: Sequence[str],
    *,
    when: tuple[datetime, datetime],
    page_url: str,
) -> Entry:
    published, updated = (moment.replace(microsecond=0) for moment in when)
    return Entry(
        id=f"{_incident_id(outage)}{suffix}",
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


def _incident_id(outage: Incident) -> str:
    """Return an id of letters that a tag has (RFC 4151), whatever somebody searched for."""
    named = hashlib.sha256(outage.subject.encode()).hexdigest()[:12]
    return f"tag:feedsrv,2026:outage:{named}:{outage.started_at:%Y%m%dT%H%M%SZ}"


def _format_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


class IncidentRecorder:
    """Keeps the incident log up to date with the refresher's events. Safe for threads.

    Args:
        repository: Stores the incident log.
        now: The clock (UTC).

    """

    def __init__(self, repository: Repository, now: Callable[[], datetime]) -> None:
        self._repository = repository
        self._now = now

    def handle(self, event: Event) -> None:
        """Update the incident log; a `feedsrv.upstream.events.Listener`."""
        now = self._now()
        match event:
            case FetchFailed(page, error, failure, outage) if isinstance(error, FetchError):
                self._update(lambda known: record_failure(known, page, failure, outage, now))
            case LayoutChanged(page, reason):
                self._update(lambda known: record_layout_change(known, page, reason, now))
            case ListingFetched(page, listing):
                whole = listing.parsed_from == "data"
                self._update(lambda known: record_success(known, page, whole=whole, now=now))

    def _update(self, change: Callable[[Incidents], Incidents]) -> None:
        # Nearly always there is nothing to write.
        known = self._repository.get_incidents()
        if change(known) is not known:
            self._repository.update_incidents(change)


def record_incidents(service: Service) -> None:
    """Keep the incident log of the service's store from now on."""
    service.subscribe(IncidentRecorder(service.repository, service.now).handle)
