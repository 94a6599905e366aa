"""Similarity of papers: vectors, profiles, the cut-off, and the shipped table."""

import gzip
from pathlib import Path

import pytest

from build_document_frequencies import TABLE, count_documents, format_table
from feedsrv.models import Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.similar import (
    SeedVector,
    SimilarityIndex,
    build_seed_vector,
    similarity_cutoff,
    vectorize,
)
from tests.support.builders import make_paper


def analyzed(name: str = "2601.00009", *, title: str, abstract: str) -> Paper:
    return analyze(make_paper(name, title=title, abstract=abstract))


ROBOT = analyzed(
    "2601.00001",
    title="Grasping with soft robot hands",
    abstract="A soft robot learns to grasp fragile objects with tactile sensors.",
)
ROBOT_TOO = analyzed(
    "2601.00002",
    title="Tactile sensing for robotic grasps",
    abstract="Robots that feel fragile objects grasp them better than those that look.",
)
SPEECH = analyzed(
    "2601.00003",
    title="Whispered speech recognition",
    abstract="We transcribe whispered speech of speakers with a cold.",
)


def weights_of(paper: Paper) -> dict[str, float]:
    vector = vectorize(paper.tokens)
    return dict(zip(vector.words, vector.weights, strict=True))


def similarity(paper: Paper, *others: Paper, unlike: tuple[Paper, ...] = ()) -> float:
    return build_seed_vector(others, unlike).similarity(paper)


def test_a_paper_is_most_similar_to_itself() -> None:
    assert similarity(ROBOT, ROBOT) == pytest.approx(1, abs=1e-5)
    assert max(similarity(other, ROBOT) for other in (ROBOT_TOO, SPEECH)) < 0.9


def test_what_a_single_paper_repeats_counts_most() -> None:
    often = analyzed(title="Kites", abstract="xylograph xylograph xylograph zymology")
    other = analyzed(title="Kites", abstract="zymology zymology zymology xylograph")
    candidate = analyzed(title="Dunes", abstract="xylograph")
    alone = similarity(candidate, often)
    assert alone > 2 * similarity(candidate, other)
    assert alone > similarity(candidate, often, often)


def test_a_paper_on_the_same_topic_is_more_similar_than_one_on_another() -> None:
    assert similarity(ROBOT_TOO, ROBOT) > 0.3
    assert similarity(SPEECH, ROBOT) < 0.1


def test_forms_of_a_word_count_as_one_word() -> None:
    assert set(weights_of(analyzed(title="grasp", abstract="grasps grasping"))) == {"grasp"}


def test_a_rare_word_weighs_more_than_a_common_one() -> None:
    weights = weights_of(analyzed(title="Tactile model", abstract=""))
    assert weights["tactil"] > 5 * weights["model"]


def test_a_word_of_the_title_weighs_more_than_one_of_the_abstract() -> None:
    weights = weights_of(analyzed(title="xylograph", abstract="zymology"))
    assert weights["xylograph"] > weights["zymology"]


def test_numbers_have_no_weight() -> None:
    assert set(weights_of(analyzed(title="2.5 kites", abstract="3 4"))) == {"kite"}


def test_a_paper_without_words_is_similar_to_none() -> None:
    assert similarity(analyzed(title="7", abstract=""), ROBOT) == 0


def test_the_profile_of_several_papers_finds_what_any_of_them_is_about() -> None:
    assert similarity(ROBOT_TOO, ROBOT, SPEECH) > 0.1
    assert similarity(SPEECH, ROBOT, SPEECH) > 0.1


def test_unlike_papers_lower_the_similarity_of_others() -> None:
    assert similarity(ROBOT_TOO, ROBOT, unlike=(ROBOT_TOO,)) < similarity(ROBOT_TOO, ROBOT) / 2
    assert similarity(ROBOT, ROBOT, unlike=(ROBOT_TOO,)) > 0.5


def test_the_index_and_the_profile_give_the_same_similarities() -> None:
    papers = [ROBOT, ROBOT_TOO, SPEECH]
    profile = build_seed_vector([ROBOT, SPEECH], [ROBOT_TOO])
    expected = [profile.similarity(paper) for paper in papers]
    assert SimilarityIndex(papers).similarities(profile) == pytest.approx(expected)


def test_the_words_that_weigh_most_are_those_of_the_paper_as_written() -> None:
    words = build_seed_vector([ROBOT]).shared_words(ROBOT_TOO, 3)
    assert set(words) <= {"tactile", "grasps", "fragile", "robots", "robotic", "objects"}
    assert len(words) == 3
    assert build_seed_vector([ROBOT]).shared_words(analyzed(title="Kite", abstract=""), 3) == ()


def test_words_with_negative_weights_are_not_shown() -> None:
    assert SeedVector({"grasp": -1.0}).shared_words(ROBOT, 3) == ()


@pytest.mark.parametrize(
    ("similarities", "cutoff"),
    [
        ([], 0.02),
        ([0.001], 0.02),
        ([0.5, 0.4], 0.5),
        ([number / 1000 for number in range(1, 101)], 0.099),
        ([number / 1000 for number in range(1, 1001)], 0.981),
    ],
)
def test_the_cutoff_admits_two_percent_and_at_least_one(
    similarities: list[float], cutoff: float
) -> None:
    assert similarity_cutoff(similarities) == cutoff


# --- the table ---------------------------------------------------------------------------------


def test_the_table_counts_papers_and_not_occurrences() -> None:
    documents, counts = count_documents(["kite kites wind", "kite", "tide"])
    assert documents == 3
    assert list(format_table(documents, counts))[1:] == ["2 kite"]


def test_the_shipped_table_is_small() -> None:
    assert 50_000 < TABLE.stat().st_size < 110_000


def test_the_shipped_table_is_what_the_script_writes_from_the_words_of_papers() -> None:
    bags = Path(__file__).parents[4] / "shared/eval/bags.txt.gz"
    if not bags.exists():
        pytest.skip("the words of papers are not part of the repository")
    with gzip.open(bags, "rt", encoding="utf-8") as lines:
        first = [line for line, _ in zip(lines, range(200), strict=False)]
    _, counts = count_documents(first)
    table = {
        word: int(line.split(" ")[0])
        for line in TABLE.read_text("utf-8").splitlines()[1:]
        for word in line.split(" ")[1:]
    }
    frequent = {word for word, count in counts.items() if count >= 2}
    assert frequent <= table.keys()
    assert all(table[word] >= counts[word] for word in frequent)
