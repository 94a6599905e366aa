"""The artefacts that cite papers, by paper: what ``has:model`` and the like look up."""

from collections.abc import Mapping
from typing import Literal, get_args

from feedsrv.models import ArtefactRecord, LinkedArtefacts

ArtefactKind = Literal["model", "dataset", "space"]
ARTEFACT_KINDS: tuple[ArtefactKind, ...] = get_args(ArtefactKind)


class ArtefactTable:
    """The artefacts that cite papers.

    Args:
        records: By the paper's id.
    """

    def __init__(self, records: Mapping[str, ArtefactRecord]) -> None:
        self.records = records
        #: The ids of the papers that an artefact of a kind cites.
        self.paper_ids = {
            kind: frozenset(each for each in records if self.get(kind, each).count)
            for kind in ARTEFACT_KINDS
        }

    def get(self, kind: ArtefactKind, paper_id: str) -> LinkedArtefacts:
        """Return the artefacts of a kind that cite the paper."""
        found: LinkedArtefacts = getattr(self.records.get(paper_id), kind, LinkedArtefacts())
        return found


#: Nothing is known about any paper.
NO_ARTEFACTS = ArtefactTable({})
