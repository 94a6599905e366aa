"""The papers of a BibTeX file, to which those of a feed are to be similar."""

import re
from pathlib import Path

from feedsrv.config.conversion import convert
from feedsrv.config.files import read_file
from feedsrv.config.validation import quote_value

#: An arXiv id in BibTeX: as eprint or arxivId, in a DOI or an address, as "arXiv:2510.12345", or as
#: DBLP's volume "abs/2510.12345".
_BIBTEX_ARXIV_ID = re.compile(
    r"(?:\b(?:eprint|arxiv(?:id)?)\s*=[\s{\"]*|\barxiv(?:[.:]\s*|\s+)|\b(?:abs|pdf|html|papers)/)"
    r"(\d\d(?:0[1-9]|1[0-2])\.\d{4,5})(?!\d)",
    re.IGNORECASE | re.ASCII,
)
#: Papers of a library that others are compared with: the newest.
_MAX_LIBRARY_PAPERS = 200


def read_arxiv_ids(file: str, directory: Path) -> tuple[str, ...]:
    """Return the arXiv ids in a BibTeX file, newest first; raise ValueError if there are none."""
    path: Path = convert(file, Path)
    try:
        text = read_file(directory / path).decode("utf-8", "replace")
    except OSError as error:
        reason = error.strerror or "not a file"
        raise ValueError(f"{quote_value(file)} cannot be read: {reason}") from error
    ids = sorted(set(_BIBTEX_ARXIV_ID.findall(text)), reverse=True)
    if not ids:
        raise ValueError(f"{quote_value(file)} has no arXiv id")
    return tuple(ids[:_MAX_LIBRARY_PAPERS])
