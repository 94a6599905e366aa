"""An index returns the same papers as matching each of them."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from feedsrv.models import Paper
from feedsrv.search.index import Index
from feedsrv.search.matching import matches
from feedsrv.search.parser import parse_query
from feedsrv.search.patterns import Edge
from feedsrv.search.query import Query, Term, iter_positive_terms
from feedsrv.search.word_families import base_forms, related_base_forms
from tests.support.strategies import LISTED_WORDS, listed_words, make_paper, papers, queries, terms


@given(st.lists(papers(), max_size=8), queries())
def test_a_query_finds_the_papers_that_match_it_in_their_order(
    indexed: list[Paper], query: Query
) -> None:
    assert Index(indexed).search(query) == tuple(
        paper for paper in indexed if matches(query, paper)
    )


@given(st.lists(papers(), min_size=1, max_size=8), terms())
def test_a_term_finds_the_papers_that_match_it(indexed: list[Paper], term: Query) -> None:
    assert Index(indexed).search(term) == tuple(paper for paper in indexed if matches(term, paper))


@given(st.lists(papers(), max_size=8), st.lists(queries(), min_size=2, max_size=4))
def test_near_misses_are_papers_that_fail_exactly_one_part(
    indexed: list[Paper], parts: list[Query]
) -> None:
    failing = [[n for n, part in enumerate(parts) if not matches(part, paper)] for paper in indexed]
    assert Index(indexed).count_near_misses(parts) == [
        failing.count([n]) for n in range(len(parts))
    ]


@given(st.lists(listed_words(), min_size=1, max_size=12), st.data())
def test_words_of_the_table_find_the_papers_that_match_them(
    words: list[str], data: st.DataObject
) -> None:
    # Related words, so that some papers match.
    base = data.draw(st.sampled_from(sorted(related_base_forms(words[0]))))
    stored = [make_paper(word) for word in (*words, base, f"{base}s", f"{base}ing")]
    for word in (*words, base):
        term = Term("title", word, "forms")
        assert Index(stored).search(term) == tuple(
            paper for paper in stored if matches(term, paper)
        )


def test_each_word_of_the_table_finds_all_its_forms() -> None:
    prefixed = [f"re{word}" for word in LISTED_WORDS]
    regular = [f"{word}{ending}" for word in LISTED_WORDS for ending in ("s", "ing")]
    words = dict.fromkeys((*LISTED_WORDS, *prefixed, *regular))
    forms: dict[str, set[str]] = {}
    for word in words:
        for base in base_forms(word):
            forms.setdefault(base, set()).add(word)
    field = Index([make_paper(" ".join(words))])._field("title")
    wrong = [
        word
        for word in (*LISTED_WORDS, *prefixed)
        if set(field.words(Edge(0, len(word), word, "forms")))
        != set().union(*(forms.get(base, ()) for base in related_base_forms(word)))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("query", "forms"),
    [
        ("finetuning", {"finetuning": 2, "fine tuning": 2, "fine tuned": 1}),
        ("fine-tuning", {"finetuning": 2, "fine tuning": 2, "fine tuned": 1}),
        ('"fine tuning model"', {"fine tuning models": 1, "finetuning model": 1}),
        ('"tuning models"', {"tuning models": 1}),
        ("fine*", {"finetuning": 2, "fine": 3}),
        ("llama3", {"llama 3": 1, "llama3": 1}),
        ("zebra", {}),
    ],
)
def test_the_forms_of_a_term_are_counted_in_all_spellings(
    query: str, forms: dict[str, int]
) -> None:
    index = Index(
        [
            make_paper("Fine-tuning models", abstract="Finetuning, or fine-tuning. Llama 3"),
            make_paper("Finetuning model"),
            make_paper("A fine-tuned Llama3", abstract="Tuning fine models"),
            make_paper("Fine, tuning"),
        ]
    )
    (term,) = iter_positive_terms(parse_query(query))
    assert index.matched_forms(term) == forms


@given(st.lists(papers(), max_size=8), terms())
def test_a_term_finds_the_papers_of_its_forms(stored: list[Paper], term: Query) -> None:
    assume(isinstance(term, Term) and term.has_forms)
    assert isinstance(term, Term)
    index = Index(stored)
    counts = index.matched_forms(term)
    found = len(index.search(term))
    assert max(counts.values(), default=0) <= found <= sum(counts.values())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fog", "both title"),
        ('"fog on"', "both"),
        ("fo*", "both title"),
        ("ferries fog", "both"),
        ("-fog", "none"),
        ("fog OR harbour", "both title none"),
        ("fog -(ferry OR harbour)", "title"),
        ('title:"on ferries"', "both"),
        ('author:"quill ada"', ""),
        ("author:quill -has:code", "both"),
        ("upvotes:>=0", "both title none"),
        ("zebra", ""),
        ("zebra*", ""),
    ],
)
def test_an_index_returns_matching_papers(query: str, found: str) -> None:
    indexed = {
        "both": make_paper("Fog on ferries", authors=("Ada Quill",)),
        "title": make_paper("Fog"),
        "none": make_paper("A harbour"),
    }
    index = Index(list(indexed.values()))
    assert index.search(parse_query(query)) == tuple(indexed[name] for name in found.split())


def test_an_index_returns_a_paper_by_its_id() -> None:
    paper = make_paper("Fog")
    assert Index([paper]).get(paper.id) is paper
    assert Index([paper]).get("2611.99999") is None
    assert Index([]).search(parse_query("-fog")) == ()
