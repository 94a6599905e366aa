"""The query language's parser."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from feedsrv.errors import QueryError
from feedsrv.search.parser import parse_query
from feedsrv.search.query import And, Count, Has, Not, Or, Query, Term, canonical_text
from tests.support.strategies import few_examples, queries, query_texts

EIGHT_LEVELS = "(" * 8 + "moon" + ")" * 8


REFUSED = [
    # query, position, a part of the reason
    ("", 0, "expected a word"),
    ("   ", 0, "expected a word"),
    ("\t\r\n", 0, "expected a word"),
    ("\xa0", 0, "expected a word"),
    ('"moon" \xa0 "tides', 9, "never closed"),
    ('"moon', 0, "never closed"),
    ('"moon" "tides', 7, "never closed"),
    ('moon"', 4, "never closed"),
    ('title:"moon', 6, "never closed"),
    ("\u201cmoon", 0, "never closed"),
    ('""', 0, "no letter or digit"),
    ('" "', 0, "no letter or digit"),
    ('moon "-"', 5, "no letter or digit"),
    ("OR OR", 0, "not 'OR'; to look for it, quote it"),
    ("OR moon", 0, "not 'OR'"),
    ("moon OR", 7, "expected a word"),
    ("moon OR  ", 7, "expected a word"),
    ("moon OR OR tides", 8, "not 'OR'"),
    ("moon || tides", 6, "not '|'"),
    ("|", 0, "not '|'"),
    ("AND moon", 0, "not 'AND'"),
    ("moon AND", 8, "expected a word"),
    ("moon AND AND tides", 9, "not 'AND'"),
    ("NOT", 3, "expected a word"),
    ("NOT NOT moon", 4, "not 'NOT'"),
    ("NOT -moon", 4, "not '-'"),
    ("-", 0, "no letter or digit"),
    ("- moon", 0, "no letter or digit"),
    ("moon - tides", 5, "no letter or digit"),
    ("--moon", 0, "one hyphen"),
    ("moon --tides", 5, "one hyphen"),
    ("!moon", 0, "one hyphen"),
    ("-!moon", 1, "one hyphen"),
    ("title:!moon", 6, "one hyphen"),
    ("title:-moon", 6, "not '-'"),
    ("()", 1, "before this parenthesis"),
    ("moon ()", 6, "before this parenthesis"),
    ("-()", 2, "before this parenthesis"),
    ("(moon OR)", 8, "before this parenthesis"),
    ("(", 1, "expected a word"),
    ("(moon OR", 8, "expected a word"),
    ("(moon", 5, "closing parenthesis is missing"),
    ("(moon  ", 5, "closing parenthesis is missing"),
    ("((moon) tides", 13, "closing parenthesis is missing"),
    (")", 0, "parenthesis"),
    ("moon)", 4, "nothing is open"),
    ("(moon))", 6, "nothing is open"),
    ("foo:moon", 0, "no field 'foo'"),
    ("moon foo:tides", 5, "no field 'foo'"),
    ("foo: moon", 0, "no field 'foo'"),
    ('foo:"moon"', 0, "no field 'foo'"),
    ("titles:moon", 0, "known are title: abstract: author: org: keyword: id:"),
    ("https://arxiv.org/abs/2601.00001", 0, "no field 'https'"),
    ("title:", 6, "expected a word"),
    ("title: OR", 7, "not 'OR'"),
    ("title:(moon tides)", 6, "not parentheses"),
    ("author:title:moon", 7, "not 'title:'"),
    ("has:foo", 4, "code, project or media"),
    ("moon has:foo", 9, "code, project or media"),
    ("has:code*", 4, "code, project or media"),
    ("upvotes:20", 8, ">= > <= < ="),
    ("stars:>=many", 6, "as in stars:>=20"),
    ("moon comments:=-1", 14, "as in comments:>=20"),
    ("upvotes:=>20", 8, ">= > <= < ="),
    ("upvotes:>=9999999999", 8, ">= > <= < ="),
    ("upvotes:>=1.5", 8, ">= > <= < ="),
    ("*", 0, "no letter or digit"),
    ("title:*", 6, "no letter or digit"),
    ("mo*on", 2, "only at the end"),
    ("tides *moon", 6, "only at the end"),
    ("title:mo*on", 8, "only at the end"),
    ("moon**", 4, "only at the end"),
    ("\x00", 0, "no feed can hold"),
    ("moon \x00", 5, "no feed can hold"),
    ("\ud800", 0, "no feed can hold"),
    ("moon " * 32 + "tides", 160, "at most 32 terms"),
    ("m" * 251, 250, "at most 250 characters"),
    (f"({EIGHT_LEVELS})", 8, "at most 8 deep"),
    (f"tides {EIGHT_LEVELS} ({EIGHT_LEVELS})", 35, "at most 8 deep"),
]


@pytest.mark.parametrize(
    ("query", "position", "reason"), REFUSED, ids=[ascii(query)[:40] for query, _, _ in REFUSED]
)
def test_a_query_that_cannot_be_read_is_refused_with_place_and_reason(
    query: str, position: int, reason: str
) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(query)
    assert caught.value.query == query
    assert caught.value.position == position
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "query",
    [
        " ".join(["moon"] * 32),
        "m" * 250,
        f"tides {'moon ' * 30}   ",
        EIGHT_LEVELS,
        f"{EIGHT_LEVELS} {EIGHT_LEVELS}",
    ],
    ids=["32 terms", "250 characters", "31 terms and blanks", "nesting 8", "nesting 8 twice"],
)
def test_a_query_at_a_limit_is_read(query: str) -> None:
    parse_query(query)


def test_an_error_counts_characters_from_one_for_people_and_points_with_a_caret() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query("moon\tOR\nhas:foo")
    assert str(caught.value).endswith("(at character 13)")
    assert caught.value.with_caret() == "moon OR has:foo\n            ^"


A, B, C = (Term("", (word,), "stems") for word in "abc")


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("a b c", And((A, B, C))),
        ("a AND (b c)", And((A, B, C))),
        ("a OR (b OR c)", Or((A, B, C))),
        ("a | b", Or((A, B))),
        ("(a)", A),
        ("-(a)", Not(A)),
        ("NOT a", Not(A)),
        ("a-b", Term("", ("a", "b"), "stems")),
        ("A-B*", Term("", ("a", "b"), "prefix")),
        ("author:A", Term("author", ("a",), "exact")),
        ("author:A*", Term("author", ("a",), "prefix")),
        ('keyword:"A b"', Term("keyword", ("a", "b"), "exact")),
        ("id:2601.00001v4", Term("id", ("2601", "00001"), "exact")),
        ("HAS:Media", Has("media")),
        ("stars:<=007", Count("stars", "<=", 7)),
        ("a b OR c", Or((And((A, B)), C))),
        ("a (b OR c)", And((A, Or((B, C))))),
    ],
)
def test_a_query_is_read_as_a_flat_tree(query: str, tree: Query) -> None:
    assert parse_query(query) == tree


@pytest.mark.parametrize(
    "same",
    [
        ("a b", "b a", "a AND b", " b\ta ", "(b) (a)", "A B"),
        ("a OR b", "b|a", "(b OR a)"),
        ("a -(b OR c)", "NOT (c | b) a"),
        ('"a b"', '"A-B"', "\u201ca b\u201d"),
        ("(a b) OR (c d)", "d c OR b a"),
        ("id:2601.00001", "id:2601.00001v2"),
    ],
    ids=lambda same: same[0],
)
def test_queries_that_differ_only_in_spelling_have_one_canonical_text(
    same: tuple[str, ...],
) -> None:
    assert len({canonical_text(parse_query(query)) for query in same}) == 1


def test_queries_that_mean_different_things_have_different_canonical_texts() -> None:
    different = [
        *("a", "b", "a b", "a OR b", "a-b", "b-a", '"a"', '"a b"', "a*", "a-b*", "-a", "-(a b)"),
        *("-a b", "a -b", "-a -b", "-(a OR b)", "a (b OR c)", "(a b) OR c", "a b c", "a OR b OR c"),
        *("title:a", "abstract:a", 'title:"a"', "title:a*", "author:a", "keyword:a", "org:a"),
        *("has:code", "has:media", "stars:>1", "stars:>=1", "stars:>2", "upvotes:>1", "-(-a)"),
        *("id:2601", "id:2601*", "id:2601.00001"),
    ]
    assert len({canonical_text(parse_query(query)) for query in different}) == len(different)


def parse_or_error(text: str) -> Query | QueryError:
    try:
        return parse_query(text)
    except QueryError as error:
        return error


@given(query_texts())
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    answer = parse_or_error(text)
    if isinstance(answer, QueryError):
        assert answer.query == text
        assert 0 <= answer.position <= len(text)
        assert answer.reason
        assert answer.with_caret().endswith("^")


@given(query_texts())
def test_a_query_that_was_read_is_written_so_that_it_reads_the_same(text: str) -> None:
    tree = parse_or_error(text)
    assume(not isinstance(tree, QueryError) and len(str(tree)) <= 250)
    assert parse_or_error(str(tree)) == tree


@few_examples
@given(queries())
def test_any_tree_is_written_so_that_it_reads_the_same(tree: Query) -> None:
    assert parse_query(str(tree)) == tree


@given(queries(), st.data())
def test_the_canonical_text_does_not_depend_on_the_order_of_parts(
    tree: Query, data: st.DataObject
) -> None:
    def shuffled(query: Query) -> Query:
        match query:
            case And(parts) | Or(parts):
                return type(query)(tuple(map(shuffled, data.draw(st.permutations(parts)))))
            case Not(part):
                return Not(shuffled(part))
            case _:
                return query

    assert canonical_text(shuffled(tree)) == canonical_text(tree)
