"""Papers to a small chart of how many each list day has. Values in, values out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec

from feedsrv import prose
from feedsrv.paper import Paper
from feedsrv.shelf import Day

#: Of one day, and of the highest bar.
_WIDTH, _HEIGHT = 10, 40
#: Papers of a day that make the highest bar at least, so that a single one does not fill a chart.
_LEAST = 3


class Bar(msgspec.Struct, frozen=True):
    """One list day of a chart."""

    x: int
    y: float
    height: float
    said: str
    is_read: bool


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """How many papers each list day has."""

    bars: tuple[Bar, ...]
    width: int
    first: str
    last: str
    most: int
    #: The same in words.
    said: str


def chart(papers: Iterable[Paper], days: Sequence[Day]) -> Chart:
    """Return how many of the papers each list day has, oldest first."""
    counts = Counter(paper.published.date() for paper in papers)
    most = max((counts[day.date] for day in days), default=0)
    scale = max(most, _LEAST)
    bars = tuple(_bar(place, day, counts[day.date], scale) for place, day in enumerate(days))
    first, last = (
        (prose.short_day(days[0].date), prose.short_day(days[-1].date)) if days else ("", "")
    )
    return Chart(
        bars=bars,
        width=max(1, len(days) * _WIDTH),
        first=first,
        last=last,
        most=most,
        said=_charted(counts, days, most),
    )


def _bar(place: int, day: Day, count: int, scale: int) -> Bar:
    height = round(_HEIGHT * count / scale, 1)
    papers = prose.count(count, "paper") if day.is_read else "not read yet"
    said = f"{prose.day(day.date)}: {papers}"
    return Bar(place * _WIDTH, round(_HEIGHT - height, 1), height, said, day.is_read)


def _charted(counts: Mapping[date, int], days: Sequence[Day], most: int) -> str:
    """Return the chart in words, for those who do not see it."""
    if not days:
        return "No list day has been read."
    between = f"from {prose.short_day(days[0].date)} to {prose.day(days[-1].date)}"
    said = f"Papers on each of {prose.count(len(days), 'list day')} {between}"
    if not most:
        return f"{said}: none."
    top = [day.date for day in days if counts[day.date] == most]
    on = f"on {prose.short_day(top[-1])}" if len(top) == 1 else f"on {len(top)} days"
    none = sum(day.is_read and not counts[day.date] for day in days)
    rest = f", none on {prose.count(none, 'day')}" if none else ""
    return f"{said}: at most {prose.number(most)} a day, {on}{rest}."
