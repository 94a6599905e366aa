"""Papers as pages show them."""

from bs4 import BeautifulSoup
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.models import Paper
from feedsrv.search.matching import matches
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Query
from feedsrv.web.paper_cards import paper_card
from tests.support.builders import make_paper
from tests.support.strategies import papers, queries


def test_matching_authors_are_visible_however_long_the_list() -> None:
    paper = make_paper(authors=tuple(f"Ada Quill {number}" for number in range(671)))
    card = paper_card(paper, parse_query('author:"quill 400"'))
    assert len(card.authors) == 7
    assert card.authors[-1] == "Ada <mark>Quill 400</mark>"
    assert len(card.authors) + len(card.more_authors) == 671


@given(papers(), queries(), st.booleans())
def test_cards_have_no_markup_except_highlights(paper: Paper, query: Query, is_brief: bool) -> None:
    card = paper_card(paper, query, is_brief=is_brief)
    texts = [card.title, card.organization, *card.abstract, *card.authors, *card.more_authors]
    texts += [keyword.text for keyword in card.keywords]
    for text in texts:
        without_highlights = text.replace("<mark>", "").replace("</mark>", "")
        assert not set(without_highlights) & set("<>\"'")
    assert BeautifulSoup(f"<p>{card.title}</p>", "html.parser").get_text() == paper.title
    for keyword in card.keywords:
        assert matches(parse_query(keyword.query), paper)
