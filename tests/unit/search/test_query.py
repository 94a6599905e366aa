"""The query language: matches, match locations, and properties of all queries."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from feedsrv.errors import QueryError
from feedsrv.models import Paper
from feedsrv.search.analysis import tokenize
from feedsrv.search.index import Index
from feedsrv.search.matching import match_locations, matches
from feedsrv.search.parser import parse_query
from feedsrv.search.query import (
    And,
    CountCondition,
    HasArtefact,
    HasLink,
    Not,
    Or,
    Query,
    Term,
    iter_positive_terms,
)
from feedsrv.search.search_terms import upstream_search_text
from tests.support.strategies import VOCABULARY, make_paper, papers, queries, query_texts, texts

PAPERS = {
    "tides": make_paper(
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
    "robots": make_paper(
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
    "birds": make_paper(
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
    "soup": make_paper("Untitled Soup", id="sample-7", author_count=3),
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
    # signs within a word
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
    ("noncausal", "robots"),
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
    ('"world model"', "tides birds"),
    ('"world models"', "tides birds"),
    ('"World-Models"', "tides birds"),
    ('"worldmodel"', "tides birds"),
    ('"world  \t model"', "tides birds"),
    ('"model world"', ""),
    ('"causal"', "tides robots birds"),
    ('"causally"', "tides robots birds"),
    ('"non causal controller"', "robots"),
    ('"explains. Our"', "tides"),
    ('"tides what"', ""),
    ("\u201cworld model\u201d", "tides birds"),
    ("\u201eworld model\u201c", "tides birds"),
    ("\u00abworld model\u00bb", "tides birds"),
    ('"C++ planners"', "robots"),
    ('"OR"', ""),
    ('"has:code"', ""),
    # prefixes
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
    # AND, OR, NOT
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
    ('causal -"world model"', "robots"),
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
    ('title:"causal"', "tides"),
    # exact words
    ('="causal"', "robots birds"),
    ('="causally"', "tides"),
    ('="world models"', ""),
    ('="world-models"', "birds"),
    ('="AI"', "birds"),
    ('="Ai"', "birds"),
    ('="aI"', ""),
    ('="lab"', ""),
    ('org:="Lab"', "tides"),
    ('="C#"', "robots"),
    ('title:="Causality of"', "tides"),
    ('title:="causality Of"', ""),
    ('="our aim"', "tides"),
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
    ("org:@harbour", "tides birds"),
    ("@planning", "robots"),
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
def test_a_query_matches_exactly_the_expected_papers(query: str, names: str) -> None:
    tree = parse_query(query)
    assert {name for name, paper in PAPERS.items() if matches(tree, paper)} == set(names.split())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Causal inference", "Causal inference"),
        ('"World-Model" OR diffus*', "World-Model diffus"),
        ("author:brandt title:tides", "brandt tides"),
        ("moon moon -soup", "moon"),
        ("moon -(soup tides) has:code stars:>1", "moon"),
        ("-moon", ""),
        ("-(moon OR soup) NOT tides", ""),
        ("-(-moon)", ""),
        ("has:code has:model upvotes:>=1", ""),
    ],
)
def test_the_search_text_has_only_words_that_a_match_may_contain(query: str, words: str) -> None:
    assert upstream_search_text(parse_query(query)) == words


def test_words_that_grow_when_folded_are_cut_to_the_limit_of_upstream() -> None:
    query = " ".join(f"{number}\ufb03\ufb03\ufb03\ufb03\ufb03" for number in range(10, 38))
    words = upstream_search_text(parse_query(query))
    assert 200 < len(words) <= 250
    assert words == words.strip()


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("causal", ("title: causal", "abstract: causal")),
        ("abstract:causal", ("abstract: causal",)),
        ("diffus* OR moon", ("abstract: moon",)),
        ('"world model"', ('abstract: "world model"', 'keyword: "world model"')),
        ("modelling", ("abstract: modelling", "keyword: modelling")),
        ("author:ada moon -soup", ("author: ada", "abstract: moon")),
        ("moon moon", ("abstract: moon",)),
        ("upvotes:>=20 has:code", ("upvotes: 20", "code: https://github.com/example/tides")),
        ("-soup", ()),
        ("soup", ()),
    ],
)
def test_match_locations_name_the_matched_fields(query: str, shown: tuple[str, ...]) -> None:
    assert match_locations(parse_query(query), PAPERS["tides"]) == shown


@pytest.mark.parametrize(
    ("query", "keywords", "locations"),
    [
        ("keyword:tides", (), ("title: tides", "abstract: tides")),
        ("keyword:moon", (), ("abstract: moon",)),
        ('keyword:="makes tides"', (), ('abstract: ="makes tides"',)),
        ("keyword:fog", (), ()),
        ("keyword:tides", ("fog",), ()),
        ("keyword:fog", ("fog",), ("keyword: fog",)),
        ("tides", (), ("title: tides", "abstract: tides")),
        ("author:tides", (), ()),
    ],
    ids=str,
)
def test_title_and_abstract_replace_missing_keywords(
    query: str, keywords: tuple[str, ...], locations: tuple[str, ...]
) -> None:
    paper = make_paper("Tides", "The moon makes tides.", keywords=keywords)
    tree = parse_query(query)
    assert match_locations(tree, paper) == locations
    assert matches(tree, paper) is bool(locations)
    assert Index([paper]).search(tree) == ((paper,) if locations else ())


def test_match_locations_name_only_the_first_of_many_media() -> None:
    paper = make_paper(media=("https://a.example/1.png", "https://a.example/2.png"))
    assert match_locations(parse_query("has:media"), paper) == ("media: https://a.example/1.png",)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("causally", "“causally” in any form, in title, abstract or keywords"),
        ("moon", "“moon” in any form, in title, abstract or keywords"),
        ('title:"world model"', "“world model” side by side, in any form, in title"),
        ('title:="US"', "“US” exactly as written, in title"),
        ("author:ada", "“ada”, in author"),
        ("diffus*", "words starting with “diffus”, in title, abstract or keywords"),
        ("has:code", "links code"),
        ("has:model", "cited by a model at Hugging Face"),
        ("has:space", "cited by a Space at Hugging Face"),
        ("stars:>=3", "stars >= 3"),
    ],
)
def test_a_term_is_described_in_words(query: str, shown: str) -> None:
    tree = parse_query(query)
    assert isinstance(tree, Term | HasLink | HasArtefact | CountCondition)
    assert tree.describe() == shown


# --- properties ------------------------------------------------------------------------------


@given(queries(3), queries(3), papers())
def test_words_narrow_a_query_and_alternatives_widen_it(
    left: Query, right: Query, given_paper: Paper
) -> None:
    results = [matches(parse_query(str(query)), given_paper) for query in (left, right)]
    # The condition is always true. Without it, papers may join the words before and after it.
    assert matches(parse_query(f"({left}) upvotes:>=0 ({right})"), given_paper) == all(results)
    assert matches(parse_query(f"({left}) OR ({right})"), given_paper) == any(results)
    assert matches(parse_query(f"({left})|({right})"), given_paper) == any(results)


@given(queries(4), papers())
def test_an_exclusion_matches_exactly_what_the_query_does_not(tree: Query, paper: Paper) -> None:
    matching = matches(parse_query(str(tree)), paper)
    assert matches(parse_query(f"-({tree})"), paper) is not matching
    assert matches(parse_query(f"NOT ({tree})"), paper) is not matching


@given(queries(), papers())
def test_a_match_has_a_location_unless_it_comes_from_an_exclusion(
    tree: Query, paper: Paper
) -> None:
    if matches(tree, paper) and not may_match_by_exclusion(tree):
        assert match_locations(tree, paper)


@given(query_texts())
def test_the_search_text_is_short_and_has_no_excluded_words(text: str) -> None:
    try:
        tree = parse_query(text)
    except QueryError:
        return
    words = upstream_search_text(tree)
    assert len(words) <= 250
    assert bool(words) == any(True for _ in iter_positive_terms(tree))
    assert upstream_search_text(Not(tree)) == ""


@given(papers(), st.data())
def test_a_phrase_of_a_paper_matches_it(paper: Paper, data: st.DataObject) -> None:
    words = tokenize(paper.title)
    assume(words)
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, min(start + 4, len(words))))
    for mode in ("phrase", "exact", "prefix"):
        assert matches(Term("title", " ".join(words[start:end]), mode), paper)


@given(texts(), st.sampled_from(VOCABULARY))
def test_a_word_inserted_into_any_title_matches_it(text: str, word: str) -> None:
    paper = make_paper(f"{text} {word} {text}")
    assert matches(parse_query(word), paper)
    assert matches(parse_query(f'title:"{word}"'), paper)
    assert matches(parse_query(f"{word}*"), paper)


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
