"""The incident log and its Atom feed: long outages of upstream and changes of its page layout."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from html import escape

import msgspec

from feedsrv.errors import FetchError
from feedsrv.feeds.atom import render_atom
from feedsrv.feeds.entry import Entry, EntryLink
from feedsrv.feeds.metadata import FeedMetadata, uuid_urn
from feedsrv.feeds.service import Service
from feedsrv.models import Failure, Incident, Incidents, Page
from feedsrv.upstream.events import Event, FetchFailed, LayoutChanged, ListingFetched

#: Failures shorter than this are not reported as incidents. Most are shorter, and feeds are served
#: from the store meanwhile.
MIN_DURATION = timedelta(hours=6)
_MAX_INCIDENTS = 50
#: The subject of an incident while all of upstream fails.
ALL_UPSTREAM = "Hugging Face"
_LAYOUT_PREFIX = "layout of "


def subscribe_incident_recorder(service: Service) -> None:
    """Record the incidents of the service in its repository from now on."""

    def record(event: Event) -> None:
        def change(incidents: Incidents) -> Incidents:
            return with_event(incidents, event, service.now())

        # Most events change nothing: skip the write.
        incidents = service.repository.get_incidents()
        if change(incidents) is not incidents:
            service.repository.update_incidents(change)

    service.events.subscribe(record)


def with_event(incidents: Incidents, event: Event, now: datetime) -> Incidents:
    """Return the incidents after an event; the same object if nothing changed."""
    match event:
        case FetchFailed(page, FetchError(), failure, outage):
            # While upstream as a whole fails, one incident covers all pages.
            if outage is not None and now - outage.since >= MIN_DURATION:
                return _open_incident(
                    incidents, ALL_UPSTREAM, short_reason(outage), outage.since, now
                )
            if now - failure.since >= MIN_DURATION:
                return _open_incident(
                    incidents, str(page), short_reason(failure), failure.since, now
                )
        case LayoutChanged(page, reason):
            return _open_incident(incidents, _layout_subject(page), reason, now, now)
        case ListingFetched(page, listing):
            subjects = {str(page), ALL_UPSTREAM}
            if listing.parsed_from == "data":
                subjects.add(_layout_subject(page))
            return _end_incidents(incidents, subjects, now)
    return incidents


def short_reason(failure: Failure) -> str:
    """Return the reason without the URL, which is for logs."""
    return failure.reason.partition(" (http")[0]


def _layout_subject(page: Page) -> str:
    return f"{_LAYOUT_PREFIX}{page.kind}"


def _open_incident(
    incidents: Incidents, subject: str, reason: str, since: datetime, now: datetime
) -> Incidents:
    if any(each.ended_at is None and each.subject == subject for each in incidents):
        return incidents
    opened = Incident(subject=subject, reason=reason, since=since, reported_at=now)
    return (opened, *incidents)[:_MAX_INCIDENTS]


def _end_incidents(incidents: Incidents, subjects: Collection[str], now: datetime) -> Incidents:
    ended = {each for each in incidents if each.ended_at is None and each.subject in subjects}
    if not ended:
        return incidents
    return tuple(
        msgspec.structs.replace(each, ended_at=now) if each in ended else each for each in incidents
    )


def incident_feed(
    incidents: Incidents, *, server: str, self_url: str, page_url: str, icon_url: str
) -> bytes:
    """Return the incidents as an Atom feed; its id is derived from ``server``."""
    metadata = FeedMetadata(
        id=uuid_urn(f"status of {server}"),
        title="feedsrv: status",
        subtitle="Outages of Hugging Face that last for hours, and changes of its page layout",
        self_url=self_url,
        page_url=page_url,
        icon_url=icon_url,
    )
    return render_atom(metadata, incident_entries(incidents, page_url))


def incident_entries(incidents: Incidents, page_url: str) -> tuple[Entry, ...]:
    """Return one entry for each incident and one for its end, newest first."""
    entries = (entry for incident in incidents for entry in _entries_for(incident, page_url))
    return tuple(sorted(entries, key=lambda entry: (entry.published, entry.id), reverse=True))


def _entries_for(incident: Incident, page_url: str) -> Iterator[Entry]:
    since, reported_at, ended_at = incident.since, incident.reported_at, incident.ended_at
    if incident.subject.startswith(_LAYOUT_PREFIX):
        start_title = f"The {incident.subject} has changed"
        end_title = f"The {incident.subject} is back to normal"
        effect = "Papers come from the rest of the page or from the JSON API, with less detail."
    else:
        start_title = f"{incident.subject} is unreachable"
        end_title = f"{incident.subject} is reachable again"
        effect = "Readers get the last good copy."
    sentences = [f"Since {_format_time(since)}: {incident.reason}.", effect]
    if ended_at is not None:
        sentences.append(f"It ended at {_format_time(ended_at)}.")
        yield _build_entry(
            f"{_incident_id(incident)}:over",
            end_title,
            [f"It lasted from {_format_time(since)} to {_format_time(ended_at)}."],
            published=ended_at,
            updated=ended_at,
            page_url=page_url,
        )
    yield _build_entry(
        _incident_id(incident),
        start_title,
        sentences,
        published=reported_at,
        updated=ended_at or reported_at,
        page_url=page_url,
    )


def _build_entry(
    entry_id: str,
    title: str,
    sentences: Sequence[str],
    *,
    published: datetime,
    updated: datetime,
    page_url: str,
) -> Entry:
    return Entry(
        id=entry_id,
        title=title,
        published=published.replace(microsecond=0),
        updated=updated.replace(microsecond=0),
        authors=("feedsrv",),
        keywords=(),
        feeds=("status",),
        links=(EntryLink("alternate", page_url, "text/html"),),
        summary=" ".join(sentences),
        content="\n".join(f"<p>{escape(sentence)}</p>" for sentence in sentences),
    )


def _incident_id(incident: Incident) -> str:
    """Return a tag URI. The subject is hashed: RFC 4151 allows few of a search's characters."""
    subject = hashlib.sha256(incident.subject.encode()).hexdigest()[:12]
    return f"tag:feedsrv,2026:outage:{subject}:{incident.since:%Y%m%dT%H%M%SZ}"


def _format_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
