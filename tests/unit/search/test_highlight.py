import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedsrv.models import Paper
from feedsrv.search.analysis import tokenize, tokenize_with_offsets
from feedsrv.search.highlight import excerpt, highlight_spans, segments
from feedsrv.search.matching import match_locations
from feedsrv.search.parser import parse_query
from feedsrv.search.query import Query, Term
from tests.support.strategies import papers, queries, terms, texts


def highlight(query: str, text: str, field: str = "title") -> str:
    found = segments(text, highlight_spans(parse_query(query), field, text))
    return "".join(f"[{piece}]" if is_marked else piece for piece, is_marked in found)


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("causal", "Causal lighthouses, causally", "[Causal] lighthouses, [causally]"),
        ("ferry fog", "Fog delays every ferry", "[Fog] delays every [ferry]"),
        ('"world model"', "A World-Model of worlds", "A [World-Model] of worlds"),
        ('"world model" OR "model zoo"', "world model zoo", "[world model zoo]"),
        ("diffus*", "Diffusion, diffusers; confused", "[Diffusion], [diffusers]; confused"),
        ("world mod*", "world models", "[world] [models]"),
        ("cafe", "Le Café, cafe\u0301s", "Le [Café], [cafe\u0301s]"),
        ("cafe", "a cafe\u0301 here", "a [cafe\u0301] here"),
        ("naive", "the na\u00adive way", "the [na\u00adive] way"),
        ("half", "½ is half", "½ is [half]"),
        ("1", "½ is one", "[½] is one"),
        ("C++", "C, C++ and C#", "C, [C++] and C#"),
        ("fog -ferry", "fog and ferry", "[fog] and ferry"),
        ("abstract:fog", "fog", "fog"),
        ("title:fog", "fog", "[fog]"),
        ("has:code upvotes:>3 fog", "has:code fog", "has:code [fog]"),
        ("fog", "", ""),
    ],
)
def test_matched_words_of_a_query_are_highlighted(query: str, text: str, expected: str) -> None:
    assert highlight(query, text) == expected


@pytest.mark.parametrize(
    ("query", "field", "expected"),
    [
        ("quill", "author", "Ada Quill"),
        ('author:"ada quill"', "author", "[Ada Quill]"),
        ("author:quill", "title", "Ada Quill"),
        ("org:quill", "org", "Ada [Quill]"),
        ("quill", "keyword", "Ada [Quill]"),
    ],
)
def test_a_field_is_highlighted_by_terms_that_search_it(
    query: str, field: str, expected: str
) -> None:
    assert highlight(query, "Ada Quill", field) == expected


@given(texts())
def test_offsets_are_in_order_and_within_the_text(text: str) -> None:
    found = tokenize_with_offsets(text)
    assert [word for word, _, _ in found] == tokenize(text)
    ends = [0, *(end for _, _, end in found)]
    assert all(start < end <= len(text) for _, start, end in found)
    # Two tokens may be parts of one character.
    assert all(start >= end - 1 for (_, start, _), end in zip(found, ends, strict=False))


@given(queries(), st.sampled_from(["title", "abstract", "keyword", "author", "org"]), texts())
def test_segments_join_to_the_text_and_spans_do_not_overlap(
    query: Query, field: str, text: str
) -> None:
    found = highlight_spans(query, field, text)
    assert "".join(piece for piece, _ in segments(text, found)) == text
    ends = (0, *(end for _, end in found))
    assert all(before <= start < end for before, (start, end) in zip(ends, found, strict=False))


@given(terms(), papers())
def test_a_field_has_highlights_exactly_if_the_term_matched_it(term: Term, paper: Paper) -> None:
    matched = {location.partition(":")[0] for location in match_locations(term, paper)}
    fields = {
        "title": [paper.title],
        "abstract": [paper.abstract],
        "keyword": paper.keywords,
        "author": paper.authors,
        "org": [paper.organization],
    }
    found = {
        name
        for name, texts in fields.items()
        if any(highlight_spans(term, name, t, has_keywords=bool(paper.keywords)) for t in texts)
    }
    assert found == matched - {"id"}


@given(texts(), st.data(), st.integers(10, 60))
def test_an_excerpt_is_a_part_of_the_text_with_its_first_highlight(
    text: str, data: st.DataObject, most: int
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    found = tuple(zip(cuts[::2], cuts[1::2], strict=False))
    shown, spans = excerpt(text, found, most)
    assert shown.removeprefix("… ").removesuffix(" …") in text
    assert len(shown) <= most + 4 or shown == text
    assert all(0 <= start < end <= len(shown) for start, end in spans)
    if found and found[0][0] < found[0][1]:
        start, end = found[0]
        assert spans
        assert text[start:end].startswith(shown[spans[0][0] : spans[0][1]])


def test_an_excerpt_begins_and_ends_with_whole_words() -> None:
    text = " ".join(f"word{number}" for number in range(100))
    start = text.index("word50")
    shown, spans = excerpt(text, [(start, start + 6)], 60)
    assert shown == "… word48 word49 word50 word51 word52 word53 word54 word55 …"
    assert [shown[span_start:span_end] for span_start, span_end in spans] == ["word50"]
