"""Abbreviations that papers define, and their long forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.search.abbreviations import collect_long_forms, find_definitions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We train a large fog model (LFM) at sea.", [("LFM", "large fog model")]),
        ("Large fog models (LFMs) drift.", [("LFM", "Large fog models")]),
        ("With tide-aware routing (TAR), boats wait.", [("TAR", "tide-aware routing")]),
        ("Harbour graph networks (HGN) and buoy-term memory (BTM).", None),
        # The letters have to be there, in order, and the first has to start a word.
        ("We use an old lantern (XYZ).", []),
        ("The lighthouse (GHT) blinks.", []),
        # A word in parentheses, a year, and one letter are no abbreviations.
        ("A model of the coast (north) and of (A) in (2026).", []),
        # A long form does not extend across a sentence.
        ("We saw a large fog. Model (LFM) is a name.", []),
        # One word is not spelled out by an abbreviation of several.
        ("Lanternfishmap (LFM).", []),
        ("", []),
    ],
)
def test_a_definition_is_an_abbreviation_in_parentheses_after_its_words(
    text: str, expected: list[tuple[str, str]] | None
) -> None:
    if expected is None:
        expected = [("HGN", "Harbour graph networks"), ("BTM", "buoy-term memory")]
    assert list(find_definitions(text)) == expected


def test_each_text_counts_once() -> None:
    texts = [
        "A large fog model (LFM), or large fog model (LFM).",
        "Our Large Fog Model (LFM).",
        "A lost ferry map (LFM).",
    ]
    assert collect_long_forms(texts)["lfm"] == {"large fog model": 2, "lost ferry map": 1}


@given(st.text("aB (-s).1é", max_size=60))
def test_a_long_form_has_the_letters_of_the_abbreviation_in_order(text: str) -> None:
    for short, long_form in find_definitions(text):
        letters = iter(long_form.lower())
        assert all(letter in letters for letter in short.lower() if letter.isalnum())
        assert long_form in " ".join(text.replace("(", " ").split()) or " " in long_form
