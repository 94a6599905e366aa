"""Digests: all papers of a day or a week of a feed in one entry.

A period is closed once: its papers are ranked and written down then, and nothing changes it later.
A paper that was found too late for its own period comes in the next one, so that each paper is in
exactly one digest of a feed.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from textwrap import shorten
from typing import NamedTuple

from feedsrv.feeds.entry import count_authors, linked_url, paper_links
from feedsrv.models import (
    Digest,
    DigestLog,
    DigestPaper,
    Kind,
    Listing,
    Match,
    Page,
    Paper,
    Period,
    StoredDays,
    list_day,
)

#: Papers with text and links; there are titles only of all others.
MAX_FULL_PAPERS = 20
#: Digests of a feed that are kept; more only while the window has their papers.
_MAX_DIGESTS = 60
_MAX_TEXT_LENGTH = 400
_MAX_AUTHORS = 3
_SENTENCES = 2
_DASH = "\u2013"
#: The end of a sentence: not after an abbreviation or an initial.
_SENTENCE_END = re.compile(
    r"(?<!\be\.g)(?<!\bi\.e)(?<!\bal)(?<!\bvs)(?<!\bcf)(?<!\bFig)(?<!\bEq)(?<!\bSec)(?<!\b[A-Z])"
    r"[.!?]['\")\]\u201d\u2019]*\s+(?=[^a-z\s])"
)


class ListedPeriod(NamedTuple):
    """A day with a list, or a week with at least one, in the window."""

    key: str
    first_day: date
    last_day: date
    #: The first list day after a period that is closed; None for one that is open.
    closed_by: date | None


def listed_periods(
    days: StoredDays, period: Period, unreadable: Collection[Page] = ()
) -> tuple[ListedPeriod, ...]:
    """Return the periods of the window that have a list day, oldest first.

    A period is closed when a later list day has been read, and when each of its own lists was
    fetched after its day: an earlier copy may lack papers. A week that is only partly in the window
    stays open.

    Args:
        days: The window of list days, newest first, each with its stored listing.
        period: How long the periods are.
        unreadable: Pages of days that nobody need wait for.
    """
    final = {page for page, listing in days if page in unreadable or _is_final(page, listing)}
    read_days = [list_day(*each) for each in reversed(days) if each[1] is not None]
    periods = []
    kind = Kind(period)
    groups = groupby(reversed(days), lambda each: Page.of_date(kind, list_day(*each)).key)
    for index, (key, members) in enumerate(groups):
        lists = tuple(members)
        first_day, last_day = period_days(key)
        is_whole = index > 0 or _window_covers(*lists[0], first_day)
        is_complete = all(page in final for page, _ in lists)
        later = bisect_left(read_days, last_day + timedelta(days=1))
        is_closed = is_whole and is_complete and later < len(read_days)
        closed_by = read_days[later] if is_closed else None
        periods.append(ListedPeriod(key, first_day, last_day, closed_by))
    return tuple(periods)


def close_periods(
    log: DigestLog, matches: Iterable[Match], periods: Sequence[ListedPeriod], title: str
) -> DigestLog | None:
    """Return the log with the periods that are closed but not in it yet; None if there are none.

    The digests so far stay as they are. The periods are those of the window, oldest first.
    """
    known = {digest.key for digest in log.digests}
    new = {period.key: period for period in periods if period.closed_by and period.key not in known}
    if not new:
        return None
    digested = {paper.id for digest in log.digests for paper in digest.papers}
    papers: dict[str, list[Match]] = {key: [] for key in new}
    latest = max(new)
    for match in matches:
        own = _period_of(match.paper, periods)
        if own is None or match.paper.id in digested:
            continue
        if own.key in new:
            papers[own.key].append(match)
        elif own.key in known and own.key < latest:  # found too late for its own period
            papers[latest].append(match)
    added = (_build_digest(period, papers[key], title) for key, period in new.items())
    digests = sorted((*log.digests, *added), key=lambda digest: digest.key)
    recent = digests[-_MAX_DIGESTS].key if len(digests) > _MAX_DIGESTS else ""
    oldest = min(recent, periods[0].key)
    return DigestLog(tuple(digest for digest in digests if digest.key >= oldest))


def period_days(key: str) -> tuple[date, date]:
    """Return the first and the last day of a period."""
    if "W" not in key:
        return date.fromisoformat(key), date.fromisoformat(key)
    year, _, week = key.partition("-W")
    monday = date.fromisocalendar(int(year), int(week), 1)
    return monday, monday + timedelta(days=6)


def format_period(key: str) -> str:
    """Return the days of a period: ``24 November``, or the first and the last of a week."""
    first, last = period_days(key)
    if first == last:
        return f"{last.day} {last:%B}"
    if first.year != last.year:
        return f"{first.day} {first:%B %Y} {_DASH} {last.day} {last:%B %Y}"
    if first.month != last.month:
        return f"{first.day} {first:%B} {_DASH} {last.day} {last:%B}"
    return f"{first.day}{_DASH}{last.day} {last:%B}"


def rank_papers(matches: Iterable[Match]) -> tuple[DigestPaper, ...]:
    """Return the papers by votes, the first twenty with text and links."""
    ranked = sorted(
        matches, key=lambda match: (-match.paper.upvotes, -match.paper.published.timestamp())
    )
    return tuple(
        _full_paper(match) if rank < MAX_FULL_PAPERS else _brief_paper(match)
        for rank, match in enumerate(ranked)
    )


def count_papers(papers: Sequence[DigestPaper]) -> str:
    """Return ``1 paper`` or ``7 papers``."""
    return "1 paper" if len(papers) == 1 else f"{len(papers)} papers"


def _is_final(page: Page, listing: Listing | None) -> bool:
    return listing is not None and listing.fetched_at.date() > list_day(page, listing)


def _window_covers(page: Page, listing: Listing | None, first_day: date) -> bool:
    """Return whether the window's oldest list day is the first of its period."""
    previous = listing.previous_day if listing is not None else ""
    return list_day(page, listing) == first_day or "" < previous < first_day.isoformat()


def _period_of(paper: Paper, periods: Sequence[ListedPeriod]) -> ListedPeriod | None:
    """Return the period of the paper: the first that ends on its day or later.

    A paper that only the search found may be of a day without a list.
    """
    day = paper.published.date()
    index = bisect_left(periods, day, key=lambda period: period.last_day)
    if index == len(periods) or day < periods[0].first_day:
        return None
    return periods[index]


def _build_digest(period: ListedPeriod, matches: Iterable[Match], title: str) -> Digest:
    papers = rank_papers(matches)
    return Digest(
        key=period.key,
        title=f"{title}: {count_papers(papers)}, {format_period(period.key)}",
        published=datetime.combine(period.closed_by or period.last_day, time(), UTC),
        papers=papers,
    )


def _full_paper(match: Match) -> DigestPaper:
    paper = match.paper
    return DigestPaper(
        id=paper.id,
        title=paper.title,
        url=linked_url(paper, match.feeds[0].link),
        byline=_byline(paper),
        text=" ".join(paper.ai_summary.split()) or _first_sentences(paper.abstract),
        is_ai_summary=bool(paper.ai_summary),
        links=tuple(paper_links(paper).items()),
    )


def _brief_paper(match: Match) -> DigestPaper:
    paper = match.paper
    url = linked_url(paper, match.feeds[0].link)
    return DigestPaper(id=paper.id, title=paper.title, url=url)


def _byline(paper: Paper) -> str:
    names, others = paper.authors[:_MAX_AUTHORS], len(paper.authors) - _MAX_AUTHORS
    authors = ", ".join(names)
    if others > 0:
        authors += " and 1 other" if others == 1 else f" and {others} others"
    return " · ".join(filter(None, [authors or count_authors(paper), paper.organization]))


def _first_sentences(text: str) -> str:
    """Return the first two sentences, or fewer where they are long."""
    text = " ".join(text.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(f"{text} .")]
    fitting = [end for end in ends[:_SENTENCES] if end <= _MAX_TEXT_LENGTH]
    if fitting:
        return text[: fitting[-1]].rstrip()
    return shorten(text, _MAX_TEXT_LENGTH, placeholder=" …")
