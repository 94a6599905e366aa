"""The script that builds the table of word families from a dictionary and papers."""

from collections import Counter
from pathlib import Path

import pytest

from build_word_families import Table
from word_lemmas import Lemmas
from word_relations import Relations
from word_sources import Papers, WordNet

#: Part of speech, word, its base, uses in annotated texts. A word may have several senses.
WORDS = [
    ("v", "verify", "", 9),
    ("n", "verification", "verify", 9),
    ("n", "verifier", "verify", 9),
    ("v", "transform", "", 9),
    ("n", "transformer", "transform", 9),
    ("a", "sparse", "", 9),
    ("n", "sparsity", "sparse", 9),
    ("r", "sparsely", "sparse", 9),
    ("n", "plan", "", 9),
    ("v", "plan", "", 9),
    ("n", "plane", "", 9),
    ("n", "corpus", "", 9),
    ("v", "rewrite", "", 9),
    ("v", "terminate", "", 9),
    ("n", "terminal", "", 95),
    ("n", "terminal", "terminate", 5),
    ("v", "celebrate", "", 9),
    ("n", "celebration", "", 5),
    ("n", "celebration", "celebrate", 95),
]
IRREGULAR = {"noun": "corpora corpus", "verb": "planned plan\nplanning plan\nrewrote rewrite"}
FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
NUMBERS = {"n": 1, "v": 2, "a": 3, "r": 4}
TOGETHER = [
    "we verify proofs and verification needs a verifier",
    "sparse models have sparsity and are sparsely wired",
]
#: Words that few papers have together, but more than by chance.
SOMETIMES_TOGETHER = [
    *(["a terminal", "we terminate", "a celebration", "we celebrate"] * 3),
    *("we terminate a terminal", "we celebrate a celebration"),
]
APART = ["we transform images", "a transformer learns", "planned planning", "a plane", "corpora"]


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    """The table of a small dictionary, in the format of WNDB(5WN), and of some papers."""
    offsets = {word: f"{number:08}" for number, (_, word, _, _) in enumerate(WORDS)}
    data: dict[str, list[str]] = {pos: [] for pos in FILES}
    senses, sense_numbers = "", Counter[str]()
    for number, (pos, word, base, uses) in enumerate(WORDS):
        base_pos = next((p for p, w, _, _ in WORDS if w == base), "")
        pointer = f"001 + {offsets[base]} {base_pos} 0101" if base else "000"
        sense = sense_numbers[f"{pos} {word}"]
        sense_numbers[f"{pos} {word}"] += 1
        data[pos].append(f"{number:08} 00 {pos} 01 {word} {sense} {pointer} | {word}s in a text\n")
        senses += f"{word}%{NUMBERS[pos]}:00:{sense:02}:: {sense + 1} {uses}\n"
    for pos, name in FILES.items():
        (tmp_path / f"data.{name}").write_text("  1 a licence\n" + "".join(data[pos]))
        (tmp_path / f"{name}.exc").write_text(IRREGULAR.get(name, ""))
    (tmp_path / "cntlist.rev").write_text(senses)
    bags = tmp_path / "papers.txt"
    bags.write_text("\n".join(TOGETHER * 10 + APART * 20 + SOMETIMES_TOGETHER * 5))
    net, papers = WordNet(tmp_path), Papers(bags)
    lemmas = Lemmas(net, papers)
    return list(Table(net, lemmas, Relations(net, papers, lemmas)).lines())


def test_words_that_papers_use_together_are_related(lines: list[str]) -> None:
    # Verify, verifier and verification have one stem already, as sparse and sparsely have.
    assert "spars sparsity" in lines


def test_words_that_papers_never_use_together_are_not_related(lines: list[str]) -> None:
    assert not any("transformer" in line.split() for line in lines)


def test_words_of_which_only_rare_senses_are_linked_need_more_evidence(lines: list[str]) -> None:
    assert "celebrat celebration" in lines
    assert not any("terminal" in line.split() for line in lines)


def test_irregular_forms_are_listed(lines: list[str]) -> None:
    assert "corpus = corpora" in lines
    assert "rewrit = rewrot" in lines  # the stem of rewrote


def test_the_less_frequent_of_two_words_with_one_stem_is_listed(lines: list[str]) -> None:
    assert "plane = plane planes" in lines
    assert not any(line.startswith("plan = ") for line in lines)


def test_forms_that_the_rules_derive_are_not_listed(lines: list[str]) -> None:
    listed = {word for line in lines for word in line.split()}
    assert listed.isdisjoint({"verify", "verified", "verification", "verifier", "sparsely"})
