"""Hypothesis strategies: papers, listings, queries and unusual texts."""

from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from typing import Any, Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from feedsrv.models import FIRST_LIST_DAY, Kind, Listing, Page, Paper
from feedsrv.search.analysis import analyze
from feedsrv.search.artefact_table import ARTEFACT_KINDS
from feedsrv.search.parser import URL_LIMITS
from feedsrv.search.query import (
    And,
    CountCondition,
    Field,
    HasArtefact,
    HasLink,
    Like,
    Not,
    Or,
    Query,
    Term,
    TermMode,
    iter_likes,
)
from feedsrv.upstream.normalize import normalize_line, normalize_paragraphs, normalize_url
from feedsrv.upstream.policy import pages_covering

#: Few words, so that a query drawn at random finds something in a paper drawn at random.
VOCABULARY = (
    *("causal", "causality", "world", "model", "models", "diffusion", "diffuse", "non"),
    *("ai", "3d", "c++", "c#", "o'reilly", "naive", "agents", "\U0001f426"),
)
NAMES = ("Ada Brandt", "Yann Okafor", "Zoë Le-Blanc", "Mei O\u2019Reilly", "Łu Brandt", "李 明")
_WRITTEN = (
    *("Causal", "causality", "world-model", "world models", "Diffusion", "non-causal", "AI", "3D"),
    *("C++", "C#", "O\u2019Reilly", "O'Reilly", "naïve", "nai\u0308ve", "agents", "the"),
    "\U0001f426",
)
_AWKWARD = (
    *("\x00", "\x08", "\x0b", "\x1b", "\x7f", "\x85", "\ufffe", "\uffff", "]]>", "<![CDATA["),
    *("&amp;", "<script>alert(1)</script>", '"', "'", "&", "</content>", "\u202eright to left"),
    *("\u05e9\u05dc", "\u0645\u0631\u062d\u0628\u0627", "\U0001f469\u200d\U0001f52c"),
    *("\U0001f1e9\U0001f1ea", "\ufe0f", "e\u0301", "Z\u0351\u036b\u0343", "\ufb01", "\ufdfa"),
    *("\u0130", "ß", "\u200b", "\xa0", "\u2028", r"$\alpha$-divergence", r"$O(n^2)$"),
    *(r"$\frac{a}{b}$", r"\textbf{bold}", r"\'{e}", "$5", "\\", "$", "{", "}", "^_", "\r\n"),
    *("\n\n", "\n  folded", "\t", "  ", " "),
)
_TOKENS = (
    *VOCABULARY,
    *("OR", "AND", "NOT", "or", "|", "-", "!", "--", "(", ")", "((", "))", '"', "\u201c", "\u201d"),
    *("*", "title:", "abstract:", "author:", "org:", "keyword:", "id:", "has:", "has:code"),
    *("has:model", "foo:", ":", "stars:", ">5", "->", "``", "''", '"world model"', "diffus*"),
    *("upvotes:>=20", "stars:<3", "comments:=", "2601.00001", "id:2601.00001V2", 'id:"2601.1v2v3"'),
    *("id:26*", "\xa0", "\u3000", "\\", "'"),
)

_FIELDS: tuple[Field, ...] = ("", "", "title", "abstract", "keyword", "author", "org", "id")
_KNOWN_IN: dict[Field, tuple[str, ...]] = {
    "author": ("ada", "brandt", "zoe", "le", "700"),
    "org": ("harbour", "ai", "lab"),
    "id": ("2601", "2601.00001", "2305"),
}

#: For a test that draws lists of papers: half of the profile's examples.
few_examples = settings(max_examples=settings().max_examples // 2)


def make_paper(title: str = "Untitled", abstract: str = "", **fields: Any) -> Paper:
    """Return an analyzed paper with these fields and simple defaults."""
    values: dict[str, Any] = {"id": "2601.00001", "submitted": date(2026, 1, 5), **fields}
    return analyze(Paper(title=title, abstract=abstract, **values))


def texts(*, surrogates: bool = False) -> SearchStrategy[str]:
    """Return realistic and unusual texts; optionally with lone surrogates, which JSON allows."""
    excluded: tuple[Literal["Cs"], ...] = () if surrogates else ("Cs",)
    characters = st.characters(exclude_categories=excluded)
    awkward = (*_AWKWARD, "\ud800", "\udc00x") if surrogates else _AWKWARD
    piece = st.one_of(
        st.sampled_from(_WRITTEN), st.sampled_from(awkward), st.text(characters, max_size=8)
    )
    return st.builds(str.join, st.sampled_from(("", " ", "-", "\n")), st.lists(piece, max_size=10))


def query_texts() -> SearchStrategy[str]:
    """Return query texts: tokens of the language in any order, or arbitrary text."""
    tokens = st.lists(st.sampled_from(_TOKENS), max_size=14)
    soup = st.builds(str.join, st.sampled_from((" ", "", "\t")), tokens)
    return st.one_of(soup, soup, texts(surrogates=True), st.text(max_size=URL_LIMITS.length + 5))


# Few choices with one draw each: a paper has twenty fields, and tests draw lists of papers.
_SENTENCES = st.sampled_from(
    [
        " ".join((_WRITTEN * 2)[start : start + length])
        for start in range(len(_WRITTEN))
        for length in (1, 2, 4, 6)
    ]
)
_PROSE = st.one_of(_SENTENCES, _SENTENCES, _SENTENCES, texts())
_CROWD = tuple(f"{NAMES[place % len(NAMES)]} {place}" for place in range(700))
_PEOPLE = st.one_of(
    st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple),
    st.lists(texts().map(normalize_line).filter(bool), max_size=2, unique=True).map(tuple),
    st.sampled_from([(), (NAMES[0],), NAMES[:2], NAMES[2:5], NAMES, _CROWD]),
)
_IDS = st.integers(0, 7 * 12 * 100_000 - 1).map(
    lambda n: f"{23 + n // 1_200_000:02d}{n // 100_000 % 12 + 1:02d}.{n % 100_000:05d}"
)
_DAYS = st.integers(0, (date(2029, 12, 31) - FIRST_LIST_DAY).days).map(
    lambda days: FIRST_LIST_DAY + timedelta(days)
)
_MOMENTS = st.builds(
    lambda day, seconds: datetime.combine(day, time(), UTC) + timedelta(seconds=seconds),
    _DAYS,
    st.integers(0, 86_399),
)
_COUNTS = st.sampled_from([*range(31), 99, 1000, 100_000])
_LINKS = st.sampled_from(
    ("", "https://github.com/example/tides", " https://tides.example/?a=1&b=<2> ", "http://x.y/\n")
).map(normalize_url)


@st.composite
def papers(draw: DrawFn) -> Paper:
    """Return papers as the page parser creates them: normalized, analyzed, with missing fields."""
    prose = _PROSE
    authors = draw(_PEOPLE)
    name = draw(_IDS)
    return analyze(
        Paper(
            id=name,
            title=normalize_line(draw(prose)) or name,
            abstract=draw(
                st.one_of(
                    st.just(""), prose.map(normalize_paragraphs), prose.map(normalize_paragraphs)
                )
            ),
            authors=authors,
            author_count=len(authors) or draw(st.sampled_from((0, 0, 3, 700))),
            submitted=draw(_DAYS),
            listed=draw(st.none() | _DAYS),
            revised=draw(st.none() | st.none() | _MOMENTS),
            organization=normalize_line(
                draw(st.one_of(st.just(""), st.just("Harbour AI Lab"), prose))
            ),
            keywords=tuple(
                draw(st.lists(prose.map(normalize_line).filter(bool), max_size=3, unique=True))
            ),
            ai_summary=normalize_line(draw(st.one_of(st.just(""), prose))),
            code=draw(_LINKS),
            project=draw(_LINKS),
            media=tuple(draw(st.lists(_LINKS.filter(bool), max_size=2))),
            upvotes=draw(_COUNTS),
            comments=draw(_COUNTS),
            stars=draw(_COUNTS),
        )
    )


@st.composite
def listings(draw: DrawFn, kind: Kind | None = None, most: int = 5) -> Listing:
    """Return listings of one or any kind, with each paper once."""
    kind = draw(st.sampled_from(Kind)) if kind is None else kind
    day = draw(_DAYS)
    (page,) = pages_covering(kind, day, 1)
    if kind is Kind.SEARCH:
        page = Page(kind, draw(st.lists(st.sampled_from(VOCABULARY), min_size=1).map(" ".join)))
    around = st.none() | _DAYS if kind is Kind.DAY else st.none()
    previous, following = draw(around), draw(around)
    return Listing(
        page=page,
        papers=tuple(draw(st.lists(papers(), max_size=most, unique_by=lambda paper: paper.id))),
        fetched_at=draw(_MOMENTS),
        previous_day=previous.isoformat() if previous else "",
        next_day=following.isoformat() if following else "",
        parsed_from=draw(st.sampled_from(("data", "data", "cards", "api"))),
    )


_TABLE = files("feedsrv.search").joinpath("word_families.txt").read_text("ascii")
#: All words and base forms in the table of word families.
LISTED_WORDS = tuple(
    dict.fromkeys(
        word
        for line in _TABLE.splitlines()
        if not line.startswith("#")
        for word in line.replace(" = ", " ").split()
    )
)


def listed_words() -> SearchStrategy[str]:
    """Return words of the table of word families, with and without prefixes and suffixes."""
    listed = st.sampled_from(LISTED_WORDS)
    prefixes = st.sampled_from(("", "", "re", "un", "pre", "over", "multi"))
    endings = st.sampled_from(("", "", "s", "ed", "ing", "ly", "er"))
    return st.builds("{}{}{}".format, prefixes, listed, endings)


@st.composite
def terms(draw: DrawFn) -> Term:
    """Return terms with words of the vocabulary, or with names for fields of names."""
    field: Field = draw(st.sampled_from(_FIELDS))
    known = _KNOWN_IN.get(field, VOCABULARY)
    modes: tuple[TermMode, ...] = ("exact", "prefix")
    if field not in _KNOWN_IN:
        modes = ("forms", "phrase", "verbatim", "prefix")
    mode = draw(st.sampled_from(modes))
    words = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
    # Only quoted words can have spaces between them.
    separator = "-" if mode in {"forms", "prefix"} else " "
    return Term(field, separator.join(words), mode)


def _leaves() -> SearchStrategy[Query]:
    links = st.builds(HasLink, st.sampled_from(("code", "project", "media")))
    counts = st.builds(
        CountCondition,
        st.sampled_from(("upvotes", "comments", "stars")),
        st.sampled_from((">=", "<=", ">", "<", "=")),
        st.one_of(st.integers(0, 30), st.integers(0, 999_999_999)),
    )
    artefacts = st.builds(HasArtefact, st.sampled_from(ARTEFACT_KINDS))
    return st.one_of(terms(), terms(), terms(), links, artefacts, counts, _likes())


def _likes() -> SearchStrategy[Query]:
    ids = st.lists(st.sampled_from(("2611.00001", "2611.00002", "sample-001")), unique=True)
    like = ids.filter(bool).map(tuple)
    return st.builds(Like, like, st.one_of(st.just(()), ids.map(tuple)))


def _grown(parts: SearchStrategy[Query]) -> SearchStrategy[Query]:
    def lists(flat: type[And | Or]) -> SearchStrategy[tuple[Query, ...]]:
        others = parts.filter(lambda part: not isinstance(part, flat))
        return st.lists(others, min_size=2, max_size=4).map(tuple)

    return st.one_of(st.builds(Not, parts), st.builds(And, lists(And)), st.builds(Or, lists(Or)))


def _is_writable(query: Query) -> bool:
    text = str(query)
    depths = [text[:end].count("(") - text[:end].count(")") for end in range(len(text) + 1)]
    # The parser joins several exclusions with the other parts.
    has_several_likes = len(list(iter_likes(query))) > 1
    return len(text) <= URL_LIMITS.length and max(depths) <= 8 and not has_several_likes


def queries(most: int = 8) -> SearchStrategy[Query]:
    """Return query trees that the grammar can produce, within its limits."""
    return st.recursive(_leaves(), _grown, max_leaves=most).filter(_is_writable)
