"""Where feeds that reached their limit were cut off, so that no paper comes back."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from feedsrv.feeds.metadata import feeds_id
from feedsrv.feeds.stored_list_days import StoredListDays
from feedsrv.models import Feed, Match
from feedsrv.storage.repository import Repository


@dataclass(kw_only=True, eq=False)
class Cutoffs:
    """Where feeds were cut off. Safe for threads and processes."""

    repository: Repository
    #: The window.
    list_days: StoredListDays

    def drop_matches_before_cutoff(
        self, feeds: Sequence[Feed], limit: int | None, matches: tuple[Match, ...], size: int
    ) -> tuple[Match, ...]:
        """Return the matches without old ones that newer ones pushed out of the feed before.

        They come newest first. When a paper leaves the window, the next older search hit would take
        its place, and readers would show it as new. Papers of the window always stay.
        """
        start = self.list_days.window_start()
        has_window = any(feed.page is None and "daily" in feed.sources for feed in feeds)
        if not has_window or not matches or matches[-1].paper.published >= start:
            return matches
        limit = limit or max(feed.limit for feed in feeds)
        name = f"{feeds_id(feeds)} {limit}"
        if len(matches) > size:
            cutoff = self.repository.raise_cutoff(name, matches[size].paper.published)
        elif (stored := self.repository.get_cutoff(name)) is not None:
            cutoff = stored
        else:
            return matches
        latest_hidden = min(cutoff.published, start - timedelta(microseconds=1))
        first_hidden = bisect_left(
            matches, True, key=lambda match: match.paper.published <= latest_hidden
        )
        return matches[:first_hidden]
