"""Bar charts of papers per list day."""

from datetime import date

import pytest

from feedsrv.feeds.window import WindowDay
from feedsrv.web.chart import Chart, build_chart
from tests.support.builders import make_paper

#: Papers on each day of August 2026; None for a day that was not fetched.
Counts = dict[int, int | None]


def chart_of(counts: Counts) -> Chart:
    days = [WindowDay(date(2026, 8, day), count is not None) for day, count in counts.items()]
    papers = [
        make_paper(listed=date(2026, 8, day))
        for day, count in counts.items()
        for _ in range(count or 0)
    ]
    return build_chart(papers, days)


@pytest.mark.parametrize(
    ("counts", "description"),
    [
        (
            {4: None, 5: 0, 6: 0},
            "Papers on each of 3 list days from 4 August to 6 August 2026: none.",
        ),
        (
            {4: None, 5: 0, 6: 2},
            (
                "Papers on each of 3 list days from 4 August to 6 August 2026: max. 2 per day,"
                " on 6 August, none on 1 day."
            ),
        ),
        (
            {4: 5, 5: 5, 6: 2},
            (
                "Papers on each of 3 list days from 4 August to 6 August 2026: max. 5 per day,"
                " on 2 days."
            ),
        ),
    ],
)
def test_description_has_the_period_the_peak_and_the_empty_days(
    counts: Counts, description: str
) -> None:
    assert chart_of(counts).description == description


def test_days_that_were_not_fetched_differ_from_empty_days() -> None:
    not_fetched, empty = chart_of({4: None, 5: 0}).bars
    assert not not_fetched.is_fetched
    assert not_fetched.label == "4 August 2026: not fetched yet"
    assert empty.is_fetched
    assert empty.label == "5 August 2026: no papers"


def test_bars_are_scaled_to_the_peak() -> None:
    bars = chart_of({4: 10, 5: 5, 6: 0}).bars
    assert [(bar.x, bar.y, bar.height) for bar in bars] == [(0, 0, 40), (10, 20, 20), (20, 40, 0)]


def test_a_single_paper_does_not_fill_the_chart() -> None:
    (bar,) = chart_of({4: 1}).bars
    assert bar.height == pytest.approx(40 / 3, abs=0.1)


def test_a_chart_without_labels_is_two_paths() -> None:
    chart = chart_of({4: 10, 5: 5, 6: 0, 7: None})
    assert chart.svg_path == "M0 40v-40h5v40zM10 40v-20h5v20z"
    assert chart.svg_unfetched_path == "M30 0v40h5v-40z"
