"""The query language: what finds what, what is refused and where, and laws that hold for all."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable, Iterable
from typing import assert_never

import pytest
import snowballstemmer
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from feedsrv.errors import QueryError
from feedsrv.models import Paper
from feedsrv.search.parser import parse_query
from feedsrv.search.query import (
    And,
    Count,
    Has,
    Not,
    Or,
    Query,
    Term,
    canonical_text,
    match_locations,
    matches,
    positive_terms,
)
from tests.support.strategies import VOCABULARY, paper, papers, queries, query_texts, terms, texts

PAPERS = {
    "tides": paper(
        "Causality of Tides",
        "What the moon causally explains.\n\nOur aim: a world model of any harbour.",
        id="2601.00001",
        authors=("Ada Brandt", "Yann Okafor"),
        organization="Harbour Lab",
        keywords=("tidal gauges", "world modelling"),
        code="https://github.com/example/tides",
        upvotes=20,
        comments=3,
        stars=100,
    ),
    "robots": paper(
        "C++ Planners for 3D Robots",
        "A non-causal controller, written in C# and C; diffusing heat like butter.",
        id="2602.12345",
        authors=("Zoë Le-Blanc", "Yann Brandt"),
        organization="Café Robotics",
        keywords=("motion", "planning"),
        project="https://robots.example",
        upvotes=21,
        comments=0,
        stars=0,
    ),
    "birds": paper(
        "O\u2019Reilly\u2019s Naïve Birds \U0001f426",
        "World-models of flight by AI. A diffusion of feathers; the causal path.",
        id="2602.54321",
        authors=("Mei O'Reilly", "Ada Okafor"),
        organization="Harbour Aviary",
        keywords=("agents",),
        media=("https://media.example/birds.mp4",),
        upvotes=19,
        comments=12,
        stars=101,
    ),
    "soup": paper("Untitled Soup", id="sample-7", author_count=3),
}
ALL = "tides robots birds soup"

FINDS = [
    # plain words
    ("causal", "tides robots birds"),
    ("causally", "tides robots birds"),
    ("causality", "tides robots birds"),
    ("CAUSAL", "tides robots birds"),
    ("cause", ""),
    ("caus", ""),
    ("explain", "tides"),
    ("AI", "birds"),
    ("ai", "birds"),
    ("expl", ""),
    ("harbours", "tides"),
    ("okafor", ""),
    ("lab", ""),
    ("gauge", "tides"),
    ("moon tides", "tides"),
    ("moon robots", ""),
    ("soup", "soup"),
    # signs that belong to a word
    ("C++", "robots"),
    ("c++", "robots"),
    ("C#", "robots"),
    ("C", "robots"),
    ("c+", "robots"),
    ("3D", "robots"),
    ("3d", "robots"),
    ("3", ""),
    ("D", ""),
    ("non-causal", "robots"),
    ("noncausal", ""),
    ("causal-non", ""),
    ("world-models", "tides birds"),
    ("world/model", "tides birds"),
    ("model-world", ""),
    ("O'Reilly", "birds"),
    ("O\u2019Reilly", "birds"),
    ("O\u2018Reilly", "birds"),
    ("OReilly", ""),
    ("Reilly", ""),
    ("naive", "birds"),
    ("naïve", "birds"),
    ("nai\u0308ve", "birds"),
    ("NAÏVE", "birds"),
    ("\U0001f426", "birds"),
    ("\U0001f980", ""),
    # phrases
    ('"world model"', "tides"),
    ('"world models"', "birds"),
    ('"World-Models"', "birds"),
    ('"world  \t model"', "tides"),
    ('"model world"', ""),
    ('"causal"', "robots birds"),
    ('"causally"', "tides"),
    ('"non causal controller"', "robots"),
    ('"explains. Our"', "tides"),
    ('"tides what"', ""),
    ("\u201cworld model\u201d", "tides"),
    ("\u201eworld model\u201c", "tides"),
    ("\u00abworld model\u00bb", "tides"),
    ('"C++ planners"', "robots"),
    ('"OR"', ""),
    ('"has:code"', ""),
    # beginnings
    ("diffus*", "robots birds"),
    ("DIFFUSI*", "robots birds"),
    ("diffusio*", "birds"),
    ("ffus*", ""),
    ("diffusion*", "birds"),
    ("diffusions*", ""),
    ("world-mod*", "tides birds"),
    ("world-model*", "tides birds"),
    ("worl-model*", ""),
    ("c++*", "robots"),
    ("na\u00efv*", "birds"),
    # together, either, without
    ("causal AND diffus*", "robots birds"),
    ("causal OR soup", ALL),
    ("moon|soup", "tides soup"),
    ("moon | soup", "tides soup"),
    ("or", ""),
    ("moon or soup", ""),
    ("moon and tides", ""),
    ("not moon", ""),
    ("-causal", "soup"),
    ("NOT causal", "soup"),
    ("NOT(moon OR soup)", "robots birds"),
    ("-(moon OR soup)", "robots birds"),
    ("-(causal diffus*)", "tides soup"),
    ("-(-moon)", "tides"),
    ("causal -moon", "robots birds"),
    ("causal NOT moon", "robots birds"),
    ("causal AND NOT moon", "robots birds"),
    ("-moon -soup", "robots birds"),
    ('causal -"world model"', "robots birds"),
    ("-has:code", "robots birds soup"),
    ("-author:brandt", "birds soup"),
    ("moon OR -causal", "tides soup"),
    ("moon tides OR soup", "tides soup"),
    ("soup OR moon tides", "tides soup"),
    ("soup OR moon AND robots", "soup"),
    ("(soup OR moon) tides", "tides"),
    ("moon (tides OR soup)", "tides"),
    ("((moon OR (soup)) (tides OR untitled))", "tides soup"),
    ("moon(tides)", "tides"),
    ("causal(AI OR 3D)", "robots birds"),
    # white space
    ("  moon  ", "tides"),
    ("moon\ttides", "tides"),
    ("moon\xa0tides\u3000", "tides"),
    ("moon\u2003OR\x0bsoup", "tides soup"),
    ("moon\nOR\r\n\tsoup", "tides soup"),
    # fields
    ("title:causal", "tides"),
    ("title:causally", "tides"),
    ('title:"causal"', ""),
    ("TITLE:causal", "tides"),
    ("title: causal", "tides"),
    ("title:plan*", "robots"),
    ("title:moon", ""),
    ("abstract:causal", "tides robots birds"),
    ("abstract:tides", ""),
    ("abstract:3D OR abstract:heat", "robots"),
    ("keyword:planning", "robots"),
    ("keyword:plan", "robots"),
    ("keyword:moon", ""),
    ('keyword:"tidal gauges"', "tides"),
    ('keyword:"motion planning"', ""),
    ("keyword:motion-planning", ""),
    ("keyword:gauges-world", ""),
    ("motion-planning", ""),
    ("author:brandt", "tides robots"),
    ("author:BRANDT", "tides robots"),
    ("author:brandts", ""),
    ('author:"Ada Brandt"', "tides"),
    ('author:"Brandt Ada"', ""),
    ('author:"Brandt Yann"', ""),
    ('author:"Yann Brandt"', "robots"),
    ("author:Ada author:Okafor", "tides birds"),
    ("author:zoe", "robots"),
    ('author:"Zoë Le Blanc"', "robots"),
    ("author:o'reilly", "birds"),
    ("author:bran*", "tides robots"),
    ("author:yann-bra*", "robots"),
    ("author:brandt-ya*", ""),
    ("org:harbour", "tides birds"),
    ("org:harbours", ""),
    ('org:"Harbour Lab"', "tides"),
    ("org:cafe", "robots"),
    ("org:harb*", "tides birds"),
    ("id:2602.12345", "robots"),
    ("id:2602.12345v3", "robots"),
    ("id:2602.12345v12", "robots"),
    ("id:2602.12345V3", "robots"),
    ('id:"2602.12345v3"', "robots"),
    ("id:2602.123*", "robots"),
    ("id:26*", "robots birds tides"),
    ("ID:2602.12345", "robots"),
    ("id:2602.1234", ""),
    ("id:2602", "robots birds"),
    ("id:sample-7", "soup"),
    # links
    ("has:code", "tides"),
    ("has:project", "robots"),
    ("has:media", "birds"),
    ("HAS:Code", "tides"),
    ("has:code OR has:media", "tides birds"),
    # counters
    ("upvotes:>=20", "tides robots"),
    ("upvotes:>20", "robots"),
    ("upvotes:<=20", "tides birds soup"),
    ("upvotes:<20", "birds soup"),
    ("upvotes:=20", "tides"),
    ("comments:>0", "tides birds"),
    ("comments:=0", "robots soup"),
    ("stars:>100", "birds"),
    ("stars:<=100", "tides robots soup"),
    ("Stars:>=999999999", ""),
    ("upvotes: >=20", "tides robots"),
    ("causal upvotes:>=20 -has:code", "robots"),
]


@pytest.mark.parametrize(("query", "names"), FINDS, ids=[ascii(query) for query, _ in FINDS])
def test_a_query_finds_the_papers_it_means_and_no_others(query: str, names: str) -> None:
    tree = parse_query(query)
    assert {name for name, one in PAPERS.items() if matches(tree, one)} == set(names.split())


NEST8 = "(" * 8 + "moon" + ")" * 8
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
    (f"({NEST8})", 8, "at most 8 deep"),
    (f"tides {NEST8} ({NEST8})", 35, "at most 8 deep"),
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
    [" ".join(["moon"] * 32), "m" * 250, f"tides {'moon ' * 30}   ", NEST8, f"{NEST8} {NEST8}"],
    ids=["32 terms", "250 characters", "31 terms and blanks", "nesting 8", "nesting 8 twice"],
)
def test_a_query_at_a_limit_is_read(query: str) -> None:
    parse_query(query)


def test_an_error_counts_characters_from_one_for_people_and_points_with_a_caret() -> None:
    with pytest.raises(QueryError) as caught:
        parse_query("moon\tOR\nhas:foo")
    assert str(caught.value).endswith("(at character 13)")
    assert caught.value.pointer() == "moon OR has:foo\n            ^"


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
    ("query", "words"),
    [
        ("Causal inference", "causal inference"),
        ('"World-Model" OR diffus*', "world model diffus"),
        ("author:brandt title:tides", "brandt tides"),
        ("moon moon -soup", "moon"),
        ("moon -(soup tides) has:code stars:>1", "moon"),
        ("-moon", ""),
        ("-(moon OR soup) NOT tides", ""),
        ("-(-moon)", ""),
        ("has:code upvotes:>=1", ""),
    ],
)
def test_only_words_that_a_match_may_hold_are_searched_for(query: str, words: str) -> None:
    assert positive_terms(parse_query(query)) == words


def test_words_that_grow_when_folded_are_cut_to_what_upstream_takes() -> None:
    query = " ".join(f"{number}\ufb03\ufb03\ufb03\ufb03\ufb03" for number in range(10, 38))
    words = positive_terms(parse_query(query))
    assert 200 < len(words) <= 250
    assert words == words.strip()


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("causal", ("title: causal", "abstract: causal")),
        ("abstract:causal", ("abstract: causal",)),
        ("diffus* OR moon", ("abstract: moon",)),
        ('"world model"', ('abstract: "world model"',)),
        ("modelling", ("abstract: modelling", "keyword: modelling")),
        ("author:ada moon -soup", ('author: "ada"', "abstract: moon")),
        ("moon moon", ("abstract: moon",)),
        ("upvotes:>=20 has:code", ("upvotes: 20", "code: https://github.com/example/tides")),
        ("-soup", ()),
        ("soup", ()),
    ],
)
def test_places_name_the_fields_in_which_a_paper_matched(
    query: str, shown: tuple[str, ...]
) -> None:
    assert match_locations(parse_query(query), PAPERS["tides"]) == shown


def test_places_name_the_first_of_many_media() -> None:
    one = paper(media=("https://a.example/1.png", "https://a.example/2.png"))
    assert match_locations(parse_query("has:media"), one) == ("media: https://a.example/1.png",)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("causally", "“causally” in any form (stem “causal”), in title, abstract or keywords"),
        ("moon", "“moon” in any form, in title, abstract or keywords"),
        ('title:"world model"', "“world model” as written, in title"),
        ("author:ada", "the word “ada”, in author"),
        ("diffus*", "words that begin “diffus”, in title, abstract or keywords"),
        ("has:code", "links code"),
        ("stars:>=3", "stars >= 3"),
    ],
)
def test_a_term_is_described_in_words(query: str, shown: str) -> None:
    tree = parse_query(query)
    assert isinstance(tree, Term | Has | Count)
    assert tree.describe() == shown


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


# --- laws ------------------------------------------------------------------------------------

LAW = settings(deadline=None, max_examples=80)
#: Reading is quick, and texts are many.
TEXT_LAW = settings(deadline=None, max_examples=400)


def read(text: str) -> Query | QueryError:
    try:
        return parse_query(text)
    except QueryError as error:
        return error


@TEXT_LAW
@given(query_texts())
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    answer = read(text)
    if isinstance(answer, QueryError):
        assert answer.query == text
        assert 0 <= answer.position <= len(text)
        assert answer.reason
        assert answer.pointer().endswith("^")


@TEXT_LAW
@given(query_texts())
def test_a_query_that_was_read_is_written_so_that_it_reads_the_same(text: str) -> None:
    tree = read(text)
    assume(not isinstance(tree, QueryError) and len(str(tree)) <= 250)
    assert read(str(tree)) == tree


@LAW
@given(queries())
def test_any_tree_is_written_so_that_it_reads_the_same(tree: Query) -> None:
    assert parse_query(str(tree)) == tree


@LAW
@given(queries(3), queries(3), papers())
def test_more_words_find_less_and_alternatives_find_more(
    one: Query, other: Query, given_paper: Paper
) -> None:
    alone = matches(one, given_paper), matches(other, given_paper)
    assert matches(parse_query(f"({one}) ({other})"), given_paper) == all(alone)
    assert matches(parse_query(f"({one}) OR ({other})"), given_paper) == any(alone)
    assert matches(parse_query(f"({one})|({other})"), given_paper) == any(alone)


@LAW
@given(queries(4), papers())
def test_an_exclusion_finds_exactly_what_the_query_does_not(tree: Query, one: Paper) -> None:
    assert matches(parse_query(f"-({tree})"), one) is not matches(tree, one)
    assert matches(parse_query(f"NOT ({tree})"), one) is not matches(tree, one)


@LAW
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


@LAW
@given(queries(), papers())
def test_a_match_has_a_place_unless_an_exclusion_made_it(tree: Query, one: Paper) -> None:
    if matches(tree, one) and not may_match_by_exclusion(tree):
        assert match_locations(tree, one)


@TEXT_LAW
@given(query_texts())
def test_the_words_to_search_for_are_few_and_come_from_what_is_not_excluded(text: str) -> None:
    tree = read(text)
    if isinstance(tree, QueryError):
        return
    words = positive_terms(tree)
    assert len(words) <= 250
    assert bool(words) == any(True for _ in terms_of(tree))
    assert positive_terms(Not(tree)) == ""


@LAW
@given(queries(), papers())
def test_matching_agrees_with_a_slow_reading_of_the_paper(tree: Query, one: Paper) -> None:
    assert matches(tree, one) == slowly_matches(tree, one)


@LAW
@given(st.data(), papers())
def test_a_term_finds_the_words_that_stand_in_the_paper(data: st.DataObject, one: Paper) -> None:
    term = data.draw(st.one_of(terms(), terms_in(one)))
    shown = {place.partition(":")[0] for place in match_locations(term, one)}
    assert shown == {field for field in fields_of(term) if slowly_holds(term, field, one)}
    assert matches(term, one) == bool(shown)


@LAW
@given(texts(), st.sampled_from(VOCABULARY))
def test_a_word_put_into_any_title_is_found_there(text: str, word: str) -> None:
    one = paper(f"{text} {word} {text}")
    assert matches(parse_query(word), one)
    assert matches(parse_query(f'title:"{word}"'), one)
    assert matches(parse_query(f"{word}*"), one)


# --- a slow oracle ---------------------------------------------------------------------------

COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
STEMMER = snowballstemmer.stemmer("english")


def terms_of(tree: Query) -> Iterable[Term]:
    """Yield the terms outside exclusions."""
    match tree:
        case Term():
            yield tree
        case And(parts) | Or(parts):
            for part in parts:
                yield from terms_of(part)
        case _:
            return


def may_match_by_exclusion(tree: Query) -> bool:
    match tree:
        case Not():
            return True
        case And(parts):
            return all(map(may_match_by_exclusion, parts))
        case Or(parts):
            return any(map(may_match_by_exclusion, parts))
        case _:
            return False


def fields_of(term: Term) -> tuple[str, ...]:
    return (term.field,) if term.field else ("title", "abstract", "keyword")


def slow_words(text: str) -> list[str]:
    """Read words letter by letter, as people are told what a word is."""
    apart = unicodedata.normalize("NFKD", text.replace("\u2019", "'"))
    left = "".join(char for char in apart if not unicodedata.combining(char)).casefold()
    for whole, plain in (("ł", "l"), ("ø", "o"), ("đ", "d"), ("\u00ad", "")):
        left = left.replace(whole, plain)
    found: list[str] = []
    word = ""
    for place, char in enumerate(left):
        after = left[place + 1 : place + 2]
        if char.isalnum() or (char == "'" and word and after.isalnum()):
            word += char
            continue
        if word:
            found.append(word)
            if char == "+" == after:
                found[-1] += "++"
            elif char == "#" and not after.isalnum():
                found[-1] += "#"
            word = ""
        if "\u2600" <= char <= "\u27bf" or "\U0001f000" <= char <= "\U0001faff":
            found.append(char)
    return [*found, word] if word else found


def slow_texts(field: str, one: Paper) -> tuple[str, ...]:
    match field:
        case "keyword":
            return one.keywords
        case "author":
            return one.authors
        case "org":
            return (one.organization,)
        case _:
            return (str(getattr(one, field)),)


def slow_stems(words: Iterable[str]) -> list[str]:
    return [str(STEMMER.stemWord(word)) if len(word) <= 40 else word for word in words]


def slowly_holds(term: Term, field: str, one: Paper) -> bool:
    sought = list(term.words)
    if term.mode == "stems":
        sought = slow_stems(sought)
    for text in slow_texts(field, one):
        held = slow_words(text)
        if term.mode == "stems":
            held = slow_stems(held)
        for start in range(len(held) - len(sought) + 1):
            window = held[start : start + len(sought)]
            if term.mode == "prefix" and window[-1].startswith(sought[-1]):
                window[-1] = sought[-1]
            if window == sought:
                return True
    return False


def slowly_matches(tree: Query, one: Paper) -> bool:
    match tree:
        case Term():
            return any(slowly_holds(tree, field, one) for field in fields_of(tree))
        case And(parts):
            return all(slowly_matches(part, one) for part in parts)
        case Or(parts):
            return any(slowly_matches(part, one) for part in parts)
        case Not(part):
            return not slowly_matches(part, one)
        case Has(link):
            return len(getattr(one, link)) > 0
        case Count(counter, sign, number):
            return COMPARE[sign](getattr(one, counter), number)
        case _:
            assert_never(tree)


def terms_in(one: Paper) -> st.SearchStrategy[Term]:
    """Terms with up to three words that stand side by side somewhere in the paper."""
    runs: list[Term] = []
    for field in ("title", "abstract", "keyword", "author", "org"):
        for text in slow_texts(field, one)[:3]:
            held = slow_words(text)[:8]
            for start in range(len(held)):
                for end in range(start + 1, min(start + 3, len(held)) + 1):
                    words = tuple(held[start:end])
                    runs += [Term(field, words, "exact"), Term(field, words, "prefix")]
                    if field in {"title", "abstract", "keyword"}:
                        runs += [Term(field, words, "stems"), Term("", words, "stems")]
    return st.sampled_from(runs) if runs else terms()
