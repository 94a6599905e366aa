"""The words of a query that are sent to upstream's search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.errors import QueryError
from feedsrv.search.parser import parse_query
from feedsrv.search.search_terms import search_terms, upstream_search_text

PLAIN_TERMS = (
    *("fog", "low-res", "3D", "or", "tide*", '"fog bank"', "title:fog", 'keyword:"fog bank"'),
    *("-tide", '-"fog bank"', "-abstract:fog*", "has:code", "has:space", "upvotes:>=20"),
    *("stars:=1",),
)
OTHER_TERMS = (
    *("AND", "NOT", "OR", "|", "(", ")", '"', '""', "-", "--fog", "has:", "has:x", "upvotes:x"),
    *("author:fog", "2510.12345", "fog:", "*", "NOT-fog", '"fog OR tide"', "título", "  ", "tide-"),
)


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("", ""),
        ("fog tide", "fog tide"),
        ('fog OR "fog bank" OR tide', "fog bank tide"),
        ("title:fog -tide has:code upvotes:>=20", "fog"),
        ("-fog", ""),
        ("(fog OR author:quill) harb*", "fog quill harb"),
    ],
)
def test_the_terms_are_the_words_that_are_not_excluded(query: str, terms: str) -> None:
    assert search_terms(query) == terms


@given(
    st.lists(st.sampled_from(4 * PLAIN_TERMS + OTHER_TERMS), min_size=1, max_size=6),
    st.sampled_from((" ", " OR ", "  ")),
)
def test_a_query_that_is_not_parsed_has_the_same_terms(terms: list[str], separator: str) -> None:
    query = separator.join(terms)
    try:
        expected = upstream_search_text(parse_query(query))
    except QueryError:
        with pytest.raises(QueryError):
            search_terms(query)
    else:
        assert search_terms(query) == expected


@pytest.mark.parametrize("query", [" OR ".join(["fog"] * 401), "fog " * 401, "x" * 4001])
def test_the_limits_apply_to_plain_queries(query: str) -> None:
    with pytest.raises(QueryError):
        search_terms(query.strip())
