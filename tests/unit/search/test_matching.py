"""Tables of expected matches: query, text, whether it should match, and the rule."""

from pathlib import Path
from typing import NamedTuple

import pytest

from feedsrv.search.matching import matches
from feedsrv.search.parser import parse_query
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
    """Return the share of wrong rows, and these rows."""
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
def test_95_percent_of_relevant_texts_match(table: Path) -> None:
    share, wrong = wrong_share(table, "yes")
    assert share <= 0.05, wrong


# The rows for "no" are difficult: pairs that a dictionary lists as related.
@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.stem)
def test_90_percent_of_irrelevant_texts_do_not_match(table: Path) -> None:
    share, wrong = wrong_share(table, "no")
    assert share <= 0.1, wrong


@pytest.mark.skipif(not SHARED_TABLE.exists(), reason="no ../shared/eval/matching.tsv")
@pytest.mark.parametrize("expected", ["yes", "no"])
def test_95_percent_of_the_rows_of_the_shared_table_are_correct(expected: str) -> None:
    share, wrong = wrong_share(SHARED_TABLE, expected)
    assert share <= 0.05, wrong
