"""Highlight what a query found: spans of a text, segments to mark up, excerpts.

This highlights exactly what `feedsrv.search.matching.matches` finds, because it uses the same
tokens and patterns. Excluded words are never highlighted.
"""

from collections.abc import Iterator, Sequence

from feedsrv.search.analysis import tokenize_with_offsets
from feedsrv.search.matching import searched_fields
from feedsrv.search.patterns import find_verbatim
from feedsrv.search.query import Query, iter_positive_terms

Span = tuple[int, int]
Segment = tuple[str, bool]


def searches_field(query: Query, field: str, *, has_keywords: bool) -> bool:
    """Return whether the query looks for words in that field of a paper."""
    return any(
        field in searched_fields(term, has_keywords=has_keywords)
        for term in iter_positive_terms(query)
    )


def highlight_spans(
    query: Query, field: str, text: str, *, has_keywords: bool = True
) -> tuple[Span, ...]:
    """Return where in a field's text the query's words stand, in order and without overlaps.

    Of several authors or keywords, the text is one. ``has_keywords`` says whether the paper has
    any.
    """
    terms = [
        term
        for term in iter_positive_terms(query)
        if field in searched_fields(term, has_keywords=has_keywords)
    ]
    if not terms:
        return ()
    tokens = tokenize_with_offsets(text)
    words = [token.word for token in tokens]
    spans: list[Span] = []
    for term in terms:
        if term.mode == "verbatim":
            spans += find_verbatim(term.text, text)
        else:
            found = term.pattern.find(words)
            spans += ((tokens[first].start, tokens[after - 1].end) for first, after in found)
    return _merge_spans(sorted(spans))


def segments(text: str, spans: Sequence[Span]) -> Iterator[Segment]:
    """Yield the segments of the text, each with whether it is highlighted."""
    end = 0
    for start, after in spans:
        yield text[end:start], False
        yield text[start:after], True
        end = after
    yield text[end:], False


def excerpt(text: str, spans: Sequence[Span], length: int) -> tuple[str, tuple[Span, ...]]:
    """Return some characters around a text's first span, in whole words, and the spans in them."""
    if len(text) <= length:
        return text, tuple(spans)
    first = spans[0][0] if spans else 0
    begin = max(0, min(first - length // 3, len(text) - length))
    space = text.find(" ", begin, first) if begin else -1
    begin = space + 1 if space >= 0 else begin
    end = text.rfind(" ", begin + length // 2, begin + length)
    end = len(text) if begin + length >= len(text) else (end if end > first else begin + length)
    lead = "… " if begin else ""
    part = lead + text[begin:end] + (" …" if end < len(text) else "")
    shift = len(lead) - begin
    inside = ((max(a, begin), min(b, end)) for a, b in spans if a < end and b > begin)
    return part, tuple((a + shift, b + shift) for a, b in inside)


def _merge_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the spans, which are in order, with overlapping ones as one."""
    merged: list[Span] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return tuple(merged)
