"""Papers that a query nearly matches, and additions that would match them."""

import pytest

from feedsrv.models import Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.index import Index
from feedsrv.search.near_misses import NearMiss, find_near_misses
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Like
from feedsrv.search.similar import build_seed_vector
from tests.support.builders import make_paper

FILLERS = ("ledger", "orchard", "glacier", "violin", "lantern", "quarry")


def analyzed(number: int, title: str, abstract: str, **details: object) -> Paper:
    return analyze(make_paper(f"2601.{number:05d}", title=title, abstract=abstract, **details))


GRASPING = [
    analyzed(1, "Robot hands", "A robot grasps fragile eggs with tactile fingers."),
    analyzed(2, "Robot arms", "A robot lifts fragile glasses with tactile sensors."),
]
#: A paper without the word robot.
GRIPPER = analyzed(
    3, "A soft gripper", "It grasps fragile eggs with tactile fingers.", keywords=("gripper",)
)
OTHERS = [
    analyzed(10 + number, f"The {word}", f"Every {word} is counted in spring.")
    for number, word in enumerate(FILLERS)
]
INDEX = Index([*GRASPING, GRIPPER, *OTHERS])


def near_misses(text: str, index: Index = INDEX) -> tuple[NearMiss, ...]:
    tree = parse_query(text)
    return find_near_misses(text, tree, index.search(tree), index)


def test_the_most_similar_paper_has_a_word_that_would_match_it() -> None:
    first = near_misses("robot")[0]
    assert first.paper is GRIPPER
    assert first.query == f"robot OR {first.addition}"
    found = INDEX.search(parse_query(first.query))
    assert len(found) == len(GRASPING) + first.count
    assert GRIPPER in found


@pytest.mark.parametrize("text", ["robot tactile", "robot fragile tactile -glacier"])
def test_a_query_of_several_parts_is_parenthesized(text: str) -> None:
    first = near_misses(text)[0]
    assert first.query == f"({text}) OR {first.addition}"
    assert GRIPPER in INDEX.search(parse_query(first.query))


def test_papers_without_common_words_are_no_near_misses() -> None:
    assert {miss.paper for miss in near_misses("robot")} == {GRIPPER}


@pytest.mark.parametrize("text", ["zeppelin", "upvotes:>=0", "has:code"])
def test_a_query_without_papers_or_words_has_no_near_misses(text: str) -> None:
    assert near_misses(text) == ()


def test_a_word_that_would_match_half_of_all_papers_is_not_suggested() -> None:
    others = [
        analyzed(100 + number, f"Tide {number}", f"Tactile fingers number {number}.")
        for number in range(30)
    ]
    index = Index([*GRASPING, GRIPPER, *others])
    assert "tactile" not in {miss.addition for miss in near_misses("robot", index)}


def test_below_the_cutoff_of_like_the_paper_itself_is_added() -> None:
    like = Like(("2601.00001",), members=frozenset({"2601.00001", "2601.00002"}))
    tree = Like(like.ids, members=like.members, seed_vector=build_seed_vector(GRASPING[:1]))
    first = find_near_misses("like:2601.00001", tree, GRASPING, INDEX)[0]
    assert first.paper is GRIPPER
    assert first.addition == "like:2601.00003"
    assert first.query == "like:2601.00001,2601.00003"


def test_a_query_that_would_become_too_long_for_a_url_is_not_suggested() -> None:
    assert near_misses(f"robot -{'z' * 240}") == ()
