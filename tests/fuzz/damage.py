"""Lists with one randomly damaged paper: the others must be intact."""

import json
from random import Random
from typing import NamedTuple

from feedsrv.errors import ParseError
from feedsrv.upstream.parser import parse_api_response, parse_page
from tests.support.builders import DAY, FETCHED_AT, html_page_with_raw_props, json_entry, page_url

_PAPERS = 17
_INSERTIONS = [
    "\\", '"', "'", "{", "}", "[", "]", ",", ":", "\0", "\n", "\t", "\x1b", "\x85", "\ufeff",
    "\ud83d", "\\ud83d", "\\ude00", "\\u0000", "\\u12", "\\x41", "NaN", "-Infinity", "1e999",
    "007", "+1", "9" * 5000, "[" * 3000, '{"a":' * 3000, '[{"paper":' * 3000, "]" * 50, "}" * 50,
    '"}]}', "null", '"paper":', "&quot;", "&#xD83D;", "&#1;", "</div>", "'>", "/*", "true",
    '"id": "2608.00001", ',
]  # fmt: skip


class Case(NamedTuple):
    """A page or an API response, and the ids of its intact papers."""

    body: bytes
    api: bool
    intact_ids: tuple[str, ...]


def damaged_list(chance: Random) -> Case:
    """Return a list with one damaged paper."""
    ids = [f"2608.{number:05}" for number in range(_PAPERS)]
    entries = [json.dumps(json_entry(paper_id, unread=[1, {"a": "b"}])) for paper_id in ids]
    damaged = chance.randrange(_PAPERS)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        entries[damaged] = _damage(chance, entries[damaged])
    text, api = ", ".join(entries), chance.random() < 0.5
    props = f'{{"dailyPapers": [{text}], "periodType": "day", "dateString": "{DAY.key}"}}'
    body = f"[{text}]".encode("utf-8", "surrogatepass") if api else html_page_with_raw_props(props)
    return Case(body, api, tuple(ids[:damaged] + ids[damaged + 1 :]))


def _damage(chance: Random, text: str) -> str:
    start = chance.randrange(len(text))
    end = start + chance.choice((0, 0, 1, 1, 3, 20))
    inserted = chance.choice(_INSERTIONS) if chance.random() < 0.7 else ""
    return text[:start] + inserted + text[end:]


def outcome(case: Case) -> str:
    """Parse the case; raise AssertionError if a paper without damage is not intact."""
    parse = parse_api_response if case.api else parse_page
    try:
        listing = parse(case.body, page_url(DAY), requested=DAY, fetched_at=FETCHED_AT)
    except ParseError as error:
        raise AssertionError(f"not parsed: {error}") from error
    parsed = {paper.id: paper for paper in listing.papers}
    for paper_id in case.intact_ids:
        paper = parsed.get(paper_id)
        assert paper is not None, f"{paper_id} is missing"
        assert paper.authors, f"{paper_id} has no authors"
        assert paper.abstract, f"{paper_id} has no abstract"
    return f"listing of {len(parsed)}, {len(listing.skipped)} skipped"
