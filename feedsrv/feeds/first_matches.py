"""When papers first satisfied a query with counters, stored for good.

A feed of ``upvotes:>=20`` dates a paper by the moment it had twenty votes, so that late risers come
up on top. What a feed has when it is first served keeps its list day: nobody knows when that
happened, and a new subscription would begin with a month of papers of the same minute.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from feedsrv.errors import StoreError
from feedsrv.feeds.deduplication import newest_first
from feedsrv.feeds.metadata import feeds_id
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.models import Feed, Paper
from feedsrv.storage.clock_skew import is_future
from feedsrv.storage.repository import Repository

#: How long a paper that no longer matches is remembered.
_MEMORY = timedelta(days=120)


class FirstMatchLog(msgspec.Struct, frozen=True, omit_defaults=True):
    """When the papers of one feed first matched."""

    #: By id.
    papers: dict[str, datetime]
    #: The start of the window when it was complete for the first time; None before.
    start: datetime | None = None


class FirstMatches:
    """Dates papers by when they first matched. Safe for threads and processes."""

    def __init__(self, repository: Repository, list_days: StoredListDays) -> None:
        self._list_days = list_days
        self._logs = repository.permanent_values("first-matches", FirstMatchLog)

    def is_stored(self, feed: Feed) -> bool:
        """Return whether the feed was ever served."""
        return self._get(feeds_id([feed])) is not None

    def date_matches(
        self,
        feed: Feed,
        papers: Sequence[Paper],
        now: datetime,
        *,
        is_complete: bool,
        is_stored: bool,
    ) -> tuple[Paper, ...]:
        """Return the papers, which match now, with the dates of their first matches, newest first.

        ``is_complete`` says whether the feed has what it needs: papers of days that are fetched
        later have matched before. ``is_stored`` says whether to store the dates, as for a feed that
        somebody subscribes to.
        """
        name = feeds_id([feed])
        window_ids = self._list_days.search_index().ids
        window_start = self._list_days.window_start() if is_complete else None

        def extend(log: FirstMatchLog | None) -> FirstMatchLog:
            return _extend(log, papers, now, window_ids, window_start)

        stored = self._get(name)
        log = extend(stored)
        if is_stored and log != stored:
            with suppress(StoreError):
                # Another process may have seen them first.
                log = self._logs.update(name, extend) or log
        return newest_first(_dated(paper, log.papers.get(paper.id), now) for paper in papers)

    def _get(self, name: str) -> FirstMatchLog | None:
        with suppress(StoreError):
            return self._logs.get(name)
        return None


def _extend(
    log: FirstMatchLog | None,
    papers: Sequence[Paper],
    now: datetime,
    window_ids: Collection[str],
    window_start: datetime | None,
) -> FirstMatchLog:
    """Return the log with the papers that it does not have."""
    known, start = (log.papers, log.start) if log is not None else ({}, None)
    if start is not None and is_future(start, now):
        start = None
    # A longer window has papers that matched before anybody looked.
    new = {
        paper.id: paper.published
        if start is None or (paper.id in window_ids and paper.published < start)
        else now.replace(microsecond=0)
        for paper in papers
        if paper.id not in known
    }
    if not new and (start is not None or window_start is None):
        return log or FirstMatchLog({})
    current = {paper.id for paper in papers}
    kept = {
        paper_id: moment
        for paper_id, moment in known.items()
        if paper_id in current or moment > now - _MEMORY
    }
    return FirstMatchLog(kept | new, start or window_start)


def _dated(paper: Paper, matched_at: datetime | None, now: datetime) -> Paper:
    """Return the paper with the date, or with its list day alone where that is as good.

    A date in the future is ignored and not dropped: it is right if the clock is behind now, as that
    of a Raspberry Pi is until it has the time from the network.
    """
    if matched_at is None or matched_at <= paper.published or is_future(matched_at, now):
        return paper
    return msgspec.structs.replace(paper, matched_at=matched_at)
