"""Forms of words: the rules, the table, and their consistency."""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.search.stemmer import stem
from feedsrv.search.word_families import base_forms, related_base_forms
from tests.support.strategies import listed_words

TABLE = files("feedsrv.search").joinpath("word_families.txt").read_text("ascii")
LINES = [line for line in TABLE.splitlines() if not line.startswith("#")]
letters = st.text("abcdefgilmnoprstuyz", min_size=1, max_size=12)
words = letters | listed_words()


def is_form(word: str, other: str) -> bool:
    return not related_base_forms(word).isdisjoint(base_forms(other))


@pytest.mark.parametrize(
    "forms",
    [
        "token tokens",
        "tokenizer tokenizers tokenize tokenized tokenizing tokenization tokenisation tokeniser",
        "verify verifies verified verifying verifier verifiers verification verifiable",
        "finetune finetunes finetuned finetuning",
        "model models modeled modelled modeling modelling",
        "code codes coded coding",
        "use uses used using",
        "hop hops hopped hopping",
        "box boxes boxed boxing",
        "lens lenses",
        "bias biases biased",
        "movie movies",
        "gpu gpus",
        "api apis",
        "moe moes",
        "vae vaes",
        "roi rois",
        "matrix matrices",
        "corpus corpora",
        "hypothesis hypotheses",
        "leaf leaves",
        "woman women",
        "write writes wrote written writing",
        "rewrite rewrote rewritten",
        "sparse sparsely sparsity",
        "causal causally causality",
        "noisy noisier noisiest noisily",
        "deep deeper deepest deeply",
        "colour color colours coloring",
        "behaviour behaviors behavioural",
        "analyse analyze analysis analyses",
        "multimodal multimodality",
        "sparsify sparsified sparsification",
        "misalign misaligned misalignment",
        "debias debiased debiasing",
        "jailbreak jailbreaks jailbroken",
        "relight relighting relit",
    ],
)
def test_these_are_forms_of_one_word(forms: str) -> None:
    first, *others = forms.split()
    assert [other for other in others if not is_form(first, other)] == []


@pytest.mark.parametrize(
    "pair",
    [
        *("token tokenizer", "general generalize", "optimal optimizer", "organ organization"),
        *("experience experiment", "object objective", "transform transformer", "use user"),
        *("hop hope", "plan plane", "same sam", "car care", "cod code", "new news", "rag ragged"),
        *("even evening", "mod modest", "lay layer", "app apply", "off offer", "critic critical"),
        *("comprehension comprehensive", "let letter", "impression impressive", "integer integral"),
        *("base based", "organic organism", "terminal terminate", "tense tensor", "live liver"),
        *("organ organic", "initiate initiative", "present presenter", "affect affective"),
        *("machine machinery", "executable executor", "time timely", "supervised unsupervised"),
        *("learn unlearn", "us use", "ai ais's", "ly lily", "wy wily"),
    ],
)
def test_these_are_not_forms_of_one_word(pair: str) -> None:
    word, other = pair.split()
    assert not is_form(word, other)


@pytest.mark.parametrize(
    "word", ["", "a", "x1", "c++", "2.5", "\u674e", "o'reilly", "s", "es", "eds", "ing", "zzz"]
)
def test_a_word_that_is_not_english_matches_itself(word: str) -> None:
    assert is_form(word, word)


@pytest.mark.parametrize("word", ["", "a", "x1", "c++", "2.5", "\u674e", "o'reilly", "es", "ing"])
def test_a_word_that_has_no_forms_has_one_base_form_itself(word: str) -> None:
    assert related_base_forms(word) == {word}
    assert base_forms(word) == (word,)


@given(words, words)
def test_forms_are_mutual(word: str, other: str) -> None:
    assert is_form(word, word)
    assert is_form(word, other) == is_form(other, word)


@given(st.text(max_size=50) | letters)
def test_any_text_has_a_stem(word: str) -> None:
    assert bool(stem(word)) == bool(word)


@given(letters)
def test_a_plural_has_the_stem_of_its_word(word: str) -> None:
    if len(word) > 2 and word[-1] not in "sxzhyiuoe":
        assert stem(f"{word}s") == stem(word)


def test_the_table_is_sorted_and_lists_everything_once() -> None:
    exceptions = [line for line in LINES if " = " in line]
    groups = [line for line in LINES if " = " not in line]
    assert exceptions + groups == LINES
    for lines in (exceptions, groups):
        assert [line.split() for line in lines] == sorted(line.split() for line in lines)
        assert len(set(lines)) == len(lines)
    assert len({line.partition(" = ")[0] for line in exceptions}) == len(exceptions)
    assert all(len(set(line.split())) == len(line.split()) > 1 for line in groups)


def test_the_table_is_small() -> None:
    assert len(TABLE) < 200_000
