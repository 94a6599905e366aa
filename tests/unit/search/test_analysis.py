"""Tokens: their boundaries, their normalization, and the analysis of papers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.models import Paper, PaperTokens
from feedsrv.search.analysis import analyze, fold, tokenize, tokenize_with_offsets
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
        ("Σ", "sigma"),
        ("ά ς", "alpha sigma"),
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
def test_folding_removes_case_accents_and_typographic_variants(text: str, folded: str) -> None:
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
        ("GPT-4.5", ["gpt", "4.5"]),
        ("C++", ["c++"]),
        ("C++, C#.", ["c++", "c#"]),
        ("C++11", ["c++", "11"]),
        ("C+++", ["c++"]),
        ("a+b", ["a", "b"]),
        ("C#sharp", ["c", "sharp"]),
        ("#1 #tag", ["1", "tag"]),
        ("++", []),
        ("O'Reilly", ["o'reilly"]),
        ("O\u2019Reilly's", ["o'reilly"]),
        ("the models' rock'n'roll", ["the", "models", "rock'n'roll"]),
        ("'quoted'", ["quoted"]),
        ("a''b", ["a", "b"]),
        ("\U0001f426bird\U0001f426", ["\U0001f426", "bird", "\U0001f426"]),
        ("\u2764\ufe0f", ["\u2764"]),
        ("\U0001f426\U0001f980", ["\U0001f426", "\U0001f980"]),
        ("α-divergence", ["alpha", "divergence"]),
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
    ("text", "found"),
    [
        ("It works. We know.", ["it", "works", "we", "know"]),
        ("works.We", ["works", "we"]),
        ("Node.js, e.g. v1.2.3", ["node", "js", "e", "g", "v1.2.3"]),
        ("Qwen2.5-VL and Wan 2.1.", ["qwen2.5", "vl", "and", "wan", "2.1"]),
        ("of .5 or 3. Then", ["of", "5", "or", "3", "then"]),
        ("the '90.5s, o'2.5", ["the", "90.5s", "o'2.5"]),
        ("LLM's and LLMs' plans", ["llm", "and", "llms", "plans"]),
        (r"$\pi_{0.5}$ and $\pi_0$", ["pi", "0.5", "and", "pi", "0"]),
        (r"$\varepsilon$-greedy", ["epsilon", "greedy"]),
        (r"VILA$^{2}$, \mathrm{CO}_2", ["vila", "2", "co", "2"]),
        (r"the $\ell_2$ norm", ["the", "l", "2", "norm"]),
        ("soft\u00adhyphen", ["softhyphen"]),
    ],
    ids=ascii,
)
def test_dots_possessives_and_tex_are_tokenized_by_meaning(text: str, found: list[str]) -> None:
    assert tokenize(text) == found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A na\u00efve Stra\u00dfe\u2019s end", ["A", "na\u00efve", "Stra\u00dfe", "end"]),
        ("nai\u0308ve!", ["nai\u0308ve"]),
        (r"$\pi_{0.5}$", ["pi", "0.5"]),
        ("VILA\u00b2 sees", ["VILA\u00b2", "sees"]),
        ("\u03c0\u2080-FAST", ["\u03c0\u2080", "FAST"]),
    ],
    ids=ascii,
)
def test_offsets_map_tokens_to_the_original_text(text: str, shown: list[str]) -> None:
    assert [text[token.start : token.end] for token in tokenize_with_offsets(text)] == shown


@given(st.one_of(st.text(), texts(surrogates=True)))
def test_tokens_with_offsets_are_the_same_in_the_same_order(text: str) -> None:
    tokens = tokenize_with_offsets(text)
    spans = [(token.start, token.end) for token in tokens]
    assert [token.word for token in tokens] == tokenize(text)
    # Two tokens may be parts of one character: a quarter is 1 and 4.
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)


def test_a_paper_is_analyzed_to_the_tokens_of_its_fields() -> None:
    paper = make_paper(
        "Causally Naïve Models",
        "One\n\nof C++.",
        id="2601.00001",
        keywords=("world models", "agents"),
        authors=("Ada Brandt", "Mei O\u2019Reilly"),
        organization="Harbour Labs",
    )
    assert paper.tokens == PaperTokens(
        title="causally naive models",
        abstract="one of c++",
        keyword="world models / agents /",
        author="ada brandt / mei o'reilly /",
        org="harbour labs /",
        id="2601 00001",
    )


def test_analysis_changes_nothing_but_the_tokens() -> None:
    bare = Paper(id="x", title="T", abstract="A", submitted=make_paper().submitted, upvotes=3)
    made = analyze(bare)
    assert bare.tokens == PaperTokens()
    assert made.tokens != PaperTokens()
    assert (made.id, made.title, made.abstract, made.upvotes) == ("x", "T", "A", 3)


@given(st.one_of(st.text(), texts(surrogates=True)))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(max_codepoint=0x24F)))
def test_case_and_apostrophes_do_not_change_tokens(text: str) -> None:
    assert tokenize(text.casefold()) == tokenize(text)
    assert tokenize(text.replace("'", "\u2019")) == tokenize(text)


@given(st.one_of(st.text(), texts(surrogates=True)))
def test_tokenizing_joined_tokens_returns_the_same_tokens(text: str) -> None:
    found = tokenize(text)
    assert tokenize(" ".join(found)) == found
    assert " ".join(found).split() == found


@given(st.one_of(st.text(), texts(surrogates=True)))
def test_a_token_is_never_empty_and_contains_no_space_or_boundary(text: str) -> None:
    for word in tokenize(text):
        assert word
        assert not set(word) & set(' /-_"()|*:')


@given(papers())
def test_each_field_of_an_analyzed_paper_has_its_tokens_in_order(paper: Paper) -> None:
    assert paper.tokens.title.split() == tokenize(paper.title)
    assert paper.tokens.abstract.split() == tokenize(paper.abstract)
    boundary = ["/"] if paper.organization else []
    assert paper.tokens.org.split() == [*tokenize(paper.organization), *boundary]
    assert [part.split() for part in paper.tokens.author.split("/")[:-1]] == list(
        map(tokenize, paper.authors)
    )
    assert [part.split() for part in paper.tokens.keyword.split("/")[:-1]] == list(
        map(tokenize, paper.keywords)
    )
    assert analyze(paper) == paper


@given(papers(), papers(), st.data())
def test_a_known_copy_changes_no_token(paper: Paper, other: Paper, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(paper.__struct_fields__)))
    changes = {name: getattr(other, name) for name in {*names} - {"tokens"}}
    known = analyze(msgspec.structs.replace(paper, **changes))
    assert analyze(paper, known) == analyze(paper)


def test_the_tokens_of_a_known_copy_with_the_same_text_are_used() -> None:
    paper = make_paper("Causal models", upvotes=1)
    tokens = PaperTokens(title="made before")
    known = msgspec.structs.replace(paper, tokens=tokens, upvotes=2)
    assert analyze(paper, known) == msgspec.structs.replace(paper, tokens=tokens)
