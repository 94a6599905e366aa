"""Where in a text a query's words stand, so that a page can mark them.

What is marked is what `feedsrv.query.matches` found: the same words, by the same rules, told by
their places. What a query excludes is never marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from feedsrv.search.analysis import stem, tokenize_with_offsets
from feedsrv.search.query import And, Or, Query, Term

Span = tuple[int, int]
Segment = tuple[str, bool]
_DEFAULT_FIELDS = ("title", "abstract", "keyword")


def searches_field(query: Query, field: str) -> bool:
    """Tell whether the query looks for any words in that field."""
    return any(_applies_to(term, field) for term in _iter_terms(query))


def highlight_spans(query: Query, field: str, text: str) -> tuple[Span, ...]:
    """Return where in a field's text the query's words stand, in order and without overlaps.

    Args:
        query: The query.
        field: Which field the text is: title, abstract, keyword, author or org. Of several authors
            or keywords, the text is one.
        text: As it is shown.

    """
    terms = [term for term in _iter_terms(query) if _applies_to(term, field)]
    if not terms:
        return ()
    found = tokenize_with_offsets(text)
    held = [word for word, _, _ in found]
    # Once for all terms: a query may have 32, and a page of papers 200 abstracts.
    forms = {"stems": list(map(stem, held))} if any(t.mode == "stems" for t in terms) else {}
    places = {
        mode: _token_positions(forms.get(mode, held)) for mode in {term.mode for term in terms}
    }
    return tuple(
        _merge_spans(
            sorted(
                (found[at][1], found[end - 1][2])
                for term in terms
                for at, end in _find_term(term, forms.get(term.mode, held), places[term.mode])
            )
        )
    )


def segments(text: str, marked: Sequence[Span]) -> Iterator[Segment]:
    """Yield the text in pieces, each with whether it is marked; joined, they are the text."""
    end = 0
    for start, after in marked:
        yield text[end:start], False
        yield text[start:after], True
        end = after
    yield text[end:], False


def excerpt(text: str, marked: Sequence[Span], most: int) -> tuple[str, tuple[Span, ...]]:
    """Return the part of a text that shows the first mark, whole words of it, and its marks.

    Args:
        text: The text.
        marked: Its marks, in order.
        most: Characters of the part, about.

    """
    if len(text) <= most:
        return text, tuple(marked)
    first = marked[0][0] if marked else 0
    begin = max(0, min(first - most // 3, len(text) - most))
    space = text.find(" ", begin, first) if begin else -1
    begin = space + 1 if space >= 0 else begin
    end = text.rfind(" ", begin + most // 2, begin + most)
    end = len(text) if begin + most >= len(text) else (end if end > first else begin + most)
    lead = "… " if begin else ""
    shown = lead + text[begin:end] + (" …" if end < len(text) else "")
    shift = len(lead) - begin
    kept = ((max(a, begin), min(b, end)) for a, b in marked if a < end and b > begin)
    return shown, tuple((a + shift, b + shift) for a, b in kept)


def _applies_to(term: Term, field: str) -> bool:
    return field == term.field or (not term.field and field in _DEFAULT_FIELDS)


def _iter_terms(query: Query) -> Iterator[Term]:
    """Yield the terms that a paper may match by."""
    match query:
        case Term():
            yield query
        case And(parts) | Or(parts):
            for part in parts:
                yield from _iter_terms(part)
        case _:
            pass


def _token_positions(held: Sequence[str]) -> dict[str, list[int]]:
    """Return for each word of a text where it stands."""
    places: dict[str, list[int]] = {}
    for at, word in enumerate(held):
        places.setdefault(word, []).append(at)
    return places


def _find_term(
    term: Term, held: Sequence[str], places: Mapping[str, Sequence[int]]
) -> Iterator[tuple[int, int]]:
    """Yield from which to before which of a text's words the term's stand side by side."""
    by = stem if term.mode == "stems" else str
    *lead, last = map(by, term.words)
    size = len(term.words)
    if lead:
        begins: Iterable[int] = places.get(lead[0], ())
    elif term.mode == "prefix":
        begins = (at for word in places if word.startswith(last) for at in places[word])
    else:
        begins = places.get(last, ())
    for at in begins:
        if len(held) < at + size or held[at : at + size - 1] != lead:
            continue
        ending = held[at + size - 1]
        if ending.startswith(last) if term.mode == "prefix" else ending == last:
            yield at, at + size


def _merge_spans(found: Sequence[Span]) -> Iterator[Span]:
    """Yield the spans in order, those that overlap as one."""
    start = end = -1
    for begin, after in found:
        if begin < end:
            end = max(end, after)
            continue
        if start >= 0:
            yield start, end
        start, end = begin, after
    if start >= 0:
        yield start, end
