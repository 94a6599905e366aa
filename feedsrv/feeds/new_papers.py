"""What is new in a feed since the last report, for scripts."""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from feedsrv.feeds.digest import count_papers, rank_papers
from feedsrv.feeds.limits import ALL_PAPERS
from feedsrv.feeds.metadata import feeds_id, feeds_title
from feedsrv.feeds.service import Service
from feedsrv.models import Digest, Feed, Match
from feedsrv.storage.permanent_values import PermanentValues

#: How far the first report of a feed goes back.
_FIRST_REPORT = timedelta(days=7)
#: Papers that are remembered as reported.
_MAX_REPORTED = 5000


class ReportedPapers(msgspec.Struct, frozen=True):
    """The papers of a feed that reports have had, the newest first."""

    #: Earlier papers are in no report.
    since: date
    ids: tuple[str, ...]


class Report(msgspec.Struct, frozen=True):
    """The papers of a feed that no report had yet."""

    digest: Digest
    reported: ReportedPapers


def build_report(service: Service, feeds: Sequence[Feed], since: date | None) -> Report:
    """Return what is new in a feed, or in the union of several, since the last report.

    If there was none, of the last seven days. ``since`` asks for all papers from that day on,
    reported before or not.

    Raises:
        NoDataYetError: Upstream fails, and nothing is stored for any of the feeds.
        StoreError: The store fails, so that nobody knows what was reported.
    """
    now = service.now()
    first_day = now.date() - _FIRST_REPORT
    last = _reported(service).get(feeds_id(feeds)) or ReportedPapers(first_day, ())
    first_day = min(last.since, first_day)  # whatever the clock said
    matches = service.get_feed(*feeds, limit=ALL_PAPERS, page_number=1).matches
    known = frozenset(last.ids)
    new = [match for match in matches if _is_new(match, first_day, known, since)]
    papers = rank_papers(new)
    title = feeds_title(feeds, demo=service.config.demo)
    ids = dict.fromkeys([*(match.paper.id for match in matches), *last.ids])
    return Report(
        Digest(
            key="",
            title=f"{title}: {count_papers(papers).replace(' ', ' new ')}",
            published=now,
            papers=papers,
        ),
        ReportedPapers(first_day, tuple(ids)[:_MAX_REPORTED]),
    )


def mark_reported(service: Service, feeds: Sequence[Feed], report: Report) -> None:
    """Have the next report leave out what this one had."""
    _reported(service).set(feeds_id(feeds), report.reported)


def _is_new(match: Match, first_day: date, known: frozenset[str], since: date | None) -> bool:
    day = match.paper.published.date()
    return day >= since if since else day >= first_day and match.paper.id not in known


def _reported(service: Service) -> PermanentValues[ReportedPapers]:
    return service.repository.permanent_values("reported", ReportedPapers)
