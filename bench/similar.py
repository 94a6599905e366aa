"""Measure how well, and how fast, papers that are similar to others are found.

    .venv/bin/python bench/similar.py DIRECTORY

DIRECTORY has responses of Hugging Face's API (``/api/daily_papers?date=…``), one day a file,
gzipped or not. Topics come from ``ai_keywords``. A topic is a pair of words that stand side by side
in keywords of 5 to 40 papers, and of no more than the first 2 % of all papers have room for. Forms
of a word count as one. To be a topic, and not a means or a measure (*classifier-free guidance*,
*success rate*), a pair has to be in the title of one paper in five of those. One of its words has
to be in fewer than one paper in ten: *large model* is no topic.

Of each topic, some papers are taken at random, ten times over, and all other papers are ranked by
similarity to them.

- AUC: how often a paper of the topic is ahead of one that is not. By chance, one time in two.
- Recall: the share of the topic's other papers among the first 2 %.

The figures compare one version with another; they are far below those with topics made by hand. A
language model wrote the keywords, for half of the papers only, and rarely all that apply: many
papers on a topic count as papers on something else.
"""

import argparse
import gzip
import json
import math
import random
import textwrap
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean

import msgspec

from feedsrv.models import Paper
from feedsrv.search.analysis import analyze, tokenize
from feedsrv.search.similar import SimilarityIndex, build_seed_vector, vectorize
from feedsrv.search.word_families import base_forms
from feedsrv.upstream.paper_json import parse_paper

ROUNDS, SEEDS = 10, (1, 3, 5)
MIN_PAPERS, MAX_PAPERS = 5, 40
#: The share of the papers that the rarest word of a topic may have.
MAX_SHARE = 0.1
#: The share of its papers that have a topic in the title.
MIN_TITLES = 0.2
TOP_SHARE = 0.02
FUNCTION_WORDS = frozenset(
    ["a", "an", "and", "by", "for", "from", "in", "of", "on", "or", "out", "the", "to", "with"]
)


def read_papers(directory: Path) -> list[Paper]:
    """Return the papers of all files, each once."""
    papers: dict[str, Paper] = {}
    for file in sorted(directory.glob("*.json*")):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for entry in json.loads(data):
            paper = analyze(parse_paper(msgspec.Raw(json.dumps(entry).encode()), None))
            papers[paper.id] = paper
    return list(papers.values())


def find_topics(papers: Sequence[Paper]) -> dict[str, list[int]]:
    """Return the numbers of the papers of each topic."""
    topics: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
    titles = [base_words(paper.title) for paper in papers]
    found = Counter(word for paper in papers for word in set(vectorize(paper.tokens).words))
    for number, paper in enumerate(papers):
        for keyword in paper.keywords:
            for pair in pairwise(base_words(keyword)):
                if min(found[word] for word in pair) < len(papers) * MAX_SHARE:
                    topics[pair][number] = None
    most = min(MAX_PAPERS, top_size(len(papers)))
    return {
        " ".join(pair): list(numbers)
        for pair, numbers in topics.items()
        if MIN_PAPERS <= len(numbers) <= most
        and FUNCTION_WORDS.isdisjoint(pair)
        and mean({*pair} <= {*titles[number]} for number in numbers) >= MIN_TITLES
    }


def base_words(text: str) -> list[str]:
    """Return the base forms of the words of a text."""
    return [base_forms(word)[0] for word in tokenize(text)]


def top_size(count: int) -> int:
    """Return how many of that many papers are the first 2 %."""
    return math.ceil(count * TOP_SHARE)


def judge(scores: Sequence[float], members: set[int], seeds: set[int]) -> tuple[float, float]:
    """Return the AUC and the recall of a ranking, the seeds left out."""
    ranked = sorted((n for n in range(len(scores)) if n not in seeds), key=lambda n: -scores[n])
    wanted = [rank for rank, number in enumerate(ranked) if number in members]
    others = len(ranked) - len(wanted)
    ahead = sum(rank - index for index, rank in enumerate(wanted))
    recall = mean(rank < top_size(len(ranked)) for rank in wanted)
    return 1 - ahead / (len(wanted) * others), recall


def measure_quality(papers: Sequence[Paper], topics: dict[str, list[int]]) -> Iterator[str]:
    """Yield a line with the quality for each number of seeds."""
    index, chance = SimilarityIndex(papers), random.Random(1)
    for size in SEEDS:
        results = []
        larger = [members for members in topics.values() if len(members) > size]
        for members in larger:
            for _ in range(ROUNDS):
                seeds = chance.sample(members, size)
                scores = index.similarities(build_seed_vector([papers[n] for n in seeds]))
                results.append(judge(scores, set(members) - set(seeds), set(seeds)))
        auc, recall = (mean(figures) for figures in zip(*results, strict=True))
        yield (
            f"{size} seeds, {len(larger)} topics: "
            f"AUC {auc:.3f}, recall in the first 2 % {recall:.3f}"
        )


def measure_time(papers: Sequence[Paper], count: int) -> str:
    """Return a line with the CPU time for that many papers, which the papers are repeated to."""
    many = (list(papers) * (count // len(papers) + 1))[:count]
    vectorize.cache_clear()
    start = time.process_time()
    for paper in papers:
        vectorize(paper.tokens)
    vectors = (time.process_time() - start) * count / len(papers)
    index = SimilarityIndex(many)
    start = time.process_time()
    for first in range(0, 60, 3):
        index.similarities(build_seed_vector(papers[first : first + 3]))
    query = (time.process_time() - start) / 20
    return f"{count} papers: vectors {vectors:.2f} s, a query of 3 seeds {1000 * query:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    papers = read_papers(parser.parse_args().directory)
    topics = find_topics(papers)
    members = sum(map(len, topics.values()))
    print(f"{len(papers)} papers, {len(topics)} topics with {members} memberships:")
    print(textwrap.fill(", ".join(sorted(topics)), 100))
    for line in measure_quality(papers, topics):
        print(line)
    for count in (1_500, 30_000):
        print(measure_time(papers, count))


if __name__ == "__main__":
    main()
