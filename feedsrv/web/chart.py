"""Bar charts: how many of a feed's papers each list day has."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import msgspec

from feedsrv.feeds.window import WindowDay
from feedsrv.models import Paper
from feedsrv.web.filters import format_count, format_number, long_date, short_date

#: In units of the SVG's view box.
_DAY_WIDTH, _BAR_WIDTH, _MAX_BAR_HEIGHT = 10, 5, 40
#: The scale ends at this count at least, so that a single paper does not fill the chart.
_MIN_SCALE = 3


class Bar(msgspec.Struct, frozen=True):
    """One list day of a chart."""

    x: int
    y: float
    height: float
    label: str
    is_fetched: bool


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """How many papers each list day has, oldest first."""

    bars: tuple[Bar, ...]
    width: int
    first_date: str
    last_date: str
    max_count: int
    #: The chart in words, for screen readers.
    description: str

    @property
    def svg_path(self) -> str:
        """The bars as data of one SVG path, for a chart without labels."""
        return "".join(
            f"M{bar.x} 40v-{bar.height:g}h{_BAR_WIDTH}v{bar.height:g}z"
            for bar in self.bars
            if bar.height
        )

    @property
    def svg_unfetched_path(self) -> str:
        """The days that are not fetched yet, as data of one SVG path."""
        return "".join(
            f"M{bar.x} 0v40h{_BAR_WIDTH}v-40z" for bar in self.bars if not bar.is_fetched
        )


def build_chart(papers: Iterable[Paper], days: Sequence[WindowDay]) -> Chart:
    """Return the chart of the papers on the list days: one or more, the oldest first."""
    counts = Counter(paper.published.date() for paper in papers)
    max_count = max(counts[day.date] for day in days)
    scale = max(max_count, _MIN_SCALE)
    return Chart(
        bars=tuple(
            _build_bar(index, day, counts[day.date], scale) for index, day in enumerate(days)
        ),
        width=len(days) * _DAY_WIDTH,
        first_date=_axis_label(days[0].date),
        last_date=_axis_label(days[-1].date),
        max_count=max_count,
        description=_describe(counts, days, max_count),
    )


def _axis_label(day: date) -> str:
    """Return ``24 Nov``: both ends fit beside each other on a phone."""
    return f"{day.day} {day:%b}"


def _build_bar(index: int, day: WindowDay, count: int, scale: int) -> Bar:
    height = round(_MAX_BAR_HEIGHT * count / scale, 1)
    papers = format_count(count, "paper") if day.is_fetched else "not fetched yet"
    return Bar(
        x=index * _DAY_WIDTH,
        y=round(_MAX_BAR_HEIGHT - height, 1),
        height=height,
        label=f"{long_date(day.date)}: {papers}",
        is_fetched=day.is_fetched,
    )


def _describe(counts: Mapping[date, int], days: Sequence[WindowDay], max_count: int) -> str:
    period = f"from {short_date(days[0].date)} to {long_date(days[-1].date)}"
    subject = f"Papers on each of {format_count(len(days), 'list day')} {period}"
    if not max_count:
        return f"{subject}: none."
    peaks = [day.date for day in days if counts[day.date] == max_count]
    peak = f"on {short_date(peaks[0])}" if len(peaks) == 1 else f"on {len(peaks)} days"
    empty = sum(day.is_fetched and not counts[day.date] for day in days)
    rest = f", none on {format_count(empty, 'day')}" if empty else ""
    return f"{subject}: max. {format_number(max_count)} per day, {peak}{rest}."
