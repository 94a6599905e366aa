"""Words: what counts as one, what counts as the same, and how a paper's are prepared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import snowballstemmer
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.models import Paper, PaperTokens
from feedsrv.search.analysis import analyze, fold, join_tokens, stem, tokenize
from tests.support.strategies import make_paper, papers, texts


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Tides", "tides"),
        ("naïve", "naive"),
        ("nai\u0308ve", "naive"),
        ("ÅNGSTRÖM", "angstrom"),
        ("Straße", "strasse"),
        ("\u0130zmir", "izmir"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("Σίσυφος", "σισυφοσ"),
        ("ﬁne", "fine"),
        ("ＦＵＬＬ", "full"),
        ("x²", "x2"),
        ("𝒪(n)", "o(n)"),
        ("O\u2019Reilly", "o'reilly"),
        ("world\u2011model", "world\u2010model"),
        ("李", "李"),
        ("", ""),
    ],
)
def test_folding_takes_away_case_accents_and_typographic_variants(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  \n\t", []),
        ("...!?", []),
        ("World model", ["world", "model"]),
        ("world-model", ["world", "model"]),
        ("world\u2011model", ["world", "model"]),
        ("world\u2014model", ["world", "model"]),
        ("world/model", ["world", "model"]),
        ("world_model", ["world", "model"]),
        ("_init_", ["init"]),
        ("3D, 4-bit", ["3d", "4", "bit"]),
        ("GPT-4.5", ["gpt", "4", "5"]),
        ("C++", ["c++"]),
        ("C++, C#.", ["c++", "c#"]),
        ("C++11", ["c++", "11"]),
        ("C+++", ["c++"]),
        ("a+b", ["a", "b"]),
        ("C#sharp", ["c", "sharp"]),
        ("#1 #tag", ["1", "tag"]),
        ("++", []),
        ("O'Reilly", ["o'reilly"]),
        ("O\u2019Reilly's", ["o'reilly's"]),
        ("the models' rock'n'roll", ["the", "models", "rock'n'roll"]),
        ("'quoted'", ["quoted"]),
        ("a''b", ["a", "b"]),
        ("\U0001f426bird\U0001f426", ["\U0001f426", "bird", "\U0001f426"]),
        ("\u2764\ufe0f", ["\u2764"]),
        ("\U0001f426\U0001f980", ["\U0001f426", "\U0001f980"]),
        ("α-divergence", ["α", "divergence"]),
        ("因果推論", ["因果推論"]),
        ("مرحبا", ["مرحبا"]),
        ("a\x00b", ["a", "b"]),
        ("\ud800", []),
        ("½", ["1", "2"]),
    ],
    ids=ascii,
)
def test_words_are_runs_of_letters_and_digits_with_the_signs_that_belong_to_them(
    text: str, found: list[str]
) -> None:
    assert tokenize(text) == found


@pytest.mark.parametrize(
    ("word", "cut"),
    [
        ("causal", "causal"),
        ("causally", "causal"),
        ("causality", "causal"),
        ("models", "model"),
        ("modelling", "model"),
        ("agent's", "agent"),
        ("c++", "c++"),
        ("c#", "c#"),
        ("3d", "3d"),
        ("/", "/"),
        ("\U0001f426", "\U0001f426"),
        ("因果推論", "因果推論"),
        ("a" * 38 + "bs", "a" * 38 + "b"),
        ("a" * 39 + "bs", "a" * 39 + "bs"),
    ],
    ids=ascii,
)
def test_a_stem_is_what_the_forms_of_an_english_word_share(word: str, cut: str) -> None:
    assert stem(word) == cut


def test_stems_stay_true_when_threads_ask_at_once() -> None:
    asked = [
        f"{beginning}{end}" for beginning in "abcdefgh" for end in ("ationally", "nesses", "s")
    ]
    stemmer = snowballstemmer.stemmer("english")
    expected = [stemmer.stemWord(word) for word in asked]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: list(map(stem.__wrapped__, asked)), range(64)))
    assert all(answer == expected for answer in answers)


def test_a_row_has_a_space_around_each_word() -> None:
    assert join_tokens(["world", "model"]) == " world model "
    assert " world " not in join_tokens([])


def test_a_paper_is_prepared_with_its_words_and_their_stems() -> None:
    one = make_paper(
        "Causally Naïve Models",
        "One\n\nof C++.",
        id="2601.00001",
        keywords=("world models", "agents"),
        authors=("Ada Brandt", "Mei O\u2019Reilly"),
        organization="Harbour Labs",
    )
    assert one.tokens == PaperTokens(
        title=" causally naive models ",
        title_stems=" causal naiv model ",
        abstract=" one of c++ ",
        abstract_stems=" one of c++ ",
        keyword=" world models / agents / ",
        keyword_stems=" world model / agent / ",
        author=" ada brandt / mei o'reilly / ",
        org=" harbour labs ",
        id=" 2601 00001 ",
    )


def test_preparing_changes_nothing_but_the_words() -> None:
    bare = Paper(id="x", title="T", abstract="A", submitted=make_paper().submitted, upvotes=3)
    made = analyze(bare)
    assert bare.tokens == PaperTokens()
    assert made.tokens != PaperTokens()
    assert (made.id, made.title, made.abstract, made.upvotes) == ("x", "T", "A", 3)


@given(st.one_of(st.text(), texts(surrogates=True)))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_case_makes_no_other_word(text: str) -> None:
    assert tokenize(text.casefold()) == tokenize(text)
    assert tokenize(text.replace("'", "\u2019")) == tokenize(text)


@given(st.one_of(st.text(), texts(surrogates=True)))
def test_words_written_side_by_side_are_the_same_words(text: str) -> None:
    found = tokenize(text)
    assert tokenize(join_tokens(found)) == found
    assert tokenize("-".join(found)) == found
    assert join_tokens(found).split() == found


@given(st.one_of(st.text(), texts(surrogates=True)))
def test_a_word_is_never_empty_and_holds_no_space_or_fence(text: str) -> None:
    for word in tokenize(text):
        assert word
        assert not set(word) & set(' /-_"()|*:')
        assert stem(word).split() == [stem(word)]


@given(papers())
def test_each_field_of_a_prepared_paper_holds_its_words_in_order(one: Paper) -> None:
    assert one.tokens.title.split() == tokenize(one.title)
    assert one.tokens.title_stems.split() == [stem(word) for word in tokenize(one.title)]
    assert one.tokens.abstract.split() == tokenize(one.abstract)
    assert one.tokens.abstract_stems.split() == [stem(word) for word in tokenize(one.abstract)]
    assert one.tokens.org.split() == tokenize(one.organization)
    assert [part.split() for part in one.tokens.author.split("/")[:-1]] == list(
        map(tokenize, one.authors)
    )
    assert [part.split() for part in one.tokens.keyword.split("/")[:-1]] == list(
        map(tokenize, one.keywords)
    )
    assert analyze(one) == one
