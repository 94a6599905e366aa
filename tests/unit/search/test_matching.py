"""Tables of what people mean: query, text, whether it should match, and the rule."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from feedsrv.search.parser import parse_query
from feedsrv.search.query import matches
from tests.support.paths import SHARED
from tests.support.strategies import make_paper

SHARED_TABLE = SHARED / "eval" / "matching.tsv"
TABLES = sorted((Path(__file__).parent / "data").glob("*.tsv"))


class Row(NamedTuple):
    query: str
    text: str
    expected: str
    rule: str


def wrong_share(table: Path, expected: str) -> tuple[float, list[Row]]:
    """Return the share of the rows that are wrong, and these rows."""
    lines = table.read_text("utf-8").splitlines()
    rows = [Row(*line.split("\t")) for line in lines if not line.startswith("#")]
    of_kind = [row for row in rows if row.expected == expected]
    wrong = [
        row
        for row in of_kind
        if matches(parse_query(row.query), make_paper(row.text)) != (expected == "yes")
    ]
    return len(wrong) / len(of_kind), wrong


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_nineteen_of_twenty_texts_that_are_meant_are_found(table: Path) -> None:
    share, wrong = wrong_share(table, "yes")
    assert share <= 0.05, wrong


# The tables' own rows for "no" are harder than usual: pairs that a dictionary calls related.
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_nine_of_ten_texts_that_are_not_meant_are_not_found(table: Path) -> None:
    share, wrong = wrong_share(table, "no")
    assert share <= 0.1, wrong


@pytest.mark.skipif(not SHARED_TABLE.exists(), reason="no ../shared/eval/matching.tsv")
@pytest.mark.parametrize("expected", ["yes", "no"])
def test_nineteen_of_twenty_rows_of_the_shared_table_are_right(expected: str) -> None:
    share, wrong = wrong_share(SHARED_TABLE, expected)
    assert share <= 0.05, wrong
