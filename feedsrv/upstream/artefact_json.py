"""One paper's JSON to the artefacts that cite it."""

import re
from datetime import datetime
from typing import Any

import msgspec

from feedsrv.errors import ParseError
from feedsrv.models import ArtefactRecord, LinkedArtefacts

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_MAX_COUNT = 10**9


class _PaperArtefacts(msgspec.Struct, rename="camel"):
    """The API's description of a paper. Whatever has an unexpected type counts as absent."""

    id: str
    linked_models: Any = None
    linked_datasets: Any = None
    linked_spaces: Any = None
    num_total_models: Any = None
    num_total_datasets: Any = None
    num_total_spaces: Any = None


def parse_artefacts(
    body: bytes, url: str, *, paper_id: str, checked_at: datetime
) -> ArtefactRecord:
    """Return the artefacts in an API response about one paper, received at ``checked_at`` (UTC).

    Raises:
        ParseError: The response does not describe the paper.
    """
    try:
        found = msgspec.json.decode(body, type=_PaperArtefacts)
    except (ValueError, RecursionError) as error:
        raise ParseError(url, f"the response has no paper: {error}") from error
    if found.id.partition("v")[0] != paper_id:
        raise ParseError(url, f"paper {found.id} instead of {paper_id}")
    return ArtefactRecord(
        checked_at,
        model=_linked(found.linked_models, found.num_total_models),
        dataset=_linked(found.linked_datasets, found.num_total_datasets),
        space=_linked(found.linked_spaces, found.num_total_spaces),
    )


def _linked(entries: object, total: object) -> LinkedArtefacts:
    """Return the artefacts of one kind; upstream lists only some of them, and their number.

    Private ones, which only the owner of a token sees, are not shown to others.
    """
    listed = (
        [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    )
    public = [str(each.get("id")) for each in listed if not each.get("private")]
    count = total if isinstance(total, int) and len(listed) <= total <= _MAX_COUNT else len(listed)
    count -= len(listed) - len(public)
    example = next(filter(_HUB_ID.fullmatch, public), "")
    return LinkedArtefacts(count, example if count else "")
