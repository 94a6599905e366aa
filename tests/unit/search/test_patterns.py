"""Matches of a term in all spellings, and their positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.search.analysis import tokenize
from feedsrv.search.patterns import WordMode, build_pattern, find_verbatim, may_join

SPELLINGS = [
    ["multi-modal", "multimodal", "multi modal"],
    ["fine-tuning", "finetuning", "fine tuned", "fine-tunes"],
    ["text-to-video", "text to video"],
    ["data set", "dataset", "datasets", "data-sets"],
    ["speed-up", "speedup", "speed up", "speedups"],
    ["Qwen2.5", "Qwen 2.5", "Qwen-2.5"],
    ["Llama3", "Llama 3", "Llama-3"],
    ["GPT-4o", "GPT4o", "GPT 4o"],
    ["3D", "3-D"],
    ["DeepSeek-V3", "DeepSeekV3", "DeepSeek V3"],
    ["k-NN", "kNN"],
    ["H2O", "H\u2082O", "H$_2$O", "H 2 O"],
    ["\u03c00.5", "pi0.5", r"$\pi_{0.5}$", "\u03c0 0.5"],
    ["VILA\u00b2", "VILA2", "VILA$^2$", "VILA-2"],
    ["\u03b2-VAE", "beta-VAE", r"$\beta$-VAE"],
    ["non-i.i.d.", "non-IID", "non i. i. d."],
    ["Q, K, V", "QKV", "Q-K-V"],
    ["Ph.D.", "PhD"],
    ["sim-to-real", "sim2real", "Sim2Real"],
    ["text-to-SQL models", "Text2SQL model"],
    ["8x7B", "8\u00d77B", "8 \u00d7 7B"],
    ["X100", "X100s"],
    ["SE(3)", "SE3", "SE 3"],
    ["world model", "world models", "world-model", "worldmodel"],
]
words = st.sampled_from(
    (
        *("a", "fine", "tuning", "tuned", "finetune", "data", "set", "sets", "dataset"),
        *("2", "2.5", "3d", "d", "up", "pi", "models", "of"),
    )
)


def matches(query: str, text: str, mode: WordMode = "forms") -> bool:
    return build_pattern(tuple(tokenize(query)), mode).matches(" ".join(tokenize(text)))


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda spellings: ascii(spellings[0]))
def test_all_spellings_match_each_other(spellings: list[str]) -> None:
    missed = [
        (query, text)
        for query in spellings
        for text in spellings
        if not matches(query, f"The {text} is here")
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("multi-modal", "multi-task and modal"),
        ("fine-tuning", "tuning fine"),
        ("SAM2", "SAM 3"),
        ("GPT-4", "GPT-4o"),
        ("Qwen2", "Qwen2.5"),
        ("SAM 3", "SAM 3D"),
        ("3D", "3DGS"),
        ("7B", "70B"),
        ("A100", "a 100"),
        ("overall", "over all"),
        ("forgetting", "for getting"),
        ("inform", "in form"),
        ("notable", "not able"),
        ("main", "MA in"),
        ("AI", "a i"),
        ("10", "10s"),
        ("hands", "h and"),
        ("formats", "form at"),
        ("tables", "t able"),
        ("H2O", "h to o"),
        ("1 to 3", "1 2 3"),
        ("SAM 2 tracks", "SAM to track"),
        ("US", "the U.S."),
        ("U.S.", "for us"),
        ("IID", "i, d"),
        ("C", "C++"),
        ("nonlinear", "linear"),
        ("finetuning", "fine words, tuning"),
        ("H2O", "H 2 and O"),
    ],
)
def test_other_words_do_not_match(query: str, text: str) -> None:
    assert not matches(query, text)


def test_a_plain_word_may_be_joined_with_its_neighbour_in_the_query() -> None:
    assert build_pattern(("multi",), next_word="modal").matches("multimodal")
    assert build_pattern(("modal",), previous_word="multi").matches("multimodal")
    assert not build_pattern(("modal",)).matches("multimodal")
    assert not build_pattern(("all",), previous_word="over").matches("overall")


def test_a_prefix_matches_each_spelling() -> None:
    assert matches("diffus", "diffusing", "prefix")
    assert matches("pre-train", "pretraining", "prefix")
    assert matches("pretrain", "pre-training", "prefix")
    assert not matches("quant", "an equant", "prefix")
    assert not matches("models", "model", "prefix")


@pytest.mark.parametrize(
    ("literal", "text", "found"),
    [
        ("world models", "World  models dream", ["World  models"]),
        ("world models", "a world model; world-models", []),
        ("US", "in the US, not us", ["US"]),
        ("MAP", "a map", []),
        ("LoRA", "Lora or LoRA's", ["LoRA"]),
        ("Transformer", "a transformer", ["transformer"]),
        ("C", "C++ or C", ["C"]),
        ("C++", "in C++20", ["C++"]),
        ("(LLM)", "an LLM.", ["LLM"]),
        ("fine-tuning", "fine tuning", []),
        ("...", "...", []),
    ],
)
def test_a_verbatim_match_has_the_exact_text(literal: str, text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in find_verbatim(literal, text)] == found


@given(
    st.lists(words, min_size=1, max_size=4),
    st.lists(words, max_size=4),
    st.lists(words, max_size=4),
)
def test_a_text_with_the_same_words_is_found_at_their_position(
    query: list[str], before: list[str], after: list[str]
) -> None:
    modes: tuple[WordMode, ...] = ("forms", "exact", "prefix")
    for mode in modes:
        found = list(build_pattern(tuple(query), mode).find([*before, *query, *after]))
        assert (len(before), len(before) + len(query)) in found


@given(st.lists(words, min_size=1, max_size=4), st.lists(words, max_size=12))
def test_each_match_is_within_the_text_and_found_once(query: list[str], text: list[str]) -> None:
    found = list(build_pattern(tuple(query)).find(text))
    assert len(set(found)) == len(found)
    assert all(0 <= begin < end <= len(text) for begin, end in found)


@given(words, words)
def test_two_words_that_may_join_are_found_joined_and_separate(first: str, last: str) -> None:
    if may_join(first, last):
        assert matches(f"{first} {last}", first + last)
        assert matches(first + last, f"{first} {last}")
        assert matches(first + last, f"{first}-{last}")
