"""How many papers a feed has."""

from collections.abc import Iterable
from datetime import date

from feedsrv.models import Match

#: What a feed has at least if it sets no limit, as far as there are so many papers.
DEFAULT_LIMIT = 50
#: More papers than a feed can have.
ALL_PAPERS = 1_000_000
#: The newest list days, which are complete then.
_COMPLETE_DAYS = 3


def default_limit(matches: Iterable[Match]) -> int:
    """Return how many of the matches, newest first, a feed has that sets no limit: fifty, or more.

    Its three newest list days are complete, so that a laptop that was closed over the weekend
    misses nothing, even if a day has sixty papers.
    """
    days: set[date] = set()
    complete = 0
    for number, match in enumerate(matches, 1):
        if match.paper.listed is not None:
            days.add(match.paper.published_on)
            if len(days) > _COMPLETE_DAYS:
                break
            complete = number
    return max(DEFAULT_LIMIT, complete)
