"""Suggestions of other queries."""

from feedsrv.models import Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.index import Index
from feedsrv.search.parser import parse_query
from feedsrv.search.suggest import Suggestion, suggest
from tests.support.builders import make_paper


def papers(*abstracts: str) -> list[Paper]:
    return [
        analyze(make_paper(f"2608.{number:05}", title="Untitled", abstract=abstract, keywords=()))
        for number, abstract in enumerate(abstracts)
    ]


def suggestions(query: str, *abstracts: str) -> dict[str, dict[str, int]]:
    index = Index(papers(*abstracts))
    tree = parse_query(query)
    found: tuple[Suggestion, ...] = suggest(query, tree, index.search(tree), index)
    return {each.reason: dict(each.queries) for each in found}


APART = ("The model of a world at sea.", "A world. Then a model.", "Models of the world.")


def test_the_phrase_is_suggested_if_most_papers_have_the_words_apart() -> None:
    assert suggestions("world model", *APART, "A world model.") == {"phrase": {'"world model"': 1}}


def test_no_phrase_is_suggested_if_papers_have_the_words_side_by_side() -> None:
    assert suggestions("world model", *APART[:1], "A world model.", "World models.") == {}


def test_no_phrase_is_suggested_that_no_paper_has() -> None:
    assert suggestions("world model", *APART) == {}


DEFINITIONS = ("A large fog model (LFM).", "Our large fog model (LFM).")


def test_the_long_form_is_suggested_if_papers_define_the_abbreviation() -> None:
    found = suggestions("LFM", *DEFINITIONS, "Large fog models drift.", "A lantern.")
    assert found == {"long form": {'LFM OR "large fog model"': 3}}


def test_no_long_form_is_suggested_that_finds_no_more_or_is_defined_once() -> None:
    assert suggestions("LFM", *DEFINITIONS, "A lantern.") == {}
    assert suggestions("LFM", DEFINITIONS[0], "Large fog models drift.") == {}


def test_no_long_form_is_suggested_for_a_field_or_for_quoted_words() -> None:
    more = (*DEFINITIONS, "Large fog models drift.")
    assert suggestions("abstract:LFM", *more) == {}
    assert suggestions('"LFM"', *more) == {}
