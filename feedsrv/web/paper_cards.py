"""Papers as HTML pages show them, with the words of a query highlighted.

Titles, names and abstracts come from strangers. Text with highlights is a `markupsafe.Markup` whose
parts were escaped one by one, so that no template needs the ``safe`` filter.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import not_
from typing import NamedTuple

import msgspec
from markupsafe import Markup, escape

from feedsrv.models import Feed, Match, Paper
from feedsrv.search.artefact_table import NO_ARTEFACTS, ArtefactKind, ArtefactTable
from feedsrv.search.highlight import Span, excerpt, highlight_spans, searches_field, segments
from feedsrv.search.matching import match_locations
from feedsrv.search.query import Or, Query
from feedsrv.search.suggest import keyword_query
from feedsrv.web.filters import format_count

_EXCERPT_LENGTH = 260
#: Authors that are shown without a click, and those that a brief card highlights at most.
_MAX_VISIBLE_AUTHORS = 6
_MAX_SEARCHED_AUTHORS = 60
#: Papers of a page with highlights. They take longer than the rest of the page, and few people
#: scroll through two hundred papers.
_MAX_HIGHLIGHTED_PAPERS = 50
_ARTEFACT_NOUNS: dict[ArtefactKind, str] = {
    "model": "model",
    "dataset": "dataset",
    "space": "Space",
}
_ARTEFACT_PATHS = {"model": "", "dataset": "datasets/", "space": "spaces/"}
_HIGHLIGHTED_FIELDS = ("title", "abstract", "author", "org", "keyword")


class Keyword(msgspec.Struct, frozen=True):
    """A keyword of a paper, and the query for all papers that have it."""

    text: Markup
    query: str
    is_highlighted: bool


class ArtefactLink(NamedTuple):
    """How many artefacts of one kind cite a paper, in words, and where they are."""

    text: str
    url: str


class PaperCard(msgspec.Struct, frozen=True, kw_only=True):
    """A paper with the words of a query highlighted."""

    paper: Paper
    title: Markup
    #: Paragraphs; an excerpt on a brief card.
    abstract: tuple[Markup, ...]
    authors: tuple[Markup, ...]
    #: Authors that are shown on click.
    more_authors: tuple[Markup, ...]
    organization: Markup
    keywords: tuple[Keyword, ...]
    matched_fields: tuple[str, ...]
    #: How similar it is to the papers of ``like:``, with the words that weigh most.
    similarities: tuple[str, ...]
    #: Models, datasets and Spaces that cite it.
    artefacts: tuple[ArtefactLink, ...] = ()


def paper_cards(
    matches: Iterable[Match],
    queries: Mapping[Feed, tuple[Query, ...]],
    artefacts: ArtefactTable = NO_ARTEFACTS,
) -> tuple[PaperCard, ...]:
    """Return the cards of a feed's papers, with what the feeds' queries match highlighted."""
    return tuple(
        msgspec.structs.replace(
            paper_card(
                match.paper,
                _combined_query(match.feeds, queries) if index < _MAX_HIGHLIGHTED_PAPERS else None,
            ),
            artefacts=tuple(_artefact_links(match.paper, artefacts)),
        )
        for index, match in enumerate(matches)
    )


def _artefact_links(paper: Paper, artefacts: ArtefactTable) -> Iterator[ArtefactLink]:
    """Yield a link for each kind of artefacts that cite the paper: to the only one, or to all."""
    for kind, noun in _ARTEFACT_NOUNS.items():
        linked = artefacts.get(kind, paper.id)
        path = f"{_ARTEFACT_PATHS[kind]}{linked.example}"
        if linked.count > 1 or not linked.example:
            # Spaces have no page of their own for it; the paper's page shows them.
            is_space = kind == "space"
            path = f"papers/{paper.id}" if is_space else f"{kind}s?other=arxiv:{paper.id}"
        if linked.count:
            url = f"https://huggingface.co/{path}"
            yield ArtefactLink(format_count(linked.count, noun), url)


def _combined_query(
    feeds: Iterable[Feed], queries: Mapping[Feed, tuple[Query, ...]]
) -> Query | None:
    trees = tuple(query for feed in feeds for query in queries[feed])
    return trees[0] if len(trees) == 1 else Or(trees) if trees else None


def paper_card(paper: Paper, query: Query | None, *, is_brief: bool = False) -> PaperCard:
    """Return the card of a paper, with what the query matches highlighted.

    A brief card has an excerpt of the abstract around the first highlight, others have all of it.
    """
    has_keywords = bool(paper.keywords)
    searched_fields = {
        field
        for field in _HIGHLIGHTED_FIELDS
        if query is not None and searches_field(query, field, has_keywords=has_keywords)
    }

    def spans(field: str, text: str) -> tuple[Span, ...]:
        if query is None or field not in searched_fields:
            return ()
        return highlight_spans(query, field, text, has_keywords=has_keywords)

    def highlight(field: str, text: str) -> Markup:
        return _highlight(text, spans(field, text))

    # The preview is rendered at each keystroke, and some papers have a thousand authors.
    searched = len(paper.authors) if not is_brief else _MAX_SEARCHED_AUTHORS
    author_spans = [
        spans("author", name) if index < searched else ()
        for index, name in enumerate(paper.authors)
    ]
    authors = [
        _highlight(name, found) for name, found in zip(paper.authors, author_spans, strict=True)
    ]
    # Authors that match are visible, however long the list is.
    is_visible = [
        index < _MAX_VISIBLE_AUTHORS or bool(found) for index, found in enumerate(author_spans)
    ]
    paragraphs = [(text, spans("abstract", text)) for text in paper.abstract.split("\n\n") if text]
    if is_brief and paragraphs:
        first = next((paragraph for paragraph in paragraphs if paragraph[1]), paragraphs[0])
        paragraphs = [excerpt(*first, _EXCERPT_LENGTH)]
    matched = _matched_fields(query, paper) if query is not None else {}
    return PaperCard(
        paper=paper,
        title=highlight("title", paper.title),
        abstract=tuple(_highlight(text, found) for text, found in paragraphs),
        authors=tuple(compress(authors, is_visible)),
        more_authors=tuple(compress(authors, map(not_, is_visible))),
        organization=highlight("org", paper.organization),
        keywords=tuple(
            Keyword(
                highlight("keyword", keyword),
                keyword_query(keyword),
                bool(spans("keyword", keyword)),
            )
            for keyword in paper.keywords
            if keyword_query(keyword)
        ),
        matched_fields=tuple(field for field in matched if field != "like"),
        similarities=matched.get("like", ()),
    )


def _highlight(text: str, spans: Sequence[Span]) -> Markup:
    if not spans:
        return escape(text)
    parts = (
        Markup("<mark>{}</mark>").format(segment) if is_highlighted else escape(segment)
        for segment, is_highlighted in segments(text, spans)
    )
    return Markup().join(parts)


def _matched_fields(query: Query, paper: Paper) -> dict[str, tuple[str, ...]]:
    """Return the fields that the query matches, each with what it matches there."""
    matched: dict[str, tuple[str, ...]] = {}
    for location in match_locations(query, paper):
        field, _, value = location.partition(": ")
        matched[field] = (*matched.get(field, ()), value)
    return matched
