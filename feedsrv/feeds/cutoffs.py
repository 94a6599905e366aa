"""Where feeds that reached their limit were cut off, so that no paper comes back."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta

from feedsrv.feeds.metadata import feeds_id
from feedsrv.models import Feed, Match
from feedsrv.storage.repository import Repository


def drop_matches_older_than_cutoff(
    matches: tuple[Match, ...],
    feeds: Sequence[Feed],
    limit: int | None,
    size: int,
    *,
    window_start: datetime,
    repository: Repository,
) -> tuple[Match, ...]:
    """Return the matches without old ones that newer ones pushed out of the feed before.

    They come newest first. When a paper leaves the window, the next older search hit would take its
    place, and readers would show it as new. Papers of the window always stay.
    """
    has_window = any(feed.page is None and "daily" in feed.sources for feed in feeds)
    if not has_window or not matches or matches[-1].paper.published >= window_start:
        return matches
    limit = limit or max(feed.limit for feed in feeds)
    name = f"{feeds_id(feeds)} {limit}"
    if len(matches) > size:
        cutoff = repository.raise_cutoff(name, matches[size].paper.published)
    elif (stored := repository.get_cutoff(name)) is not None:
        cutoff = stored
    else:
        return matches
    latest_hidden = min(cutoff.published, window_start - timedelta(microseconds=1))
    first_hidden = bisect_left(
        matches, True, key=lambda match: match.paper.published <= latest_hidden
    )
    return matches[:first_hidden]
