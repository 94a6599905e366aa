"""Write ``feedsrv/search/document_frequencies.txt``: in how many papers each word is.

    python scripts/build_document_frequencies.py bags.txt.gz

The file has one line for each paper: the words of its title and abstract, in any order. It may be
compressed with gzip. The forms of a word count as one word, as in `feedsrv.search.similar`.
"""

import argparse
import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from feedsrv.search.analysis import tokenize
from feedsrv.search.word_families import base_forms

TABLE = Path(__file__).parent.parent / "feedsrv/search/document_frequencies.txt"
#: `feedsrv.search.similar` takes unlisted words for words of one paper.
_MIN_COUNT = 2


def count_documents(lines: Iterable[str]) -> tuple[int, Counter[str]]:
    """Return the number of papers, and in how many of them each word is."""
    counts: Counter[str] = Counter()
    documents = 0
    for documents, line in enumerate(lines, 1):  # noqa: B007  # the last number is returned
        counts.update({base_forms(word)[0] for word in tokenize(line)})
    return documents, counts


def format_table(documents: int, counts: Counter[str]) -> Iterator[str]:
    """Yield the lines of the table: the number of papers, then each count with its words."""
    yield f"# By how many papers have them, the words of papers: {documents}"
    by_count: dict[int, list[str]] = {}
    for word, count in counts.items():
        if count >= _MIN_COUNT:
            by_count.setdefault(count, []).append(word)
    for count in sorted(by_count, reverse=True):
        yield " ".join([str(count), *sorted(by_count[count])])


def main() -> None:
    """Read the file of the command line and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bags", type=Path, help="Words of papers, one paper a line.")
    path: Path = parser.parse_args().bags
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8") as lines:
        documents, counts = count_documents(lines)
    TABLE.write_text("\n".join([*format_table(documents, counts), ""]), "utf-8")


if __name__ == "__main__":
    main()
