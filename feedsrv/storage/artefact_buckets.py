"""Artefact records in buckets: one value in the backend for each paper would be too many."""

import zlib
from datetime import datetime, timedelta

import msgspec

from feedsrv.models import ArtefactRecord

BUCKETS = 16
#: How long a paper that is no longer checked is remembered.
_MEMORY = timedelta(days=60)


def bucket_number(paper_id: str) -> int:
    """Return the bucket of a paper."""
    return zlib.crc32(paper_id.encode()) % BUCKETS


class ArtefactBucket(msgspec.Struct, frozen=True):
    """What is known about the papers of one bucket, by id."""

    papers: dict[str, ArtefactRecord]

    def with_paper(self, paper_id: str, record: ArtefactRecord) -> "ArtefactBucket":
        """Return the bucket with what upstream has just said about a paper."""
        oldest = record.checked_at - _MEMORY
        papers = {key: known for key, known in self.papers.items() if known.checked_at > oldest}
        return ArtefactBucket(papers | {paper_id: record})

    def merge(self, other: "ArtefactBucket", now: datetime) -> "ArtefactBucket":
        """Return the later record of each paper."""
        papers = dict(self.papers)
        for paper_id, record in other.papers.items():
            known = papers.setdefault(paper_id, record)
            if known.checked_at < record.checked_at <= now:
                papers[paper_id] = record
        return ArtefactBucket(papers)
